//! A directory that is known by its path alone: looked at before each operation on a name, so that
//! none happens in another directory that has taken its place.

use std::io;
use std::path::{Path, PathBuf};

use super::{Fs, FsFile, FsLock, OpenMode};
use crate::sync::{Arc, Weak};

/// Another file system, for as long as the locked directory is where it was. The operations reach
/// that file system as they are.
#[derive(Debug)]
pub(crate) struct GuardedFs {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Weak, because the database gives its lock up while this still lives.
    lock: Weak<dyn FsLock>,
}

impl GuardedFs {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: PathBuf, lock: &Arc<dyn FsLock>) -> Self {
        Self { fs, dir, lock: Arc::downgrade(lock) }
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        let lost = || self.lock.upgrade().is_some_and(|lock| !lock.is_current());
        if path.starts_with(&self.dir) && lost() {
            return Err(io::Error::other("its directory was removed, moved or replaced"));
        }
        Ok(())
    }
}

impl Fs for GuardedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.check(path)?;
        self.fs.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.fs.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check(dir)?;
        self.fs.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(to)?;
        self.fs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        self.fs.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.fs.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(dir)?;
        self.fs.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.check(dir)?;
        self.fs.free_bytes(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.fs.lock(path, shared, create)
    }
}
