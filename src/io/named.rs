//! An open file that knows its path: what the formats above read and write through, so that each
//! error they return names the file.

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use super::files::Pin;
use super::files::{Files, SharedFile};
use super::{Fs, FsFile, OpenMode};
use crate::mapped::Mapped;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A file and the path it was opened at, so that errors can name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedFile {
    file: Holding,
    pub(crate) path: Arc<PathBuf>,
}

#[derive(Clone, Debug)]
enum Holding {
    /// Open for as long as it lives.
    Held(Arc<dyn FsFile>),
    /// Open when it is used.
    Shared(Arc<SharedFile>),
}

/// Makes the names in a directory durable, where its file system can be asked to.
pub(crate) fn sync_dir(fs: &dyn Fs, dir: &Path) -> crate::Result<()> {
    sync_names(fs, dir).map_err(|error| crate::Error::io("sync", dir, error))
}

/// [`sync_dir`], for those who name the directory themselves.
pub(crate) fn sync_names(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    match fs.sync_dir(dir) {
        Err(error) if syncs_no_names(&error) => Ok(()),
        synced => synced,
    }
}

/// Whether a file system says that it does not sync directories, whatever it does with names: some
/// network and user-space ones, and those of virtual machines. A failed sync is told otherwise.
pub(super) fn syncs_no_names(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

impl NamedFile {
    /// Opens a file through `fs`, for as long as the result lives.
    pub(crate) fn open(fs: &dyn Fs, path: PathBuf, mode: OpenMode) -> crate::Result<Self> {
        let file = fs.open(&path, mode).map_err(|error| opening(mode, &path, error))?;
        let file = Holding::Held(file);
        Ok(Self { file, path: Arc::new(path) })
    }

    /// Opens a file that may be closed when it is not in use, and is opened again then (`files`).
    pub(crate) fn shared(fs: &Arc<dyn Fs>, path: PathBuf, mode: OpenMode) -> crate::Result<Self> {
        let path = Arc::new(path);
        let file = SharedFile::open(Files::of_process(), fs, &path, mode)
            .map_err(|error| opening(mode, &path, error))?;
        Ok(Self { file: Holding::Shared(Arc::new(file)), path })
    }

    /// Creates a file, which stays open for as long as the pin lives; where it is opened again
    /// later, as `again` says.
    pub(crate) fn create(
        fs: &Arc<dyn Fs>,
        path: PathBuf,
        again: OpenMode,
    ) -> crate::Result<(Self, Pin)> {
        let path = Arc::new(path);
        let (file, pin) = SharedFile::create(Files::of_process(), fs, &path, again)
            .map_err(|error| opening(OpenMode::CreateNew, &path, error))?;
        Ok((Self { file: Holding::Shared(file), path }, pin))
    }

    /// Keeps it open for as long as the result lives, if it could be closed.
    pub(crate) fn pin(&self) -> crate::Result<Option<Pin>> {
        match &self.file {
            Holding::Held(_) => Ok(None),
            Holding::Shared(file) => {
                file.pin().map(Some).map_err(|error| self.error("open", error))
            }
        }
    }

    /// Closes it until it is used again, if it can be opened again.
    pub(crate) fn close(&self) {
        if let Holding::Shared(file) = &self.file {
            file.close();
        }
    }

    #[inline]
    fn with<R>(&self, lend: impl FnOnce(&Arc<dyn FsFile>) -> io::Result<R>) -> io::Result<R> {
        match &self.file {
            Holding::Held(file) => lend(file),
            Holding::Shared(file) => file.with(lend),
        }
    }

    /// The same file through a handle for small writes below `len`, all of which must have been
    /// written before; this one where there is none.
    pub(crate) fn overwriter(&self, len: u64) -> Self {
        match self.with(|file| Ok(file.overwriter(len))) {
            Ok(Some(file)) => Self { file: Holding::Held(file), path: Arc::clone(&self.path) },
            _ => self.clone(),
        }
    }

    /// Its first `len` bytes as memory, where there is such a way. Nobody may write it any more.
    pub(crate) fn mapped(&self, len: u64) -> Option<Arc<Mapped>> {
        self.with(|file| Ok(file.mapped(len))).ok().flatten()
    }

    /// Reads exactly `buf.len()` bytes at `offset`.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> crate::Result<()> {
        let read = self.with(|file| file.read_exact_at(buf, offset));
        read.map_err(|error| self.error("read", error))
    }

    /// Its first bytes: `most` of them, or as many as there are.
    pub(crate) fn first_bytes(&self, most: usize) -> crate::Result<Vec<u8>> {
        let there = usize::try_from(self.len()?).unwrap_or(most);
        let mut bytes = vec![0; there.min(most)];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes all of `buf` at `offset`.
    pub(crate) fn write_all_at(&self, buf: &[u8], offset: u64) -> crate::Result<()> {
        let written = self.with(|file| file.write_all_at(buf, offset));
        written.map_err(|error| self.error("write", error))
    }

    /// Makes the file's bytes and length durable.
    pub(crate) fn sync_data(&self) -> crate::Result<()> {
        self.with(|file| file.sync_data()).map_err(|error| self.error("sync", error))
    }

    /// Makes the file's bytes below `len` durable, and the length up to there.
    pub(crate) fn sync_below(&self, len: u64) -> crate::Result<()> {
        self.with(|file| file.sync_below(len)).map_err(|error| self.error("sync", error))
    }

    /// Cuts or extends the file.
    pub(crate) fn set_len(&self, len: u64) -> crate::Result<()> {
        let set = self.with(|file| file.set_len(len));
        set.map_err(|error| self.error("set the length of", error))
    }

    /// The file's length in bytes.
    pub(crate) fn len(&self) -> crate::Result<u64> {
        self.with(|file| file.len()).map_err(|error| self.error("read the length of", error))
    }

    /// Whether other names than its own lead to the file, as far as the system says.
    pub(crate) fn has_other_names(&self) -> bool {
        self.with(|file| file.names()).is_ok_and(|names| names > 1)
    }

    /// Whether the file's name was removed, by this process or another. Looked for where the file
    /// has none: some file systems count no names.
    pub(crate) fn was_removed(&self, fs: &dyn Fs) -> bool {
        let missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        let nameless = self.with(|file| file.names()).is_ok_and(|names| names == 0);
        nameless && fs.open(&self.path, OpenMode::Read).is_err_and(missing)
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

/// Makes something under the next number that no name has yet, of this process or another.
pub(crate) fn first_free<T>(
    next: &AtomicU64,
    make: impl Fn(u64) -> crate::Result<T>,
) -> crate::Result<(u64, T)> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        match make(number) {
            Err(crate::Error::Io { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok((number, made?)),
        }
    }
}

fn opening(mode: OpenMode, path: &std::path::Path, error: io::Error) -> crate::Error {
    let op = if mode == OpenMode::CreateNew { "create" } else { "open" };
    crate::Error::io(op, path, error)
}
