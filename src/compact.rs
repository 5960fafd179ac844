//! [`Compaction`]: the handle of a compaction that was asked for.

use std::ops::Bound;

use crate::engine::merge::scheduler::{cancel_compaction, request_compaction};
use crate::engine::{Engine, RequestProgress};
use crate::error::{Error, Result};
use crate::format::key::KEY_BYTES_MAX;
use crate::format::meta::BoundKey;
use crate::ids::KeyspaceId;
use crate::iter::range::Bounds;
use crate::sync::Arc;
use crate::sync::channel::Receiver;

/// A compaction that was asked for, from
/// [`Db::start_compaction_of_all`](crate::Db::start_compaction_of_all) or
/// [`Keyspace::start_compaction`](crate::Keyspace::start_compaction).
///
/// It goes on if this is dropped.
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
    /// Begins one of the keys of a keyspace in bounds, or of everything.
    pub(crate) fn start(engine: &Arc<Engine>, range: Option<(KeyspaceId, Bounds)>) -> Result<Self> {
        let range = range.map(|(keyspace, bounds)| bounds_in(keyspace, bounds));
        let (progress, answer) = request_compaction(engine, range)?;
        Ok(Compaction { engine: Arc::clone(engine), progress, answer: Some(answer) })
    }

    /// Bytes of keys and values that it has read, and about how many it will have read in the end:
    /// more than it has, until all is done. An entry may be read several times on its way down, or
    /// never, where its segment can stay as it is. So the second number is an estimate, made again
    /// for each step from what is left; it may fall or rise.
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
        cancel_compaction(&self.engine, &self.progress);
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
        match &self.answer {
            Some(answer) => answer.recv().unwrap_or_else(|_| Err(self.engine.core.unanswered())),
            None => Err(Error::Closed),
        }
    }
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
