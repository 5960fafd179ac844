//! Calls that never wait: each cause that they have for it, by itself, while what they would wait
//! for is held. A call that waited would wait for this thread, which holds the gate.

use std::thread;
use std::time::Duration;

use alluvium::io::{FaultPlan, OpKind};
use alluvium::{Db, OnOverload, TryGet, TryWrite, WaitFor, WriteBatch};

use crate::gates::GatedFs;
use crate::{builder, open, settle};

/// Every verb says the same, does nothing to a file that is not a write to the log, and leaves no
/// trace of its keys.
fn would_wait(fs: &GatedFs, db: &Db, cause: WaitFor, value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put("tried", value);
    batch.delete("on disk");
    let state = || (db.snapshot().sequence(), db.get("tried").unwrap(), db.get("on disk").unwrap());
    let before = state();
    let (answers, done) = fs.done_by(|| {
        let put = db.try_put("tried", value).unwrap();
        // No delete is big.
        let delete = (cause != WaitFor::Disk).then(|| db.try_delete("on disk").unwrap());
        [Some(put), delete, Some(db.try_write(&batch).unwrap())]
    });
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer, TryWrite::WouldWait(cause));
    }
    assert!(done.is_empty(), "{cause:?}: {done:?}");
    assert_eq!(state(), before, "{cause:?}");
}

/// It is written at once, and read.
fn is_written(db: &Db) {
    let sequence = match db.try_put("written", "v").unwrap() {
        TryWrite::Written(sequence) => sequence,
        TryWrite::WouldWait(cause) => panic!("{cause:?}"),
    };
    assert_eq!(db.snapshot().sequence(), sequence);
    assert!(matches!(db.try_get("written").unwrap(), TryGet::Hit(value) if value == "v"));
}

#[test]
fn another_writer_is_not_waited_for() {
    let fs = GatedFs::default();
    let db = open(&fs);
    is_written(&db);
    // The append is in the section.
    let held = fs.hold(OpKind::Write, ".wal");
    thread::scope(|scope| {
        let writer = scope.spawn(|| db.put("slow", "v").unwrap());
        held.await_arrival();
        would_wait(&fs, &db, WaitFor::Writer, b"v");
        assert!(!writer.is_finished());
        held.release();
    });
    is_written(&db);
    assert_eq!(db.get("slow").unwrap().unwrap(), "v");
}

#[test]
fn memory_is_not_waited_for() {
    let fs = GatedFs::default();
    let pace = OnOverload::Pace { stall_max: Duration::MAX };
    let options = builder(&fs).flush_bytes(8 << 10).memory_bytes(64 << 10);
    let db = options.on_overload(pace).open().unwrap();
    db.put("on disk", "v").unwrap();
    db.flush().unwrap();
    settle(&db);
    let held = fs.hold(OpKind::Create, ".seg");
    let refused = (0..1_000).find(|i| {
        let tried = db.try_put(format!("{i:03}"), [b'v'; 200]).unwrap();
        matches!(tried, TryWrite::WouldWait(WaitFor::Memory))
    });
    assert!(refused.is_some_and(|puts| puts > 100), "{refused:?}");
    would_wait(&fs, &db, WaitFor::Memory, b"v");
    held.await_arrival();
    held.release();
    db.flush().unwrap();
    is_written(&db);
    let stats = db.stats();
    assert_eq!((stats.stalls, stats.paced), (0, 0), "{stats}");
}

#[test]
fn a_log_that_must_be_made_is_not_waited_for() {
    let fs = GatedFs::default();
    // The open can make none, nor can the log thread until it is let.
    fs.set_fault(Some(FaultPlan::new(OpKind::Write).on(".wal").sticky()));
    let db = builder(&fs).open().unwrap();
    let held = fs.hold(OpKind::Create, ".wal");
    would_wait(&fs, &db, WaitFor::Log, b"v");
    // It was asked for.
    held.await_arrival();
    would_wait(&fs, &db, WaitFor::Log, b"v");
    fs.set_fault(None);
    held.release();
    settle(&db);
    is_written(&db);
    assert_eq!(db.stats().stalls_log, 0);
}

/// `tests/api/conditional.rs` has a key that is held.
#[test]
fn the_disk_is_not_waited_for() {
    let fs = GatedFs::default();
    let db = open(&fs);
    would_wait(&fs, &db, WaitFor::Disk, &[b'v'; 3_000]);
    is_written(&db);
}

#[test]
fn a_block_that_must_be_read_is_not_waited_for() {
    let fs = GatedFs::default();
    drop(open(&fs));
    // Opened again, so that no block is in memory.
    let db = builder(&fs).open().unwrap();
    let snapshot = db.snapshot();
    let held = fs.hold(OpKind::Read, ".seg");
    thread::scope(|scope| {
        let reader = scope.spawn(|| db.get("on disk").unwrap().unwrap());
        held.await_arrival();
        let (answers, done) = fs.done_by(|| {
            assert_eq!(db.try_get("no such key").unwrap(), TryGet::Miss, "the filter knows");
            [db.try_get("on disk").unwrap(), snapshot.try_get("on disk").unwrap()]
        });
        assert_eq!((answers, done.len()), ([TryGet::WouldRead, TryGet::WouldRead], 0));
        assert!(!reader.is_finished());
        held.release();
    });
    let (hit, done) = fs.done_by(|| db.try_get("on disk").unwrap());
    assert!(matches!(&hit, TryGet::Hit(value) if value == "v"), "{hit:?}");
    assert!(done.is_empty(), "{done:?}");
}
