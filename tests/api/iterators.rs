//! How iterators end: by an error, which comes once, or by there being no more; and exact counts.

use alluvium::{Db, Error, Keyspace, Range};

use crate::{small, small_blocks};

/// 200 keys on disk in small blocks, of which one in the middle is damaged.
fn damaged() -> (Db, Keyspace) {
    let (db, sim) = small();
    let keyspace = small_blocks(&db, "k");
    for i in 0..200 {
        keyspace.put(format!("{i:04}"), [b'v'; 50]).unwrap();
    }
    db.flush().unwrap();
    let segment = format!("/db/{:06}.seg", db.segments()[0].number);
    let bytes = sim.read_file(&segment).unwrap().len() as u64;
    assert!(sim.flip(&segment, bytes / 2, 4));
    (db, keyspace)
}

/// Symptom: `range(..).flatten().count()`, `filter(Result::is_ok).count()` and `keys().count()`
/// never ended on one damaged block or after the close. Mechanism: an iterator gave its error again
/// for each call. Fix: it gives it once, and both ends are at the end then.
#[track_caller]
fn ends_by_one_error(range: impl Fn() -> Range, good: usize) {
    let good_items = range().filter(Result::is_ok).count();
    assert_eq!(good_items, good);
    assert_eq!(range().flatten().count(), good);
    assert_eq!(range().rev().flatten().count(), range().rev().filter(Result::is_ok).count());
    assert_eq!(range().count(), good + 1);
    assert_eq!(range().keys().count(), good + 1);
    assert_eq!(range().keys().rev().filter(Result::is_err).count(), 1);
    assert_eq!(range().values().count(), good + 1);
    assert_eq!(range().values().filter(Result::is_err).count(), 1);
    // Whichever end meets it, the other one has ended, too.
    for from_the_front in [true, false] {
        let mut range = range();
        let mut draw = |front| if front { range.next() } else { range.next_back() };
        while draw(from_the_front).expect("an error before the end").is_ok() {}
        for front in [true, false, true] {
            assert!(draw(front).is_none());
        }
    }
    // What counts says so, and so does what is asked with `?`.
    range().len().unwrap_err();
    range().keys().len().unwrap_err();
    range().values().len().unwrap_err();
    range().collect::<Result<Vec<_>, _>>().unwrap_err();
}

#[test]
fn loops_over_a_damaged_block_end() {
    let (db, keyspace) = damaged();
    let good = keyspace.range(..).take_while(Result::is_ok).count();
    let snapshot = db.snapshot();
    assert!(0 < good && good < 200);
    ends_by_one_error(|| keyspace.range(..), good);
    ends_by_one_error(|| keyspace.prefix("0"), good);
    ends_by_one_error(|| snapshot.of(&keyspace).range(..), good);
    assert!(matches!(keyspace.len(), Err(Error::Corruption { .. })));
    assert!(matches!(snapshot.of(&keyspace).len(), Err(Error::Corruption { .. })));
    // What lies before it is not its concern.
    assert_eq!(keyspace.range(.."0010").len().unwrap(), 10);
    assert!(!keyspace.is_empty().unwrap() && !snapshot.of(&keyspace).is_empty().unwrap());
}

#[test]
fn loops_after_the_close_and_over_what_was_dropped_end() {
    let (db, _) = small();
    let keyspace = db.keyspace("gone").unwrap();
    db.drop_keyspace("gone").unwrap();
    ends_by_one_error(|| keyspace.range(..), 0);
    let snapshot = db.snapshot();
    ends_by_one_error(|| snapshot.of(&keyspace).range(..), 0);
    let (other, _) = small();
    ends_by_one_error(|| other.snapshot().of(&keyspace).range(..), 0);
    db.close().unwrap();
    ends_by_one_error(|| db.range(..), 0);
    ends_by_one_error(|| db.prefix("k"), 0);
    ends_by_one_error(|| db.snapshot().range(..), 0);
    keyspace.is_empty().unwrap_err();
}

/// After an error a seek begins again: behind the damage all keys come, and before it comes the
/// error again.
#[test]
fn a_seek_goes_on_after_an_error() {
    let (_db, keyspace) = damaged();
    let text = |key: alluvium::Value| String::from_utf8(key.to_vec()).unwrap();
    let mut keys = keyspace.range(..).keys();
    let mut got: Vec<_> = keys.by_ref().map_while(Result::ok).map(text).collect();
    assert!(keys.next().is_none());
    // A block has four keys or so.
    keys.seek(format!("{:04}", got.len()));
    assert!(keys.next().unwrap().is_err() && keys.next().is_none() && keys.next_back().is_none());
    let behind = got.len() + 10;
    keys.seek(format!("{behind:04}"));
    got.extend(keys.map(Result::unwrap).map(text));
    let want: Vec<_> = (0..200).map(|i| format!("{i:04}")).collect();
    let before = behind - 10;
    assert_eq!(got, [&want[..before], &want[behind..]].concat());
    // The same from the back.
    let mut range = keyspace.range(..);
    while range.next_back().unwrap().is_ok() {}
    assert!(range.next_back().is_none() && range.next().is_none());
    range.seek_back("0010");
    assert_eq!(range.map(|pair| text(pair.unwrap().0)).collect::<Vec<_>>(), want[..11]);
    // There is nothing to go on with after the close, and that is said again.
    _db.close().unwrap();
    let mut closed = _db.range(..);
    assert!(closed.next().unwrap().is_err() && closed.next().is_none());
    closed.seek("k");
    assert!(closed.next().unwrap().is_err() && closed.next_back().is_none());
}

#[test]
fn a_count_is_of_what_a_reader_sees() {
    let (db, _) = small();
    let keyspace = db.keyspace("k").unwrap();
    assert!(db.is_empty().unwrap() && keyspace.is_empty().unwrap());
    for i in 0..100 {
        db.put(format!("{i:02}"), "old").unwrap();
        db.put(format!("{i:02}"), "new").unwrap();
    }
    db.flush().unwrap();
    let before = db.snapshot();
    for i in 50..100 {
        db.delete(format!("{i:02}")).unwrap();
    }
    keyspace.put("only", "").unwrap();
    assert_eq!((db.len().unwrap(), before.len().unwrap()), (50, 100));
    assert_eq!((keyspace.len().unwrap(), before.of(&keyspace).len().unwrap()), (1, 0));
    assert!(before.of(&keyspace).is_empty().unwrap() && !before.is_empty().unwrap());
    assert_eq!(db.range("10".."20").len().unwrap(), 10);
    assert_eq!(before.range("40"..="60").len().unwrap(), 21);
    assert!(db.range("50"..).is_empty().unwrap());
    let mut range = db.range(..);
    range.next().unwrap().unwrap();
    range.next_back().unwrap().unwrap();
    assert_eq!(range.len().unwrap(), 48);
}
