//! What those who run a database ask of it, through the public API.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alluvium::io::SimFs;
use alluvium::{Builder, Db, Error, KeyspaceOptions};

fn builder(fs: &SimFs) -> Builder {
    // The tests count runs and segments, and operations.
    let builder = Db::builder("data").compaction_threads(0).sync_every(std::time::Duration::ZERO);
    builder.memtable_bytes(64 << 10).fs(Arc::new(fs.clone()))
}

#[test]
fn segments_are_listed_by_age_with_what_they_hold() {
    let fs = SimFs::new();
    let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
    assert_eq!(db.segments(), []);
    let users = db.keyspace("users").unwrap();
    for key in 0..200 {
        db.put(format!("{key:03}"), [7; 100]).unwrap();
    }
    db.flush().unwrap();
    users.put("ann", "1").unwrap();
    db.delete("007").unwrap();
    db.flush().unwrap();

    let segments = db.segments();
    let (newest, older) = segments.split_first().unwrap();
    assert!(older.len() > 1, "200 values of 100 bytes are cut at 4 KiB");
    assert_eq!((newest.age, newest.entries, newest.tombstones), (0, 2, 1));
    let bounds = |info: &alluvium::SegmentInfo| {
        let key = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        let first = (info.first_keyspace.clone(), key(&info.first_key));
        (first, (info.last_keyspace.clone(), key(&info.last_key)))
    };
    let pair = |keyspace: &str, key: &str| (keyspace.to_owned(), key.to_owned());
    assert_eq!(bounds(newest), (pair("default", "007"), pair("users", "ann")));
    assert_eq!(bounds(&older[0]).0, pair("default", "000"));
    assert_eq!(bounds(older.last().unwrap()).1, pair("default", "199"));
    assert!(older.iter().all(|info| info.age == 1 && info.run < newest.run));
    assert!(older.iter().all(|info| info.largest < newest.smallest));
    assert!(older.windows(2).all(|pair| pair[0].last_key < pair[1].first_key));
    assert_eq!(older.iter().map(|info| info.entries).sum::<u64>(), 200);
    for info in &segments {
        let file = fs.read_file(format!("data/{:06}.seg", info.number)).unwrap();
        assert_eq!(file.len() as u64, info.bytes);
        assert!(info.blocks > 0 && info.pinned_bytes > 0 && info.created_ms > 0);
    }
}

/// A database of several runs with several segments each, and what it holds.
fn sample(db: &Db) -> BTreeMap<String, String> {
    let mut want = BTreeMap::new();
    for round in 0..4 {
        for n in (0..400).filter(|n| n % (round + 1) == 0) {
            let key = format!("key-{n:04}");
            let value = format!("{round} {}", "v".repeat(n % 90));
            db.put(&key, &value).unwrap();
            want.insert(key, value);
        }
        db.flush().unwrap();
    }
    want
}

fn check_all(db: &Db, want: &BTreeMap<String, String>) {
    let pairs = db.range(..).map(|pair| pair.unwrap());
    let pairs: Vec<_> = pairs.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    let bytes = |(key, value): (&String, &String)| (key.clone().into(), value.clone().into());
    assert!(pairs == want.iter().map(bytes).collect::<Vec<_>>());
    for (key, value) in want {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_bytes()), "{key}");
        assert_eq!(db.get(format!("{key}+")).unwrap(), None);
    }
}

/// Flips a byte at `part` of each segment's footer handle: 0 filter, 1 index, 2 properties.
fn damage_part(fs: &SimFs, db: &Db, part: usize) -> Vec<String> {
    let path = |info: alluvium::SegmentInfo| format!("data/{:06}.seg", info.number);
    let paths: Vec<_> = db.segments().into_iter().map(path).collect();
    for path in &paths {
        let mut bytes = fs.read_file(path).unwrap();
        let handle = bytes.len() - 256 + 72 + 16 * part;
        let at = u64::from_le_bytes(bytes[handle..handle + 8].try_into().unwrap());
        bytes[at as usize + 26] ^= 1;
        fs.write_file(path, &bytes);
    }
    paths
}

#[test]
fn a_rebuilt_index_answers_as_the_one_before() {
    let fs = SimFs::new();
    let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
    let nothing = db.rebuild_index().unwrap();
    assert_eq!((nothing.segments, nothing.blocks, nothing.keys), (0, 0, 0));
    let want = sample(&db);
    // Made by the log thread, in order: behind the spares that it was asked for.
    db.keyspace("barrier").unwrap();
    let mut held = db.range(..);
    let first = held.next().unwrap().unwrap();
    let before = db.segments();
    let ops = fs.op_count();
    let hits = db.stats().cache_hits;
    let report = db.rebuild_index().unwrap();
    assert_eq!((db.segments(), fs.op_count()), (before.clone(), ops), "nothing on disk changes");
    assert_eq!(report.segments, before.len() as u64);
    assert_eq!(report.blocks, before.iter().map(|info| info.blocks).sum::<u64>());
    assert_eq!(report.entries, before.iter().map(|info| info.entries).sum::<u64>());
    assert_eq!(report.keys, 400 + 200 + 134 + 100);
    check_all(&db, &want);
    assert!(db.stats().cache_hits > hits);
    // An iterator from before goes on over the old tables.
    assert_eq!((&*first.0, held.count()), (&b"key-0000"[..], want.len() - 1));
    db.close().unwrap();
    assert!(matches!(db.rebuild_index(), Err(Error::Closed)));
}

#[test]
fn damaged_tables_are_derived_at_open_and_reported() {
    for part in 0..3 {
        let fs = SimFs::new();
        let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
        let want = sample(&db);
        let before = db.segments();
        assert!(db.health().is_healthy());
        damage_part(&fs, &db, part);
        db.close().unwrap();
        drop(db);
        for read_only in [true, false] {
            let db = builder(&fs).read_only(read_only).open().unwrap();
            assert_eq!(db.stats().indexes_rebuilt, before.len() as u64);
            let health = db.health();
            assert!(!health.is_healthy() && health.indexes_rebuilt == before.len() as u64);
            assert!(health.to_string().contains("nothing is lost"), "{health}");
            assert_eq!(db.segments(), before);
            check_all(&db, &want);
            db.rebuild_index().unwrap();
            check_all(&db, &want);
        }
    }
}

#[test]
fn a_damaged_block_fails_a_rebuild_and_changes_nothing() {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    let want = sample(&db);
    check_all(&db, &want);
    let path = format!("data/{:06}.seg", db.segments()[0].number);
    let sound = fs.read_file(&path).unwrap();
    for at in [64, 64 + 7, 64 + 20, 64 + 50] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs.write_file(&path, &damaged);
        let error = db.rebuild_index().unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(".seg"), "{error}");
        // From the cache, through the tables that are still there.
        check_all(&db, &want);
    }
    fs.write_file(&path, &sound);
    db.rebuild_index().unwrap();
}

#[test]
fn an_index_is_rebuilt_while_others_read_and_write() {
    let fs = SimFs::new();
    let db = builder(&fs).memtable_bytes(4 << 10).flush_bytes(8 << 10).open().unwrap();
    let want = sample(&db);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let db = &db;
            let want = &want;
            let stop = &stop;
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    db.put(format!("other-{thread}-{round}"), [1; 50]).unwrap();
                    let (key, value) = want.iter().nth(round * 7 % want.len()).unwrap();
                    assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_bytes()));
                }
            });
        }
        let doomed = db.keyspace("doomed").unwrap();
        for _ in 0..4 {
            db.rebuild_index().unwrap();
            doomed.put("k", "v").unwrap();
        }
        db.flush().unwrap();
        db.drop_keyspace("doomed").unwrap();
        for _ in 0..4 {
            db.rebuild_index().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (key, value) in &want {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_bytes()), "{key}");
    }
}

#[test]
fn a_sound_database_verifies_with_what_it_holds() {
    let fs = SimFs::new();
    let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
    assert!(db.verify().unwrap().is_sound());
    let want = sample(&db);
    let report = db.verify().unwrap();
    assert!(report.is_sound() && report.errors.is_empty(), "{report}");
    assert!(report.to_string().contains("nothing is damaged"), "{report}");
    let segments = db.segments();
    assert_eq!((report.segments, report.keys), (segments.len() as u64, 400 + 200 + 134 + 100));
    assert_eq!(report.blocks, segments.iter().map(|info| info.blocks).sum::<u64>());
    assert_eq!(report.entries, segments.iter().map(|info| info.entries).sum::<u64>());
    assert_eq!(report.bytes, segments.iter().map(|info| info.bytes).sum::<u64>());
    db.rebuild_index().unwrap();
    assert!(db.verify().unwrap().is_sound());
    db.close().unwrap();
    assert!(matches!(db.verify(), Err(Error::Closed)));
    let db = builder(&fs).read_only(true).open().unwrap();
    assert!(db.verify().unwrap().is_sound());
    check_all(&db, &want);
}

#[test]
fn every_damage_is_reported_and_no_more_than_a_hundred_listed() {
    let fs = SimFs::new();
    let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
    let options = KeyspaceOptions::new().block_bytes(256);
    let users = db.keyspace_with("small blocks", options).unwrap();
    for n in 0..2_000 {
        users.put(format!("{n:06}"), [9; 40]).unwrap();
    }
    sample(&db);
    let segments = db.segments();
    let damaged = damage_part(&fs, &db, 1);
    let report = db.verify().unwrap();
    assert_eq!(report.damages, segments.len() as u64);
    let told = |error: &Error| {
        error.is_corruption() && damaged.iter().any(|path| error.to_string().contains(path))
    };
    assert!(report.errors.iter().all(told), "{report}");
    assert_eq!(report.entries, segments.iter().map(|info| info.entries).sum::<u64>());

    for path in &damaged {
        let bytes = fs.read_file(path).unwrap();
        let blocks_end = bytes.len() * 2 / 3;
        for at in (64..blocks_end).step_by(100) {
            fs.flip(path, at as u64, 1);
        }
    }
    let report = db.verify().unwrap();
    assert!(report.damages > 100 && report.errors.len() == 100, "{}", report.damages);
}

#[test]
fn a_damaged_manifest_is_reported() {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    sample(&db);
    let is_manifest = |name: &String| name.starts_with("MANIFEST-");
    let name = fs.files("data").into_iter().find(is_manifest).unwrap();
    for file in [format!("data/{name}"), "data/CURRENT".to_owned()] {
        let sound = fs.read_file(&file).unwrap();
        for at in 0..sound.len() as u64 {
            fs.flip(&file, at, 4);
            let report = db.verify().unwrap();
            assert!(report.damages == 1, "{file}, byte {at}: {report}");
            assert!(report.errors[0].is_corruption(), "{report}");
            fs.flip(&file, at, 4);
        }
    }
    assert!(db.verify().unwrap().is_sound());
}

/// Symptom: `verify` said that nothing was damaged while a byte of a synced log was wrong.
/// Mechanism: it left the logs out. Fix: it reads them, and the witness.
#[test]
fn damage_in_logs_and_their_witness_is_reported() {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    // One log is sealed, by a batch that has its own, and the last one is open.
    for value in [100, 20_000, 100] {
        db.put("k", vec![7; value]).unwrap();
    }
    db.sync().unwrap();
    let report = db.verify().unwrap();
    assert!(report.is_sound() && report.to_string().contains("3 logs: 3 records"), "{report}");
    let begins = |file: &String, magic: &[u8]| fs.read_file(file).unwrap().starts_with(magic);
    let files: Vec<_> = fs.files("data").iter().map(|name| format!("data/{name}")).collect();
    // Not those that are prepared: behind their header they are empty.
    let holds = |file: &String| fs.read_file(file).unwrap().iter().skip(4_224).any(|&it| it != 0);
    let is_log = |file: &&String| begins(file, b"ALLUVLOG") && holds(file);
    let logs: Vec<_> = files.iter().filter(is_log).collect();
    let witness = files.iter().find(|file| begins(file, b"ALLUVWIT")).unwrap();
    assert_eq!(logs.len(), 3);
    for file in logs {
        // Both copies of the header, and the record.
        for at in (0..120).chain(4_096..4_216).chain(4_224..4_360) {
            fs.flip(file, at, 4);
            let report = db.verify().unwrap();
            assert!(report.damages == 1, "{file}, byte {at}: {report}");
            assert!(report.errors[0].is_corruption(), "{report}");
            assert!(report.errors[0].to_string().contains(file), "{report}");
            fs.flip(file, at, 4);
        }
    }
    fs.write_file(witness, &[1; 3_000]);
    assert_eq!(db.verify().unwrap().damages, 1);
    fs.remove_file(witness);
    assert_eq!(db.verify().unwrap().damages, 1);
}

/// How many memtables are sealed by the same writes, after `prepare`.
fn sealed_by_writes(prepare: impl Fn(&Db)) -> u64 {
    let fs = SimFs::new();
    let db = builder(&fs).memtable_bytes(16 << 10).flush_bytes(8 << 20).open().unwrap();
    db.put("first", "makes the log").unwrap();
    prepare(&db);
    for key in 0..300_u32 {
        db.put(key.to_be_bytes(), [1; 100]).unwrap();
        if key % 10 == 0 {
            // Goes through the log thread behind the request for spares: a rotation without a
            // prepared log would be put off.
            db.keyspace(&format!("barrier {key}")).unwrap();
        }
    }
    db.stats().memtables_sealed
}

#[test]
fn another_memtable_size_counts_from_the_next_rotation_on() {
    let as_opened = sealed_by_writes(|_| ());
    let smaller = sealed_by_writes(|db| db.set_memtable_bytes(8 << 10).unwrap());
    let larger = sealed_by_writes(|db| {
        db.set_memtable_bytes(1 << 20).unwrap();
        // Ends the memtable and the log that were made before.
        db.flush().unwrap();
    });
    assert!(smaller > as_opened && as_opened > larger, "{smaller}, {as_opened}, {larger}");
    assert_eq!(larger, 0);
}

#[test]
fn a_memtable_size_out_of_bounds_is_refused_with_the_bounds() {
    let fs = SimFs::new();
    let db = builder(&fs).flush_bytes(128 << 10).memory_bytes(1 << 20).open().unwrap();
    for bytes in [0, 4095, (128 << 10) + 1, u64::MAX] {
        let error = db.set_memtable_bytes(bytes).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }));
        let text = error.to_string();
        assert!(text.contains("between 4096 and 131072") && text.contains("flush_bytes"), "{text}");
    }
    db.set_memtable_bytes(4096).unwrap();
    db.set_memtable_bytes(128 << 10).unwrap();
    db.close().unwrap();
    assert!(matches!(db.set_memtable_bytes(8192), Err(Error::Closed)));
    let db = builder(&fs).read_only(true).open().unwrap();
    assert!(matches!(db.set_memtable_bytes(8192), Err(Error::ReadOnly { .. })));
}

/// What was read before a merge is read from memory after it; what was not stays on disk.
#[test]
fn a_merge_keeps_hot_blocks_in_memory() {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    for round in 0..2 {
        for n in (round..4_000).step_by(2) {
            db.put(format!("{n:06}"), [round as u8; 50]).unwrap();
        }
        db.flush().unwrap();
    }
    let read = |keys: std::ops::Range<usize>| {
        keys.for_each(|n| assert!(db.get(format!("{n:06}")).unwrap().is_some(), "{n}"));
        db.stats().cache_misses
    };
    let before = read(0..2_000);
    db.compact().unwrap();
    assert_eq!(db.stats().runs, 1);
    // One block at the end of the range may be cut otherwise than before.
    let after = read(0..1_900);
    assert!(after <= before + 1, "{before} misses before the merge, {after} after");
    assert!(read(2_100..4_000) > after + 20, "cold blocks were read into the cache");
}
