//! Batches that are written only if keys have the values that they require.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use alluvium::{Db, Durability, Error, TryWrite, WaitFor, WriteBatch};

use crate::{elsewhere, open, text};

#[track_caller]
fn fails(db: &Db, batch: &WriteBatch, of: (&str, &str)) {
    let before = db.snapshot().sequence();
    match db.write(batch) {
        Err(Error::RequirementFailed { keyspace, key, .. }) => {
            assert_eq!((&*keyspace, &*key), (of.0, of.1.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(db.snapshot().sequence(), before, "something was written");
}

#[test]
fn a_batch_is_written_if_all_that_it_requires_is_so() {
    let db = open();
    let users = db.keyspace("users").unwrap();
    for flushed in [false, true] {
        db.put("k", "1").unwrap();
        users.delete("ann").unwrap();
        if flushed {
            db.flush().unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.require("k", Some(b"1"));
        batch.require_in(&users, "ann", None);
        batch.put("k", "2");
        batch.put_in(&users, "ann", "1");
        let sequence = db.write_with(&batch, Durability::Sync).unwrap();
        assert_eq!(sequence, db.snapshot().sequence());
        assert_eq!(text(db.get("k").unwrap()).unwrap(), "2");
        fails(&db, &batch, ("default", "k"));
        db.put("k", "1").unwrap();
        fails(&db, &batch, ("users", "ann"));
        // A value that came back is as good.
        users.delete("ann").unwrap();
        db.write(&batch).unwrap();
    }
}

#[test]
fn one_without_operations_only_looks() {
    let db = open();
    let mut batch = WriteBatch::new();
    batch.require("k", None);
    assert_eq!(db.write(&batch).unwrap(), db.snapshot().sequence());
    db.put("k", "").unwrap();
    fails(&db, &batch, ("default", "k"));
    assert_eq!(db.try_write(&batch).unwrap(), TryWrite::WouldWait(WaitFor::Disk));
    batch.clear();
    batch.require("k", Some(b""));
    db.write_with(&batch, Durability::Sync).unwrap();
}

/// Symptom: a batch without operations was found fulfilled though its requirements were never so
/// at the same time. Mechanism: each key was read at a moment of its own, and nothing looked at
/// them again in the section. Fix: all are read at one.
#[test]
fn requirements_without_operations_are_met_at_one_point() {
    const ROUNDS: u32 = 3_000;
    let db = open();
    let over = AtomicBool::new(false);
    let write = |left: &str, right: &str| {
        let mut batch = WriteBatch::new();
        batch.put("left", left);
        batch.put("right", right);
        db.write(&batch).unwrap();
    };
    write("0", "1");
    let mut neither = WriteBatch::new();
    neither.require("left", Some(b"0"));
    neither.require("right", Some(b"0"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                write("1", "0");
                write("0", "1");
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            assert!(db.write(&neither).is_err(), "one of them is always 1");
        }
    });
}

#[test]
fn what_cannot_be_required_is_refused() {
    let db = open();
    let other = open().keyspace("other").unwrap();
    let mut batch = WriteBatch::new();
    batch.require_in(&other, "k", None);
    assert!(matches!(db.write(&batch), Err(Error::InvalidArgument { .. })));
    let mut batch = WriteBatch::new();
    batch.require(vec![0; 70_000], None);
    assert!(matches!(db.write(&batch), Err(Error::InvalidArgument { .. })));
    let gone = db.keyspace("gone").unwrap();
    db.drop_keyspace("gone").unwrap();
    let mut batch = WriteBatch::new();
    batch.require_in(&gone, "k", None);
    batch.put("w", "v");
    assert!(matches!(db.write(&batch), Err(Error::KeyspaceDropped { .. })));
    assert!(!db.contains_key("w").unwrap());
}

/// Counters by requirement: of those that require one value one is written.
#[test]
fn of_several_that_require_one_value_one_is_written() {
    const THREADS: u32 = 3;
    const EACH: u32 = 100;
    let db = open();
    db.put("count", "0").unwrap();
    let failed = AtomicU32::new(0);
    let increment = || {
        for _ in 0..EACH {
            loop {
                let now = text(db.get("count").unwrap()).unwrap();
                let next = now.parse::<u32>().unwrap() + 1;
                let mut batch = WriteBatch::new();
                batch.require("count", Some(now.as_bytes()));
                batch.put("count", next.to_string());
                batch.put(format!("step {next}"), "");
                match db.write(&batch) {
                    Ok(_) => break,
                    Err(Error::RequirementFailed { .. }) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = [(); THREADS as usize].map(|()| scope.spawn(increment));
        for _ in 0..20 {
            db.flush().unwrap();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    println!("{} failed", failed.load(Ordering::Relaxed));
    let all = THREADS * EACH;
    assert_eq!(text(db.get("count").unwrap()).unwrap(), all.to_string());
    assert_eq!(elsewhere(|| db.prefix("step").len().unwrap()), u64::from(all));
}
