//! The file system as the engine sees it: a contract small enough to simulate.
//!
//! Every byte the engine stores goes through [`Fs`]. Two implementations are public: [`DiskFs`],
//! the only place that names `std::fs`, and, with the feature `sim`, `SimFs`, which lives in
//! memory, forgets what was not synced when it crashes, and fails the operation it is told to. `io`
//! knows no file format.
//!
//! # What the engine assumes of a medium
//!
//! - `write_at` is not atomic: after a crash any part of an un-synced write may be there, in any
//!   order against other un-synced writes.
//! - `sync_data` makes durable every byte written to the file before it was called, the file's
//!   length, but not the name: [`Fs::sync_dir`] does that for creations, renames and removals.
//!   `sync_below` does the same for the bytes below a length.
//! - A failed `sync_data` leaves the un-synced bytes unknown, and a later success proves nothing.
//! - `rename` replaces its target in one step.

mod disk;
mod file;
pub(crate) mod files;
mod guarded;
mod linked;
mod machine;
#[cfg(target_os = "linux")]
mod mapping;
mod memory;
mod named;
mod niceness;
mod process;
mod retried;
#[cfg(feature = "sim")]
mod sim;
#[cfg(test)]
pub(crate) mod testing;

use std::path::Path;
use std::{fmt, io};

use crate::sync::Arc;

pub use crate::mapped::Mapped;
pub use disk::DiskFs;
pub(crate) use disk::TemporaryDir;
pub use file::FsFile;
pub(crate) use guarded::GuardedFs;
pub(crate) use machine::memory_bytes;
pub(crate) use memory::MemoryFs;
pub(crate) use named::{NamedFile, Pin, first_free, sync_dir, sync_names};
pub(crate) use niceness::{steps_of, yield_readily};
pub(crate) use process::Process;
pub(crate) use retried::RetriedFs;
#[cfg(feature = "sim")]
pub use sim::{CrashMode, FaultPlan, OpKind, SimFs};

/// How [`Fs::open`] treats the file. A file system that does not know a mode answers `Unsupported`.
///
/// ```
/// # use std::path::Path;
/// # use alluvium::io::{Fs, OpenMode, SimFs};
/// let fs = SimFs::new();
/// assert!(fs.open(Path::new("f"), OpenMode::ReadWrite).is_err(), "there is none yet");
/// fs.open(Path::new("f"), OpenMode::CreateNew)?;
/// assert!(fs.open(Path::new("f"), OpenMode::CreateNew).is_err(), "there is one now");
/// let reader = fs.open(Path::new("f"), OpenMode::Read)?;
/// assert!(reader.write_at(b"x", 0).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// A directory tree and its files. Every method may be called from any thread.
///
/// Methods that a later version adds have a default. A wrapper should pass all methods on, or it
/// cannot do what the wrapped file system can.
///
/// Errors are the system's; `NotFound` and `AlreadyExists` mean what they say.
///
/// ```
/// # use std::path::Path;
/// use alluvium::io::{DiskFs, Fs, OpenMode, SimFs};
///
/// /// Puts a whole file there or nothing, on any file system.
/// fn publish(fs: &dyn Fs, dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
///     let file = fs.open(&dir.join("new"), OpenMode::CreateNew)?;
///     file.write_all_at(bytes, 0)?;
///     file.sync_data()?;
///     fs.rename(&dir.join("new"), &dir.join("name"))?;
///     fs.sync_dir(dir)
/// }
/// publish(&SimFs::new(), Path::new("."), b"whole")?;
/// publish(&DiskFs, tempfile::tempdir()?.path(), b"whole")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Fs: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// assert!(file.is_empty()?);
    /// assert!(fs.open(Path::new("g"), OpenMode::Read).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>>;

    /// Creates a directory and those above it; one that exists is fine. Makes the new names
    /// durable.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.create_dir_all(Path::new("a/b"))?;
    /// fs.create_dir_all(Path::new("a/b"))?;
    /// fs.open(Path::new("a/b/f"), OpenMode::CreateNew)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names of the plain files in a directory, in no order. Symbolic links to plain files are
    /// among them, and links to nothing, which fail when they are opened.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.create_dir_all(Path::new("d/below"))?;
    /// fs.open(Path::new("d/f"), OpenMode::CreateNew)?;
    /// assert_eq!(fs.list(Path::new("d"))?, ["f"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Moves a file over `to` in one step. Durable after `sync_dir`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, SimFs};
    /// let fs = SimFs::new();
    /// fs.write_file("name", b"old");
    /// fs.write_file("new", b"new");
    /// fs.rename(Path::new("new"), Path::new("name"))?;
    /// assert_eq!(fs.read_file("name").as_deref(), Some(&b"new"[..]));
    /// assert_eq!(fs.read_file("new"), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Durable after `sync_dir`; open handles keep working.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abc", 0)?;
    /// fs.remove(Path::new("f"))?;
    /// assert!(fs.list(Path::new("."))?.is_empty());
    /// assert_eq!(file.len()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file that is not written any more the name `to` besides its own, in any directory.
    /// `AlreadyExists` if there is something of that name, which stays as it is. Whether `to` is a
    /// second name of the same file or a copy of it is up to the file system; a copy is what this
    /// makes unless overridden.
    ///
    /// The bytes under `to` are as durable as those of the file; the name is after a
    /// [`Self::sync_dir`] of its directory. After an error there is no `to`, unless the disk that
    /// failed the call failed the removal, too; a crash in the middle may leave a part of a copy.
    /// [`Db::checkpoint`](crate::Db::checkpoint) links segments with it, which are never written
    /// again.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, SimFs};
    /// let fs = SimFs::new();
    /// fs.write_file("a/f", b"whole");
    /// fs.create_dir_all(Path::new("b"))?;
    /// fs.hard_link(Path::new("a/f"), Path::new("b/f"))?;
    /// fs.sync_dir(Path::new("b"))?;
    /// fs.remove(Path::new("a/f"))?;
    /// assert_eq!(fs.read_file("b/f").as_deref(), Some(&b"whole"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        copy(self, from, to)
    }

    /// Makes creations, links, renames and removals in a directory durable. A file system
    /// that cannot be asked to says `InvalidInput` or `Unsupported`, and the engine goes on.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{CrashMode, Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.open(Path::new("kept"), OpenMode::CreateNew)?;
    /// fs.sync_dir(Path::new("."))?;
    /// fs.open(Path::new("lost"), OpenMode::CreateNew)?;
    /// assert_eq!(fs.crash(CrashMode::PowerLoseAll, 0).files("."), ["kept"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The directory through a handle: a file system on which paths below `dir`, as it is named
    /// here or in full, mean files of this directory, also when it is moved or the process changes
    /// its current directory. `None`, which is what this returns unless overridden, where there is
    /// no such way: then paths are used, and a directory that is moved away stops the writer of a
    /// database in it.
    ///
    /// A wrapper that passes this on has to wrap the result, too, or it does not see the operations
    /// any more.
    ///
    /// ```
    /// # use std::path::Path;
    /// use alluvium::io::{DiskFs, Fs, OpenMode};
    ///
    /// let parent = tempfile::tempdir()?;
    /// let (before, after) = (parent.path().join("before"), parent.path().join("after"));
    /// std::fs::create_dir(&before)?;
    /// if let Some(entered) = DiskFs.enter(&before)? {
    ///     std::fs::rename(&before, &after)?;
    ///     entered.open(&before.join("f"), OpenMode::CreateNew)?;
    ///     assert!(after.join("f").exists());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn enter(&self, dir: &Path) -> io::Result<Option<Arc<dyn Fs>>> {
        let _ = dir;
        Ok(None)
    }

    /// How many bytes files in `dir` may still grow by, as far as the file system says; so a limit
    /// of the user's alone may not be in it. `None`, which is what this returns unless overridden,
    /// where that is not known: then the engine finds out when a write fails, and not before.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, SimFs};
    /// let fs = SimFs::new();
    /// assert_eq!(fs.free_bytes(Path::new("."))?, None);
    /// fs.write_file("f", b"abc");
    /// fs.set_capacity(Some(10));
    /// assert_eq!(fs.free_bytes(Path::new("."))?, Some(7));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }

    /// Takes the advisory lock on a file, or on a directory where the system has locks on such
    /// ([`FsLock::is_of_directory`]), creating the file if `create` says so, without waiting:
    /// `WouldBlock` if another holder, in this process or another, has it. Dropping the result
    /// releases it. `shared` holders exclude only exclusive ones.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, SimFs};
    /// let fs = SimFs::new();
    /// let one = fs.lock(Path::new("LOCK"), true, true)?;
    /// let two = fs.lock(Path::new("LOCK"), true, false)?;
    /// assert!(fs.lock(Path::new("LOCK"), false, false).is_err());
    /// drop((one, two));
    /// fs.lock(Path::new("LOCK"), false, false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>>;
}

/// Makes a copy under a name that must be free. Its bytes are durable then, its name is not. After
/// an error the name is free again, if the file system can still remove it.
fn copy<F: Fs + ?Sized>(fs: &F, from: &Path, to: &Path) -> io::Result<()> {
    copy_between(fs, from, fs, to)
}

/// [`copy`], from one file system to another.
pub(crate) fn copy_between<F: Fs + ?Sized, T: Fs + ?Sized>(
    source: &F,
    from: &Path,
    target: &T,
    to: &Path,
) -> io::Result<()> {
    let source = source.open(from, OpenMode::Read)?;
    let made = target.open(to, OpenMode::CreateNew)?;
    let copied = file::copy_bytes(&*source, &*made);
    if copied.is_err() {
        // Closed first: not every system removes a file that is open.
        drop(made);
        let _ = target.remove(to);
    }
    copied
}

/// A held lock; dropping it releases it.
///
/// ```
/// use alluvium::io::{DiskFs, Fs, FsLock};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("LOCK");
/// let held: Box<dyn FsLock> = DiskFs.lock(&path, false, true)?;
/// assert!(DiskFs.lock(&path, false, true).is_err());
/// drop(held);
/// DiskFs.lock(&path, false, true)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait FsLock: Send + Sync + fmt::Debug {
    /// The full path of the directory that is locked, or that the locked file is in. `None`, which
    /// is what this returns unless overridden, if it is not known. From then on the database names
    /// its files by this path, to the [`Fs`] from [`Fs::enter`] or, where there is none, to the one
    /// that took the lock. So an [`Fs`] that keeps its files elsewhere than its paths say must not
    /// pass on the lock of another as it is.
    ///
    /// ```
    /// use alluvium::io::{DiskFs, Fs, FsLock};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let held = DiskFs.lock(&dir.path().join("LOCK"), false, true)?;
    /// assert!(held.directory().is_some_and(|path| path.is_absolute()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// Whether this is a lock on a directory that leaves the files in it free to be locked. A
    /// database locks its directory where there is such a lock, and its lock file besides; it gives
    /// up what says `false`, which is what this returns unless overridden, before it comes to the
    /// file. So an [`Fs`] may have one lock for everything.
    ///
    /// ```
    /// use alluvium::io::{DiskFs, Fs, FsLock};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let file = DiskFs.lock(&dir.path().join("LOCK"), false, true)?;
    /// assert!(!file.is_of_directory());
    /// if let Ok(directory) = DiskFs.lock(dir.path(), false, false) {
    ///     assert!(directory.is_of_directory());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn is_of_directory(&self) -> bool {
        false
    }

    /// Whether the name that was locked still leads to what was locked. If not, somebody has
    /// removed it, or put something else there, which others can lock. `true`, which is what this
    /// returns unless overridden, if it cannot be told.
    ///
    /// ```
    /// use alluvium::io::{DiskFs, Fs, FsLock};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("LOCK");
    /// let held = DiskFs.lock(&path, false, true)?;
    /// assert!(held.is_current());
    /// std::fs::remove_file(&path)?;
    /// assert!(!held.is_current() || !cfg!(unix));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn is_current(&self) -> bool {
        true
    }
}
