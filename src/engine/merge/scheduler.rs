//! Which merge is next, who works on it, and what a caller may ask of merging: a range now, a
//! pause, a look at the progress.
//!
//! Compactor threads run [`run_compactor`]: ask for a step (`choose`), carry it out, report, ask
//! again. The foreground never waits here unless it asked for a compaction. The one lock is
//! held for a choice, never across I/O.
//!
//! | who waits | at most for | shown by |
//! |---|---|---|
//! | a close | what a merge has read ahead, or the sync of one segment | `a_close_ends_a_merge_before_it_syncs_what_it_wrote` |
//! | a cancelled request, a pause | the same, of the request's own steps | `a_cancelled_request_ends_also_in_a_pause` |
//! | a request | the steps under way, one a thread; earlier requests | `a_request_does_not_wait_for_a_retry` |
//! | a job that failed | its own back-off alone | `what_has_failed_waits_by_itself` |
//! | a put, a get, a flush | nothing of this | `nothing_waits_for_a_merge_wherever_it_stands` |

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::agenda::jobs::{Extent, MergeState, Request, RequestProgress};
use crate::engine::agenda::pair::{Progress, Step};
use crate::engine::merge::choose::choose;
use crate::engine::merge::horizon::Horizon;
use crate::engine::merge::step::merge_step;
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::meta::BoundKey;
use crate::ids::RunId;
use crate::runs::{SegmentSet, raw_bytes};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::channel::{Receiver, bounded};
use crate::sync::clock::Instant;
use crate::sync::{Arc, lock, lock_sound, wait_timeout};

/// How long nothing may have been written for the foreground to count as idle, in milliseconds.
const IDLE_MS: u64 = 1_000;

/// Data that adds a millisecond to that.
const IDLE_BYTES_PER_MS: u64 = 200 << 10;

/// How often a thread without work looks after what nobody tells it about, in milliseconds.
const TICK_MS: u64 = 500;

/// What a compactor thread does next.
enum Next {
    Step { job: u64, step: Step, asked: Option<Arc<RequestProgress>> },
    Wait(Duration),
    Stop,
}

/// The loop of a compactor thread.
pub(crate) fn run_compactor(engine: &Engine) {
    let core = &engine.core;
    loop {
        // Before the lock: the manifest may have to be asked.
        let horizon = Horizon::read(engine);
        // After a panic under it there is nothing to choose by. The thread that panicked has
        // answered those that wait.
        let Ok(mut state) = lock_sound(&core.merges.state) else { return };
        match next(engine, &mut state, &horizon) {
            Next::Stop => return,
            Next::Wait(timeout) => {
                drop(wait_timeout(&core.merges.changed, state, timeout));
            }
            Next::Step { job, step, asked } => {
                drop(state);
                let stop =
                    || core.is_closed() || asked.as_ref().is_some_and(|asked| asked.is_cancelled());
                let read = AtomicU64::new(0);
                let result = merge_step(engine, &step, &stop, &read);
                let read = read.into_inner();
                // What is of no use is read again, and is still left to do until then.
                let of_use = matches!(result, Ok(Progress::At(_) | Progress::Done));
                if let Some(asked) = asked.filter(|_| of_use) {
                    asked.bytes_done.fetch_add(read, Ordering::Relaxed);
                }
                charge(engine, read);
                conclude(engine, job, result);
            }
        }
    }
}

fn next(engine: &Engine, state: &mut MergeState, horizon: &Horizon) -> Next {
    let core = &engine.core;
    if core.is_closed() {
        state.end_all(&Error::Closed);
        return Next::Stop;
    }
    let tick = Next::Wait(Duration::from_millis(TICK_MS));
    state.end_cancelled();
    if let Some(stopped) = core.stopped() {
        // Nothing is merged any more, so nobody is to wait for it.
        state.end_all(&stopped);
        return tick;
    }
    if core.merges.paused.load(Ordering::Relaxed) {
        return tick;
    }
    let now = Instant::now();
    let view = core.view.load_full();
    let set = &view.segments;
    state.forget_gone(set);
    state.take_request();
    let idle = is_idle(engine, state, set, now);
    take_toll(engine, state, set);
    let chosen = choose(engine, state, set, (idle, now), horizon);
    let debt = state.jobs.iter().map(|job| job.remaining(set)).sum();
    core.merges.debt_bytes.store(debt, Ordering::Relaxed);
    core.merges_are_chosen();
    let Some(at) = chosen else {
        if core.options.compaction_threads > 0 {
            let MergeState { jobs, failures, .. } = state;
            let begun: Vec<_> = jobs.iter().map(|job| &job.step).collect();
            failures.forget_unwanted(&begun, now);
        }
        let more = state.request.is_none() && !state.waiting.is_empty();
        let next_look = now + Duration::from_millis(TICK_MS);
        let next_try = state.failures.next_try(now).unwrap_or(next_look);
        let wait = if more { Duration::ZERO } else { next_look.min(next_try) - now };
        return Next::Wait(wait);
    };
    state.steps += 1;
    let job = &mut state.jobs[at];
    job.running = true;
    Next::Step { job: job.id, step: job.step.clone(), asked: job.asked.clone() }
}

/// Whether nothing has been committed for a while: for longer the more there is, because
/// merging all of it down costs in proportion, and the next pause may come as soon.
fn is_idle(engine: &Engine, state: &mut MergeState, set: &SegmentSet, now: Instant) -> bool {
    let visible = engine.visible();
    if state.idle.0 != visible {
        state.idle = (visible, now);
    }
    let bytes: u64 = set.runs.iter().map(|run| run.bytes()).sum();
    let enough_ms = IDLE_MS + bytes / IDLE_BYTES_PER_MS;
    now.duration_since(state.idle.1) >= Duration::from_millis(enough_ms)
}

/// Has reads pay for the runs that they have met since the last look.
fn take_toll(engine: &Engine, state: &mut MergeState, set: &SegmentSet) {
    let stats = engine.core.cache.stats();
    let bytes = state.known_bytes.sum(set, |run| run.segments.iter().map(raw_bytes).sum());
    state.toll.look(stats.hits.wrapping_add(stats.misses), set.runs.len(), bytes);
}

/// Charges what a step has read to what reads have paid.
fn charge(engine: &Engine, bytes: u64) {
    if let Ok(mut state) = lock_sound(&engine.core.merges.state) {
        state.toll.charge(bytes);
    }
}

/// Takes the outcome of a step in.
fn conclude(engine: &Engine, id: u64, result: Result<Progress>) {
    let core = &engine.core;
    let view = core.view.load_full();
    let Ok(mut state) = lock_sound(&core.merges.state) else { return };
    let at = state.jobs.iter().position(|job| job.id == id).expect("a running job stays");
    state.jobs[at].running = false;
    let mut failed = None;
    match result {
        Ok(progress) => advance(engine, &mut state, at, progress),
        Err(error) => {
            let job = state.jobs[at].clone();
            let now = Instant::now();
            failed = Some((error.clone(), job.step.clone()));
            let damaged = state.failures.add(&job.step, &error, &view.segments, now);
            // What has failed may be tried again.
            state.rewritten.retain(|(run, _)| !job.step.is_about(*run));
            if damaged || job.asked.is_some() {
                state.jobs.remove(at);
            }
            // Another's failure is not the request's: it has runs and tries of its own.
            if state.is_asked_for(&job) {
                state.end_request(Err(error));
            }
        }
    }
    drop(state);
    core.merges.changed.notify_all();
    if let Some((Error::StorageFull { .. }, _)) = failed {
        core.no_room_was_left();
    }
    if let Some((error, step)) = failed {
        event!(warn, %error, ?step, "a merge failed");
    }
}

/// As [`conclude`], for a step that did not fail.
fn advance(engine: &Engine, state: &mut MergeState, at: usize, progress: Progress) {
    let merges = &engine.core.counters.merges;
    let over = match progress {
        Progress::At(frontier) => {
            state.failures.succeeded(&state.jobs[at].step);
            state.jobs[at].step.from = Some(frontier);
            false
        }
        Progress::Stale | Progress::Stopped => false,
        Progress::Done | Progress::Gone => {
            let step = &state.jobs[at].step;
            state.failures.succeeded(step);
            let merged = progress == Progress::Done && step.newer.is_some();
            merges.jobs.fetch_add(u64::from(merged), Ordering::Relaxed);
            true
        }
    };
    let job = &state.jobs[at];
    // Nobody may be left to continue what was begun for a request that has ended.
    let ended = job.asked.is_some() && !state.is_asked_for(job);
    if over || ended || job.is_cancelled() {
        state.jobs.remove(at);
    }
}

/// Asks for a compaction of everything written so far, or of a range of it. The reply comes
/// when it is over.
pub(crate) fn request_compaction(
    engine: &Engine,
    range: Option<(BoundKey, Option<BoundKey>)>,
) -> Result<(Arc<RequestProgress>, Receiver<Result<()>>)> {
    engine.core.refuse_early()?;
    engine.flush()?;
    let (reply, answer) = bounded(1);
    let set = Arc::clone(&engine.core.view.load().segments);
    let newest = set.runs.first().map_or(RunId(0), |run| run.id);
    let extent = Extent(range);
    let bytes = set.runs.iter().map(|run| extent.raw_bytes(run)).sum();
    let progress = Arc::new(RequestProgress::new(bytes));
    let request = Request { extent, newest, progress: Arc::clone(&progress), reply };
    lock(&engine.core.merges.state).waiting.push(request);
    engine.core.merges.changed.notify_all();
    // The threads may have ended before they could see it.
    engine.core.refuse_early()?;
    Ok((progress, answer))
}

/// Lets no merge begin a further step until the same is called with `false`.
pub(crate) fn pause_compaction(engine: &Engine, paused: bool) {
    if engine.core.is_forked() {
        return;
    }
    engine.core.merges.paused.store(paused, Ordering::Relaxed);
    engine.core.merges.wake();
}

/// Makes a request end where it is.
pub(crate) fn cancel_compaction(engine: &Engine, progress: &RequestProgress) {
    if engine.core.is_forked() {
        return;
    }
    progress.cancel();
    engine.core.merges.wake();
}

#[cfg(test)]
mod tests;
