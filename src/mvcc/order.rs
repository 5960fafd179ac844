//! Writes become visible in the order in which they were committed, though they are inserted in
//! parallel.
//!
//! A write leaves the commit section with a [`Ticket`], inserts, and finishes the ticket; when all
//! before it are finished too, `visible` passes it. Nobody takes a lock for that. A writer that
//! finishes out of turn waits for those before, which are past their append and have only their
//! insert to do. Tickets are handed out inside the section; the rest runs in the writers' threads.
//!
//! ```text
//! ticket      3         4         5         6         7
//! slot        finished  BATON     finished  finished  EMPTY
//!             published           these two wait for 4,
//!                                 whose writer publishes all three, and leaves the baton at 7
//! ```

use crate::ids::Sequence;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, lock, wait};

/// How many writes may be between their append and `visible` at once; one more waits in the
/// section. A model has two, so that it comes to that.
const SLOTS: usize = if cfg!(all(test, loom)) { 2 } else { 64 };

/// How often a writer looks whether its turn has come before it lets others run: a few inserts'
/// time. Where a scheduler explores the steps it sleeps at once.
const LOOKS: u32 = if cfg!(any(shuttle, all(test, loom))) { 0 } else { 200 };

/// How often it lets others run before it goes to sleep. Where there are more threads than cores
/// the one it waits for may have none; a sleep and a wake-up cost far more than its insert does.
const YIELDS: u32 = if cfg!(any(shuttle, all(test, loom))) { 0 } else { 1_000 };

/// In a slot: nothing has happened yet. What is neither this nor the baton is the last sequence of
/// a finished ticket.
const EMPTY: u64 = u64::MAX;
/// In a slot: all before it is published, and who finishes it publishes. No write has sequence 0.
const BATON: u64 = 0;

/// In `published`: somebody sleeps until it changes.
const ASLEEP: u64 = 1;
/// In `published`: a writer has died before it had finished, so nothing after it is ever visible.
const BROKEN: u64 = 2;
/// In `published`: one ticket.
const ONE: u64 = 4;

/// The place of a write among those that insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Ticket {
    pub(super) const FIRST: Self = Self(0);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Whether that stands in the slot of a finished ticket.
fn is_finished(slot: u64) -> bool {
    slot != EMPTY && slot != BATON
}

/// A writer before has died in its insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Publishes sequences in the order of their tickets.
///
/// Finishing a ticket: 1. exchange what is in its slot for its last sequence; 2. if that was not
/// the baton, somebody before has it, and comes by; otherwise 3. take this sequence and those of
/// the finished tickets right behind out of their slots, and store the last of them as `visible`;
/// 4. exchange what is in the next slot for the baton; if that was a sequence, again from 3.
///
/// 1 and 4 are exchanges in one slot, so of a writer that finishes and one that comes by, the
/// second finds what the first has left: no ticket is passed over, and there is one baton.
///
/// Waiting for a ticket: 1. look a while, and let others run; 2. lock; 3. say in `published` that
/// somebody sleeps, and look at what it said before; 4. sleep, then again from 3. The publisher
/// moves the same word and wakes if it said so, under the lock: between 3 and 4 nobody can.
#[derive(Debug)]
pub(super) struct Order {
    /// The last sequence that readers may see. Stored by who has the baton, or is alone.
    visible: AtomicU64,
    /// How many tickets are published, in units of [`ONE`], and the two flags.
    published: AtomicU64,
    slots: [AtomicU64; SLOTS],
    /// How often somebody has gone to sleep.
    sleeps: Mutex<u64>,
    changed: Condvar,
}

impl Order {
    /// An order in which all up to `last` is visible.
    pub(super) fn new(last: Sequence) -> Self {
        let slot = |at| AtomicU64::new(if at == 0 { BATON } else { EMPTY });
        Self {
            visible: AtomicU64::new(last.0),
            published: AtomicU64::new(0),
            slots: std::array::from_fn(slot),
            sleeps: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// The last sequence that readers may see: everything up to it is findable.
    #[inline]
    pub(super) fn visible(&self) -> Sequence {
        // Acquire; pairs with the Release in `publish`: who reads it finds what was inserted.
        Sequence(self.visible.load(Ordering::Acquire))
    }

    /// Whether all tickets before this one are published.
    pub(super) fn is_next(&self, ticket: Ticket) -> bool {
        // Acquire; pairs with the Release in `publish`.
        self.published.load(Ordering::Acquire) / ONE >= ticket.0
    }

    /// Whether a write that gets a ticket now can become visible.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Broken> {
        // Relaxed: a hint, to refuse early. A wait has an Acquire of its own.
        match self.published.load(Ordering::Relaxed) & BROKEN {
            0 => Ok(()),
            _ => Err(Broken),
        }
    }

    /// Waits until the ticket has a slot: it shares one with the ticket that is `SLOTS` before.
    #[inline]
    pub(super) fn wait_for_slot(&self, ticket: Ticket) -> Result<(), Broken> {
        self.check()?;
        match ticket.0.checked_sub(SLOTS as u64) {
            Some(before) => self.wait_for(Ticket(before)),
            None => Ok(()),
        }
    }

    /// Waits until all tickets before this one are published.
    pub(super) fn wait_for_all_before(&self, ticket: Ticket) -> Result<(), Broken> {
        ticket.0.checked_sub(1).map_or(Ok(()), |before| self.wait_for(Ticket(before)))
    }

    /// Ends a ticket, whose write goes up to `last`, with what it has inserted.
    pub(super) fn finish(&self, ticket: Ticket, last: Sequence) {
        debug_assert!(is_finished(last.0), "a sequence that a write can have");
        let mut at = ticket;
        let mut last = last.0;
        // Acquire; pairs with the Release of who left the baton: what it has published comes
        // before.
        let has_baton = self.slot(at).load(Ordering::Acquire) == BATON
            // AcqRel: the same; and Release, so that who comes by publishes what was inserted.
            || self.slot(at).swap(last, Ordering::AcqRel) == BATON;
        if !has_baton {
            return;
        }
        loop {
            let mut count = 1;
            // Relaxed: who gets the slot next has seen this ticket published.
            self.slot(at).store(EMPTY, Ordering::Relaxed);
            at = at.next();
            loop {
                // Acquire; pairs with the Release of who has finished it.
                let behind = self.slot(at).load(Ordering::Acquire);
                if !is_finished(behind) {
                    break;
                }
                self.slot(at).store(EMPTY, Ordering::Relaxed);
                last = behind;
                count += 1;
                at = at.next();
            }
            self.publish(Sequence(last), count);
            // AcqRel: as above, from the other side.
            last = self.slot(at).swap(BATON, Ordering::AcqRel);
            if !is_finished(last) {
                return;
            }
        }
    }

    /// Makes all up to `last` visible, by who is in the section while no ticket is out.
    #[inline]
    pub(super) fn publish_alone(&self, last: Sequence) {
        // Release; pairs with the Acquire in `visible`.
        self.visible.store(last.0, Ordering::Release);
    }

    /// Ends the order with a ticket whose insert has panicked: nobody waits for it in vain.
    #[cold]
    pub(super) fn give_up(&self) {
        self.published.fetch_or(BROKEN, Ordering::Relaxed);
        self.wake();
    }

    /// Waits until the ticket is published.
    #[inline]
    pub(super) fn wait_for(&self, ticket: Ticket) -> Result<(), Broken> {
        for _ in 0..LOOKS {
            if self.is_next(ticket.next()) {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        self.wait_longer(ticket)
    }

    #[cold]
    fn wait_longer(&self, ticket: Ticket) -> Result<(), Broken> {
        for _ in 0..YIELDS {
            if self.is_next(ticket.next()) {
                return Ok(());
            }
            #[cfg(not(all(test, loom)))]
            crate::sync::threads::yield_now();
        }
        let mut sleeps = lock(&self.sleeps);
        loop {
            // Acquire; pairs with the Release in `publish`.
            let published = self.published.fetch_or(ASLEEP, Ordering::Acquire);
            if published / ONE > ticket.0 {
                return Ok(());
            }
            if published & BROKEN != 0 {
                return Err(Broken);
            }
            *sleeps += 1;
            sleeps = wait(&self.changed, sleeps);
        }
    }

    /// Makes all up to `last` visible, by `count` tickets more. By who has the baton.
    #[inline]
    fn publish(&self, last: Sequence, count: u64) {
        // Release; pairs with the Acquire in `visible`.
        self.visible.store(last.0, Ordering::Release);
        // Release; pairs with the Acquire of those who wait: they see `visible`, and the slots.
        let before = self.published.fetch_add(count * ONE, Ordering::Release);
        if before & ASLEEP != 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let _sleeps = lock(&self.sleeps);
        // Relaxed: who sets it does so under the same lock, and looks again when it wakes.
        self.published.fetch_and(!ASLEEP, Ordering::Relaxed);
        self.changed.notify_all();
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn sleeps(&self) -> u64 {
        *lock(&self.sleeps)
    }

    fn slot(&self, ticket: Ticket) -> &AtomicU64 {
        &self.slots[ticket.0 as usize % SLOTS]
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
