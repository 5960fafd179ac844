//! A layer over a file system, for tests that watch some calls or answer them otherwise: all others
//! are passed on, those that do not exist yet too, once they stand here.
//!
//! Integration tests have this file by its path, so it takes its names from the module above.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Arc, Fs, FsFile, FsLock, OpenMode};

/// What a test has to say about the calls of a file system.
pub(crate) trait FsLayer: fmt::Debug + Send + Sync + 'static {
    /// Where calls are passed on to.
    fn inner(&self) -> &dyn Fs;

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.inner().open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner().create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner().list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner().sync_dir(dir)
    }

    /// None, or the layer would see nothing any more.
    fn enter(&self, _dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        Ok(None)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.inner().free_bytes(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.inner().lock(path, shared, create)
    }
}

/// A file system under a layer.
#[derive(Clone, Debug)]
pub(crate) struct Layered<L>(pub(crate) L);

impl<L: FsLayer> Fs for Layered<L> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.0.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn enter(&self, dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        self.0.enter(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.0.free_bytes(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.0.lock(path, shared, create)
    }
}

/// What a test has to say about the calls of a file.
pub(crate) trait FileLayer: fmt::Debug + Send + Sync + 'static {
    /// Where calls are passed on to.
    fn inner(&self) -> &dyn FsFile;

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner().read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner().write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner().sync_data()
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.inner().sync_below(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner().set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner().len()
    }

    fn names(&self) -> io::Result<u64> {
        self.inner().names()
    }

    /// None, or the layer would see no write.
    fn overwriter(&self, _len: u64) -> Option<Arc<dyn FsFile>> {
        None
    }
}

/// A file under a layer.
#[derive(Debug)]
pub(crate) struct LayeredFile<L>(pub(crate) L);

impl<L: FileLayer> FsFile for LayeredFile<L> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.0.sync_below(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn names(&self) -> io::Result<u64> {
        self.0.names()
    }

    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        self.0.overwriter(len)
    }
}
