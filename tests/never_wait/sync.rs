//! The group sync: one device sync for everyone who waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use alluvium::io::{CrashMode, OpKind};
use alluvium::{Durability, Error};

use crate::gates::{GatedFs, Op};
use crate::{builder, open};

const WRITERS: usize = 12;

#[test]
fn writers_who_wait_for_one_sync_share_the_next() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let is_sync = |op: &Op| op.kind == OpKind::Sync && op.path.ends_with(".wal");
    let syncs = || fs.done().iter().filter(|op| is_sync(op)).count();
    let before = (syncs(), db.stats().log_syncs);
    let held = fs.hold(OpKind::Sync, ".wal");
    thread::scope(|scope| {
        let put = |key: String| db.put_with(key, "v", Durability::Sync).unwrap();
        let leader = scope.spawn(move || put("leader".to_owned()));
        held.await_arrival();
        let spawn = |i| scope.spawn(move || put(format!("{i}")));
        let writers: Vec<_> = (0..WRITERS).map(spawn).collect();
        // Once they can be read, they are in the log, behind what the leader covers.
        while (0..WRITERS).any(|i| db.get(format!("{i}")).unwrap().is_none()) {
            thread::yield_now();
        }
        let all = writers.iter().chain([&leader]);
        assert!(all.into_iter().all(|writer| !writer.is_finished()), "nothing is synced");
        assert_eq!(syncs(), before.0);
        held.release();
    });
    assert_eq!(syncs() - before.0, 2, "one for the leader, one for all the others");
    assert_eq!(db.stats().log_syncs - before.1, 2);
}

/// I44. Whoever leads a sync, the log thread waits for it in the place of those who have asked.
#[test]
fn who_is_told_waits_for_nothing_and_shares_the_next_sync() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let told = Arc::new(AtomicUsize::new(0));
    let before = db.stats().log_syncs;
    let held = fs.hold(OpKind::Sync, ".wal");
    thread::scope(|scope| {
        let leader = scope.spawn(|| db.put_with("leader", "v", Durability::Sync).unwrap());
        held.await_arrival();
        for i in 0..WRITERS {
            let sequence = db.put(format!("{i}"), "v").unwrap();
            let told = Arc::clone(&told);
            db.when_durable(sequence, move |result| {
                result.unwrap();
                told.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(!leader.is_finished(), "nothing is synced");
        assert_eq!(told.load(Ordering::Relaxed), 0);
        held.release();
    });
    db.close().unwrap();
    assert_eq!(told.load(Ordering::Relaxed), WRITERS);
    // One for the leader, and one or two: the log thread may have begun a turn at the first.
    let syncs = db.stats().log_syncs - before;
    assert!((2..=4).contains(&syncs), "{syncs} syncs, the close's among them");
}

/// I44: a sync that panics takes the log thread with it, and nobody is forgotten.
#[test]
fn who_waits_for_a_sync_that_panics_is_told() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let told = Arc::new(Mutex::new(Vec::new()));
    let last = db.put("k", "v").unwrap();
    let ask = || {
        let told = Arc::clone(&told);
        db.when_durable(last, move |result| told.lock().unwrap().push(result));
    };
    fs.before(OpKind::Sync, ".wal", || panic!("planted, in a sync"));
    (0..5).for_each(|_| ask());
    while told.lock().unwrap().len() < 5 {
        thread::yield_now();
    }
    fs.before_nothing();
    for result in told.lock().unwrap().iter() {
        let Err(Error::WriterStopped { cause, .. }) = result else { panic!("{result:?}") };
        assert!(matches!(**cause, Error::Panicked { .. }), "{cause:?}");
    }
    ask();
    assert!(matches!(told.lock().unwrap()[5], Err(Error::WriterStopped { .. })));
    let _ = db.close();
}

#[test]
fn what_is_durable_is_not_synced_again() {
    let fs = GatedFs::default();
    let db = open(&fs);
    db.put_with("k", "v", Durability::Sync).unwrap();
    let (_, done) = fs.done_by(|| db.sync().unwrap());
    assert!(done.is_empty(), "{done:?}");
    // A sync covers everything appended, by whichever thread.
    db.put("k", "w").unwrap();
    let (_, done) = fs.done_by(|| db.put_with("l", "w", Durability::Sync).unwrap());
    assert_eq!(done.iter().filter(|op| op.kind == OpKind::Sync).count(), 1, "{done:?}");
    let (_, done) = fs.done_by(|| db.sync().unwrap());
    assert!(done.is_empty(), "{done:?}");
}

/// What came after the leader had looked is not durable by its sync, and `wait_durable` knows.
#[test]
fn what_is_written_during_a_sync_is_not_taken_for_durable() {
    let fs = GatedFs::default();
    let db = open(&fs);
    db.put("before", "v").unwrap();
    let held = fs.hold(OpKind::Sync, ".wal");
    let during = thread::scope(|scope| {
        let leader = scope.spawn(|| db.sync().unwrap());
        held.await_arrival();
        let during = db.put("during", "v").unwrap();
        held.release();
        leader.join().unwrap();
        during
    });
    db.wait_durable(during).unwrap();
    let after = fs.crash(CrashMode::PowerLoseAll);
    drop(db);
    let db = builder(&after).open().unwrap();
    assert_eq!(db.get("during").unwrap().unwrap(), "v", "it was said to be durable");
}

/// A later log that is durable before an earlier one would be a hole after a power loss (G2).
#[test]
fn logs_are_synced_in_the_order_in_which_they_were_written() {
    let fs = GatedFs::default();
    let db = open(&fs);
    // The log thread would sync what is sealed by itself.
    let held = fs.hold(OpKind::Create, ".wal");
    let (_, done) = fs.done_by(|| {
        for i in 0..40 {
            db.put(format!("{i}"), [b'v'; 500]).unwrap();
        }
        db.sync().unwrap();
    });
    held.release();
    let paths = |kind: OpKind| {
        let mut paths: Vec<_> = Vec::new();
        for op in done.iter().filter(|op| op.kind == kind && op.path.ends_with(".wal")) {
            if !paths.contains(&op.path) {
                paths.push(op.path.clone());
            }
        }
        paths
    };
    let written = paths(OpKind::Write);
    assert!(written.len() > 1, "no log was rotated");
    assert_eq!(paths(OpKind::Sync), written);
}
