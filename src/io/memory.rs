//! A file system in memory, for databases that go with their last handle. Nothing outlives the
//! process, so nothing is kept for a crash: `sim` has that, for tests.
//!
//! One mutex around the tree, one around the bytes of each file; no call holds both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Fs, FsFile, FsLock, OpenMode};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// An empty tree to begin with. Paths are compared as written.
#[derive(Default)]
pub(crate) struct MemoryFs {
    tree: Mutex<MemoryTree>,
}

#[derive(Default)]
struct MemoryTree {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<MemoryContent>>,
}

#[derive(Default)]
struct MemoryContent {
    bytes: Mutex<Vec<u8>>,
    /// How many names lead to it.
    names: AtomicU64,
    /// Whether somebody holds the lock. Shared holders exclude each other, too: nobody else can
    /// open what is in this memory.
    locked: Arc<AtomicBool>,
}

impl fmt::Debug for MemoryFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryFs")
    }
}

impl MemoryTree {
    fn find(&self, path: &Path) -> io::Result<Arc<MemoryContent>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Gives a file a name that is free, in a directory that is there.
    fn name(&mut self, path: &Path, content: &Arc<MemoryContent>) -> io::Result<()> {
        if self.dirs.contains(path) || self.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| self.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        content.names.fetch_add(1, Ordering::Relaxed);
        self.files.insert(path.to_path_buf(), Arc::clone(content));
        Ok(())
    }

    fn create(&mut self, path: &Path) -> io::Result<Arc<MemoryContent>> {
        let content = Arc::default();
        self.name(path, &content)?;
        Ok(content)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path == Path::new("") || self.dirs.contains(path)
    }

    fn remove(&mut self, path: &Path) -> io::Result<Arc<MemoryContent>> {
        let content = self.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        content.names.fetch_sub(1, Ordering::Relaxed);
        Ok(content)
    }
}

impl Fs for MemoryFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let mut tree = lock(&self.tree);
        let content = match mode {
            OpenMode::Read | OpenMode::ReadWrite => tree.find(path)?,
            OpenMode::CreateNew => tree.create(path)?,
        };
        Ok(Arc::new(MemoryFile { content, writable: mode != OpenMode::Read }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = lock(&self.tree);
        if path.ancestors().any(|dir| tree.files.contains_key(dir)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        tree.dirs.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let tree = lock(&self.tree);
        if !tree.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = tree.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = lock(&self.tree);
        let content = tree.find(from)?;
        let replaced = tree.files.get(to);
        // As POSIX has it: nothing happens if both are names of one file.
        if replaced.is_some_and(|replaced| Arc::ptr_eq(replaced, &content)) {
            return Ok(());
        }
        let replaced = tree.remove(to).ok();
        if let Err(error) = tree.name(to, &content) {
            debug_assert!(replaced.is_none(), "what had a name can be named so");
            return Err(error);
        }
        tree.remove(from).map(drop)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = lock(&self.tree);
        let content = tree.find(from)?;
        tree.name(to, &content)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.tree).remove(path).map(drop)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path, _shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        let mut tree = lock(&self.tree);
        if tree.is_dir(path) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let content = match tree.find(path) {
            Err(_) if create => tree.create(path)?,
            found => found?,
        };
        // Acquire pairs with the Release of the drop: the next holder sees what the last one did.
        if content.locked.swap(true, Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock(Arc::clone(&content.locked))))
    }
}

/// An open file.
struct MemoryFile {
    content: Arc<MemoryContent>,
    writable: bool,
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryFile")
    }
}

impl MemoryFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// Reads from a file's bytes, as [`FsFile::read_at`] does.
pub(super) fn read_of(bytes: &[u8], buf: &mut [u8], offset: u64) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let read = buf.len().min(bytes.len() - start);
    buf[..read].copy_from_slice(&bytes[start..start + read]);
    read
}

impl FsFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = lock(&self.content.bytes);
        Ok(read_of(&bytes, buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut bytes = lock(&self.content.bytes);
        if bytes.len() < end && !buf.is_empty() {
            resize(&mut bytes, end)?;
        }
        if !buf.is_empty() {
            bytes[start..end].copy_from_slice(buf);
        }
        Ok(buf.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        resize(&mut lock(&self.content.bytes), len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content.bytes).len() as u64)
    }

    fn names(&self) -> io::Result<u64> {
        Ok(self.content.names.load(Ordering::Relaxed))
    }
}

/// A wild length is an error, as a disk without room for it would have it.
fn resize(bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
    bytes.try_reserve(len.saturating_sub(bytes.len())).map_err(|_| io::ErrorKind::StorageFull)?;
    bytes.resize(len, 0);
    Ok(())
}

#[derive(Debug)]
struct MemoryLock(Arc<AtomicBool>);

impl FsLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next lock.
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
