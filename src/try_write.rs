//! Writes that never wait: `try_put`, `try_delete`, `try_write`, on the handles that write.
//! Contracts and delegation, as in `db`, of which this is a part.

use crate::batch::WriteBatch;
use crate::db::Db;
use crate::engine::TryWrite;
use crate::error::Result;
use crate::ids::KEYSPACE_DEFAULT;
use crate::keyspace::Keyspace;

impl Db {
    /// [`Self::put`], if that can be done without waiting: for threads that must not, like those of
    /// an async executor.
    ///
    /// Would wait: where memory runs short ([`Builder::on_overload`](crate::Builder::on_overload)),
    /// where there is no log file to write to (the first write after an open, mostly), while a
    /// conditional write holds the key, and with a value of more than a quarter of
    /// [`memtable_bytes`](crate::Builder::memtable_bytes), which brings a file of its own. What is
    /// waited for is under way then. It shares the short commit section with other writers.
    ///
    /// ```
    /// use alluvium::TryWrite;
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("first", "has made the log")?;
    /// assert!(matches!(db.try_put("k", "v")?, TryWrite::Written(_)));
    /// assert!(matches!(db.try_put("k", [0; 2 << 20])?, TryWrite::WouldBlock(())));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn try_put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<TryWrite> {
        self.engine().try_write_one(KEYSPACE_DEFAULT, key.as_ref(), Some(value.as_ref()))
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
        self.engine().try_write_one(KEYSPACE_DEFAULT, key.as_ref(), None)
    }

    /// [`Self::write`], if that can be done without waiting. As [`Self::try_put`], and gives the
    /// batch back where it cannot.
    ///
    /// ```
    /// use alluvium::{TryWrite, WriteBatch};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put("k", "v");
    /// if let TryWrite::WouldBlock(batch) = db.try_write(batch)? {
    ///     db.write(batch)?; // on a thread that may wait
    /// }
    /// assert!(db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::write`]. The batch is gone then.
    pub fn try_write(&self, batch: WriteBatch) -> Result<TryWrite<WriteBatch>> {
        batch.try_write(|operations, instance| {
            if instance.is_none_or(|instance| instance == self.engine().core.instance) {
                return self.engine().try_write_batch(operations);
            }
            Err(WriteBatch::foreign())
        })
    }
}

impl Keyspace {
    /// [`Self::put`], if that can be done without waiting. As [`Db::try_put`].
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// let _ = users.try_put("ann", "1")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn try_put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<TryWrite> {
        self.engine().try_write_one(self.identity().1, key.as_ref(), Some(value.as_ref()))
    }

    /// [`Self::delete`], if that can be done without waiting. As [`Db::try_put`].
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// let _ = users.try_delete("ann")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn try_delete(&self, key: impl AsRef<[u8]>) -> Result<TryWrite> {
        self.engine().try_write_one(self.identity().1, key.as_ref(), None)
    }
}
