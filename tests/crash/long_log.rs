//! A log that is long enough to be recovered in two halves, against a mirror.
//!
//! The halves differ in the families that their keys come from, so that what the keys of each have
//! in common differs too, and what they have in common together is less or nothing. One keyspace is
//! dropped in the second half and made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Keyspace, WriteBatch};

use crate::{Random, seeds};

const OPS: usize = 4_500;

/// Below it an open recovers a log in one part.
const PARTED_BYTES_MIN: usize = 1 << 20;

const KEYSPACES: [&str; 3] = ["default", "goes", "stays"];

/// What keys begin with: first, and from some eighth of the operations on.
struct Shape {
    first: &'static [&'static str],
    eighth: usize,
    then: &'static [&'static str],
}

/// What is recovered first or last is of one kind, and the other half a mix, but for the first of
/// them.
const SHAPES: [Shape; 5] = [
    Shape { first: FAMILIES, eighth: 4, then: FAMILIES },
    Shape { first: &["user:0"], eighth: 5, then: &["user:", "user:0/"] },
    Shape { first: &["user:"], eighth: 3, then: &["user:0"] },
    Shape { first: &["order:00/of/a/family/", "order:00"], eighth: 5, then: &["user:"] },
    Shape { first: &["", "user:000\0\0\0\0\0\0\0\0"], eighth: 3, then: &["user:000"] },
];

const FAMILIES: &[&str] = &["user:", "order:00", "", "\0", "order:00/of/a/family/"];

/// Every key that was ever written, with the value that it has, by keyspace.
type Mirror = BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

fn open(fs: &SimFs) -> Db {
    let builder = Db::builder("data").fs(Arc::new(fs.clone())).compaction_threads(0);
    let builder = builder.memtable_bytes(256 << 10).flush_bytes(64 << 20);
    builder.memory_bytes(128 << 20).sync_every(std::time::Duration::ZERO).open().unwrap()
}

/// One of few keys: many have several versions, and some begin as others end.
fn key(random: &mut Random, families: &[&str]) -> Vec<u8> {
    let family = *random.pick(families);
    match random.below(20) {
        0 => family.as_bytes().to_vec(),
        1 => [family.as_bytes(), &[0; 9][..random.below(10) as usize]].concat(),
        _ => format!("{family}{:04}", random.below(300)).into_bytes(),
    }
}

/// Writes a key to a keyspace, or deletes it there, and notes it.
fn one(
    random: &mut Random,
    (name, keyspace): (&'static str, &Keyspace),
    families: &[&str],
    batch: &mut WriteBatch,
    mirror: &mut Mirror,
) -> usize {
    let key = key(random, families);
    let value = (random.below(5) > 0).then(|| {
        let mut value = random.next().to_le_bytes().to_vec();
        value.resize(290, 7);
        value
    });
    match &value {
        Some(value) => batch.put_in(keyspace, &key, value),
        None => batch.delete_in(keyspace, &key),
    }
    let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
    mirror.entry(name).or_default().insert(key, value);
    bytes
}

/// What a process leaves that died with all of it in its log.
fn written(seed: u64, shape: &Shape) -> (SimFs, Mirror) {
    let fs = SimFs::new();
    let mut random = Random::new(seed);
    let db = open(&fs);
    let mut mirror = Mirror::new();
    let mut bytes = 0;
    let handle = |name| (name, db.keyspace(name).unwrap());
    let mut handles: Vec<_> = KEYSPACES.into_iter().map(handle).collect();
    let mut done = 0;
    for round in 0.. {
        if done >= OPS {
            break;
        }
        if round % 100 == 0 {
            // Behind the request for a spare log: without one a log would only grow.
            db.keyspace(&format!("barrier {round}")).unwrap();
        }
        let families = if 8 * done < shape.eighth * OPS { shape.first } else { shape.then };
        let mut batch = WriteBatch::new();
        for _ in 0..[1, 1, 1, 5][random.below(4) as usize] {
            let (name, keyspace) = &handles[random.below(handles.len() as u64) as usize];
            bytes += one(&mut random, (name, keyspace), families, &mut batch, &mut mirror);
            done += 1;
        }
        db.write(&batch).unwrap();
        let goes = handles.iter().position(|(name, _)| *name == "goes");
        if let Some(at) = goes
            && (OPS * 5 / 8..OPS * 6 / 8).contains(&done)
        {
            handles.remove(at);
            mirror.remove("goes");
            db.drop_keyspace("goes").unwrap();
        } else if goes.is_none() && done >= OPS * 6 / 8 {
            handles.push(handle("goes"));
        }
    }
    assert!(bytes > PARTED_BYTES_MIN, "{bytes} bytes are recovered in one part");
    (fs.crash(CrashMode::Process, seed), mirror)
}

fn check(db: &Db, mirror: &Mirror, what: &str) {
    for (name, keys) in mirror {
        let keyspace = db.keyspace(name).unwrap();
        let rows =
            |(key, value): &(alluvium::Value, alluvium::Value)| (key.to_vec(), value.to_vec());
        let found: Result<Vec<_>, _> = keyspace.range(..).collect();
        let found: Vec<_> = found.unwrap().iter().map(rows).collect();
        let live = keys.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        let want: Vec<_> = live.collect();
        assert!(found == want, "{what}, {name}: {} rows, not {}", found.len(), want.len());
        for (key, value) in keys {
            let found = keyspace.get(key).unwrap();
            let what = format!("{what}, {name}/{}", key.escape_ascii());
            assert_eq!(found.as_deref(), value.as_deref(), "{what}");
        }
    }
    let named: BTreeSet<_> = db.keyspaces().into_iter().collect();
    assert!(KEYSPACES.iter().all(|name| named.contains(*name)), "{what}: {named:?}");
}

#[test]
fn a_log_of_two_halves_is_recovered_as_it_was_written() {
    for seed in seeds() {
        println!("seed {seed}");
        for (number, shape) in SHAPES.iter().enumerate() {
            let what = |when| format!("seed {seed}, shape {number}, {when}");
            let (fs, mirror) = written(seed, shape);
            let logs = fs.files("data").into_iter().filter(|name| name.ends_with(".wal"));
            assert!(logs.count() > 5, "two of them are spares");
            let db = open(&fs);
            assert_eq!((db.stats().segments, db.stats().flushes), (0, 0), "all is in the log");
            check(&db, &mirror, &what("from the log"));
            // Once more, with an end record behind it, and then from a segment.
            let fs = fs.crash(CrashMode::Process, seed);
            drop(db);
            let db = open(&fs);
            check(&db, &mirror, &what("from the log again"));
            db.close().unwrap();
            drop(db);
            check(&open(&fs), &mirror, &what("after a close"));
        }
    }
}
