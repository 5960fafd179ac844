//! Exact counts, on everything that is read from: `len` and `is_empty`. Contracts and delegation,
//! as in `db`, of which this is a part.

use crate::db::Db;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::snapshot::Snapshot;

impl Db {
    /// How many keys there are, exactly, at this moment.
    ///
    /// Walks over all of them without copying anything: a scan in time, and in what it reads from
    /// the disk. [`Range::len`](crate::Range::len) counts a part; [`Self::approximate_len`] costs
    /// nothing.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("a", "")?;
    /// db.put("b", "")?;
    /// db.delete("b")?;
    /// assert_eq!((db.len()?, db.range("b"..).len()?), (1, 0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn len(&self) -> Result<u64> {
        self.range(..).len()
    }

    /// Whether there is no key. Reads up to the first one.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn is_empty(&self) -> Result<bool> {
        self.range(..).is_empty()
    }
}

impl Keyspace {
    /// How many keys there are, exactly. As [`Db::len`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.len()?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn len(&self) -> Result<u64> {
        self.range(..).len()
    }

    /// Whether there is no key. Reads up to the first one.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.keyspace("users")?.is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn is_empty(&self) -> Result<bool> {
        self.range(..).is_empty()
    }
}

impl Snapshot {
    /// How many keys the default keyspace had. As [`Db::len`]; for a range,
    /// [`Range::len`](crate::Range::len).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let before = db.snapshot();
    /// db.put("k", "v")?;
    /// assert_eq!((before.len()?, db.snapshot().len()?), (0, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn len(&self) -> Result<u64> {
        self.range(..).len()
    }

    /// [`Self::len`] of a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().len_in(&users)?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn len_in(&self, keyspace: &Keyspace) -> Result<u64> {
        self.range_in(keyspace, ..).len()
    }

    /// Whether the default keyspace had no key.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.snapshot().is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn is_empty(&self) -> Result<bool> {
        self.range(..).is_empty()
    }

    /// [`Self::is_empty`] of a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert!(db.snapshot().is_empty_in(&users)?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get_in`].
    pub fn is_empty_in(&self, keyspace: &Keyspace) -> Result<bool> {
        self.range_in(keyspace, ..).is_empty()
    }
}
