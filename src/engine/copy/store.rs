//! Where backups go: a handful of calls that a directory has, and an object store too.
//!
//! Knows no backup and no database. Names are `segments/…` and `backups/…`; what is in there under
//! other names is left alone by all above.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::io::{DiskFs, Fs, FsFile, FsLock, OpenMode, RetriedFs, sync_names};
use crate::sync::{Arc, Mutex, Weak, lock};

/// How much is written at once, in bytes.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// What objects are called while they are being written.
const HALF: &str = ".put.tmp";

/// The folders that names begin with.
pub(crate) const SEGMENTS: &str = "segments";
pub(crate) const BACKUPS: &str = "backups";

/// A place for backups: objects with names, each put whole or not at all. [`DirStore`] is one in a
/// directory; what is here is little enough for an object store.
///
/// Names are in ASCII, of at most 100 characters, with one `/` in them: `segments/…` and
/// `backups/…`. An object is put once and read often; it is put again under its name only if its
/// length is not the right one.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::io::{self, Read};
/// use std::sync::{Arc, Mutex};
///
/// use alluvium::{BackupOptions, BackupStore, Backups};
///
/// #[derive(Debug, Default)]
/// struct InMemory(Mutex<BTreeMap<String, Arc<[u8]>>>);
///
/// impl BackupStore for InMemory {
///     fn put(&self, name: &str, source: &mut dyn Read, bytes: u64) -> io::Result<()> {
///         let mut object = Vec::new();
///         if source.take(bytes).read_to_end(&mut object)? as u64 != bytes {
///             return Err(io::ErrorKind::UnexpectedEof.into());
///         }
///         self.0.lock().unwrap().insert(name.to_owned(), object.into());
///         Ok(())
///     }
///     fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
///         let found = self.0.lock().unwrap().get(name).cloned();
///         Ok(Box::new(io::Cursor::new(found.ok_or(io::ErrorKind::NotFound)?)))
///     }
///     fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
///         let objects = self.0.lock().unwrap();
///         let inside = objects.iter().filter(|(name, _)| name.split('/').next() == Some(folder));
///         Ok(inside.map(|(name, object)| (name.clone(), object.len() as u64)).collect())
///     }
///     fn delete(&self, name: &str) -> io::Result<()> {
///         self.0.lock().unwrap().remove(name);
///         Ok(())
///     }
/// }
///
/// let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// let backups = Backups::new(InMemory::default());
/// backups.create(&db, &BackupOptions::new())?;
/// assert!(backups.verify(1)?.is_sound());
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait BackupStore: Send + Sync + fmt::Debug + 'static {
    /// Puts an object of exactly `bytes` bytes, which come from `source`. Whatever happens, there
    /// is all of it afterwards or what there was before, and if this has returned `Ok` it stays
    /// there, whatever happens.
    ///
    /// `backups/…` are never put over another: a place without a lock that can put only what is not
    /// there refuses such, and two that make a backup at once do not take one number.
    ///
    /// # Errors
    ///
    /// Those of `source` and of the place; `UnexpectedEof` if `source` has fewer bytes;
    /// `AlreadyExists` for one of `backups/…` that is there, if the place can tell.
    fn put(&self, name: &str, source: &mut dyn Read, bytes: u64) -> io::Result<()>;

    /// The bytes of an object, from its beginning on.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this name.
    fn get(&self, name: &str) -> io::Result<Box<dyn Read>>;

    /// All objects whose names begin with `folder` and a `/`: whole names, and lengths in bytes.
    ///
    /// # Errors
    ///
    /// Those of the place. A folder that was never put into is empty.
    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>>;

    /// Deletes an object, for good when this returns. That there is none is no error.
    ///
    /// # Errors
    ///
    /// Those of the place.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Keeps others from changing what is here for as long as the result lives, and, unless it is
    /// `shared`, from reading it, too; without waiting. A backup is made, and backups are deleted,
    /// under a lock; they are read under a shared one.
    ///
    /// Does nothing unless overridden: then it is up to the program that one backup is made or
    /// deleted at a time, and none is read meanwhile.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another holds it.
    fn lock(&self, shared: bool) -> io::Result<Box<dyn Send>> {
        let _ = shared;
        Ok(Box::new(()))
    }

    /// Where an object is, and with an empty name where all are, for messages: the name, unless
    /// overridden.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// Backups in a directory, which is made by the first of them.
///
/// Objects are files, written under another name, synced and renamed. `LOCK` in there is locked
/// (`flock`) while a backup is made or deleted, and shared by those that read. If the directory is
/// moved meanwhile, or another takes its place, the call fails, and nothing goes into the other.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use alluvium::{BackupOptions, Backups, DirStore};
///
/// let db = alluvium::Db::open(dir.path().join("data"))?;
/// db.put("k", "v")?;
/// let backups = Backups::new(DirStore::new(dir.path().join("backups")));
/// backups.create(&db, &BackupOptions::new())?;
/// assert_eq!(backups.ids()?, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DirStore {
    fs: Arc<dyn Fs>,
    /// As it was named.
    named: PathBuf,
    /// In full where that is known, so that the process may change its current directory.
    dir: PathBuf,
    /// The lock of those who change what is here, for as long as they have it.
    held: Arc<Mutex<Weak<dyn FsLock>>>,
}

impl DirStore {
    /// Backups in this directory of the disk, by its full path from now on. Nothing is looked at
    /// yet.
    ///
    /// ```
    /// use alluvium::{Backups, DirStore};
    ///
    /// let backups = Backups::new(DirStore::new("no such directory"));
    /// assert!(backups.list()?.is_empty());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        let full = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        Self::over(Arc::new(DiskFs), dir, full)
    }

    /// [`Self::new`] on another file system.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium::io::SimFs;
    /// use alluvium::{BackupOptions, Backups, DirStore};
    ///
    /// let fs = SimFs::new();
    /// let backups = Backups::new(DirStore::with_fs(Arc::new(fs.clone()), "backups"));
    /// backups.create(&alluvium::Db::in_memory()?, &BackupOptions::new())?;
    /// assert_eq!(fs.files("backups/backups"), ["000001"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn with_fs(fs: Arc<dyn Fs>, dir: impl AsRef<Path>) -> Self {
        Self::over(fs, dir.as_ref(), dir.as_ref().to_path_buf())
    }

    fn over(fs: Arc<dyn Fs>, named: &Path, dir: PathBuf) -> Self {
        let none: Weak<dyn FsLock> = Weak::<NoLock>::new();
        let held = Arc::new(Mutex::new(none));
        Self { fs: Arc::new(RetriedFs::new(fs)), named: named.to_path_buf(), dir, held }
    }

    /// What is locked, wherever a link in its path leads by now; or what is named.
    fn dir(&self) -> PathBuf {
        let held = lock(&self.held).upgrade();
        let locked = held.as_ref().and_then(|held| held.directory());
        locked.unwrap_or(&self.dir).to_path_buf()
    }

    /// An error if this is not the directory any more that was locked.
    fn expect_current(&self) -> io::Result<()> {
        let held = lock(&self.held).upgrade();
        if held.is_none_or(|held| held.is_current()) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the place of the backups was moved away"))
    }

    /// Removes what puts have left that were cut off, and makes the names durable of those that
    /// were not, which the next backup may take for what it needs.
    fn settle(&self) -> io::Result<()> {
        for folder in [SEGMENTS, BACKUPS] {
            let dir = self.dir().join(folder);
            let names = self.names(&dir)?;
            for half in names.iter().filter(|name| name.ends_with(HALF)) {
                self.fs.remove(&dir.join(half))?;
            }
            if !names.is_empty() {
                sync_names(self.fs.as_ref(), &dir)?;
            }
        }
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.fs.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        }
    }
}

impl BackupStore for DirStore {
    fn put(&self, name: &str, source: &mut dyn Read, bytes: u64) -> io::Result<()> {
        self.expect_current()?;
        let place = self.dir();
        let path = place.join(name);
        let dir = path.parent().unwrap_or(&place);
        self.fs.create_dir_all(dir)?;
        let half = place.join(format!("{name}{HALF}"));
        remove_if_there(self.fs.as_ref(), &half)?;
        let written = write_new(self.fs.as_ref(), &half, source, bytes)
            .and_then(|()| self.expect_current())
            .and_then(|()| self.fs.rename(&half, &path))
            .inspect_err(|_| {
                // What cannot be removed now is by the next backup.
                let _ = self.fs.remove(&half);
            });
        written?;
        sync_names(self.fs.as_ref(), dir).inspect_err(|_| {
            // Nobody is to build on a name that may be lost.
            let _ = self.fs.remove(&path);
        })
    }

    fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let file = self.fs.open(&self.dir().join(name), OpenMode::Read)?;
        Ok(Box::new(FileReader { file, at: 0 }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let dir = self.dir().join(folder);
        let mut objects = Vec::new();
        for name in self.names(&dir)?.into_iter().filter(|name| !name.ends_with(HALF)) {
            match self.fs.open(&dir.join(&name), OpenMode::Read) {
                // It was removed just now, or is a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => objects.push((format!("{folder}/{name}"), file?.len()?)),
            }
        }
        Ok(objects)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.expect_current()?;
        let place = self.dir();
        let path = place.join(name);
        remove_if_there(self.fs.as_ref(), &path)?;
        sync_names(self.fs.as_ref(), path.parent().unwrap_or(&place))
    }

    fn lock(&self, shared: bool) -> io::Result<Box<dyn Send>> {
        let path = self.dir.join("LOCK");
        if shared {
            // What cannot be locked to read it, a copy on a medium that is read only, is read all
            // the same.
            return match self.fs.lock(&path, true, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                Err(_) => Ok(Box::new(())),
                Ok(lock) => Ok(Box::new(lock)),
            };
        }
        self.fs.create_dir_all(&self.dir)?;
        let held: Arc<dyn FsLock> = Arc::from(self.fs.lock(&path, false, true)?);
        *lock(&self.held) = Arc::downgrade(&held);
        self.settle()?;
        Ok(Box::new(held))
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.named.clone() } else { self.named.join(name) }
    }
}

fn remove_if_there(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a file of `bytes` bytes, durably but for its name.
fn write_new(fs: &dyn Fs, path: &Path, source: &mut dyn Read, bytes: u64) -> io::Result<()> {
    let file = fs.open(path, OpenMode::CreateNew)?;
    let mut piece = vec![0; usize::try_from(bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        source.read_exact(&mut piece[..left])?;
        file.write_all_at(&piece[..left], at)?;
        at += left as u64;
    }
    file.sync_data()
}

/// What is held while nothing is.
#[derive(Debug)]
struct NoLock;

impl FsLock for NoLock {}

/// Reads a file from its beginning to its end.
struct FileReader {
    file: Arc<dyn FsFile>,
    at: u64,
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
