//! The directory of an open database: how it is reached, who else may use it, and whether it is
//! still there.
//!
//! Where the file system has handles of directories, all goes through one, so that a database stays
//! in its directory wherever that moves. Elsewhere its full path is used, and looked at before each
//! operation on a name. Two locks: one on the directory, which nobody removes by mistake, where the
//! system has such; and one on the `LOCK` file, which versions without the other know.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::event::event;
use crate::format::names::FileName;
use crate::io::{Fs, FsLock, GuardedFs, OpenMode};
use crate::options::Options;
use crate::sync::{Arc, Mutex, lock};

/// The locks on a directory. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    /// On the directory itself.
    whole: Option<Arc<dyn FsLock>>,
    /// On the lock file. A read-only open does without one if there is none.
    file: Mutex<Option<Arc<dyn FsLock>>>,
}

/// A directory that is locked, and how to reach its files.
pub(crate) struct Entered {
    pub(crate) fs: Arc<dyn Fs>,
    /// In full where that is known.
    pub(crate) dir: PathBuf,
    pub(crate) lock: DirectoryLock,
}

/// Locks the directory, made if need be, and enters it. `look` says whether a directory without a
/// lock file may be given one.
pub(crate) fn enter(
    outside: &Arc<dyn Fs>,
    dir: &Path,
    options: &Options,
    look: impl Fn(&dyn Fs) -> Result<()>,
) -> Result<Entered> {
    if !options.read_only && options.create {
        let made = outside.create_dir_all(dir);
        made.map_err(|error| Error::io("create the directory", dir, error))?;
    }
    let inside = match outside.enter(dir) {
        // One that is not there is told below, and one without handles is reached by its path.
        Err(error) if is_unsupported(&error) || error.kind() == ErrorKind::NotFound => None,
        entered => entered.map_err(|error| Error::io("open the directory", dir, error))?,
    };
    let fs = inside.as_ref().unwrap_or(outside);
    let whole = lock_whole(fs.as_ref(), dir, options.read_only)?;
    let file = lock_file(fs.as_ref(), dir, options.read_only, look)?;
    let known = [&whole, &file].into_iter().flatten().find_map(|lock| lock.directory());
    let dir = known.map_or_else(|| dir.to_path_buf(), Path::to_path_buf);
    let fs = match (inside, &whole) {
        (Some(inside), _) => inside,
        (None, Some(whole)) => Arc::new(GuardedFs::new(Arc::clone(outside), dir.clone(), whole)),
        (None, None) => Arc::clone(outside),
    };
    Ok(Entered { fs, dir, lock: DirectoryLock { whole, file: Mutex::new(file) } })
}

/// Whether a file system says that it has no such thing. What it says of a lack of descriptors or
/// memory, or of a disk that fails, says nothing of the next call, which may get what this did not.
fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
}

/// The lock on the directory; none where there is no such thing, or no right to it. The lock file
/// says more then.
fn lock_whole(fs: &dyn Fs, dir: &Path, shared: bool) -> Result<Option<Arc<dyn FsLock>>> {
    match fs.lock(dir, shared, false) {
        // One that stands for more than the directory may be what the lock file needs: it goes.
        Ok(lock) => Ok(lock.is_of_directory().then(|| Arc::from(lock))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(Error::Locked { path: dir.join(FileName::Lock.name()) })
        }
        Err(error)
            if is_unsupported(&error)
                || matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) =>
        {
            event!(debug, %error, "the directory itself cannot be locked");
            Ok(None)
        }
        Err(error) => Err(Error::io("lock", dir, error)),
    }
}

fn lock_file(
    fs: &dyn Fs,
    dir: &Path,
    read_only: bool,
    look: impl Fn(&dyn Fs) -> Result<()>,
) -> Result<Option<Arc<dyn FsLock>>> {
    let path = dir.join(FileName::Lock.name());
    if !read_only && fs.open(&path, OpenMode::Read).is_err() {
        // The lock's file is the first that is made. Look before that: what is no database, or none
        // that can be opened, is left as it is.
        look(fs)?;
    }
    match fs.lock(&path, read_only, !read_only) {
        Ok(lock) => Ok(Some(Arc::from(lock))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Error::Locked { path }),
        Err(error) if read_only && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("lock", &path, error)),
    }
}

impl DirectoryLock {
    /// Whether what was locked is still there, under the names that others look for. A lock file
    /// that somebody has removed is made again.
    pub(crate) fn check(&self, fs: &dyn Fs, dir: &Path) -> Result<()> {
        let held = lock(&self.file).clone();
        if held.is_none_or(|held| held.is_current()) {
            return Ok(());
        }
        // Without the other lock somebody may have been here and gone. Without the file that every
        // database has, this is none any more.
        let locked = self.whole.as_ref().is_some_and(|whole| whole.is_current());
        let missing = |error: std::io::Error| error.kind() == ErrorKind::NotFound;
        let current = dir.join(FileName::Current.name());
        if !locked || fs.open(&current, OpenMode::Read).is_err_and(missing) {
            return Err(lost(dir));
        }
        // One thread at a time, or each would find the file locked by the other.
        let mut held = lock(&self.file);
        if held.as_ref().is_none_or(|held| held.is_current()) {
            return Ok(());
        }
        let path = dir.join(FileName::Lock.name());
        match fs.lock(&path, false, true) {
            Ok(again) => *held = Some(Arc::from(again)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Error::Locked { path });
            }
            // The other lock is held all the same.
            Err(_) => {}
        }
        Ok(())
    }
}

pub(crate) fn lost(dir: &Path) -> Error {
    Error::DirectoryLost { path: dir.to_path_buf() }
}
