//! Which pair of runs is merged next: a pure function of sizes.
//!
//! No thread, no clock, no file, and no memory of its own: the engine calls [`pick`] before each
//! step with what there is, from whichever compactor thread is free, under the lock that orders
//! them. A step writes about one segment; a job, the whole of one pair, is many steps, and between
//! any two of them another job may come first. In tests, `simulate` runs the same function over
//! sizes alone; D20 to D22 say what was weighed.
//!
//! # What may start
//!
//! A pair of neighbours, neither in a job. Of all that may, and all that has begun, the least work
//! comes first, so that small merges, which keep the number of runs low, never wait for large ones.
//!
//! 1. *Upper runs*, all but the oldest: 1.75 times the newer is the older, or more. By proportion
//!    and never by cost: taking whatever is cheapest merges each flush into the same run, over and
//!    over, at a cost that grows with the square of the data.
//! 2. *Small pairs*, of one segment or less, cost little beside the flushes that made them: a
//!    quarter is enough. Crumbs are merged whatever the proportion.
//! 3. *The oldest run* is large, and lazy. The space above it swings between little and what makes
//!    it due; the target is for the mean, so it is due at 1.1 times `space_amp_target - 1` of it.
//!    Then what is above is gathered first (the runs above an upper one come to 0.35 of it), since
//!    one pass over the oldest run costs the same however much it takes in; and the last of them
//!    is merged into it. If merging is behind there is always more to gather: at three times
//!    `space_amp_target - 1` it begins as it is.
//! 4. *Down*, in a pause or when reads have paid for it: any pair, down to one run.
//!
//! A tombstone weighs as much as what it may remove, an entry of ordinary size in the run below. So
//! a run full of tombstones comes early, in proportion to the space that it may free, and deleting
//! little from a large run does not rewrite it.
//!
//! While a job lasts its runs are of no size that means anything: the newer shrinks, the older
//! grows. So nothing is judged by them one by one; they count only in sums, which hardly change.
//! After a restart the jobs are forgotten, and what is left of a pair is two runs like any other.

use crate::ids::RunId;

/// A run as [`pick`] sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSize {
    pub(crate) id: RunId,
    pub(crate) bytes: u64,
    /// How many of the entries are tombstones.
    pub(crate) tombstones: u64,
    pub(crate) entries: u64,
}

/// A job that has begun: while it lasts both runs stay, the newer shrinks, the older grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobState {
    pub(crate) newer: RunId,
    pub(crate) older: RunId,
    /// What is still to be read of both.
    pub(crate) remaining_bytes: u64,
    /// A thread is at a step of it.
    pub(crate) running: bool,
}

/// What is wanted, beside few runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How large all runs may be together, in sizes of the oldest, before that is merged into.
    pub(crate) space_amp_target: f64,
    /// Merge down to one run. That may rewrite everything for little, so it is for a pause long
    /// enough to do it in, or for reads that have paid for it.
    pub(crate) down: bool,
}

/// What to take the next step of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A job that has not begun. The runs are neighbours, and in no other job.
    Start { newer: RunId, older: RunId },
    /// The job with this index.
    Continue(usize),
}

/// The proportions. There is one set; the simulator varies them to show the roads not taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A pair may start when this many times the newer is at least the older.
    pub(super) ratio: f64,
    /// The same for a pair of at most [`SMALL_BYTES_MAX`].
    pub(super) ratio_small: f64,
    /// The oldest run is due when all above it comes to this share of what the target allows.
    pub(super) due: f64,
    /// The same share, from which on it is merged into without gathering.
    pub(super) overdue: f64,
    /// While the oldest run is due: an upper run takes in its neighbour when all that is newer
    /// comes to this share of it.
    pub(super) gather: f64,
    /// One step of this many goes to the job with the most work, so that it cannot starve.
    pub(super) fair: u64,
}

pub(super) const RULES: Rules =
    Rules { ratio: 1.75, ratio_small: 4.0, due: 1.1, overdue: 3.0, gather: 0.35, fair: 5 };

/// A pair of this size takes one step, as long as a few syncs.
const SMALL_BYTES_MAX: u64 = 16 << 20;
/// A pair of this size takes less time than the sync behind it.
const CRUMB_BYTES_MAX: u64 = 64 << 10;
/// A target closer to 1 would rewrite the oldest run for each flush.
const SPACE_AMP_MARGIN_MIN: f64 = 0.05;

/// What the next step works on, or `None` if nothing is to be done until runs or jobs change.
///
/// `runs` are newest first. `steps_done` counts steps, of all threads; it only decides whose turn
/// it is. Jobs whose step is running are left to their threads.
pub(crate) fn pick(
    runs: &[RunSize],
    jobs: &[JobState],
    policy: &Policy,
    steps_done: u64,
) -> Option<Pick> {
    pick_by(&RULES, runs, jobs, policy, steps_done)
}

pub(super) fn pick_by(
    rules: &Rules,
    runs: &[RunSize],
    jobs: &[JobState],
    policy: &Policy,
    steps_done: u64,
) -> Option<Pick> {
    let shape = Shape { rules, runs, jobs, policy };
    let start = |pair: &[RunSize]| Pick::Start { newer: pair[0].id, older: pair[1].id };
    let waiting = || jobs.iter().enumerate().filter(|(_, job)| !job.running);
    // Only a job that has begun can starve: one that has not holds nothing, and if it stays the
    // larger its runs will be fewer and better proportioned when it begins. The exception is the
    // oldest run, the only one whose merge brings the space back.
    if rules.fair > 0 && steps_done % rules.fair == rules.fair - 1 {
        let largest = waiting().max_by_key(|(_, job)| job.remaining_bytes);
        let largest = largest.map(|(index, _)| Pick::Continue(index));
        if let Some(pick) = shape.overdue().map(start).or(largest) {
            return Some(pick);
        }
    }
    let smallest = waiting().min_by_key(|(_, job)| job.remaining_bytes);
    match (smallest, shape.cheapest()) {
        (Some((index, job)), Some((bytes, _))) if job.remaining_bytes <= bytes => {
            Some(Pick::Continue(index))
        }
        (_, Some((_, pair))) => Some(start(pair)),
        (Some((index, _)), None) => Some(Pick::Continue(index)),
        (None, None) => None,
    }
}

/// What [`pick`] was asked about.
struct Shape<'a> {
    rules: &'a Rules,
    runs: &'a [RunSize],
    jobs: &'a [JobState],
    policy: &'a Policy,
}

impl<'a> Shape<'a> {
    fn free(&self, run: &RunSize) -> bool {
        !self.jobs.iter().any(|job| job.newer == run.id || job.older == run.id)
    }

    /// How much of what the target allows above the oldest run is there: 1 is all of it.
    fn pressure(&self) -> f64 {
        let Some((oldest, upper)) = self.runs.split_last() else { return 0.0 };
        let margin = (self.policy.space_amp_target - 1.0).max(SPACE_AMP_MARGIN_MIN);
        let above: f64 = upper.iter().map(|run| weight(run, oldest)).sum();
        above / (margin * oldest.bytes.max(1) as f64)
    }

    /// The oldest pair, if it is free and has waited for too long.
    fn overdue(&self) -> Option<&'a [RunSize]> {
        let pair = self.runs.windows(2).next_back()?;
        let free = pair.iter().all(|run| self.free(run));
        (free && self.pressure() >= self.rules.overdue).then_some(pair)
    }

    /// Of the pairs that may start the one with the fewest bytes, the newest of equals.
    fn cheapest(&self) -> Option<(u64, &'a [RunSize])> {
        let rules = self.rules;
        let oldest = self.runs.last()?;
        let due = self.free(oldest) && self.pressure() >= rules.due;
        let mut best: Option<(u64, &[RunSize])> = None;
        // The weight of everything newer than the pair's older run.
        let mut newer_than_older = 0.0;
        for pair in self.runs.windows(2) {
            let newer = &pair[0];
            let older = &pair[1];
            let newer_than_newer = newer_than_older;
            newer_than_older += weight(newer, oldest);
            if !self.free(newer) || !self.free(older) {
                continue;
            }
            let bytes = newer.bytes + older.bytes;
            let may_gather = |run, all_newer: f64| all_newer > rules.gather * weight(run, oldest);
            let ripe = if older.id == oldest.id {
                due && !may_gather(newer, newer_than_newer)
            } else {
                let ratio = if bytes <= SMALL_BYTES_MAX { rules.ratio_small } else { rules.ratio };
                weight(newer, older) * ratio >= older.bytes as f64
                    || (due && may_gather(older, newer_than_older))
            };
            let may_start = ripe || self.policy.down || bytes <= CRUMB_BYTES_MAX;
            if may_start && best.is_none_or(|(least, _)| bytes < least) {
                best = Some((bytes, pair));
            }
        }
        best
    }
}

/// The bytes of `run`, and of what its tombstones may remove from `older`.
fn weight(run: &RunSize, older: &RunSize) -> f64 {
    let entry_bytes = older.bytes as f64 / older.entries.max(1) as f64;
    let removed = run.tombstones.min(older.entries) as f64 * entry_bytes;
    run.bytes as f64 + removed
}

#[cfg(test)]
mod tests;
