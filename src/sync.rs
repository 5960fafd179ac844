//! The only file that names `std::sync`, `arc_swap` or `loom`: what threads share, they share
//! through here, so that the model checker sees every step of it.
//!
//! The loom build (`--cfg loom`, tests only) swaps in loom's types and compiles this file, `ids`
//! and `mvcc` alone. arc-swap is not instrumented: in a model [`Published`] and [`Slot`] are a
//! loom mutex around an `Arc`, so a model proves the protocol and trusts arc-swap's cell.
//!
//! Poison policy, decided once: a panic under a lock stops every later user of that lock.

#[cfg(not(all(test, loom)))]
mod primitives {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
}

#[cfg(all(test, loom))]
mod primitives {
    pub(crate) use loom::sync::atomic;
    pub(crate) use loom::sync::{Arc, Condvar, MutexGuard};

    /// loom's mutex under the name that the rest of the crate uses.
    pub(crate) use loom::sync::Mutex;
}

pub(crate) use primitives::*;
use std::sync::TryLockError;

/// What models run on, so that they need not name the checker either.
#[cfg(all(test, loom))]
pub(crate) mod model {
    pub(crate) use loom::thread;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Runs `body` once per interleaving of its threads, with at most `preemptions` involuntary
    /// switches in each (`None`: all of them), until it panics. Returns how many ran, and the
    /// panic's message.
    pub(crate) fn explore(
        preemptions: Option<usize>,
        body: impl Fn() + Send + Sync + 'static,
    ) -> (usize, Result<(), String>) {
        let executions = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&executions);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        let outcome = catch_unwind(AssertUnwindSafe(move || {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                body();
            });
        }));
        let message = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("").to_owned(),
        };
        (executions.load(Ordering::Relaxed), outcome.map_err(message))
    }
}

/// Locks, or panics if a thread panicked while it held the lock: its data may be half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread panicked while it held this lock, so its data cannot be trusted")
}

/// Locks if nobody holds the lock, with the poison policy of [`lock`].
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Poisoned(_)) => {
            panic!("a thread panicked while it held this lock, so its data cannot be trusted")
        }
    }
}

/// Waits on a condition variable, with the poison policy of [`lock`].
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar
        .wait(guard)
        .expect("a thread panicked while it held this lock, so its data cannot be trusted")
}

/// Waits on a condition variable for at most `timeout`, with the poison policy of [`lock`].
#[cfg(not(all(test, loom)))]
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: std::time::Duration,
) -> MutexGuard<'a, T> {
    condvar
        .wait_timeout(guard, timeout)
        .expect("a thread panicked while it held this lock, so its data cannot be trusted")
        .0
}

/// What [`Published::load`] gives: the value, protected while this lives.
#[cfg(not(all(test, loom)))]
pub(crate) type Loaded<T> = arc_swap::Guard<Arc<T>>;

/// What [`Published::load`] gives in a model.
#[cfg(all(test, loom))]
pub(crate) type Loaded<T> = Arc<T>;

/// One shared immutable value that is replaced whole: readers load it without waiting.
///
/// A load takes no lock and makes no system call. Replacing is a compare-and-swap against the value
/// it derives from, so that two publishers never lose each other's change.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub(crate) struct Published<T>(arc_swap::ArcSwap<T>);

#[cfg(not(all(test, loom)))]
impl<T> Published<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(arc_swap::ArcSwap::new(value))
    }

    /// The current value, protected while the guard lives. Keep guards off structs: they are for
    /// one call; whoever keeps the value takes [`Self::load_full`].
    pub(crate) fn load(&self) -> Loaded<T> {
        self.0.load()
    }

    /// The current value, owned.
    pub(crate) fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Publishes `next` if `current` is still the value. Returns whether it did.
    #[must_use]
    pub(crate) fn replace(&self, current: &Arc<T>, next: Arc<T>) -> bool {
        let previous = self.0.compare_and_swap(current, next);
        Arc::ptr_eq(&previous, current)
    }
}

/// An optional shared value that background threads may take out while readers use it.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub(crate) struct Slot<T>(arc_swap::ArcSwapOption<T>);

#[cfg(not(all(test, loom)))]
impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self(arc_swap::ArcSwapOption::const_empty())
    }

    /// The value, protected while the guard lives.
    pub(crate) fn load(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        self.0.load()
    }

    /// Puts `value` in if the slot is empty; otherwise leaves what is there.
    pub(crate) fn fill(&self, value: Arc<T>) {
        // The value handed back is either nothing or what another reader put there first.
        let none: Option<Arc<T>> = None;
        drop(self.0.compare_and_swap(&none, Some(value)));
    }

    /// Empties the slot and hands its value to the caller, who must be a background thread.
    pub(crate) fn take(&self) -> Option<Arc<T>> {
        self.0.swap(None)
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
