//! [`WriteBatch`]: operations that commit together.

use crate::engine::write::transaction::Requirement;
use crate::engine::{Batch, check_sizes};
use crate::error::{Error, Result};
use crate::format::record::BODY_BYTES_MAX;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId};
use crate::keyspace::Keyspace;

/// Operations that commit together: all of them or none, on disk and to every reader, across
/// keyspaces.
///
/// Operations take effect in the order in which they were added; of several on one key the last
/// wins. A batch is encoded as it is built, so building it allocates one growing buffer. At most 3
/// GiB.
///
/// A write takes it by reference, and leaves it as it is: one that has failed with
/// [`Error::Overloaded`] can be tried again. [`Snapshot::with`](crate::Snapshot::with) reads what
/// it comes to.
///
/// An operation that cannot be accepted (a key over 65,535 bytes, a value over 1 GiB, a keyspace of
/// another database) is reported by [`Db::write`](crate::Db::write), and nothing of the batch is
/// written then.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let users = db.keyspace("users")?;
/// let mut batch = alluvium::WriteBatch::new();
/// batch.put("last-user", "ann");
/// batch.put_in(&users, "ann", "1");
/// batch.delete_in(&users, "bob");
/// db.write(&batch)?;
/// assert_eq!(users.get("ann")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a batch does nothing until it is written"]
pub struct WriteBatch {
    buffer: Batch,
    requirements: Vec<Requirement>,
    /// The first operation that was refused.
    refused: Option<Error>,
    /// Which open of a database the keyspaces are of.
    instance: Option<u64>,
}

impl WriteBatch {
    /// An empty batch.
    ///
    /// ```
    /// let mut batch = alluvium::WriteBatch::new();
    /// assert!(batch.is_empty());
    /// # batch.clear();
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key in the default keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", "v");
    /// db.write(&batch)?;
    /// assert!(db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.add(KEYSPACE_DEFAULT, key.as_ref(), Some(value.as_ref()));
    }

    /// Deletes a key from the default keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", "v");
    /// batch.delete("k"); // the later one counts
    /// db.write(&batch)?;
    /// assert!(!db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.add(KEYSPACE_DEFAULT, key.as_ref(), None);
    }

    /// Sets a key in a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// let users = db.keyspace("users")?;
    /// batch.put_in(&users, "ann", "1");
    /// db.write(&batch)?;
    /// assert!(users.contains_key("ann")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn put_in(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let id = self.enter(keyspace);
        self.add(id, key.as_ref(), Some(value.as_ref()));
    }

    /// Deletes a key from a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// let users = db.keyspace("users")?;
    /// batch.delete_in(&users, "ann");
    /// db.write(&batch)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn delete_in(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) {
        let id = self.enter(keyspace);
        self.add(id, key.as_ref(), None);
    }

    /// Has the batch written only if a key of the default keyspace has this value then, or none if
    /// `None`: all of it, or nothing and [`Error::RequirementFailed`].
    ///
    /// What the batch itself does to the key comes after that. All requirements are met at one
    /// point of the commit order, at which the batch takes place; no snapshot is held for it. Where
    /// somebody else writes one of the keys meanwhile it is looked at again, and after eight times
    /// held, as by [`update`](crate::Keyspace::update).
    ///
    /// ```
    /// use alluvium::{Error, WriteBatch};
    ///
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("job:7", "ready")?;
    /// let mut batch = WriteBatch::new();
    /// batch.require("job:7", Some(b"ready"));
    /// batch.put("job:7", "running");
    /// batch.put("running:7", "");
    /// db.write(&batch)?;
    /// assert!(matches!(db.write(&batch), Err(Error::RequirementFailed { .. })));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn require(&mut self, key: impl AsRef<[u8]>, expected: Option<&[u8]>) {
        self.add_requirement(KEYSPACE_DEFAULT, key.as_ref(), expected);
    }

    /// [`Self::require`] for a key of a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.require_in(&users, "ann", None);
    /// batch.put_in(&users, "ann", "1");
    /// batch.put("last-user", "ann");
    /// db.write(&batch)?;
    /// assert!(db.write(&batch).is_err());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn require_in(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
    ) {
        let id = self.enter(keyspace);
        self.add_requirement(id, key.as_ref(), expected);
    }

    /// How many operations it holds.
    ///
    /// ```
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", "v");
    /// batch.delete("k");
    /// assert_eq!(batch.len(), 2);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len_ops() as usize
    }

    /// Whether it holds none.
    ///
    /// ```
    /// let mut batch = alluvium::WriteBatch::new();
    /// assert!(batch.is_empty());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes in the log, without the record's header.
    ///
    /// ```
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", [0; 1000]);
    /// assert!(batch.bytes() > 1000); // a bound to write it at
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.body_len()
    }

    /// Takes all operations and requirements out, keeping the memory.
    ///
    /// ```
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put("k", "v");
    /// batch.clear();
    /// assert!(batch.is_empty());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.requirements.clear();
        self.refused = None;
        self.instance = None;
    }

    fn enter(&mut self, keyspace: &Keyspace) -> KeyspaceId {
        let (instance, id) = keyspace.identity();
        if *self.instance.get_or_insert(instance) != instance {
            self.refuse(Error::InvalidArgument {
                what: String::from(
                    "a batch names keyspaces of two databases, or of two opens of one",
                ),
            });
        }
        id
    }

    fn add(&mut self, keyspace: KeyspaceId, key: &[u8], value: Option<&[u8]>) {
        if let Err(error) = check_sizes(key, value.unwrap_or_default()) {
            return self.refuse(error);
        }
        // The kind, and three varints at their longest.
        let more = 1 + 3 * 10 + key.len() + value.map_or(0, <[u8]>::len);
        if self.buffer.body_len() + more > BODY_BYTES_MAX {
            let what = format!("a batch has at most {BODY_BYTES_MAX} bytes");
            return self.refuse(Error::InvalidArgument { what });
        }
        match value {
            Some(value) => self.buffer.put(keyspace, key, value),
            None => self.buffer.delete(keyspace, key),
        }
    }

    fn add_requirement(&mut self, keyspace: KeyspaceId, key: &[u8], expected: Option<&[u8]>) {
        if let Err(error) = check_sizes(key, &[]) {
            return self.refuse(error);
        }
        let expected = expected.map(<[u8]>::to_vec);
        self.requirements.push(Requirement { keyspace, key: key.to_vec(), expected });
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// What has to be so for it to be written.
    pub(crate) fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The encoded operations for a write to that open database.
    pub(crate) fn operations(&self, instance: u64) -> Result<&Batch> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if self.instance.is_some_and(|named| named != instance) {
            return Err(Error::InvalidArgument {
                what: String::from(
                    "a batch names a keyspace of another database, or of another open",
                ),
            });
        }
        Ok(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Db;
    use crate::io::SimFs;
    use crate::sync::Arc;

    /// Symptom: a batch that named a keyspace by a handle from an earlier open was acknowledged and
    /// gone, if the keyspace had been dropped since. Mechanism: the handle was compared by the
    /// database's uuid, and an id that was dropped before the open is in no list. Fix: each open
    /// has an identity of its own.
    #[test]
    fn a_handle_of_an_earlier_open_is_refused() {
        let fs = Arc::new(SimFs::new());
        let open = || Db::builder("data").fs(fs.clone()).open().unwrap();
        let db = open();
        let stale = db.keyspace("tmp").unwrap();
        db.close().unwrap();
        let db = open();
        db.drop_keyspace("tmp").unwrap();
        db.close().unwrap();
        let db = open();
        let mut batch = WriteBatch::new();
        batch.put_in(&stale, "k", "v");
        assert!(matches!(db.write(&batch), Err(Error::InvalidArgument { .. })));
        assert!(matches!(db.snapshot().of(&stale).get("k"), Err(Error::InvalidArgument { .. })));
    }
}
