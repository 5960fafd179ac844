//! An open database stays in its directory: wherever the process goes, wherever the directory is
//! moved, and whatever takes its place. Where that cannot be, writing stops. (I36)

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;

use alluvium::{BackupOptions, Backups, Db, DirStore};

use crate::{alone, assert_has, assert_lost, both, closed, remove_all, small, write};

/// Symptom: two databases were damaged without a word. Mechanism: `data` was looked up again for
/// each file, in whatever directory was current by then. Fix: a handle of the directory, or its
/// full path.
#[test]
fn a_process_may_go_elsewhere() {
    alone("places::a_process_may_go_elsewhere", || {
        both(|builder| {
            let dir = tempfile::tempdir().unwrap();
            let here = dir.path().join("here");
            let there = dir.path().join("there");
            std::fs::create_dir(&here).unwrap();
            std::fs::create_dir(&there).unwrap();
            closed(&there.join("data"), "theirs", 500);
            std::env::set_current_dir(&here).unwrap();
            let db = builder(Path::new("data")).open().unwrap();
            write(&db, "before", 500);
            std::env::set_current_dir(&there).unwrap();
            write(&db, "after", 500);
            db.keyspace("more").unwrap();
            db.compact().unwrap();
            write(&db, "again", 500);
            assert!(db.verify().unwrap().is_sound());
            db.close().unwrap();
            assert_eq!(db.path(), Path::new("data"));
            let counts = [("before", 500), ("after", 500), ("again", 500)];
            assert_has(&here.join("data"), &counts);
            assert_has(&there.join("data"), &[("theirs", 500)]);
            // Not in a directory that will be gone.
            std::env::set_current_dir("/").unwrap();
        });
    });
}

/// As the one before, where the same name is another directory's.
#[test]
fn a_directory_may_be_moved_and_another_take_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let moved = dir.path().join("moved");
    let db = small(&data).open().unwrap();
    write(&db, "before", 500);
    std::fs::rename(&data, &moved).unwrap();
    closed(&data, "theirs", 500);
    write(&db, "after", 500);
    db.compact().unwrap();
    db.sync().unwrap();
    assert!(db.verify().unwrap().is_sound());
    assert!(db.health().is_healthy(), "{}", db.health());
    // It is open there, and locked.
    let locked = small(&moved).open();
    assert!(matches!(locked, Err(alluvium::Error::Locked { .. })), "{locked:?}");
    db.close().unwrap();
    assert_has(&moved, &[("before", 500), ("after", 500)]);
    assert_has(&data, &[("theirs", 500)]);
}

/// Where only the path is known: nothing is written where it was not opened, and writing stops.
#[test]
fn by_its_path_alone_a_directory_that_is_moved_stops_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let moved = dir.path().join("moved");
    let db = small(&data).fs(std::sync::Arc::new(crate::Wrapper::default())).open().unwrap();
    write(&db, "before", 500);
    std::fs::rename(&data, &moved).unwrap();
    closed(&data, "theirs", 500);
    assert_lost(db.sync());
    assert_lost(db.put("after", "lost"));
    assert_eq!(db.prefix("before").map(Result::unwrap).count(), 500, "reads go on");
    assert!(db.close().is_err());
    assert_has(&moved, &[("before", 500)]);
    assert_has(&data, &[("theirs", 500)]);
}

#[test]
fn a_link_to_the_directory_may_be_turned_elsewhere() {
    both(|builder| {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        closed(&path("one"), "one", 500);
        closed(&path("two"), "two", 500);
        symlink("one", path("data")).unwrap();
        let db = builder(&path("data")).open().unwrap();
        std::fs::remove_file(path("data")).unwrap();
        symlink("two", path("data")).unwrap();
        write(&db, "more", 500);
        db.compact().unwrap();
        db.close().unwrap();
        assert_has(&path("one"), &[("one", 500), ("more", 500)]);
        assert_has(&path("two"), &[("two", 500)]);
    });
}

/// Symptom: writes and syncs went on saying Ok, into files that nobody will find. Mechanism: files
/// that are open outlive their names. Fix: what makes durable looks whether the directory is there.
#[test]
fn a_directory_that_is_removed_stops_the_writer() {
    both(|builder| {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let db = builder(&data).open().unwrap();
        write(&db, "before", 500);
        db.put("in memory", "only").unwrap();
        remove_all(&data);
        assert_lost(db.sync());
        assert_lost(db.put("more", "lost"));
        assert_lost(db.put_with("more", "lost", alluvium::Durability::Sync));
        assert!(!db.health().is_healthy());
        // Reads go on, of all that is in memory or open.
        assert_eq!(db.get("in memory").unwrap().as_deref(), Some(&b"only"[..]));
        assert!(db.close().is_err());
        // The place is free for another.
        closed(&data, "new", 10);
        assert_has(&data, &[("new", 10)]);
    });
}

#[test]
fn a_directory_that_is_emptied_stops_the_writer() {
    both(|builder| {
        let dir = tempfile::tempdir().unwrap();
        let db = builder(dir.path()).open().unwrap();
        write(&db, "before", 500);
        db.put("k", "v").unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            // The database removes some itself.
            let _ = std::fs::remove_file(entry.unwrap().path());
        }
        assert_lost(db.put_with("more", "lost", alluvium::Durability::Sync));
        assert_lost(db.flush());
        assert!(db.close().is_err());
    });
}

/// Each way in that makes something durable notices, and the periodic sync without being asked.
#[test]
fn every_way_to_durability_notices() {
    let noticed = |notice: &dyn Fn(&Db)| {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let db = small(&data).sync_every(std::time::Duration::from_millis(5)).open().unwrap();
        db.put("k", "v").unwrap();
        remove_all(&data);
        notice(&db);
        assert_lost(db.put("more", "lost"));
    };
    noticed(&|db| assert_lost(db.flush()));
    noticed(&|db| assert!(db.keyspace("new").is_err()));
    noticed(&|db| assert!(db.compact().is_err()));
    noticed(&|db| {
        while db.health().writer_stopped.is_none() {
            std::thread::yield_now();
        }
    });
}

/// Symptom: the directory of a temporary database was removed by name. Mechanism: whatever had that
/// name by then went. Fix: it goes only if it is the one that was made.
#[test]
fn a_temporary_database_removes_no_other_directory() {
    let db = Db::temporary().unwrap();
    let path = db.path().to_path_buf();
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("precious"), "mine").unwrap();
    drop(db);
    let kept = std::fs::read(path.join("precious")).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::remove_dir_all(&aside).unwrap();
    assert_eq!(kept, b"mine");
}

#[test]
fn a_current_directory_that_is_gone_is_told() {
    alone("places::a_current_directory_that_is_gone_is_told", || {
        let dir = tempfile::tempdir().unwrap();
        std::env::set_current_dir(dir.path()).unwrap();
        dir.close().unwrap();
        let opened = Db::open("data");
        assert!(matches!(opened, Err(alluvium::Error::Io { .. })), "{opened:?}");
        let absolute = tempfile::tempdir_in("/tmp").unwrap();
        closed(&absolute.path().join("data"), "k", 10);
    });
}

/// What a user saves and loads is by paths of the user's, of the process as it is then.
#[test]
fn index_snapshots_go_where_the_process_is() {
    alone("places::index_snapshots_go_where_the_process_is", || {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("here");
        let there = dir.path().join("there");
        std::fs::create_dir_all(here.join("data")).unwrap();
        std::fs::create_dir_all(there.join("data")).unwrap();
        std::env::set_current_dir(&here).unwrap();
        let db = small(Path::new("data")).open().unwrap();
        write(&db, "k", 500);
        std::env::set_current_dir(&there).unwrap();
        db.save_index_snapshot("data/saved").unwrap();
        assert!(there.join("data/saved").exists() && !here.join("data/saved").exists());
        db.load_index_snapshot("data/saved").unwrap();
        db.close().unwrap();
        std::env::set_current_dir("/").unwrap();
    });
}

/// Symptom: a record in one directory, of segments that were in another. Mechanism: a relative path
/// was looked up again for each object. Mend: a place has its full path from when it is named.
#[test]
fn backups_go_where_the_process_was() {
    alone("places::backups_go_where_the_process_was", || {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("here");
        let there = dir.path().join("there");
        std::fs::create_dir_all(&here).unwrap();
        std::fs::create_dir_all(&there).unwrap();
        std::env::set_current_dir(&here).unwrap();
        let db = small(Path::new("data")).open().unwrap();
        write(&db, "k", 500);
        let gone = Mutex::new(Some(there.clone()));
        let backups = Backups::new(DirStore::new("saved")).progress(move |done, _| {
            if done > 0
                && let Some(there) = gone.lock().unwrap().take()
            {
                std::env::set_current_dir(there).unwrap();
            }
        });
        backups.create(&db, &BackupOptions::new()).unwrap();
        assert!(!there.join("saved").exists());
        assert!(backups.verify(1).unwrap().is_sound());
        let missing = backups.info(2).unwrap_err().to_string();
        assert!(missing.ends_with("there is no backup 2 in saved"), "{missing}");
        backups.restore(None, "restored").unwrap();
        assert_has(&there.join("restored"), &[("k", 500)]);
        db.close().unwrap();
        std::env::set_current_dir("/").unwrap();
    });
}
