//! What waits for what: each sentence of the design on never waiting, by counting operations and by
//! holding them, never by time.
//!
//! An operation of the file system is held at a gate by a thread that is meant to wait there, and
//! meanwhile the thread of the test does what must not wait. If it did, the gate would open by
//! force in the end, and the test fails. `foreground` has puts and gets against held background
//! work, `frozen` the same against each step of all of it, `merges` more of merges, `sync` the
//! group sync, `overload` the memory bound, `log_thread` the kinds of work that share a thread,
//! `try_calls` what the calls that never wait say instead.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod foreground;
mod frozen;
mod gates;
mod log_thread;
mod merges;
mod overload;
mod sync;
mod try_calls;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use alluvium::io::OpKind;
use alluvium::{Builder, Db, Durability, WriteBatch};

use gates::GatedFs;

/// Small memtables under a budget that no test but one reaches, and no sync on its own account.
fn builder(fs: &GatedFs) -> Builder {
    let builder =
        Db::builder("db").fs(Arc::new(fs.clone())).sync_every(Duration::ZERO).compaction_threads(0);
    builder.memtable_bytes(8 << 10).flush_bytes(1 << 20).memory_bytes(64 << 20)
}

/// A database with a key on disk and one in memory, whose log thread has nothing left to do.
fn open(fs: &GatedFs) -> Db {
    let db = builder(fs).open().unwrap();
    db.put("on disk", "v").unwrap();
    db.flush().unwrap();
    db.put("in memory", "v").unwrap();
    assert_eq!(db.get("on disk").unwrap().unwrap(), "v");
    settle(&db);
    db
}

/// Waits until the log thread has done what it was asked to, and spares are ready: it makes
/// keyspaces too, and between two of them every other kind of its work has a turn.
fn settle(db: &Db) {
    for turn in 0..8 {
        let name = format!("{turn} of {:?}", std::time::Instant::now());
        db.keyspace(&name).unwrap();
    }
}

/// Everything that must not wait, with rotations in between.
fn use_foreground(db: &Db) {
    let snapshot = db.snapshot();
    for i in 0..200 {
        let key = format!("key-{i:03}");
        db.put(&key, [b'v'; 500]).unwrap();
        assert_eq!(db.get(&key).unwrap().unwrap().len(), 500);
        assert_eq!(db.get_with("on disk", |value| value.map(<[u8]>::len)).unwrap(), Some(1));
        assert_eq!(db.get("no such key").unwrap(), None::<alluvium::Value>);
        if i % 10 == 0 {
            let mut batch = WriteBatch::new();
            batch.put("batch", key.as_bytes());
            batch.delete(&key);
            db.write(&batch).unwrap();
            db.delete("no such key").unwrap();
            assert_eq!(db.prefix("key-").rev().count(), i - i / 10);
            assert_eq!(snapshot.get(&key).unwrap(), None::<alluvium::Value>);
            db.snapshot().range(..).next().unwrap().unwrap();
        }
    }
    (0..200).for_each(|i| {
        db.delete(format!("key-{i:03}")).unwrap();
    });
}

/// Runs `blocked` on a thread of its own up to the gate, then everything that must not wait.
fn while_held(fs: &GatedFs, db: &Db, gate: (OpKind, &str), blocked: impl FnOnce() + Send) {
    let held = fs.hold(gate.0, gate.1);
    thread::scope(|scope| {
        let blocked = scope.spawn(blocked);
        held.await_arrival();
        use_foreground(db);
        assert!(!blocked.is_finished(), "{gate:?}: it was to be held");
        held.release();
    });
    use_foreground(db);
}

/// The planted fault: something that does wait for what is held.
#[test]
fn a_wait_for_what_is_held_is_found() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let held = fs.hold_for(OpKind::Sync, ".wal", Duration::from_millis(20));
    db.put_with("k", "v", Durability::Sync).unwrap();
    assert!(held.forced());
    assert!(std::panic::catch_unwind(|| held.release()).is_err());
    let (_, done) = fs.done_by(|| db.put_with("k", "v", Durability::Sync).unwrap());
    let kinds: Vec<_> = done.iter().map(|op| op.kind).collect();
    let want = [OpKind::Write, OpKind::Sync, OpKind::Write];
    assert_eq!(kinds, want, "record and witness; another thread's would not show");
}
