//! What a transaction conflicts with, wherever the version that it has not seen lies by then.

use alluvium::{Db, Error, Isolation, Transaction, WriteBatch};

use crate::{commits, conflicts, elsewhere, open, with};

/// Brings what was written to its place.
type Settle = fn(&Db);

/// Where what others have written is when the transaction commits.
const PLACES: [(&str, Settle); 5] = [
    ("active", |_| {}),
    ("sealed", |db| fill(db)),
    ("flushed", |db| db.flush().unwrap()),
    ("flushed, then more", |db| {
        db.flush().unwrap();
        fill(db);
    }),
    ("merged", |db| db.compact().unwrap()),
];

/// Seals the memtable several times, with keys that nobody reads.
fn fill(db: &Db) {
    let fill = db.keyspace("fill").unwrap();
    for i in 0..60 {
        fill.put(format!("{i}"), [0; 200]).unwrap();
    }
}

/// What a transaction reads, what others do then, and the key that it has to conflict about, if it
/// has to.
struct Case {
    name: &'static str,
    reads: fn(&Transaction),
    others: fn(&Db),
    conflict: Option<&'static str>,
}

fn put(db: &Db, key: &str) {
    db.put(key, "other").unwrap();
}

/// Walks over a few.
fn take(
    range: impl Iterator<Item = alluvium::Result<(alluvium::Value, alluvium::Value)>>,
    n: usize,
) {
    range.take(n).for_each(|pair| drop(pair.unwrap()));
}

fn case(
    name: &'static str,
    reads: fn(&Transaction),
    others: fn(&Db),
    conflict: Option<&'static str>,
) -> Case {
    Case { name, reads, others, conflict }
}

fn cases() -> impl Iterator<Item = Case> {
    [keys(), ranges(), walks(), rest()].into_iter().flatten()
}

fn keys() -> Vec<Case> {
    vec![
        case("nothing comes", |tx| drop(tx.get("c").unwrap()), |_| {}, None),
        case("a key", |tx| drop(tx.get("c").unwrap()), |db| put(db, "c"), Some("c")),
        case("another key", |tx| drop(tx.get("c").unwrap()), |db| put(db, "d"), None),
        case("a deletion", |tx| drop(tx.get("c").unwrap()), |db| drop(db.delete("c")), Some("c")),
        case("an absent key", |tx| drop(tx.get("x").unwrap()), |db| put(db, "x"), Some("x")),
        case(
            "asked for",
            |tx| assert!(!tx.contains_key("x").unwrap()),
            |db| put(db, "x"),
            Some("x"),
        ),
        case(
            "one of many",
            |tx| drop(tx.multi_get(["a", "x", "c"]).unwrap()),
            |db| put(db, "x"),
            Some("x"),
        ),
        case("lent", |tx| tx.get_with("c", |_| ()).unwrap(), |db| put(db, "c"), Some("c")),
    ]
}

fn ranges() -> Vec<Case> {
    vec![
        case("a phantom", |tx| drop(tx.range("b".."f").len()), |db| put(db, "cc"), Some("cc")),
        case("its last", |tx| drop(tx.range("b"..="f").len()), |db| put(db, "f"), Some("f")),
        case("behind its end", |tx| drop(tx.range("b".."f").len()), |db| put(db, "f"), None),
        case("before it", |tx| drop(tx.range("b".."f").len()), |db| put(db, "aa"), None),
        case(
            "deleted in it",
            |tx| drop(tx.range("b".."f").len()),
            |db| drop(db.delete("c")),
            Some("c"),
        ),
        case("all of it", |tx| drop(tx.len()), |db| put(db, "zz"), Some("zz")),
        case("a prefix", |tx| drop(tx.prefix("c").len()), |db| put(db, "cx"), Some("cx")),
        case("walked", |tx| take(tx.range("b"..), 2), |db| put(db, "bb"), Some("bb")),
        case("not walked", |tx| take(tx.range("b"..), 2), |db| put(db, "cc"), None),
        case("backward", |tx| take(tx.range(..).rev(), 1), |db| put(db, "e"), Some("e")),
        case("behind all", |tx| take(tx.range(..).rev(), 1), |db| put(db, "zz"), Some("zz")),
        case("not as far back", |tx| take(tx.range(..).rev(), 1), |db| put(db, "d"), None),
    ]
}

fn walks() -> Vec<Case> {
    vec![
        case(
            "both ends",
            |tx| {
                let mut range = tx.range(..);
                range.next().unwrap().unwrap();
                range.next_back().unwrap().unwrap();
            },
            |db| put(db, "c"),
            None,
        ),
        case(
            "passed over",
            |tx| {
                let mut range = tx.range(..);
                range.next().unwrap().unwrap();
                range.seek("d");
                range.next().unwrap().unwrap();
            },
            |db| put(db, "c"),
            None,
        ),
        case(
            "where it went on",
            |tx| {
                let mut range = tx.range(..);
                range.seek("cc");
                assert_eq!(range.next().unwrap().unwrap().0, "d");
            },
            |db| put(db, "cd"),
            Some("cd"),
        ),
        case(
            "forgotten",
            |tx| {
                let mut range = tx.range(..);
                range.next().unwrap().unwrap();
                std::mem::forget(range);
            },
            |db| put(db, "a"),
            Some("a"),
        ),
    ]
}

fn rest() -> Vec<Case> {
    vec![
        case("the first", |tx| drop(tx.first().unwrap()), |db| put(db, "0"), Some("0")),
        case("the last", |tx| drop(tx.last().unwrap()), |db| put(db, "zz"), Some("zz")),
        case("snapshot only", |tx| drop(tx.snapshot().get("c")), |db| put(db, "c"), None),
        case(
            "its own write",
            |tx| {
                tx.put("c", "own").unwrap();
                assert_eq!(tx.get("c").unwrap().unwrap(), "own");
            },
            |db| put(db, "c"),
            None,
        ),
        case(
            "in a batch",
            |tx| drop(tx.get("c").unwrap()),
            |db| {
                let mut batch = WriteBatch::new();
                batch.put("other", "");
                batch.put("c", vec![0; 64 << 10]);
                db.write(&batch).unwrap();
            },
            Some("c"),
        ),
        case(
            "back to what it was",
            |tx| drop(tx.get("c").unwrap()),
            |db| {
                put(db, "c");
                db.put("c", "c").unwrap();
            },
            Some("c"),
        ),
    ]
}

fn before() -> Db {
    let db = open();
    for key in ["a", "b", "c", "d", "e"] {
        db.put(key, key).unwrap();
    }
    db
}

/// (I42)
#[test]
fn a_version_that_was_not_seen_is_a_conflict_wherever_it_lies() {
    let mut done = 0;
    for (place, settle) in PLACES {
        for flushed in [false, true] {
            for Case { name, reads, others, conflict } in cases() {
                let db = before();
                if flushed {
                    db.flush().unwrap();
                }
                let tx = db.transaction();
                reads(&tx);
                tx.put("written", name).unwrap();
                others(&db);
                settle(&db);
                let sequence = db.snapshot().sequence();
                match conflict {
                    Some(key) => {
                        println!("{place}, {name}");
                        conflicts(tx, key);
                        assert_eq!(db.snapshot().sequence(), sequence, "something was written");
                        assert!(!db.contains_key("written").unwrap());
                    }
                    None => {
                        let committed = tx.commit();
                        assert!(committed.is_ok(), "{place}, {name}: {committed:?}");
                        assert_eq!(db.get("written").unwrap().unwrap(), name);
                    }
                }
                done += 1;
            }
        }
    }
    println!("{done} commits");
}

/// Put and deleted while nobody could see it: merges leave nothing of it, and the key is absent as
/// it was.
#[test]
fn what_came_and_went_unseen_may_or_may_not_conflict_but_never_shows() {
    let db = before();
    let tx = db.transaction();
    assert_eq!(tx.get("x").unwrap(), None);
    put(&db, "x");
    db.delete("x").unwrap();
    db.compact().unwrap();
    tx.put("written", "v").unwrap();
    assert_eq!(tx.get("x").unwrap(), None);
    match tx.commit() {
        Ok(_) => assert!(db.contains_key("written").unwrap()),
        Err(Error::Conflict { key, .. }) => assert_eq!(key.unwrap(), b"x"),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(db.get("x").unwrap(), None);
}

#[test]
fn a_flush_and_a_merge_that_overtake_a_transaction_do_not_make_it_fail() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let db = before();
        let tx = db.transaction_with(with(isolation));
        assert_eq!(tx.get_for_update("c").unwrap().unwrap(), "c");
        assert_eq!(tx.range("d"..).len().unwrap(), 2);
        for i in 0..5 {
            db.put(format!("0{i}"), [b'v'; 3000]).unwrap();
            db.flush().unwrap();
        }
        db.compact().unwrap();
        tx.put("c", "new").unwrap();
        commits(tx);
        assert_eq!(db.get("c").unwrap().unwrap(), "new");
    }
}

#[test]
fn the_cheaper_level_looks_at_what_is_written_and_asked_for() {
    let db = before();
    let begin = || db.transaction_with(with(Isolation::Snapshot));
    let tx = begin();
    tx.get("a").unwrap();
    tx.len().unwrap();
    tx.put("b", "new").unwrap();
    put(&db, "a");
    put(&db, "cc");
    commits(tx);
    let tx = begin();
    tx.delete("b").unwrap();
    put(&db, "b");
    conflicts(tx, "b");
    let tx = begin();
    tx.get_for_update("a").unwrap();
    tx.put("b", "new").unwrap();
    put(&db, "a");
    conflicts(tx, "a");
}

#[test]
fn one_that_only_reads_conflicts_only_about_what_it_asked_for() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let db = before();
        let tx = db.transaction_with(with(isolation));
        tx.get("a").unwrap();
        tx.len().unwrap();
        put(&db, "a");
        let at = tx.snapshot().sequence();
        assert_eq!(commits(tx), at);
        let tx = db.transaction_with(with(isolation));
        tx.get_for_update("a").unwrap();
        put(&db, "a");
        conflicts(tx, "a");
    }
}

#[test]
fn one_that_only_writes_conflicts_with_nobody() {
    let db = before();
    let tx = db.transaction();
    tx.put("a", "tx").unwrap();
    put(&db, "a");
    let sequence = commits(tx);
    assert_eq!(sequence, db.snapshot().sequence());
    assert_eq!(db.get("a").unwrap().unwrap(), "tx");
}

#[test]
fn a_keyspace_that_was_dropped_is_a_conflict_for_its_readers() {
    for empty in [false, true] {
        let db = before();
        let gone = db.keyspace("gone").unwrap();
        if !empty {
            gone.put("k", "v").unwrap();
        }
        let tx = db.transaction();
        assert_eq!(tx.of(&gone).get("k").unwrap().is_none(), empty);
        tx.put("written", "v").unwrap();
        elsewhere(|| db.drop_keyspace("gone").unwrap());
        assert_eq!(tx.of(&gone).get("k").unwrap().is_none(), empty, "the snapshot is older");
        match tx.commit() {
            Err(Error::Conflict { keyspace, key: None, .. }) => {
                assert_eq!(keyspace.as_deref(), Some("gone"));
            }
            other => panic!("{other:?}"),
        }
        let tx = db.transaction();
        assert!(matches!(tx.of(&gone).get("k"), Err(Error::KeyspaceDropped { .. })));
        assert!(matches!(tx.of(&gone).put("k", "v"), Err(Error::KeyspaceDropped { .. })));
        tx.put("written", "v").unwrap();
        commits(tx);
        let other = db.keyspace("gone").unwrap();
        let tx = db.transaction();
        tx.of(&other).put("k", "v").unwrap();
        db.drop_keyspace("gone").unwrap();
        assert!(matches!(tx.commit(), Err(Error::KeyspaceDropped { .. })));
    }
}

#[test]
fn a_conflict_says_what_it_is_about() {
    let db = before();
    let users = db.keyspace("users").unwrap();
    let tx = db.transaction();
    tx.of(&users).get("ann").unwrap();
    tx.put("k", "v").unwrap();
    users.put("ann", "1").unwrap();
    let error = tx.commit().unwrap_err();
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(
        text.contains("b\"ann\"") && text.contains("\"users\"") && text.contains("again"),
        "{text}"
    );
    let stats = db.stats();
    assert_eq!((stats.transaction_conflicts, stats.transaction_commits), (1, 0));
}
