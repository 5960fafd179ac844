//! [`Keyspace`]: the handle of one keyspace, and every verb that writes to it.

use std::fmt;
use std::ops::Deref;

use crate::answers::{CompareAndSwap, KeyChange, Updated};
use crate::compact::Compaction;
use crate::engine::read::get::check_open;
use crate::engine::write::{conditional, put, try_write};
use crate::engine::{Decision, KeyspaceState, TryWrite};
use crate::error::{Error, Result};
use crate::ids::{KeyspaceId, Sequence};
use crate::iter::KeyRange;
use crate::options::{Durability, KeyspaceOptions};
use crate::reader::{Moment, Reader};
use crate::shared::Shared;
use crate::sync::Arc;
use crate::value::Value;

/// A named set of keys of its own, from [`Db::keyspace`](crate::Db::keyspace).
///
/// It derefs to its [`Reader`], which has every read; what is here writes. Cheap to clone, usable
/// from any thread. Keyspaces share one log, so batches and snapshots across them cost nothing.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let (users, visits) = (db.keyspace("users")?, db.keyspace("visits")?);
/// users.put("ann", "Ann Example")?;
/// visits.put("ann", "1")?; // another key
/// assert!(users.get("ann")? != visits.get("ann")?);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Keyspace {
    // Dropped first: the last handle closes the database.
    reader: Reader,
    shared: Arc<Shared>,
}

impl Deref for Keyspace {
    type Target = Reader;

    #[inline]
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Keyspace {
    pub(crate) fn new(shared: Arc<Shared>, state: Arc<KeyspaceState>) -> Self {
        let reader = Reader::new(Arc::clone(&shared.engine), state, Moment::Now);
        Self { reader, shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Which open of a database it is of, and its id there.
    pub(crate) fn identity(&self) -> (u64, KeyspaceId) {
        (self.engine().core.instance, self.id())
    }

    fn id(&self) -> KeyspaceId {
        self.reader.keyspace().id
    }

    /// Its name now: after [`Db::rename_keyspace`](crate::Db::rename_keyspace) the new one; of a
    /// keyspace that was dropped, the last.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(users.name(), "users");
    /// db.rename_keyspace("users", "people")?;
    /// assert_eq!(users.name(), "people");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        self.reader.keyspace().name()
    }

    /// The options that it has now, as the last [`Db::keyspace_with`](crate::Db::keyspace_with)
    /// has set them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.options().block_bytes, 4096);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn options(&self) -> KeyspaceOptions {
        self.reader.keyspace().options()
    }

    /// Sets a key to a value, replacing what it had, and returns the sequence of that, for
    /// [`Db::wait_durable`](crate::Db::wait_durable). [`Durability::Buffered`].
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
    /// db.wait_durable(sequence)?; // a sync of the device, shared with all who wait
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// It allocates one node of an index in memory. Where the log is not mapped
    /// ([`Builder::log_mapping`](crate::Builder::log_mapping)) it makes one `write`; where it is,
    /// no system call but the allocator's. Only the put that fills
    /// [`memtable_bytes`](crate::Builder::memtable_bytes) makes some: it wakes the threads that
    /// prepare the next log and flush.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a key over 65,535 bytes or a
    ///   value over 1 GiB;
    /// - [`Error::StorageFull`](crate::Error::StorageFull) while the disk is full, but for what
    ///   deletions, flushes and merges need to make room. It fails at once if none of these is
    ///   about to make any;
    /// - [`Error::Overloaded`](crate::Error::Overloaded) if memory stayed full for too long;
    /// - [`Error::WriterStopped`](crate::Error::WriterStopped) after a failure that leaves the log
    ///   unknown;
    /// - [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped) if the keyspace was dropped;
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
        put::write_one(self.engine(), self.id(), key.as_ref(), Some(value.as_ref()), durability)
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
        put::write_one(self.engine(), self.id(), key.as_ref(), None, durability)
    }

    /// [`Self::put`], if that can be done without waiting: for threads that must not, like those of
    /// an async executor.
    ///
    /// The answer says what would be waited for ([`WaitFor`](crate::WaitFor)): another writer,
    /// memory, a log file, a conditional write that holds the key, or the disk that takes a big
    /// value. It costs what a [`put`](Self::put) does, and ends after a bounded
    /// number of its own steps, whatever other threads do, but for the locks on lists that others
    /// hold for a push or a look. Where the log is not mapped
    /// ([`Builder::log_mapping`](crate::Builder::log_mapping)) it makes one `write`, which the
    /// system may slow down; where room on the disk runs short, one `statfs`.
    ///
    /// ```
    /// use alluvium::{TryWrite, WaitFor};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(matches!(db.try_put("k", "v")?, TryWrite::Written(_)));
    /// assert_eq!(db.try_put("k", [0; 2 << 20])?, TryWrite::WouldWait(WaitFor::Disk));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn try_put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<TryWrite> {
        try_write::try_write_one(self.engine(), self.id(), key.as_ref(), Some(value.as_ref()))
    }

    /// [`Self::delete`], if that can be done without waiting. As [`Self::try_put`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let _ = db.try_delete("k")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn try_delete(&self, key: impl AsRef<[u8]>) -> Result<TryWrite> {
        try_write::try_write_one(self.engine(), self.id(), key.as_ref(), None)
    }

    /// Sets a key to a value if it has none. Returns the sequence of that, or `None` if it had one:
    /// which, [`compare_and_swap`](Self::compare_and_swap) with `None` tells.
    ///
    /// One step of the commit order: of several that insert one key, one gets a sequence.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.insert_if_absent("name", "ann")?.is_some());
    /// assert!(db.insert_if_absent("name", "bob")?.is_none());
    /// assert_eq!(db.get("name")?.as_deref(), Some(&b"ann"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`get`](Reader::get).
    pub fn insert_if_absent(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<Sequence>> {
        self.insert_if_absent_with(key, value, Durability::Buffered)
    }

    /// [`Self::insert_if_absent`] with a choice of durability. With [`Durability::Sync`] the answer
    /// is durable, too: also where the key had a value, that survives a power loss by then.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::Durability;
    ///
    /// assert!(db.insert_if_absent_with("ann", "1", Durability::Sync)?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`get`](Reader::get).
    pub fn insert_if_absent_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Option<Sequence>> {
        insert_if_absent(self, key.as_ref(), value.as_ref(), durability)
    }

    /// Changes a key from `expected` to `new` if it is as expected; `None` means that it has no
    /// value, before or after.
    ///
    /// One step of the commit order, so nothing comes between the comparison and the change.
    /// [`Durability::Buffered`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::CompareAndSwap;
    ///
    /// assert!(db.compare_and_swap("k", None, Some(b"1"))?.swapped());
    /// assert!(db.compare_and_swap("k", Some(b"1"), Some(b"2"))?.swapped());
    /// let stale = db.compare_and_swap("k", Some(b"1"), None)?;
    /// assert!(matches!(stale, CompareAndSwap::Mismatch(Some(now)) if now == "2"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`get`](Reader::get). A mismatch is none.
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<CompareAndSwap> {
        self.compare_and_swap_with(key, expected, new, Durability::Buffered)
    }

    /// [`Self::compare_and_swap`] with a choice of durability. With [`Durability::Sync`] the answer
    /// is durable, too: also what a mismatch has found survives a power loss by then.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::Durability;
    ///
    /// assert!(db.compare_and_swap_with("k", None, Some(b"1"), Durability::Sync)?.swapped());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::compare_and_swap`].
    pub fn compare_and_swap_with(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<CompareAndSwap> {
        compare_and_swap(self, key.as_ref(), (expected, new), durability)
    }

    /// Changes a key from what it has to what `change` makes of that; `None` means no value, before
    /// or after. Returns what it had and has, and the sequence of the change.
    /// [`Self::update_if`] may also leave it as it is, or fail.
    ///
    /// One step of the commit order: no other write comes between. No lock is held while `change`
    /// runs; if the key changes meanwhile, `change` runs again with the newer value, so it should
    /// have no effect of its own. After eight changes, or flushes, that came between, the key is
    /// held: other writers of it wait until this call is over, as they would for memory
    /// ([`Builder::on_overload`](crate::Builder::on_overload)). `change` may use the database, but
    /// one that writes its own key never ends, and one that waits for another thread which writes
    /// it may have that fail with [`Error::KeyHeld`](crate::Error::KeyHeld).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let count = |now: Option<&[u8]>| {
    ///     let now = now.and_then(|now| Some(u64::from_be_bytes(now.try_into().ok()?)));
    ///     Some((now.unwrap_or(0) + 1).to_be_bytes().to_vec())
    /// };
    /// db.update("visits", count)?;
    /// let visits = db.update("visits", count)?.value;
    /// assert_eq!(visits.as_deref(), Some(&2_u64.to_be_bytes()[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`get`](Reader::get).
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Updated> {
        self.update_with(key, change, Durability::Buffered)
    }

    /// [`Self::update`] with a choice of durability.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::Durability;
    ///
    /// db.update_with("ann", |_| Some(vec![1]), Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::update`].
    pub fn update_with(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
        durability: Durability,
    ) -> Result<Updated> {
        let change = |now: Option<&[u8]>| Ok(change(now).map_or(KeyChange::Delete, KeyChange::Put));
        update(self, key.as_ref(), change, durability)
    }

    /// [`Self::update`] with a `change` that may also leave the key as it is, or fail: with an
    /// error of its own, which is returned, and then nothing is written. `?` in it turns what the
    /// database says into that error.
    ///
    /// ```
    /// use alluvium::{Error, KeyChange};
    ///
    /// #[derive(Debug)]
    /// enum Refused {
    ///     Broke { has: u8 },
    ///     Database(Error),
    /// }
    /// # impl From<Error> for Refused {
    /// #     fn from(error: Error) -> Self {
    /// #         Self::Database(error)
    /// #     }
    /// # }
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// let take = |account: &str, amount: u8| {
    ///     db.update_if(account, |balance| {
    ///         let Some(&[has]) = balance else { return Ok(KeyChange::Leave) }; // no such account
    ///         let left = has.checked_sub(amount).ok_or(Refused::Broke { has })?;
    ///         Ok(KeyChange::Put(vec![left]))
    ///     })
    /// };
    /// db.put("ann", [7])?;
    /// let taken = take("ann", 5).expect("there is enough");
    /// assert_eq!(taken.old.as_deref(), Some(&[7][..]));
    /// assert_eq!(taken.value.as_deref(), Some(&[2][..]));
    /// assert!(matches!(take("ann", 5), Err(Refused::Broke { has: 2 })));
    /// assert!(!take("bob", 5).expect("it is left as it is").changed);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `change` returns, and as [`Self::update`].
    pub fn update_if<E: From<Error>>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Result<KeyChange, E>,
    ) -> Result<Updated, E> {
        self.update_if_with(key, change, Durability::Buffered)
    }

    /// [`Self::update_if`] with a choice of durability. With [`Durability::Sync`] what was left as
    /// it is is durable, too; an error of `change` waits for nothing.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::{Durability, Error, KeyChange};
    ///
    /// let set = |_: Option<&[u8]>| Ok::<_, Error>(KeyChange::Put(vec![1]));
    /// db.update_if_with("ann", set, Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::update_if`].
    pub fn update_if_with<E: From<Error>>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Result<KeyChange, E>,
        durability: Durability,
    ) -> Result<Updated, E> {
        update(self, key.as_ref(), change, durability)
    }

    /// [`Db::compact`](crate::Db::compact) for the keys of this keyspace in a range.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("log:1", "")?;
    /// db.delete("log:1")?;
    /// db.compact_range("log:".."log;")?; // the deleted entries are gone from the disk
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::compact`](crate::Db::compact).
    pub fn compact_range(&self, range: impl KeyRange) -> Result<()> {
        self.start_compaction(range)?.wait()
    }

    /// Begins what [`Self::compact_range`] does, and returns a handle to watch,
    /// wait for or cancel it. Returns once what is in memory has been flushed.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.start_compaction("log:".."log;")?.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::start_compaction_of_all`](crate::Db::start_compaction_of_all).
    pub fn start_compaction(&self, range: impl KeyRange) -> Result<Compaction> {
        Compaction::start(self.engine(), Some((self.id(), range.into_bounds())))
    }

    fn write_conditional<B: AsRef<[u8]>, R, E: From<Error>>(
        &self,
        key: &[u8],
        durability: Durability,
        decide: impl FnMut(Option<Value>) -> Result<Decision<B, R>, E>,
    ) -> Result<(R, Sequence), E> {
        check_open(self.engine())?;
        conditional::write_conditional(
            self.engine(),
            self.reader.keyspace(),
            key,
            durability,
            decide,
        )
    }
}

fn insert_if_absent(
    keyspace: &Keyspace,
    key: &[u8],
    value: &[u8],
    durability: Durability,
) -> Result<Option<Sequence>> {
    let decide = |current: Option<Value>| {
        Ok::<_, Error>(match current {
            Some(_) => Decision::Leave(false),
            None => Decision::Put(value, true),
        })
    };
    let (inserted, sequence) = keyspace.write_conditional(key, durability, decide)?;
    Ok(inserted.then_some(sequence))
}

fn compare_and_swap(
    keyspace: &Keyspace,
    key: &[u8],
    (expected, new): (Option<&[u8]>, Option<&[u8]>),
    durability: Durability,
) -> Result<CompareAndSwap> {
    let decide = |current: Option<Value>| {
        if current.as_deref() != expected {
            return Ok::<_, Error>(Decision::Leave(Some(current)));
        }
        Ok(match (current, new) {
            (_, Some(new)) => Decision::Put(new, None),
            (Some(_), None) => Decision::Delete(None),
            (None, None) => Decision::Leave(None),
        })
    };
    let (mismatch, sequence) = keyspace.write_conditional(key, durability, decide)?;
    Ok(mismatch.map_or(CompareAndSwap::Swapped(sequence), CompareAndSwap::Mismatch))
}

fn update<E: From<Error>>(
    keyspace: &Keyspace,
    key: &[u8],
    mut change: impl FnMut(Option<&[u8]>) -> Result<KeyChange, E>,
    durability: Durability,
) -> Result<Updated, E> {
    let decide = |old: Option<Value>| {
        Ok::<_, E>(match (change(old.as_deref())?, &old) {
            (KeyChange::Put(new), _) => {
                let value = Some(Value::copy(&new));
                Decision::Put(new, (old, value, true))
            }
            (KeyChange::Delete, Some(_)) => Decision::Delete((old, None, true)),
            (KeyChange::Delete | KeyChange::Leave, _) => Decision::Leave((old.clone(), old, false)),
        })
    };
    let ((old, value, changed), sequence) = keyspace.write_conditional(key, durability, decide)?;
    Ok(Updated { old, value, changed, sequence })
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.name()).finish_non_exhaustive()
    }
}
