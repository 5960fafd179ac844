//! [`Keyspace`]: the handle of one keyspace, and how a database gives, lists and drops them.
//! Contracts and delegation, nothing else.

use std::fmt;

use crate::db::{Db, Shared};
use crate::engine::{Engine, KeyspaceState, ReadAt};
use crate::error::Result;
use crate::ids::{KeyspaceId, Sequence};
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
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// assert_eq!(users.name(), "users");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The options that it has now, as the last [`Db::keyspace_with`] has set them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.keyspace("users")?.options().block_bytes, 4096);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn options(&self) -> KeyspaceOptions {
        self.state.options()
    }

    /// Sets a key to a value. As [`Db::put`](crate::Db::put).
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert_eq!(users.get("ann")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::put`](crate::Db::put), and
    /// [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped).
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Sequence> {
        self.put_with(key, value, Durability::Buffered)
    }

    /// [`Self::put`] with a choice of durability.
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put_with("ann", "1", alluvium::Durability::Sync)?;
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
        let (key, value) = (key.as_ref(), value.as_ref());
        self.engine().write_one(self.state.id, key, Some(value), durability)
    }

    /// Deletes a key. As [`Db::delete`](crate::Db::delete).
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// users.delete("ann")?;
    /// assert_eq!(users.get("ann")?, None);
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
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.delete_with("ann", alluvium::Durability::Sync)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub fn delete_with(&self, key: impl AsRef<[u8]>, durability: Durability) -> Result<Sequence> {
        self.engine().write_one(self.state.id, key.as_ref(), None, durability)
    }

    /// The value of a key. As [`Db::get`](crate::Db::get).
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert!(users.get("ann")?.is_some_and(|value| value == "1"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
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
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert_eq!(users.get_with("ann", |value| value.map(<[u8]>::len))?, Some(1));
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
        self.engine().get_with(Some(&self.state), key.as_ref(), ReadAt::Now, read)
    }

    /// The keys in a range with their values. As [`Db::range`](crate::Db::range).
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// users.put("bob", "2")?;
    /// assert_eq!(users.range("b"..).len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Range {
        Range::now(self.engine(), Some(&self.state), range.into_bounds())
    }

    /// The keys that begin with `prefix`. As [`Db::prefix`](crate::Db::prefix).
    ///
    /// ```
    /// # let users = alluvium::Db::in_memory()?.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// assert_eq!(users.prefix("a").len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        let bounds = prefix_bounds(prefix.as_ref());
        Range::now(self.engine(), Some(&self.state), bounds)
    }
}

impl Db {
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
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a bad name,
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed),
    /// [`Error::Io`](crate::Error::Io), [`Error::StorageFull`](crate::Error::StorageFull).
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        self.engine().check_open()?;
        let state = self.engine().open_keyspace(name, None)?;
        Ok(Keyspace::new(&self.shared, state))
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
    /// As [`Self::keyspace`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for
    /// options that cannot work. [`Error::ReadOnly`](crate::Error::ReadOnly) if the database is
    /// open for reading and the keyspace has other options.
    pub fn keyspace_with(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        self.engine().check_open()?;
        let state = self.engine().open_keyspace(name, Some(options))?;
        Ok(Keyspace::new(&self.shared, state))
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
        self.engine().check_open()?;
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let states = self.engine().open_keyspaces(&names, options)?;
        Ok(states.into_iter().map(|state| Keyspace::new(&self.shared, state)).collect())
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
    /// [`Error::KeyspaceDropped`](crate::Error::KeyspaceDropped). The name is free again at once.
    /// Space comes back as segments that hold nothing else are removed, at once if no snapshot is
    /// older, and as merges take it out of the others.
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
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if there is none of this name, or
    /// for `default`; otherwise as [`Self::keyspace`].
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.engine().check_open()?;
        self.engine().drop_keyspace(name)
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.name()).finish_non_exhaustive()
    }
}
