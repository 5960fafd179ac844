//! Directories that move, locks that are removed, names that others made: on a real disk, by the
//! public API.
//!
//! `places` is where an open database's files are, `locks` who else may open it, `names` what
//! others put under its names, `synced` directories that cannot be synced. Each test that changes
//! the current directory runs in a process of its own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod locks;
mod names;
mod places;
mod starved;
mod synced;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alluvium::io::{DiskFs, Fs, FsFile, FsLock, OpenMode};
use alluvium::{Builder, Db, Error};

/// Names the one test that a process is for.
const ALONE: &str = "ALLUVIUM_ALONE";

/// Runs `body` in a process of its own: this test binary again, for the test with this name only.
fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{test}: {text}");
}

/// A file system as programs wrap it: it counts, and has only what [`Fs`] asks for.
#[derive(Clone, Debug, Default)]
struct Wrapper {
    /// Files that were opened through it.
    opened: Arc<AtomicU64>,
    /// What a sync of a directory says, if not what the disk says.
    sync_dir_fails: Option<io::ErrorKind>,
    lock: Locking,
}

/// What the lock on a path is.
#[derive(Clone, Debug, Default)]
enum Locking {
    /// The disk's.
    #[default]
    Each,
    /// The disk's, and who has locked the file meets a gate.
    Gated(Arc<LockGate>),
    /// One for everything, in this process.
    Own(Arc<AtomicBool>),
    /// One for everything: the disk's on this file.
    File(PathBuf),
}

/// Holds the next thread that has taken the lock on the lock file.
#[derive(Debug, Default)]
struct LockGate {
    closed: AtomicBool,
    arrived: AtomicBool,
}

impl LockGate {
    fn pass(&self, path: &Path) {
        if path.ends_with("LOCK") && self.closed.load(Ordering::SeqCst) {
            self.arrived.store(true, Ordering::SeqCst);
            while self.closed.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    }
}

/// Held for as long as the flag is set.
#[derive(Debug)]
struct Flagged(Arc<AtomicBool>);

impl FsLock for Flagged {}

impl Drop for Flagged {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Fs for Wrapper {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        DiskFs.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DiskFs.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskFs.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskFs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskFs.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync_dir_fails.map_or_else(|| DiskFs.sync_dir(dir), |kind| Err(kind.into()))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        match &self.lock {
            Locking::Each => DiskFs.lock(path, shared, create),
            Locking::Gated(gate) => DiskFs.lock(path, shared, create).inspect(|_| gate.pass(path)),
            Locking::Own(flag) if flag.swap(true, Ordering::Relaxed) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Locking::Own(flag) => Ok(Box::new(Flagged(Arc::clone(flag)))),
            Locking::File(path) => DiskFs.lock(path, shared, true),
        }
    }
}

/// On the disk itself, and through a wrapper.
fn both(check: impl Fn(&dyn Fn(&Path) -> Builder)) {
    check(&small);
    let wrapper = Wrapper::default();
    check(&|path| small(path).fs(Arc::new(wrapper.clone())));
    assert!(wrapper.opened.load(Ordering::Relaxed) > 5, "the wrapper has seen the operations");
}

/// Small memtables, so that little is written for a test.
fn small(path: &Path) -> Builder {
    Db::builder(path).memtable_bytes(16 << 10).flush_bytes(16 << 10).compaction_threads(1)
}

/// Writes `count` keys that begin with `prefix`, and flushes them.
fn write(db: &Db, prefix: &str, count: usize) {
    for number in 0..count {
        db.put(format!("{prefix}{number:04}"), [7; 50]).unwrap();
    }
    db.flush().unwrap();
}

/// A closed database with the keys of [`write`].
fn closed(path: &Path, prefix: &str, count: usize) {
    let db = small(path).open().unwrap();
    write(&db, prefix, count);
    db.close().unwrap();
}

/// Removes a directory with everything in it, and what the database puts there meanwhile.
fn remove_all(dir: &Path) {
    while dir.exists() {
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Asserts that a database opens, is sound, and has that many keys of each prefix and no others.
#[track_caller]
fn assert_has(path: &Path, counts: &[(&str, usize)]) {
    let db = small(path).open().unwrap();
    assert!(db.verify().unwrap().is_sound());
    for (prefix, count) in counts {
        assert_eq!(db.prefix(prefix).map(Result::unwrap).count(), *count, "{prefix}");
    }
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(db.range(..).map(Result::unwrap).count(), all);
    db.close().unwrap();
}

/// Asserts that writing has stopped because the directory is gone.
#[track_caller]
fn assert_lost<T: std::fmt::Debug>(result: Result<T, Error>) {
    let Err(Error::WriterStopped { cause, .. }) = &result else { panic!("{result:?}") };
    assert!(matches!(**cause, Error::DirectoryLost { .. }), "{cause:?}");
    assert!(cause.to_string().contains("removed, moved or replaced"), "{cause}");
}
