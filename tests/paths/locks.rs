//! Which other process may open a database, whatever became of its lock file.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alluvium::{Db, Error};

use crate::{LockGate, Locking, Wrapper, alone, assert_has, both, closed, small, write};

#[track_caller]
fn assert_locked(opened: Result<Db, Error>) {
    let Err(error @ Error::Locked { .. }) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().contains("removing the file does not release it"), "{error}");
}

/// Explicitly, because other tests begin processes, which have the file too for a moment.
fn release(file: &File) {
    file.unlock().unwrap();
}

/// Symptom: after `rm LOCK` a second writer came in, and then nothing opened. Mechanism: the lock
/// belonged to a file that nobody could find any more. Fix: a lock on the directory besides, and
/// the file is made again.
#[test]
fn removing_the_lock_file_lets_nobody_in() {
    both(|builder| {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("LOCK");
        let db = builder(dir.path()).open().unwrap();
        write(&db, "before", 100);
        std::fs::remove_file(&lock).unwrap();
        assert_locked(builder(dir.path()).open());
        assert_locked(builder(dir.path()).read_only(true).open());
        write(&db, "after", 100);
        db.sync().unwrap();
        // Versions that know the file alone are kept out again.
        assert!(File::open(&lock).unwrap().try_lock().is_err());
        db.close().unwrap();
        let old = File::open(&lock).unwrap();
        old.try_lock().unwrap();
        release(&old);
        assert_has(dir.path(), &[("before", 100), ("after", 100)]);
    });
}

/// An older version came in by a lock file of its own: the newer one stops.
#[test]
fn a_lock_file_that_is_someone_elses_stops_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("LOCK");
    let db = small(dir.path()).open().unwrap();
    write(&db, "before", 100);
    std::fs::remove_file(&lock).unwrap();
    let other = File::create_new(&lock).unwrap();
    other.lock().unwrap();
    let Err(Error::WriterStopped { cause, .. }) = db.sync() else { panic!("two writers") };
    assert!(matches!(*cause, Error::Locked { .. }), "{cause}");
    release(&other);
    let _ = db.close();
    assert_has(dir.path(), &[("before", 100)]);
}

#[test]
fn versions_that_know_the_lock_file_alone_are_excluded_and_exclude() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("LOCK");
    let db = small(dir.path()).open().unwrap();
    assert!(File::open(&lock).unwrap().try_lock_shared().is_err());
    db.close().unwrap();
    let other = File::options().read(true).write(true).open(&lock).unwrap();
    other.lock().unwrap();
    assert_locked(small(dir.path()).open());
    assert_locked(small(dir.path()).read_only(true).open());
    release(&other);
    small(dir.path()).open().unwrap();
}

#[test]
fn every_other_way_to_the_directory_meets_the_same_lock() {
    alone("locks::every_other_way_to_the_directory_meets_the_same_lock", || {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let db = small(&data).open().unwrap();
        symlink("data", dir.path().join("link")).unwrap();
        std::env::set_current_dir(dir.path()).unwrap();
        for lock_file in [true, false] {
            for way in ["data", "./data/.", "link", "link/../data"] {
                assert_locked(small(Path::new(way)).open());
                assert_locked(small(&dir.path().join(way)).read_only(true).open());
            }
            if lock_file {
                std::fs::remove_file(data.join("LOCK")).unwrap();
            }
        }
        db.close().unwrap();
        std::env::set_current_dir("/").unwrap();
    });
}

/// Also where a reader has found no lock file, as on a medium that takes none.
#[test]
fn readers_share_and_exclude_a_writer() {
    both(|builder| {
        for lock_file in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            closed(dir.path(), "k", 100);
            if !lock_file {
                std::fs::remove_file(dir.path().join("LOCK")).unwrap();
            }
            let readers = [0; 2].map(|_| builder(dir.path()).read_only(true).open().unwrap());
            assert_locked(builder(dir.path()).open());
            for reader in readers {
                reader.close().unwrap();
            }
            assert_has(dir.path(), &[("k", 100)]);
        }
    });
}

/// Symptom: beside a thread that spawns processes nearly each open after a close was `Locked`.
/// Mechanism: a child has the open file until it runs its program, and with it the lock. Fix: the
/// close says to the system that the lock is released.
#[test]
fn a_close_releases_the_lock_whatever_processes_begin_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        // By `fork`, which leaves the child more time with what it has inherited.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let mut command = Command::new("true");
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                command.current_dir("/").status().unwrap();
            }
        });
        let opened = (0..100).try_for_each(|_| small(dir.path()).open()?.close());
        ended.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

/// A lock on something that is no file, or that cannot be had, is an error and no wait.
#[test]
fn what_stands_in_the_place_of_the_lock_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), "k", 10);
    let lock = dir.path().join("LOCK");
    let refused = |what: &str| {
        for read_only in [false, true] {
            let opened = small(dir.path()).read_only(read_only).open();
            assert!(matches!(opened, Err(Error::Io { .. })), "{what}: {opened:?}");
        }
    };
    std::fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    refused("a pipe");
    std::fs::remove_file(&lock).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&lock).unwrap();
    refused("a socket");
    drop(socket);
    std::fs::remove_file(&lock).unwrap();
    symlink("LOCK", &lock).unwrap();
    refused("a link to itself");
    std::fs::remove_file(&lock).unwrap();
    assert_has(dir.path(), &[("k", 10)]);
}

/// Symptom: with an `Fs` whose `lock` is one for everything, each open was `Locked`, by itself.
/// Mechanism: the directory is locked, and the lock file besides. Fix: a lock that does not say
/// that it is of a directory alone is given up before the file's is taken.
#[test]
fn a_file_system_may_have_one_lock_for_everything() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    closed(&data, "k", 100);
    let beside = Locking::File(dir.path().join("beside"));
    let inside = Locking::File(data.join("LOCK"));
    for lock in [Locking::Own(Arc::default()), beside, inside] {
        let fs = Wrapper { lock, ..Wrapper::default() };
        let open = || small(&data).fs(Arc::new(fs.clone())).open();
        for _ in 0..2 {
            let db = open().unwrap();
            assert_locked(open());
            write(&db, "k", 100);
            db.sync().unwrap();
            db.close().unwrap();
        }
    }
    assert_has(&data, &[("k", 100)]);
}

/// Symptom: after `rm LOCK` the writer stopped now and then, because the file was locked.
/// Mechanism: two threads made it again at once, and the second found it locked by the first. Fix:
/// one at a time.
#[test]
fn a_lock_file_that_two_threads_make_again_is_locked_by_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(LockGate::default());
    let fs = Wrapper { lock: Locking::Gated(Arc::clone(&gate)), ..Wrapper::default() };
    let db = small(dir.path()).fs(Arc::new(fs)).sync_every(Duration::ZERO).open().unwrap();
    db.put("k", "v").unwrap();
    gate.closed.store(true, Ordering::SeqCst);
    std::fs::remove_file(dir.path().join("LOCK")).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| db.sync());
        while !gate.arrived.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let second = scope.spawn(|| db.flush());
        // It waits for the first, or is done and wrong. That it waits nobody can see.
        for _ in 0..300 {
            std::thread::sleep(Duration::from_millis(1));
            if second.is_finished() {
                break;
            }
        }
        gate.closed.store(false, Ordering::SeqCst);
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert!(db.health().is_healthy(), "{}", db.health());
    db.close().unwrap();
}
