//! The commit section: where every write gets its place in the one commit order.
//!
//! One mutex owns the log's tail, the active memtable and the next sequence. Writers enter from any
//! foreground thread and leave after one append and one insert; nothing in here waits for a device
//! beyond that append, for a reader or for a background thread. What appending and inserting mean
//! is the environment's business ([`CommitEnv`]); a write waits for its sync after it has left.

use crate::ids::Sequence;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock, try_lock};

/// What the commit section works on. Every method runs inside the section.
pub(crate) trait CommitEnv {
    /// A batch, or a control operation, encoded before it enters; it may be the caller's own.
    type Write<'a>;
    /// What the writer takes out of the section: where its record ends in the log.
    type Receipt;
    /// Why a write is refused.
    type Error;

    /// Checks that may refuse, and rotation if the write does not fit. No effect on failure.
    fn prepare(&mut self, write: &mut Self::Write<'_>) -> Result<(), Self::Error>;

    /// Appends to the log with `first` as its first sequence. On failure the tail has not moved.
    fn append(
        &mut self,
        first: Sequence,
        write: &mut Self::Write<'_>,
    ) -> Result<Self::Receipt, Self::Error>;

    /// Makes the appended write findable in memory. Cannot fail.
    fn insert(&mut self, first: Sequence, write: &mut Self::Write<'_>);

    /// The answer to a write that comes after the close.
    fn closed() -> Self::Error;
}

/// How a write went: its last sequence, and what it takes out of the section.
pub(crate) type Outcome<E> = Result<(Sequence, <E as CommitEnv>::Receipt), <E as CommitEnv>::Error>;

/// Orders writes and tells readers how far they may look.
///
/// A commit, inside the section:
/// 1. refuse if closed;
/// 2. prepare: the checks, and rotation (which publishes a view);
/// 3. take the sequences: they are spent from here on, whatever happens;
/// 4. append to the log;
/// 5. insert into the memtable;
/// 6. store `visible`.
///
/// 6 comes after 5, so that `visible` never names an operation that a reader cannot find (I2). 3
/// comes before 4, so that a sequence of a failed append, of which bytes may lie in the log, is
/// never issued again (I1). `visible` may pass over such sequences: nothing has them.
///
/// A panic inside the section poisons it: every later writer panics too, and readers go on.
#[derive(Debug)]
pub(crate) struct Commit<E> {
    section: Mutex<Section<E>>,
    /// The last sequence that readers may see. Stored inside the section only.
    visible: AtomicU64,
}

/// What the mutex owns.
#[derive(Debug)]
struct Section<E> {
    env: E,
    /// The first sequence of the next write.
    next: Sequence,
    closed: bool,
}

impl<E: CommitEnv> Commit<E> {
    /// A section whose first write follows `last`, which readers already see.
    pub(crate) fn new(env: E, last: Sequence) -> Self {
        Self {
            section: Mutex::new(Section { env, next: last.plus(1), closed: false }),
            visible: AtomicU64::new(last.0),
        }
    }

    /// Commits `write`, which takes `count` consecutive sequences. Returns the last of them.
    ///
    /// On return the write is visible to every read that begins afterwards. An error means that
    /// nothing of it ever becomes visible.
    ///
    /// # Panics
    /// If `count` is zero: a write without a place in the order could not be told from the one
    /// before it.
    pub(crate) fn commit(&self, write: &mut E::Write<'_>, count: u64) -> Outcome<E> {
        self.commit_in(&mut lock(&self.section), write, count)
    }

    /// [`Self::commit`], unless somebody is in the section: then nothing was done.
    pub(crate) fn try_commit(&self, write: &mut E::Write<'_>, count: u64) -> Option<Outcome<E>> {
        let mut section = try_lock(&self.section)?;
        Some(self.commit_in(&mut section, write, count))
    }

    /// The steps, in the section.
    #[inline]
    fn commit_in(
        &self,
        section: &mut Section<E>,
        write: &mut E::Write<'_>,
        count: u64,
    ) -> Outcome<E> {
        assert!(count > 0, "a write takes at least one sequence");
        if section.closed {
            return Err(E::closed());
        }
        section.env.prepare(write)?;
        let first = section.take_sequences(count);
        let receipt = section.env.append(first, write)?;
        section.env.insert(first, write);
        let last = Sequence(section.next.0 - 1);
        // Release; pairs with the Acquire in `visible`: who reads `last` finds what was inserted.
        self.visible.store(last.0, Ordering::Release);
        Ok((last, receipt))
    }

    /// The last sequence that readers may see: everything up to it is findable.
    ///
    /// A read loads the view first (see [`super::view::read_point`]).
    pub(crate) fn visible(&self) -> Sequence {
        // Acquire; pairs with the Release in `commit`.
        Sequence(self.visible.load(Ordering::Acquire))
    }

    /// Runs `f` inside the section without taking a sequence, whether open or closed. `f` also gets
    /// the sequence that the next write will start at. What blocks must not be done in `f`.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut E, Sequence) -> R) -> R {
        let mut section = lock(&self.section);
        let next = section.next;
        f(&mut section.env, next)
    }

    /// [`Self::with`], unless somebody is in the section: then `f` has not run.
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut E, Sequence) -> R) -> Option<R> {
        let mut section = try_lock(&self.section)?;
        let next = section.next;
        Some(f(&mut section.env, next))
    }

    /// Closes the section: no write is acknowledged after this returns. Returns whether this call
    /// closed it; only then `f` has run, inside the section, after the last write.
    pub(crate) fn close(&self, f: impl FnOnce(&mut E)) -> bool {
        let mut section = lock(&self.section);
        if section.closed {
            return false;
        }
        section.closed = true;
        f(&mut section.env);
        true
    }
}

impl<E> Section<E> {
    /// Spends `count` sequences and returns the first.
    fn take_sequences(&mut self, count: u64) -> Sequence {
        let first = self.next;
        self.next = first.plus(count);
        first
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
