//! Waiting for what was written before to be durable.

use std::path::Path;
use std::sync::Arc;

use alluvium::Sequence;
use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Error, WriteBatch};

/// Without a background sync, so that every sync is one that a call made.
fn open(sim: &SimFs) -> Db {
    let builder =
        Db::builder(Path::new("/db")).memtable_bytes(4 << 10).sync_every(std::time::Duration::ZERO);
    builder.fs(Arc::new(sim.clone())).open().unwrap()
}

fn write(db: &Db, key: &str) -> Sequence {
    let mut batch = WriteBatch::new();
    batch.put(key, "v");
    db.write(&batch).unwrap()
}

#[test]
fn what_was_waited_for_survives_a_power_loss_and_is_waited_for_once() {
    let sim = SimFs::new();
    let db = open(&sim);
    let first = write(&db, "a");
    let second = write(&db, "b");
    db.wait_durable(second).unwrap();
    let syncs = db.stats().log_syncs;
    // Covered: neither this nor anything before it costs a sync.
    db.wait_durable(second).unwrap();
    db.wait_durable(first).unwrap();
    db.wait_durable(Sequence(0)).unwrap();
    assert_eq!(db.stats().log_syncs, syncs);
    let third = write(&db, "c");
    assert_eq!(db.stats().log_syncs, syncs);
    db.wait_durable(third).unwrap();
    assert_eq!(db.stats().log_syncs, syncs + 1);
    write(&db, "lost");
    let db = open(&sim.crash(CrashMode::PowerLoseAll, 1));
    let keys: Vec<_> = db.range(..).keys().map(Result::unwrap).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    // What was recovered is below everything new.
    db.wait_durable(third).unwrap();
}

#[test]
fn a_sync_by_anyone_covers_what_was_written_before() {
    let sim = SimFs::new();
    let db = open(&sim);
    let sequence = write(&db, "a");
    db.sync().unwrap();
    let syncs = db.stats().log_syncs;
    db.wait_durable(sequence).unwrap();
    assert_eq!(db.stats().log_syncs, syncs);
    // One over the rotation of several logs.
    for i in 0..200 {
        db.put(format!("k{i}"), [0; 200]).unwrap();
    }
    let last = write(&db, "b");
    db.wait_durable(last).unwrap();
    let db = open(&sim.crash(CrashMode::PowerLoseAll, 2));
    assert_eq!(db.range(..).count(), 202);
}

#[test]
fn a_sequence_that_was_not_issued_is_refused() {
    let sim = SimFs::new();
    let db = open(&sim);
    let last = write(&db, "a");
    let result = db.wait_durable(Sequence(last.0 + 1));
    assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{result:?}");
    let result = db.wait_durable(Sequence(u64::MAX));
    assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{result:?}");
    db.close().unwrap();
    assert!(matches!(db.wait_durable(last), Err(Error::Closed)));
}
