//! An open file, as the engine sees it.
//!
//! What is assumed of the medium below is said in the module above.

use std::fmt;
use std::io;

use crate::mapped::Mapped;
use crate::sync::Arc;

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

    /// How many names lead to this file: none once it was removed, more than one where there are
    /// hard links, or where it was opened by a symbolic link. 1, which is what this returns unless
    /// overridden, if it cannot be told.
    ///
    /// The engine looks at this before it writes to a file that it has found: to one with other
    /// names it writes nothing new. It does not look again at the log that it appends to: a hard
    /// link to that, made while the database is open, shares what is written.
    ///
    /// ```
    /// # use std::path::Path;
    /// use alluvium::io::{DiskFs, Fs, OpenMode};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("f");
    /// let file = DiskFs.open(&path, OpenMode::CreateNew)?;
    /// assert_eq!(file.names()?, 1);
    /// std::fs::hard_link(&path, dir.path().join("copy"))?;
    /// assert_eq!(file.names()?, if cfg!(unix) { 2 } else { 1 });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn names(&self) -> io::Result<u64> {
        Ok(1)
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

    /// The first `len` bytes of this file as memory, for the engine to read, which it stays for as
    /// long as the result lives, also when the file is closed or removed. Nobody may write the file
    /// any more, or cut it short. `None`, which is what this returns unless overridden, where there
    /// is no such way.
    ///
    /// Asked for with [`Builder::mapped_reads`](crate::Builder::mapped_reads) alone, of segments.
    ///
    /// ```
    /// # use std::path::Path;
    /// use alluvium::io::{DiskFs, Fs, OpenMode};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let file = DiskFs.open(&dir.path().join("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"whole", 0)?;
    /// let there = cfg!(all(unix, target_pointer_width = "64"));
    /// assert_eq!(file.mapped(3).is_some(), there);
    /// assert!(file.mapped(6).is_none(), "it is shorter");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn mapped(&self, len: u64) -> Option<Arc<Mapped>> {
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

/// What is copied at once.
pub(super) const PIECE_BYTES: usize = if cfg!(test) { 1_000 } else { 1 << 20 };

/// Copies all of a file into an empty one, and makes that durable.
pub(super) fn copy_bytes(source: &dyn FsFile, target: &dyn FsFile) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        match source.read_at(&mut piece, at) {
            Ok(0) => return target.sync_data(),
            Ok(read) => {
                target.write_all_at(&piece[..read], at)?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
