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
