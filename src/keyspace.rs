//! [`Keyspace`]: the handle of one keyspace. Contracts and delegation, nothing else.

use std::fmt;

use crate::db::Shared;
use crate::engine::{Engine, KeyspaceState, ReadAt};
use crate::error::Result;
use crate::ids::KeyspaceId;
use crate::iter::KeyRange;
use crate::iter::range::prefix_bounds;
use crate::options::{Durability, KeyspaceOptions};
use crate::range::Range;
use crate::sync::Arc;
use crate::value::Value;

/// A named set of keys of its own, from [`Db::keyspace`](crate::Db::keyspace).
///
/// Cheap to clone, usable from any thread. Keyspaces share one log, so batches and snapshots
/// across them cost nothing.
#[derive(Clone)]
pub struct Keyspace {
    shared: Arc<Shared>,
    state: Arc<KeyspaceState>,
}

impl Keyspace {
    pub(crate) fn new(shared: &Arc<Shared>, state: Arc<KeyspaceState>) -> Self {
        Self { shared: Arc::clone(shared), state }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// Which open of a database it is of, and its id there.
    pub(crate) fn identity(&self) -> (u64, KeyspaceId) {
        (self.engine().core.instance, self.state.id)
    }

    pub(crate) fn state(&self) -> &Arc<KeyspaceState> {
        &self.state
    }

    /// What reads of now go by, while the database is open.
    pub(crate) fn enter_read(&self) -> Result<&KeyspaceState> {
        self.engine().check_open()?;
        Ok(&self.state)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The options that it was made with.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.options().block_bytes, 4096);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn options(&self) -> KeyspaceOptions {
        self.state.options
    }

    /// Sets a key to a value. As [`Db::put`](crate::Db::put).
    ///
    /// # Errors
    ///
    /// As [`Db::put`](crate::Db::put), and
    /// [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped).
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(key, value, Durability::Buffered)
    }

    /// [`Self::put`] with a choice of durability.
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
        self.engine().write_one(self.state.id, key, Some(value), durability).map(drop)
    }

    /// Deletes a key. As [`Db::delete`](crate::Db::delete).
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
        self.engine().write_one(self.state.id, key.as_ref(), None, durability).map(drop)
    }

    /// The value of a key. As [`Db::get`](crate::Db::get).
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get), and
    /// [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().check_open()?;
        self.engine().get(Some(&self.state), key.as_ref(), ReadAt::Now)
    }

    /// Hands the value of a key to `read` where it lies. As [`Db::get_with`](crate::Db::get_with).
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
        self.engine().get_with(Some(&self.state), key.as_ref(), ReadAt::Now, read)
    }

    /// The keys in a range with their values. As [`Db::range`](crate::Db::range).
    pub fn range(&self, range: impl KeyRange) -> Range {
        Range::now(self.engine(), Some(&self.state), range.into_bounds())
    }

    /// The keys that begin with `prefix`. As [`Db::prefix`](crate::Db::prefix).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        let bounds = prefix_bounds(prefix.as_ref());
        Range::now(self.engine(), Some(&self.state), bounds)
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.name()).finish_non_exhaustive()
    }
}
