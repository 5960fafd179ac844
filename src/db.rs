//! The handle of an open database: open, put, get, iterate, close. Its other calls stand in
//! `lookup`, `count`, `conditional`, `keyspace` and `maintenance`. Contracts and delegation,
//! nothing else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::batch::WriteBatch;
use crate::builder::Builder;
use crate::engine::threads::background::{Threads, close_elsewhere};
use crate::engine::{Engine, ReadAt};
use crate::error::Result;
use crate::event::event;
use crate::ids::{KEYSPACE_DEFAULT, Sequence};
use crate::io::{Fs, TemporaryDir};
use crate::iter::KeyRange;
use crate::iter::range::prefix_bounds;
use crate::options::{Durability, Options};
use crate::range::Range;
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::value::Value;

/// What all handles of one open database share. The last one to go closes it.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    threads: Threads,
}

impl Shared {
    fn close(&self) -> Result<()> {
        if self.engine.core.is_forked() {
            return Ok(());
        }
        self.engine.core.refuse_on_own_thread()?;
        let result = self.engine.close();
        self.threads.join();
        self.engine.release_directory();
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            // All of it is the parent's, but the locked files, which are held here too.
            self.engine.release_directory();
            return self.engine.keep_for_parent(std::mem::take(&mut self.threads));
        }
        if self.engine.core.is_own_thread() {
            return close_elsewhere(&self.engine, std::mem::take(&mut self.threads));
        }
        // A panic under a lock makes the close panic too; a second panic would abort the process.
        let closed = catch_unwind(AssertUnwindSafe(|| self.close()));
        if let Ok(Err(error)) = closed {
            event!(warn, %error, "the close could not flush; the log still has everything");
        }
    }
}

/// An open database.
///
/// A handle is cheap to clone and may be used from any thread. The database is closed by
/// [`Db::close`], or when the last handle is dropped; snapshots and iterators keep its files and
/// its lock until they are dropped too. In a process that was forked off afterwards every call
/// fails with [`Error::Forked`](crate::Error::Forked) or gives nothing, and dropping and closing do
/// nothing.
///
/// Methods without a keyspace work on the one named `default`.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let other = db.clone(); // a handle of the same database
/// std::thread::spawn(move || other.put("k", "v")).join().expect("it did not panic")?;
/// assert!(db.contains_key("k")?);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Db {
    pub(crate) shared: Arc<Shared>,
}

impl Db {
    /// Opens the database in a directory, or makes one there.
    ///
    /// Recovers what was acknowledged before the last exit, clean or not.
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`](crate::Error::Locked) if it is open elsewhere;
    /// - [`Error::Corruption`](crate::Error::Corruption) if bytes that were durable are missing or
    ///   damaged;
    /// - [`Error::UnsupportedFormat`](crate::Error::UnsupportedFormat) if a newer version wrote it;
    /// - [`Error::Io`](crate::Error::Io) if the system refuses: no permission, a read-only file
    ///   system, a file where the directory should be.
    ///
    /// In each of these cases nothing on disk was changed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("data");
    /// let db = alluvium::Db::open(&path)?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.get("k")?.as_deref(), Some(&b"v"[..]));
    /// # db.close()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Sets options before opening.
    ///
    /// ```
    /// let db = alluvium::Db::builder("data").read_only(true).create(false);
    /// assert!(db.open().is_err(), "there is nothing to read");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// A `temporary` directory goes with the last handle, snapshot or iterator.
    pub(crate) fn open_with(
        fs: Arc<dyn Fs>,
        path: PathBuf,
        options: Options,
        temporary: Option<TemporaryDir>,
    ) -> Result<Self> {
        let (engine, threads) = Engine::open(fs, path, options, temporary)?;
        Ok(Self { shared: Arc::new(Shared { engine, threads }) })
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// Sets a key to a value, replacing what it had, and returns the sequence of that, for
    /// [`Self::wait_durable`]. [`Durability::Buffered`].
    ///
    /// Waits for no flush, no sync, no reader and no background thread, but in the cases that the
    /// [guide](crate#threads-and-waiting) lists. [`Self::try_put`] never waits.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "old")?;
    /// db.put("k", [0, 159, 255])?; // any bytes
    /// assert_eq!(db.get("k")?.as_deref(), Some(&[0, 159, 255][..]));
    /// let sequence = db.put("k", "newest")?;
    /// db.wait_durable(sequence)?; // a sync of the device, shared with whoever waits too
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a key over 65,535 bytes or a
    ///   value over 1 GiB;
    /// - [`Error::StorageFull`](crate::Error::StorageFull) while the disk is full, but for what
    ///   deletions, flushes and merges need to make room: at once if none of these is about to;
    /// - [`Error::Overloaded`](crate::Error::Overloaded) if memory stayed full for too long;
    /// - [`Error::WriterStopped`](crate::Error::WriterStopped) after a failure that leaves the log
    ///   unknown;
    /// - [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed),
    ///   [`Error::Io`](crate::Error::Io).
    ///
    /// A failed write has no effect that a read could see.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Sequence> {
        self.put_with(key, value, Durability::Buffered)
    }

    /// [`Self::put`] with a choice of durability.
    ///
    /// With [`Durability::Sync`] the write may be seen by readers before it is durable; if the sync
    /// fails it may stay visible until the database is reopened.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put_with("paid", "yes", alluvium::Durability::Sync)?;
    /// // From here on a power loss does not take it.
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Sequence> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.engine().write_one(KEYSPACE_DEFAULT, key, Some(value), durability)
    }

    /// Deletes a key, and returns the sequence of that; a key that is not there is fine.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.delete("k")?;
    /// db.delete("never there")?;
    /// assert_eq!(db.get("k")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<Sequence> {
        self.delete_with(key, Durability::Buffered)
    }

    /// [`Self::delete`] with a choice of durability.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.delete_with("secret", alluvium::Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn delete_with(&self, key: impl AsRef<[u8]>, durability: Durability) -> Result<Sequence> {
        self.engine().write_one(KEYSPACE_DEFAULT, key.as_ref(), None, durability)
    }

    /// Commits a batch and returns the sequence of its last operation.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("a", "1");
    /// batch.delete("b");
    /// let sequence = db.write(batch)?;
    /// assert_eq!(sequence, db.snapshot().sequence());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`], and [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped) if the batch
    /// names a keyspace that was dropped.
    pub fn write(&self, batch: WriteBatch) -> Result<Sequence> {
        self.write_with(batch, Durability::Buffered)
    }

    /// [`Self::write`] with a choice of durability.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("a", "1");
    /// db.write_with(batch, alluvium::Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_with(&self, batch: WriteBatch, durability: Durability) -> Result<Sequence> {
        let operations = batch.into_operations(self.engine().core.instance)?;
        self.engine().write_batch(operations, durability)
    }

    /// The value of a key, or `None`.
    ///
    /// Takes no lock, and makes no system call when the data is in memory.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// if let Some(value) = db.get("k")? {
    ///     assert_eq!(value, "v"); // it derefs to bytes
    /// }
    /// assert_eq!(db.get("other")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`](crate::Error::Corruption) or [`Error::Io`](crate::Error::Io) if a
    /// block cannot be read; [`Error::Closed`](crate::Error::Closed).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().check_open()?;
        self.engine().get(None, key.as_ref(), ReadAt::Now)
    }

    /// Hands the value of a key to `read` where it lies, without a copy. Keep `read` short: it
    /// holds back the memory that it looks at.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "value")?;
    /// assert_eq!(db.get_with("k", |value| value.map(<[u8]>::len))?, Some(5));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn get_with<R>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        self.engine().check_open()?;
        self.engine().get_with(None, key.as_ref(), ReadAt::Now, read)
    }

    /// The keys in a range with their values, in bytewise order; `.rev()` goes backward.
    ///
    /// The iterator sees what was committed when it was made, however long it lives, and keeps that
    /// in memory and on disk. An error is its last item: use `?` on each, or collect into a
    /// `Result`. [`Range::len`] counts, and [`Self::len`] all of them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     db.put(key, "")?;
    /// }
    /// for kv in db.range("a".."c").rev() {
    ///     let (key, value) = kv?;
    ///     println!("{key:?} {value:?}");
    /// }
    /// assert_eq!(db.range("b"..).len()?, 2);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Range {
        Range::now(self.engine(), None, range.into_bounds())
    }

    /// The keys that begin with `prefix`, as [`Self::range`] gives them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("user:ann", "1")?;
    /// db.put("visits", "7")?;
    /// assert_eq!(db.prefix("user:").len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        Range::now(self.engine(), None, prefix_bounds(prefix.as_ref()))
    }

    /// A view of everything committed by now, to read from for as long as it lives.
    ///
    /// It pins no memory and no file; flushes and merges keep the versions that it sees.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "old")?;
    /// let snapshot = db.snapshot();
    /// db.delete("k")?;
    /// assert!(snapshot.contains_key("k")? && !db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.engine())
    }

    /// Closes the database: flushes, syncs, and ends its threads. Later calls on any handle get
    /// [`Error::Closed`](crate::Error::Closed). Closing twice is fine.
    ///
    /// The directory can be opened again once snapshots and iterators are dropped too.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.close()?;
    /// assert!(matches!(db.get("k"), Err(alluvium::Error::Closed)));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Why the flush or the sync failed. The database is closed even then, and everything that was
    /// acknowledged is in the log.
    pub fn close(&self) -> Result<()> {
        self.shared.close()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.path()).finish_non_exhaustive()
    }
}
