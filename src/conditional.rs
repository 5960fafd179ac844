//! Writes that depend on what is there: `insert_if_absent`, `compare_and_swap`, `update`, on both
//! handles that write. Contracts and delegation, nothing else.

use crate::answers::{CompareAndSwap, Updated};
use crate::db::Db;
use crate::engine::{Decision, Engine, KeyspaceState};
use crate::error::Result;
use crate::ids::Sequence;
use crate::keyspace::Keyspace;
use crate::options::Durability;
use crate::value::Value;

impl Db {
    /// Sets a key to a value if it has none. Returns the sequence of that, or `None` if it had one.
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
    /// As [`Self::put`] and [`Self::get`].
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
    /// As [`Self::put`] and [`Self::get`].
    pub fn insert_if_absent_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Option<Sequence>> {
        let (key, value) = (key.as_ref(), value.as_ref());
        insert_if_absent(self.engine(), None, key, value, durability)
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
    /// As [`Self::put`] and [`Self::get`]. A mismatch is none.
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
        compare_and_swap(self.engine(), None, key.as_ref(), (expected, new), durability)
    }

    /// Changes a key from what it has to what `change` makes of that; `None` means no value, before
    /// or after. Returns what it has then, and the sequence of the change.
    ///
    /// One step of the commit order: nothing comes between, whoever else writes. No lock is held
    /// while `change` runs; if the key changes meanwhile, `change` runs again with the newer value,
    /// so it should have no effect of its own. After eight changes, or flushes, that came between,
    /// the key is held: other writers of it wait until this call is over, as they would for memory
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
    /// As [`Self::put`] and [`Self::get`].
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
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
        durability: Durability,
    ) -> Result<Updated> {
        update(self.engine(), None, key.as_ref(), change, durability)
    }
}

impl Keyspace {
    /// Sets a key to a value if it has none. As [`Db::insert_if_absent`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(users.insert_if_absent("ann", "1")?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
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
    /// let users = db.keyspace("users")?;
    /// use alluvium::Durability;
    ///
    /// assert!(users.insert_if_absent_with("ann", "1", Durability::Sync)?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
    pub fn insert_if_absent_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Option<Sequence>> {
        let state = self.enter_read()?;
        let (key, value) = (key.as_ref(), value.as_ref());
        insert_if_absent(self.engine(), Some(state), key, value, durability)
    }

    /// Changes a key from `expected` to `new` if it is as expected. As [`Db::compare_and_swap`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(users.compare_and_swap("ann", None, Some(b"1"))?.swapped());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
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
    /// let users = db.keyspace("users")?;
    /// use alluvium::Durability;
    ///
    /// assert!(users.compare_and_swap_with("k", None, Some(b"1"), Durability::Sync)?.swapped());
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
        let state = self.enter_read()?;
        compare_and_swap(self.engine(), Some(state), key.as_ref(), (expected, new), durability)
    }

    /// Changes a key from what it has to what `change` makes of that. As [`Db::update`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(users.update("ann", |_| None)?.value, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`] and [`Self::get`].
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
    /// let users = db.keyspace("users")?;
    /// use alluvium::Durability;
    ///
    /// users.update_with("ann", |_| Some(vec![1]), Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::update`].
    pub fn update_with(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
        durability: Durability,
    ) -> Result<Updated> {
        let state = self.enter_read()?;
        update(self.engine(), Some(state), key.as_ref(), change, durability)
    }
}

fn insert_if_absent(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    value: &[u8],
    durability: Durability,
) -> Result<Option<Sequence>> {
    let decide = |current: Option<Value>| match current {
        Some(_) => Decision::Leave(false),
        None => Decision::Put(value, true),
    };
    let (inserted, sequence) = engine.write_conditional(keyspace, key, durability, decide)?;
    Ok(inserted.then_some(sequence))
}

fn compare_and_swap(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    (expected, new): (Option<&[u8]>, Option<&[u8]>),
    durability: Durability,
) -> Result<CompareAndSwap> {
    let decide = |current: Option<Value>| {
        if current.as_deref() != expected {
            return Decision::Leave(Some(current));
        }
        match (current, new) {
            (_, Some(new)) => Decision::Put(new, None),
            (Some(_), None) => Decision::Delete(None),
            (None, None) => Decision::Leave(None),
        }
    };
    let (mismatch, sequence) = engine.write_conditional(keyspace, key, durability, decide)?;
    Ok(mismatch.map_or(CompareAndSwap::Swapped(sequence), CompareAndSwap::Mismatch))
}

fn update(
    engine: &Engine,
    keyspace: Option<&KeyspaceState>,
    key: &[u8],
    mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    durability: Durability,
) -> Result<Updated> {
    let decide = |current: Option<Value>| match (change(current.as_deref()), current) {
        (Some(new), _) => {
            let value = Some(Value::copy(&new));
            Decision::Put(new, value)
        }
        (None, Some(_)) => Decision::Delete(None),
        (None, None) => Decision::Leave(None),
    };
    let (value, sequence) = engine.write_conditional(keyspace, key, durability, decide)?;
    Ok(Updated { value, sequence })
}
