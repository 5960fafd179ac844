//! [`Reader`]: every verb that reads a keyspace, as it is now or as a snapshot sees it.

use std::fmt;

use crate::engine::read::estimate::estimate;
use crate::engine::read::explain::{Explain, explain};
use crate::engine::read::get::{self, check_open};
use crate::engine::read::many;
use crate::engine::{DirectoryLock, Engine, EngineIter, KeyspaceState, ReadAt, TryGet};
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::iter::KeyRange;
use crate::iter::range::{Bounds, prefix_bounds};
use crate::overlay::{Overlay, multi_get_over};
use crate::range::Range;
use crate::sync::Arc;
use crate::value::Value;

/// A keyspace at a moment: everything that reads.
///
/// | from | keyspace | moment |
/// |---|---|---|
/// | [`Db`](crate::Db), by deref | `default` | now: each call sees all that was acknowledged before it |
/// | [`Keyspace`](crate::Keyspace), by deref | that one | now |
/// | [`Snapshot`](crate::Snapshot), by deref | `default` | the snapshot's |
/// | [`Snapshot::of`](crate::Snapshot::of) | any | the snapshot's |
/// | [`Snapshot::with`](crate::Snapshot::with) | any | the snapshot's, as if a batch were written |
///
/// So a function that takes `&Reader` serves them all. Cheap to clone, usable from any thread. A
/// clone may outlive what it came from. A reader that is not a snapshot's does not keep the
/// database open: after the close, or the drop of the last handle, its reads fail with
/// [`Error::Closed`]. A snapshot's reader keeps the snapshot.
///
/// ```
/// use alluvium::{Db, Reader, Result};
///
/// fn report(users: &Reader) -> Result<String> {
///     Ok(format!("{} users, first {:?}", users.len()?, users.first()?))
/// }
///
/// # let db = Db::in_memory()?;
/// let users = db.keyspace("users")?;
/// let before = db.snapshot();
/// users.put("ann", "1")?;
/// assert_eq!(report(&before.of(&users))?, "0 users, first None");
/// assert!(report(&users)?.starts_with("1 users"));
/// # Ok::<(), alluvium::Error>(())
/// ```
///
/// # Errors
///
/// What every read may fail with, besides what it says itself:
///
/// - [`Error::Corruption`] or [`Error::Io`] if a block cannot be read;
/// - [`Error::Closed`] after the close; a snapshot taken before it reads on;
/// - [`Error::KeyspaceDropped`] if the keyspace was dropped by the moment that is read;
/// - [`Error::InvalidArgument`] if snapshot and keyspace are of two databases, or of two opens of
///   one;
/// - [`Error::Forked`] in a process that was forked off.
#[derive(Clone)]
pub struct Reader {
    engine: Arc<Engine>,
    keyspace: Arc<KeyspaceState>,
    moment: Moment,
}

/// What a reader sees of its keyspace.
#[derive(Clone)]
pub(crate) enum Moment {
    Now,
    Snapshot(Arc<Registered>),
    /// With writes over it.
    Over(Arc<Registered>, Arc<Overlay>),
    /// Nothing: the keyspace is of another open than the snapshot.
    Foreign,
}

/// One registration of a snapshot, released when the last clone goes.
pub(crate) struct Registered {
    engine: Arc<Engine>,
    at: Sequence,
    /// Nothing if the database was closed before: then nothing can be read.
    directory: Option<Arc<DirectoryLock>>,
}

impl Registered {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let at = engine.register_snapshot();
        Self { engine: Arc::clone(engine), at, directory: engine.pin_directory() }
    }

    pub(crate) fn sequence(&self) -> Sequence {
        self.at
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            return self.engine.keep_for_parent(self.directory.take());
        }
        self.engine.release_snapshot(self.at);
    }
}

impl Reader {
    pub(crate) fn new(engine: Arc<Engine>, keyspace: Arc<KeyspaceState>, moment: Moment) -> Self {
        Self { engine, keyspace, moment }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn keyspace(&self) -> &Arc<KeyspaceState> {
        &self.keyspace
    }

    /// The same keyspace at another moment.
    pub(crate) fn reader_at(&self, moment: Moment) -> Self {
        Self::new(Arc::clone(&self.engine), Arc::clone(&self.keyspace), moment)
    }

    /// Where to read, if anything can be read there.
    #[inline]
    fn at(&self) -> Result<ReadAt> {
        match &self.moment {
            Moment::Now => check_open(&self.engine).map(|()| ReadAt::Now),
            Moment::Snapshot(registered) | Moment::Over(registered, _) => {
                self.engine.core.check_process()?;
                let locked = registered.directory.is_some();
                if locked { Ok(ReadAt::Snapshot(registered.at)) } else { Err(Error::Closed) }
            }
            Moment::Foreign => Err(Error::InvalidArgument {
                what: String::from(
                    "the keyspace is of another database than the snapshot, or of another open",
                ),
            }),
        }
    }

    /// Refuses what no read would do.
    pub(crate) fn check(&self) -> Result<()> {
        self.at().map(drop)
    }

    /// What a batch that lies over the snapshot makes of a key, if it says anything of it.
    #[inline]
    fn written(&self, key: &[u8]) -> Result<Option<Option<Value>>> {
        match &self.moment {
            Moment::Over(registered, overlay) => {
                self.check()?;
                self.keyspace.check_read(Some(registered.at))?;
                Ok(overlay.get(self.keyspace.id, key).cloned())
            }
            _ => Ok(None),
        }
    }

    /// The value of a key, or `None`.
    ///
    /// Takes no lock, and makes no system call when the data is in memory; else it reads a block
    /// from the disk, seldom more. A value of more than 256 bytes is not copied: see [`Value`] for
    /// what it keeps.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// if let Some(value) = db.get("k")? {
    ///     assert_eq!(value, "v"); // it derefs to bytes
    /// }
    /// assert_eq!(db.get("other")?, None);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [every read](Reader#errors).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = key.as_ref();
        if let Some(written) = self.written(key)? {
            return Ok(written);
        }
        let at = self.at()?;
        get::get(&self.engine, &self.keyspace, key, at)
    }

    /// Hands the value of a key to `read` where it lies, without a copy. Keep `read` short: it
    /// holds back the memory that it looks at.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "value")?;
    /// assert_eq!(db.get_with("k", |value| value.map(<[u8]>::len))?, Some(5));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [every read](Reader#errors).
    pub fn get_with<R>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R> {
        let key = key.as_ref();
        if let Some(written) = self.written(key)? {
            return Ok(read(written.as_deref()));
        }
        let at = self.at()?;
        get::get_with(&self.engine, &self.keyspace, key, at, read)
    }

    /// The value of a key, if memory holds the answer: memtables, filters, indexes and cached
    /// blocks. Never touches the disk, unless [`mapped_reads`](crate::Builder::mapped_reads) is on
    /// and the system has given up a page of a block.
    ///
    /// For a thread that must not wait, such as that of an async executor: on
    /// [`TryGet::WouldRead`] call [`Self::get`] where waiting is fine. It brings no block into the
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
    /// As [every read](Reader#errors), the disk's apart.
    pub fn try_get(&self, key: impl AsRef<[u8]>) -> Result<TryGet> {
        let key = key.as_ref();
        if let Some(written) = self.written(key)? {
            return Ok(written.map_or(TryGet::Miss, TryGet::Hit));
        }
        let at = self.at()?;
        get::try_get(&self.engine, &self.keyspace, key, at)
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
    /// As [every read](Reader#errors).
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
    /// As [every read](Reader#errors); the first one ends the call.
    pub fn multi_get(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Value>>> {
        let at = self.at()?;
        let Moment::Over(registered, overlay) = &self.moment else {
            return many::multi_get(&self.engine, &self.keyspace, keys, at);
        };
        self.keyspace.check_read(Some(registered.at))?;
        let written = |key: &[u8]| overlay.get(self.keyspace.id, key).cloned();
        let read = |keys: &[_]| many::multi_get(&self.engine, &self.keyspace, keys, at);
        multi_get_over(keys, written, read, |_| Ok(()))
    }

    /// The keys in a range with their values, in bytewise order; `.rev()` goes backward.
    ///
    /// The iterator sees what was committed when it was made, or what the snapshot sees, however
    /// long it lives, and keeps that in memory and on disk: see [`Range`]. An error is its last
    /// item: use `?` on each, or collect into a `Result`. [`Range::len`] counts, and [`Self::len`]
    /// all of them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     db.put(key, "")?;
    /// }
    /// for kv in db.range("a".."c").rev() {
    ///     let (key, value) = kv?;
    ///     println!("{key:?} {value:?}");
    /// }
    /// assert_eq!(db.range("b"..).len()?, 2);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn range(&self, range: impl KeyRange) -> Range {
        self.open_range(range.into_bounds())
    }

    /// The keys that begin with `prefix`, as [`Self::range`] gives them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("user:ann", "1")?;
    /// db.put("visits", "7")?;
    /// assert_eq!(db.prefix("user:").len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        self.open_range(prefix_bounds(prefix.as_ref()))
    }

    fn open_range(&self, bounds: Bounds) -> Range {
        let Moment::Over(_, overlay) = &self.moment else {
            return Range::new(self.open_iter(bounds));
        };
        let base = self.open_iter(bounds.clone());
        Range::over(base, bounds, self.keyspace.id, Arc::clone(overlay))
    }

    /// A walk over what is stored.
    pub(crate) fn open_iter(&self, bounds: Bounds) -> Result<EngineIter> {
        let at = self.at()?;
        let directory = match &self.moment {
            Moment::Snapshot(registered) | Moment::Over(registered, _) => {
                registered.directory.clone()
            }
            Moment::Now | Moment::Foreign => self.engine.pin_directory(),
        };
        let directory = directory.ok_or(Error::Closed)?;
        get::iter(&self.engine, directory, &self.keyspace, bounds, at)
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
    /// As [every read](Reader#errors).
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
    /// As [every read](Reader#errors).
    pub fn last(&self) -> Result<Option<(Value, Value)>> {
        self.range(..).next_back().transpose()
    }

    /// How many keys there are, exactly.
    ///
    /// Walks over all of them without copying anything: a scan in time, and in what it reads from
    /// the disk. [`Range::len`] counts a part; [`Self::approximate_len`] costs nothing.
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
    /// As [every read](Reader#errors).
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
    /// As [every read](Reader#errors).
    pub fn is_empty(&self) -> Result<bool> {
        self.range(..).is_empty()
    }

    /// About how many keys there are.
    ///
    /// Counts versions from the segments' properties and the memtables' counters, without the disk:
    /// an overwritten key counts once for each version that is still kept, and a tombstone counts
    /// too, so this says too much rather than too little. It is exact while each key was written
    /// once and there is one keyspace. In a segment that several share, each is given its part by
    /// size; in a memtable, one with thousands of versions there is given those of the others too.
    /// Of a snapshot it counts what there is now. [`Self::len`] is exact, and reads everything.
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
    /// As [every read](Reader#errors), the disk's apart.
    pub fn approximate_len(&self) -> Result<u64> {
        let at = self.at()?;
        Ok(estimate(&self.engine, &self.keyspace, &(..).into_bounds(), at)?.versions)
    }

    /// About how many bytes a range of keys takes, on disk and in memtables, all versions together.
    ///
    /// From indexes, without the disk. Never less than the range takes (on disk, keys that begin
    /// alike share that part, and data may be compressed), and more by at most one data block
    /// at either end of it in each run, and by what else is in memtables (at most
    /// [`Builder::memory_bytes`](crate::Builder::memory_bytes)) where the range has thousands of
    /// versions there. Of a snapshot it says what the range takes now.
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
    /// As [every read](Reader#errors), the disk's apart.
    pub fn approximate_size(&self, range: impl KeyRange) -> Result<u64> {
        let at = self.at()?;
        Ok(estimate(&self.engine, &self.keyspace, &range.into_bounds(), at)?.bytes)
    }

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
    /// As [every read](Reader#errors).
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explain> {
        let at = self.at()?;
        explain(&self.engine, &self.keyspace, key.as_ref(), at)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match &self.moment {
            Moment::Snapshot(registered) | Moment::Over(registered, _) => Some(registered.at.0),
            Moment::Now | Moment::Foreign => None,
        };
        let mut shown = f.debug_struct("Reader");
        shown
            .field("keyspace", &self.keyspace.name())
            .field("snapshot", &at)
            .finish_non_exhaustive()
    }
}
