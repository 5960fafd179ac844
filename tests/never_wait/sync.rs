//! The group sync: one device sync for everyone who waits.

use std::thread;

use alluvium::Durability;
use alluvium::io::OpKind;

use crate::gates::{GatedFs, Op};
use crate::open;

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
