//! Which calls of a store fail, and how.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The process has died: nothing gets through any more. The call at which it did was `done` by
    /// the store, or was not.
    Dead { done: bool },
    /// Not done; try again.
    Throttled,
    /// Done, and the answer is lost.
    AnswerLost,
    /// As that, once.
    AnswerLostOnce,
    /// Not done, and trying again does not help.
    Refused,
}

/// Counts calls, and fails some.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    calls: Arc<AtomicU64>,
    fault: Option<(Fault, u64)>,
}

impl Plan {
    pub fn none() -> Self {
        Self::default()
    }

    /// Dead from the call with this number on; every so many calls, or that one alone, for others.
    pub fn new(fault: Fault, number: u64) -> Self {
        Self { calls: Arc::default(), fault: Some((fault, number)) }
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// What becomes of the next call.
    pub fn next(&self) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let (fault, at) = self.fault?;
        match fault {
            Fault::Dead { .. } if number > at => Some(Fault::Dead { done: false }),
            Fault::Dead { .. } | Fault::Refused | Fault::AnswerLostOnce => {
                (number == at).then_some(fault)
            }
            Fault::Throttled | Fault::AnswerLost => (number % at == at - 1).then_some(fault),
        }
    }
}
