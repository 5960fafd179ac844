//! [`TransactionRange`]: the iterator over what a transaction sees of a range.

use std::fmt;
use std::iter::FusedIterator;

use crate::engine::EngineIter;
use crate::error::Result;
use crate::ids::KeyspaceId;
use crate::iter::range::{Bounds, half_open};
use crate::overlay::{OverlayWalk, after};
use crate::transaction_state::{From, TransactionState, WalkId};
use crate::value::Value;

/// Keys and values in bytewise order of the keys, as a transaction sees them: its snapshot's, with
/// its own writes on top. From [`Transaction::range`](crate::Transaction::range) and
/// [`Transaction::prefix`](crate::Transaction::prefix).
///
/// Double-ended and fused. It may be walked while the transaction writes: what is written ahead of
/// an end is met by it, what is written behind is not. As far as it is walked, from either end, it
/// counts as read, with the keys that are not there; a walk to the end counts up to the bound.
///
/// It gives an error as its last item, once, as a [`Range`](crate::Range) does, and keeps what one
/// keeps.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("b", "2")?;
/// let tx = db.transaction();
/// tx.put("a", "1")?;
/// let keys: Vec<_> = tx.range(..).map(|kv| kv.map(|(key, _)| key)).collect::<Result<_, _>>()?;
/// assert_eq!(keys, ["a", "b"]);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct TransactionRange<'t> {
    state: &'t TransactionState,
    keyspace: KeyspaceId,
    merged: OverlayWalk,
    walk: Option<WalkId>,
}

impl<'t> TransactionRange<'t> {
    /// A walk over `base`, which is the snapshot's within `bounds`.
    pub(crate) fn new(
        state: &'t TransactionState,
        keyspace: KeyspaceId,
        base: Result<EngineIter>,
        bounds: Bounds,
    ) -> Self {
        let (low, high) = half_open(bounds);
        let walk = state.begin_walk(keyspace, low.clone(), high.clone());
        Self { state, keyspace, merged: OverlayWalk::new(base, low, high), walk }
    }

    /// Moves the front to the first key at or after `key`, as
    /// [`Range::seek`](crate::Range::seek) does. What is passed over is not read.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("a", "1")?;
    /// tx.put("c", "3")?;
    /// let mut range = tx.range(..);
    /// range.seek("b");
    /// assert_eq!(range.next().transpose()?.map(|(key, _)| key).as_deref(), Some(&b"c"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        self.merged.seek(key);
        if let Some(walk) = self.walk {
            self.state.note_seek(walk, Some(key), None);
        }
    }

    /// Moves the back to the last key at or before `key`, as [`Self::seek`] moves the front.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("a", "1")?;
    /// tx.put("c", "3")?;
    /// let mut range = tx.range(..);
    /// range.seek_back("b");
    /// assert_eq!(range.next_back().transpose()?.map(|(key, _)| key).as_deref(), Some(&b"a"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn seek_back(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        self.merged.seek_back(key);
        if let Some(walk) = self.walk {
            self.state.note_seek(walk, None, Some(&after(key)));
        }
    }

    /// How many keys are left, exactly, or why that cannot be said. Walks over all of them.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let tx = db.transaction();
    /// tx.put("a", "1")?;
    /// assert_eq!(tx.prefix("a").len()?, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the iterator would have given as an item.
    pub fn len(mut self) -> Result<u64> {
        let mut count = 0;
        for pair in self.by_ref() {
            pair?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether no key is left. Reads up to the first one.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.transaction().prefix("a").is_empty()?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::len`].
    pub fn is_empty(mut self) -> Result<bool> {
        self.next().transpose().map(|first| first.is_none())
    }

    /// Takes a step from one end, and notes what it has come to.
    fn step(&mut self, from: From) -> Step {
        // Before the step: the key that it comes to is given out, or not passed.
        if self.walk.is_some()
            && !self.merged.has_ended()
            && let Err(error) = self.state.check_room()
        {
            return self.merged.fail(error);
        }
        let merged = &mut self.merged;
        let step = self.state.with_writes(self.keyspace, |writes| match from {
            From::Front => merged.next(writes),
            From::Back => merged.next_back(writes),
        });
        let Some(walk) = self.walk else { return step };
        match &step {
            Some(Ok((key, _))) => self.state.note_walked(walk, from, key),
            Some(Err(_)) => {}
            None if self.merged.has_failed() => {}
            None => self.state.note_over(walk),
        }
        step
    }
}

type Step = Option<Result<(Value, Value)>>;

impl Iterator for TransactionRange<'_> {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(From::Front)
    }
}

impl DoubleEndedIterator for TransactionRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(From::Back)
    }
}

impl FusedIterator for TransactionRange<'_> {}

impl Drop for TransactionRange<'_> {
    fn drop(&mut self) {
        if let Some(walk) = self.walk {
            self.state.end_walk(walk);
        }
    }
}

impl fmt::Debug for TransactionRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionRange").finish_non_exhaustive()
    }
}
