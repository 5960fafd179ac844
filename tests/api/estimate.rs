//! Estimates of size and length, against what is there and the bounds that are promised.

use std::ops::Bound;

use alluvium::{Error, Keyspace};

use crate::{small, small_blocks};

/// What `keyspace` holds between two keys, in bytes of keys and values, and how many keys.
fn exact(keyspace: &Keyspace, bounds: (Bound<String>, Bound<String>)) -> (u64, u64) {
    let pairs = keyspace.range(bounds).map(Result::unwrap);
    pairs.fold((0, 0), |(bytes, keys), (key, value)| {
        (bytes + (key.len() + value.len()) as u64, keys + 1)
    })
}

#[test]
fn a_size_is_never_too_small_and_too_large_by_two_blocks_a_run_at_most() {
    let (db, _) = small();
    let others = [small_blocks(&db, "before"), small_blocks(&db, "k")];
    let after = small_blocks(&db, "after");
    let keyspace = &others[1];
    const RUNS: usize = 3;
    for run in 0..RUNS {
        for i in (run..900).step_by(RUNS) {
            keyspace.put(format!("key{i:04}"), vec![b'v'; i % 70]).unwrap();
            others[0].put(format!("key{i:04}"), vec![b'x'; i % 70]).unwrap();
            after.put(format!("key{i:04}"), vec![b'x'; i % 70]).unwrap();
        }
        db.flush().unwrap();
    }
    let bound = |i: Option<usize>, included: bool| match (i, included) {
        (None, _) => Bound::Unbounded,
        (Some(i), true) => Bound::Included(format!("key{i:04}")),
        (Some(i), false) => Bound::Excluded(format!("key{i:04}")),
    };
    let places = [None, Some(0), Some(1), Some(450), Some(451), Some(899), Some(2_000)];
    for from in places {
        for to in places {
            for included in [false, true] {
                let bounds = (bound(from, included), bound(to, included));
                let got = keyspace.approximate_size(bounds.clone()).unwrap();
                let (want, keys) = exact(keyspace, bounds.clone());
                // Headers, offsets and sequences take about ten bytes an entry and 100 a block.
                let most = want + keys * 20 + want / 2 + (2 * RUNS as u64) * 500;
                assert!(got >= want && got <= most, "{bounds:?}: {got}, not {want} to {most}");
            }
        }
    }
    let len = keyspace.approximate_len().unwrap();
    assert!((850..=950).contains(&len), "{len} of 900, in segments that three keyspaces share");
    assert_eq!(db.approximate_len().unwrap(), 0);
    assert_eq!(db.approximate_size(..).unwrap(), 0);
}

#[test]
fn estimates_read_nothing_from_the_disk() {
    let (db, sim) = small();
    for i in 0..500 {
        db.put(format!("key{i:04}"), [b'v'; 100]).unwrap();
    }
    db.flush().unwrap();
    let reads = sim.read_count();
    assert_eq!(db.approximate_len().unwrap(), 500);
    assert!(db.approximate_size("key0100".."key0200").unwrap() >= 100 * 107);
    assert_eq!(sim.read_count(), reads);
}

#[test]
fn versions_and_tombstones_count_in_memory_and_on_disk() {
    let (db, _) = small();
    for _ in 0..2 {
        db.put("a", "1").unwrap();
        db.put("a", "2").unwrap();
        db.delete("b").unwrap();
        let before = db.approximate_len().unwrap();
        assert!(before >= 3);
        db.flush().unwrap();
        assert!(db.approximate_len().unwrap() <= before, "a flush leaves out what nobody sees");
    }
}

#[test]
fn a_large_part_of_a_memtable_counts_as_all_of_it() {
    let db = alluvium::Db::in_memory().unwrap();
    let other = small_blocks(&db, "other");
    for i in 0..10_000 {
        db.put(format!("key{i:05}"), "v").unwrap();
    }
    other.put("a", "1").unwrap();
    assert_eq!(other.approximate_len().unwrap(), 1);
    assert_eq!(other.approximate_size(..).unwrap(), 2);
    assert_eq!(db.approximate_len().unwrap(), 10_001);
    assert!(db.approximate_size(..).unwrap() >= 90_000);
    assert_eq!(db.approximate_size("key00010".."key00020").unwrap(), 90);
    assert_eq!(db.approximate_size("b".."a").unwrap(), 0);
}

#[test]
fn estimates_are_refused_where_reads_are() {
    let (db, _) = small();
    let keyspace = small_blocks(&db, "k");
    db.drop_keyspace("k").unwrap();
    assert!(matches!(keyspace.approximate_len(), Err(Error::KeyspaceDropped { .. })));
    assert!(matches!(keyspace.approximate_size(..), Err(Error::KeyspaceDropped { .. })));
    db.close().unwrap();
    assert!(matches!(db.approximate_len(), Err(Error::Closed)));
    assert!(matches!(db.approximate_size(..), Err(Error::Closed)));
}
