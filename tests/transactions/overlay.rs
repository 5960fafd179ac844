//! What a transaction sees: its snapshot with its own writes on top, against a map.

use std::collections::BTreeMap;

use alluvium::{Db, Keyspace, Transaction};
use fastrand::Rng;

use crate::{commits, open};

type Map = BTreeMap<String, String>;

const KEYS: u32 = 24;

fn key(rng: &mut Rng) -> String {
    format!("k{:02}", rng.u32(0..KEYS))
}

/// What the transaction sees of both keyspaces.
struct Model {
    maps: [Map; 2],
}

fn pairs(map: &Map, from: &str, to: &str) -> Vec<(String, String)> {
    if from > to {
        return Vec::new();
    }
    let range = map.range(from.to_owned()..to.to_owned());
    range.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn owned((key, value): (alluvium::Value, alluvium::Value)) -> (String, String) {
    let text = |bytes: alluvium::Value| String::from_utf8(bytes.into()).unwrap();
    (text(key), text(value))
}

/// Takes from both ends at random, seeks and writes now and then, and compares.
fn walk(rng: &mut Rng, tx: &Transaction, of: &Keyspace, map: &mut Map) {
    // What is left lies from `low` to before `high`.
    let mut low = key(rng);
    let mut high = key(rng);
    let after = |key: &str| format!("{key}\0");
    let mut range = tx.of(of).range(&low..&high);
    for _ in 0..rng.u32(1..60) {
        match rng.u32(0..12) {
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
            // Ahead of the front, behind the back, or in between: what is left is met.
            2..4 => write(rng, tx, of, map),
            4..9 => {
                let want = pairs(map, &low, &high).first().cloned();
                assert_eq!(range.next().transpose().unwrap().map(owned), want);
                let Some((key, _)) = want else { break };
                low = after(&key);
            }
            _ => {
                let want = pairs(map, &low, &high).last().cloned();
                assert_eq!(range.next_back().transpose().unwrap().map(owned), want);
                let Some((key, _)) = want else { break };
                high = key;
            }
        }
    }
}

fn check_reads(rng: &mut Rng, tx: &Transaction, of: &Keyspace, map: &Map) {
    let tx = tx.of(of);
    let keys: Vec<_> = (0..4).map(|_| key(rng)).collect();
    let want: Vec<_> = keys.iter().map(|key| map.get(key).map(|v| v.as_bytes().to_vec())).collect();
    let got = tx.multi_get(&keys).unwrap();
    assert_eq!(got.into_iter().map(|v| v.map(Vec::from)).collect::<Vec<_>>(), want);
    for (key, want) in keys.iter().zip(&want) {
        assert_eq!(tx.get(key).unwrap().map(Vec::from), *want);
        assert_eq!(tx.get_for_update(key).unwrap().map(Vec::from), *want);
        assert_eq!(tx.contains_key(key).unwrap(), want.is_some());
        let len = tx.get_with(key, |value| value.map(<[u8]>::len)).unwrap();
        assert_eq!(len, want.as_ref().map(Vec::len));
    }
    let all: Vec<_> = map.clone().into_iter().collect();
    let forward: Vec<_> = tx.range(..).map(|pair| owned(pair.unwrap())).collect();
    assert_eq!(forward, all);
    let mut backward: Vec<_> = tx.range(..).rev().map(|pair| owned(pair.unwrap())).collect();
    backward.reverse();
    assert_eq!(backward, all);
    assert_eq!(tx.first().unwrap().map(owned), all.first().cloned());
    assert_eq!(tx.last().unwrap().map(owned), all.last().cloned());
    assert_eq!(tx.len().unwrap(), all.len() as u64);
    assert_eq!(tx.is_empty().unwrap(), all.is_empty());
    let prefixed = all.iter().filter(|(key, _)| key.starts_with("k1")).count();
    assert_eq!(tx.prefix("k1").len().unwrap(), prefixed as u64);
}

fn write(rng: &mut Rng, tx: &Transaction, of: &Keyspace, map: &mut Map) {
    let key = key(rng);
    if rng.u32(0..3) == 0 {
        tx.of(of).delete(&key).unwrap();
        map.remove(&key);
    } else {
        let value = format!("{}", rng.u32(..));
        tx.of(of).put(&key, &value).unwrap();
        map.insert(key, value);
    }
}

fn one_transaction(rng: &mut Rng, db: &Db, keyspaces: &[Keyspace; 2], model: &mut Model) {
    let tx = db.transaction();
    let before = model.maps.clone();
    let mut savepoints = Vec::new();
    for _ in 0..rng.u32(1..20) {
        let which = rng.usize(0..2);
        let map = &mut model.maps[which];
        let of = &keyspaces[which];
        match rng.u32(0..10) {
            0..5 => write(rng, &tx, of, map),
            5 => walk(rng, &tx, of, map),
            6 => check_reads(rng, &tx, of, map),
            7 => savepoints.push((tx.savepoint(), model.maps.clone())),
            8 if !savepoints.is_empty() => {
                let at = rng.usize(0..savepoints.len());
                savepoints.truncate(at + 1);
                tx.rollback_to(&savepoints[at].0).unwrap();
                model.maps.clone_from(&savepoints[at].1);
            }
            _ => {
                // Others see nothing of it.
                assert_eq!(of.len().unwrap(), before[which].len() as u64);
            }
        }
    }
    for (of, map) in keyspaces.iter().zip(&model.maps) {
        check_reads(rng, &tx, of, map);
    }
    if rng.u32(0..4) == 0 {
        tx.rollback();
        model.maps = before;
    } else {
        commits(tx);
    }
}

#[test]
fn reads_see_the_snapshot_with_the_transactions_own_writes_on_top() {
    let mut steps = 0;
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let db = open();
        let keyspaces = [db.keyspace("default").unwrap(), db.keyspace("other").unwrap()];
        let mut model = Model { maps: Default::default() };
        for _ in 0..30 {
            one_transaction(&mut rng, &db, &keyspaces, &mut model);
            steps += 1;
            if rng.u32(0..8) == 0 {
                db.flush().unwrap();
            }
        }
        for (of, map) in keyspaces.iter().zip(&model.maps) {
            let all: Vec<_> = of.range(..).map(|pair| owned(pair.unwrap())).collect();
            assert_eq!(all, map.clone().into_iter().collect::<Vec<_>>());
        }
    }
    println!("{steps} transactions compared with a map");
}
