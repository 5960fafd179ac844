//! One leader role for every sync of the log.
//!
//! Writers with [`Durability::Sync`](crate::Durability), explicit syncs, the periodic sync and the
//! sync of a sealed log all wait here for a position; one of them at a time does the work for all.
//! Called outside the commit section. No file is named here: what a sync is, the environment says.

use crate::ids::LogPosition;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait};

/// What the leader works on. Only the leader calls it, outside every lock of [`GroupSync`].
pub(crate) trait SyncEnv {
    /// Why a sync failed. Every later waiter gets a clone.
    type Error: Clone;

    /// Syncs what was appended so far, oldest log first, at least to the position that the caller
    /// of [`GroupSync::wait`] gave, and returns the position covered: no byte below it is
    /// unsynced. That is read before the first sync.
    fn sync(&self) -> Result<LogPosition, Self::Error>;

    /// What a leader that panicked leaves to the others, as a failed sync does.
    fn panicked() -> Self::Error;
}

/// How far the log is durable, and who makes it so.
///
/// Waiting for a position:
/// 1. return if `synced` covers it;
/// 2. fail if a sync has failed before: after that nothing is known (Linux reports a writeback
///    error once per open file, so a second sync would succeed without having written anything);
/// 3. if there is a leader, wait until it is done, and begin again: it may have read the appended
///    position before this write was there;
/// 4. otherwise take the role, unlock, sync, lock;
/// 5. raise `synced`, or latch the error;
/// 6. give the role up and wake everyone, under the same lock as 5: if the role were free before
///    the error is latched, the next leader would sync a file whose error is already consumed (I9).
///
/// If the environment panics in step 4, that is a failure as any other: nobody knows what is
/// durable.
#[derive(Debug)]
pub(crate) struct GroupSync<X> {
    /// Everything below it is durable. Raised under the lock, read without it.
    synced: AtomicU64,
    /// Whether `state.latched` is set, so that each write can ask without the lock.
    stopped: AtomicBool,
    state: Mutex<SyncState<X>>,
    /// Signalled whenever the role is given up or an error is latched.
    changed: Condvar,
}

/// What the mutex owns.
#[derive(Debug)]
struct SyncState<X> {
    role: Role,
    /// The first failure.
    latched: Option<X>,
}

/// Whether a thread leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Free,
    Taken,
}

impl<X: Clone> GroupSync<X> {
    /// A log that is durable below `synced`.
    pub(crate) fn new(synced: LogPosition) -> Self {
        Self {
            synced: AtomicU64::new(synced.0),
            stopped: AtomicBool::new(false),
            state: Mutex::new(SyncState { role: Role::Free, latched: None }),
            changed: Condvar::new(),
        }
    }

    /// The position below which everything is durable.
    pub(crate) fn synced(&self) -> LogPosition {
        // Acquire; pairs with the Release in `settle`.
        LogPosition(self.synced.load(Ordering::Acquire))
    }

    /// Returns once everything below `target` is durable, or with the error that prevents it for
    /// good. `target` must have been appended: a position that no sync covers is waited for
    /// forever.
    pub(crate) fn wait(&self, target: LogPosition, env: &impl SyncEnv<Error = X>) -> Result<(), X> {
        if self.synced() >= target {
            return Ok(());
        }
        let mut state = lock(&self.state);
        loop {
            if self.synced() >= target {
                return Ok(());
            }
            if let Some(error) = &state.latched {
                return Err(error.clone());
            }
            state = match state.role {
                Role::Free => self.lead(state, target, env),
                Role::Taken => wait(&self.changed, state),
            };
        }
    }

    /// The first failure, if there was one. Costs one load while there is none.
    pub(crate) fn latched(&self) -> Option<X> {
        // Acquire; pairs with the Release in `latch_locked`.
        if !self.stopped.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.state).latched.clone()
    }

    /// Latches a failure from elsewhere: every wait that is not covered fails with it, or with the
    /// first one if there was one before.
    pub(crate) fn latch(&self, error: X) {
        let mut state = lock(&self.state);
        self.latch_locked(&mut state, error);
        self.changed.notify_all();
    }

    /// Steps 4 to 6.
    fn lead<'a, E: SyncEnv<Error = X>>(
        &'a self,
        mut state: MutexGuard<'a, SyncState<X>>,
        target: LogPosition,
        env: &E,
    ) -> MutexGuard<'a, SyncState<X>> {
        state.role = Role::Taken;
        drop(state);
        let leading = Leading { of: self, panicked: E::panicked };
        let result = env.sync();
        std::mem::forget(leading);
        let mut state = lock(&self.state);
        debug_assert!(
            result.as_ref().map_or(true, |&covered| covered.max(self.synced()) >= target),
            "the environment would be asked again for ever"
        );
        self.give_up(&mut state, result);
        state
    }

    /// Steps 5 and 6.
    fn give_up(&self, state: &mut SyncState<X>, result: Result<LogPosition, X>) {
        self.settle(state, result);
        state.role = Role::Free;
        self.changed.notify_all();
    }

    /// Step 5.
    fn settle(&self, state: &mut SyncState<X>, result: Result<LogPosition, X>) {
        match result {
            // Release; pairs with the Acquire in `synced`. The position may be lower than before,
            // when the environment had nothing to do and says so with an old one.
            Ok(covered) => {
                self.synced.fetch_max(covered.0, Ordering::Release);
            }
            Err(error) => self.latch_locked(state, error),
        }
    }

    fn latch_locked(&self, state: &mut SyncState<X>, error: X) {
        if state.latched.is_none() {
            state.latched = Some(error);
            // Release; pairs with the Acquire in `latched`.
            self.stopped.store(true, Ordering::Release);
        }
    }
}

/// Held while the environment syncs. Dropped by a panic only.
struct Leading<'a, X: Clone> {
    of: &'a GroupSync<X>,
    panicked: fn() -> X,
}

impl<X: Clone> Drop for Leading<'_, X> {
    fn drop(&mut self) {
        self.of.give_up(&mut lock(&self.of.state), Err((self.panicked)()));
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
