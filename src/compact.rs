//! Compaction on request: all of a database or a range of keys, with its progress. Contracts and
//! delegation, as in `db`, of which this is a part.

use std::ops::Bound;

use crossbeam_channel::Receiver;

use crate::db::Db;
use crate::engine::{Engine, RequestProgress};
use crate::error::{Error, Result};
use crate::format::key::KEY_BYTES_MAX;
use crate::format::meta::BoundKey;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId};
use crate::iter::KeyRange;
use crate::iter::range::Bounds;
use crate::keyspace::Keyspace;
use crate::sync::Arc;

impl Db {
    /// Merges everything written so far into one run, leaving out what nobody can see any more, and
    /// waits for it.
    ///
    /// Merges go on by themselves in the background, so this is for before a backup, after a large
    /// deletion, or to find out what data takes. Readers and writers go on meanwhile. Writes up to
    /// the size of the database, a segment at a time; needs room for three segments.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for value in ["old", "new"] {
    ///     db.put("k", value)?;
    ///     db.flush()?;
    /// }
    /// db.compact()?;
    /// assert_eq!((db.stats().runs, db.stats().segment_entries), (1, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Closed`], or why a merge failed: [`Error::StorageFull`],
    /// [`Error::Corruption`], [`Error::Io`]. What was merged by then stays merged, and nothing is
    /// lost.
    pub fn compact(&self) -> Result<()> {
        self.start_compaction_of_all()?.wait()
    }

    /// [`Self::compact`] for the keys of the default keyspace in a range.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("log:1", "")?;
    /// db.delete("log:1")?;
    /// db.compact_range("log:".."log;")?; // the deleted entries are gone from the disk
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::compact`].
    pub fn compact_range(&self, range: impl KeyRange) -> Result<()> {
        self.start_compaction(range)?.wait()
    }

    /// Begins what [`Self::compact`] does, in all keyspaces, and returns a handle to watch, wait
    /// for or cancel it. Returns once what is in memory has been flushed.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let compaction = db.start_compaction_of_all()?;
    /// let (done, total) = compaction.progress();
    /// println!("{done} of about {total} bytes");
    /// compaction.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Closed`], or why the flush failed.
    pub fn start_compaction_of_all(&self) -> Result<Compaction> {
        start(self.engine(), None)
    }

    /// Begins what [`Self::compact_range`] does, for the keys of the default keyspace in a range.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.start_compaction("log:".."log;")?.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::start_compaction_of_all`].
    pub fn start_compaction(&self, range: impl KeyRange) -> Result<Compaction> {
        start(self.engine(), Some(bounds_in(KEYSPACE_DEFAULT, range.into_bounds())))
    }

    /// Lets no merge go on past the segment that it is writing, until [`Self::resume_compaction`]:
    /// requested ones and those in the background. Flushes go on; runs pile up meanwhile.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.pause_compaction();
    /// // ... what must not share the disk ...
    /// db.resume_compaction();
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn pause_compaction(&self) {
        self.engine().pause_compaction(true);
    }

    /// Lets merges go on after [`Self::pause_compaction`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.resume_compaction(); // harmless if nothing was paused
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn resume_compaction(&self) {
        self.engine().pause_compaction(false);
    }
}

impl Keyspace {
    /// [`Db::compact`] for the keys of this keyspace in a range.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let sessions = db.keyspace("sessions")?;
    /// sessions.put("ann", "1")?;
    /// sessions.compact_range(..)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::compact`].
    pub fn compact_range(&self, range: impl KeyRange) -> Result<()> {
        self.start_compaction(range)?.wait()
    }

    /// [`Db::start_compaction`] for the keys of this keyspace in a range.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let sessions = db.keyspace("sessions")?;
    /// sessions.put("ann", "1")?;
    /// sessions.start_compaction("a".."b")?.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Db::start_compaction`].
    pub fn start_compaction(&self, range: impl KeyRange) -> Result<Compaction> {
        let range = bounds_in(self.identity().1, range.into_bounds());
        start(self.engine(), Some(range))
    }
}

/// A compaction that was asked for, from [`Db::start_compaction`] or
/// [`Keyspace::start_compaction`]. It goes on if this is dropped.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let compaction = db.start_compaction(..)?;
/// compaction.cancel();
/// compaction.wait()?; // returns soon; what was merged stays merged
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it goes on, but nobody will know how it went"]
pub struct Compaction {
    engine: Arc<Engine>,
    progress: Arc<RequestProgress>,
    /// Taken out by the drop.
    answer: Option<Receiver<Result<()>>>,
}

impl Drop for Compaction {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            self.engine.keep_for_parent(self.answer.take());
        }
    }
}

impl Compaction {
    /// Bytes of keys and values that it has read, and about how many it will have read in the end:
    /// more than it has, until all is done. An entry may be read several times on its way down, or
    /// never where nothing needs to be written anew, so the second is reckoned anew for each step
    /// from what is left, and may fall or rise.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert_eq!(db.start_compaction(..)?.progress().0, 0); // nothing to do
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.progress.bytes()
    }

    /// Whether [`Self::wait`] would return at once.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let compaction = db.start_compaction(..)?;
    /// while !compaction.is_over() {
    ///     println!("{:?}", compaction.progress());
    ///     std::thread::sleep(std::time::Duration::from_millis(10));
    /// }
    /// compaction.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| !answer.is_empty())
    }

    /// Ends it where it is, within a segment: [`Self::wait`] returns `Ok` then.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.start_compaction(..)?.cancel();
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn cancel(&self) {
        self.engine.cancel_compaction(&self.progress);
    }

    /// Waits until it is over.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.start_compaction(..)?.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Why a merge failed, or [`Error::Closed`] if the database was closed meanwhile.
    pub fn wait(self) -> Result<()> {
        self.engine.core.check_process()?;
        let answer = self.answer.as_ref().map(Receiver::recv);
        answer.and_then(std::result::Result::ok).unwrap_or(Err(Error::Closed))
    }
}

fn start(engine: &Arc<Engine>, range: Option<(BoundKey, Option<BoundKey>)>) -> Result<Compaction> {
    let (progress, answer) = engine.request_compaction(range)?;
    Ok(Compaction { engine: Arc::clone(engine), progress, answer: Some(answer) })
}

/// From which key to before which.
fn bounds_in(keyspace: KeyspaceId, (start, end): Bounds) -> (BoundKey, Option<BoundKey>) {
    let at = |mut key: Vec<u8>| {
        // No key is longer, so a bound that is means the same when cut.
        key.truncate(KEY_BYTES_MAX + 1);
        BoundKey { keyspace, key }
    };
    // The least key behind another is that with a zero byte more.
    let behind = |mut key: Vec<u8>| {
        key.push(0);
        at(key)
    };
    let start = match start {
        Bound::Included(key) => at(key),
        Bound::Excluded(key) => behind(key),
        Bound::Unbounded => at(Vec::new()),
    };
    let end = match end {
        Bound::Included(key) => Some(behind(key)),
        Bound::Excluded(key) => Some(at(key)),
        Bound::Unbounded => keyspace
            .0
            .checked_add(1)
            .map(|next| BoundKey { keyspace: KeyspaceId(next), key: Vec::new() }),
    };
    (start, end)
}
