//! The end of handles: what a closed one answers, and what outlives it.

use alluvium::{Db, Durability, Error, WriteBatch};

use crate::{assert_words, builder, closed_database};

#[track_caller]
fn closed<T: std::fmt::Debug>(result: alluvium::Result<T>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert_words(&error, &["closed", "open it again"]);
}

/// Symptom: a snapshot taken after the close could be read, without the directory's lock.
/// Mechanism: only the reads of other handles asked whether the database is open. Fix: a snapshot
/// that could not keep the lock reads nothing.
#[test]
fn every_call_after_the_close_says_so() {
    let fs = closed_database();
    let db = builder(&fs).open().unwrap();
    let users = db.keyspace("users").unwrap();
    users.put("k", "v").unwrap();
    let clone = db.clone();
    db.close().unwrap();
    for db in [&db, &clone] {
        closed(db.put("k", "v"));
        closed(db.put_with("k", "v", Durability::Sync));
        closed(db.delete("k"));
        closed(db.delete_with("k", Durability::Sync));
        let mut batch = WriteBatch::new();
        closed(db.write(&WriteBatch::new()));
        batch.put_in(&users, "k", "v");
        closed(db.write(&batch));
        closed(db.get("a1"));
        closed(db.get_with("a1", |value| value.map(<[u8]>::len)));
        closed(db.range(..).next().unwrap());
        closed(db.prefix("a").next_back().unwrap());
        closed(db.keyspace("users"));
        closed(db.keyspace("new"));
        closed(db.drop_keyspace("users"));
        closed(db.sync());
        closed(db.flush());
        let snapshot = db.snapshot();
        closed(snapshot.get("a1"));
        closed(snapshot.of(&users).get("k"));
        closed(snapshot.range(..).next().unwrap());
        closed(snapshot.of(&users).range(..).next().unwrap());
        closed(snapshot.prefix("a").next().unwrap());
        // What needs no data still answers, and a second close is fine.
        assert_eq!(db.keyspaces(), ["default", "users"]);
        assert_eq!(db.path(), std::path::Path::new("db"));
        assert!(db.health().is_healthy());
        let _ = db.stats();
        db.close().unwrap();
    }
    closed(users.put("k", "v"));
    closed(users.delete("k"));
    closed(users.get("k"));
    closed(users.get_with("k", |value| value.is_some()));
    closed(users.range(..).next().unwrap());
    closed(users.prefix("").next().unwrap());
    // None of it is in the way of the next one.
    let again = builder(&fs).open().unwrap();
    assert_eq!(again.keyspace("users").unwrap().get("k").unwrap().unwrap(), "v");
}

/// Symptom: an iterator made from a snapshot after the close did not keep the lock. Mechanism: it
/// took the engine's own hold, which the close had given up. Fix: it takes the snapshot's.
#[test]
fn snapshots_and_iterators_outlive_the_close_and_keep_the_lock() {
    let fs = closed_database();
    // By the close, or by the last handle.
    for explicit in [true, false] {
        let db = builder(&fs).open().unwrap();
        db.put("in memory", "v").unwrap();
        let snapshot = db.snapshot();
        let other = db.snapshot().clone();
        let mut range = db.range(..);
        let mut of_snapshot = snapshot.range(..);
        assert_eq!(range.next().unwrap().unwrap().0, "a0");
        if explicit {
            db.close().unwrap();
        }
        drop(db);
        let locked = || assert!(matches!(builder(&fs).open(), Err(Error::Locked { .. })));
        locked();
        assert_eq!(snapshot.get("in memory").unwrap().unwrap(), "v");
        assert_eq!(snapshot.get("b7").unwrap().unwrap(), "b");
        let late = snapshot.range(..);
        assert_eq!(range.by_ref().rev().take(3).count(), 3);
        assert_eq!(range.map(Result::unwrap).count(), 17);
        locked();
        drop(snapshot);
        locked();
        assert_eq!(other.range(..).count(), 21);
        drop(other);
        locked();
        // Iterators of a snapshot outlive that, too, also if they are made after the close.
        assert_eq!(of_snapshot.next_back().unwrap().unwrap().0, "in memory");
        assert_eq!(of_snapshot.map(Result::unwrap).count(), 20);
        locked();
        assert_eq!(late.map(Result::unwrap).count(), 21);
        drop(builder(&fs).open().unwrap());
    }
}

#[test]
fn values_outlive_everything() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let large = vec![b'l'; 100_000];
    db.put("small", "s").unwrap();
    db.put("large", &large).unwrap();
    let from_memory = [db.get("small").unwrap().unwrap(), db.get("large").unwrap().unwrap()];
    db.flush().unwrap();
    let from_disk = [db.get("small").unwrap().unwrap(), db.get("large").unwrap().unwrap()];
    drop(db);
    drop(directory);
    for [small, long] in [from_memory, from_disk] {
        assert_eq!(small, "s");
        assert!(*long == *large);
    }
}

#[test]
fn the_last_handle_closes() {
    let fs = closed_database();
    let db = builder(&fs).open().unwrap();
    let users = db.keyspace("users").unwrap();
    drop(db);
    // A keyspace is a handle.
    assert!(matches!(builder(&fs).open(), Err(Error::Locked { .. })));
    users.put("k", "v").unwrap();
    drop(users);
    let db = builder(&fs).open().unwrap();
    assert_eq!(db.keyspace("users").unwrap().get("k").unwrap().unwrap(), "v");
    assert_eq!(db.stats().log_bytes_rewritten, 0, "the close has flushed");
}

#[test]
fn a_database_in_memory_is_gone_with_its_last_handle() {
    let db = Db::in_memory().unwrap();
    db.put("k", "v").unwrap();
    db.flush().unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
    db.close().unwrap();
    closed(db.get("k"));
    assert_eq!(Db::in_memory().unwrap().get("k").unwrap(), None::<alluvium::Value>);
}
