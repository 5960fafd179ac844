//! One directory of the disk, through a handle: its files are reached wherever the directory is
//! moved, and none is reached in another that has taken its place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::at;
use super::file::DiskFile;
use super::lock::{DiskLock, Name};
use crate::io::{Fs, FsFile, FsLock, OpenMode, linked};
use crate::sync::Arc;

/// A directory that is open. Paths below it, as it was named or in full, mean its files; others
/// are for the file system `elsewhere`.
#[derive(Debug)]
pub(super) struct RootedFs {
    dir: Arc<File>,
    named: PathBuf,
    /// The same in full, if that could be told.
    full: Option<PathBuf>,
    elsewhere: Arc<dyn Fs>,
}

/// What a path means.
enum Meaning<'a> {
    /// The directory.
    Root,
    /// A file in it.
    Inside(&'a Path),
    Elsewhere,
}

impl RootedFs {
    pub(super) fn open(path: &Path, elsewhere: Arc<dyn Fs>) -> io::Result<Self> {
        let dir = Arc::new(File::from(at::open_dir(path)?));
        let full = std::path::absolute(path).ok();
        Ok(Self { dir, named: path.to_path_buf(), full, elsewhere })
    }

    fn place<'a>(&self, path: &'a Path) -> Meaning<'a> {
        let roots = [self.full.as_deref(), Some(&self.named)];
        let inside = roots.into_iter().flatten().find_map(|root| path.strip_prefix(root).ok());
        match inside {
            Some(name) if name == Path::new("") => Meaning::Root,
            Some(name) if name.components().count() == 1 => Meaning::Inside(name),
            _ => Meaning::Elsewhere,
        }
    }

    /// What a system call takes for a path: the directory, and the name in it.
    fn name<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
        match self.place(path) {
            Meaning::Inside(name) => (self.dir.as_fd(), name),
            Meaning::Root | Meaning::Elsewhere => (at::CWD, path),
        }
    }
}

impl Fs for RootedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        match self.place(path) {
            Meaning::Inside(name) => DiskFile::open_at(self.dir.as_fd(), name, mode),
            _ => self.elsewhere.open(path, mode),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match self.place(path) {
            Meaning::Root => Ok(()),
            _ => self.elsewhere.create_dir_all(path),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.place(dir) {
            Meaning::Root => at::list(self.dir.as_fd()),
            _ => self.elsewhere.list(dir),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.place(from), self.place(to)) {
            (Meaning::Inside(from), Meaning::Inside(to)) => at::rename(self.dir.as_fd(), from, to),
            _ => self.elsewhere.rename(from, to),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.place(path) {
            Meaning::Inside(name) => at::remove(self.dir.as_fd(), name),
            _ => self.elsewhere.remove(path),
        }
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.name(from);
        let (to_dir, to_name) = self.name(to);
        linked::or_copy(at::link(from_dir, from_name, to_dir, to_name), self, from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.place(dir) {
            Meaning::Root => self.dir.sync_all(),
            _ => self.elsewhere.sync_dir(dir),
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        match self.place(dir) {
            Meaning::Root => Ok(at::free_bytes(&rustix::fs::fstatvfs(&self.dir)?)),
            _ => self.elsewhere.free_bytes(dir),
        }
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        let name = match self.place(path) {
            Meaning::Root => Name::Itself(Arc::clone(&self.dir)),
            Meaning::Inside(name) => Name::In(Arc::clone(&self.dir), name.to_path_buf()),
            Meaning::Elsewhere => return self.elsewhere.lock(path, shared, create),
        };
        Ok(Box::new(DiskLock::take(name, self.full.clone(), shared, create)?))
    }
}
