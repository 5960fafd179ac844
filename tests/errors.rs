//! Every error once, where a user meets it: its sentence, its class and its source.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use alluvium::io::{FaultPlan, OpKind, SimFs};
use alluvium::{Builder, Db, Durability, Error, OnOverload, Sequence, WriteBatch};

fn builder(sim: &SimFs) -> Builder {
    Db::builder(Path::new("/db")).sync_every(std::time::Duration::ZERO).fs(Arc::new(sim.clone()))
}

fn fresh() -> (Db, SimFs) {
    let sim = SimFs::new();
    (builder(&sim).open().unwrap(), sim)
}

/// What the caller may conclude from an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Final,
    Retryable,
    Corruption,
}

#[track_caller]
fn check<T>(result: Result<T, Error>, class: Class, sentence: &str) -> Error {
    let Err(error) = result else { panic!("no error, but should be: {sentence}") };
    assert_eq!(error.to_string(), sentence);
    assert_eq!(error.is_retryable(), class == Class::Retryable, "{error}");
    assert_eq!(error.is_corruption(), class == Class::Corruption, "{error}");
    let with_source = matches!(error, Error::Io { .. } | Error::StorageFull { .. })
        || matches!(error, Error::WriterStopped { .. } | Error::Overloaded { cause: Some(_), .. });
    assert_eq!(error.source().is_some(), with_source, "{error}");
    error
}

/// The first file of a kind in the database's directory.
fn file(sim: &SimFs, end: &str) -> String {
    let files = sim.files("/db");
    format!("/db/{}", files.iter().find(|name| name.ends_with(end)).expect("it was written"))
}

#[test]
fn arguments_out_of_bounds_are_told_their_bounds() {
    let (db, _) = fresh();
    let long = vec![b'k'; 65_536];
    let sentence = "a key has at most 65535 bytes, and this one 65536";
    check(db.put(&long, ""), Class::Final, sentence);
    check(db.delete(&long), Class::Final, sentence);
    check(db.insert_if_absent(&long, ""), Class::Final, sentence);
    let mut batch = WriteBatch::new();
    batch.put(&long, "");
    check(db.write(&batch), Class::Final, sentence);
    let visible = db.stats().visible;
    let sentence =
        format!("sequence {} was not issued yet; the last one is {visible}", visible + 1);
    check(db.wait_durable(Sequence(visible + 1)), Class::Final, &sentence);
    let sentence =
        "a keyspace's name has 1 to 255 bytes and no control characters, and is \"a\\nb\"";
    check(db.keyspace("a\nb"), Class::Final, sentence);
    check(db.drop_keyspace("none"), Class::Final, "there is no keyspace \"none\"");
    check(db.drop_keyspace("default"), Class::Final, "the default keyspace cannot be dropped");
    let sentence = "the default keyspace cannot be renamed";
    check(db.rename_keyspace("default", "other"), Class::Final, sentence);
    check(db.rename_keyspace("none", "other"), Class::Final, "there is no keyspace \"none\"");
    let sentence = "there is a keyspace \"default\" already; nothing was changed";
    db.keyspace("k").unwrap();
    check(db.rename_keyspace("k", "default"), Class::Final, sentence);
    let options = alluvium::KeyspaceOptions::new();
    let sentence = "block_bytes must be between 256 and 1048576 bytes, and is 3";
    check(db.keyspace_with("k", options.block_bytes(3)), Class::Final, sentence);
    let sentence = "filter_bits must be at most 32, and is 99";
    check(db.keyspace_with("k", options.filter_bits(99)), Class::Final, sentence);
    let sentence = "memtable_bytes must be between 4096 and 1073741824 bytes, and is 1";
    check(Builder::temporary().memtable_bytes(1).open(), Class::Final, sentence);
    let fs = Arc::new(SimFs::new());
    let sentence = "a temporary database is on the disk, and takes no fs";
    check(Builder::temporary().fs(fs).open(), Class::Final, sentence);
}

#[test]
fn keyspaces_of_two_databases_do_not_mix() {
    let (one, _) = fresh();
    let (other, _) = fresh();
    let mine = one.keyspace("k").unwrap();
    let theirs = other.keyspace("k").unwrap();
    let mut batch = WriteBatch::new();
    batch.put_in(&mine, "a", "");
    batch.put_in(&theirs, "a", "");
    check(
        one.write(&batch),
        Class::Final,
        "a batch names keyspaces of two databases, or of two opens of one",
    );
    let mut batch = WriteBatch::new();
    batch.put_in(&theirs, "a", "");
    check(
        one.write(&batch),
        Class::Final,
        "a batch names a keyspace of another database, or of another open",
    );
    let sentence = "the keyspace is of another database than the snapshot, or of another open";
    check(one.snapshot().of(&theirs).get("a"), Class::Final, sentence);
    check(one.snapshot().of(&theirs).multi_get(["a"]), Class::Final, sentence);
    check(one.snapshot().of(&theirs).first(), Class::Final, sentence);
    check(one.snapshot().of(&theirs).explain("a"), Class::Final, sentence);
}

#[test]
fn a_database_that_is_dropped_closed_locked_or_read_only_says_what_to_do() {
    let (db, sim) = fresh();
    let keyspace = db.keyspace("gone").unwrap();
    db.drop_keyspace("gone").unwrap();
    let sentence = "keyspace \"gone\" was dropped; open it again to make a new, empty one";
    check(keyspace.get("k"), Class::Final, sentence);
    check(keyspace.put("k", "v"), Class::Final, sentence);
    let sentence = "the database is open elsewhere: /db/LOCK is locked; close the other process or \
                    handle (the lock goes with it, and removing the file does not release it)";
    check(builder(&sim).open(), Class::Final, sentence);
    db.close().unwrap();
    let sentence = "the database is closed; open it again";
    check(db.get("k"), Class::Final, sentence);
    check(db.put("k", "v"), Class::Final, sentence);
    check(db.range(..).next().unwrap(), Class::Final, sentence);
    drop((db, keyspace));
    let db = builder(&sim).read_only(true).open().unwrap();
    let sentence = "/db was opened read-only; open it for writing";
    check(db.put("k", "v"), Class::Final, sentence);
    check(db.update("k", |_| None), Class::Final, sentence);
    check(db.keyspace("new"), Class::Final, sentence);
    check(db.flush(), Class::Final, sentence);
}

#[test]
fn what_the_system_refuses_is_named_with_its_file() {
    let sim = SimFs::new();
    let missing = builder(&sim).create(false).open();
    let Err(Error::Io { op, path, source, .. }) = missing else { panic!("{missing:?}") };
    let want = ("find a database in", Some("/db"), ErrorKind::NotFound);
    assert_eq!((op, path.to_str(), source.kind()), want);
    let (db, sim) = fresh();
    db.put("k", "v").unwrap();
    db.flush().unwrap();
    let segment = file(&sim, ".seg");
    sim.set_fault(Some(FaultPlan::new(OpKind::Read).on(".seg").error(ErrorKind::PermissionDenied)));
    let sentence = format!(
        "could not read {segment}: injected fault; check the owner and mode of the file and its \
         directory"
    );
    check(db.get("k"), Class::Final, &sentence);
    // Once, and no trace of it is left.
    assert!(db.contains_key("k").unwrap());
}

#[test]
fn a_full_disk_can_be_tried_again() {
    let (db, sim) = fresh();
    db.put("a", "1").unwrap();
    // Sticky, because the log thread writes spares meanwhile, and would use up a single failure.
    let full = FaultPlan::new(OpKind::Write).on(".wal").error(ErrorKind::StorageFull);
    sim.set_fault(Some(full.sticky()));
    let result = db.put("b", "2");
    let Err(Error::StorageFull { path, source, .. }) = &result else { panic!("{result:?}") };
    let sentence = format!(
        "could not write {}: {source}; the call had no effect: free some space and try again",
        path.display()
    );
    check(result.clone(), Class::Retryable, &sentence);
    assert!(!db.contains_key("b").unwrap());
    sim.set_fault(None);
    db.put("b", "2").unwrap();
}

/// Symptom: under a moved directory, or without a descriptor left, a write said that the disk does
/// not keep up. Mechanism: what the flush failed with was not looked at, but for a full disk. Fix:
/// it is the error's cause.
#[test]
fn memory_that_stays_full_says_why_and_can_be_tried_again() {
    let sim = SimFs::new();
    let builder = builder(&sim).memtable_bytes(4 << 10).flush_bytes(4 << 10);
    let pace = OnOverload::Pace { stall_max: std::time::Duration::from_millis(1) };
    let db = builder.memory_bytes(8 << 10).on_overload(pace).open().unwrap();
    let refuse = FaultPlan::new(OpKind::Write).on(".seg").error(ErrorKind::PermissionDenied);
    sim.set_fault(Some(refuse.sticky()));
    // Until a flush has failed nothing is known to be wrong.
    let result = loop {
        match db.put("k", [0; 100]) {
            Ok(_) | Err(Error::Overloaded { cause: None, .. }) => {}
            failed => break failed,
        }
    };
    let Err(Error::Overloaded { waited, cause: Some(cause), .. }) = &result else {
        panic!("{result:?}")
    };
    let waited_ms = waited.as_millis();
    assert!(matches!(**cause, Error::Io { op: "write", .. }), "{cause:?}");
    let sentence = format!(
        "memtables are full and cannot be flushed (waited {waited_ms} ms): {cause}; the write had \
         no effect: the flush is tried again by itself, and writing resumes when it succeeds"
    );
    check(result, Class::Retryable, &sentence);
    sim.set_fault(None);
    db.flush().unwrap();
    db.put("k", "v").unwrap();
}

#[test]
fn a_failed_sync_stops_writing_and_says_why() {
    let (db, sim) = fresh();
    db.put("a", "1").unwrap();
    // Sticky, because the log thread syncs spares meanwhile.
    sim.set_fault(Some(FaultPlan::new(OpKind::Sync).on(".wal").error(ErrorKind::Other).sticky()));
    let result = db.put_with("b", "2", Durability::Sync);
    let Err(Error::WriterStopped { cause, .. }) = &result else { panic!("{result:?}") };
    let sentence = format!(
        "writing has stopped, because an earlier call failed ({cause}); reads go on: reopen the \
         database to recover"
    );
    let error = check(result.clone(), Class::Final, &sentence);
    assert_eq!(error.source().unwrap().to_string(), cause.to_string());
    check(db.put("c", "3"), Class::Final, &sentence);
    check(db.insert_if_absent("c", "3"), Class::Final, &sentence);
    check(db.sync(), Class::Final, &sentence);
    assert!(db.contains_key("a").unwrap());
}

#[test]
fn damage_is_named_with_its_place() {
    let (db, sim) = fresh();
    db.put("k", vec![b'v'; 1_000]).unwrap();
    db.flush().unwrap();
    let segment = file(&sim, ".seg");
    assert!(sim.flip(&segment, 300, 1));
    let result = db.get("k");
    let Err(Error::Corruption { file, offset, what, expected, got, .. }) = &result else {
        panic!("{result:?}")
    };
    assert_eq!(file, Path::new(&segment));
    let sentence = format!(
        "{segment} is damaged: {what} at byte {offset}: expected {expected}, got {got}; nothing \
         was changed: copy the directory before any repair, and restore the file from a backup; \
         what else can be read comes with Range::skip_damaged"
    );
    check(result.clone(), Class::Corruption, &sentence);
    // A range says so once, and so does everything else that needs the block.
    let mut range = db.range(..);
    check(range.next().unwrap(), Class::Corruption, &sentence);
    assert!(range.next_back().is_none());
    check(db.len(), Class::Corruption, &sentence);
    check(db.first(), Class::Corruption, &sentence);
    check(db.multi_get(["k"]), Class::Corruption, &sentence);
    check(db.update("k", |_| None), Class::Corruption, &sentence);
    check(db.explain("k"), Class::Corruption, &sentence);
}

#[test]
fn a_newer_format_asks_for_a_newer_version() {
    let (db, sim) = fresh();
    db.close().unwrap();
    drop(db);
    // CURRENT with format version 2, and its checksum made good.
    let mut bytes = sim.read_file("/db/CURRENT").unwrap();
    bytes[8] = 2;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..40]);
    bytes[40..48].copy_from_slice(&sum.to_le_bytes());
    sim.write_file("/db/CURRENT", &bytes);
    let sentence = "/db/CURRENT cannot be used by this version: CURRENT: expected version 1, got \
                    2; nothing was changed: open it with the version that wrote it, or a newer one";
    check(builder(&sim).open(), Class::Final, sentence);
}
