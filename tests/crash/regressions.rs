//! Bugs that the other files found, each in its smallest form: symptom, mechanism, fix.

use std::sync::Arc;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Db, Durability};

fn open(fs: &SimFs) -> Db {
    let builder = Db::builder("data").memtable_bytes(4 << 10).compaction_threads(0);
    builder.fs(Arc::new(fs.clone())).open().unwrap()
}

/// Symptom: after a drop whose manifest edit did not come to pass, by a crash or a full disk, the
/// name could not be used again ("expected a new keyspace's name, got … again") until the next
/// flush. Mechanism: the log said dropped, the manifest still had the name, and only the flush of
/// the control record's memtable told it. Fix: making a keyspace says an unsaid drop in the same
/// edit.
#[test]
fn a_name_is_free_after_a_drop_that_the_manifest_missed() {
    for crash in [false, true] {
        let fs = SimFs::new();
        let db = open(&fs);
        db.keyspace("tmp").unwrap().put("k", "old").unwrap();
        db.sync().unwrap();
        fs.set_fault(Some(FaultPlan::new(OpKind::Write).on("MANIFEST").sticky()));
        db.drop_keyspace("tmp").unwrap();
        assert!(fs.fault_fired() > 0);
        let (fs, db) = if crash {
            let fs = fs.crash(CrashMode::PowerLoseAll, 1);
            fs.set_fault(None);
            let db = open(&fs);
            (fs, db)
        } else {
            fs.set_fault(None);
            (fs, db)
        };
        assert_eq!(db.keyspaces(), ["default"]);
        let tmp = db.keyspace("tmp").unwrap();
        assert_eq!(tmp.get("k").unwrap().as_deref(), None);
        tmp.put("k", "new").unwrap();
        db.sync().unwrap();
        let fs = fs.crash(CrashMode::PowerLoseAll, 2);
        let tmp = open(&fs).keyspace("tmp").unwrap();
        assert_eq!(tmp.get("k").unwrap().as_deref(), Some(&b"new"[..]));
    }
}

/// Symptom: a missing segment was reported as a failed system call, which `is_corruption()`
/// denies, so that a caller would try again. Mechanism: the open's error was passed on. Fix: a
/// file that the manifest names and that is not there is damage.
#[test]
fn a_missing_segment_is_damage() {
    let fs = SimFs::new();
    let db = open(&fs);
    db.put("k", "v").unwrap();
    db.close().unwrap();
    drop(db);
    assert!(fs.remove_file("data/000001.seg"));
    let error = Db::builder("data").fs(Arc::new(fs)).open().unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains("000001.seg"), "{error}");
}

/// Symptom: an open that failed, because the log named a keyspace that the manifest did not know,
/// had healed the log and begun a manifest. Mechanism: the records were looked into after the
/// healing. Fix: what may find damage comes before anything that writes.
#[test]
fn a_failed_open_leaves_everything_as_it_was() {
    let fs = SimFs::new();
    let db = open(&fs);
    let before = fs.read_file("data/MANIFEST-000001").unwrap();
    db.keyspace("tmp").unwrap().put("k", "v").unwrap();
    let fs = fs.crash(CrashMode::PowerKeepAll, 1);
    // The edit that made the keyspace is cut off.
    fs.write_file("data/MANIFEST-000001", &before);
    let contents = || {
        let names = fs.files("data").into_iter().filter(|name| name != "LOCK");
        names.map(|name| (fs.read_file(format!("data/{name}")), name)).collect::<Vec<_>>()
    };
    let then = contents();
    let error = Db::builder("data").fs(Arc::new(fs.clone())).open().unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert!(contents() == then, "something changed");
}

/// Symptom: one flipped bit in the manifest's last record, and an open succeeded without a batch
/// that had been synced and flushed; its segment was removed as an orphan. Mechanism: only a later
/// record says of an edit that it was synced, and behind the last one there was none, so that its
/// damage read as an append that a crash had cut off. Fix: a mark is written and synced behind each
/// edit.
#[test]
fn a_damaged_last_edit_is_an_error_and_loses_nothing() {
    let fs = SimFs::new();
    let db = open(&fs);
    db.put("first", "v").unwrap();
    db.close().unwrap();
    let manifests = || -> Vec<_> {
        fs.files("data").into_iter().filter(|name| name.starts_with("MANIFEST")).collect()
    };
    let db = open(&fs);
    let started = manifests().pop().unwrap();
    let started = fs.read_file(format!("data/{started}")).unwrap().len();
    db.put_with("second", [b'x'; 2_000], Durability::Sync).unwrap();
    db.close().unwrap();
    drop(db);
    let [manifest] = &manifests()[..] else { panic!("{:?}", manifests()) };
    let manifest = format!("data/{manifest}");
    let len = fs.read_file(&manifest).unwrap().len();
    assert!(len > started + 80, "the flush left no edit");
    let mut refused = 0;
    let names = fs.files("data");
    for at in started..len {
        assert!(fs.flip(&manifest, at as u64, 1));
        match Db::builder("data").read_only(true).fs(Arc::new(fs.clone())).open() {
            Ok(db) => assert!(db.get("second").unwrap().is_some(), "byte {at} of {len}"),
            Err(error) => {
                assert!(error.is_corruption() && at < len - 40, "byte {at}: {error}");
                let error = Db::builder("data").fs(Arc::new(fs.clone())).open().unwrap_err();
                assert!(error.is_corruption(), "byte {at}: {error}");
                refused += 1;
            }
        }
        assert!(fs.flip(&manifest, at as u64, 1));
    }
    assert_eq!(refused, len - 40 - started);
    assert_eq!(fs.files("data"), names);
}
