//! The lock on the book of merges, and what goes with it: signals, a pause, the price of bytes.

use std::time::Duration;

use crate::engine::agenda::jobs::MergeState;
use crate::error::Error;
use crate::ids::{FileNumber, RunId};
use crate::runs::SegmentSet;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::clock::Instant;
use crate::sync::{Condvar, Mutex, lock, wait_timeout};

/// Jobs, requests, and what they wait for.
#[derive(Debug)]
pub(crate) struct MergeBook {
    pub(crate) state: Mutex<MergeState>,
    /// Signalled when there may be work, or when a wait is to end.
    pub(crate) changed: Condvar,
    pub(crate) paused: AtomicBool,
    /// Bytes that the present jobs have still to read.
    pub(crate) debt_bytes: AtomicU64,
}

impl MergeBook {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(MergeState::new(Instant::now())),
            changed: Condvar::new(),
            paused: AtomicBool::new(false),
            debt_bytes: AtomicU64::new(0),
        }
    }

    /// Answers all that wait for a compaction, after the last thread that could has gone.
    pub(crate) fn end_all(&self, error: &Error) {
        let mut state = lock(&self.state);
        state.end_all(error);
    }

    /// What merges have run into last and still stands in `set`.
    pub(crate) fn trouble(&self, set: &SegmentSet) -> Option<Error> {
        let state = lock(&self.state);
        state.failures.newest(set)
    }

    /// Whether there is work that goes on.
    pub(crate) fn is_getting_on(&self) -> bool {
        self.debt_bytes.load(Ordering::Relaxed) > 0
            && !self.paused.load(Ordering::Relaxed)
            && !lock(&self.state).failures.is_stuck()
    }

    /// Has what found the disk full tried again now.
    pub(crate) fn try_again_where_full(&self) {
        lock(&self.state).failures.try_again_where_full();
        self.changed.notify_all();
    }

    /// Takes note that all of a segment was read, and nothing in it is damaged.
    pub(crate) fn found_sound(&self, segment: FileNumber) {
        lock(&self.state).failures.found_sound(segment);
    }

    /// Runs of which a merge has begun.
    pub(crate) fn merging(&self) -> Vec<RunId> {
        let state = lock(&self.state);
        state
            .jobs
            .iter()
            .flat_map(|job| job.step.newer.into_iter().chain([job.step.older]))
            .collect()
    }

    /// Makes every compactor thread look again.
    pub(crate) fn wake(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Pays for `bytes` at `rate` bytes a second: waits until earlier ones are paid for.
    pub(crate) fn pay(&self, bytes: u64, rate: u64, stop: &dyn Fn() -> bool) {
        if rate == 0 {
            return;
        }
        let mut state = lock(&self.state);
        let price = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let until = state.paid_until.max(Instant::now()) + price;
        state.paid_until = until;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop() {
                return;
            }
            state = wait_timeout(&self.changed, state, left);
        }
    }
}
