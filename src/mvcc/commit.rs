//! The commit section: where every write gets its place in the one commit order.
//!
//! One mutex owns the log's tail, the end of the active memtable and the next sequence. Writers
//! enter from any foreground thread and leave after one append; what they have written they insert
//! outside, side by side, and `visible` passes it in the commit order ([`super::order`]). Nothing
//! in here waits for a device beyond the append, for a reader or for a background thread. What
//! appending and inserting mean is the environment's business ([`CommitEnv`]); a write waits for
//! its sync after it has become visible.
//!
//! ```text
//! writer 1   |section|  insert            |
//! writer 2           |section|  insert       |
//! writer 3                   |section|  insert  . . |      waits for 2
//! visible                                 1      2  3
//! ```

use super::order::{Broken, Order, Ticket};
use crate::ids::Sequence;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, Poisoned, lock, lock_sound, try_lock};

/// For how many commits writers go side by side after they have met. Alone it costs a put about a
/// twelfth more.
const COMMITS_SIDE_BY_SIDE: u32 = if cfg!(all(test, loom)) { 1 } else { 64 };

/// What the commit section works on. Every method with `self` runs inside the section.
pub(crate) trait CommitEnv {
    /// A batch, or a control operation, encoded before it enters; it may be the caller's own.
    type Write<'a>;
    /// What the writer takes out of the section: where its record ends in the log.
    type Receipt;
    /// Where in memory the write goes.
    type Place;
    /// What inserting works on.
    type Shared;
    /// Why a write is refused.
    type Error;

    /// Checks that may refuse, and rotation if the write does not fit. No effect on failure.
    fn prepare(
        &mut self,
        write: &mut Self::Write<'_>,
        earlier: &Earlier<'_>,
    ) -> Result<(), Self::Error>;

    /// Appends to the log with `first` as its first sequence. On failure the tail has not moved.
    fn append(
        &mut self,
        first: Sequence,
        write: &mut Self::Write<'_>,
        earlier: &Earlier<'_>,
    ) -> Result<Self::Receipt, Self::Error>;

    /// Gives the appended write its place in memory, and does all that has to be in the commit
    /// order. Cannot fail.
    fn place(&mut self, first: Sequence, write: &mut Self::Write<'_>) -> Self::Place;

    /// [`Self::place`] and [`Self::insert`] in one, where no other writer is about.
    fn insert_inside(&mut self, first: Sequence, write: &mut Self::Write<'_>);

    /// Makes the write findable in its place: outside the section, beside others. Cannot fail.
    fn insert(
        shared: &Self::Shared,
        place: Self::Place,
        first: Sequence,
        write: &mut Self::Write<'_>,
    );

    /// The answer to a write that comes after the close.
    fn closed() -> Self::Error;

    /// The answer where a write before has panicked: inside the section, or as it inserted. Such an
    /// insert calls it itself before others can.
    fn panicked(shared: &Self::Shared) -> Self::Error;
}

/// The writes that have left the section and may not have inserted yet.
#[derive(Debug)]
pub(crate) struct Earlier<'a> {
    order: &'a Order,
    next: Ticket,
}

impl Earlier<'_> {
    /// Waits until all of them are in memory, and visible. None is added while the caller is in the
    /// section.
    pub(crate) fn wait(&self) -> Result<(), Broken> {
        self.order.wait_for_all_before(self.next)
    }
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
/// 5. take a place in the memtable, and a ticket; outside:
/// 6. insert into the memtable;
/// 7. finish the ticket: once all before are finished, `visible` is stored; wait for that.
///
/// A writer that has met no other lately does all that inside, without a ticket.
///
/// `visible` comes after 6 of all before, so that it never names an operation that a reader cannot
/// find (I2). 3 comes before 4, so that a sequence of a failed append, of which bytes may lie in
/// the log, is never issued again (I1). `visible` may pass over such sequences: nothing has them.
///
/// Whatever has to find all that is appended, inside the section, waits for those that insert
/// ([`Earlier::wait`]): a rotation, since a sealed memtable is complete; a look for versions of a
/// key; the close.
///
/// A panic ends writing, and readers go on. One inside the section poisons it; one in an insert
/// breaks the order, and what comes after that can never be visible. Every later write is refused.
#[derive(Debug)]
pub(crate) struct Commit<E: CommitEnv> {
    section: Mutex<Section<E>>,
    /// Whether a writer has found another one in the section.
    met: AtomicBool,
    order: Order,
    shared: E::Shared,
}

/// What the mutex owns.
#[derive(Debug)]
struct Section<E> {
    env: E,
    /// The first sequence of the next write.
    next: Sequence,
    /// The ticket of the next write.
    ticket: Ticket,
    /// How many more commits insert outside.
    side_by_side: u32,
    closed: bool,
}

/// A write that is in the log.
struct Appended<R> {
    first: Sequence,
    last: Sequence,
    receipt: R,
}

/// What ends the order if an insert panics.
struct Inserting<'a, E: CommitEnv> {
    of: &'a Commit<E>,
    finished: bool,
}

impl<E: CommitEnv> Drop for Inserting<'_, E> {
    fn drop(&mut self) {
        if !self.finished {
            // First, so that who finds the order broken finds what stands for it too.
            let _ = self.of.panicked();
            self.of.order.give_up();
        }
    }
}

impl<E: CommitEnv> Commit<E> {
    /// A section whose first write follows `last`, which readers already see.
    pub(crate) fn new(env: E, shared: E::Shared, last: Sequence) -> Self {
        let section = Section {
            env,
            next: last.plus(1),
            ticket: Ticket::FIRST,
            side_by_side: 0,
            closed: false,
        };
        let order = Order::new(last);
        Self { section: Mutex::new(section), met: AtomicBool::new(false), order, shared }
    }

    /// A section whose writers never think that they are alone.
    #[cfg(test)]
    pub(crate) fn side_by_side(env: E, shared: E::Shared, last: Sequence) -> Self {
        let commit = Self::new(env, shared, last);
        lock(&commit.section).side_by_side = u32::MAX;
        commit
    }

    /// Has the next writers go side by side, as if two had met.
    #[cfg(test)]
    pub(crate) fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// Commits `write`, which takes `count` consecutive sequences. Returns the last of them.
    ///
    /// On return the write is visible to every read that begins afterwards. An error means that
    /// nothing of it ever becomes visible, but for [`CommitEnv::panicked`].
    ///
    /// # Panics
    /// If `count` is zero: a write without a place in the order could not be told from the one
    /// before it.
    pub(crate) fn commit(&self, write: &mut E::Write<'_>, count: u64) -> Outcome<E> {
        let mut section = self.lock_or_meet()?;
        self.order.wait_for_slot(section.ticket).map_err(|Broken| self.panicked())?;
        let appended = self.append_in(&mut section, write, count)?;
        if self.is_alone(&mut section) {
            return Ok(self.insert_in(&mut section, write, appended));
        }
        let Appended { first, last, receipt } = appended;
        let place = section.env.place(first, write);
        let ticket = section.ticket;
        section.ticket = ticket.next();
        let mut inserting = Inserting { of: self, finished: false };
        drop(section);
        E::insert(&self.shared, place, first, write);
        inserting.finished = true;
        self.order.finish(ticket, last);
        self.order.wait_for(ticket).map_err(|Broken| self.panicked())?;
        Ok((last, receipt))
    }

    /// [`Self::commit`], unless somebody is in the section or inserts: then nothing was done.
    pub(crate) fn try_commit(&self, write: &mut E::Write<'_>, count: u64) -> Option<Outcome<E>> {
        let mut section = match try_lock(&self.section) {
            Ok(locked) => locked?,
            Err(Poisoned) => return Some(Err(self.panicked())),
        };
        if self.order.check().is_err() {
            return Some(Err(self.panicked()));
        }
        if !self.order.is_next(section.ticket) {
            return None;
        }
        let appended = self.append_in(&mut section, write, count);
        Some(appended.map(|appended| self.insert_in(&mut section, write, appended)))
    }

    /// Steps 1 to 4.
    #[inline]
    fn append_in(
        &self,
        section: &mut Section<E>,
        write: &mut E::Write<'_>,
        count: u64,
    ) -> Result<Appended<E::Receipt>, E::Error> {
        assert!(count > 0, "a write takes at least one sequence");
        if section.closed {
            return Err(E::closed());
        }
        let earlier = Earlier { order: &self.order, next: section.ticket };
        section.env.prepare(write, &earlier)?;
        let first = section.take_sequences(count);
        let receipt = section.env.append(first, write, &earlier)?;
        Ok(Appended { first, last: Sequence(section.next.0 - 1), receipt })
    }

    /// Inserts where no ticket is out.
    #[inline]
    fn insert_in(
        &self,
        section: &mut Section<E>,
        write: &mut E::Write<'_>,
        appended: Appended<E::Receipt>,
    ) -> (Sequence, E::Receipt) {
        section.env.insert_inside(appended.first, write);
        self.order.publish_alone(appended.last);
        (appended.last, appended.receipt)
    }

    #[inline]
    fn lock_or_meet(&self) -> Result<MutexGuard<'_, Section<E>>, E::Error> {
        let locked = match try_lock(&self.section) {
            Ok(Some(section)) => Ok(section),
            Ok(None) => {
                // Relaxed: a hint.
                self.met.store(true, Ordering::Relaxed);
                lock_sound(&self.section)
            }
            Err(Poisoned) => Err(Poisoned),
        };
        locked.map_err(|Poisoned| self.panicked())
    }

    #[cold]
    fn panicked(&self) -> E::Error {
        E::panicked(&self.shared)
    }

    /// Whether no other writer has been about lately, and none inserts now.
    #[inline]
    fn is_alone(&self, section: &mut Section<E>) -> bool {
        let alone = self.order.is_next(section.ticket);
        // Relaxed: a hint.
        if !alone || self.met.load(Ordering::Relaxed) {
            self.met.store(false, Ordering::Relaxed);
            section.side_by_side = COMMITS_SIDE_BY_SIDE;
        }
        match section.side_by_side.checked_sub(1) {
            Some(left) => section.side_by_side = left,
            None => return alone,
        }
        false
    }

    /// The last sequence that readers may see: everything up to it is findable.
    ///
    /// A read loads the view first (see [`super::view::read_point`]).
    #[inline]
    pub(crate) fn visible(&self) -> Sequence {
        self.order.visible()
    }

    /// Runs `f` inside the section without taking a sequence, whether open or closed. `f` also gets
    /// the sequence that the next write will start at. What blocks must not be done in `f`. After a
    /// panic inside the section it does not run.
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut E, Sequence) -> R) -> Result<R, Poisoned> {
        let mut section = lock_sound(&self.section)?;
        let next = section.next;
        Ok(f(&mut section.env, next))
    }

    /// [`Self::enter`], for an `f` that may have to find all that was written.
    pub(crate) fn with_earlier<R>(
        &self,
        f: impl FnOnce(&mut E, &Earlier<'_>) -> R,
    ) -> Result<R, Poisoned> {
        let mut section = lock_sound(&self.section)?;
        let earlier = Earlier { order: &self.order, next: section.ticket };
        Ok(f(&mut section.env, &earlier))
    }

    /// [`Self::enter`] where nobody panics.
    #[cfg(test)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut E, Sequence) -> R) -> R {
        self.enter(f).expect("no thread has panicked")
    }

    /// [`Self::enter`], unless somebody is in the section: then `f` has not run.
    pub(crate) fn try_enter<R>(&self, f: impl FnOnce(&mut E, Sequence) -> R) -> Option<R> {
        let mut section = try_lock(&self.section).ok()??;
        let next = section.next;
        Some(f(&mut section.env, next))
    }

    /// Closes the section: no write is acknowledged after this returns. Returns whether this call
    /// closed it; only then `f` has run, inside the section, after the last write. Also after a
    /// panic inside the section, so `f` changes nothing there.
    pub(crate) fn close(&self, f: impl FnOnce(&mut E)) -> bool {
        let mut section = lock(&self.section);
        if section.closed {
            return false;
        }
        section.closed = true;
        // An error: those that wait for an insert that has panicked are not acknowledged either.
        let _ = self.order.wait_for_all_before(section.ticket);
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
mod conditional {
    mod models;
}
#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, loom))]
mod transaction {
    mod models;
}
#[cfg(all(test, not(loom)))]
mod tests;
