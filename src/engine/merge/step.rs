//! One step of a merge: from two runs to the same two runs, with what lies between two frontiers in
//! the older one. On a compactor thread.
//!
//! ```text
//!   key order    a . . . . e . . . . . . f . . . . . . z
//!   X, newer                [==x1==][==x2==][==x3==]
//!   Y, older      [==y1==]  [====y2====]   [==y3==]
//!                           |<- read ---->|
//!   X'                                     [x2 ][=x3==]    x2 is trimmed to what is behind f
//!   Y'            [==y1==]  [==written===] [==y3==]
//! ```
//!
//! 1. Take the pair from the view; if the two are no longer there side by side, the job is
//!    forgotten. Read the horizon: what has been dropped, then snapshots and `visible` together.
//! 2. Plan over the segments from the frontier *e* on (`compaction::plan`). One that nothing in the
//!    other run overlaps is *moved*, unless rewriting it is worth more (D25).
//! 3. Read X and Y from there, 256 KiB at a time and past the block cache, merge, leave out what
//!    nobody can see, and tombstones too where no older run has a key in the range. Write up to one
//!    segment, or until eight have been read; end at the next user key, the new frontier *f* (I32).
//!    A close or a cancelled request ends the step here, before the sync.
//! 4. Sync the segment, and count: entries read are entries written, shadowed or dropped (I30),
//!    while the inputs are still there.
//! 5. Open it, and sync the directory; warm its blocks (`warm`, D29).
//! 6. Under the manifest's lock: look that the pair is still the one that was read (a keyspace's
//!    segments may have gone, tables been rebuilt; if so, remove the output and begin again);
//!    append and sync one edit; publish (I31). X' is X from *f* on. Y' is Y before *e*, then what
//!    was moved and written, then Y from *f* on. Both are valid, X' is newer than Y' for each key
//!    (I6), and a reader finds the same as before (I7).
//! 7. Hand over the segments that no run refers to any more. One that reaches past *f* stays,
//!    trimmed.
//!
//! A crash anywhere costs that one segment. Between steps nothing is held, so another job may come
//! first, and a flush waits for the manifest for one edit at most. When X has nothing left it is
//! gone, and what Y has behind that stays as it is. A run of which much is of no use (tombstones at
//! the bottom, a dropped keyspace) is rewritten by itself, when idle or asked for.

mod range;

use self::range::{Merged, Stop, Tally, Watch};
use crate::compaction::plan::{Joining, Piece, Plan, plan};
use crate::engine::agenda::pair::{Entries, Pair, Progress, Step};
use crate::engine::manifest::{self, append_edit, publish_segments, settle_manifest};
use crate::engine::merge::horizon::Horizon;
use crate::engine::merge::step::range::merge_range;
use crate::engine::merge::warm::warm;
use crate::engine::outputs::{Groups, KEYSPACE_CUT_BYTES, Outputs, open_finished, remove_segment};
use crate::engine::{Core, Engine};
use crate::error::Result;
use crate::event::scope;
use crate::format::edit::Change;
use crate::format::meta::BoundKey;
use crate::iter::two_way::TwoWay;
use crate::runs::source::RunSource;
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::segment::FinishedSegment;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeSet;

/// Carries one step out. After an error nothing has changed; what was written is removed, now
/// or when the manifest is known not to name it. Adds what it read to `bytes_read`, whatever
/// becomes of it.
pub(crate) fn merge_step(
    engine: &Engine,
    step: &Step,
    stop: &dyn Fn() -> bool,
    bytes_read: &AtomicU64,
) -> Result<Progress> {
    let core = &engine.core;
    let Some(pair) = Pair::find(&core.view.load_full().segments, step) else {
        return Ok(Progress::Gone);
    };
    let horizon = Horizon::read(engine);
    let (plan, finished) = pair.plan(core, step, &horizon);
    if finished {
        return Ok(Progress::Done);
    }
    settle_manifest(core)?;
    let _scope = scope!("merge_step", newer = ?step.newer, older = ?step.older);
    let mut outputs = Outputs::new(core, pair.below.is_empty());
    let to = plan.to.as_ref().or(step.to.as_ref());
    let watch = Watch { told: stop, bytes_read };
    let written = write_step(engine, &pair, plan.from.as_ref(), to, &horizon, &mut outputs, watch);
    // What has not been handed over.
    outputs.abandon();
    let (Merged { stop, tally }, written) = written?;
    let frontier = match stop {
        Stop::Told => return Ok(Progress::Stopped),
        Stop::Before(key) => Some(key),
        Stop::End => to.cloned(),
    };
    tally.check(&written);
    let moved = plan.moved.len();
    let installed = install_step(engine, step, &pair, plan, &written, frontier.as_ref())?;
    if !installed {
        return Ok(Progress::Stale);
    }
    count(core, &tally, &written, moved);
    Ok(match frontier {
        Some(frontier) if step.to.as_ref() != Some(&frontier) => Progress::At(frontier),
        _ => Progress::Done,
    })
}

/// Merges from `from` on, if there is anything to merge, and makes what was written durable.
fn write_step(
    engine: &Engine,
    pair: &Pair,
    from: Option<&BoundKey>,
    to: Option<&BoundKey>,
    horizon: &Horizon,
    outputs: &mut Outputs<'_>,
    watch: Watch<'_>,
) -> Result<(Merged, Vec<FinishedSegment>)> {
    let mut merged = match from {
        Some(from) => merge_range(engine, pair, from, to, horizon, outputs, watch)?,
        // Everything is moved.
        None => Merged { stop: Stop::End, tally: Tally::default() },
    };
    // What is being written may take long to become durable.
    if (watch.told)() {
        merged.stop = Stop::Told;
    }
    let written = match merged.stop {
        Stop::Told => Vec::new(),
        Stop::Before(_) | Stop::End => outputs.finish()?,
    };
    Ok((merged, written))
}

/// Whether a step would write anything, or only move references, or nothing.
pub(crate) fn would_write(
    engine: &Engine,
    set: &SegmentSet,
    step: &Step,
    horizon: &Horizon,
) -> bool {
    let pair = Pair::find(set, step);
    pair.is_some_and(|pair| pair.plan(&engine.core, step, horizon).0.from.is_some())
}

/// Makes a step durable and visible. Returns whether the runs were still those that it read; if
/// not, nothing has changed. `frontier` is where the step ended, `None` at the end of the runs.
fn install_step(
    engine: &Engine,
    step: &Step,
    pair: &Pair,
    plan: Plan<SegmentRef>,
    written: &[FinishedSegment],
    frontier: Option<&BoundKey>,
) -> Result<bool> {
    let core = &engine.core;
    let remove = || written.iter().for_each(|segment| remove_segment(core, segment.number));
    let opened = open_finished(core, written).and_then(|opened| {
        if !written.is_empty() {
            core.sync_dir()?;
        }
        Ok(opened)
    });
    let mut fresh = plan.moved;
    let opened = opened.inspect_err(|_| remove())?;
    warm(core, pair.runs(), &opened);
    fresh.extend(opened);
    let from = step.from.as_ref();
    let newer = pair.newer.as_ref().and_then(|run| run.with_between(from, frontier, Vec::new()));
    let older = pair.older.with_between(from, frontier, fresh);
    let after = Pair::after(newer, older);
    let mut manifest = manifest::locked(core).inspect_err(|_| remove())?;
    if !pair.is_in(&core.view.load_full().segments) {
        drop(manifest);
        remove();
        return Ok(false);
    }
    let change = Change::ReplaceRuns {
        remove: pair.runs().map(|run| run.id).collect(),
        add: after.iter().map(|run| run.meta()).collect(),
    };
    append_edit(core, &mut manifest, vec![change], written)?;
    publish_segments(core, |set| pair.replaced_in(set, &after));
    drop(manifest);
    core.free(pair.freed(&after));
    Ok(true)
}

impl Pair {
    /// What to do from the frontier on, and whether that is nothing.
    fn plan(&self, core: &Core, step: &Step, horizon: &Horizon) -> (Plan<SegmentRef>, bool) {
        let from = step.from.as_ref();
        let to = step.to.as_ref();
        let parts = |run: &Arc<Run>| run.between(from, to);
        let newer = self.newer.as_ref().map(parts).unwrap_or_default();
        let mut pieces = newer.to_vec();
        let newer_left = !pieces.is_empty();
        pieces.extend(parts(&self.older));
        let span = pieces.iter().map(|part| &part.first).min().cloned();
        let bottom = span.is_some_and(|first| self.is_bottom(&first, to));
        let mut groups = Groups::new(core);
        let pieces = pieces.into_iter().map(|part| {
            let rewrite =
                self.is_mostly_trimmed(&part) || horizon.is_worth_rewriting(&part, bottom);
            let group = groups.of(part.first.keyspace);
            Piece::new(part, rewrite, group)
        });
        // A run by itself is rewritten for what it holds in vain; its small segments stay as
        // they are, or the same ones might come out again and again.
        let joined_bytes = core.segment_bytes() / 4;
        let small_bytes = if self.newer.is_some() { joined_bytes } else { 0 };
        let joining = Joining { small_bytes, keyspace_cut_bytes: KEYSPACE_CUT_BYTES };
        let plan = plan(pieces.collect(), joining);
        // With nothing left above, the rest of the older run stays as it is.
        let finished = !newer_left && plan.from.is_none();
        (plan, finished)
    }

    /// Whether a file is kept alive of which the pair needs less than half. A part that is small
    /// because the job's range ends in it is none.
    fn is_mostly_trimmed(&self, part: &SegmentRef) -> bool {
        let half = part.segment.properties().stored_bytes / 2;
        let same = |other: &&SegmentRef| other.segment.number() == part.segment.number();
        let parts = || self.runs().flat_map(|run| &run.segments).filter(same);
        part.bytes < half && parts().map(|part| part.bytes).sum::<u64>() < half
    }

    /// Whether nothing older than the pair has keys from `from` to before `to`.
    fn is_bottom(&self, from: &BoundKey, to: Option<&BoundKey>) -> bool {
        self.below.iter().all(|run| run.between(Some(from), to).is_empty())
    }

    /// The entries of both runs from `from` to before `to`.
    fn entries(&self, from: &BoundKey, to: Option<&BoundKey>) -> Result<Entries> {
        let part = |run: Option<&Arc<Run>>, id| {
            let segments = run.map_or_else(Vec::new, |run| run.between(Some(from), to));
            RunSource::new(Arc::new(Run { id, segments }), None)
        };
        let id = self.older.id;
        Ok(TwoWay::new(part(self.newer.as_ref(), id)?, part(Some(&self.older), id)?))
    }

    /// Newest first.
    fn runs(&self) -> impl Iterator<Item = &Arc<Run>> + Clone {
        self.newer.iter().chain([&self.older])
    }

    /// What a step leaves of the pair, newest first. What is left of the newer run alone may take
    /// the place of both.
    fn after(newer: Option<Run>, older: Option<Run>) -> Vec<Arc<Run>> {
        newer.into_iter().chain(older).map(Arc::new).collect()
    }

    /// Whether a set has just these runs, side by side.
    fn is_in(&self, set: &SegmentSet) -> bool {
        let first = self.runs().next().expect("a pair has an older run");
        let at = set.runs.iter().position(|run| Arc::ptr_eq(run, first));
        at.is_some_and(|at| {
            let there = set.runs[at..].iter().take(self.runs().count());
            there.map(Arc::as_ptr).eq(self.runs().map(Arc::as_ptr))
        })
    }

    fn replaced_in(&self, set: &SegmentSet, after: &[Arc<Run>]) -> SegmentSet {
        let ours = |run: &Arc<Run>| self.runs().any(|other| Arc::ptr_eq(other, run));
        let at = set.runs.iter().position(ours).unwrap_or(set.runs.len());
        let (above, rest) = set.runs.split_at(at);
        let below = rest.iter().filter(|run| !ours(run));
        SegmentSet { runs: above.iter().chain(after).chain(below).cloned().collect() }
    }

    /// Segments that no run refers to after the step.
    fn freed(&self, after: &[Arc<Run>]) -> Vec<Arc<crate::segment::Segment>> {
        let left: BTreeSet<_> = after.iter().flat_map(|run| run.numbers()).collect();
        let parts = self.runs().flat_map(|run| &run.segments);
        parts
            .map(|part| &part.segment)
            .filter(|segment| !left.contains(&segment.number()))
            .cloned()
            .collect()
    }
}

fn count(core: &Core, tally: &Tally, written: &[FinishedSegment], moved: usize) {
    let entries: u64 = written.iter().map(|segment| segment.entries).sum();
    let bytes: u64 = written.iter().map(|segment| segment.bytes).sum();
    let add = |counter: &crate::sync::atomic::AtomicU64, count: u64| {
        counter.fetch_add(count, Ordering::Relaxed);
    };
    let counters = &core.counters.merges;
    add(&counters.steps, 1);
    add(&counters.bytes_in, tally.bytes);
    add(&counters.bytes_out, bytes);
    add(&counters.entries_in, tally.read);
    add(&counters.entries_out, entries);
    add(&counters.moved, moved as u64);
    add(&core.counters.kept_for_snapshots, tally.held);
}

#[cfg(test)]
mod tests;
