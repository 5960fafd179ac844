//! Many keys at once, whether a key is there, the ends, and iterators over one half.

use alluvium::{Db, Error, Keys, Range, TryGet, Value, Values, WriteBatch};

use crate::{small, small_blocks, text};

#[test]
fn many_keys_are_read_at_one_point_even_while_the_keys_are_being_drawn() {
    let (db, _) = small();
    db.put("a", "1").unwrap();
    db.put("b", "1").unwrap();
    // The iterator of keys writes between two keys, and moves what it wrote to disk.
    let keys = ["a", "b", "a"].into_iter().inspect(|_| {
        let mut batch = WriteBatch::new();
        batch.put("a", "2");
        batch.put("b", "2");
        db.write(&batch).unwrap();
        db.flush().unwrap();
    });
    let got: Vec<_> = db.multi_get(keys).unwrap().iter().map(|v| text(v.as_ref())).collect();
    assert_eq!(got, [Some("1".into()), Some("1".into()), Some("1".into())]);
    assert_eq!(text(db.get("b").unwrap().as_ref()), Some("2".into()));
    assert_eq!(db.multi_get(Vec::<String>::new()).unwrap(), []);
}

#[test]
fn first_and_last_see_through_tombstones_and_layers() {
    let (db, _) = small();
    let keyspace = small_blocks(&db, "k");
    for key in ["a", "b", "c"] {
        db.put(key, "old").unwrap();
        keyspace.put(key, "other").unwrap();
    }
    let before = db.snapshot();
    db.flush().unwrap();
    db.delete("a").unwrap();
    db.delete("c").unwrap();
    let only = |pair: Option<(Value, Value)>| pair.map(|(key, _)| text(Some(&key)).unwrap());
    assert_eq!(only(db.first().unwrap()), Some("b".into()));
    assert_eq!(only(db.last().unwrap()), Some("b".into()));
    assert_eq!(only(keyspace.first().unwrap()), Some("a".into()));
    assert_eq!(only(keyspace.last().unwrap()), Some("c".into()));
    assert_eq!(only(before.first().unwrap()), Some("a".into()));
    assert_eq!(only(before.last().unwrap()), Some("c".into()));
    assert_eq!(only(before.of(&keyspace).first().unwrap()), Some("a".into()));
    assert_eq!(only(before.of(&keyspace).last().unwrap()), Some("c".into()));
    db.delete("b").unwrap();
    assert_eq!(db.first().unwrap(), None);
    assert_eq!(db.last().unwrap(), None);
    assert!(!db.contains_key("b").unwrap() && before.contains_key("b").unwrap());
    assert!(keyspace.contains_key("b").unwrap());
    assert!(before.of(&keyspace).contains_key("b").unwrap());
}

/// Keys and values that differ in length, in memory and on disk.
fn filled() -> Db {
    let (db, _) = small();
    for i in 0..200 {
        db.put(format!("key{i:04}"), vec![b'v'; i * 7]).unwrap();
        if i % 50 == 49 {
            db.flush().unwrap();
        }
    }
    db
}

#[test]
fn keys_and_values_are_the_halves_of_a_range_from_both_ends() {
    let db = filled();
    let pairs: Vec<_> = db.range(..).map(Result::unwrap).collect();
    let mut keys: Vec<_> = db.range(..).keys().map(Result::unwrap).collect();
    let mut values: Vec<_> = db.range(..).values().map(Result::unwrap).collect();
    assert_eq!(pairs.len(), 200);
    assert!(pairs.iter().map(|pair| &pair.0).eq(&keys));
    assert!(pairs.iter().map(|pair| &pair.1).eq(&values));
    keys.reverse();
    values.reverse();
    assert!(db.range(..).keys().rev().map(Result::unwrap).eq(keys));
    assert!(db.range(..).values().rev().map(Result::unwrap).eq(values));
}

#[test]
fn a_seek_passes_over_blocks_without_reading_them() {
    let (db, sim) = small();
    for i in 0..1_000 {
        db.put(format!("key{i:04}"), vec![b'v'; 100]).unwrap();
    }
    db.flush().unwrap();
    // Flushed blocks are not in the cache: each that is looked at is read once.
    let before = sim.read_count();
    let mut range = db.range(..);
    range.next().unwrap().unwrap();
    range.seek("key0900");
    let (key, _) = range.next().unwrap().unwrap();
    assert_eq!(key, "key0900");
    range.seek_back("key0950");
    assert_eq!(range.next_back().unwrap().unwrap().0, "key0950");
    assert!(sim.read_count() - before <= 6, "{} reads", sim.read_count() - before);
    assert_eq!(range.count(), 49);
}

#[test]
fn halves_that_fail_end_and_a_seek_does_not_hide_it() {
    let db = filled();
    db.close().unwrap();
    let closed = |error: Option<Result<Value, Error>>| matches!(error, Some(Err(Error::Closed)));
    let mut keys: Keys = db.range(..).keys();
    let mut values: Values = db.range(..).values();
    for _ in 0..2 {
        assert!(closed(keys.next()) && keys.next_back().is_none());
        assert!(closed(values.next_back()) && values.next().is_none());
        keys.seek("a");
        values.seek_back("z");
    }
    let mut range: Range = db.range(..);
    range.seek("a");
    range.seek_back("z");
    assert!(matches!(range.next(), Some(Err(Error::Closed))));
}

#[test]
fn reads_of_a_dropped_keyspace_are_refused_but_not_through_an_older_snapshot() {
    let (db, _) = small();
    let keyspace = small_blocks(&db, "k");
    keyspace.put("a", "1").unwrap();
    let before = db.snapshot();
    db.drop_keyspace("k").unwrap();
    let dropped = |error: Error| matches!(error, Error::KeyspaceDropped { .. });
    assert!(dropped(keyspace.multi_get(["a"]).unwrap_err()));
    assert!(dropped(keyspace.contains_key("a").unwrap_err()));
    assert!(dropped(keyspace.first().unwrap_err()));
    assert!(dropped(keyspace.last().unwrap_err()));
    assert!(dropped(db.snapshot().of(&keyspace).multi_get(["a"]).unwrap_err()));
    assert_eq!(before.of(&keyspace).multi_get(["a"]).unwrap(), [Some("1")].map(|v| v.map(value)));
    assert_eq!(before.of(&keyspace).prefix("a").count(), 1);
    assert_eq!(before.of(&keyspace).get_with("a", |v| v.map(<[u8]>::len)).unwrap(), Some(1));
}

fn value(text: &str) -> Value {
    let db = Db::in_memory().unwrap();
    db.put("k", text).unwrap();
    db.get("k").unwrap().unwrap()
}

#[test]
fn a_get_that_must_not_wait_never_touches_the_disk() {
    let (db, sim) = small();
    let keyspace = small_blocks(&db, "k");
    for i in 0..100 {
        db.put(format!("key{i:04}"), format!("{i}")).unwrap();
        keyspace.put(format!("key{i:04}"), "other").unwrap();
    }
    db.flush().unwrap();
    db.delete("key0050").unwrap();
    db.put("key0051", "new").unwrap();
    let snapshot = db.snapshot();
    let reads = sim.read_count();
    assert_eq!(db.try_get("key0050").unwrap(), TryGet::Miss, "a tombstone in memory");
    assert_eq!(db.try_get("key0051").unwrap(), TryGet::Hit(value("new")));
    assert_eq!(db.try_get("key0010").unwrap(), TryGet::WouldRead);
    assert_eq!(keyspace.try_get("key0050").unwrap(), TryGet::WouldRead);
    assert_eq!(snapshot.try_get("key0010").unwrap(), TryGet::WouldRead);
    assert_eq!(db.try_get("before all").unwrap(), TryGet::Miss, "outside every segment");
    // A filter lets one absent key in a hundred through, and is asked for a thousand.
    let absent = |i: u32| db.try_get(format!("key0010.{i}")).unwrap();
    let misses = (0..1_000).filter(|&i| absent(i) == TryGet::Miss).count();
    assert!(misses > 900, "{misses}");
    assert_eq!(sim.read_count(), reads);
    // A get brings the block in, and then it is there for everyone.
    db.get("key0010").unwrap();
    keyspace.get("key0050").unwrap();
    let reads = sim.read_count();
    assert_eq!(db.try_get("key0010").unwrap(), TryGet::Hit(value("10")));
    assert_eq!(snapshot.try_get("key0010").unwrap(), TryGet::Hit(value("10")));
    assert_eq!(snapshot.of(&keyspace).try_get("key0050").unwrap(), TryGet::Hit(value("other")));
    assert_eq!(sim.read_count(), reads);
    db.drop_keyspace("k").unwrap();
    assert!(matches!(keyspace.try_get("a"), Err(Error::KeyspaceDropped { .. })));
    db.close().unwrap();
    assert!(matches!(db.try_get("a"), Err(Error::Closed)));
}

/// An iterator of keys that has ended is not asked again: the next key may not be meant, or not
/// come for long.
#[test]
fn keys_that_come_after_the_end_are_not_asked_for() {
    let (db, _) = small();
    db.put("a", "1").unwrap();
    for count in [0, 1, 16, 17] {
        let mut left = count;
        let mut ended = false;
        let keys = std::iter::from_fn(|| {
            assert!(!ended, "asked after the end");
            ended = left == 0;
            left = usize::saturating_sub(left, 1);
            (!ended).then_some("a")
        });
        assert_eq!(db.multi_get(keys).unwrap().len(), count);
    }
}

/// Groups of keys that take each step together find what each finds alone: in memtables, in runs
/// over one another, in blocks that are in memory and not, and nowhere.
#[test]
fn many_keys_are_found_together_as_each_is_alone() {
    for cache_bytes in [0, 64 << 20] {
        let builder = alluvium::Builder::temporary().compaction_threads(0);
        let db = builder.cache_bytes(cache_bytes).open().unwrap();
        let key = |n: u64| format!("key {n:06}");
        let keys = 3_000;
        for layer in 0..4 {
            let step = 1 + layer;
            for n in (0..keys).step_by(step as usize) {
                match (n + layer) % 7 {
                    0 => db.delete(key(n)).unwrap(),
                    1 => db.put(key(n), vec![layer as u8; 5_000]).unwrap(),
                    _ => db.put(key(n), format!("{n} of {layer}")).unwrap(),
                };
            }
            if layer < 3 {
                db.flush().unwrap();
            }
        }
        let old = db.snapshot();
        for n in (0..keys).step_by(5) {
            db.put(key(n), "newer").unwrap();
        }
        assert!(db.stats().runs >= 3);
        let mut random = fastrand::Rng::with_seed(5);
        for count in [0, 1, 2, 15, 16, 17, 100, 1_000] {
            // Some are not there, some come twice.
            let numbers: Vec<u64> = (0..count).map(|_| random.u64(0..keys + 500)).collect();
            let want: Vec<_> = numbers.iter().map(|&n| db.get(key(n)).unwrap()).collect();
            assert_eq!(db.multi_get(numbers.iter().map(|&n| key(n))).unwrap(), want);
            let want: Vec<_> = numbers.iter().map(|&n| old.get(key(n)).unwrap()).collect();
            assert_eq!(old.multi_get(numbers.iter().map(|&n| key(n))).unwrap(), want);
        }
    }
}

/// Versions of a key that fill several blocks, each seen by a snapshot.
#[test]
fn many_keys_are_found_behind_newer_versions_in_other_blocks() {
    let (db, _) = small();
    let keyspace = small_blocks(&db, "k");
    let moments: Vec<_> = (0..200)
        .map(|n| {
            for key in ["a", "b", "c"] {
                keyspace.put(key, format!("{key} {n}")).unwrap();
            }
            db.snapshot()
        })
        .collect();
    db.flush().unwrap();
    for (n, moment) in moments.iter().enumerate() {
        let got = moment.of(&keyspace).multi_get(["b", "a", "none", "c"]).unwrap();
        let got: Vec<_> = got.iter().map(|v| text(v.as_ref())).collect();
        let want = |key| Some(format!("{key} {n}"));
        assert_eq!(got, [want("b"), want("a"), None, want("c")]);
    }
}
