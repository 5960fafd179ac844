//! Keyspaces whose names change, cut off at each operation of the disk.

use std::sync::Arc;
use std::time::Duration;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Db, Error};

fn open(fs: &SimFs) -> Db {
    let builder = Db::builder("data").memtable_bytes(4 << 10).compaction_threads(0);
    builder.sync_every(Duration::ZERO).fs(Arc::new(fs.clone())).open().unwrap()
}

/// What each keyspace has under the key `k`, with its name; the default one has nothing.
fn contents(db: &Db) -> Vec<(String, Option<String>)> {
    let names = db.keyspaces().into_iter().filter(|name| name != "default");
    let with_value = |name: String| {
        let keyspace = db.keyspace_if_exists(&name).unwrap().expect("it is listed");
        let value = keyspace.get("k").unwrap();
        (name, value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
    };
    names.map(with_value).collect()
}

/// Carries `change` out on what `prepare` makes, with a crash at each operation in turn, and hands
/// `check` what is there afterwards and whether the change was acknowledged. Returns how many
/// crashes there were.
fn crash_everywhere(
    prepare: impl Fn(&SimFs, &Db),
    change: impl Fn(&Db) -> Result<(), Error>,
    check: impl Fn(&Db, bool),
) -> u64 {
    for step in 1.. {
        let fs = SimFs::new();
        let db = open(&fs);
        prepare(&fs, &db);
        fs.crash_at(fs.op_count() + step);
        let changed = change(&db).is_ok();
        let crashed = fs.crashed();
        assert!(crashed || changed, "it fails without a crash");
        for &mode in CrashMode::ALL {
            let after = fs.crash(mode, step);
            let db = open(&after);
            check(&db, changed);
            let found = contents(&db);
            db.close().unwrap();
            drop(db);
            assert_eq!(contents(&open(&after)), found, "{mode:?} at {step}: after another open");
        }
        if !crashed {
            return step - 1;
        }
    }
    unreachable!("the loop ends by itself")
}

fn named(name: &str, value: &str) -> Vec<(String, Option<String>)> {
    vec![(name.to_owned(), Some(value.to_owned()))]
}

/// A power loss may take what was written, as long as the rename is not acknowledged; never the
/// rename alone. It did: the new name stood, durably, without its last writes, because nothing
/// synced the log.
#[test]
fn a_crash_leaves_the_old_name_or_the_new_one_with_all_that_was_written() {
    let prepare = |_: &SimFs, db: &Db| {
        let old = db.keyspace("old").unwrap();
        old.put("k", "v").unwrap();
    };
    let change = |db: &Db| db.rename_keyspace("old", "new");
    let crashes = crash_everywhere(prepare, change, |db, renamed| {
        let found = contents(db);
        let lost = vec![("old".to_owned(), None)];
        let old = !renamed && (found == named("old", "v") || found == lost);
        assert!(old || found == named("new", "v"), "{found:?}, renamed: {renamed}");
    });
    assert!(crashes >= 4, "{crashes}");
}

/// The new name is one that the manifest still holds for a keyspace whose drop it was not told.
#[test]
fn a_crash_leaves_one_name_where_the_other_was_dropped_unsaid() {
    let prepare = |fs: &SimFs, db: &Db| {
        db.keyspace("old").unwrap().put("k", "v").unwrap();
        db.keyspace("new").unwrap().put("k", "dropped").unwrap();
        fs.set_fault(Some(FaultPlan::new(OpKind::Write).on("MANIFEST").sticky()));
        db.drop_keyspace("new").unwrap();
        assert!(fs.fault_fired() > 0);
        fs.set_fault(None);
    };
    let change = |db: &Db| db.rename_keyspace("old", "new");
    let crashes = crash_everywhere(prepare, change, |db, renamed| {
        let found = contents(db);
        let old = !renamed && found == named("old", "v");
        assert!(old || found == named("new", "v"), "{found:?}, renamed: {renamed}");
    });
    assert!(crashes >= 4, "{crashes}");
}
