//! What threads share and wait with when shuttle schedules them (`--cfg shuttle`, tests only).
//!
//! All threads of a run are coroutines on one thread of the system, and shuttle decides at each
//! operation here which of them goes on. So nothing here may block the system's thread: what waits
//! waits for a [`Turn`]. shuttle knows no time; the [`clock`] is this room's own.
//!
//! [`run`] makes a run, [`plant`] puts a fault into it, so that a test can see that it is found.

pub(crate) mod cells;
pub(crate) mod channel;
pub(crate) mod clock;
pub(crate) mod threads;

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync as checked;

use clock::Instant;

/// A fault in what the engine stands on, for the proof that the schedules would find one like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A signal to all who wait on a condition variable reaches nobody, now and then.
    LostSignal,
    /// A message is lost, now and then.
    LostMessage,
    /// A value is published over another that was published meanwhile.
    LostUpdate,
    /// A read finds the value that was published before the last, now and then.
    StaleView,
}

std::thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// One of how many times a planted fault shows.
const FAULT_ODDS: u32 = 4;

/// Puts a fault into the runs of this thread from here on, or takes it out.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

fn is_planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Whether a planted fault shows now.
fn strikes(fault: Fault) -> bool {
    is_planted(fault) && thread_rng().gen_range(0..FAULT_ODDS) == 0
}

/// The body of a run: `body` with a clock that goes. Inside shuttle. The clock is the second task,
/// after that of the caller.
pub fn run(body: impl FnOnce()) {
    let clock = clock::start();
    body();
    clock.stop();
}

/// The time of the run, since its beginning.
pub fn elapsed() -> Duration {
    clock::elapsed()
}

/// One wait of one thread, which another ends.
#[derive(Debug)]
struct Turn {
    state: AtomicU8,
    granted: BatchSemaphore,
}

const WAITING: u8 = 0;
const WOKEN: u8 = 1;
const TIMED_OUT: u8 = 2;

impl Turn {
    fn new() -> Arc<Self> {
        let granted = BatchSemaphore::new(0, Fairness::Unfair);
        Arc::new(Self { state: AtomicU8::new(WAITING), granted })
    }

    /// Relaxed, here and below: one thread of the system runs them all.
    fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }

    fn end(&self, how: u8) {
        if self.is_waiting() {
            self.state.store(how, Ordering::Relaxed);
            self.granted.release(1);
        }
    }

    fn wait(&self) {
        // Nobody closes it.
        let _ = self.granted.acquire_blocking(1);
    }
}

/// shuttle's mutex, with guards that know it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checked::Mutex<T>);

#[derive(Debug)]
pub(crate) struct RawGuard<'a, T> {
    guard: checked::MutexGuard<'a, T>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(checked::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<RawGuard<'_, T>> {
        let with = |guard| RawGuard { guard, mutex: self };
        let locked = self.0.lock();
        locked.map(with).map_err(|poisoned| PoisonError::new(with(poisoned.into_inner())))
    }

    pub(crate) fn try_lock(&self) -> TryLockResult<RawGuard<'_, T>> {
        let with = |guard| RawGuard { guard, mutex: self };
        self.0.try_lock().map(with).map_err(|error| match error {
            TryLockError::WouldBlock => TryLockError::WouldBlock,
            TryLockError::Poisoned(poisoned) => {
                TryLockError::Poisoned(PoisonError::new(with(poisoned.into_inner())))
            }
        })
    }
}

impl<T> std::ops::Deref for RawGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> std::ops::DerefMut for RawGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A condition variable whose waits may time out. shuttle's own never do.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    // The system's mutex: held for a look, never across a switch of threads.
    turns: std::sync::Mutex<Vec<Arc<Turn>>>,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { turns: std::sync::Mutex::new(Vec::new()) }
    }

    pub(crate) fn wait<'a, T>(&self, guard: RawGuard<'a, T>) -> LockResult<RawGuard<'a, T>> {
        self.wait_until(guard, None)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: RawGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(RawGuard<'a, T>, bool)> {
        let deadline = Instant::now() + timeout;
        let locked = self.wait_until(guard, Some(deadline));
        let in_time = Instant::now() < deadline;
        locked
            .map(|guard| (guard, in_time))
            .map_err(|poisoned| PoisonError::new((poisoned.into_inner(), in_time)))
    }

    /// Waits for a signal, or until the clock has reached the deadline.
    fn wait_until<'a, T>(
        &self,
        guard: RawGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> LockResult<RawGuard<'a, T>> {
        let turn = Turn::new();
        self.turns().push(Arc::clone(&turn));
        if let Some(deadline) = deadline {
            clock::call(deadline, &turn);
        }
        let RawGuard { guard, mutex } = guard;
        drop(guard);
        turn.wait();
        self.turns().retain(|other| !Arc::ptr_eq(other, &turn));
        mutex.lock()
    }

    pub(crate) fn notify_one(&self) {
        let waiting: Vec<_> = self.waiting();
        if !waiting.is_empty() {
            waiting[thread_rng().gen_range(0..waiting.len())].end(WOKEN);
        }
    }

    pub(crate) fn notify_all(&self) {
        if !self.waiting().is_empty() && !strikes(Fault::LostSignal) {
            self.notify_each();
        }
    }

    /// The same, and no planted fault gets in between: for channels.
    fn notify_each(&self) {
        self.waiting().into_iter().for_each(|turn| turn.end(WOKEN));
    }

    fn waiting(&self) -> Vec<Arc<Turn>> {
        self.turns().iter().filter(|turn| turn.is_waiting()).cloned().collect()
    }

    fn turns(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Turn>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
