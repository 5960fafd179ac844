//! Memory of a transaction: bounded, and counted.

use alluvium::{Db, Error, TransactionOptions};

use crate::{commits, open};

fn bounded(bytes: usize) -> TransactionOptions {
    TransactionOptions::new().memory_bytes(bytes)
}

fn is_too_big<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::TransactionTooBig { bytes_max: 4096, .. }))
}

#[test]
fn a_transaction_that_is_full_refuses_more_and_commits_what_it_has() {
    let db = open();
    for i in 0..100 {
        db.put(format!("{i:03}"), "v").unwrap();
    }
    let tx = db.transaction_with(bounded(4096));
    assert!(is_too_big(tx.put("big", [0; 5000])));
    let written = (0..).take_while(|i| tx.put(format!("w{i}"), [0; 100]).is_ok()).count();
    assert!((10..30).contains(&written), "{written}");
    assert!(is_too_big(tx.put("another", [0; 1000])));
    assert!(is_too_big(tx.get([b'k'; 4000])));
    assert_eq!(tx.get("w0").unwrap().unwrap().len(), 100, "what it has written is there");
    tx.delete("w0").unwrap();
    commits(tx);
    assert_eq!(db.prefix("w").len().unwrap(), written as u64 - 1);
    assert_eq!(db.get("another").unwrap(), None);
    // Reads count, too; a walk is one entry however long.
    let tx = db.transaction_with(bounded(4096));
    assert!((0..100).map(|i| tx.get(format!("{i:03}"))).any(is_too_big));
    tx.rollback();
    let tx = db.transaction_with(bounded(4096));
    assert!(tx.len().unwrap() >= 100);
    for i in 0..100 {
        tx.get(format!("{i:03}")).unwrap();
    }
    tx.put("k", "v").unwrap();
    commits(tx);
}

/// Symptom: walks over empty ranges took any amount of memory. Mechanism: only a step that came to
/// a key looked whether there was too much. Fix: each looks first.
#[test]
fn ranges_count_though_they_are_empty() {
    let db = open();
    for backward in [false, true] {
        let tx = db.transaction_with(bounded(4096));
        let is_empty = |i: u32| {
            // Those that touch are one.
            let mut range = tx.prefix(format!("{:08}", i * 2));
            let first = if backward { range.next_back() } else { range.next() };
            first.transpose().map(|first| assert!(first.is_none()))
        };
        let walked = (0..1_000).take_while(|&i| is_empty(i).is_ok()).count();
        assert!((20..100).contains(&walked), "{walked}");
        assert!(is_too_big(is_empty(1_000)));
        // Told once, as any error of a range.
        let mut range = tx.range(..);
        assert!(is_too_big(range.next().transpose()) && range.next().is_none());
    }
}

/// Symptom: a range that a full transaction had ended left out a key when it went on. Mechanism:
/// the step was made, and its key thrown away for the error. Fix: the error comes before the step.
#[test]
fn a_range_goes_on_where_a_full_transaction_has_ended_it() {
    let db = open();
    for key in ["a", "b", "c"] {
        db.put(key, "").unwrap();
    }
    let tx = db.transaction_with(bounded(4096));
    let mut range = tx.range(.."d");
    let key = |pair: Option<Result<(alluvium::Value, _), Error>>| pair.unwrap().map(|it| it.0);
    assert_eq!(key(range.next()).unwrap(), "a");
    let here = tx.savepoint();
    // What undoes a write may take it past the bound.
    tx.put([b'x'; 1000], "").unwrap();
    tx.put([b'y'; 1000], "").unwrap();
    assert!(db.stats().transaction_bytes > 4096);
    assert!(is_too_big(key(range.next())));
    tx.rollback_to(&here).unwrap();
    range.seek("a");
    assert_eq!(key(range.next()).unwrap(), "b");
    assert_eq!(key(range.next_back()).unwrap(), "c");
    assert!(range.next().is_none());
}

#[test]
fn what_undoes_writes_counts_until_it_has_undone_them() {
    let db = open();
    let tx = db.transaction_with(bounded(4096));
    let here = tx.savepoint();
    let overwritten = (0..100).take_while(|_| tx.put("k", [0; 300]).is_ok()).count();
    assert!((5..20).contains(&overwritten), "{overwritten}");
    tx.rollback_to(&here).unwrap();
    assert_eq!(tx.get("k").unwrap(), None);
    assert_eq!(db.stats().transaction_bytes, 65, "what is left is the read");
    for _ in 0..5 {
        tx.put("k", [0; 300]).unwrap();
    }
    commits(tx);
}

#[test]
fn statistics_tell_of_open_transactions_and_what_they_hold() {
    let db = open();
    let counts = |db: &Db| {
        let stats = db.stats();
        (stats.transactions, stats.transaction_bytes, stats.snapshots)
    };
    assert_eq!(counts(&db), (0, 0, 0));
    let first = db.transaction();
    let second = db.transaction();
    first.put("k", [0; 100]).unwrap();
    second.get("k").unwrap();
    second.range(..).for_each(drop);
    let (open, bytes, snapshots) = counts(&db);
    assert_eq!((open, snapshots), (2, 2));
    assert!((200..600).contains(&bytes), "{bytes}");
    assert!(db.stats().to_string().contains("2 open"));
    commits(first);
    drop(second);
    assert_eq!(counts(&db), (0, 0, 0));
    assert_eq!(db.stats().transaction_commits, 1);
}
