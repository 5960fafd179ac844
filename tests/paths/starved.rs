//! A process that has no descriptor left, at each of the calls that take one.

#[allow(dead_code, reason = "it is for files, too")]
#[path = "../../src/io/testing.rs"]
mod layers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::Error;
use alluvium::io::{DiskFs, Fs, FsFile, FsLock, OpenMode};

use crate::{assert_has, closed, small, write};
use layers::{FsLayer, Layered};

/// The calls that take a descriptor.
const CALLS: [&str; 6] = ["open", "create_dir_all", "list", "sync_dir", "enter", "lock"];

/// EMFILE.
const TOO_MANY: i32 = 24;

/// A disk of which one kind of call fails for want of a descriptor, for a number of times.
#[derive(Clone, Debug)]
struct Starved {
    fs: Arc<dyn Fs>,
    call: &'static str,
    left: Arc<AtomicU64>,
}

impl Starved {
    fn new(call: &'static str, times: u64) -> Self {
        Self { fs: Arc::new(DiskFs), call, left: Arc::new(AtomicU64::new(times)) }
    }

    fn begin(&self, call: &str) -> io::Result<()> {
        let one_less = |left: u64| left.checked_sub(1);
        let order = Ordering::Relaxed;
        let left = &self.left;
        if call == self.call && left.fetch_update(order, order, one_less).is_ok() {
            return Err(io::Error::from_raw_os_error(TOO_MANY));
        }
        Ok(())
    }
}

impl FsLayer for Starved {
    fn inner(&self) -> &dyn Fs {
        &*self.fs
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.begin("open")?;
        self.fs.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.begin("create_dir_all")?;
        self.fs.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.begin("list")?;
        self.fs.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.begin("sync_dir")?;
        self.fs.sync_dir(dir)
    }

    fn enter(&self, dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        self.begin("enter")?;
        let inside = |fs| Arc::new(Layered(Self { fs, ..self.clone() })) as Arc<dyn Fs>;
        Ok(self.fs.enter(dir)?.map(inside))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.begin("lock")?;
        self.fs.lock(path, shared, create)
    }
}

/// What is in a directory.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Symptom: a lack of descriptors for a moment failed opens and flushes, or cost the open database
/// the handle of its directory, or the lock on it, without a word. Mechanism: files alone were
/// opened again; what else takes a descriptor was not, and any error of `enter` and of the
/// directory's lock was taken for "there is no such thing here". Fix: one place for all calls.
#[test]
fn a_lack_of_descriptors_that_passes_costs_nothing() {
    for call in CALLS {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        let moved = parent.path().join("moved");
        closed(&data, "k", 100);
        let fs = Starved::new(call, 2);
        let db = small(&data).fs(Arc::new(Layered(fs.clone()))).open().unwrap();
        // Again while it is open.
        fs.left.store(2, Ordering::Relaxed);
        write(&db, "more", 100);
        db.keyspace("new").unwrap();
        let only_at_open = ["create_dir_all", "enter", "lock", "list"].contains(&call);
        assert!(only_at_open || fs.left.load(Ordering::Relaxed) == 0, "{call} is not tried");
        fs.left.store(0, Ordering::Relaxed);
        // The handle of the directory, and the lock on it.
        std::fs::rename(&data, &moved).unwrap();
        std::fs::remove_file(moved.join("LOCK")).unwrap();
        let other = small(&moved).open();
        assert!(matches!(other, Err(Error::Locked { .. })), "{call}: {other:?}");
        write(&db, "moved", 100);
        assert!(db.health().is_healthy(), "{call}: {}", db.health());
        db.close().unwrap();
        assert_has(&moved, &[("k", 100), ("more", 100), ("moved", 100)]);
    }
}

/// A lack that stays: the open says what to do, and has changed nothing.
#[test]
fn a_lack_of_descriptors_that_stays_is_told() {
    for call in CALLS {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        closed(&data, "k", 100);
        let before = contents(&data);
        for read_only in [false, true] {
            // What no reader needs.
            if read_only && ["create_dir_all", "sync_dir"].contains(&call) {
                continue;
            }
            let fs = Arc::new(Layered(Starved::new(call, u64::MAX)));
            let opened = small(&data).read_only(read_only).fs(fs).open();
            let Err(error) = opened else { panic!("{call}: {opened:?}") };
            assert!(error.is_retryable(), "{call}: {error}");
            assert!(error.to_string().contains("ulimit -n"), "{call}: {error}");
            // By then it has been found to be sound, and a manifest is being made.
            assert!(call == "sync_dir" || contents(&data) == before, "{call}");
        }
        assert_has(&data, &[("k", 100)]);
    }
}
