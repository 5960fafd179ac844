//! Index snapshots through the public API: saved, loaded, opened with, damaged.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::ErrorKind;
use std::sync::Arc;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Builder, Db, Error};

const FILE: &str = "backup/warm.index";

fn builder(fs: &SimFs) -> Builder {
    // The tests count runs and segments.
    let builder = Db::builder("data").compaction_threads(0).fs(Arc::new(fs.clone()));
    builder.memtable_bytes(64 << 10).segment_bytes(4 << 10)
}

fn fill(db: &Db, round: u32) {
    for n in 0..300_u32 {
        db.put(format!("{:04}", n * (round + 1)), [round as u8; 60]).unwrap();
    }
    db.flush().unwrap();
}

/// A file system with a database of several runs, and its index snapshot in another directory.
fn sample() -> (SimFs, Db) {
    let fs = SimFs::new();
    fs.write_file("backup/keep", b"");
    let db = builder(&fs).open().unwrap();
    (0..3).for_each(|round| fill(&db, round));
    db.save_index_snapshot(FILE).unwrap();
    (fs, db)
}

/// Everything that can be read, key by key too.
fn contents(db: &Db) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = db.range(..).map(|pair| pair.unwrap());
    let pairs: Vec<_> = pairs.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    for (key, value) in &pairs {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_slice()));
        assert_eq!(db.get([key.as_slice(), b"+"].concat()).unwrap(), None);
    }
    pairs
}

/// Damages the index, filter and properties of every segment.
fn wreck_tables(fs: &SimFs, db: &Db) {
    for info in db.segments() {
        let path = format!("data/{:06}.seg", info.number);
        let mut bytes = fs.read_file(&path).unwrap();
        for part in 0..3 {
            let handle = bytes.len() - 256 + 72 + 16 * part;
            let at = u64::from_le_bytes(bytes[handle..handle + 8].try_into().unwrap());
            bytes[at as usize + 26] ^= 1;
        }
        fs.write_file(&path, &bytes);
    }
}

#[test]
fn a_loaded_snapshot_answers_as_the_index_before() {
    let (fs, db) = sample();
    let want = contents(&db);
    let segments = db.segments();
    let report = db.load_index_snapshot(FILE).unwrap();
    assert_eq!((report.segments, report.missing, report.ignored), (segments.len() as u64, 0, 0));
    assert_eq!(report.blocks, segments.iter().map(|info| info.blocks).sum::<u64>());
    assert_eq!(db.segments(), segments);
    assert_eq!(contents(&db), want);
    let saved = db.save_index_snapshot(FILE).unwrap();
    assert_eq!(saved.bytes, fs.read_file(FILE).unwrap().len() as u64);
    assert_eq!((saved.segments, saved.entries), (report.segments, report.entries));
    assert_eq!(fs.files("backup"), ["keep", "warm.index"]);
    db.close().unwrap();
    assert!(matches!(db.save_index_snapshot(FILE), Err(Error::Closed)));
    assert!(matches!(db.load_index_snapshot(FILE), Err(Error::Closed)));
}

#[test]
fn an_open_with_a_snapshot_reads_no_table_of_a_segment_it_names() {
    let (fs, db) = sample();
    let want = contents(&db);
    let segments = db.segments();
    db.close().unwrap();
    drop(db);
    let reads_of = |builder: Builder| {
        let before = fs.read_count();
        let db = builder.read_only(true).open().unwrap();
        (fs.read_count() - before, db)
    };
    let (cold, db) = reads_of(builder(&fs));
    drop(db);
    let (warm, db) = reads_of(builder(&fs).index_snapshot(FILE));
    // Each segment has an index, a filter and properties; the file costs an open, its length, the
    // header and the rest.
    assert_eq!(cold - warm, 3 * segments.len() as u64 - 4, "{cold} reads cold, {warm} warm");
    assert_eq!((db.segments(), contents(&db)), (segments, want.clone()));

    wreck_tables(&fs, &db);
    drop(db);
    let db = builder(&fs).index_snapshot(FILE).open().unwrap();
    assert_eq!((db.stats().indexes_rebuilt, contents(&db)), (0, want.clone()));
    db.close().unwrap();
    drop(db);
    // The planted fault: without the snapshot the damage is met.
    let db = builder(&fs).open().unwrap();
    assert!(db.stats().indexes_rebuilt > 0);
    assert_eq!(contents(&db), want);
}

#[test]
fn entries_of_gone_segments_are_ignored_and_missing_ones_read_from_the_segment() {
    let (fs, db) = sample();
    let named = db.segments().len() as u64;
    fill(&db, 7);
    let doomed = db.keyspace("doomed").unwrap();
    doomed.put("k", "v").unwrap();
    db.flush().unwrap();
    let want = contents(&db);
    let all = db.segments().len();
    let report = db.load_index_snapshot(FILE).unwrap();
    assert_eq!((report.segments, report.missing, report.ignored), (named, all as u64 - named, 0));
    assert_eq!(contents(&db), want);
    db.close().unwrap();
    drop((db, doomed));

    let db = builder(&fs).index_snapshot(FILE).open().unwrap();
    assert_eq!((db.segments().len(), contents(&db)), (all, want.clone()));
    // A segment of its own, which goes with its keyspace.
    let doomed = db.keyspace("doomed").unwrap();
    let before = db.segments().len();
    for n in 0..20_000_u32 {
        doomed.put(n.to_be_bytes(), [3; 100]).unwrap();
    }
    db.flush().unwrap();
    db.save_index_snapshot(FILE).unwrap();
    assert!(db.segments().len() > before);
    db.drop_keyspace("doomed").unwrap();
    // Removal is the flush thread's, in the order of its jobs.
    db.flush().unwrap();
    let left = db.segments().len() as u64;
    let report = db.load_index_snapshot(FILE).unwrap();
    assert!(report.ignored > 0);
    assert_eq!((report.segments, report.missing), (left, 0));
    assert_eq!(contents(&db), want);
}

#[test]
fn a_damaged_foreign_or_newer_file_is_a_typed_error_and_changes_nothing() {
    let (fs, db) = sample();
    let want = contents(&db);
    let segments = db.segments();
    let sound = fs.read_file(FILE).unwrap();
    let check = |bytes: &[u8], typed: fn(&Error) -> bool| {
        fs.write_file(FILE, bytes);
        let error = db.load_index_snapshot(FILE).unwrap_err();
        assert!(typed(&error) && error.to_string().contains(FILE), "{error}");
        assert_eq!(db.segments(), segments);
    };
    let corrupt = |error: &Error| matches!(error, Error::Corruption { .. });
    for at in (0..sound.len()).step_by(7).chain(0..160) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        check(&damaged, corrupt);
    }
    for len in (0..sound.len()).step_by(97) {
        check(&sound[..len], corrupt);
    }
    check(&[&sound[..], &[0]].concat(), corrupt);

    let other = SimFs::new();
    let foreign = builder(&other).open().unwrap();
    fill(&foreign, 1);
    foreign.save_index_snapshot("foreign").unwrap();
    check(&other.read_file("foreign").unwrap(), |error| {
        matches!(error, Error::InvalidArgument { .. }) && error.to_string().contains("saved from")
    });
    assert!(matches!(db.load_index_snapshot("nothing"), Err(Error::Io { .. })));
    assert_eq!(contents(&db), want);

    // An open says the same, and changes nothing.
    fs.write_file(FILE, &sound[..sound.len() - 1]);
    db.close().unwrap();
    drop(db);
    let ops = fs.op_count();
    let error = builder(&fs).index_snapshot(FILE).open().unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert_eq!(fs.op_count(), ops);
    fs.write_file(FILE, &sound);
    let db = builder(&fs).index_snapshot(FILE).open().unwrap();
    assert_eq!(contents(&db), want);
}

#[test]
fn names_of_database_files_are_refused() {
    let (fs, db) = sample();
    for name in ["data/CURRENT", "LOCK", "backup/000001.seg", "data/MANIFEST-000001", "/", ".."] {
        let error = db.save_index_snapshot(name).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{name}: {error}");
    }
    // Beside the database's own files another name is left alone by it.
    db.save_index_snapshot("data/warm.index").unwrap();
    db.close().unwrap();
    drop(db);
    drop(builder(&fs).index_snapshot("data/warm.index").open().unwrap());
    assert!(fs.read_file("data/warm.index").is_some());
}

#[test]
fn a_failed_save_leaves_the_file_that_was_there() {
    let (fs, db) = sample();
    let before = fs.read_file(FILE).unwrap();
    fill(&db, 5);
    for kind in [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::Rename] {
        let plan = FaultPlan::new(kind).on("warm.index").error(ErrorKind::StorageFull).torn();
        fs.set_fault(Some(plan));
        let error = db.save_index_snapshot(FILE).unwrap_err();
        assert!(matches!(error, Error::StorageFull { .. }), "{kind:?}: {error}");
        assert_eq!(fs.read_file(FILE).unwrap(), before, "{kind:?}");
        assert_eq!(fs.files("backup"), ["keep", "warm.index"], "{kind:?}");
    }
    fs.set_fault(None);
    db.save_index_snapshot(FILE).unwrap();
    assert_ne!(fs.read_file(FILE).unwrap(), before);
}

/// Symptom: a save removed a user's file. Mechanism: it wrote beside its target under a fixed name,
/// `NAME.0.tmp`, and removed what it found there, be it the half-written file of another process
/// that saved to the same name. Fix: only a file that it has made itself.
#[test]
fn a_save_leaves_files_alone_that_are_not_its_own() {
    let (fs, db) = sample();
    let theirs: Vec<_> = (0..5).map(|n| format!("{FILE}.{n}.tmp")).collect();
    theirs.iter().for_each(|name| fs.write_file(name, b"theirs"));
    db.save_index_snapshot(FILE).unwrap();
    for name in &theirs {
        assert_eq!(fs.read_file(name).as_deref(), Some(&b"theirs"[..]), "{name}");
    }
    assert_eq!(fs.files("backup").len(), 2 + theirs.len());
    assert_eq!(db.load_index_snapshot(FILE).unwrap().missing, 0);
}

#[test]
fn a_crash_during_a_save_leaves_the_old_file_or_the_new_one() {
    let steps = |crash_at: Option<u64>, mode| {
        let (fs, db) = sample();
        let old = fs.read_file(FILE).unwrap();
        fill(&db, 5);
        let before = fs.op_count();
        if let Some(number) = crash_at {
            fs.crash_at(before + number);
        }
        let saved = db.save_index_snapshot(FILE);
        let ops = fs.op_count() - before;
        let after = fs.crash(mode, 7);
        let file = after.read_file(FILE).unwrap();
        assert!(saved.is_err() || file != old, "an acknowledged save is durable");
        if file != old {
            let db = builder(&after).index_snapshot(FILE).open().unwrap();
            assert_eq!(contents(&db).len(), contents(&builder_of(&after, db)).len());
        }
        ops
    };
    for mode in [CrashMode::PowerLoseAll, CrashMode::PowerKeepAll] {
        for number in 0..steps(None, mode) {
            steps(Some(number), mode);
        }
    }
}

/// The same database, reopened without the snapshot.
fn builder_of(fs: &SimFs, db: Db) -> Db {
    db.close().unwrap();
    drop(db);
    builder(fs).open().unwrap()
}
