//! When something that failed is tried again by itself: twice as long after each failure in a row.

use std::time::Duration;

use crate::sync::clock::Instant;

/// The first wait, in milliseconds.
const RETRY_MS: u64 = if cfg!(test) { 1 } else { 250 };

/// The longest, shorter than a writer waits for memory unless told otherwise
/// ([`OnOverload`](crate::OnOverload)): what was mended meanwhile is noticed in time.
const RETRY_MS_MAX: u64 = 4_000;

/// Failures in a row, and when the next try may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    next_try: Option<Instant>,
}

impl Backoff {
    /// Takes down how a try went that ended at `now`.
    pub(crate) fn note(&mut self, succeeded: bool, now: Instant) {
        if succeeded {
            *self = Self::default();
            return;
        }
        let wait_ms = (RETRY_MS << self.failures.min(8)).min(RETRY_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.next_try = Some(now + Duration::from_millis(wait_ms));
    }

    /// Lets the next try be made at once, if one has failed.
    pub(crate) fn expire(&mut self) {
        self.next_try = self.next_try.map(|next_try| next_try.min(Instant::now()));
    }

    /// Whether the last try failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.next_try.is_some()
    }

    /// Whether nothing failed, or enough time has passed since.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        self.next_try.is_none_or(|next_try| now >= next_try)
    }

    /// When it may be tried again, if it has failed.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.next_try
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_doubles_the_wait_up_to_a_bound_and_a_success_ends_it() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        assert!(backoff.may_try(start) && !backoff.has_failed());
        let mut waits = Vec::new();
        for _ in 0..40 {
            backoff.note(false, start);
            let wait = backoff.next_try().unwrap() - start;
            assert!(!backoff.may_try(start) && backoff.may_try(start + wait));
            waits.push(wait.as_millis() as u64);
        }
        assert_eq!(waits[..4], [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS, 8 * RETRY_MS]);
        assert!(waits.is_sorted() && waits[39] == (RETRY_MS << 8).min(RETRY_MS_MAX));
        backoff.note(true, start);
        assert!(backoff.may_try(start) && !backoff.has_failed());
    }
}
