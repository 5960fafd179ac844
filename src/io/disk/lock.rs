//! The advisory lock on a file or a directory.
//!
//! It belongs to the open file, not to the name, so that a name that was given to another file in
//! between locks nothing: after locking, and whenever [`FsLock::is_current`] is asked, the two are
//! compared. A child process has the open file too, and would keep the lock for as long as it
//! lives; so the release says so to the system, instead of leaving it to the last handle.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::io::{FsLock, Process};
#[cfg(unix)]
use {
    super::at,
    crate::sync::Arc,
    std::os::fd::{AsFd, OwnedFd},
};

/// How often a name may be given to another file while it is being locked.
#[cfg(unix)]
const TRIES: usize = 100;

/// A held lock. Dropping it releases it.
#[derive(Debug)]
pub(super) struct DiskLock {
    file: File,
    /// The process that holds it. In a forked child it is the parent's.
    process: Process,
    directory: Option<PathBuf>,
    #[cfg(unix)]
    name: Name,
}

/// Where a locked file was found.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// Under a path.
    Path(PathBuf),
    /// Under a name in an open directory.
    In(Arc<File>, PathBuf),
    /// It is an open directory, wherever that is.
    Itself(Arc<File>),
}

#[cfg(unix)]
impl Name {
    fn open(&self, create: bool) -> io::Result<OwnedFd> {
        match self {
            Self::Path(path) => at::open_to_lock(at::CWD, path, create),
            Self::In(dir, name) => at::open_to_lock(dir.as_fd(), name, create),
            Self::Itself(dir) => at::open_to_lock(dir.as_fd(), Path::new("."), false),
        }
    }

    fn leads_to(&self, file: &File) -> bool {
        match self {
            Self::Path(path) => at::leads_to(at::CWD, path, file),
            Self::In(dir, name) => at::leads_to(dir.as_fd(), name, file),
            // A directory that was removed has no name any more.
            Self::Itself(dir) => at::links(&**dir).map_or(true, |links| links > 0),
        }
    }
}

impl DiskLock {
    /// Takes the lock, or fails with `WouldBlock`. `directory` is where the file is.
    #[cfg(unix)]
    pub(super) fn take(
        name: Name,
        directory: Option<PathBuf>,
        shared: bool,
        create: bool,
    ) -> io::Result<Self> {
        for _ in 0..TRIES {
            let file = File::from(name.open(create)?);
            try_lock(&file, shared)?;
            let process = Process::this();
            let lock = Self { file, process, directory: directory.clone(), name: name.clone() };
            if lock.is_current() {
                return Ok(lock);
            }
        }
        Err(io::Error::other("its name is given to another file again and again"))
    }

    /// As above, where names are paths.
    #[cfg(not(unix))]
    pub(super) fn take(
        path: &Path,
        directory: Option<PathBuf>,
        shared: bool,
        create: bool,
    ) -> io::Result<Self> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(create).create(create).truncate(false).open(path)?;
        try_lock(&file, shared)?;
        Ok(Self { file, process: Process::this(), directory })
    }
}

fn try_lock(file: &File, shared: bool) -> io::Result<()> {
    let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        // What network file systems say of a lock on what is not open for writing, as no directory
        // can be.
        #[cfg(unix)]
        TryLockError::Error(error)
            if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) =>
        {
            io::ErrorKind::Unsupported.into()
        }
        TryLockError::Error(error) => error,
    })
}

impl FsLock for DiskLock {
    fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    fn is_of_directory(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.is_dir())
    }

    #[cfg(unix)]
    fn is_current(&self) -> bool {
        self.name.leads_to(&self.file)
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        if self.process.is_this() {
            // Closing the file does it where this does not.
            let _ = self.file.unlock();
        }
    }
}
