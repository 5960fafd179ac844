//! The close: who is told, who answers what is still asked, and which thread ends last.
//!
//! A thread is asked over a channel, and a job that somebody waits for brings the way back for its
//! answer. What the jobs are, and which threads there are, is the caller's business.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::channel::{Sender, bounded};

/// Whether the close has begun, and who may still have work for the thread that ends last.
///
/// A close:
/// 1. begin; then wake the threads that wait, under the lock that they wait by;
/// 2. do what is left to be done, and ask the last thread, as anybody may, for its part of it;
/// 3. end as a user of the last thread: the last of its users sends it the end;
/// 4. join all threads.
///
/// Another thread that uses the last one: 1. look, under the lock that it waits by, whether the
/// close has begun; 2. if so answer all that wait for it, and end as a user, with all that it had
/// for the last thread sent.
///
/// A caller that leaves such a thread something to do: 1. put it down, under that lock; 2. look
/// whether the close has begun, and do not wait if so. One of the two finds the other: either it
/// lay there when the thread looked last, or the close is seen to have begun.
///
/// The last thread: take in everything up to the end, and answer it, or drop it: with the thread
/// goes its end of the channel, and with that what is still in it or comes later ([`ask`]).
#[derive(Debug)]
pub(crate) struct Ending {
    begun: AtomicBool,
    users: AtomicUsize,
}

impl Ending {
    /// Of a database that is open. The close is the only user of the last thread.
    pub(crate) fn new() -> Self {
        Self { begun: AtomicBool::new(false), users: AtomicUsize::new(1) }
    }

    /// Says that the close has begun. The threads that wait are to be woken after it.
    pub(crate) fn begin(&self) {
        // Release; pairs with the Acquire in `has_begun`: who finds the database closed finds all
        // that its closer had done before. Nobody needs more: a waiter looks under the lock by
        // which it is woken.
        self.begun.store(true, Ordering::Release);
    }

    /// Whether the close has begun.
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        // Acquire; pairs with the Release in `begin`.
        self.begun.load(Ordering::Acquire)
    }

    /// Adds a user of the last thread, before the close has ended as one.
    pub(crate) fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends as a user. Whether that was the last: the last thread may end then.
    #[must_use]
    pub(crate) fn end_user(&self) -> bool {
        // AcqRel: what the others have sent was sent before the last of them sends the end.
        self.users.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// Asks a thread for something, and waits for the answer. Nothing if the thread ends before it
/// answers, or has ended: the job is dropped then, and with it the way back.
pub(crate) fn ask<J, A>(jobs: &Sender<J>, job: impl FnOnce(Sender<A>) -> J) -> Option<A> {
    let (reply, answer) = bounded(1);
    // A send fails only after the thread has ended.
    let _ = jobs.send(job(reply));
    answer.recv().ok()
}

#[cfg(all(test, loom))]
mod models;
