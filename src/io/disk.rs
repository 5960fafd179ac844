//! The real disk: nothing outside names `std::fs`.
//!
//! `file` is an open file, `lock` the advisory lock, `temporary` a directory that goes again. On
//! Unix, `at` has the system calls that open files and name them, and `rooted` is one directory
//! through a handle.

#[cfg(unix)]
mod at;
mod file;
mod lock;
#[cfg(unix)]
mod rooted;
mod temporary;

use std::fs::File;
use std::io;
use std::path::Path;

use super::named::syncs_no_names;
use super::{Fs, FsFile, FsLock, OpenMode, linked};
use crate::sync::Arc;
use file::DiskFile;
use lock::DiskLock;

pub(crate) use temporary::TemporaryDir;

/// The operating system's file system. What `Db::open` uses.
///
/// ```
/// use alluvium::io::{DiskFs, Fs, OpenMode};
///
/// let dir = tempfile::tempdir()?;
/// let file = DiskFs.open(&dir.path().join("f"), OpenMode::CreateNew)?;
/// file.write_all_at(b"abc", 0)?;
/// assert_eq!(std::fs::read(dir.path().join("f"))?, b"abc");
/// assert_eq!(DiskFs.list(dir.path())?, ["f"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFs;

impl Fs for DiskFs {
    #[cfg(unix)]
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        DiskFile::open_at(at::CWD, path, mode)
    }

    #[cfg(not(unix))]
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let mut options = File::options();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::ReadWrite => options.read(true).write(true),
            OpenMode::CreateNew => options.read(true).write(true).create_new(true),
        };
        Ok(Arc::new(DiskFile::new(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        let parent = parent.unwrap_or(Path::new("."));
        // First: a call that fails for want of a descriptor has made nothing.
        let names = open_to_sync(parent)?;
        match std::fs::create_dir(path) {
            // A file in the directory's place is told as such.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !path.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            result => result?,
        }
        match names.map_or(Ok(()), |names| names.sync_all()) {
            Err(error) if syncs_no_names(&error) => Ok(()),
            synced => synced,
        }
    }

    #[cfg(unix)]
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        at::list(std::os::fd::AsFd::as_fd(&at::open_dir(dir)?))
    }

    #[cfg(not(unix))]
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // Names that are not Unicode are none of ours.
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(unix)]
        let made = at::link(at::CWD, from, at::CWD, to);
        #[cfg(not(unix))]
        let made = std::fs::hard_link(from, to);
        linked::or_copy(made, self, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Directories cannot be opened for syncing here; NTFS journals names itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn enter(&self, dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        Ok(Some(Arc::new(rooted::RootedFs::open(dir, Arc::new(*self))?)))
    }

    #[cfg(unix)]
    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        Ok(at::free_bytes(&rustix::fs::statvfs(dir)?))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        let dir = if path.is_dir() { Some(path) } else { path.parent() };
        let dir = dir.map(|dir| if dir == Path::new("") { Path::new(".") } else { dir });
        // In full, and past links that may lead elsewhere tomorrow.
        #[cfg(unix)]
        let (name, dir) = {
            let dir = dir.and_then(|dir| std::fs::canonicalize(dir).ok());
            let name = path.file_name().filter(|_| !path.is_dir());
            let full = dir.as_ref().map(|dir| name.map_or(dir.clone(), |name| dir.join(name)));
            (lock::Name::Path(full.unwrap_or_else(|| path.to_path_buf())), dir)
        };
        // Directories cannot be opened there.
        #[cfg(not(unix))]
        if path.is_dir() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        #[cfg(not(unix))]
        let name = path;
        let dir = dir.and_then(|dir| std::path::absolute(dir).ok());
        Ok(Box::new(DiskLock::take(name, dir, shared, create)?))
    }
}

/// A directory, opened for a sync of its names, where it can be.
#[cfg(unix)]
fn open_to_sync(dir: &Path) -> io::Result<Option<File>> {
    match File::open(dir) {
        // One may make a directory where one may not read. What it is for will be synced in it,
        // and no system is known that keeps that without the directory itself.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) if syncs_no_names(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

#[cfg(not(unix))]
fn open_to_sync(_dir: &Path) -> io::Result<Option<File>> {
    Ok(None)
}
