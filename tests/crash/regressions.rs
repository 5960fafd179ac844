//! Bugs that the other files found, each in its smallest form: symptom, mechanism, fix.

use std::sync::Arc;

use alluvium::Db;
use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};

fn open(fs: &SimFs) -> Db {
    Db::builder("data").memtable_bytes(4 << 10).fs(Arc::new(fs.clone())).open().unwrap()
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
        fs.set_fault(Some(FaultPlan::new(OpKind::Write).on("MANIFEST")));
        db.drop_keyspace("tmp").unwrap_err();
        assert_eq!(fs.fault_fired(), 1);
        let (fs, db) = if crash {
            let fs = fs.crash(CrashMode::PowerLoseAll, 1);
            let db = open(&fs);
            (fs, db)
        } else {
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
