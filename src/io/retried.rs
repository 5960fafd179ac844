//! The one place where a lack of descriptors is met: each call that takes one has room made for it
//! by closing files that are not in use, and is tried again (`files`).
//!
//! An open wraps the file system that it is given in this, so that everything above it is behind
//! it, and nothing above it need know.

use std::io;
use std::path::Path;

use super::files::Files;
use super::{Fs, FsFile, FsLock, OpenMode};
use crate::sync::Arc;

/// Another file system, whose calls are tried again where the system has no descriptor left.
#[derive(Debug)]
pub(crate) struct RetriedFs {
    fs: Arc<dyn Fs>,
    files: Arc<Files>,
}

impl RetriedFs {
    /// Gives back what this process keeps open.
    pub(crate) fn new(fs: Arc<dyn Fs>) -> Self {
        Self::among(fs, Arc::clone(Files::of_process()))
    }

    pub(super) fn among(fs: Arc<dyn Fs>, files: Arc<Files>) -> Self {
        Self { fs, files }
    }
}

impl Fs for RetriedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.files.with_room(|| self.fs.open(path, mode))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.with_room(|| self.fs.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.with_room(|| self.fs.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.with_room(|| self.fs.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.with_room(|| self.fs.remove(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.with_room(|| self.fs.hard_link(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.with_room(|| self.fs.sync_dir(dir))
    }

    fn enter(&self, dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        let entered = self.files.with_room(|| self.fs.enter(dir))?;
        let inside = |fs| Arc::new(Self::among(fs, Arc::clone(&self.files))) as Arc<dyn Fs>;
        Ok(entered.map(inside))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.files.with_room(|| self.fs.free_bytes(dir))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.files.with_room(|| self.fs.lock(path, shared, create))
    }
}
