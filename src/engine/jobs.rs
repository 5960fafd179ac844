//! The book of merges: jobs that have begun, and compactions that callers have asked for.
//!
//! Plain data under the lock of [`super::compact`]; no I/O, no thread.

use std::time::Instant;

use crossbeam_channel::Sender;

use super::failures::Failures;
use super::forecast::raw_bytes;
use super::merge::Step;
use crate::compaction::pick::{JobState, RunSize};
use crate::error::{Error, Result};
use crate::format::meta::BoundKey;
use crate::format::properties::Properties;
use crate::ids::{RunId, Sequence};
use crate::runs::{Run, SegmentSet};
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
    pub(super) extent: Extent,
    /// The newest run that it is about.
    pub(super) newest: RunId,
    pub(super) progress: Arc<RequestProgress>,
    pub(super) reply: Sender<Result<()>>,
}

/// The keys that a request is about, from one to before another; everything if there are none.
#[derive(Clone, Debug)]
pub(super) struct Extent(pub(super) Option<(BoundKey, Option<BoundKey>)>);

impl Extent {
    pub(super) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn from(&self) -> Option<BoundKey> {
        self.0.as_ref().map(|(from, _)| from.clone())
    }

    pub(super) fn to(&self) -> Option<BoundKey> {
        self.0.as_ref().and_then(|(_, to)| to.clone())
    }

    /// Bytes of keys and values that a run has in it.
    pub(super) fn raw_bytes(&self, run: &Run) -> u64 {
        match &self.0 {
            None => run.segments.iter().map(raw_bytes).sum(),
            Some((from, to)) => run.between(Some(from), to.as_ref()).iter().map(raw_bytes).sum(),
        }
    }
}

/// How far a requested compaction is.
#[derive(Debug)]
pub(crate) struct RequestProgress {
    /// Bytes of keys and values read so far.
    pub(super) bytes_done: AtomicU64,
    /// About how many there are still to be read; 0 once there is nothing more to do, not before.
    bytes_left: AtomicU64,
    cancelled: AtomicBool,
}

impl RequestProgress {
    pub(super) fn new(bytes_left: u64) -> Self {
        let progress = Self {
            bytes_done: AtomicU64::new(0),
            bytes_left: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        };
        progress.set_left(bytes_left);
        progress
    }

    /// Bytes of keys and values read so far, and about how many it will have been in the end: more,
    /// until that has come.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        // Relaxed, and in any order: what was read is counted before less is left.
        let done = self.bytes_done.load(Ordering::Relaxed);
        (done, done.saturating_add(self.bytes_left.load(Ordering::Relaxed)))
    }

    pub(super) fn set_left(&self, bytes: u64) {
        self.bytes_left.store(bytes.max(1), Ordering::Relaxed);
    }

    /// Nothing is left to do.
    fn set_done(&self) {
        self.bytes_left.store(0, Ordering::Relaxed);
    }

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
        let Some(Request { extent, newest, .. }) = &self.request else { return false };
        if !extent.is_everything() {
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
    pub(super) fn take_request(&mut self) {
        if self.request.is_some() || self.waiting.is_empty() {
            return;
        }
        self.request = Some(self.waiting.remove(0));
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
        if result.is_ok() && !request.progress.is_cancelled() {
            request.progress.set_done();
        }
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

/// A run as the policy sees it.
pub(super) fn size(run: &Run) -> RunSize {
    let sum = |count: fn(&Properties) -> u64| {
        run.segments.iter().map(|part| count(part.segment.properties())).sum()
    };
    let (tombstones, entries) = (sum(|known| known.tombstones), sum(Properties::entries));
    RunSize { id: run.id, bytes: run.bytes(), tombstones, entries }
}
