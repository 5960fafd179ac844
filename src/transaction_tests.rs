//! What comes between a transaction's look at what it has read, and its place in the order: steps 1
//! and 3, with a hook between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::write::transaction::BETWEEN;
use crate::io::{Fs, SimFs};
use crate::sync::Arc;
use crate::{Db, Error, Isolation, Transaction, TransactionOptions};

/// Commits with `work` between the steps of each try, which gets how many were before. Returns how
/// many tries there were.
fn commit_with(tx: Transaction, mut work: impl FnMut(u32) + 'static) -> (Result<(), Error>, u32) {
    let tries = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tries);
    let hook = move || work(counted.replace(counted.get() + 1));
    let _ = BETWEEN.try_with(|between| between.replace(Some(Box::new(hook))));
    let committed = tx.commit().map(drop);
    let _ = BETWEEN.try_with(RefCell::take);
    (committed, tries.get())
}

fn open() -> Db {
    let fs: Arc<dyn Fs> = Arc::new(SimFs::new());
    let builder = Db::builder("/db").memtable_bytes(64 << 10).compaction_threads(0);
    let db = builder.flush_bytes(8 << 20).fs(fs).open().unwrap();
    for key in ["a", "b", "c"] {
        db.put(key, "0").unwrap();
    }
    db
}

/// One that has read `b`, and all from `p` to `q`.
fn begin(db: &Db) -> Transaction {
    let tx = db.transaction();
    tx.get("b").unwrap();
    assert_eq!(tx.range("p".."q").len().unwrap(), 0);
    tx.put("w", "v").unwrap();
    tx
}

#[track_caller]
fn is_conflict(result: Result<(), Error>, key: &str) {
    match result {
        Err(Error::Conflict { key: Some(found), .. }) => assert_eq!(found, key.as_bytes()),
        other => panic!("{other:?}"),
    }
}

/// Writes a key in the first try, and does something else with it.
fn first_try(db: &Db, key: &'static str, then: fn(&Db)) -> impl FnMut(u32) + 'static {
    let db = db.clone();
    move |times| {
        if times == 0 {
            db.put(key, "between").unwrap();
            then(&db);
        }
    }
}

fn flush(db: &Db) {
    db.flush().unwrap();
}

/// Several memtables, none of which is flushed.
fn seal(db: &Db) {
    for i in 0..8 {
        db.put(format!("fill {i}"), vec![0; 10 << 10]).unwrap();
    }
}

/// (I42)
#[test]
fn what_is_written_between_the_look_and_the_section_is_seen_in_the_section() {
    for then in [(|_| {}) as fn(&Db), seal, flush] {
        for key in ["b", "p1"] {
            let db = open();
            let (committed, tries) = commit_with(begin(&db), first_try(&db, key, then));
            is_conflict(committed, key);
            // The second look finds it, before the hook.
            assert_eq!((tries, db.get("w").unwrap()), (1, None));
        }
    }
}

#[test]
fn other_keys_that_are_written_between_do_not_count() {
    for then in [(|_| {}) as fn(&Db), seal] {
        let db = open();
        let (committed, tries) = commit_with(begin(&db), first_try(&db, "bb", then));
        committed.unwrap();
        assert_eq!(tries, 1);
    }
}

#[test]
fn a_flush_between_makes_it_look_again() {
    let db = open();
    let (committed, tries) = commit_with(begin(&db), first_try(&db, "bb", flush));
    committed.unwrap();
    assert_eq!((tries, db.stats().transaction_holds), (2, 0));
}

/// A flush between each look and the section, for as long as anything else may be written.
#[test]
fn after_eight_looks_in_vain_it_holds_what_it_has_read() {
    let db = open();
    let other = db.clone();
    let (committed, tries) = commit_with(begin(&db), move |times| {
        other.put(format!("n{times}"), "").unwrap();
        other.flush().unwrap();
    });
    committed.unwrap();
    assert_eq!((tries, db.stats().transaction_holds), (9, 1));
    assert_eq!(db.get("w").unwrap().unwrap(), "v");
}

/// More versions in memory than are looked at in the section.
#[test]
fn one_that_has_read_too_much_holds_it_if_anything_was_written_since() {
    for written in [false, true] {
        let db = open();
        for i in 0..100 {
            db.put(format!("p{i:02}"), "v").unwrap();
        }
        let tx = db.transaction();
        assert_eq!(tx.range("p".."q").len().unwrap(), 100);
        tx.put("w", "v").unwrap();
        let other = db.clone();
        let (committed, tries) = commit_with(tx, move |times| {
            if written && times == 0 {
                other.put("n", "").unwrap();
            }
        });
        committed.unwrap();
        let holds = db.stats().transaction_holds;
        assert_eq!((tries, holds), if written { (2, 1) } else { (1, 0) });
    }
}

/// Symptom: one that had found a hundred thousand ranges empty held up all writers for a tenth of a
/// second. Mechanism: a range without an entry took no step. Fix: to search for its start is one.
#[test]
fn ranges_that_are_empty_are_something_to_look_at() {
    let db = open();
    let tx = db.transaction();
    for i in (0..100).step_by(2) {
        assert!(tx.prefix(format!("p{i:02}")).is_empty().unwrap());
    }
    tx.put("w", "v").unwrap();
    let (committed, tries) = commit_with(tx, first_try(&db, "n", |_| {}));
    committed.unwrap();
    assert_eq!((tries, db.stats().transaction_holds), (2, 1));
}

/// What comes before the hold is found by the look that follows it.
#[test]
fn a_conflict_that_comes_before_the_hold_is_found_under_it() {
    let db = open();
    let other = db.clone();
    let (committed, tries) = commit_with(begin(&db), move |times| {
        other.put(if times < 7 { "n" } else { "p7" }, "").unwrap();
        other.flush().unwrap();
    });
    is_conflict(committed, "p7");
    assert_eq!(tries, 8);
}

#[test]
fn a_keyspace_that_is_dropped_between_is_a_conflict() {
    let db = open();
    let gone = db.keyspace("gone").unwrap();
    let tx = db.transaction();
    assert!(tx.of(&gone).is_empty().unwrap());
    tx.put("w", "v").unwrap();
    let other = db.clone();
    let drop_it = move |times| {
        if times == 0 {
            other.drop_keyspace("gone").unwrap();
        }
    };
    let (committed, tries) = commit_with(tx, drop_it);
    assert!(matches!(committed, Err(Error::Conflict { key: None, .. })), "{committed:?}");
    assert_eq!((tries, db.get("w").unwrap()), (1, None));
}

/// The cheaper level looks at what it writes.
#[test]
fn a_write_between_of_what_it_writes_is_a_conflict_on_the_cheaper_level() {
    let db = open();
    let tx = db.transaction_with(TransactionOptions::new().isolation(Isolation::Snapshot));
    tx.get("a").unwrap();
    tx.put("b", "v").unwrap();
    let (committed, tries) = commit_with(tx, first_try(&db, "b", |_| {}));
    is_conflict(committed, "b");
    assert_eq!(tries, 1);
}
