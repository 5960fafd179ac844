//! Writes that depend on what is there: decided outside the commit section, checked inside.
//!
//! The interleavings that matter are made by hand: the closure of `update` runs between the read
//! and the write, so whatever it does comes between them.

use std::cell::Cell;

use alluvium::{CompareAndSwap, Db, Error, WriteBatch};

use crate::{text, tiny};

fn get(db: &Db, key: &str) -> Option<String> {
    text(db.get(key).unwrap().as_ref())
}

/// Appends to a value what comes after it, so that a lost update shows.
fn appended(now: Option<&[u8]>, more: &str) -> Option<Vec<u8>> {
    Some([now.unwrap_or_default(), more.as_bytes()].concat())
}

/// Changes a key, with `between` after the first read; `how` is the database's own `update`, or a
/// faulty one.
type Update = fn(&Db, &str, &mut Change<'_>);

/// What an update makes of a value.
type Change<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

fn real(db: &Db, key: &str, change: &mut Change<'_>) {
    db.update(key, change).unwrap();
}

/// What `k` is, and how often the closure ran, when `between` happens after its first read.
fn interleaved(how: Update, before: &dyn Fn(&Db), between: &dyn Fn(&Db)) -> (String, u32) {
    let (db, _) = tiny();
    before(&db);
    let runs = Cell::new(0);
    how(&db, "k", &mut |now| {
        runs.set(runs.get() + 1);
        if runs.get() == 1 {
            between(&db);
        }
        appended(now, "!")
    });
    (get(&db, "k").unwrap(), runs.get())
}

/// Every way in which a write can come between, with the memtable that has it in every place.
fn interleavings(how: Update) {
    #[track_caller]
    fn check(how: Update, before: &dyn Fn(&Db), between: &dyn Fn(&Db), want: (&str, u32)) {
        let (value, runs) = interleaved(how, before, between);
        assert_eq!((value.as_str(), runs), want, "an update was lost, or ran in vain");
    }
    let put = |db: &Db| db.put("k", "a").unwrap();
    let put_and_flush = |db: &Db| {
        put(db);
        db.flush().unwrap();
    };
    // Enough to seal the memtable several times, and too little for a flush.
    let fill = |db: &Db| (0..100).for_each(|i| db.put(format!("f{i}"), [0; 200]).unwrap());
    let nothing = |_: &Db| {};
    let newer = |db: &Db| db.put("k", "b").unwrap();
    check(how, &nothing, &nothing, ("!", 1));
    check(how, &put, &nothing, ("a!", 1));
    check(how, &put_and_flush, &nothing, ("a!", 1));
    check(how, &put, &newer, ("b!", 2));
    check(how, &put_and_flush, &newer, ("b!", 2));
    check(how, &put, &|db| (newer(db), fill(db)).0, ("b!", 2));
    check(how, &put, &|db| (newer(db), db.flush().unwrap()).0, ("b!", 2));
    check(how, &put, &|db| db.delete("k").unwrap(), ("!", 2));
    check(how, &nothing, &|db| (newer(db), fill(db), db.flush().unwrap()).0, ("b!", 2));
    // A version of the key may have gone to disk: it is read again, and is as it was.
    check(how, &put, &|db| (fill(db), db.flush().unwrap()).0, ("a!", 1));
    check(how, &put, &|db| (newer(db), put(db)).0, ("a!", 1));
    // Other keys, in the same memtable and in sealed ones, do not count.
    check(how, &put, &fill, ("a!", 1));
    // A big batch brings a memtable of its own.
    let big = |db: &Db| {
        let mut batch = WriteBatch::new();
        batch.put("k", "b");
        batch.put("z", [0; 20 << 10]);
        db.write(batch).unwrap();
    };
    check(how, &put, &big, ("b!", 2));
}

#[test]
fn nothing_comes_between_the_read_and_the_write_of_an_update() {
    interleavings(real);
}

/// The planted fault: an `update` that reads and then simply writes.
#[test]
#[should_panic(expected = "an update was lost")]
fn an_update_that_does_not_look_again_is_noticed() {
    interleavings(|db, key, change| {
        let now = db.get(key).unwrap();
        db.put(key, change(now.as_deref()).unwrap()).unwrap();
    });
}

#[test]
fn an_update_sets_deletes_and_leaves() {
    let (db, _) = tiny();
    assert_eq!(db.update("k", |now| appended(now, "a")).unwrap().unwrap(), "a");
    assert_eq!(db.update("k", |now| appended(now, "b")).unwrap().unwrap(), "ab");
    assert_eq!(db.update("k", |_| None).unwrap(), None);
    assert!(!db.contains_key("k").unwrap());
    let visible = db.stats().visible;
    assert_eq!(db.update("k", |_| None).unwrap(), None);
    assert_eq!(db.stats().visible, visible, "nothing to delete is nothing to write");
    // Larger than a memtable.
    let big = db.update("k", |_| Some(vec![b'x'; 100_000])).unwrap().unwrap();
    assert_eq!(big.len(), 100_000);
    let bigger = db.update("k", |now| appended(now, "y")).unwrap().unwrap();
    assert_eq!(bigger.len(), 100_001);
}

#[test]
fn a_swap_happens_only_where_the_key_is_as_expected() {
    let (db, _) = tiny();
    let keyspace = db.keyspace("k").unwrap();
    let check = |expected: Option<&[u8]>, new: Option<&[u8]>, want: Result<(), Option<&str>>| {
        for got in [
            db.compare_and_swap("k", expected, new).unwrap(),
            keyspace.compare_and_swap("k", expected, new).unwrap(),
        ] {
            match (got, want) {
                (CompareAndSwap::Swapped, Ok(())) => {}
                (CompareAndSwap::Mismatch(now), Err(want)) => {
                    assert_eq!(text(now.as_ref()).as_deref(), want);
                }
                (got, want) => panic!("{got:?}, not {want:?}"),
            }
        }
        db.flush().unwrap();
    };
    check(Some(b"a"), Some(b"b"), Err(None));
    check(None, None, Ok(()));
    check(None, Some(b"a"), Ok(()));
    check(None, Some(b"b"), Err(Some("a")));
    check(None, None, Err(Some("a")));
    check(Some(b""), None, Err(Some("a")));
    check(Some(b"a"), Some(b""), Ok(()));
    check(Some(b""), Some(b"c"), Ok(()));
    check(Some(b"c"), None, Ok(()));
    check(Some(b"c"), None, Err(None));
    assert!(!keyspace.contains_key("k").unwrap());
    assert!(keyspace.insert_if_absent("k", "1").unwrap());
    assert!(!keyspace.insert_if_absent("k", "2").unwrap());
    assert!(db.insert_if_absent("k", "3").unwrap(), "another keyspace");
    assert_eq!(
        text(keyspace.update("k", |now| appended(now, "+")).unwrap().as_ref()).unwrap(),
        "1+"
    );
}

#[test]
fn conditional_writes_are_refused_where_writes_are() {
    let (db, sim) = tiny();
    let keyspace = db.keyspace("k").unwrap();
    let long = vec![b'k'; 70_000];
    let result = db.update(&long, |_| panic!("not asked for a key that cannot be"));
    assert!(matches!(result, Err(Error::InvalidArgument { .. })));
    // Dropped between the read and the write.
    let result = keyspace.update("a", |_| {
        db.drop_keyspace("k").unwrap();
        Some(b"1".to_vec())
    });
    assert!(matches!(result, Err(Error::KeyspaceDropped { .. })));
    assert!(matches!(keyspace.insert_if_absent("a", "1"), Err(Error::KeyspaceDropped { .. })));
    db.close().unwrap();
    assert!(matches!(db.insert_if_absent("a", "1"), Err(Error::Closed)));
    drop((db, keyspace));
    let db = Db::builder("/db").fs(std::sync::Arc::new(sim)).read_only(true).open().unwrap();
    assert!(matches!(db.compare_and_swap("a", Some(b"x"), None), Err(Error::ReadOnly { .. })));
}

/// Symptom: an `update` whose `change` flushed, or wrote so much elsewhere that a flush came, never
/// ended. Mechanism: a flush of newer sequences refuses the write, since its key may be among them,
/// and `change` ran again, and flushed again. Fix: it runs again only if the value is another.
#[test]
fn a_change_that_flushes_runs_once() {
    let db = alluvium::Db::in_memory().unwrap();
    for old in [None, Some("old")] {
        old.into_iter().for_each(|old| db.put("k", old).unwrap());
        let mut runs = 0;
        let change = |now: Option<&[u8]>| {
            runs += 1;
            assert!(runs < 5, "it would run for ever");
            assert_eq!(now, old.map(str::as_bytes));
            db.put("other", "v").unwrap();
            db.flush().unwrap();
            Some(b"new".to_vec())
        };
        assert_eq!(db.update("k", change).unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!((runs, db.get("k").unwrap().as_deref()), (1, Some(&b"new"[..])));
    }
}
