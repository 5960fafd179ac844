//! The book of a memory budget, and how to wait for a change in it.
//!
//! Rotation adds, the flush thread subtracts, writers compare with their limit before they enter
//! the commit section. What the limit is, how long to wait and what to answer then is `engine`'s:
//! it has the clock.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// How many bytes are in use, and a generation that moves when waiting writers should look again.
///
/// Waiting without missing a change:
/// 1. read the generation;
/// 2. look at `used`, and at whatever else may end the wait;
/// 3. sleep, unless the generation has moved since 1; from 1.
///
/// A change is made first and moves the generation then, under the mutex that 3 sleeps on. So a
/// change that 2 did not see had not moved the generation at 1, and 3 does not sleep through it.
#[derive(Debug)]
pub(crate) struct Gate {
    used: AtomicU64,
    generation: Mutex<Generation>,
    changed: Condvar,
}

/// A state of the book: a wait that began at one ends when it is past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Gate {
    /// An empty book.
    pub(crate) fn new() -> Self {
        Self {
            used: AtomicU64::new(0),
            generation: Mutex::new(Generation(0)),
            changed: Condvar::new(),
        }
    }

    /// Books `bytes` more. Wakes nobody.
    pub(crate) fn add(&self, bytes: u64) {
        // Relaxed: a count of its own. Threads that must see it are ordered by the generation's
        // mutex.
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Books `bytes` more if at most `most` are booked by now. Returns whether it did.
    pub(crate) fn add_if(&self, bytes: u64, most: u64) -> bool {
        let add = |used: u64| (used <= most).then(|| used.saturating_add(bytes));
        // Relaxed: as above.
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Books `bytes` less, and wakes the waiting.
    pub(crate) fn sub(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "only what was added is subtracted");
        self.wake();
    }

    /// The bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes everyone who waits look again: after a close, or an error that ends the wait.
    pub(crate) fn wake(&self) {
        let mut generation = lock(&self.generation);
        generation.0 = generation.0.wrapping_add(1);
        self.changed.notify_all();
    }

    /// Step 1 of a wait.
    pub(crate) fn generation(&self) -> Generation {
        *lock(&self.generation)
    }

    /// Step 3: waits until the book is past `seen`, at most `timeout`. May return early; the caller
    /// begins again at step 1 either way.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn wait_timeout(&self, seen: Generation, timeout: std::time::Duration) {
        self.wait_past(seen, |changed, generation| {
            drop(crate::sync::wait_timeout(changed, generation, timeout));
        });
    }

    /// Step 3 with the sleep as an argument: a model has no time.
    fn wait_past(
        &self,
        seen: Generation,
        sleep: impl FnOnce(&Condvar, MutexGuard<'_, Generation>),
    ) {
        let generation = lock(&self.generation);
        if *generation == seen {
            sleep(&self.changed, generation);
        }
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
