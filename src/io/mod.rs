//! The file system as the engine sees it: a contract small enough to simulate.
//!
//! Every byte the engine stores goes through [`Fs`]. Two implementations: [`DiskFs`], the only
//! place that names `std::fs`, and [`SimFs`], which lives in memory, forgets what was not synced
//! when it crashes, and fails the operation it is told to. `io` knows no file format.
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
pub(crate) mod files;
#[cfg(target_os = "linux")]
mod mapping;
mod named;
mod sim;

use std::path::Path;
use std::{fmt, io};

use crate::sync::Arc;

pub use disk::DiskFs;
pub(crate) use disk::TemporaryDir;
pub(crate) use named::{NamedFile, Pin};
pub use sim::{CrashMode, FaultPlan, OpKind, SimFs};

/// How [`Fs::open`] treats the file.
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

    /// The names of the plain files in a directory, in no order.
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

    /// Makes creations, renames and removals in a directory durable.
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

    /// Takes the advisory lock on a file, creating the file if `create` says so, without waiting:
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
pub trait FsLock: Send + Sync + fmt::Debug {}

/// An open file. Positions are explicit, so every method may be called from any thread.
///
/// ```
/// # use std::path::Path;
/// use alluvium::io::{Fs, FsFile, OpenMode, SimFs};
///
/// fn append(file: &dyn FsFile, bytes: &[u8]) -> std::io::Result<()> {
///     file.write_all_at(bytes, file.len()?)
/// }
/// let fs = SimFs::new();
/// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
/// append(&*file, b"one")?;
/// append(&*file, b"two")?;
/// assert_eq!(fs.read_file("f").as_deref(), Some(&b"onetwo"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file. May be short.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abc", 0)?;
    /// let mut buf = [0; 8];
    /// assert_eq!(file.read_at(&mut buf, 1)?, 2);
    /// assert_eq!(&buf[..2], b"bc");
    /// assert_eq!(file.read_at(&mut buf, 3)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `buf.len()` bytes at `offset`, growing the file if needed. May be short.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// let written = file.write_at(b"abc", 0)?;
    /// assert!((1..=3).contains(&written), "a part may do; write_all_at writes the rest");
    /// assert_eq!(file.len()?, written as u64);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's bytes and length durable.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{CrashMode, Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.write_file("f", b"");
    /// let file = fs.open(Path::new("f"), OpenMode::ReadWrite)?;
    /// file.write_all_at(b"kept", 0)?;
    /// file.sync_data()?;
    /// file.write_all_at(b"lost", 4)?;
    /// assert_eq!(fs.crash(CrashMode::PowerLoseAll, 0).read_file("f").unwrap(), b"kept");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn sync_data(&self) -> io::Result<()>;

    /// Makes what was written below `len` before the call durable, and the file's length up to
    /// there. What is above may stay as it is. [`Self::sync_data`], which this is by default, makes
    /// all of it durable.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{CrashMode, Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.write_file("f", b"12345");
    /// let file = fs.open(Path::new("f"), OpenMode::ReadWrite)?;
    /// file.write_all_at(b"abcde", 0)?;
    /// file.sync_below(3)?;
    /// assert_eq!(fs.crash(CrashMode::PowerLoseAll, 0).read_file("f").unwrap(), b"abc45");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn sync_below(&self, len: u64) -> io::Result<()> {
        let _ = len;
        self.sync_data()
    }

    /// Cuts or extends (with zeros) the file.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abc", 0)?;
    /// file.set_len(1)?;
    /// file.set_len(2)?;
    /// assert_eq!(fs.read_file("f").as_deref(), Some(&b"a\0"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"x", 9)?;
    /// assert_eq!(file.len()?, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// assert!(file.is_empty()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Another handle to this file, for small writes below `len` at less cost than this one's; all
    /// bytes there must have been written before. Whole words of 8 bytes at multiples of 8 gain.
    /// `None`, which is what this returns unless overridden, where there is no such way.
    ///
    /// May take as long as reading the bytes does. The handle must not outlive a `set_len` below
    /// `len`.
    ///
    /// ```
    /// # use std::path::Path;
    /// use alluvium::io::{DiskFs, Fs, OpenMode};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let file = DiskFs.open(&dir.path().join("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(&[0; 64], 0)?;
    /// let quick = file.overwriter(64).unwrap_or_else(|| file.clone());
    /// quick.write_all_at(b"8 bytes.", 16)?;
    /// assert_eq!(&std::fs::read(dir.path().join("f"))?[16..24], b"8 bytes.");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        let _ = len;
        None
    }

    /// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` if the file ends first.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abc", 0)?;
    /// let mut buf = [0; 2];
    /// file.read_exact_at(&mut buf, 1)?;
    /// assert_eq!(&buf, b"bc");
    /// let short = file.read_exact_at(&mut buf, 2).unwrap_err();
    /// assert_eq!(short.kind(), std::io::ErrorKind::UnexpectedEof);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buf = &mut buf[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`. After an error any part of it may be there.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abcd", 0)?;
    /// file.write_all_at(b"X", 2)?;
    /// assert_eq!(fs.read_file("f").as_deref(), Some(&b"abXd"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    buf = &buf[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
