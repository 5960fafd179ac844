//! Callers that are to be told once the log is durable up to a position, without a thread that
//! waits for it.
//!
//! One thread, the *teller*, has syncs made for all who are on the list, and tells them. What a
//! sync is, how one is told, and how the teller is asked for a turn are the caller's business.

use std::fmt;

use crate::ids::LogPosition;
use crate::sync::{Mutex, lock};

/// Those who are to be told, each with the position that it is about.
///
/// Joining:
/// 1. under the lock: if the teller has ended, the caller tells by itself (4 of a turn);
/// 2. else get on the list; if no turn has been asked for since the last one began, ask for one.
///
/// A turn of the teller:
/// 1. under the lock: say that it has begun, so that who joins from here on asks for another, and
///    read the highest position on the list;
/// 2. outside: have that synced;
/// 3. under the lock: take those off the list that the sync has covered; all, if it has failed;
/// 4. outside: tell them.
///
/// Its end: 1. under the lock: say so, and take all off the list; 2. outside: tell them. So each
/// is told once, and not before it is so (I44).
///
/// In step 1 nobody is taken off: if the sync panics, the end finds them.
pub(crate) struct WaitingList<T> {
    state: Mutex<Waiters<T>>,
}

/// What the mutex owns.
struct Waiters<T> {
    waiting: Vec<(LogPosition, T)>,
    /// Whether a turn was asked for that has not begun.
    asked: bool,
    /// Whether the teller has ended.
    over: bool,
}

/// What comes of joining.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined<T> {
    /// It is on the list, and a turn that was asked for will see it.
    Waits,
    /// It is on the list, and the caller asks for a turn.
    Ask,
    /// There is no teller any more, and this is for the caller to do.
    Over(T),
}

impl<T> WaitingList<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(Waiters { waiting: Vec::new(), asked: false, over: false }) }
    }

    /// Puts `waiter` on the list, who is told once everything below `position` is durable. That
    /// must have been appended.
    #[must_use]
    pub(crate) fn join(&self, position: LogPosition, waiter: T) -> Joined<T> {
        let mut state = lock(&self.state);
        if state.over {
            return Joined::Over(waiter);
        }
        state.waiting.push((position, waiter));
        if std::mem::replace(&mut state.asked, true) { Joined::Waits } else { Joined::Ask }
    }

    /// Step 1 of a turn: what is to be synced, if anybody waits.
    pub(crate) fn begin_turn(&self) -> Option<LogPosition> {
        let mut state = lock(&self.state);
        state.asked = false;
        state.waiting.iter().map(|(position, _)| *position).max()
    }

    /// Step 3 of a turn: those who wait for no more than `covered`, in the order in which they
    /// joined, `most` of them. If there are as many there may be more, for another turn.
    pub(crate) fn take_covered(&self, covered: LogPosition, most: usize) -> Vec<(LogPosition, T)> {
        let mut state = lock(&self.state);
        state.waiting.extract_if(.., |(position, _)| *position <= covered).take(most).collect()
    }

    /// The teller's end: all who are left.
    pub(crate) fn end(&self) -> Vec<(LogPosition, T)> {
        let mut state = lock(&self.state);
        state.over = true;
        std::mem::take(&mut state.waiting)
    }
}

impl<T> fmt::Debug for WaitingList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingList").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
