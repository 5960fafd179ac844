//! The only room that names `std::sync`, `arc_swap` or `loom`, starts a thread, makes a channel or
//! reads a clock: what threads share and wait for, they share and wait for through here, so that a
//! model checker sees every step of it. This file is what they share; `channel`, `threads` and
//! `clock` are what the engine waits with; `scheduled` is all of it as the shuttle build has it.
//!
//! The loom build (`--cfg loom`, tests only) swaps in loom's types and compiles this file, `ids`
//! and `mvcc` alone. arc-swap is not instrumented: in a model [`Published`] and [`Slot`] are a
//! loom mutex around an `Arc`, so a model proves the protocol and trusts arc-swap's cell.
//!
//! Poison policy, decided once. A panic under a lock is one of two things:
//!
//! - Where code runs that may panic half-way through a change (an `Fs` of the program's own, a
//!   choice among many), what the lock owns is not to be used any more: that is [`lock_sound`],
//!   which refuses then, and the writer stops as after a failed sync. The commit section, the
//!   manifest and the choice of merges are taken so.
//! - All other locks guard a list, a book or a number for a push, a copy or a look, under which
//!   nothing of the program's runs: [`lock`] takes them all the same, so that readers, the close
//!   and what says what is wrong go on.
//!
//! A debug build counts the locks that a thread holds ([`locks_held`]), for what must not be done
//! under any: `event` asks.

#[cfg(all(debug_assertions, feature = "sim", not(any(shuttle, all(test, loom)))))]
pub(crate) mod switches;

pub(crate) mod channel;
#[cfg(not(all(test, loom)))]
pub(crate) mod clock;
#[cfg(all(test, loom))]
pub(crate) mod models;
#[cfg(shuttle)]
pub(crate) mod scheduled;
#[cfg(not(all(test, loom)))]
pub(crate) mod threads;

#[cfg(not(any(shuttle, all(test, loom))))]
mod primitives {
    #[cfg(all(debug_assertions, feature = "sim"))]
    pub(crate) use crate::sync::switches::atomic;
    pub(crate) use std::sync::MutexGuard as RawGuard;
    #[cfg(not(all(debug_assertions, feature = "sim")))]
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
}

/// `OnceLock` is the real one: what it is given to begin with waits for nothing.
#[cfg(shuttle)]
mod primitives {
    pub(crate) use crate::sync::scheduled::{Condvar, Mutex, RawGuard};
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use std::sync::{Arc, OnceLock, Weak};
}

#[cfg(all(test, loom))]
mod primitives {
    pub(crate) use loom::sync::atomic;
    pub(crate) use loom::sync::{Arc, Condvar, MutexGuard};

    /// loom's mutex under the name that the rest of the crate uses.
    pub(crate) use loom::sync::Mutex;
}

pub(crate) use primitives::*;
use std::sync::{PoisonError, TryLockError};

/// Where a test may have threads switch (`switches`).
#[inline]
fn step() {
    #[cfg(all(debug_assertions, feature = "sim", not(any(shuttle, all(test, loom)))))]
    switches::step();
}

/// A thread has panicked under the lock: what it owns may be half changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poisoned;

/// A held lock, counted in debug builds.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: RawGuard<'a, T>,
    held: LockCount,
}

#[cfg(not(all(test, loom)))]
impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

#[cfg(not(all(test, loom)))]
impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(all(debug_assertions, not(all(test, loom))))]
threads::thread_local! {
    static HELD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts a lock for as long as it is held; of no size where nothing is counted.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub(crate) struct LockCount;

#[cfg(not(all(test, loom)))]
impl LockCount {
    #[inline]
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        let _ = HELD.try_with(|held| held.set(held.get() + 1));
        step();
        Self
    }
}

#[cfg(all(debug_assertions, not(all(test, loom))))]
impl Drop for LockCount {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(1)));
        step();
    }
}

/// How many locks the calling thread holds, in a debug build; 0 in others, which do not count.
#[cfg(not(all(test, loom)))]
pub(crate) fn locks_held() -> usize {
    #[cfg(debug_assertions)]
    return HELD.try_with(std::cell::Cell::get).unwrap_or(0);
    #[cfg(not(debug_assertions))]
    0
}

#[cfg(not(all(test, loom)))]
#[inline]
fn counted<T>(guard: RawGuard<'_, T>) -> MutexGuard<'_, T> {
    MutexGuard { guard, held: LockCount::begin() }
}

/// In a model nothing is counted.
#[cfg(all(test, loom))]
fn counted<T>(guard: MutexGuard<'_, T>) -> MutexGuard<'_, T> {
    guard
}

/// Locks, also after a panic under the lock: for what is changed in one step.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    step();
    counted(mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Locks, unless a thread has panicked under the lock.
#[inline]
pub(crate) fn lock_sound<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Poisoned> {
    step();
    mutex.lock().map(counted).map_err(|_| Poisoned)
}

/// [`lock_sound`], unless somebody holds the lock: then nothing.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Result<Option<MutexGuard<'_, T>>, Poisoned> {
    step();
    match mutex.try_lock() {
        Ok(guard) => Ok(Some(counted(guard))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Poisoned(_)) => Err(Poisoned),
    }
}

/// Waits on a condition variable, as [`lock`] locks.
#[cfg(not(all(test, loom)))]
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    let MutexGuard { guard, held } = guard;
    MutexGuard { guard: condvar.wait(guard).unwrap_or_else(PoisonError::into_inner), held }
}

/// Waits on a condition variable, as [`lock`] locks.
#[cfg(all(test, loom))]
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits on a condition variable for at most `timeout`, as [`lock`] locks.
#[cfg(not(all(test, loom)))]
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: std::time::Duration,
) -> MutexGuard<'a, T> {
    let MutexGuard { guard, held } = guard;
    let waited = condvar.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner);
    MutexGuard { guard: waited.0, held }
}

#[cfg(shuttle)]
pub(crate) use scheduled::cells::{Loaded, Published, Slot};

/// Atomics that no checker sees: for memory whose layout is the system's, and for what outlives a
/// checker's run.
#[cfg(not(all(test, loom)))]
pub(crate) mod unchecked {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize};
}

/// What [`Published::load`] gives: the value, protected while this lives.
#[cfg(not(any(shuttle, all(test, loom))))]
pub(crate) type Loaded<T> = arc_swap::Guard<Arc<T>>;

/// What [`Published::load`] gives in a model.
#[cfg(all(test, loom))]
pub(crate) type Loaded<T> = Arc<T>;

/// One shared immutable value that is replaced whole: readers load it without waiting.
///
/// A load takes no lock and makes no system call. Replacing is a compare-and-swap against the value
/// it derives from, so that two publishers never lose each other's change.
#[cfg(not(any(shuttle, all(test, loom))))]
#[derive(Debug)]
pub(crate) struct Published<T>(arc_swap::ArcSwap<T>);

#[cfg(not(any(shuttle, all(test, loom))))]
impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(arc_swap::ArcSwap::new(value))
    }

    /// The current value, protected while the guard lives. Keep guards off structs: they are for
    /// one call. To keep the value, take [`Self::load_full`].
    pub(crate) fn load(&self) -> Loaded<T> {
        step();
        self.0.load()
    }

    /// The current value, owned.
    pub(crate) fn load_full(&self) -> Arc<T> {
        step();
        self.0.load_full()
    }

    /// Publishes `next` if `current` is still the value. Returns whether it did.
    #[must_use]
    pub(crate) fn replace(&self, current: &Arc<T>, next: Arc<T>) -> bool {
        step();
        let previous = self.0.compare_and_swap(current, next);
        Arc::ptr_eq(&previous, current)
    }
}

/// An optional shared value that background threads may take out while readers use it.
#[cfg(not(any(shuttle, all(test, loom))))]
#[derive(Debug)]
pub(crate) struct Slot<T>(arc_swap::ArcSwapOption<T>);

#[cfg(not(any(shuttle, all(test, loom))))]
impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self(arc_swap::ArcSwapOption::const_empty())
    }

    pub(crate) fn full(value: Arc<T>) -> Self {
        Self(arc_swap::ArcSwapOption::new(Some(value)))
    }

    /// The value, protected while the guard lives.
    pub(crate) fn load(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        step();
        self.0.load()
    }

    /// Puts `value` in if the slot is empty; otherwise leaves what is there. Returns whether it
    /// did.
    pub(crate) fn fill(&self, value: Arc<T>) -> bool {
        step();
        let none: Option<Arc<T>> = None;
        let before = self.0.compare_and_swap(&none, Some(value));
        before.is_none()
    }

    /// Empties the slot and hands its value to the caller, who must be a background thread.
    pub(crate) fn take(&self) -> Option<Arc<T>> {
        step();
        self.0.swap(None)
    }
}

/// The model's slot: the same contract over a loom mutex.
#[cfg(all(test, loom))]
#[derive(Debug)]
pub(crate) struct Slot<T>(Mutex<Option<Arc<T>>>);

#[cfg(all(test, loom))]
impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn load(&self) -> Option<Arc<T>> {
        lock(&self.0).clone()
    }

    pub(crate) fn fill(&self, value: Arc<T>) -> bool {
        let mut slot = lock(&self.0);
        let fits = slot.is_none();
        if fits {
            *slot = Some(value);
        }
        fits
    }

    pub(crate) fn take(&self) -> Option<Arc<T>> {
        lock(&self.0).take()
    }
}

/// The model's cell: the same contract over a loom mutex.
#[cfg(all(test, loom))]
#[derive(Debug)]
pub(crate) struct Published<T>(Mutex<Arc<T>>);

#[cfg(all(test, loom))]
impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn load(&self) -> Loaded<T> {
        self.load_full()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0))
    }

    #[must_use]
    pub(crate) fn replace(&self, current: &Arc<T>, next: Arc<T>) -> bool {
        let mut value = lock(&self.0);
        let same = Arc::ptr_eq(&value, current);
        if same {
            *value = next;
        }
        same
    }
}

// Of the cell that ships: a model and a schedule have others.
#[cfg(all(test, not(any(shuttle, loom))))]
mod tests;
