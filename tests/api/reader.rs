//! [`Reader`] apart from the handle that it came from.

use alluvium::{Db, Error, Keyspace, Reader, Snapshot, Value, WriteBatch};

use crate::small;

#[test]
fn handles_go_to_any_thread() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    anywhere::<Db>();
    anywhere::<Keyspace>();
    anywhere::<Reader>();
    anywhere::<Snapshot>();
    anywhere::<Value>();
    anywhere::<WriteBatch>();
    anywhere::<Error>();
}

#[test]
fn a_reader_of_now_keeps_no_database_open() {
    let (db, _) = small();
    db.put("k", "1").unwrap();
    let users = db.keyspace("users").unwrap();
    let reader: Reader = Reader::clone(&users);
    let of_default: Reader = Reader::clone(&db);
    drop(users);
    assert_eq!(of_default.get("k").unwrap().as_deref(), Some(&b"1"[..]));
    drop(db);
    for reader in [reader, of_default] {
        assert!(matches!(reader.get("k"), Err(Error::Closed)));
        assert!(matches!(reader.range(..).next(), Some(Err(Error::Closed))));
    }
}

#[test]
fn a_reader_of_a_snapshot_keeps_the_snapshot() {
    let (db, _) = small();
    let users = db.keyspace("users").unwrap();
    users.put("ann", "1").unwrap();
    let snapshot = db.snapshot();
    let reader = snapshot.of(&users);
    drop(snapshot);
    users.put("ann", "2").unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    assert_eq!(db.stats().snapshots, 1);
    assert_eq!(reader.get("ann").unwrap().as_deref(), Some(&b"1"[..]));
    drop(reader);
    assert_eq!(db.stats().snapshots, 0);
}

/// It is written by reference: again, and by another database.
#[test]
fn a_batch_is_written_as_often_as_it_is_wanted() {
    let (db, _) = small();
    let mut batch = WriteBatch::new();
    batch.put("a", "1");
    batch.delete("b");
    let first = db.write(&batch).unwrap();
    db.put("a", "2").unwrap();
    db.put("b", "2").unwrap();
    let again = db.write(&batch).unwrap();
    assert!(again > first);
    assert_eq!(db.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(db.get("b").unwrap(), None);
    batch.put("c", "3");
    db.write(&batch.clone()).unwrap();
    assert_eq!(db.len().unwrap(), 2);
}
