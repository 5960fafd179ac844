//! The log thread has several kinds of work, and none keeps another waiting, however fast writers
//! are and however slow the disk is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::io::OpKind;
use alluvium::{Db, Error, OnOverload};

use crate::gates::GatedFs;
use crate::{builder, open, settle};

/// After this many files the writer gives up, so that a test that would hang fails.
const FILES_MAX: usize = 500;

/// How many log files there may be beside those in use: the most that are kept prepared, of 8 KiB
/// memtables and a flush of 1 MiB; the most that wait to be used again or removed, and what one
/// more flush and one more turn add to them unseen.
const BESIDE_MAX: usize = (6 + 16) + 32 + 2;

/// A writer that fills a log for each that is made, while it is being made: the log thread is never
/// done with making spares. Returns the number of files made so far.
fn use_up_each_spare(fs: &GatedFs, db: &Db) -> Arc<AtomicUsize> {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let writer = db.clone();
    fs.before(OpKind::Create, ".wal", move || {
        if counter.fetch_add(1, Ordering::Relaxed) < FILES_MAX {
            fill_log(&writer);
        }
    });
    made
}

/// A memtable's worth, and a little: a log is sealed.
fn fill_log(db: &Db) {
    for i in 0..16 {
        db.put(format!("{i}"), [b'v'; 500]).unwrap();
    }
}

/// Symptom: beside a writer at full speed `keyspace` waited for as long as that wrote. Mechanism:
/// the log thread made spares until there were enough, and each was used up before the next was
/// there; requests waited in the queue behind. Fix: one file, then whatever else waits (I34).
#[test]
fn a_keyspace_is_made_beside_a_writer_that_uses_up_each_spare() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let made = use_up_each_spare(&fs, &db);
    fill_log(&db);
    for name in ["one", "two", "three"] {
        db.keyspace(name).unwrap();
        db.drop_keyspace(name).unwrap();
    }
    let made = made.load(Ordering::Relaxed);
    fs.before_nothing();
    assert!(made < FILES_MAX, "the writer had to give up");
}

/// The same for the syncs of sealed logs and for the periodic sync: G2's bound.
#[test]
fn the_log_is_synced_beside_a_writer_that_uses_up_each_spare() {
    for period_ms in [0, 1] {
        let fs = GatedFs::default();
        let db = builder(&fs)
            .sync_every(Duration::from_millis(period_ms))
            .memory_bytes(1 << 30)
            .open()
            .unwrap();
        db.put("takes a log", "v").unwrap();
        // A flush would sync the log, too.
        let held = fs.hold(OpKind::Create, ".seg");
        let made = use_up_each_spare(&fs, &db);
        let before = db.stats().log_syncs;
        fill_log(&db);
        while db.stats().log_syncs < before + 5 && made.load(Ordering::Relaxed) < FILES_MAX {
            thread::yield_now();
        }
        let made = made.load(Ordering::Relaxed);
        fs.before_nothing();
        held.release();
        assert!(made < FILES_MAX, "the writer had to give up");
    }
}

/// Symptom: 367 log files, 2.3 GB, for 15 MB of live data and 20 logs in use. Mechanism: dead logs
/// waited in the queue behind the making of spares that they would have ended. Fix: they are taken
/// back before a file is made, and what waits is bounded (I34).
#[test]
fn dead_logs_are_used_again_before_files_are_made() {
    let fs = GatedFs::default();
    let db = builder(&fs).flush_bytes(128 << 10).open().unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let disk = fs.clone();
    let writer = db.clone();
    let seen = Arc::clone(&most);
    let made = AtomicUsize::new(0);
    fs.before(OpKind::Create, ".wal", move || {
        let beside = disk.count(".wal").saturating_sub(writer.stats().logs as usize);
        seen.fetch_max(beside, Ordering::Relaxed);
        if made.fetch_add(1, Ordering::Relaxed) < FILES_MAX {
            fill_log(&writer);
        }
    });
    (0..FILES_MAX).for_each(|_| fill_log(&db));
    fs.before_nothing();
    settle(&db);
    let beside = most.load(Ordering::Relaxed);
    assert!(beside <= BESIDE_MAX, "{beside} files beside those in use");
    let left = fs.count(".wal") - db.stats().logs as usize;
    assert!(left <= 6 + 16, "{left} files are prepared");
}

/// Symptom: on a disk that removes nothing a flush gave its memory back before it removed the logs
/// that it had set free, so they were filled a second time. Fix: what the log thread has no room
/// for counts as memory until it is removed; so the budget bounds the files, and the writer is told
/// (I34).
#[test]
fn files_are_bounded_on_a_disk_that_removes_nothing() {
    let fs = GatedFs::default();
    let batch = 3_000_u64;
    let flush = 16 << 10;
    let memory = 256 << 10;
    let options = builder(&fs).flush_bytes(flush).memory_bytes(memory);
    let db = options.on_overload(OnOverload::Error).open().unwrap();
    db.put("takes a log", "v").unwrap();
    // Big batches bring files of their own, of which none is used again.
    let fill = || {
        let refused =
            (0..10_000).find_map(|i| db.put(format!("{i}"), vec![b'v'; batch as usize]).err());
        assert!(matches!(refused, Some(Error::Overloaded { .. })), "{refused:?}");
    };
    let flushing = fs.hold(OpKind::Create, ".seg");
    fill();
    let held = fs.hold(OpKind::Remove, ".wal");
    flushing.release();
    // The log thread, and the flush thread with what that has no room for.
    held.await_arrivals(2);
    fill();
    // A file for each batch in memory, flushed or not; the open log, and the one before it; those
    // prepared of 8 KiB, those that wait, and one that is being made.
    let in_memory = memory / batch;
    let prepared = 6 + flush / (8 << 10);
    let files = fs.count(".wal") as u64;
    let most = in_memory + 2 + prepared + 32 + 1;
    assert!(files <= most, "{files} files, {most} at most");
    held.release();
    while db.put("goes on", "v").is_err() {
        thread::yield_now();
    }
}

/// Symptom: a put waited for the log thread while the size of memtables was being changed.
/// Mechanism: the spares of the old size were taken away before there were others. Fix: one log
/// stays until there is one of the new size.
#[test]
fn a_put_does_not_wait_for_spares_of_another_size() {
    let fs = GatedFs::default();
    let db = builder(&fs).open().unwrap();
    // No log is in use before the first write.
    let held = fs.hold(OpKind::Create, ".wal");
    thread::scope(|scope| {
        let resized = scope.spawn(|| db.set_memtable_bytes(1 << 20).unwrap());
        held.await_arrival();
        db.put("k", "v").unwrap();
        assert!(!resized.is_finished(), "the log thread is held");
        held.release();
    });
    for i in 0..10 {
        db.put(format!("{i}"), [b'v'; 500]).unwrap();
    }
    assert_eq!(db.stats().stalls_log, 0);
}
