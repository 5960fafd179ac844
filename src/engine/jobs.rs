//! The book of merges: jobs that have begun, and compactions that callers have asked for.
//!
//! Plain data under the lock of [`super::compact`]; no I/O, no thread.

use std::time::Instant;

use crossbeam_channel::Sender;

use super::failures::Failures;
use super::merge::Step;
use crate::compaction::pick::{JobState, RunSize};
use crate::error::{Error, Result};
use crate::format::meta::BoundKey;
use crate::format::properties::Properties;
use crate::ids::{RunId, Sequence};
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the compactor threads share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) jobs: Vec<Job>,
    pub(super) failures: Failures,
    pub(super) request: Option<Request>,
    pub(super) waiting: Vec<Request>,
    /// Runs that were written anew by themselves, and the lowest line then: no use to try again
    /// before that has moved.
    pub(super) rewritten: Vec<(RunId, Sequence)>,
    pub(super) steps: u64,
    next_job: u64,
    /// The last commit that was seen, and since when there was no other.
    pub(super) idle: (Sequence, Instant),
    /// When the bytes read so far are paid for, where there is a rate.
    pub(super) paid_until: Instant,
}

/// A merge that has begun, or is about to.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) step: Step,
    pub(super) running: bool,
    /// The request that it is carried out for.
    pub(super) asked: Option<Arc<RequestProgress>>,
}

/// A compaction that a caller asked for.
#[derive(Debug)]
pub(super) struct Request {
    /// The keys to compact; everything if `None`.
    pub(super) range: Option<(BoundKey, Option<BoundKey>)>,
    /// The newest run that it is about.
    pub(super) newest: RunId,
    pub(super) progress: Arc<RequestProgress>,
    pub(super) reply: Sender<Result<()>>,
}

/// How far a requested compaction is.
#[derive(Debug, Default)]
pub(crate) struct RequestProgress {
    /// Bytes of keys and values that were in the range when it began, and those read so far.
    pub(crate) bytes_total: AtomicU64,
    pub(crate) bytes_done: AtomicU64,
    cancelled: AtomicBool,
}

impl RequestProgress {
    /// Makes the compaction end where it is.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            jobs: Vec::new(),
            failures: Failures::default(),
            request: None,
            waiting: Vec::new(),
            rewritten: Vec::new(),
            steps: 0,
            next_job: 0,
            idle: (Sequence(0), now),
            paid_until: now,
        }
    }

    /// Takes a job into the book, and says where.
    pub(super) fn begin(&mut self, step: Step) -> usize {
        self.next_job += 1;
        self.jobs.push(Job { id: self.next_job, step, running: false, asked: None });
        self.jobs.len() - 1
    }

    pub(super) fn is_busy(&self, run: RunId) -> bool {
        self.jobs.iter().any(|job| job.step.is_about(run))
    }

    /// Forgets jobs whose runs are gone or no longer neighbours, and what went with them.
    pub(super) fn forget_gone(&mut self, set: &SegmentSet) {
        self.failures.forget_gone(set);
        self.rewritten.retain(|(id, _)| set.runs.iter().any(|run| run.id == *id));
        self.jobs.retain(|job| job.running || job.step.is_in(set));
    }

    /// Whether a job is for the request at hand.
    pub(super) fn is_asked_for(&self, job: &Job) -> bool {
        let request = self.request.as_ref().map(|request| &request.progress);
        request.zip(job.asked.as_ref()).is_some_and(|(at_hand, asked)| Arc::ptr_eq(at_hand, asked))
    }

    /// Whether a job is the business of the request at hand, which has `several` runs to merge or
    /// only one.
    pub(super) fn concerns(&self, job: &Job, several: bool) -> bool {
        let Some(Request { range, newest, .. }) = &self.request else { return false };
        if range.is_some() {
            return self.is_asked_for(job);
        }
        // One that takes a newer run into these keeps them from being merged; but once they are,
        // there might always be another.
        job.step.older <= *newest && (several || job.newest() <= *newest)
    }

    /// Makes way for a request that needs a run: a job over it that has failed might keep the
    /// request waiting for as long as it goes on failing.
    pub(super) fn clear_way(&mut self, run: RunId) {
        let Self { jobs, failures, .. } = self;
        jobs.retain(|job| job.running || !job.step.is_about(run) || !failures.has(&job.step));
    }

    /// Ends requests that their callers have given up, and forgets what was begun for them.
    pub(super) fn end_cancelled(&mut self) {
        self.jobs.retain(|job| job.running || !job.is_cancelled());
        if self.request.as_ref().is_some_and(|request| request.progress.is_cancelled()) {
            self.end_request(Ok(()));
        }
        for request in self.waiting.extract_if(.., |request| request.progress.is_cancelled()) {
            request.answer(Ok(()));
        }
    }

    /// Ends all requests.
    pub(super) fn end_all(&mut self, error: &Error) {
        let all = self.request.take().into_iter().chain(self.waiting.drain(..));
        all.for_each(|request| request.answer(Err(error.clone())));
    }

    /// The request at hand, for what is begun for it.
    pub(super) fn asked(&self) -> Option<Arc<RequestProgress>> {
        self.request.as_ref().map(|request| Arc::clone(&request.progress))
    }

    /// Takes the next request up.
    pub(super) fn take_request(&mut self, set: &SegmentSet) {
        if self.request.is_some() || self.waiting.is_empty() {
            return;
        }
        let request = self.waiting.remove(0);
        let raw = |parts: &[SegmentRef]| parts.iter().map(raw_bytes).sum::<u64>();
        let bytes = set.runs.iter().map(|run| match &request.range {
            None => raw(&run.segments),
            Some((from, to)) => raw(&run.between(Some(from), to.as_ref())),
        });
        request.progress.bytes_total.store(bytes.sum(), Ordering::Relaxed);
        self.request = Some(request);
        // Who asks wants an answer: what was of no use is tried again.
        self.rewritten.clear();
    }

    /// Answers the request at hand, if there is one, and forgets what was begun for it.
    pub(super) fn end_request(&mut self, result: Result<()>) {
        let Some(request) = self.request.take() else { return };
        let asked = |job: &Job| {
            job.asked.as_ref().is_some_and(|asked| Arc::ptr_eq(asked, &request.progress))
        };
        self.jobs.retain(|job| job.running || !asked(job));
        request.answer(result);
    }
}

impl Request {
    fn answer(self, result: Result<()>) {
        // The caller may have gone.
        let _ = self.reply.send(result);
    }
}

impl Job {
    /// The newest run that it is about.
    pub(super) fn newest(&self) -> RunId {
        self.step.newer.unwrap_or(self.step.older)
    }

    /// Whether it is for a request that was given up.
    pub(super) fn is_cancelled(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.is_cancelled())
    }

    pub(super) fn state(&self, set: &SegmentSet, running: bool) -> JobState {
        let Step { newer, older, .. } = self.step;
        let remaining_bytes = self.remaining(set);
        JobState { newer: newer.unwrap_or(older), older, remaining_bytes, running }
    }

    /// Bytes that are still to be read.
    pub(super) fn remaining(&self, set: &SegmentSet) -> u64 {
        let Step { from, to, .. } = &self.step;
        let runs = set.runs.iter().filter(|run| self.step.is_about(run.id));
        let parts = runs.flat_map(|run| run.between(from.as_ref(), to.as_ref()));
        parts.map(|part| part.bytes).sum()
    }
}

/// Bytes of keys and values in a part of a segment, as steps count what they have read: what is
/// stored may be compressed. By its share of the blocks, so that it is exact for a whole segment.
fn raw_bytes(part: &SegmentRef) -> u64 {
    let Properties { raw_bytes, stored_bytes, .. } = part.segment.properties();
    let raw = u128::from(*raw_bytes) * u128::from(part.bytes) / u128::from((*stored_bytes).max(1));
    u64::try_from(raw).unwrap_or(u64::MAX)
}

/// A run as the policy sees it.
pub(super) fn size(run: &Run) -> RunSize {
    let sum = |count: fn(&Properties) -> u64| {
        run.segments.iter().map(|part| count(part.segment.properties())).sum()
    };
    let (tombstones, entries) = (sum(|known| known.tombstones), sum(Properties::entries));
    RunSize { id: run.id, bytes: run.bytes(), tombstones, entries }
}
