//! Reads beyond `get`, on all three handles: whether a key is there, many keys at once, the first
//! and the last. Contracts and delegation, nothing else.

use crate::db::Db;
use crate::engine::{ReadAt, TryGet};
use crate::error::Result;

use crate::iter::KeyRange;
use crate::iter::range::prefix_bounds;
use crate::keyspace::Keyspace;
use crate::range::Range;
use crate::snapshot::Snapshot;
use crate::value::Value;

impl Db {
    /// The value of a key, if memory holds the answer: memtables, filters, indexes and cached blocks.
    /// Never touches the disk.
    ///
    /// For a thread that must not wait, such as that of an async executor: on
    /// [`TryGet::WouldBlock`] call [`Self::get`] where waiting is fine. It brings no block into the
    /// cache.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::TryGet;
    ///
    /// assert_eq!(db.try_get("k")?, TryGet::Miss);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn try_get(&self, key: impl AsRef<[u8]>) -> Result<TryGet> {
        self.engine().check_open()?;
        self.engine().try_get(None, key.as_ref(), ReadAt::Now)
    }

    /// Whether a key is there. Costs what [`Self::get`] does, without the copy of the value.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "")?;
    /// assert!(db.contains_key("k")?);
    /// assert!(!db.contains_key("other")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.get_with(key, |value| value.is_some())
    }

    /// The values of many keys, in the order of the keys, all at one point of the commit order: a
    /// batch shows in all of them or in none.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let values = db.multi_get(["b", "x", "a"])?;
    /// let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    /// assert_eq!(values, [Some(&b"2"[..]), None, Some(&b"1"[..])]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`]; the first one ends the call.
    pub fn multi_get(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        self.engine().check_open()?;
        self.engine().multi_get(None, keys, ReadAt::Now)
    }

    /// The first key and its value, or `None` if there is no key.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.first()?, None);
    /// db.put("b", "2")?;
    /// db.put("a", "1")?;
    /// let (key, value) = db.first()?.expect("two keys were put");
    /// assert_eq!((&*key, &*value), (&b"a"[..], &b"1"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn first(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next().transpose()
    }

    /// The last key and its value, or `None` if there is no key.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "1")?;
    /// db.put("b", "2")?;
    /// let (key, value) = db.last()?.expect("two keys were put");
    /// assert_eq!((&*key, &*value), (&b"b"[..], &b"2"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn last(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next_back().transpose()
    }
}

impl Keyspace {
    /// The value of a key, if memory holds the answer. As [`Db::try_get`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(users.try_get("ann")?, alluvium::TryGet::Miss);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::try_get`], and [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped).
    pub fn try_get(&self, key: impl AsRef<[u8]>) -> Result<TryGet> {
        let state = self.enter_read()?;
        self.engine().try_get(Some(state), key.as_ref(), ReadAt::Now)
    }

    /// Whether a key is there. As [`Db::contains_key`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(!users.contains_key("ann")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.get_with(key, |value| value.is_some())
    }

    /// The values of many keys, all at one point of the commit order. As [`Db::multi_get`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(users.multi_get(["ann", "bob"])?, [None, None]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`]; the first one ends the call.
    pub fn multi_get(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        let state = self.enter_read()?;
        self.engine().multi_get(Some(state), keys, ReadAt::Now)
    }

    /// The first key and its value. As [`Db::first`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.first()?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn first(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next().transpose()
    }

    /// The last key and its value. As [`Db::last`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.last()?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn last(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next_back().transpose()
    }
}

impl Snapshot {
    /// The value of a key in the default keyspace, if memory holds the answer. As [`Db::try_get`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().try_get("k")?, alluvium::TryGet::Miss);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None so far; for symmetry with [`Self::try_get_in`].
    pub fn try_get(&self, key: impl AsRef<[u8]>) -> Result<TryGet> {
        self.engine().try_get(None, key.as_ref(), self.at())
    }

    /// [`Self::try_get`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().try_get_in(&users, "ann")?, alluvium::TryGet::Miss);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`], the disk's apart.
    pub fn try_get_in(&self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<TryGet> {
        let state = self.enter(keyspace)?;
        self.engine().try_get(Some(state), key.as_ref(), self.at())
    }

    /// Hands the value of a key in the default keyspace to `read` where it lies. As
    /// [`Db::get_with`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "value")?;
    /// assert_eq!(db.snapshot().get_with("k", |value| value.map(<[u8]>::len))?, Some(5));
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
        self.engine().get_with(None, key.as_ref(), self.at(), read)
    }

    /// [`Self::get_with`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(db.snapshot().get_with_in(&users, "ann", |value| value.is_none())?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn get_with_in<R>(
        &self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        let state = self.enter(keyspace)?;
        self.engine().get_with(Some(state), key.as_ref(), self.at(), read)
    }

    /// Whether a key was there in the default keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let before = db.snapshot();
    /// db.put("k", "")?;
    /// assert!(!before.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.get_with(key, |value| value.is_some())
    }

    /// [`Self::contains_key`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(!db.snapshot().contains_key_in(&users, "ann")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn contains_key_in(&self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<bool> {
        self.get_with_in(keyspace, key, |value| value.is_some())
    }

    /// The values of many keys of the default keyspace, in the order of the keys.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().multi_get(["a", "b"])?, [None, None]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`]; the first one ends the call.
    pub fn multi_get(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        self.engine().multi_get(None, keys, self.at())
    }

    /// [`Self::multi_get`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().multi_get_in(&users, ["ann", "bob"])?, [None, None]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`]; the first one ends the call.
    pub fn multi_get_in(
        &self,
        keyspace: &Keyspace,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        let state = self.enter(keyspace)?;
        self.engine().multi_get(Some(state), keys, self.at())
    }

    /// The first key of the default keyspace and its value.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().first()?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn first(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next().transpose()
    }

    /// [`Self::first`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().first_in(&users)?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn first_in(&self, keyspace: &Keyspace) -> Result<Option<(Value, Value)>> {
        self.range_in(keyspace, ..).next().transpose()
    }

    /// The last key of the default keyspace and its value.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().last()?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn last(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next_back().transpose()
    }

    /// [`Self::last`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().last_in(&users)?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn last_in(&self, keyspace: &Keyspace) -> Result<Option<(Value, Value)>> {
        self.range_in(keyspace, ..).next_back().transpose()
    }

    /// The keys of a keyspace that begin with `prefix`.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert_eq!(db.snapshot().prefix_in(&users, "a").count(), 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix_in(&self, keyspace: &Keyspace, prefix: impl AsRef<[u8]>) -> Range {
        self.range_in(keyspace, prefix_bounds(prefix.as_ref()).into_bounds())
    }
}
