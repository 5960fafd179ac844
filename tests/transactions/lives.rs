//! How transactions begin and end: savepoints, closes, read-only and foreign handles.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use alluvium::io::SimFs;
use alluvium::{Db, Durability, Error, OnOverload, TransactionOptions};

use crate::{commits, conflicts, elsewhere, open, open_on, text, with};

#[test]
fn savepoints_undo_writes_and_keep_reads() {
    let db = open();
    db.put("a", "0").unwrap();
    let tx = db.transaction();
    tx.put("a", "1").unwrap();
    let first = tx.savepoint();
    tx.delete("a").unwrap();
    tx.put("b", "1").unwrap();
    let second = tx.savepoint();
    tx.put("b", "2").unwrap();
    assert_eq!(tx.get("read").unwrap(), None);
    tx.rollback_to(&second).unwrap();
    let values = || ["a", "b"].map(|key| text(tx.get(key).unwrap()));
    assert_eq!(values(), [None, Some("1".into())]);
    tx.rollback_to(&first).unwrap();
    assert_eq!(values(), [Some("1".into()), None]);
    assert!(matches!(tx.rollback_to(&second), Err(Error::InvalidArgument { .. })));
    // It can be gone back to again.
    tx.put("a", "3").unwrap();
    tx.rollback_to(&first).unwrap();
    assert_eq!(tx.get("a").unwrap().unwrap(), "1");
    let other = db.transaction();
    assert!(matches!(other.rollback_to(&first), Err(Error::InvalidArgument { .. })));
    db.put("read", "by then").unwrap();
    conflicts(tx, "read");
}

#[test]
fn a_commit_tells_its_sequence_and_takes_a_durability() {
    let sim = SimFs::new();
    let db = open_on(&sim);
    let tx = db.transaction();
    tx.put("a", "1").unwrap();
    tx.put("b", "1").unwrap();
    let syncs = db.stats().log_syncs;
    let sequence = tx.commit_with(Durability::Sync).unwrap();
    assert_eq!(sequence, db.snapshot().sequence());
    assert!(db.stats().log_syncs > syncs);
    let syncs = db.stats().log_syncs;
    let durable = TransactionOptions::new().durability(Durability::Sync);
    db.transact_with(durable, |tx| tx.put("c", "1")).unwrap();
    assert!(db.stats().log_syncs > syncs);
    // What was read is durable, too.
    db.put("d", "1").unwrap();
    let syncs = db.stats().log_syncs;
    let tx = db.transaction();
    tx.get("d").unwrap();
    assert_eq!(tx.commit_with(Durability::Sync).unwrap(), db.snapshot().sequence());
    assert!(db.stats().log_syncs > syncs);
}

#[test]
fn what_the_closure_returns_comes_back_and_its_error_gives_up() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Refused(u32),
        Engine,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Self::Engine
        }
    }
    let db = open();
    let refused = db.transact(|tx| {
        tx.put("k", "v")?;
        Err::<(), _>(Mine::Refused(7))
    });
    assert_eq!(refused.map(drop), Err(Mine::Refused(7)));
    assert_eq!(db.get("k").unwrap(), None);
    let answer = db.transact(|tx| {
        tx.put("k", "v")?;
        Ok::<_, Mine>(tx.len()?)
    });
    let answer = answer.unwrap();
    assert_eq!((answer.value, answer.sequence), (1, db.snapshot().sequence()));
    let too_long = db.transact(|tx| Ok::<_, Mine>(tx.put(vec![0; 70_000], "v")?));
    assert_eq!(too_long.map(drop), Err(Mine::Engine));
}

#[test]
fn after_the_close_reads_go_on_and_the_commit_fails() {
    let db = open();
    db.put("k", "v").unwrap();
    let tx = db.transaction();
    tx.put("w", "v").unwrap();
    db.close().unwrap();
    assert_eq!(tx.get("k").unwrap().unwrap(), "v");
    assert_eq!(tx.get("w").unwrap().unwrap(), "v");
    assert!(matches!(tx.put("x", "v"), Err(Error::Closed)));
    assert!(matches!(tx.commit(), Err(Error::Closed)));
    let tx = db.transaction();
    assert!(matches!(tx.get("k"), Err(Error::Closed)));
    assert!(matches!(db.transact(|tx| tx.put("k", "v")), Err(Error::Closed)));
}

#[test]
fn an_open_transaction_keeps_the_database_open() {
    let sim = SimFs::new();
    let db = open_on(&sim);
    let tx = db.transaction();
    drop(db);
    tx.put("k", "v").unwrap();
    commits(tx);
    let db = open_on(&sim);
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
    let tx = db.transaction();
    tx.put("k", "never").unwrap();
    drop(db);
    elsewhere(move || drop(tx));
    assert_eq!(open_on(&sim).get("k").unwrap().unwrap(), "v");
}

#[test]
fn a_database_opened_for_reading_has_transactions_that_read() {
    let sim = SimFs::new();
    let db = open_on(&sim);
    db.put("k", "v").unwrap();
    db.close().unwrap();
    drop(db);
    let builder = Db::builder(Path::new("/db")).fs(Arc::new(sim)).read_only(true);
    let db = builder.open().unwrap();
    let tx = db.transaction();
    assert_eq!(tx.get_for_update("k").unwrap().unwrap(), "v");
    assert!(matches!(tx.put("k", "w"), Err(Error::ReadOnly { .. })));
    commits(tx);
    assert_eq!(db.transact(|tx| tx.len()).unwrap().value, 1);
}

#[test]
fn a_keyspace_of_another_database_is_refused_by_each_verb() {
    let db = open();
    let other = open();
    let foreign = other.keyspace("foreign").unwrap();
    let tx = db.transaction();
    let of = tx.of(&foreign);
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{result:?}");
    };
    refused(of.get("k").map(drop));
    refused(of.get_for_update("k").map(drop));
    refused(of.get_with("k", |_| ()));
    refused(of.try_get("k").map(drop));
    refused(of.multi_get(["k"]).map(drop));
    refused(of.range(..).next().unwrap().map(drop));
    refused(of.len().map(drop));
    refused(of.put("k", "v"));
    refused(of.delete("k"));
    tx.put("k", "v").unwrap();
    commits(tx);
    assert!(other.is_empty().unwrap());
}

#[test]
fn keys_and_values_that_are_too_long_are_refused_at_once() {
    let db = open();
    let tx = db.transaction_with(with(alluvium::Isolation::Snapshot));
    assert!(matches!(tx.put(vec![0; 70_000], "v"), Err(Error::InvalidArgument { .. })));
    assert!(matches!(tx.delete(vec![0; 70_000]), Err(Error::InvalidArgument { .. })));
    tx.put("k", vec![7; 1 << 20]).unwrap();
    commits(tx);
    assert_eq!(db.get("k").unwrap().unwrap().len(), 1 << 20, "by a log of its own");
}

/// A close meets a transaction that holds what it reads, one that waits for its turn, and a put
/// that waits for the key: it waits for none of them, and each is told.
#[test]
fn a_close_ends_those_that_wait_for_their_turn() {
    let pace = OnOverload::Pace { stall_max: Duration::from_secs(3_600) };
    let builder = Db::builder("db").fs(Arc::new(SimFs::new())).on_overload(pace);
    let db = builder.open().unwrap();
    let (holds, held) = channel();
    let (closes, closed) = channel::<()>();
    let lose = |key: &'static str, then: &dyn Fn()| {
        let mut runs = 0;
        db.transact(|tx| {
            runs += 1;
            tx.get(key)?;
            match runs {
                ..=8 => drop(elsewhere(|| db.put(key, "rival"))?),
                _ => then(),
            }
            tx.put(key, "mine")
        })
    };
    std::thread::scope(|scope| {
        let lose = &lose;
        let db = &db;
        let first = scope.spawn(move || {
            lose("a", &|| {
                holds.send(()).unwrap();
                closed.recv().unwrap();
            })
        });
        held.recv().unwrap();
        let second = scope.spawn(move || lose("b", &|| ()));
        let put = scope.spawn(move || db.put("a", "put"));
        while db.stats().transaction_holds < 2 {
            std::thread::yield_now();
        }
        db.close().unwrap();
        assert!(matches!(second.join().unwrap(), Err(Error::Closed)));
        assert!(matches!(put.join().unwrap(), Err(Error::Closed)));
        closes.send(()).unwrap();
        assert!(matches!(first.join().unwrap(), Err(Error::Closed)));
    });
    assert_eq!(db.stats().transactions, 0);
}

#[test]
fn a_walk_and_a_savepoint_go_on_after_the_close() {
    let db = open();
    db.put("a", "1").unwrap();
    db.put("c", "3").unwrap();
    let tx = db.transaction();
    let savepoint = tx.savepoint();
    tx.put("b", "2").unwrap();
    let mut walk = tx.range(..);
    assert_eq!(walk.next().unwrap().unwrap().0, "a");
    db.close().unwrap();
    assert_eq!(walk.next().unwrap().unwrap().0, "b");
    assert_eq!(walk.next_back().unwrap().unwrap().0, "c");
    assert!(walk.next().is_none());
    drop(walk);
    tx.rollback_to(&savepoint).unwrap();
    assert_eq!(tx.len().unwrap(), 2);
    // Nothing is written any more.
    commits(tx);
}
