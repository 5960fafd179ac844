//! A process that may open few files: hundreds of segments and logs, on a real disk.
//!
//! The test binary starts itself as the child, under a limit that a shell sets. What the child does
//! is all that a database can be asked for, and the same holds its data afterwards.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "the child says on its standard output how it went")]

#[allow(dead_code, reason = "it is for files, too")]
#[path = "../src/io/testing.rs"]
mod layers;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use alluvium::io::{DiskFs, Fs, FsFile, FsLock, OpenMode};
use alluvium::{Builder, Db};
use layers::{FsLayer, Layered};

/// Set for the child: where to write.
const DIR_VARIABLE: &str = "ALLUVIUM_DESCRIPTORS_DIR";

/// Set where the child cannot raise its limit.
const FEW_VARIABLE: &str = "ALLUVIUM_DESCRIPTORS_FEW";

const KEYS: usize = 7_001;

fn builder(dir: &Path) -> Builder {
    let builder = Db::builder(dir).memtable_bytes(64 << 10).flush_bytes(256 << 10);
    builder.segment_bytes(4 << 10).cache_bytes(64 << 10)
}

fn key(number: usize) -> String {
    format!("key {:06}", number * 7_919 % KEYS)
}

fn value(number: usize, round: usize) -> String {
    format!("{round}:{number:0100}")
}

/// How many files this process has open, where the system says so.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How many it may have open, where the system says so.
fn soft_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn check_all(db: &Db, round: usize) {
    for number in 0..KEYS {
        let found = db.get(key(number)).unwrap();
        assert_eq!(found.as_deref(), Some(value(number, round).as_bytes()), "{number}");
    }
    let scanned = db.range(..).map(|pair| pair.map(drop)).collect::<Result<Vec<_>, _>>();
    assert_eq!(scanned.unwrap().len(), KEYS);
}

/// Runs one of the tests below, whose name begins with `child_`, under a limit.
fn run(limit: &str, child: &str, dir: &Path) -> Output {
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    command.args([child, "--exact", "--nocapture", "--test-threads=1"]).env(DIR_VARIABLE, dir);
    if limit == "-n 64" {
        command.env(FEW_VARIABLE, "1");
    }
    command.output().unwrap()
}

fn check(limit: &str, child: &str, dir: &Path) {
    let output = run(limit, child, dir);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let out = text(&output.stdout);
    let err = text(&output.stderr);
    assert!(output.status.success() && out.contains("1 passed"), "{limit}: {out}{err}");
    assert!(out.contains("all done"), "the child did nothing: {out}");
}

fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(DIR_VARIABLE).map(Into::into)
}

/// Everything that a database can be asked for; then the process ends without a close.
#[test]
fn child_lives() {
    let Some(dir) = child_dir() else { return };
    let db = builder(&dir).compaction_threads(2).open().unwrap();
    let mut old = Vec::new();
    for round in 0..2 {
        for number in 0..KEYS {
            db.put(key(number), value(number, round)).unwrap();
            if number % 1_000 == 0 {
                // Holds the segments of its moment, which merges replace meanwhile.
                let mut range = db.range(..);
                range.next().transpose().unwrap();
                old.push(range);
            }
        }
    }
    db.flush().unwrap();
    let segments = db.stats().segments;
    assert!(segments > 150, "{segments} segments are too few for this test");
    check_all(&db, 1);
    std::thread::scope(|scope| {
        (0..8).for_each(|_| drop(scope.spawn(|| check_all(&db, 1))));
    });
    assert!(db.stats().cache_misses > 1_000, "the files were hardly read");
    for (number, range) in old.iter_mut().enumerate() {
        let read = range.try_fold(0, |count, pair| pair.map(|_| count + 1)).unwrap();
        assert!(number < 2 || read > 1_000, "{read} entries at {number}");
    }
    // A quarter of the limit, and what logs and outputs take.
    let most = soft_limit().map_or(usize::MAX, |limit| limit / 4 + 40);
    assert!(open_files() <= most, "{} files are open", open_files());
    db.compact().unwrap();
    drop(old);
    assert!(db.verify().unwrap().is_sound());
    db.rebuild_index().unwrap();
    db.save_index_snapshot(dir.with_extension("index")).unwrap();
    db.load_index_snapshot(dir.with_extension("index")).unwrap();
    check_all(&db, 1);
    (0..KEYS).for_each(|number| {
        db.put(key(number), value(number, 2)).unwrap();
    });
    assert!(db.health().is_healthy(), "{}", db.health());
    println!("all done");
    // No destructor runs: the handle stays as it is.
    std::mem::forget(db);
}

/// Opens what was left, writes, and closes.
#[test]
fn child_comes_back() {
    let Some(dir) = child_dir() else { return };
    let db = builder(&dir).index_snapshot(dir.with_extension("index")).open().unwrap();
    check_all(&db, 2);
    (0..KEYS).for_each(|number| {
        db.put(key(number), value(number, 3)).unwrap();
    });
    db.close().unwrap();
    let db = builder(&dir).read_only(true).open().unwrap();
    check_all(&db, 3);
    assert!(db.stats().segments > 150);
    drop(db);
    println!("all done");
}

/// A disk on which no segment can be made, so that nothing leaves the log.
#[derive(Debug)]
struct NoSegments;

impl FsLayer for NoSegments {
    fn inner(&self) -> &dyn Fs {
        &DiskFs
    }

    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Arc<dyn FsFile>> {
        if mode == OpenMode::CreateNew && path.extension().is_some_and(|name| name == "seg") {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        DiskFs.open(path, mode)
    }
}

/// Writes many logs, of which none can be given up.
#[test]
fn child_writes_many_logs() {
    let Some(dir) = child_dir() else { return };
    let db = builder(&dir).fs(Arc::new(Layered(NoSegments))).open().unwrap();
    for number in 0..KEYS {
        db.put(key(number), value(number, 3)).unwrap();
        if number % 70 == 0 {
            // Ends a log.
            db.flush().unwrap_err();
        }
    }
    db.sync().unwrap();
    let logs = db.stats().logs;
    assert!(logs > 64, "{logs} logs are too few for this test");
    println!("all done");
    std::mem::forget(db);
}

/// Reports the limit that an open database leaves the process with, and what it keeps open.
#[test]
fn child_reads_all() {
    let Some(dir) = child_dir() else { return };
    let db = builder(&dir).open().unwrap();
    check_all(&db, 3);
    // Only Linux says either.
    if let Some(limit) = soft_limit() {
        assert_eq!(limit, if std::env::var_os(FEW_VARIABLE).is_some() { 64 } else { 400 });
        assert!((10..limit / 4 + 40).contains(&open_files()), "{} are open", open_files());
    }
    drop(db);
    println!("all done");
}

/// The program's own files take all descriptors: the database gets along with those that it has, by
/// closing one for each that it opens. Another one cannot be opened, and says what to do.
#[test]
fn child_runs_out() {
    let Some(dir) = child_dir() else { return };
    let db = builder(&dir).open().unwrap();
    check_all(&db, 3);
    // A get with nothing in the cache needs a file, a flush needs one.
    let mut taken = Vec::new();
    let mut take_all = || {
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
    };
    take_all();
    check_all(&db, 3);
    db.put("more", "of it").unwrap();
    db.flush().unwrap();
    // What another database would need is not there.
    take_all();
    // A directory is made with a durable name or not at all: the next try would take one that is
    // there for one whose name is durable.
    let made = DiskFs.create_dir_all(&dir.with_extension("a").join("b")).unwrap_err();
    assert_eq!(made.raw_os_error(), Some(24), "{made}");
    assert!(!dir.with_extension("a").exists());
    let failed = loop {
        match Db::open(dir.with_extension("other")) {
            // With files that this one has given back for it.
            Ok(other) => drop(other),
            Err(failed) => break failed,
        }
        take_all();
    };
    assert!(failed.to_string().contains("ulimit -n") && failed.is_retryable(), "{failed}");
    drop(taken);
    db.flush().unwrap();
    db.delete("more").unwrap();
    check_all(&db, 3);
    db.close().unwrap();
    println!("all done");
}

/// Symptom: with 64 descriptors a flush failed when all was written and synced, and so did every
/// other; a close took minutes. Mechanism: each segment had a descriptor for good, the flush opened
/// what it had just written again. Fix: a bound on open files, and the writer's handle is read
/// from.
#[test]
fn a_process_that_may_open_64_files_has_hundreds_of_segments_and_logs() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    check("-n 64", "child_lives", &dir);
    check("-n 64", "child_comes_back", &dir);
    check("-n 64", "child_writes_many_logs", &dir);
    check("-n 64", "child_reads_all", &dir);
}

#[test]
fn the_limit_is_raised_and_where_the_program_takes_all_files_the_database_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    check("-n 400", "child_lives", &dir);
    check("-n 400", "child_comes_back", &dir);
    check("-S -n 64 && ulimit -H -n 400", "child_reads_all", &dir);
    check("-n 128", "child_runs_out", &dir);
}
