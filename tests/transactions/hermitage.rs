//! The anomalies that Hermitage (github.com/ept/hermitage) tries on databases, by their names
//! there, and what each level prevents.
//!
//! Two keys, `1` and `2`, which are 10 and 20. Where its tests have one transaction wait for the
//! lock of another, the later commit fails here.

use alluvium::Isolation::{Serializable, Snapshot};
use alluvium::{Db, Isolation, Transaction};

use crate::{commits, conflicts, open, text, with};

const LEVELS: [Isolation; 2] = [Serializable, Snapshot];

/// The database, and three transactions of that level that begin now.
fn setup(level: Isolation) -> (Db, [Transaction; 3]) {
    let db = open();
    db.put("1", "10").unwrap();
    db.put("2", "20").unwrap();
    let begin = |()| db.transaction_with(with(level));
    let transactions = [(), (), ()].map(begin);
    (db, transactions)
}

fn set(tx: &Transaction, key: &str, value: &str) {
    // As an UPDATE, which reads.
    assert!(tx.get_for_update(key).unwrap().is_some());
    tx.put(key, value).unwrap();
}

fn get(tx: &Transaction, key: &str) -> String {
    text(tx.get(key).unwrap()).unwrap()
}

/// The values of the transaction's keys that `predicate` holds for.
fn select(tx: &Transaction, predicate: fn(u32) -> bool) -> Vec<u32> {
    let values = tx.range(..).map(|pair| text(Some(pair.unwrap().1)).unwrap().parse().unwrap());
    values.filter(|value| predicate(*value)).collect()
}

#[track_caller]
fn both_are(db: &Db, first: &str, second: &str) {
    let values = ["1", "2"].map(|key| text(db.get(key).unwrap()).unwrap());
    assert_eq!(values, [first, second]);
}

/// Write cycles.
#[test]
fn g0_is_prevented_by_both() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        set(&t1, "1", "11");
        set(&t2, "1", "12");
        set(&t1, "2", "21");
        commits(t1);
        both_are(&db, "11", "21");
        set(&t2, "2", "22");
        conflicts(t2, "1");
        both_are(&db, "11", "21");
    }
}

/// Aborted reads.
#[test]
fn g1a_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        set(&t1, "1", "101");
        assert_eq!(get(&t2, "1"), "10");
        t1.rollback();
        assert_eq!(get(&t2, "1"), "10");
        commits(t2);
    }
}

/// Intermediate reads.
#[test]
fn g1b_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        set(&t1, "1", "101");
        assert_eq!(get(&t2, "1"), "10");
        set(&t1, "1", "11");
        commits(t1);
        assert_eq!(get(&t2, "1"), "10");
        commits(t2);
    }
}

/// Circular information flow.
#[test]
fn g1c_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        set(&t1, "1", "11");
        set(&t2, "2", "22");
        assert_eq!(get(&t1, "2"), "20");
        assert_eq!(get(&t2, "1"), "10");
        commits(t1);
        match level {
            // It would have to come before the first, which has not read it.
            Serializable => conflicts(t2, "1"),
            _ => drop(commits(t2)),
        }
    }
}

/// Observed transaction vanishes.
#[test]
fn otv_is_prevented_by_both() {
    for level in LEVELS {
        let (db, [t1, t2, t3]) = setup(level);
        set(&t1, "1", "11");
        set(&t1, "2", "19");
        set(&t2, "1", "12");
        commits(t1);
        assert_eq!(get(&t3, "1"), "10");
        set(&t2, "2", "18");
        assert_eq!(get(&t3, "2"), "20");
        conflicts(t2, "1");
        assert_eq!((get(&t3, "2"), get(&t3, "1")), ("20".into(), "10".into()));
        commits(t3);
        both_are(&db, "11", "19");
    }
}

/// Predicate-many-preceders.
#[test]
fn pmp_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        assert_eq!(select(&t1, |value| value == 30), []);
        t2.put("3", "30").unwrap();
        commits(t2);
        assert_eq!(select(&t1, |value| value % 3 == 0), []);
        commits(t1);
    }
}

/// The same by a write that goes by a predicate: all values grow by ten, those of 20 are deleted.
#[test]
fn pmp_of_writes_is_prevented_by_both() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        set(&t1, "1", "20");
        set(&t1, "2", "30");
        assert_eq!(select(&t2, |value| value == 20), [20]);
        t2.delete("2").unwrap();
        commits(t1);
        conflicts(t2, if level == Serializable { "1" } else { "2" });
        both_are(&db, "20", "30");
    }
}

/// Lost update.
#[test]
fn p4_is_prevented_by_both() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        let grown = |tx: &Transaction| (get(tx, "1").parse::<u32>().unwrap() + 1).to_string();
        t1.put("1", grown(&t1)).unwrap();
        t2.put("1", grown(&t2)).unwrap();
        commits(t1);
        conflicts(t2, "1");
        both_are(&db, "11", "20");
    }
}

/// Read skew.
#[test]
fn g_single_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        assert_eq!(get(&t1, "1"), "10");
        set(&t2, "1", "12");
        set(&t2, "2", "18");
        commits(t2);
        assert_eq!(get(&t1, "2"), "20");
        commits(t1);
    }
}

/// The same, seen by a predicate.
#[test]
fn g_single_by_a_predicate_is_prevented_by_both() {
    for level in LEVELS {
        let (_db, [t1, t2, _]) = setup(level);
        assert_eq!(select(&t1, |value| value % 5 == 0), [10, 20]);
        set(&t2, "1", "12");
        commits(t2);
        assert_eq!(select(&t1, |value| value % 3 == 0), []);
        commits(t1);
    }
}

/// The same by a write.
#[test]
fn g_single_by_a_write_is_prevented_by_both() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        assert_eq!(get(&t1, "1"), "10");
        set(&t2, "1", "12");
        set(&t2, "2", "18");
        commits(t2);
        assert_eq!(select(&t1, |value| value == 20), [20]);
        t1.delete("2").unwrap();
        conflicts(t1, if level == Serializable { "1" } else { "2" });
        both_are(&db, "12", "18");
    }
}

/// Write skew: the cheaper level has it, unless what is read is read for update.
#[test]
fn g2_item_is_prevented_by_serializable_alone() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        for tx in [&t1, &t2] {
            assert_eq!((get(tx, "1"), get(tx, "2")), ("10".into(), "20".into()));
        }
        t1.put("1", "11").unwrap();
        t2.put("2", "21").unwrap();
        commits(t1);
        match level {
            Serializable => conflicts(t2, "1"),
            _ => {
                commits(t2);
                both_are(&db, "11", "21");
            }
        }
    }
    let (_db, [t1, t2, _]) = setup(Snapshot);
    t1.get_for_update("2").unwrap();
    t2.get_for_update("1").unwrap();
    t1.put("1", "11").unwrap();
    t2.put("2", "21").unwrap();
    commits(t1);
    conflicts(t2, "1");
}

/// Anti-dependency cycles: each inserts what the other has looked for.
#[test]
fn g2_is_prevented_by_serializable_alone() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        for tx in [&t1, &t2] {
            assert_eq!(select(tx, |value| value % 3 == 0), []);
        }
        t1.put("3", "30").unwrap();
        t2.put("4", "42").unwrap();
        commits(t1);
        match level {
            Serializable => conflicts(t2, "3"),
            _ => drop(commits(t2)),
        }
        assert_eq!(db.contains_key("4").unwrap(), level == Snapshot);
    }
}

/// Two anti-dependencies and one that only reads: it may see the second without the first.
#[test]
fn g2_of_two_edges_is_prevented_by_serializable_alone() {
    for level in LEVELS {
        let (db, [t1, t2, _]) = setup(level);
        assert_eq!(select(&t1, |_| true), [10, 20]);
        let grown: u32 = get(&t2, "2").parse::<u32>().unwrap() + 5;
        t2.put("2", grown.to_string()).unwrap();
        commits(t2);
        let t3 = db.transaction_with(with(level));
        assert_eq!(select(&t3, |_| true), [10, 25]);
        commits(t3);
        t1.put("1", "0").unwrap();
        match level {
            Serializable => conflicts(t1, "2"),
            _ => drop(commits(t1)),
        }
    }
}
