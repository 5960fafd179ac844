//! Options of a keyspace: kept with it, and told.

use std::path::Path;
use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{Compression, Db, Error, KeyspaceOptions, SegmentInfo, WriteBatch};

use crate::small;

/// Symptom: `keyspace_with` returned Ok for a keyspace that exists, and for `default`, and ignored
/// the options. Mechanism: it looked no further than the name. Fix: an edit sets them.
#[test]
fn options_are_kept_with_the_keyspace_and_can_be_changed() {
    let sim = SimFs::new();
    let builder = || Db::builder(Path::new("/db")).fs(Arc::new(sim.clone()));
    let reopen = |db: Db| {
        db.close().unwrap();
        drop(db);
        builder().open().unwrap()
    };
    let options = KeyspaceOptions::new().filter_bits(3).block_bytes(512);
    let options = options.compression(Compression::Lz4);
    let other = KeyspaceOptions::new().filter_bits(0).compression(Compression::None);
    let db = builder().open().unwrap();
    let mine = db.keyspace_with("mine", options).unwrap();
    assert_eq!(
        (mine.options(), db.keyspace("plain").unwrap().options()),
        (options, KeyspaceOptions::new())
    );
    let db = reopen(db);
    assert_eq!(db.keyspace("mine").unwrap().options(), options);
    for name in ["mine", "default"] {
        let before = db.keyspace(name).unwrap();
        assert_eq!(db.keyspace_with(name, other).unwrap().options(), other);
        assert_eq!(before.options(), other, "a handle tells what is");
    }
    let db = reopen(db);
    for name in ["mine", "default"] {
        assert_eq!(db.keyspace(name).unwrap().options(), other);
    }
    // The same again writes nothing.
    let before = sim.op_count();
    db.keyspace_with("default", other).unwrap();
    assert_eq!(sim.op_count(), before);
    db.drop_keyspace("mine").unwrap();
    assert_eq!(db.keyspace_with("mine", options).unwrap().options(), options);
    db.close().unwrap();
    drop(db);
    let db = builder().read_only(true).open().unwrap();
    db.keyspace_with("mine", options).unwrap();
    for (name, options) in [("mine", other), ("default", options), ("new", options)] {
        assert!(matches!(db.keyspace_with(name, options), Err(Error::ReadOnly { .. })));
    }
}

/// What is changed takes effect with the next flush, in `default` too.
#[test]
fn options_that_are_changed_take_effect() {
    let (db, _) = small();
    let blocks = || {
        for i in 0..1_000 {
            db.put(format!("{i:04}"), [b'v'; 100]).unwrap();
        }
        db.flush().unwrap();
        db.segments()[0].blocks
    };
    let before = blocks();
    db.keyspace_with("default", KeyspaceOptions::new().block_bytes(512)).unwrap();
    let after = blocks();
    assert!(after > 4 * before, "{after} blocks, {before} before");
}

#[test]
fn many_keyspaces_are_one_edit_or_none() {
    let (db, sim) = small();
    db.keyspace("tenant-7").unwrap();
    sim.set_trace(true);
    let names = || (0..1_000).map(|tenant| format!("tenant-{tenant}"));
    let options = KeyspaceOptions::new().filter_bits(5);
    let tenants = db.keyspaces_with(names(), options).unwrap();
    let syncs = sim
        .trace()
        .iter()
        .filter(|line| line.contains("Sync") && line.contains("MANIFEST"))
        .count();
    assert!(syncs <= 4, "{syncs} syncs of the manifest");
    assert_eq!((tenants.len(), db.keyspaces().len()), (1_000, 1_001));
    assert!(
        tenants.iter().zip(names()).all(|(it, name)| it.name() == name && it.options() == options)
    );
    tenants[7].put("k", "v").unwrap();
    assert!(db.keyspace("tenant-7").unwrap().contains_key("k").unwrap());
    // A name that cannot be: nothing is made.
    let refused = db.keyspaces_with(["good", "a\nb"], options);
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
    assert_eq!(db.keyspaces().len(), 1_001);
    assert!(db.keyspaces_with(Vec::<String>::new(), options).unwrap().is_empty());
    assert_eq!(db.keyspaces_with(["twice", "twice"], options).unwrap().len(), 2);
}

#[test]
fn options_decide_how_segments_are_written() {
    let reads_of_absent_keys = |filter_bits: u8, block_bytes: u32| {
        let (db, sim) = small();
        let options = KeyspaceOptions::new().filter_bits(filter_bits).block_bytes(block_bytes);
        let keyspace = db.keyspace_with("k", options).unwrap();
        for i in 0..1_000 {
            keyspace.put(format!("key{i:04}"), [b'v'; 100]).unwrap();
        }
        db.flush().unwrap();
        let before = sim.read_count();
        for i in 0..1_000 {
            assert!(!keyspace.contains_key(format!("key{i:04}.")).unwrap());
        }
        sim.read_count() - before
    };
    // Each block once, then it is cached.
    let small_blocks = reads_of_absent_keys(0, 256);
    let large_blocks = reads_of_absent_keys(0, 64 << 10);
    assert!(small_blocks > 300 && large_blocks < 10, "{small_blocks}, {large_blocks}");
    let filtered = reads_of_absent_keys(16, 256);
    assert!(filtered < 30, "{filtered}");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let (db, _) = small();
    for options in [
        KeyspaceOptions::new().filter_bits(33),
        KeyspaceOptions::new().block_bytes(255),
        KeyspaceOptions::new().block_bytes((1 << 20) + 1),
    ] {
        let result = db.keyspace_with("k", options);
        assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{options:?}");
    }
    assert_eq!(db.keyspaces(), ["default"]);
}

/// The segment of a keyspace with this compression and a thousand such values, read back in every
/// way, and its damage reported.
fn compressed(compression: Compression, value: impl Fn(u64) -> Vec<u8>) -> SegmentInfo {
    let sim = SimFs::new();
    let open = || Db::builder(Path::new("/db")).fs(Arc::new(sim.clone())).open().unwrap();
    let options = KeyspaceOptions::new().compression(compression);
    let db = open();
    let rows = db.keyspace_with("rows", options).unwrap();
    for i in 0..1_000 {
        rows.put(format!("{i:06}"), value(i)).unwrap();
    }
    db.flush().unwrap();
    let check = |db: &Db| {
        let rows = db.keyspace("rows").unwrap();
        assert_eq!(rows.options(), options);
        for i in (0..1_000).step_by(7) {
            assert_eq!(rows.get(format!("{i:06}")).unwrap().unwrap().to_vec(), value(i));
        }
        let values = |kv: alluvium::Result<_>| kv.map(|(_, value): (_, alluvium::Value)| value);
        let all: Vec<_> = rows.range(..).map(values).collect::<Result<_, _>>().unwrap();
        assert!(all.len() == 1_000 && all.iter().zip(0..).all(|(got, i)| **got == value(i)));
        assert_eq!(rows.range(..).rev().count(), 1_000);
        assert!(db.verify().unwrap().is_sound());
    };
    check(&db);
    assert_eq!(db.rebuild_index().unwrap().keys, 1_000);
    check(&db);
    let [info] = &db.segments()[..] else { panic!("one segment") };
    db.close().unwrap();
    let db = open();
    check(&db);
    // Whatever a flipped bit in the data does, it is told.
    sim.flip(format!("/db/{:06}.seg", info.number), info.bytes / 3, 4);
    assert_eq!(db.verify().unwrap().damages, 1);
    info.clone()
}

#[test]
fn compression_decides_how_long_a_segment_is_and_nothing_else() {
    let text =
        |i: u64| format!("{{\"id\":{i},\"name\":\"user {i}\",\"active\":true}}").into_bytes();
    let noise = |i: u64| {
        let mut word = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            (word >> 32) as u8
        };
        (0..100).map(|_| next()).collect::<Vec<u8>>()
    };
    let plain = compressed(Compression::None, text);
    assert_eq!(plain.raw_bytes, (0..1_000).map(|i| 6 + text(i).len() as u64).sum::<u64>());
    let short = compressed(Compression::Lz4, text);
    assert!(short.bytes < plain.bytes * 3 / 4, "{} of {}", short.bytes, plain.bytes);
    assert_eq!((short.raw_bytes, short.blocks), (plain.raw_bytes, plain.blocks));
    // A flush writes the newest run, which `Auto` leaves as it is.
    assert_eq!(compressed(Compression::Auto, text).bytes, plain.bytes);
    let plain = compressed(Compression::None, noise);
    assert_eq!(compressed(Compression::Lz4, noise).bytes, plain.bytes);
}

#[test]
fn what_is_merged_into_the_oldest_run_is_compressed_unless_it_is_said_otherwise() {
    let merged = |compression: Compression| {
        let (db, _) = small();
        let options = KeyspaceOptions::new().compression(compression);
        let rows = db.keyspace_with("rows", options).unwrap();
        // Two runs that overlap, so that nothing is moved as it is.
        for half in [0, 1] {
            (0..2_000).filter(|i| i % 2 == half).for_each(|i| {
                rows.put(format!("{i:06}"), format!("the value of row number {i:06}")).unwrap();
            });
            db.flush().unwrap();
        }
        db.compact().unwrap();
        assert_eq!(rows.range(..).count(), 2_000);
        assert!(db.verify().unwrap().is_sound());
        let infos = db.segments();
        assert!(infos.iter().all(|info| info.age == 0), "one run");
        let sum = |of: fn(&SegmentInfo) -> u64| infos.iter().map(of).sum::<u64>();
        assert_eq!(sum(|info| info.entries), 2_000);
        (sum(|info| info.bytes), sum(|info| info.raw_bytes))
    };
    let plain = merged(Compression::None);
    let short = merged(Compression::Lz4);
    assert!(plain.0 > plain.1 && short.0 < short.1 && plain.1 == short.1, "{plain:?}, {short:?}");
    assert_eq!(merged(Compression::Auto), short);
}

/// A renamed keyspace is the same one: for handles, snapshots, batches and transactions that were
/// there before, and for an open.
#[test]
fn a_renamed_keyspace_goes_on_under_its_new_name() {
    let sim = SimFs::new();
    let builder = || Db::builder(Path::new("/db")).fs(Arc::new(sim.clone()));
    let db = builder().open().unwrap();
    let options = KeyspaceOptions::new().filter_bits(3);
    let draft = db.keyspace_with("draft", options).unwrap();
    draft.put("k", "1").unwrap();
    let snapshot = db.snapshot();
    let mut batch = WriteBatch::new();
    batch.put_in(&draft, "batch", "2");
    let tx = db.transaction();
    tx.of(&draft).put("tx", "3").unwrap();
    db.rename_keyspace("draft", "final").unwrap();
    assert_eq!((draft.name(), db.keyspaces()), ("final".to_owned(), names(&["default", "final"])));
    assert!(db.keyspace_if_exists("draft").unwrap().is_none());
    draft.put("later", "4").unwrap();
    db.write(&batch).unwrap();
    tx.commit().unwrap();
    assert_eq!(snapshot.of(&draft).len().unwrap(), 1);
    // The old name is free at once, for another keyspace.
    let second = db.keyspace("draft").unwrap();
    assert!(second.is_empty().unwrap() && draft.len().unwrap() == 4);
    assert!(matches!(db.rename_keyspace("draft", "final"), Err(Error::KeyspaceExists { .. })));
    db.drop_keyspace("final").unwrap();
    assert_eq!(draft.name(), "final");
    db.rename_keyspace("draft", "final").unwrap();
    second.put("k", "5").unwrap();
    drop((snapshot, draft, second));
    db.close().unwrap();
    drop(db);
    let db = builder().read_only(true).open().unwrap();
    assert_eq!(db.keyspaces(), ["default", "final"]);
    let found = db.keyspace_if_exists("final").unwrap().unwrap();
    assert_eq!(found.get("k").unwrap().as_deref(), Some(&b"5"[..]));
    assert!(matches!(db.rename_keyspace("final", "x"), Err(Error::ReadOnly { .. })));
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Nothing is made by asking, in a database that is open for writing or for reading.
#[test]
fn a_keyspace_is_found_only_if_it_is_there() {
    let sim = SimFs::new();
    let builder = || Db::builder(Path::new("/db")).fs(Arc::new(sim.clone()));
    let db = builder().open().unwrap();
    db.keyspace("there").unwrap().put("k", "v").unwrap();
    let check = |db: &Db| {
        let before = sim.op_count();
        assert!(db.keyspace_if_exists("not").unwrap().is_none());
        let there = db.keyspace_if_exists("there").unwrap().unwrap();
        assert!(there.contains_key("k").unwrap());
        let refused = db.keyspace_if_exists("a\nb");
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
        assert_eq!((sim.op_count(), db.keyspaces().len()), (before, 2));
    };
    check(&db);
    db.close().unwrap();
    assert!(matches!(db.keyspace_if_exists("there"), Err(Error::Closed)));
    drop(db);
    check(&builder().read_only(true).open().unwrap());
}
