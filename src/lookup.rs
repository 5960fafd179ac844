//! Reads beyond `get`, on both handles of now: without the disk, whether a key is there, many keys
//! at once, the first and the last, about how much there is, and (of a snapshot too) what a get
//! looks at. Contracts and delegation, nothing else.

use crate::db::Db;
use crate::engine::read::explain::Explain;
use crate::engine::{ReadAt, TryGet};
use crate::error::Result;
use crate::iter::KeyRange;
use crate::keyspace::Keyspace;
use crate::snapshot::Snapshot;
use crate::value::Value;

impl Db {
    /// The value of a key, if memory holds the answer: memtables, filters, indexes and cached
    /// blocks. Never touches the disk.
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

impl Db {
    /// What a [`Self::get`] of the key looks at, layer by layer: filters, blocks, versions,
    /// tombstones; and what lies below the layer at which it ends.
    ///
    /// Reads what it needs from the disk, and leaves the cache as it is.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// db.delete("k")?;
    /// let text = db.explain("k")?.to_string();
    /// assert!(text.contains("not found: a tombstone"), "{text}");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explain> {
        self.engine().check_open()?;
        self.engine().explain(None, key.as_ref(), ReadAt::Now)
    }

    /// About how many bytes a range of keys takes, on disk and in memtables, all versions together.
    ///
    /// From indexes, without the disk. Never less than the range takes (on disk, keys that begin
    /// alike share that part, and data may be compressed), and more by at most one data block
    /// at either end of it in each run, and by what else is in memtables (at most
    /// [`Builder::memory_bytes`](crate::Builder::memory_bytes)) where the range has thousands of
    /// versions there.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("user:1", [0; 1000])?;
    /// assert!(db.approximate_size("user:".."user;")? >= 1000);
    /// assert_eq!(db.approximate_size("x"..)?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn approximate_size(&self, range: impl KeyRange) -> Result<u64> {
        self.engine().check_open()?;
        Ok(self.engine().estimate(None, &range.into_bounds())?.bytes)
    }

    /// About how many keys there are.
    ///
    /// Counts versions from the segments' properties and the memtables' counters, without the disk:
    /// an overwritten key counts once for each version that is still kept, and a tombstone counts
    /// too, so this says too much rather than too little. It is exact while each key was written
    /// once and there is one keyspace. In a segment that several share, each is given its part by
    /// size; in a memtable, one with thousands of versions there is given those of the others too.
    /// [`Self::len`] is exact, and reads everything.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "")?;
    /// db.put("b", "")?;
    /// assert_eq!(db.approximate_len()?, 2);
    /// db.delete("b")?;
    /// assert_eq!(db.approximate_len()?, 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn approximate_len(&self) -> Result<u64> {
        self.engine().check_open()?;
        Ok(self.engine().estimate(None, &(..).into_bounds())?.versions)
    }
}

impl Keyspace {
    /// What a [`Self::get`] of the key looks at. As [`Db::explain`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.explain("ann")?.found, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explain> {
        let state = self.enter_read()?;
        self.engine().explain(Some(state), key.as_ref(), ReadAt::Now)
    }

    /// About how many bytes a range of keys takes. As [`Db::approximate_size`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.approximate_size(..)?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::approximate_size`], and
    /// [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped).
    pub fn approximate_size(&self, range: impl KeyRange) -> Result<u64> {
        let state = self.enter_read()?;
        Ok(self.engine().estimate(Some(state), &range.into_bounds())?.bytes)
    }

    /// About how many keys there are. As [`Db::approximate_len`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.approximate_len()?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::approximate_size`].
    pub fn approximate_len(&self) -> Result<u64> {
        let state = self.enter_read()?;
        Ok(self.engine().estimate(Some(state), &(..).into_bounds())?.versions)
    }

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
    /// What a [`Self::get`] of the key looks at. As [`Db::explain`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.explain("k")?.at, snapshot.sequence());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explain> {
        self.engine().explain(None, key.as_ref(), self.at()?)
    }

    /// [`Self::explain`] in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().explain_in(&users, "ann")?.found, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn explain_in(&self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<Explain> {
        let state = self.enter(keyspace)?;
        self.engine().explain(Some(state), key.as_ref(), self.at()?)
    }
}
