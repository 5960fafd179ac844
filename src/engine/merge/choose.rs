//! Which merge takes the next step: one that has begun, or a new one; for a caller who asked for a
//! compaction, or in the background.
//!
//! The policy is `compaction::pick`'s. Called by compactor threads under the lock of
//! `agenda::book`: no I/O.

use crate::compaction::pick::{JobState, Pick, Policy, pick};
use crate::engine::Engine;
use crate::engine::agenda::jobs::{Job, MergeState, size};
use crate::engine::agenda::pair::Step;
use crate::engine::merge::forecast::bytes_left;
use crate::engine::merge::horizon::Horizon;
use crate::engine::merge::step::would_write;
use crate::format::meta::BoundKey;
use crate::ids::RunId;
use crate::runs::{Run, SegmentSet};
use crate::sync::Arc;
use crate::sync::clock::Instant;

/// What there is to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Job(usize),
    /// Nothing until a job has come further.
    Later,
    Nothing,
}

/// The job to take a step of, `now`. Ends the request of which nothing is left to do.
pub(crate) fn choose(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    (idle, now): (bool, Instant),
    horizon: &Horizon,
) -> Option<usize> {
    let background = engine.core.options.compaction_threads > 0;
    // In turns: neither a request nor what goes on beside it is to wait for the other's end.
    let request_first = !background || state.steps.is_multiple_of(2);
    let requested = |state: &mut MergeState| choose_requested(engine, state, set, horizon);
    let first = if request_first { requested(state) } else { None };
    if first.is_some() {
        return first;
    }
    if background && let Some(at) = choose_unasked(engine, state, set, idle, now) {
        return Some(at);
    }
    // Behind what is due: where there is always something, merging each flush down would take its
    // turns, and the oldest run's merge would never end (D50).
    if background
        && state.toll.is_due()
        && let Some(at) = choose_unasked(engine, state, set, true, now)
    {
        return Some(at);
    }
    if !request_first && let Some(at) = requested(state) {
        return Some(at);
    }
    if idle && background && state.request.is_none() {
        let left_alone = state.failures.left_alone(set, now);
        let is_free =
            |run: &Run| !left_alone.iter().any(|job| job.newer == run.id || job.older == run.id);
        let step = Step::alone(wasteful_run(engine, state, set, &set.runs, horizon, is_free)?);
        return Some(state.begin(step));
    }
    None
}

/// As [`choose`], for the background, which leaves alone what has failed until its time
/// has come.
pub(crate) fn choose_unasked(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    down: bool,
    now: Instant,
) -> Option<usize> {
    let waits = |job: &Job| job.running || state.failures.is_waiting(&job.step, now);
    let jobs = state.jobs.iter().map(|job| job.state(set, waits(job)));
    let jobs: Vec<_> = jobs.chain(state.failures.left_alone(set, now)).collect();
    pick_among(engine, state, &set.runs, &jobs, down)
}

/// As [`choose`], for the request at hand.
fn choose_requested(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    horizon: &Horizon,
) -> Option<usize> {
    let request = state.request.as_ref()?;
    let newest = request.newest;
    let extent = request.extent.clone();
    // What was flushed since the request came is not its business, or it might never end.
    let begin = set.runs.partition_point(|run| run.id > newest);
    let runs = &set.runs[begin..];
    let choice = match &extent.0 {
        Some((from, to)) => choose_in(engine, state, set, runs, (from, to.as_ref()), horizon),
        None => choose_all(engine, state, set, runs, horizon),
    };
    let several = runs.len() > 1;
    let chosen = match choice {
        Choice::Job(at) => {
            // Also where it was begun in the background: how its steps go is the request's to
            // tell from now on, or it might wait for one that goes on failing.
            state.jobs[at].asked = state.asked();
            Some(at)
        }
        // A step may be running of which more is left to do, or which fails.
        Choice::Nothing if !state.jobs.iter().any(|job| state.concerns(job, several)) => {
            if extent.is_everything() {
                state.failures.forget_done(newest);
            }
            state.end_request(Ok(()));
            return None;
        }
        Choice::Later | Choice::Nothing => None,
    };
    let left = bytes_left(engine, state, set, runs, &extent, horizon);
    if let Some(asked) = state.asked() {
        asked.set_left(left);
    }
    chosen
}

/// For everything in `runs`: down to one run, without what nobody needs.
fn choose_all(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    runs: &[Arc<Run>],
    horizon: &Horizon,
) -> Choice {
    let others = |job: &Job| !state.concerns(job, runs.len() > 1);
    let jobs = state.jobs.iter().map(|job| job.state(set, job.running || others(job)));
    let jobs: Vec<_> = jobs.collect();
    if let Some(at) = pick_among(engine, state, runs, &jobs, true) {
        return Choice::Job(at);
    }
    if runs.len() > 1 {
        return Choice::Later;
    }
    match wasteful_run(engine, state, set, runs, horizon, |_| true) {
        Some(run) => Choice::Job(state.begin(Step::alone(run))),
        None => Choice::Nothing,
    }
}

/// What the policy says of `runs`, which are some or all of the set's, and of `jobs`, which
/// begin with those of the book.
fn pick_among(
    engine: &Engine,
    state: &mut MergeState,
    runs: &[Arc<Run>],
    jobs: &[JobState],
    down: bool,
) -> Option<usize> {
    // Each job that has begun keeps parts of two segments in vain, until it is done with them.
    if engine.core.is_room_tight() {
        let begun = jobs[..state.jobs.len()].iter().enumerate();
        let waiting = begun.filter(|(_, job)| !job.running);
        if let Some((at, _)) = waiting.min_by_key(|(_, job)| job.remaining_bytes) {
            return Some(at);
        }
        if state.jobs.iter().any(|job| job.running) {
            return None;
        }
    }
    let sizes: Vec<_> = runs.iter().map(|run| size(run)).collect();
    let space_amp_target = match engine.core.needs_room() {
        true => 1.0,
        false => engine.core.options.space_amp_target,
    };
    let policy = Policy { space_amp_target, down };
    match pick(&sizes, jobs, &policy, state.steps)? {
        Pick::Continue(at) => Some(at),
        Pick::Start { newer, older } => {
            let step = Step { newer: Some(newer), ..Step::alone(older) };
            Some(state.begin(step))
        }
    }
}

/// For a range: down through `runs`, newest first.
fn choose_in(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    runs: &[Arc<Run>],
    (from, to): (&BoundKey, Option<&BoundKey>),
    horizon: &Horizon,
) -> Choice {
    let is_its = |job: &Job| !job.running && state.is_asked_for(job);
    if let Some(at) = state.jobs.iter().position(is_its) {
        return Choice::Job(at);
    }
    let holds = |run: &Arc<Run>| !run.between(Some(from), to).is_empty();
    let Some(newest) = runs.iter().position(holds) else { return Choice::Nothing };
    let run = &runs[newest];
    let begin =
        |older: RunId| Step { from: Some(from.clone()), to: to.cloned(), ..Step::alone(older) };
    // The rest of the way down there may be nothing in the range: then it stays here.
    let below = &runs[newest + 1..];
    let step = match below.first().filter(|_| below.iter().any(holds)) {
        Some(older) => {
            let pair = [run.id, older.id];
            pair.iter().for_each(|run| state.clear_way(*run));
            if pair.iter().any(|run| state.is_busy(*run)) {
                return Choice::Later;
            }
            Step { newer: Some(run.id), ..begin(older.id) }
        }
        None => {
            let step = begin(run.id);
            let tried = state.rewritten.iter().any(|(id, _)| *id == run.id);
            if tried || !would_write(engine, set, &step, horizon) {
                return Choice::Nothing;
            }
            state.clear_way(run.id);
            if state.is_busy(run.id) {
                return Choice::Later;
            }
            state.rewritten.push((run.id, horizon.lowest()));
            step
        }
    };
    Choice::Job(state.begin(step))
}

/// A run that holds so much of no use that it is to be rewritten by itself. Once for a
/// request, and once for as long as the horizon stays where it is.
fn wasteful_run(
    engine: &Engine,
    state: &mut MergeState,
    set: &SegmentSet,
    runs: &[Arc<Run>],
    horizon: &Horizon,
    is_free: impl Fn(&Run) -> bool,
) -> Option<RunId> {
    let asked = state.request.is_some();
    let wasteful = |run: &&Arc<Run>| {
        let same = |at| asked || at == horizon.lowest();
        is_free(run)
            && !state.is_busy(run.id)
            && !state.rewritten.iter().any(|&(id, at)| id == run.id && same(at))
            && would_write(engine, set, &Step::alone(run.id), horizon)
    };
    let id = runs.iter().find(wasteful)?.id;
    state.rewritten.push((id, horizon.lowest()));
    Some(id)
}
