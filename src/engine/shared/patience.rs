//! How long one call may wait: `stall_max` in all, whatever it waits for and how often.
//!
//! A write may meet a held key, then want memory, then a log, then the held key again. What it has
//! waited goes with it from one wait to the next; what it works in between does not count, nor what
//! the caller's own code takes in a conditional write.

use std::time::Duration;

use crate::engine::Core;
use crate::options::OnOverload;
use crate::sync::clock::Instant;

/// What a call has waited so far.
#[derive(Debug, Default)]
pub(crate) struct Stalled(Duration);

/// What a wait may take of the time of its call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    start: Instant,
    /// What the call had waited then.
    before: Duration,
    limit: Duration,
}

impl Core {
    /// How long a call may wait, if it may at all: not for what it could only get by itself.
    pub(crate) fn stall_max(&self) -> Option<Duration> {
        match self.options.on_overload {
            OnOverload::Pace { stall_max } if !self.is_own_thread() => Some(stall_max),
            OnOverload::Pace { .. } | OnOverload::Error => None,
        }
    }
}

impl Stalled {
    /// Runs a wait of a call that may wait for `limit` in all.
    pub(crate) fn wait<T>(&mut self, limit: Duration, wait: impl FnOnce(Patience) -> T) -> T {
        let patience = Patience { start: Instant::now(), before: self.0, limit };
        let result = wait(patience);
        self.0 = patience.waited();
        result
    }
}

impl Patience {
    /// What the call has waited by now.
    pub(crate) fn waited(&self) -> Duration {
        self.before + self.start.elapsed()
    }

    /// What is left, if anything.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.limit.checked_sub(self.waited()).filter(|left| !left.is_zero())
    }

    /// The same for a wait that takes `most` at most.
    pub(crate) fn at_most(self, most: Duration) -> Self {
        Self { limit: self.limit.min(self.before.saturating_add(most)), ..self }
    }
}

#[cfg(test)]
mod tests;
