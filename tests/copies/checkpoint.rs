//! A checkpoint of a database that is at rest, written to, flushed and merged meanwhile.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alluvium::io::{CrashMode, Fs, FsFile, OpenMode, SimFs};
use alluvium::{Builder, Db, Error, WriteBatch};

use crate::layers::{FsLayer, Layered};
use crate::{fill, pairs};

fn builder(fs: &SimFs, dir: &str) -> Builder {
    Db::builder(dir).fs(Arc::new(fs.clone())).memtable_bytes(16 << 10).sync_every(Duration::ZERO)
}

#[test]
fn it_opens_as_a_database_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/copy");
    let db = Db::builder(dir.path().join("data")).memtable_bytes(16 << 10);
    let db = db.compaction_threads(0).open().unwrap();
    fill(&db);
    let before = pairs(&db);
    let made = db.checkpoint(&path).unwrap();
    assert_eq!(made.sequence, db.snapshot().sequence());
    assert_eq!(made.segments, db.stats().segments);
    assert!(made.segment_bytes > 0 && made.log_bytes > 60 * 200);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let segments = names.filter(|name| name.extension().is_some_and(|it| it == "seg"));
        for segment in segments {
            assert_eq!(std::fs::metadata(&segment).unwrap().nlink(), 2, "{segment:?}");
        }
    }

    // Each goes its own way, and merges leave the other's segments alone.
    let copy = Db::open(&path).unwrap();
    assert_eq!(pairs(&copy), before);
    assert_eq!(copy.keyspaces(), db.keyspaces());
    assert_eq!(pairs(&copy.keyspace("other").unwrap()).len(), 4);
    db.put("only", "here").unwrap();
    copy.put("only", "there").unwrap();
    db.compact().unwrap();
    copy.compact().unwrap();
    for db in [&db, &copy] {
        assert!(db.verify().unwrap().is_sound());
    }
    copy.close().unwrap();
    let copy = Db::open(&path).unwrap();
    let mut want = before;
    want.push(("only".to_owned(), "there".to_owned()));
    assert_eq!(pairs(&copy), want);
    assert_eq!(db.get("only").unwrap().unwrap(), "here");
}

#[test]
fn an_empty_one_and_one_in_memory_are_saved() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::in_memory().unwrap();
    let empty = db.checkpoint(dir.path().join("empty")).unwrap();
    assert_eq!((empty.sequence.0, empty.segments, empty.segment_bytes), (0, 0, 0));
    assert!(Db::open(dir.path().join("empty")).unwrap().is_empty().unwrap());
    fill(&db);
    db.checkpoint(dir.path().join("full")).unwrap();
    let saved = Db::open(dir.path().join("full")).unwrap();
    assert_eq!(pairs(&saved), pairs(&db));
    assert!(saved.verify().unwrap().is_sound());
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let fs = SimFs::new();
    let db = builder(&fs, "data").open().unwrap();
    fill(&db);
    fs.create_dir_all(Path::new("taken")).unwrap();
    fs.write_file("taken/a file", b"of somebody's");
    for path in ["taken", "data"] {
        let refused = db.checkpoint(path).unwrap_err();
        let Error::Io { source, .. } = &refused else { panic!("{refused}") };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(fs.files("taken"), ["a file"]);
    let inside = db.checkpoint("data/below").unwrap();
    assert_eq!(inside.segments, db.stats().segments);
    db.close().unwrap();
    assert!(matches!(db.checkpoint("late"), Err(Error::Closed)));
    let reader = builder(&fs, "data").read_only(true).open().unwrap();
    assert!(matches!(reader.checkpoint("late"), Err(Error::ReadOnly { .. })));
    assert!(fs.files("late").is_empty());
}

/// Each batch sets all keys to one number, and makes a keyspace now and then: a copy has one number
/// throughout, no older than what was acknowledged before it was asked for.
#[test]
fn beside_writers_it_is_a_prefix_of_the_commit_order() {
    const KEYS: u64 = 20;
    const COPIES: usize = 12;
    let fs = SimFs::new();
    let db = builder(&fs, "data").flush_bytes(64 << 10).open().unwrap();
    let acknowledged = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut spaces = vec![db.keyspace("0").unwrap()];
            for number in 1.. {
                if number % 50 == 0 && spaces.len() < 40 {
                    spaces.push(db.keyspace(&spaces.len().to_string()).unwrap());
                }
                let mut batch = WriteBatch::new();
                let newest = spaces.last().unwrap();
                (0..KEYS).for_each(|key| batch.put(key.to_be_bytes(), number.to_string()));
                batch.put_in(newest, "number", number.to_string());
                db.write(&batch).unwrap();
                acknowledged.store(number, Ordering::SeqCst);
                if over.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        while acknowledged.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for round in 0..COPIES {
            let before = acknowledged.load(Ordering::SeqCst);
            let name = format!("copy {round}");
            db.checkpoint(&name).unwrap();
            let after = acknowledged.load(Ordering::SeqCst);
            seen.push((name, before, after));
            // So that the next one finds other logs.
            while acknowledged.load(Ordering::SeqCst) < after + 100 {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    for (name, before, after) in seen {
        let copy = builder(&fs, &name).open().unwrap();
        let found = copy.get(0_u64.to_be_bytes()).unwrap().unwrap();
        let number: u64 = std::str::from_utf8(&found).unwrap().parse().unwrap();
        // One may be under way that is not acknowledged yet.
        assert!((before..=after + 1).contains(&number), "{before} {number} {after}");
        for key in 0..KEYS {
            assert_eq!(copy.get(key.to_be_bytes()).unwrap().unwrap(), number.to_string());
        }
        let newest = copy.keyspaces().iter().filter_map(|name| name.parse::<u64>().ok()).max();
        let newest = copy.keyspace(&newest.unwrap().to_string()).unwrap();
        let last = newest.get("number").unwrap();
        assert!(last.is_none_or(|last| last == number.to_string()));
        assert!(copy.verify().unwrap().is_sound());
    }
}

/// Runs the test's code as the first log is being copied.
#[derive(Debug)]
struct AtLog {
    fs: SimFs,
    hook: Mutex<Option<Hook>>,
}

struct Hook(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl FsLayer for AtLog {
    fn inner(&self) -> &dyn Fs {
        &self.fs
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let log = path.starts_with("copy") && path.extension().is_some_and(|it| it == "wal");
        if log && let Some(Hook(hook)) = self.hook.lock().unwrap().take() {
            hook();
        }
        self.inner().open(path, mode)
    }
}

fn hooked() -> (Arc<Layered<AtLog>>, Db) {
    let layer = AtLog { fs: SimFs::new(), hook: Mutex::default() };
    let fs = Arc::new(Layered(layer));
    let db = open_on(&fs, "data").unwrap();
    fill(&db);
    (fs, db)
}

fn open_on(fs: &Arc<Layered<AtLog>>, dir: &str) -> alluvium::Result<Db> {
    let options = Db::builder(dir).memtable_bytes(16 << 10).sync_every(Duration::ZERO);
    options.fs(Arc::clone(fs) as Arc<dyn Fs>).compaction_threads(0).open()
}

/// Symptom: of two checkpoints into one directory the one that came later removed files of the one
/// that was made, and a database that was opened there meanwhile lost its log. Mechanism: the
/// clean-up took names for files of its own that others had made, and nothing locked the directory.
/// Fix: it is locked, and what was not made is not removed.
#[test]
fn a_directory_that_is_being_filled_is_nobody_elses() {
    let (fs, db) = hooked();
    let before = pairs(&db);
    let other = db.clone();
    let opener = Arc::clone(&fs);
    *fs.0.hook.lock().unwrap() = Some(Hook(Box::new(move || {
        assert!(matches!(open_on(&opener, "copy"), Err(Error::Locked { .. })));
        // It has files by now; while it had none, the lock would have said so.
        assert!(other.checkpoint("copy").is_err());
    })));
    db.checkpoint("copy").unwrap();
    assert!(fs.0.hook.lock().unwrap().is_none(), "a log was copied");
    let copy = open_on(&fs, "copy").unwrap();
    assert_eq!(pairs(&copy), before);
    assert!(matches!(db.checkpoint("copy"), Err(Error::Io { .. })));
    assert!(copy.verify().unwrap().is_sound());
}

/// I41: what a flush makes needless while logs are copied is neither used again nor removed before
/// they have been, and is afterwards.
#[test]
fn logs_that_are_being_copied_stay() {
    let (fs, db) = hooked();
    let before = pairs(&db);
    let writer = db.clone();
    let disk = fs.0.fs.clone();
    let logs = move || disk.files("data").iter().filter(|name| name.ends_with(".wal")).count();
    let there = logs.clone();
    *fs.0.hook.lock().unwrap() = Some(Hook(Box::new(move || {
        let most = there() + 16;
        // Enough for each log file to be used again, if it were handed on.
        for round in 0..60 {
            for number in 0..60 {
                writer
                    .put(format!("new {number}"), format!("{round} {}", "y".repeat(200)))
                    .unwrap();
            }
            writer.flush().unwrap();
            // Those that came later are used again (I34).
            assert!(there() <= most, "{} logs in round {round}, {most} at most", there());
        }
    })));
    db.checkpoint("copy").unwrap();
    assert!(fs.0.hook.lock().unwrap().is_none(), "a log was copied");
    assert_eq!(pairs(&open_on(&fs, "copy").unwrap()), before);
    // None is kept any longer than that.
    db.flush().unwrap();
    assert!(db.stats().logs <= 1, "{} live logs", db.stats().logs);
}

/// What the copied log says is durable: damage to it is no torn tail.
#[test]
fn damage_to_its_logs_is_found() {
    let fs = SimFs::new();
    let db = builder(&fs, "data").open().unwrap();
    db.put("k", "value").unwrap();
    db.checkpoint("copy").unwrap();
    let log = fs.files("copy").into_iter().find(|name| name.ends_with(".wal")).unwrap();
    let bytes = fs.read_file(format!("copy/{log}")).unwrap();
    let at = bytes.windows(5).rposition(|window| window == b"value").unwrap();
    let fs = fs.crash(CrashMode::PowerLoseAll, 0);
    assert!(fs.flip(format!("copy/{log}"), at as u64, 1));
    let refused = builder(&fs, "copy").open().unwrap_err();
    assert!(matches!(refused, Error::Corruption { .. }), "{refused}");
    assert!(fs.flip(format!("copy/{log}"), at as u64, 1));
    assert_eq!(builder(&fs, "copy").open().unwrap().get("k").unwrap().unwrap(), "value");
}
