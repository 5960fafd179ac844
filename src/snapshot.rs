//! [`Snapshot`]: reading one moment for as long as it is wanted.

use std::fmt;

use crate::engine::{DirectoryLock, Engine, KeyspaceState, ReadAt, TryGet};
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::iter::KeyRange;
use crate::iter::range::{Bounds, prefix_bounds};
use crate::keyspace::Keyspace;
use crate::range::Range;
use crate::sync::Arc;
use crate::value::Value;

/// What was committed when it was taken, from [`Db::snapshot`](crate::Db::snapshot).
///
/// Every read through it sees the same prefix of the commit order, across keyspaces. Cheap to
/// clone; usable from any thread. It pins no memory and no file, but versions that it sees are kept
/// by flushes and merges until it is dropped. It keeps the database's lock, also past a close.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "old")?;
/// let snapshot = db.snapshot();
/// db.put("k", "new")?;
/// assert_eq!(snapshot.get("k")?.as_deref(), Some(&b"old"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    registered: Arc<Registered>,
}

/// One registration, released when the last clone goes.
struct Registered {
    engine: Arc<Engine>,
    at: Sequence,
    /// Nothing if the database was closed before: then nothing can be read.
    directory: Option<Arc<DirectoryLock>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            return self.engine.keep_for_parent(self.directory.take());
        }
        self.engine.release_snapshot(self.at);
    }
}

impl Snapshot {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let at = engine.register_snapshot();
        let (engine, directory) = (Arc::clone(engine), engine.pin_directory());
        Self { registered: Arc::new(Registered { engine, at, directory }) }
    }

    /// The last sequence that it sees.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.snapshot().sequence(), alluvium::Sequence(1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.registered.at
    }

    /// Where to read, unless it was taken after the close.
    pub(crate) fn at(&self) -> Result<ReadAt> {
        self.engine().core.check_process()?;
        let locked = self.registered.directory.is_some();
        if locked { Ok(ReadAt::Snapshot(self.registered.at)) } else { Err(Error::Closed) }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.registered.engine
    }

    /// The value of a key in the default keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let before = db.snapshot();
    /// db.put("k", "v")?;
    /// assert_eq!(before.get("k")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().get(None, key.as_ref(), self.at()?)
    }

    /// The value of a key in a keyspace, also in one that was dropped since.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().get_in(&users, "ann")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get); [`Error::KeyspaceDropped`] if it was dropped before the
    /// snapshot; [`Error::InvalidArgument`] if it is of another database.
    pub fn get_in(&self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let state = self.enter(keyspace)?;
        self.engine().get(Some(state), key.as_ref(), self.at()?)
    }

    /// The keys in a range of the default keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().range("a".."m").len()?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Range {
        self.open_range(None, range.into_bounds())
    }

    /// The keys in a range of a keyspace.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// assert_eq!(db.snapshot().range_in(&users, ..).len()?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range_in(&self, keyspace: &Keyspace, range: impl KeyRange) -> Range {
        match self.enter(keyspace) {
            Ok(state) => self.open_range(Some(state), range.into_bounds()),
            Err(error) => Range::failed(error),
        }
    }

    /// The keys of the default keyspace that begin with `prefix`.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.snapshot().prefix("user:").len()?, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        self.open_range(None, prefix_bounds(prefix.as_ref()))
    }

    fn open_range(&self, keyspace: Option<&KeyspaceState>, bounds: Bounds) -> Range {
        let Registered { engine, at, directory } = &*self.registered;
        Range::open(engine, directory.clone(), keyspace, bounds, ReadAt::Snapshot(*at))
    }

    /// The value of a key in the default keyspace, if memory holds the answer. As
    /// [`Db::try_get`](crate::Db::try_get).
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
        self.engine().try_get(None, key.as_ref(), self.at()?)
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
        self.engine().try_get(Some(state), key.as_ref(), self.at()?)
    }

    /// Hands the value of a key in the default keyspace to `read` where it lies. As
    /// [`Db::get_with`](crate::Db::get_with).
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
        self.engine().get_with(None, key.as_ref(), self.at()?, read)
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
        self.engine().get_with(Some(state), key.as_ref(), self.at()?, read)
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
        self.engine().multi_get(None, keys, self.at()?)
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
        self.engine().multi_get(Some(state), keys, self.at()?)
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
    /// assert_eq!(db.snapshot().prefix_in(&users, "a").len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix_in(&self, keyspace: &Keyspace, prefix: impl AsRef<[u8]>) -> Range {
        self.range_in(keyspace, prefix_bounds(prefix.as_ref()).into_bounds())
    }

    /// A keyspace of the same database. Whether it was dropped by then, the read itself finds out.
    pub(crate) fn enter<'a>(&self, keyspace: &'a Keyspace) -> Result<&'a KeyspaceState> {
        let (instance, _) = keyspace.identity();
        if instance != self.engine().core.instance {
            return Err(Error::InvalidArgument {
                what: String::from(
                    "the keyspace is of another database than the snapshot, or of another open",
                ),
            });
        }
        Ok(keyspace.state())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.registered.at.0).finish_non_exhaustive()
    }
}
