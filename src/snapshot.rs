//! [`Snapshot`]: reading one moment for as long as it is wanted.

use std::fmt;
use std::ops::Deref;

use crate::ids::Sequence;
use crate::keyspace::Keyspace;
use crate::reader::{Moment, Reader, Registered};
use crate::sync::Arc;

/// What was committed when it was taken, from [`Db::snapshot`](crate::Db::snapshot).
///
/// It derefs to the [`Reader`] of the keyspace `default` at that moment; [`Self::of`] gives that of
/// another. Every read through them sees the same prefix of the commit order. Cheap to clone,
/// usable from any thread. It pins no memory and no file, but versions that it sees are kept
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
    reader: Reader,
}

impl Deref for Snapshot {
    type Target = Reader;

    #[inline]
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Snapshot {
    /// A snapshot of this moment, which derefs to the reader of that keyspace.
    pub(crate) fn new(keyspace: &Keyspace) -> Self {
        let registered = Arc::new(Registered::new(keyspace.engine()));
        let moment = Moment::Snapshot(Arc::clone(&registered));
        let reader = keyspace.reader_at(moment);
        Self { registered, reader }
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
        self.registered.sequence()
    }

    /// Another keyspace of the same database at this moment, also one that was dropped since.
    ///
    /// Costs nothing, and does not fail: of a keyspace that was dropped before the snapshot, or
    /// that is of another database, each read says so.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// let snapshot = db.snapshot();
    /// users.delete("ann")?;
    /// assert!(snapshot.of(&users).get("ann")?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn of(&self, keyspace: &Keyspace) -> Reader {
        let same = Arc::ptr_eq(self.engine(), keyspace.engine());
        keyspace.reader_at(match same {
            true => Moment::Snapshot(Arc::clone(&self.registered)),
            false => Moment::Foreign,
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.sequence().0).finish_non_exhaustive()
    }
}
