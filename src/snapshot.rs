//! [`Snapshot`]: reading one moment for as long as it is wanted.

use std::fmt;
use std::ops::Deref;

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::ids::Sequence;
use crate::keyspace::Keyspace;
use crate::overlay::Overlay;
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
    /// Writes that are seen as if they were committed.
    over: Option<Arc<Overlay>>,
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
        Self { registered, over: None, reader }
    }

    fn moment(&self) -> Moment {
        let registered = Arc::clone(&self.registered);
        match &self.over {
            None => Moment::Snapshot(registered),
            Some(over) => Moment::Over(registered, Arc::clone(over)),
        }
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
            true => self.moment(),
            false => Moment::Foreign,
        })
    }

    /// The snapshot as it would be with a batch written to it: every read sees the batch's
    /// operations on top, in every keyspace, ranges in both directions too. For looking at what a
    /// batch comes to while it is put together, or before it is written.
    ///
    /// The batch is copied, and sorted: what is added to it later is not seen, and nothing is
    /// written. Another batch may be put on top of that. What the batch
    /// [requires](WriteBatch::require) is not looked at. A read looks at the batch first, in
    /// memory. [`Reader::explain`], [`Reader::approximate_len`] and [`Reader::approximate_size`]
    /// speak of what is stored.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let users = db.keyspace("users")?;
    /// users.put("ann", "1")?;
    /// let mut batch = alluvium::WriteBatch::new();
    /// batch.put_in(&users, "bob", "2");
    /// batch.delete_in(&users, "ann");
    /// let then = db.snapshot().with(&batch)?;
    /// let keys: Vec<_> = then.of(&users).range(..).keys().collect::<Result<_, _>>()?;
    /// assert_eq!(keys, ["bob"]);
    /// assert!(users.contains_key("ann")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the batch has an operation that
    /// cannot be accepted, or names a keyspace of another database, or of another open. Of a
    /// keyspace that was dropped before the snapshot each read says so.
    pub fn with(&self, batch: &WriteBatch) -> Result<Self> {
        let operations = batch.operations(self.engine().core.instance)?;
        let mut over = self.over.as_deref().cloned().unwrap_or_default();
        over.add(operations);
        let mut with = self.clone();
        with.over = Some(Arc::new(over));
        with.reader = self.reader.reader_at(with.moment());
        Ok(with)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.sequence().0).finish_non_exhaustive()
    }
}
