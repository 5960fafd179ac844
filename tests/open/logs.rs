//! What log files an open and a close leave behind, and how they are written.

#[path = "../../src/io/testing.rs"]
mod layers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alluvium::io::{CrashMode, FaultPlan, Fs, FsFile, FsLock, OpKind, OpenMode, SimFs};
use alluvium::{Builder, Db};

use crate::{DIR, assert_whole, key, path};
use layers::{FileLayer, FsLayer, Layered, LayeredFile};

/// Bytes of the first log after an open.
const SHORT_LOG: u64 = 64 << 10;

/// More recovered logs than this are flushed before the open returns.
const RECOVERED_MAX: usize = 24;

/// As most programs have it, but for the merges.
fn builder(fs: &SimFs) -> Builder {
    Db::builder(DIR).compaction_threads(0).fs(Arc::new(fs.clone()))
}

/// The lengths of the log files.
fn logs(fs: &SimFs) -> Vec<u64> {
    let names = fs.files(DIR).into_iter().filter(|name| name.ends_with(".wal"));
    names.map(|name| fs.read_file(path(&name)).unwrap().len() as u64).collect()
}

/// One short life of a program: it opens, writes one key, and dies.
fn live_and_die(fs: &SimFs, number: usize) -> SimFs {
    let db = builder(fs).open().unwrap();
    assert_whole(&db, number);
    db.put(key(number), "v").unwrap();
    fs.crash(CrashMode::Process, number as u64)
}

/// Symptom: a program that was killed again and again left a log file of 4 MiB for each time, and
/// each open took longer. Mechanism: what a recovery found was flushed by its bytes only. Fix: a
/// flush is due by the number of logs too, before the open returns where there are many, and dead
/// files are used again.
#[test]
fn many_kills_in_a_row_leave_a_bounded_number_of_short_logs() {
    let remove = FaultPlan::new(OpKind::Remove).on(".wal").sticky();
    let segments = FaultPlan::new(OpKind::Create).on(".seg").sticky();
    // As it comes; where no log can be removed; and where no segment can be made at first, so that
    // no flush helps.
    for (fault, faulty) in [(None, 0), (Some(remove), usize::MAX), (Some(segments), 40)] {
        let mut fs = SimFs::new();
        let mut most = 0;
        for number in 0..120 {
            fs.set_fault(fault.clone().filter(|_| number < faulty));
            fs = live_and_die(&fs, number);
            let logs = logs(&fs);
            assert!(logs.iter().all(|&len| len <= SHORT_LOG), "{number}: {logs:?}");
            most = most.max(logs.len());
            // One for each that is recovered, as many dead ones, one in use, and one that is made.
            let recovered = if faulty == 40 { 40 } else { RECOVERED_MAX + 1 };
            let bound = 2 * recovered + 2;
            assert!(logs.len() <= bound, "{number}, {fault:?}: {}, {bound} at most", logs.len());
        }
        assert!(most > 3, "{fault:?}: {most}, so nothing was bounded");
        assert_whole(&builder(&fs).open().unwrap(), 120);
    }
}

/// A program that lives for a moment only would never come to a flush in the background.
#[test]
fn a_long_recovery_is_flushed_before_the_open_returns() {
    let mut fs = SimFs::new();
    let segments = FaultPlan::new(OpKind::Create).on(".seg").sticky();
    for number in 0..RECOVERED_MAX + 2 {
        fs.set_fault(Some(segments.clone()));
        fs = live_and_die(&fs, number);
    }
    assert!(logs(&fs).len() > RECOVERED_MAX, "nothing could be flushed: {:?}", logs(&fs));
    let db = builder(&fs).open().unwrap();
    // What is on the disk at this moment is all that the next one finds.
    let after = fs.crash(CrashMode::PowerLoseAll, 0);
    drop(db);
    let db = builder(&after).read_only(true).open().unwrap();
    let stats = db.stats();
    assert_eq!(
        (stats.segments, stats.memtables_sealed),
        (1, 0),
        "all is in a segment, none in a log"
    );
    assert_whole(&db, RECOVERED_MAX + 2);
}

#[test]
fn a_close_leaves_one_short_log_at_most() {
    for bytes in [0, 100, 300 << 10, 9 << 20] {
        let fs = SimFs::new();
        let db = builder(&fs).open().unwrap();
        let mut count = 0;
        while count * 1000 < bytes {
            db.put(key(count), [b'v'; 1000]).unwrap();
            count += 1;
        }
        let most = logs(&fs);
        assert!(bytes < 1 << 20 || most.iter().any(|&len| len > SHORT_LOG), "{most:?}");
        db.close().unwrap();
        drop(db);
        let left = logs(&fs);
        assert!(left.len() <= 1 && left.iter().all(|&len| len <= SHORT_LOG), "{bytes}: {left:?}");
        assert_whole(&builder(&fs).open().unwrap(), count);
    }
}

/// A simulated disk that counts who asks for a handle to write through a mapping.
#[derive(Clone, Debug, Default)]
struct Asked {
    fs: SimFs,
    asked: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct AskedFile(Arc<dyn FsFile>, Arc<AtomicUsize>);

impl FsLayer for Asked {
    fn inner(&self) -> &dyn Fs {
        &self.fs
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = self.fs.open(path, mode)?;
        Ok(Arc::new(LayeredFile(AskedFile(file, Arc::clone(&self.asked)))))
    }
}

impl FileLayer for AskedFile {
    fn inner(&self) -> &dyn FsFile {
        &*self.0
    }

    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.overwriter(len)
    }
}

#[test]
fn no_log_is_mapped_where_the_option_says_so() {
    for mapped in [true, false] {
        let mut disk = Asked::default();
        let mut count = 0;
        // New logs, those that are used again, and those of a recovery.
        for _ in 0..3 {
            let builder = Db::builder(DIR).fs(Arc::new(Layered(disk.clone()))).log_mapping(mapped);
            let builder = builder.memtable_bytes(8 << 10).flush_bytes(16 << 10);
            let db = builder.compaction_threads(0).open().unwrap();
            assert_whole(&db, count);
            for _ in 0..400 {
                db.put(key(count), [b'v'; 100]).unwrap();
                count += 1;
            }
            db.set_memtable_bytes(16 << 10).unwrap();
            for _ in 0..400 {
                db.put(key(count), [b'v'; 100]).unwrap();
                count += 1;
            }
            db.sync().unwrap();
            disk.fs = disk.fs.crash(CrashMode::PowerLoseAll, count as u64);
        }
        let asked = disk.asked.load(Ordering::Relaxed);
        assert_eq!(asked > 0, mapped, "asked {asked} times");
        assert_whole(&builder(&disk.fs).open().unwrap(), count);
    }
}
