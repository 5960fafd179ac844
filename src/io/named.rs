//! An open file that knows its path: what the formats above read and write through, so that each
//! error they return names the file.

use std::io;
use std::path::PathBuf;

use super::{Fs, FsFile, OpenMode};
use crate::sync::Arc;

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

    /// The same file through a handle for small writes below `len`, all of which must have been
    /// written before; this one where there is none.
    pub(crate) fn overwriter(&self, len: u64) -> Self {
        let file = self.file.overwriter(len).unwrap_or_else(|| Arc::clone(&self.file));
        Self { file, path: Arc::clone(&self.path) }
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

    /// Makes the file's bytes below `len` durable, and the length up to there.
    pub(crate) fn sync_below(&self, len: u64) -> crate::Result<()> {
        self.file.sync_below(len).map_err(|error| self.error("sync", error))
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
