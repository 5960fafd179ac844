//! The handle of an open database. Contracts and delegation, nothing else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::batch::WriteBatch;
use crate::builder::Builder;
use crate::engine::background::Threads;
use crate::engine::stats::{Health, Stats};
use crate::engine::{Engine, ReadAt};
use crate::error::{Error, Result};
use crate::ids::{KEYSPACE_DEFAULT, Sequence};
use crate::io::{Fs, TemporaryDir};
use crate::iter::KeyRange;
use crate::iter::range::prefix_bounds;
use crate::keyspace::Keyspace;
use crate::options::{Durability, KeyspaceOptions, Options};
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
        let result = self.engine.close();
        self.threads.join();
        self.engine.release_directory();
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A panic under a lock makes the close panic too; a second panic would abort the process.
        let closed = catch_unwind(AssertUnwindSafe(|| self.close()));
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the close could not flush; the log still has everything");
        }
    }
}

/// An open database.
///
/// A handle is cheap to clone and may be used from any thread. The database is closed by
/// [`Db::close`], or when the last handle is dropped; snapshots and iterators keep its files and
/// its lock until they are dropped too.
///
/// Methods without a keyspace work on the one named `default`.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

impl Db {
    /// Opens the database in a directory, or makes one there.
    ///
    /// Recovers what was acknowledged before the last exit, clean or not.
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`] if it is open elsewhere;
    /// - [`Error::Corruption`] if bytes that were durable are missing or damaged;
    /// - [`Error::UnsupportedFormat`] if a newer version wrote it;
    /// - [`Error::Io`] if the system refuses: no permission, a read-only file system, a file where
    ///   the directory should be.
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

    /// Sets a key to a value, replacing what it had. [`Durability::Buffered`].
    ///
    /// Waits for no flush, no sync, no reader and no background thread.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidArgument`] for a key over 65,535 bytes or a value over 1 GiB;
    /// - [`Error::StorageFull`] while the disk is full;
    /// - [`Error::Overloaded`] if memory stayed full for too long;
    /// - [`Error::WriterStopped`] after a failure that leaves the log unknown;
    /// - [`Error::ReadOnly`], [`Error::Closed`], [`Error::Io`].
    ///
    /// A failed write has no effect that a read could see.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(key, value, Durability::Buffered)
    }

    /// [`Self::put`] with a choice of durability.
    ///
    /// With [`Durability::Sync`] the write may be seen by readers before it is durable; if the sync
    /// fails it may stay visible until the database is reopened.
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.engine().write_one(KEYSPACE_DEFAULT, key, Some(value), durability).map(drop)
    }

    /// Deletes a key; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.delete_with(key, Durability::Buffered)
    }

    /// [`Self::delete`] with a choice of durability.
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn delete_with(&self, key: impl AsRef<[u8]>, durability: Durability) -> Result<()> {
        self.engine().write_one(KEYSPACE_DEFAULT, key.as_ref(), None, durability).map(drop)
    }

    /// Commits a batch and returns the sequence of its last operation.
    ///
    /// # Errors
    ///
    /// As [`Self::put`], and [`Error::KeyspaceDropped`] if the batch names a keyspace that was
    /// dropped.
    pub fn write(&self, batch: WriteBatch) -> Result<Sequence> {
        self.write_with(batch, Durability::Buffered)
    }

    /// [`Self::write`] with a choice of durability.
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
    /// # Errors
    ///
    /// [`Error::Corruption`] or [`Error::Io`] if a block cannot be read; [`Error::Closed`].
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
    /// in memory and on disk. An error ends up as an item, again and again.
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
    /// assert_eq!(db.range(..).count(), 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Range {
        Range::now(self.engine(), None, range.into_bounds())
    }

    /// The keys that begin with `prefix`, as [`Self::range`] gives them.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        Range::now(self.engine(), None, prefix_bounds(prefix.as_ref()))
    }

    /// A view of everything committed by now, to read from for as long as it lives.
    ///
    /// It pins no memory and no file; flushes and merges keep the versions that it sees.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.engine())
    }

    /// The keyspace of this name, made if there is none.
    ///
    /// Making one waits for a sync of the manifest. A name has 1 to 255 bytes and no control
    /// characters.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a bad name, [`Error::ReadOnly`], [`Error::Closed`],
    /// [`Error::Io`], [`Error::StorageFull`].
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        self.engine().check_open()?;
        let state = self.engine().open_keyspace(name, None)?;
        Ok(Keyspace::new(&self.shared, state))
    }

    /// [`Self::keyspace`] with options of its own. They are kept with the keyspace when it is made;
    /// one that exists keeps those it has: [`Keyspace::options`] tells them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let options = alluvium::KeyspaceOptions::new().block_bytes(16 << 10);
    /// let logs = db.keyspace_with("logs", options)?;
    /// assert_eq!(logs.options(), options);
    /// assert_eq!(db.keyspace("logs")?.options(), options);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::keyspace`], and [`Error::InvalidArgument`] for options that cannot work.
    pub fn keyspace_with(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        self.engine().check_open()?;
        let state = self.engine().open_keyspace(name, Some(options))?;
        Ok(Keyspace::new(&self.shared, state))
    }

    /// The names of all keyspaces, sorted; `default` is always among them.
    #[must_use]
    pub fn keyspaces(&self) -> Vec<String> {
        self.engine().core.keyspaces.names()
    }

    /// Drops a keyspace with everything in it, durably.
    ///
    /// Snapshots taken before still read it; later reads and writes through its handles get
    /// [`Error::KeyspaceDropped`]. The name is free again at once. Space comes back as segments
    /// that hold nothing else are removed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there is none of this name, or for `default`; otherwise as
    /// [`Self::keyspace`].
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.engine().check_open()?;
        self.engine().drop_keyspace(name)
    }

    /// Makes every write acknowledged before the call durable.
    ///
    /// # Errors
    ///
    /// [`Error::WriterStopped`] if this or an earlier sync failed: what is durable is unknown until
    /// the database is reopened.
    pub fn sync(&self) -> Result<()> {
        self.engine().check_open()?;
        if self.engine().core.options.read_only { Ok(()) } else { self.engine().sync_all() }
    }

    /// Waits until everything up to a sequence is durable, as [`Self::write`] returned it, and so
    /// everything committed before it. Returns at once if a sync has covered it already.
    ///
    /// A writer that hands its work on, and one that acknowledges it later, need not wait for the
    /// device in between.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", "v");
    /// let sequence = db.write(batch)?;
    /// // ... and when somebody has to know:
    /// db.wait_durable(sequence)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a sequence above everything committed; otherwise as
    /// [`Self::sync`].
    pub fn wait_durable(&self, sequence: Sequence) -> Result<()> {
        self.engine().check_open()?;
        self.engine().wait_durable(sequence)
    }

    /// Moves everything in memtables to segments on disk, durably, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Closed`], or why the flush failed; the memtables and the log
    /// stay then.
    pub fn flush(&self) -> Result<()> {
        self.engine().check_open()?;
        if self.engine().core.options.read_only {
            return Err(Error::ReadOnly { path: self.path().to_path_buf() });
        }
        self.engine().flush()
    }

    /// Figures of the database at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Whether background work goes well.
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine().health()
    }

    /// The database's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.engine().core.dir
    }

    /// Closes the database: flushes, syncs, and ends its threads. Later calls on any handle get
    /// [`Error::Closed`]. Closing twice is fine.
    ///
    /// The directory can be opened again once snapshots and iterators are dropped too.
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
