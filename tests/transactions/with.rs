//! `Snapshot::with`: what a batch would make of a snapshot, against a map.

use std::collections::BTreeMap;
use std::iter::from_fn;

use alluvium::{Db, Error, Keyspace, Reader, Snapshot, TryGet, WriteBatch};
use fastrand::Rng;

use crate::open;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Bytes = Vec<u8>;

fn key(rng: &mut Rng) -> Bytes {
    format!("k{:02}", rng.u32(0..24)).into_bytes()
}

fn pair((key, value): (alluvium::Value, alluvium::Value)) -> (Bytes, Bytes) {
    (key.into(), value.into())
}

/// Takes from both ends at random, each time in another way, and seeks now and then.
fn walk(rng: &mut Rng, reader: &Reader, map: &Map) {
    // What is left lies from `low` to before `high`.
    let mut low = key(rng);
    let mut high = key(rng);
    let after = |key: &[u8]| [key, b"\0"].concat();
    let left = |low: &Bytes, high: &Bytes| -> Vec<(Bytes, Bytes)> {
        let within = map.iter().filter(|(key, _)| low <= key && *key < high);
        within.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut range = reader.range(&low..&high);
    for _ in 0..rng.u32(1..60) {
        let lent = rng.bool();
        let own = |lent: (&[u8], &[u8])| (lent.0.to_vec(), lent.1.to_vec());
        match rng.u32(0..10) {
            0 => {
                let to = key(rng);
                range.seek(&to);
                low = low.max(to);
            }
            1 => {
                let to = key(rng);
                range.seek_back(&to);
                high = high.min(after(&to));
            }
            2..6 => {
                let want = left(&low, &high).first().cloned();
                let got = match lent {
                    true => range.lend().transpose().unwrap().map(own),
                    false => range.next().transpose().unwrap().map(pair),
                };
                assert_eq!(got, want);
                let Some((key, _)) = want else { break };
                low = after(&key);
            }
            _ => {
                let want = left(&low, &high).last().cloned();
                let got = match lent {
                    true => range.lend_back().transpose().unwrap().map(own),
                    false => range.next_back().transpose().unwrap().map(pair),
                };
                assert_eq!(got, want);
                let Some((key, _)) = want else { break };
                high = key;
            }
        }
    }
    let mut halves = reader.range(..);
    let from = key(rng);
    let to = key(rng);
    halves.seek(&from);
    halves.seek_back(&to);
    let want = left(&from, &after(&to));
    let keys = reader.range(&from..=&to).keys().map(|key| Bytes::from(key.unwrap()));
    assert!(keys.eq(want.iter().map(|(key, _)| key.clone())));
    let values = halves.values().rev().map(|value| Bytes::from(value.unwrap()));
    assert!(values.eq(want.iter().rev().map(|(_, value)| value.clone())));
}

fn check_reads(rng: &mut Rng, reader: &Reader, map: &Map) {
    let keys: Vec<_> = (0..4).map(|_| key(rng)).collect();
    let got = reader.multi_get(&keys).unwrap();
    assert!(
        got.into_iter().map(|v| v.map(Bytes::from)).eq(keys.iter().map(|k| map.get(k).cloned()))
    );
    for key in &keys {
        let want = map.get(key).cloned();
        assert_eq!(reader.get(key).unwrap().map(Bytes::from), want);
        assert_eq!(reader.contains_key(key).unwrap(), want.is_some());
        assert_eq!(reader.get_with(key, |value| value.map(<[u8]>::to_vec)).unwrap(), want);
        match reader.try_get(key).unwrap() {
            TryGet::Hit(value) => assert_eq!(Some(value.into()), want),
            TryGet::Miss => assert_eq!(want, None),
            TryGet::WouldRead => {}
        }
    }
    let all: Vec<_> = map.clone().into_iter().collect();
    assert_eq!(reader.range(..).map(|kv| pair(kv.unwrap())).collect::<Vec<_>>(), all);
    let mut lent = reader.range(..);
    let backward = from_fn(|| {
        lent.lend_back().transpose().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec()))
    });
    assert!(backward.eq(all.iter().rev().cloned()));
    assert_eq!(reader.first().unwrap().map(pair), all.first().cloned());
    assert_eq!(reader.last().unwrap().map(pair), all.last().cloned());
    assert_eq!(reader.len().unwrap(), all.len() as u64);
    assert_eq!(reader.is_empty().unwrap(), all.is_empty());
    let prefixed = all.iter().filter(|(key, _)| key.starts_with(b"k1")).count();
    assert_eq!(reader.prefix("k1").len().unwrap(), prefixed as u64);
    walk(rng, reader, map);
}

/// Random operations, and what they make of the maps.
fn draw(rng: &mut Rng, keyspaces: &[Keyspace; 2], maps: &mut [Map; 2]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..rng.u32(0..16) {
        let which = rng.usize(0..2);
        let key = key(rng);
        if rng.u32(0..3) == 0 {
            batch.delete_in(&keyspaces[which], &key);
            maps[which].remove(&key);
        } else {
            let value = vec![b'v'; rng.usize(0..60)];
            batch.put_in(&keyspaces[which], &key, &value);
            maps[which].insert(key, value);
        }
    }
    batch
}

fn check_all(rng: &mut Rng, at: &Snapshot, keyspaces: &[Keyspace; 2], maps: &[Map; 2]) {
    check_reads(rng, at, &maps[0]);
    for (keyspace, map) in keyspaces.iter().zip(maps) {
        check_reads(rng, &at.of(keyspace), map);
    }
}

#[test]
fn reads_see_the_snapshot_with_the_batch_on_top() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let db = open();
        let keyspaces = [db.keyspace("default").unwrap(), db.keyspace("other").unwrap()];
        let mut maps = [Map::new(), Map::new()];
        for _ in 0..20 {
            let snapshot = db.snapshot();
            let before = maps.clone();
            let one = draw(&mut rng, &keyspaces, &mut maps);
            let with_one = snapshot.with(&one).unwrap();
            check_all(&mut rng, &with_one, &keyspaces, &maps);
            let after_one = maps.clone();
            let two = draw(&mut rng, &keyspaces, &mut maps);
            let with_both = with_one.with(&two).unwrap();
            // What it says is what the writes come to, and none of the three changes by them.
            db.write(&one).unwrap();
            db.write(&two).unwrap();
            if rng.u32(0..4) == 0 {
                db.flush().unwrap();
            }
            check_all(&mut rng, &with_both, &keyspaces, &maps);
            check_all(&mut rng, &with_one, &keyspaces, &after_one);
            check_all(&mut rng, &snapshot, &keyspaces, &before);
            check_all(&mut rng, &db.snapshot(), &keyspaces, &maps);
        }
    }
}

#[test]
fn what_is_added_later_is_not_seen_and_what_is_required_is_not_looked_at() {
    let db = open();
    let mut batch = WriteBatch::new();
    batch.require("never", Some(b"there"));
    batch.put("a", "1");
    let then = db.snapshot().with(&batch).unwrap();
    batch.put("b", "2");
    db.put("c", "3").unwrap();
    assert_eq!((then.len().unwrap(), then.get("a").unwrap().as_deref()), (1, Some(&b"1"[..])));
    // It may go to another thread, and outlive what it came from.
    drop(batch);
    let read = std::thread::spawn(move || then.range(..).next().transpose().unwrap().map(pair));
    assert_eq!(read.join().unwrap(), Some((b"a".to_vec(), b"1".to_vec())));
}

#[test]
fn a_batch_that_could_not_be_written_is_refused() {
    let db = open();
    let snapshot = db.snapshot();
    let mut batch = WriteBatch::new();
    batch.put(vec![0; 65_536], "");
    assert!(matches!(snapshot.with(&batch), Err(Error::InvalidArgument { .. })));
    let other = Db::in_memory().unwrap();
    batch.clear();
    batch.put_in(&other.keyspace("k").unwrap(), "a", "1");
    assert!(matches!(snapshot.with(&batch), Err(Error::InvalidArgument { .. })));
    let gone = db.keyspace("gone").unwrap();
    batch.clear();
    batch.put_in(&gone, "a", "1");
    let before = db.snapshot();
    db.drop_keyspace("gone").unwrap();
    let dropped = |error: Error| match error {
        Error::KeyspaceDropped { name, .. } => assert_eq!(name, "gone"),
        error => panic!("{error:?}"),
    };
    dropped(db.snapshot().with(&batch).unwrap().of(&gone).get("a").unwrap_err());
    // At a snapshot of before it is there.
    let then = before.with(&batch).unwrap();
    assert!(then.of(&gone).contains_key("a").unwrap());
    // One that the batch says nothing of is refused by its reads, as by those of any snapshot.
    batch.clear();
    batch.put("a", "1");
    let after = db.snapshot().with(&batch).unwrap();
    dropped(after.of(&gone).get("b").unwrap_err());
    dropped(after.of(&gone).multi_get(["b"]).unwrap_err());
    dropped(after.of(&gone).range(..).next().unwrap().unwrap_err());
    let foreign = after.of(&other.keyspace("k").unwrap()).get("a");
    assert!(matches!(foreign, Err(Error::InvalidArgument { .. })));
}

#[test]
fn reads_go_on_after_the_close_and_a_range_that_cannot_be_opened_says_why_once() {
    let db = open();
    db.put("a", "1").unwrap();
    let mut batch = WriteBatch::new();
    batch.put("b", "2");
    let snapshot = db.snapshot();
    let then = snapshot.with(&batch).unwrap();
    db.close().unwrap();
    assert_eq!(then.range(..).keys().len().unwrap(), 2);
    assert!(snapshot.with(&batch).is_ok());
    // One that was taken after the close reads nothing.
    let late = db.snapshot().with(&batch).unwrap();
    assert!(matches!(late.get("b"), Err(Error::Closed)));
    let mut range = late.range(..);
    assert!(matches!(range.next(), Some(Err(Error::Closed))));
    assert!(range.next().is_none() && range.next_back().is_none());
    range.seek("a");
    assert!(matches!(range.next_back(), Some(Err(Error::Closed))));
    assert!(matches!(late.range(..).len(), Err(Error::Closed)));
}
