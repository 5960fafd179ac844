//! [`Snapshot`]: reading one moment for as long as it is wanted.

use std::fmt;

use crate::engine::{DirectoryLock, Engine, KeyspaceState, ReadAt};
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::iter::KeyRange;
use crate::iter::range::prefix_bounds;
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
    _directory: Option<Arc<DirectoryLock>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.engine.release_snapshot(self.at);
    }
}

impl Snapshot {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let at = engine.register_snapshot();
        let (engine, _directory) = (Arc::clone(engine), engine.pin_directory());
        Self { registered: Arc::new(Registered { engine, at, _directory }) }
    }

    /// The last sequence that it sees.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.registered.at
    }

    pub(crate) fn at(&self) -> ReadAt {
        ReadAt::Snapshot(self.registered.at)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.registered.engine
    }

    /// The value of a key in the default keyspace.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().get(None, key.as_ref(), self.at())
    }

    /// The value of a key in a keyspace, also in one that was dropped since.
    ///
    /// # Errors
    ///
    /// As [`Db::get`](crate::Db::get); [`Error::KeyspaceDropped`] if it was dropped before the
    /// snapshot; [`Error::InvalidArgument`] if it is of another database.
    pub fn get_in(&self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let state = self.enter(keyspace)?;
        self.engine().get(Some(state), key.as_ref(), self.at())
    }

    /// The keys in a range of the default keyspace.
    pub fn range(&self, range: impl KeyRange) -> Range {
        Range::open(self.engine(), None, range.into_bounds(), self.at())
    }

    /// The keys in a range of a keyspace.
    pub fn range_in(&self, keyspace: &Keyspace, range: impl KeyRange) -> Range {
        match self.enter(keyspace) {
            Ok(state) => Range::open(self.engine(), Some(state), range.into_bounds(), self.at()),
            Err(error) => Range::failed(error),
        }
    }

    /// The keys of the default keyspace that begin with `prefix`.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Range {
        Range::open(self.engine(), None, prefix_bounds(prefix.as_ref()), self.at())
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
