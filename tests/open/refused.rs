//! A sound database, or none, that cannot be opened as asked.

use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;

use alluvium::io::{FaultPlan, OpKind, SimFs};
use alluvium::{Db, Durability, Error};

use crate::{
    assert_whole, assert_words, builder, closed_database, dead_database, image, path, refused,
    refused_both,
};

/// Set for the child: what to open.
const DIR_VARIABLE: &str = "ALLUVIUM_OPEN_DIR";

#[test]
fn a_second_handle_in_the_same_process_is_locked_out() {
    let fs = closed_database();
    let db = builder(&fs).open().unwrap();
    for read_only in [false, true] {
        let words = ["LOCK", "open elsewhere", "close the other"];
        let error = refused(&fs, |builder| builder.read_only(read_only), &words);
        assert!(
            matches!(&error, Error::Locked { path, .. } if path.ends_with("LOCK")),
            "{error:?}"
        );
        assert!(!error.is_retryable() && !error.is_corruption());
    }
    db.put("k", "still writable").unwrap();
    db.close().unwrap();
    let again = builder(&fs).open().unwrap();
    assert_eq!(again.get("k").unwrap().as_deref(), Some(&b"still writable"[..]));
}

/// The same, with real locks: in this process and in another one.
#[test]
fn another_process_is_locked_out_until_the_close() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    db.put_with("k", "v", Durability::Sync).unwrap();
    let error = Db::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "refused::child", "--nocapture"]);
        let output = child.env(DIR_VARIABLE, directory.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = child();
    assert!(text.contains("child: the database is open elsewhere"), "{text}");
    db.put("k", "w").unwrap();
    db.close().unwrap();
    let text = child();
    assert!(text.contains("child: opened with b\"w\""), "{text}");
}

/// What the other process does; nothing in a run of all tests.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIR_VARIABLE) else { return };
    let text = match Db::open(directory) {
        Ok(db) => format!("opened with {:?}", db.get("k").unwrap().unwrap()),
        Err(error) => error.to_string(),
    };
    println!("\nchild: {text}");
}

#[test]
fn a_file_in_place_of_the_directory_is_told_as_one() {
    let fs = SimFs::new();
    fs.write_file("db", b"mine");
    for create in [true, false] {
        let error = Db::builder("db").fs(Arc::new(fs.clone())).create(create).open().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert_words(&error, &["db", "a database is a directory"]);
    }
    assert_eq!(fs.read_file("db").as_deref(), Some(&b"mine"[..]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        for (create, read_only) in [(true, false), (false, false), (true, true)] {
            let open = Db::builder(&path).create(create).read_only(read_only);
            let error = open.open().unwrap_err();
            assert_words(&error, &["file", "a database is a directory"]);
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn missing_parents_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/c");
    Db::open(&path).unwrap().put("k", "v").unwrap();
    let db = Db::open(&path).unwrap();
    assert_eq!(db.get("k").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(db.path(), path);
}

/// Symptom: an open that was told to make nothing left a lock file in a directory that holds no
/// database. Mechanism: the lock was taken before anybody looked. Fix: where there is no lock file,
/// look first.
#[test]
fn nothing_is_made_where_that_was_not_asked_for() {
    let fs = SimFs::new();
    let words = ["find a database", "db"];
    for read_only in [false, true] {
        let options = |builder: alluvium::Builder| builder.create(false).read_only(read_only);
        let error = refused(&fs, options, &words);
        assert!(matches!(&error, Error::Io { source, .. }
            if source.kind() == ErrorKind::NotFound));
        fs.write_file(path("unrelated"), b"mine");
        refused(&fs, options, &words);
        fs.remove_file(path("unrelated"));
    }
    // Reading makes nothing either, though making is the default.
    refused(&fs, |builder| builder.read_only(true), &words);
    // Without its lock file a database that is not sound is left as it is, too.
    let fs = closed_database();
    fs.remove_file(path("LOCK"));
    fs.remove_file(path("CURRENT"));
    refused_both(&fs, &["CURRENT"]);
    // And a sound one opens.
    let fs = closed_database();
    fs.remove_file(path("LOCK"));
    drop(builder(&fs).create(false).read_only(true).open().unwrap());
    assert!(fs.read_file(path("LOCK")).is_none());
    drop(builder(&fs).create(false).open().unwrap());
    assert!(fs.read_file(path("LOCK")).is_some());
}

/// Symptom: an open in a directory that takes no new files was refused with an end record already
/// written to the log. Mechanism: the manifest, the first new file, comes after the heal. Fix: see
/// whether the directory takes a file before the heal.
#[test]
fn missing_permission_is_told_before_anything_changes() {
    let words = ["db", "check the owner and mode"];
    for kind in [OpKind::Lock, OpKind::Open, OpKind::Read, OpKind::List, OpKind::Create] {
        let (fs, count) = dead_database();
        let plan = FaultPlan::new(kind).error(ErrorKind::PermissionDenied);
        fs.set_fault(Some(plan.clone().sticky()));
        let error = refused(&fs, |builder| builder, &words);
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert!(fs.fault_fired() > 0);
        // Each single call that fails is told just so, whichever it is.
        if kind != OpKind::Create {
            let before = fs.read_count();
            fs.set_fault(None);
            drop(builder(&fs).read_only(true).open().unwrap());
            for nth in 0..fs.read_count() - before {
                fs.set_fault(Some(plan.clone().nth(nth)));
                match builder(&fs).read_only(true).open() {
                    Ok(db) => assert_eq!(fs.fault_fired(), 0, "{kind:?} {nth}: {db:?}"),
                    Err(error) => assert_words(&error, &words),
                }
            }
        }
        fs.set_fault(None);
        assert_whole(&builder(&fs).open().unwrap(), count);
    }
}

#[test]
fn a_read_only_file_system_can_be_read_and_nothing_else() {
    let (fs, count) = dead_database();
    let before = image(&fs);
    let ops = fs.op_count();
    let plan = FaultPlan::new(OpKind::AnyMutating).error(ErrorKind::ReadOnlyFilesystem).sticky();
    fs.set_fault(Some(plan));
    refused(&fs, |builder| builder, &["db", "read-only", "open with read_only(true)"]);
    let ops_refused = fs.op_count() - ops;
    // Everything is there, also what is in the log alone, and to several at once.
    let db = builder(&fs).read_only(true).open().unwrap();
    let other = builder(&fs).read_only(true).open().unwrap();
    assert_whole(&db, count);
    assert_whole(&other, count);
    assert!(db.health().is_healthy());
    let refused_write = |result: alluvium::Result<()>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        assert_words(&error, &["db", "open it for writing"]);
    };
    refused_write(db.put("k", "v").map(drop));
    refused_write(db.delete("k").map(drop));
    refused_write(db.write(&alluvium::WriteBatch::new()).map(drop));
    refused_write(db.flush());
    refused_write(db.keyspace("new").map(drop));
    refused_write(db.drop_keyspace("new"));
    db.keyspace("default").unwrap();
    db.sync().unwrap();
    // A writer has to wait for both.
    fs.set_fault(None);
    let locked = || assert!(matches!(builder(&fs).open(), Err(Error::Locked { .. })));
    locked();
    db.close().unwrap();
    locked();
    drop(other);
    assert_eq!(image(&fs), before);
    assert_eq!(fs.op_count() - ops, ops_refused, "nothing was attempted either");
    let db = builder(&fs).open().unwrap();
    assert_whole(&db, count);
}
