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
//! - A failed `sync_data` leaves the un-synced bytes unknown, and a later success proves nothing.
//! - `rename` replaces its target in one step.

mod disk;
mod sim;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::sync::Arc;

pub use disk::DiskFs;
pub(crate) use disk::TemporaryDir;
pub use sim::{CrashMode, FaultPlan, OpKind, SimFs};

/// How [`Fs::open`] treats the file.
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
pub trait Fs: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>>;

    /// Creates a directory and those above it; one that exists is fine. Makes the new names
    /// durable.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names of the plain files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Moves a file over `to` in one step. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Durable after `sync_dir`; open handles keep working.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the advisory lock on a file, creating the file if `create` says so, without waiting:
    /// `WouldBlock` if another holder, in this process or another, has it. Dropping the result
    /// releases it. `shared` holders exclude only exclusive ones.
    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>>;
}

/// A held lock; dropping it releases it.
pub trait FsLock: Send + Sync + fmt::Debug {}

/// An open file. Positions are explicit, so every method may be called from any thread.
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file. May be short.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `buf.len()` bytes at `offset`, growing the file if needed. May be short.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's bytes and length durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` if the file ends first.
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

/// A file and the path it was opened at, so that errors can name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedFile {
    pub(crate) file: Arc<dyn FsFile>,
    pub(crate) path: Arc<PathBuf>,
}

impl NamedFile {
    /// Opens a file through `fs`.
    pub(crate) fn open(fs: &dyn Fs, path: PathBuf, mode: OpenMode) -> crate::Result<Self> {
        let file = fs.open(&path, mode).map_err(|error| {
            let op = if mode == OpenMode::CreateNew { "create" } else { "open" };
            crate::Error::io(op, &path, error)
        })?;
        Ok(Self { file, path: Arc::new(path) })
    }

    /// Reads exactly `buf.len()` bytes at `offset`.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> crate::Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|error| self.error("read", error))
    }

    /// Writes all of `buf` at `offset`.
    pub(crate) fn write_all_at(&self, buf: &[u8], offset: u64) -> crate::Result<()> {
        self.file.write_all_at(buf, offset).map_err(|error| self.error("write", error))
    }

    /// Makes the file's bytes and length durable.
    pub(crate) fn sync_data(&self) -> crate::Result<()> {
        self.file.sync_data().map_err(|error| self.error("sync", error))
    }

    /// The file's length in bytes.
    pub(crate) fn len(&self) -> crate::Result<u64> {
        self.file.len().map_err(|error| self.error("read the length of", error))
    }

    fn error(&self, op: &'static str, error: io::Error) -> crate::Error {
        crate::Error::io(op, &self.path, error)
    }

    /// A [`crate::Error::Corruption`] in this file.
    pub(crate) fn corruption(
        &self,
        offset: u64,
        what: &'static str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> crate::Error {
        crate::Error::Corruption {
            file: self.path.to_path_buf(),
            offset,
            what,
            expected: expected.into(),
            got: got.into(),
        }
    }
}
