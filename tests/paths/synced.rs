//! Directories that cannot be synced, or not read.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use alluvium::{Db, Durability, Error};

use crate::{Wrapper, assert_has, small, write};

/// Some file systems sync no directory, and say so. Nothing is gained by giving up.
#[test]
fn a_file_system_that_syncs_no_directory_is_used_all_the_same() {
    for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported] {
        let dir = tempfile::tempdir().unwrap();
        let fs = Wrapper { sync_dir_fails: Some(kind), ..Wrapper::default() };
        let open = || small(&dir.path().join("a/data")).fs(Arc::new(fs.clone())).open().unwrap();
        let db = open();
        write(&db, "k", 500);
        db.put_with("durable", "v", Durability::Sync).unwrap();
        db.save_index_snapshot(dir.path().join("saved")).unwrap();
        db.compact().unwrap();
        drop(db);
        let db = open();
        assert_eq!(db.range(..).map(Result::unwrap).count(), 501);
        db.close().unwrap();
        assert_has(&dir.path().join("a/data"), &[("k", 500), ("durable", 1)]);
    }
}

/// What is no such word is an error as before.
#[test]
fn a_sync_of_the_directory_that_fails_is_an_error() {
    for kind in [ErrorKind::Other, ErrorKind::PermissionDenied, ErrorKind::TimedOut] {
        let dir = tempfile::tempdir().unwrap();
        let fs = Wrapper { sync_dir_fails: Some(kind), ..Wrapper::default() };
        let opened = small(dir.path()).fs(Arc::new(fs)).open();
        assert!(matches!(opened, Err(Error::Io { op: "sync", .. })), "{opened:?}");
    }
}

/// One may make a directory where one may not read. Symptom: the first open failed, once it had
/// made the directory; the second succeeded. Mechanism: the parent was opened to sync it. Fix: it
/// is left to the sync of what is made in the directory.
#[test]
fn a_directory_whose_parent_cannot_be_read_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().join("parent");
    std::fs::create_dir(&parent).unwrap();
    let rights = |mode| std::fs::set_permissions(&parent, PermissionsExt::from_mode(mode)).unwrap();
    rights(0o300);
    let opened = Db::open(parent.join("data")).and_then(|db| {
        db.put_with("k", "v", Durability::Sync)?;
        db.close()
    });
    let readable = std::fs::read_dir(&parent).is_ok();
    rights(0o700);
    opened.unwrap();
    assert_has(&parent.join("data"), &[("k", 1)]);
    if readable {
        // Whoever runs this may read everything, so the same by the file system's word.
        use alluvium::io::{DiskFs, Fs};
        assert!(DiskFs.sync_dir(&parent).is_ok());
    }
}
