//! The book of merges: jobs that have begun, and compactions that callers have asked for.
//!
//! A request flushes; then everything up to the newest run of that moment is merged down to one, or
//! in a range down to the oldest run that has keys in it. What is flushed later is not its
//! business, or it might never end. Requests take turns with what goes on in the background, and go
//! on with what has begun there over their runs. One fails by the error of a step that was taken
//! for it, and by no other.
//!
//! Plain data under the lock of [`super::book`]; no I/O, no thread.

use crate::compaction::pick::{JobState, RunSize};
use crate::compaction::toll::Toll;
use crate::engine::agenda::failures::Failures;
use crate::engine::agenda::known_bytes::KnownBytes;
use crate::engine::agenda::pair::Step;
use crate::error::{Error, Result};
use crate::format::meta::BoundKey;
use crate::format::properties::Properties;
use crate::ids::{RunId, Sequence};
use crate::runs::raw_bytes;
use crate::runs::{Run, SegmentSet};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::channel::Sender;
use crate::sync::clock::Instant;

/// What the compactor threads share.
#[derive(Debug)]
pub(crate) struct MergeState {
    pub(crate) jobs: Vec<Job>,
    pub(crate) failures: Failures,
    pub(crate) request: Option<Request>,
    pub(crate) waiting: Vec<Request>,
    /// Runs that were rewritten by themselves, and the horizon then: no use to try again
    /// before that has moved.
    pub(crate) rewritten: Vec<(RunId, Sequence)>,
    pub(crate) steps: u64,
    next_job: u64,
    /// The last commit that was seen, and since when there was no other.
    pub(crate) idle: (Sequence, Instant),
    pub(crate) toll: Toll,
    pub(crate) known_bytes: KnownBytes,
    /// When the bytes read so far are paid for, where there is a rate.
    pub(crate) paid_until: Instant,
}

/// A merge that has begun, or is about to.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) step: Step,
    pub(crate) running: bool,
    /// The request that it is carried out for.
    pub(crate) asked: Option<Arc<RequestProgress>>,
}

/// A compaction that a caller asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) extent: Extent,
    /// The newest run that it is about.
    pub(crate) newest: RunId,
    pub(crate) progress: Arc<RequestProgress>,
    pub(crate) reply: Sender<Result<()>>,
}

/// The keys that a request is about, from one to before another; everything if there are none.
#[derive(Clone, Debug)]
pub(crate) struct Extent(pub(crate) Option<(BoundKey, Option<BoundKey>)>);

impl Extent {
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn from(&self) -> Option<BoundKey> {
        self.0.as_ref().map(|(from, _)| from.clone())
    }

    pub(crate) fn to(&self) -> Option<BoundKey> {
        self.0.as_ref().and_then(|(_, to)| to.clone())
    }

    /// Bytes of keys and values that a run has in it.
    pub(crate) fn raw_bytes(&self, run: &Run) -> u64 {
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
    pub(crate) bytes_done: AtomicU64,
    /// About how many there are still to be read; 0 once there is nothing more to do, not before.
    bytes_left: AtomicU64,
    cancelled: AtomicBool,
}

impl RequestProgress {
    pub(crate) fn new(bytes_left: u64) -> Self {
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

    pub(crate) fn set_left(&self, bytes: u64) {
        self.bytes_left.store(bytes.max(1), Ordering::Relaxed);
    }

    /// Nothing is left to do.
    fn set_done(&self) {
        self.bytes_left.store(0, Ordering::Relaxed);
    }

    /// Makes the compaction end where it is.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl MergeState {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            jobs: Vec::new(),
            failures: Failures::default(),
            request: None,
            waiting: Vec::new(),
            rewritten: Vec::new(),
            steps: 0,
            next_job: 0,
            idle: (Sequence(0), now),
            toll: Toll::default(),
            known_bytes: KnownBytes::default(),
            paid_until: now,
        }
    }

    /// Takes a job into the book, and says where.
    pub(crate) fn begin(&mut self, step: Step) -> usize {
        self.next_job += 1;
        self.jobs.push(Job { id: self.next_job, step, running: false, asked: None });
        self.jobs.len() - 1
    }

    pub(crate) fn is_busy(&self, run: RunId) -> bool {
        self.jobs.iter().any(|job| job.step.is_about(run))
    }

    /// Forgets jobs whose runs are gone or no longer neighbours, and what went with them.
    pub(crate) fn forget_gone(&mut self, set: &SegmentSet) {
        self.failures.forget_gone(set);
        self.rewritten.retain(|(id, _)| set.runs.iter().any(|run| run.id == *id));
        self.jobs.retain(|job| job.running || job.step.is_in(set));
    }

    /// Whether a job is for the request at hand.
    pub(crate) fn is_asked_for(&self, job: &Job) -> bool {
        let request = self.request.as_ref().map(|request| &request.progress);
        request.zip(job.asked.as_ref()).is_some_and(|(at_hand, asked)| Arc::ptr_eq(at_hand, asked))
    }

    /// Whether a job is the business of the request at hand, which has `several` runs to merge or
    /// only one.
    pub(crate) fn concerns(&self, job: &Job, several: bool) -> bool {
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
    pub(crate) fn clear_way(&mut self, run: RunId) {
        let Self { jobs, failures, .. } = self;
        jobs.retain(|job| job.running || !job.step.is_about(run) || !failures.has(&job.step));
    }

    /// Ends requests that their callers have given up, and forgets what was begun for them.
    pub(crate) fn end_cancelled(&mut self) {
        self.jobs.retain(|job| job.running || !job.is_cancelled());
        if self.request.as_ref().is_some_and(|request| request.progress.is_cancelled()) {
            self.end_request(Ok(()));
        }
        for request in self.waiting.extract_if(.., |request| request.progress.is_cancelled()) {
            request.answer(Ok(()));
        }
    }

    /// Ends all requests.
    pub(crate) fn end_all(&mut self, error: &Error) {
        let all = self.request.take().into_iter().chain(self.waiting.drain(..));
        all.for_each(|request| request.answer(Err(error.clone())));
    }

    /// The request at hand, for what is begun for it.
    pub(crate) fn asked(&self) -> Option<Arc<RequestProgress>> {
        self.request.as_ref().map(|request| Arc::clone(&request.progress))
    }

    /// Takes the next request up.
    pub(crate) fn take_request(&mut self) {
        if self.request.is_some() || self.waiting.is_empty() {
            return;
        }
        self.request = Some(self.waiting.remove(0));
        // A request wants an answer: what was of no use is tried again.
        self.rewritten.clear();
    }

    /// Answers the request at hand, if there is one, and forgets what was begun for it.
    pub(crate) fn end_request(&mut self, result: Result<()>) {
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
    pub(crate) fn newest(&self) -> RunId {
        self.step.newer.unwrap_or(self.step.older)
    }

    /// Whether it is for a request that was given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.is_cancelled())
    }

    pub(crate) fn state(&self, set: &SegmentSet, running: bool) -> JobState {
        let Step { newer, older, .. } = self.step;
        let remaining_bytes = self.remaining(set);
        JobState { newer: newer.unwrap_or(older), older, remaining_bytes, running }
    }

    /// Bytes that are still to be read.
    pub(crate) fn remaining(&self, set: &SegmentSet) -> u64 {
        let Step { from, to, .. } = &self.step;
        let runs = set.runs.iter().filter(|run| self.step.is_about(run.id));
        let parts = runs.flat_map(|run| run.between(from.as_ref(), to.as_ref()));
        parts.map(|part| part.bytes).sum()
    }
}

/// A run as the policy sees it.
pub(crate) fn size(run: &Run) -> RunSize {
    let sum = |count: fn(&Properties) -> u64| {
        run.segments.iter().map(|part| count(part.segment.properties())).sum()
    };
    let tombstones = sum(|known| known.tombstones);
    let entries = sum(Properties::entries);
    RunSize { id: run.id, bytes: run.bytes(), tombstones, entries }
}
