//! Sequences over many openings, and writing under a budget that a flush fills.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::sync::Arc;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Error, OnOverload, WriteBatch};

fn open(fs: &SimFs) -> Db {
    let builder = Db::builder(Path::new("/db"))
        .fs(Arc::new(fs.clone()))
        .sync_every(std::time::Duration::ZERO);
    builder.open().expect("a crash is no damage")
}

fn commit(db: &Db) -> u64 {
    let mut batch = WriteBatch::new();
    batch.put("a", "1");
    batch.put("b", "2");
    db.write(&batch).unwrap().0
}

/// I16: what a crash has discarded is not numbered again.
#[test]
fn sequences_go_on_above_everything_that_was_ever_issued() {
    let mut fs = SimFs::new();
    let mut last = 0;
    for mode in [CrashMode::PowerLoseAll, CrashMode::Process, CrashMode::PowerLoseAll] {
        let db = open(&fs);
        for _ in 0..3 {
            let sequence = commit(&db);
            assert!(sequence > last, "{sequence} after {last}");
            last = sequence;
        }
        fs = fs.crash(mode, 1);
        drop(db);
    }
}

/// Symptom: with `memory_bytes` no larger than `flush_bytes` writers waited their full time and
/// failed with `Overloaded`, for ever. Mechanism: they waited for a flush that was not due, since
/// less than `flush_bytes` was sealed. Fix: a flush is due whenever writers are over the budget.
#[test]
fn a_budget_no_larger_than_a_flush_does_not_stop_writing() {
    let db = Db::builder(Path::new("/db"))
        .fs(Arc::new(SimFs::new()))
        .memtable_bytes(16 << 10)
        .flush_bytes(40 << 10)
        .memory_bytes(40 << 10)
        .on_overload(OnOverload::Pace { stall_max: std::time::Duration::from_millis(5_000) })
        .open()
        .unwrap();
    for number in 0..4_000_u32 {
        match db.put(number.to_be_bytes(), [1; 100]) {
            Err(Error::Overloaded { .. }) => panic!("put {number} waited in vain: {}", db.stats()),
            result => {
                result.unwrap();
            }
        }
    }
    assert!(db.stats().flushes > 1);
}
