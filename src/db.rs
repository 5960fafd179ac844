//! [`Db`]: the handle of an open database. How it is opened stands in `builder`, what those who run
//! one ask of it in `maintenance`.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use crate::answers::Transacted;
use crate::batch::WriteBatch;
use crate::engine::keyspaces::ask::{
    drop_keyspace, find_keyspace, open_keyspace, open_keyspaces, rename_keyspace,
};
use crate::engine::read::get::{check_open, default_keyspace};
use crate::engine::write::transaction::write_required;
use crate::engine::write::{put, try_write};
use crate::engine::{Engine, KeyspaceState, TryWrite, WaitFor};
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::io::{Fs, TemporaryDir};
use crate::keyspace::Keyspace;
use crate::options::{Durability, KeyspaceOptions, Options, TransactionOptions};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::transaction::{Transaction, transact};

/// An open database.
///
/// A handle is cheap to clone and may be used from any thread. The database is closed by
/// [`Db::close`], or when the last handle is dropped; snapshots and iterators keep its files and
/// its lock until they are dropped too. In a process that was forked off afterwards every call
/// fails with [`Error::Forked`] or gives nothing, and dropping and closing do
/// nothing.
///
/// It derefs to its [`Keyspace`] named `default`, and so to that one's [`Reader`](crate::Reader):
/// they have what reads and writes keys. What is here is about the database.
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
    /// The one named `default`.
    keyspace: Keyspace,
}

impl Deref for Db {
    type Target = Keyspace;

    #[inline]
    fn deref(&self) -> &Keyspace {
        &self.keyspace
    }
}

impl Db {
    /// A `temporary` directory goes with the last handle, snapshot or iterator.
    pub(crate) fn open_with(
        fs: Arc<dyn Fs>,
        path: PathBuf,
        options: Options,
        temporary: Option<TemporaryDir>,
    ) -> Result<Self> {
        let (engine, threads) = Engine::open(fs, path, options, temporary)?;
        let keyspace = default_keyspace(&engine);
        let shared = Arc::new(Shared { engine, threads });
        Ok(Self { keyspace: Keyspace::new(shared, keyspace) })
    }

    /// Commits a batch and returns the sequence of its last operation. The batch stays as it is,
    /// to be written again after an error that [is retryable](crate::Error::is_retryable), or
    /// [cleared](WriteBatch::clear) and filled again.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("a", "1");
    /// batch.delete("b");
    /// let sequence = db.write(&batch)?;
    /// assert_eq!(sequence, db.snapshot().sequence());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put`](Keyspace::put), and [`Error::KeyspaceDropped`] if
    /// the batch names a keyspace that was dropped; [`Error::RequirementFailed`] if it
    /// [requires](WriteBatch::require) what is not so.
    pub fn write(&self, batch: &WriteBatch) -> Result<Sequence> {
        self.write_with(batch, Durability::Buffered)
    }

    /// [`Self::write`] with a choice of durability.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("a", "1");
    /// db.write_with(&batch, alluvium::Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_with(&self, batch: &WriteBatch, durability: Durability) -> Result<Sequence> {
        let operations = batch.operations(self.engine().core.instance)?;
        match batch.requirements() {
            [] => put::write_batch(self.engine(), operations, durability),
            required => write_required(self.engine(), operations, required, durability),
        }
    }

    /// [`Self::write`], if that can be done without waiting. As [`try_put`](Keyspace::try_put). A
    /// batch that [requires](WriteBatch::require) something would wait for the disk, which may have
    /// to be read.
    ///
    /// ```
    /// use alluvium::{TryWrite, WriteBatch};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put("k", "v");
    /// if let TryWrite::WouldWait(_) = db.try_write(&batch)? {
    ///     db.write(&batch)?; // on a thread that may wait
    /// }
    /// assert!(db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn try_write(&self, batch: &WriteBatch) -> Result<TryWrite> {
        let operations = batch.operations(self.engine().core.instance)?;
        if !batch.requirements().is_empty() {
            return Ok(TryWrite::WouldWait(WaitFor::Disk));
        }
        try_write::try_write_batch(self.engine(), operations)
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
        Snapshot::new(self)
    }

    /// Begins a transaction: reads of this moment and writes that commit together, if nothing that
    /// was read has changed. [`Self::transact`] also runs it again where something has.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// if tx.get("name")?.is_none() {
    ///     tx.put("name", "ann")?;
    /// }
    /// tx.commit()?;
    /// assert!(db.contains_key("name")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        self.transaction_with(TransactionOptions::new())
    }

    /// [`Self::transaction`] with options.
    ///
    /// ```
    /// use alluvium::{Isolation, TransactionOptions};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// let options = TransactionOptions::new().isolation(Isolation::Snapshot);
    /// let tx = db.transaction_with(options);
    /// tx.put("k", "v")?;
    /// tx.commit()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn transaction_with(&self, options: TransactionOptions) -> Transaction {
        Transaction::new(self, options)
    }

    /// Runs `work` in a [`Transaction`] and commits it; where that meets a conflict, runs it again
    /// in another, so `work` should have no effect of its own. Returns what `work` has returned in
    /// the one that was committed, and the sequence of that. An error of `work` gives the
    /// transaction up, and is returned.
    ///
    /// It gets its turn, also beside others who write all the time: after eight conflicts others
    /// wait to write what it has read and written last time, and if it reads something else each
    /// time, after two more, to write anything. They wait as they would for memory
    /// ([`Builder::on_overload`](crate::Builder::on_overload)). So `work` should not wait for
    /// another thread that writes, which may have that fail with
    /// [`Error::KeyHeld`]; and what it writes past its transaction, through
    /// another handle, is a conflict if the transaction has read it. If that happens in the
    /// eleventh run too, [`Error::Conflict`] is returned.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// # db.put("from", "7")?;
    /// use alluvium::Error;
    ///
    /// let moved = db.transact(|tx| {
    ///     let value = tx.get("from")?;
    ///     if let Some(value) = &value {
    ///         tx.delete("from")?;
    ///         tx.put("to", value)?;
    ///     }
    ///     Ok::<_, Error>(value)
    /// })?;
    /// assert_eq!((moved.value, db.get("from")?), (db.get("to")?, None));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `work` returns, and as [`Transaction::commit`].
    pub fn transact<R, E: From<Error>>(
        &self,
        work: impl FnMut(&Transaction) -> Result<R, E>,
    ) -> Result<Transacted<R>, E> {
        self.transact_with(TransactionOptions::new(), work)
    }

    /// [`Self::transact`] with options.
    ///
    /// ```
    /// use alluvium::{Durability, Error, TransactionOptions};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// let durable = TransactionOptions::new().durability(Durability::Sync);
    /// db.transact_with(durable, |tx| tx.put("k", "v"))?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::transact`].
    pub fn transact_with<R, E: From<Error>>(
        &self,
        options: TransactionOptions,
        work: impl FnMut(&Transaction) -> Result<R, E>,
    ) -> Result<Transacted<R>, E> {
        transact(self, options, work)
    }

    /// The keyspace of this name, made if there is none.
    ///
    /// Making one waits for two syncs of the manifest, which calls at the same time share. A name
    /// has 1 to 255 bytes and no control characters.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert_eq!(db.get("ann")?, None); // not in `default`
    /// assert!(db.keyspace("users")?.contains_key("ann")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a bad name,
    /// [`Error::ReadOnly`], [`Error::Closed`],
    /// [`Error::Io`], [`Error::StorageFull`].
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        check_open(self.engine())?;
        let state = open_keyspace(self.engine(), name, None)?;
        Ok(self.handle(state))
    }

    /// The keyspace of this name, or `None` if there is none: nothing is made. Costs a look in
    /// memory, also where the database is open for reading.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.keyspace_if_exists("users")?.is_none());
    /// db.keyspace("users")?;
    /// assert!(db.keyspace_if_exists("users")?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for what no keyspace can be called, [`Error::Closed`].
    pub fn keyspace_if_exists(&self, name: &str) -> Result<Option<Keyspace>> {
        check_open(self.engine())?;
        let state = find_keyspace(self.engine(), name)?;
        Ok(state.map(|state| self.handle(state)))
    }

    /// [`Self::keyspace`] with options, which are kept with it.
    ///
    /// One that exists, `default` too, has these options from then on: what is written to disk
    /// later goes by them, and what is there already as it is merged. With the options that it has
    /// nothing is changed.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::KeyspaceOptions;
    ///
    /// let options = KeyspaceOptions::new().block_bytes(16 << 10);
    /// let logs = db.keyspace_with("logs", options)?;
    /// assert_eq!(db.keyspace("logs")?.options(), options);
    /// db.keyspace_with("logs", options.filter_bits(0))?;
    /// assert_eq!(logs.options().filter_bits, 0);
    /// db.keyspace_with("default", options)?; // what `db.put` goes to
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::keyspace`], and [`Error::InvalidArgument`] for
    /// options that cannot work. [`Error::ReadOnly`] if the database is
    /// open for reading and the keyspace has other options.
    pub fn keyspace_with(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        check_open(self.engine())?;
        let state = open_keyspace(self.engine(), name, Some(options))?;
        Ok(self.handle(state))
    }

    /// [`Self::keyspace_with`] for many names at once: all of them in one step of the manifest, two
    /// syncs of the device, where each alone costs that.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let names = (0..100).map(|tenant| format!("tenant-{tenant}"));
    /// let tenants = db.keyspaces_with(names, alluvium::KeyspaceOptions::new())?;
    /// tenants[7].put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::keyspace_with`]; then none of them was made or changed.
    pub fn keyspaces_with(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
        options: KeyspaceOptions,
    ) -> Result<Vec<Keyspace>> {
        check_open(self.engine())?;
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let states = open_keyspaces(self.engine(), &names, options)?;
        Ok(states.into_iter().map(|state| self.handle(state)).collect())
    }

    /// The names of all keyspaces, sorted; `default` is always among them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.keyspace("users")?;
    /// assert_eq!(db.keyspaces(), ["default", "users"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn keyspaces(&self) -> Vec<String> {
        let core = &self.engine().core;
        if core.is_forked() { Vec::new() } else { core.keyspaces.names() }
    }

    /// Drops a keyspace with everything in it, durably.
    ///
    /// Snapshots taken before still read it; later reads and writes through its handles get
    /// [`Error::KeyspaceDropped`]. The name is free again at once.
    /// Space comes back as segments that hold nothing else are removed, at once if no snapshot is
    /// older, and as merges take it out of the others. On a full disk that waits until there is
    /// room for a few hundred bytes.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let old = db.keyspace("2023")?;
    /// db.drop_keyspace("2023")?;
    /// assert!(matches!(old.get("k"), Err(alluvium::Error::KeyspaceDropped { .. })));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there is none of this name, or
    /// for `default`; otherwise as [`Self::keyspace`].
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        check_open(self.engine())?;
        drop_keyspace(self.engine(), name)
    }

    /// Gives a keyspace another name, durably. Nothing else of it changes: handles, snapshots,
    /// batches and transactions go on with it, and handles tell the new name. The old one is free
    /// at once. A crash leaves one of the two names, and the new one only with all that was written
    /// before the call. Waits for a sync of the log and two of the manifest.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let draft = db.keyspace("draft")?;
    /// draft.put("k", "v")?;
    /// db.rename_keyspace("draft", "final")?;
    /// assert_eq!(db.keyspaces(), ["default", "final"]);
    /// assert!(draft.contains_key("k")? && db.keyspace("final")?.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::KeyspaceExists`] if there is one of the new name, which may be the old;
    /// [`Error::InvalidArgument`] if there is none of the old name, or for `default`, or a name
    /// that no keyspace can have; otherwise as [`Self::keyspace`].
    pub fn rename_keyspace(&self, from: &str, to: &str) -> Result<()> {
        check_open(self.engine())?;
        rename_keyspace(self.engine(), from, to)
    }

    fn handle(&self, state: Arc<KeyspaceState>) -> Keyspace {
        Keyspace::new(Arc::clone(self.keyspace.shared()), state)
    }

    /// Closes the database: flushes, syncs, and ends its threads. Later calls on any handle get
    /// [`Error::Closed`]. Closing twice is fine.
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
        self.keyspace.shared().close()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.path()).finish_non_exhaustive()
    }
}
