//! An open file of the disk, and one of which a part is written as memory.

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::{os::fd::BorrowedFd, path::Path};

#[cfg(unix)]
use super::at;
use crate::io::FsFile;
#[cfg(unix)]
use crate::io::OpenMode;
#[cfg(unix)]
use crate::mapped::Mapped;
use crate::sync::Arc;

/// An open file of the disk.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: Arc<File>,
    /// Whether the name that it was opened by is a symbolic link.
    #[cfg(unix)]
    linked: bool,
}

impl DiskFile {
    /// Opens a name in a directory.
    #[cfg(unix)]
    pub(super) fn open_at(
        dir: BorrowedFd<'_>,
        name: &Path,
        mode: OpenMode,
    ) -> io::Result<Arc<dyn FsFile>> {
        let (fd, linked) = at::open(dir, name, mode)?;
        Ok(Arc::new(Self { file: Arc::new(File::from(fd)), linked }))
    }

    /// A file that is open.
    #[cfg(not(unix))]
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file) }
    }
}

/// A file of which a part can be written as memory.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct MappedFile {
    file: DiskFile,
    mapping: crate::io::mapping::Mapping,
}

impl FsFile for DiskFile {
    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&*self.file, buf, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&*self.file, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match std::os::windows::fs::FileExt::seek_read(&*self.file, buf, offset) {
            // Reading at or past the end is an error there, and zero bytes in the contract.
            Err(error) if error.raw_os_error() == Some(38) => Ok(0),
            result => result,
        }
    }

    #[cfg(windows)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&*self.file, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn sync_below(&self, len: u64) -> io::Result<()> {
        crate::io::mapping::sync(&*self.file, len).unwrap_or_else(|| self.sync_data())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn names(&self) -> io::Result<u64> {
        Ok(at::links(&*self.file)? + u64::from(self.linked))
    }

    #[cfg(unix)]
    fn mapped(&self, len: u64) -> Option<Arc<Mapped>> {
        Mapped::new(&*self.file, len).map(Arc::new)
    }

    #[cfg(target_os = "linux")]
    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        let mapping = crate::io::mapping::Mapping::new(&*self.file, len)?;
        let file = Self { file: Arc::clone(&self.file), linked: self.linked };
        Some(Arc::new(MappedFile { file, mapping }))
    }
}

#[cfg(target_os = "linux")]
impl FsFile for MappedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    #[inline]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.mapping.write(buf, offset) {
            return Ok(buf.len());
        }
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.mapping.sync(len).unwrap_or_else(|| self.file.sync_below(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn mapped(&self, len: u64) -> Option<Arc<Mapped>> {
        self.file.mapped(len)
    }

    fn names(&self) -> io::Result<u64> {
        self.file.names()
    }
}
