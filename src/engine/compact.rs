//! Which merge is next, who works on it, and what a caller may ask of merging: a range now, a
//! pause, a look at the progress.
//!
//! Compactor threads run [`run_compactor`]: ask for a step, carry it out, report, ask again. The
//! choice is `compaction::pick`'s; jobs and requests are kept here. The foreground never waits here
//! unless it asked for a compaction. The one lock is held for a choice, never across I/O.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::jobs::{Request, RequestProgress, State, size};
use super::lines::Lines;
use super::merge::{Progress, Step};
use super::{Engine, Work};
use crate::compaction::pick::{Pick, Policy, pick};
use crate::error::{Error, Result};
use crate::format::meta::BoundKey;
use crate::ids::RunId;
use crate::runs::{Run, SegmentSet};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock, wait_timeout};

/// How long nothing may have been written for the foreground to count as idle, in milliseconds.
const IDLE_MS: u64 = 1_000;

/// Data that adds a millisecond to that.
const IDLE_BYTES_PER_MS: u64 = 200 << 10;

/// How often a thread without work looks after what nobody tells it about, in milliseconds.
const TICK_MS: u64 = 500;

/// How long to wait after a failure before the next try, doubled with each further one, in
/// milliseconds.
const RETRY_MS: u64 = if cfg!(test) { 1 } else { 250 };
const RETRY_MS_MAX: u64 = 30_000;

/// Jobs, requests, and what they wait for.
#[derive(Debug)]
pub(super) struct Compaction {
    state: Mutex<State>,
    /// Signalled when there may be work, or when a wait is to end.
    changed: Condvar,
    pub(super) paused: AtomicBool,
    /// Bytes that the jobs of now have still to read.
    pub(super) debt_bytes: AtomicU64,
}

/// What a compactor thread does next.
enum Next {
    Step { job: u64, step: Step, progress: Option<Arc<RequestProgress>> },
    Wait(Duration),
    Stop,
}

impl Compaction {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::new(Instant::now())),
            changed: Condvar::new(),
            paused: AtomicBool::new(false),
            debt_bytes: AtomicU64::new(0),
        }
    }

    /// Makes every compactor thread look again.
    pub(super) fn wake(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Pays for `bytes` at `rate` bytes a second: waits until earlier ones are paid for.
    pub(super) fn pay(&self, bytes: u64, rate: u64, stop: &dyn Fn() -> bool) {
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

/// The loop of a compactor thread.
pub(super) fn run_compactor(engine: &Engine) {
    let core = &engine.core;
    loop {
        // Before the lock: the manifest may have to be asked.
        let lines = engine.lines();
        let mut state = lock(&core.compaction.state);
        match engine.next(&mut state, &lines) {
            Next::Stop => return,
            Next::Wait(timeout) => {
                drop(wait_timeout(&core.compaction.changed, state, timeout));
            }
            Next::Step { job, step, progress } => {
                drop(state);
                let cancelled = || {
                    let asked = progress.as_ref();
                    asked.is_some_and(|asked| asked.cancelled.load(Ordering::Relaxed))
                };
                let stop = || core.closed.load(Ordering::Acquire) || cancelled();
                let before = core.counters.merges.bytes_in.load(Ordering::Relaxed);
                let result = engine.merge_step(&step, &stop);
                if let Some(progress) = &progress {
                    let read = core.counters.merges.bytes_in.load(Ordering::Relaxed) - before;
                    progress.bytes_done.fetch_add(read, Ordering::Relaxed);
                }
                engine.conclude(job, result);
            }
        }
    }
}

impl Engine {
    fn next(&self, state: &mut State, lines: &Lines) -> Next {
        let core = &self.core;
        if core.closed.load(Ordering::Acquire) {
            let left = state.request.take().into_iter().chain(state.waiting.drain(..));
            // The callers may have gone.
            left.for_each(|request| drop(request.reply.send(Err(Error::Closed))));
            return Next::Stop;
        }
        let tick = Next::Wait(Duration::from_millis(TICK_MS));
        if core.compaction.paused.load(Ordering::Relaxed) || core.stopped().is_some() {
            return tick;
        }
        let now = Instant::now();
        if let Some(at) = state.retry_at.filter(|at| *at > now) {
            return Next::Wait(at - now);
        }
        let view = core.view.load_full();
        let set = &view.segments;
        state.forget_gone(set);
        state.take_request(set);
        let idle = self.is_idle(state, set, now);
        let chosen = self.choose(state, set, idle, lines);
        let debt = state.jobs.iter().map(|job| job.remaining(set)).sum();
        core.compaction.debt_bytes.store(debt, Ordering::Relaxed);
        let Some(at) = chosen else {
            // Nothing is left of a request once no job of it is.
            let over = state.jobs.is_empty() && state.end_request(Ok(()));
            return if over { Next::Wait(Duration::ZERO) } else { tick };
        };
        state.steps += 1;
        let job = &mut state.jobs[at];
        job.running = true;
        let progress = state.request.as_ref().map(|request| Arc::clone(&request.progress));
        let progress = progress.filter(|_| job.requested);
        Next::Step { job: job.id, step: job.step.clone(), progress }
    }

    /// Whether nothing has been committed for a while: for longer the more there is, because
    /// merging all of it down costs in proportion, and the next pause may come as soon.
    fn is_idle(&self, state: &mut State, set: &SegmentSet, now: Instant) -> bool {
        let visible = self.visible();
        if state.idle.0 != visible {
            state.idle = (visible, now);
        }
        let bytes: u64 = set.runs.iter().map(|run| run.bytes()).sum();
        let enough_ms = IDLE_MS + bytes / IDLE_BYTES_PER_MS;
        now.duration_since(state.idle.1) >= Duration::from_millis(enough_ms)
    }

    /// The job to take a step of: one that has begun, or a new one.
    fn choose(
        &self,
        state: &mut State,
        set: &SegmentSet,
        idle: bool,
        lines: &Lines,
    ) -> Option<usize> {
        let runs = &set.runs;
        if self.core.options.compaction_threads > 0 {
            let chosen = self.pick(state, set, runs, idle);
            if chosen.is_some() {
                return chosen;
            }
        }
        if idle && state.request.is_none() && self.core.options.compaction_threads > 0 {
            let step = Step::alone(self.wasteful_run(state, set, lines)?);
            return Some(state.begin(step, false));
        }
        let request = state.request.as_ref()?;
        if let Some(range) = request.range.clone() {
            return self.choose_in(state, set, &range, lines);
        }
        // What was flushed since the request came is not its business, or it might never end.
        let newest = request.newest;
        let begin = runs.iter().position(|run| run.id <= newest)?;
        let chosen = self.pick(state, set, &runs[begin..], true);
        chosen.or_else(|| {
            let step = Step::alone(self.wasteful_run(state, set, lines)?);
            Some(state.begin(step, true))
        })
    }

    /// What the policy says of `runs`, which are some or all of the set's.
    fn pick(
        &self,
        state: &mut State,
        set: &SegmentSet,
        runs: &[Arc<Run>],
        idle: bool,
    ) -> Option<usize> {
        let options = &self.core.options;
        let sizes: Vec<_> = runs.iter().map(|run| size(run)).collect();
        let jobs = state.jobs.iter().map(|job| job.state(set, job.running));
        // Never picked, and their runs never paired.
        let damaged = state.damaged.iter().map(|job| job.state(set, true));
        let jobs: Vec<_> = jobs.chain(damaged).collect();
        let policy = Policy { space_amp_target: options.space_amp_target, idle };
        match pick(&sizes, &jobs, &policy, state.steps)? {
            Pick::Continue(at) => Some(at),
            Pick::Start { newer, older } => {
                let step = Step { newer: Some(newer), ..Step::alone(older) };
                let requested = state.request.is_some();
                Some(state.begin(step, requested))
            }
        }
    }

    /// As [`Self::choose`], for a requested range: down through the runs, newest first.
    fn choose_in(
        &self,
        state: &mut State,
        set: &SegmentSet,
        range: &(BoundKey, Option<BoundKey>),
        lines: &Lines,
    ) -> Option<usize> {
        if let Some(at) = state.jobs.iter().position(|job| !job.running) {
            return Some(at);
        }
        let (from, to) = (&range.0, range.1.as_ref());
        let free = |run: &Arc<Run>| !state.is_busy(run.id);
        let holds = |run: &Arc<Run>| !run.between(Some(from), to).is_empty();
        let newest = set.runs.iter().position(|run| holds(run))?;
        let step = match set.runs.get(newest + 1) {
            // The rest of the way down there may be nothing in the range: then it stays here.
            Some(older) if set.runs[newest + 1..].iter().any(holds) => {
                let pair = [&set.runs[newest], older];
                if !pair.into_iter().all(free) {
                    return None;
                }
                let newer = Some(set.runs[newest].id);
                Step { newer, older: older.id, from: Some(from.clone()), to: to.cloned() }
            }
            _ => {
                let run = &set.runs[newest];
                let step =
                    Step { from: Some(from.clone()), to: to.cloned(), ..Step::alone(run.id) };
                let tried = (run.id, lines.lowest());
                if !free(run)
                    || state.rewritten.contains(&tried)
                    || !self.would_write(set, &step, lines)
                {
                    return None;
                }
                state.rewritten.push(tried);
                step
            }
        };
        Some(state.begin(step, true))
    }

    /// A run that holds so much of no use that it is to be written anew by itself.
    fn wasteful_run(&self, state: &mut State, set: &SegmentSet, lines: &Lines) -> Option<RunId> {
        let wasteful = |run: &&Arc<Run>| {
            !state.is_busy(run.id)
                && !state.rewritten.contains(&(run.id, lines.lowest()))
                && self.would_write(set, &Step::alone(run.id), lines)
        };
        let id = set.runs.iter().find(wasteful)?.id;
        state.rewritten.push((id, lines.lowest()));
        Some(id)
    }

    /// Takes the outcome of a step in.
    fn conclude(&self, id: u64, result: Result<Progress>) {
        let core = &self.core;
        let mut state = lock(&core.compaction.state);
        let at = state.jobs.iter().position(|job| job.id == id).expect("a running job stays");
        state.jobs[at].running = false;
        match result {
            Ok(progress) => {
                state.failures = 0;
                core.note(Work::Merge, &Ok(()));
                match progress {
                    Progress::At(frontier) => state.jobs[at].step.from = Some(frontier),
                    Progress::Stale | Progress::Stopped => {}
                    Progress::Done | Progress::Gone => {
                        let job = state.jobs.remove(at);
                        let merged = progress == Progress::Done && job.step.newer.is_some();
                        core.counters.merges.jobs.fetch_add(u64::from(merged), Ordering::Relaxed);
                    }
                }
            }
            Err(error) => {
                let damaged = error.is_corruption();
                let work = if damaged { Work::Damage } else { Work::Merge };
                core.note(work, &Err::<(), _>(error.clone()));
                if damaged {
                    let job = state.jobs.remove(at);
                    state.damaged.push(job);
                } else {
                    let wait = RETRY_MS << state.failures.min(8);
                    state.failures += 1;
                    state.retry_at =
                        Some(Instant::now() + Duration::from_millis(wait.min(RETRY_MS_MAX)));
                }
                state.jobs.retain(|job| job.running || !job.requested);
                state.end_request(Err(error));
            }
        }
        drop(state);
        core.compaction.changed.notify_all();
    }
}

impl Engine {
    /// Asks for a compaction of everything written so far, or of a range of it. The reply comes
    /// when it is over.
    pub(crate) fn request_compaction(
        &self,
        range: Option<(BoundKey, Option<BoundKey>)>,
    ) -> Result<(Arc<RequestProgress>, Receiver<Result<()>>)> {
        self.refuse_early()?;
        self.flush()?;
        let (reply, answer) = bounded(1);
        let newest = self.core.view.load().segments.runs.first().map_or(RunId(0), |run| run.id);
        let progress = Arc::new(RequestProgress::default());
        let request = Request { range, newest, progress: Arc::clone(&progress), reply };
        lock(&self.core.compaction.state).waiting.push(request);
        self.core.compaction.changed.notify_all();
        if self.core.closed.load(Ordering::Acquire) {
            // The threads may have ended before they could see it.
            return Err(Error::Closed);
        }
        Ok((progress, answer))
    }

    /// Lets no merge begin a further step until the same is called with `false`.
    pub(crate) fn pause_compaction(&self, paused: bool) {
        self.core.compaction.paused.store(paused, Ordering::Relaxed);
        self.core.compaction.wake();
    }

    /// Makes a request end where it is.
    pub(crate) fn cancel_compaction(&self, progress: &RequestProgress) {
        progress.cancelled.store(true, Ordering::Relaxed);
        self.core.compaction.wake();
    }
}
