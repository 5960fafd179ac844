//! Which pair of runs is merged next: a pure function of sizes.
//!
//! No thread, no clock, no file, and no memory of its own: the engine calls [`pick`] before each
//! step with what there is, from whichever compactor thread is free, under the lock that orders
//! them. A step writes about one segment; a job, the whole of one pair, is many steps, and between
//! any two of them another job may come first. In tests, `simulate` runs the same function over
//! sizes alone; the figures behind the constants are in DESIGN.md, "Which pair is merged".
//!
//! # What may start
//!
//! A pair of neighbours, neither in a job. Of all that may, and all that has begun, the least work
//! comes first, so that small merges, which keep the number of runs low, never wait for large ones.
//!
//! 1. *Upper runs*, all but the oldest: the newer has come to half of the older. By proportion and
//!    never by cost: taking whatever is cheapest merges every flush into the same run, again and
//!    again, at a cost that grows with the square of the data.
//! 2. *Small pairs*, of one segment or less, cost little beside the flushes that made them: a
//!    quarter is enough. Crumbs are merged whatever the proportion.
//! 3. *The oldest run* is large, and lazy: it is due when all above it comes to
//!    `space_amp_target - 1` of it. Then what is above is gathered first (the runs above an upper
//!    one come to 0.35 of it), because one pass over the oldest run costs the same however much it
//!    takes in; and the last of them is merged into it.
//! 4. *Idle*: any pair, down to one run.
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
    /// The foreground is idle: merge down to one run. That may rewrite everything for little, so it
    /// is for a pause long enough to do it in.
    pub(crate) idle: bool,
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
    /// While the oldest run is due: an upper run takes in its neighbour when all that is newer
    /// comes to this share of it.
    pub(super) gather: f64,
    /// One step of so many goes to the job with the most work, so that it cannot starve.
    pub(super) fair: u64,
}

pub(super) const RULES: Rules = Rules { ratio: 2.0, ratio_small: 4.0, gather: 0.35, fair: 5 };

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
    let waiting = || jobs.iter().enumerate().filter(|(_, job)| !job.running);
    // Only a job that has begun can starve: one that has not holds nothing, and if it stays the
    // larger its runs will be fewer and better proportioned when it begins.
    if rules.fair > 0 && steps_done % rules.fair == rules.fair - 1 {
        let largest = waiting().max_by_key(|(_, job)| job.remaining_bytes);
        if let Some((index, _)) = largest {
            return Some(Pick::Continue(index));
        }
    }
    let smallest = waiting().min_by_key(|(_, job)| job.remaining_bytes);
    let start = cheapest_start(rules, runs, jobs, policy);
    match (smallest, start) {
        (Some((index, job)), Some((bytes, _))) if job.remaining_bytes <= bytes => {
            Some(Pick::Continue(index))
        }
        (_, Some((_, pair))) => Some(Pick::Start { newer: pair[0].id, older: pair[1].id }),
        (Some((index, _)), None) => Some(Pick::Continue(index)),
        (None, None) => None,
    }
}

/// Of the pairs that may start the one with the fewest bytes, the newest of equals.
fn cheapest_start<'a>(
    rules: &Rules,
    runs: &'a [RunSize],
    jobs: &[JobState],
    policy: &Policy,
) -> Option<(u64, &'a [RunSize])> {
    let busy = |run: &RunSize| jobs.iter().any(|job| job.newer == run.id || job.older == run.id);
    let (oldest, upper) = runs.split_last()?;
    let margin = (policy.space_amp_target - 1.0).max(SPACE_AMP_MARGIN_MIN);
    let above: f64 = upper.iter().map(|run| weight(run, oldest)).sum();
    let due = !busy(oldest) && above >= margin * oldest.bytes as f64;

    let mut best: Option<(u64, &[RunSize])> = None;
    // The weight of everything newer than the pair's older run.
    let mut newer_than_older = 0.0;
    for pair in runs.windows(2) {
        let (newer, older) = (&pair[0], &pair[1]);
        let newer_than_newer = newer_than_older;
        newer_than_older += weight(newer, oldest);
        if busy(newer) || busy(older) {
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
        let may_start = ripe || policy.idle || bytes <= CRUMB_BYTES_MAX;
        if may_start && best.is_none_or(|(least, _)| bytes < least) {
            best = Some((bytes, pair));
        }
    }
    best
}

/// The bytes of `run`, and of what its tombstones may remove from `older`.
fn weight(run: &RunSize, older: &RunSize) -> f64 {
    let entry_bytes = older.bytes as f64 / older.entries.max(1) as f64;
    let removed = run.tombstones.min(older.entries) as f64 * entry_bytes;
    run.bytes as f64 + removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iter::testing::Random;

    const KIB: f64 = 1024.0;
    const POLICY: Policy = Policy { space_amp_target: 1.25, idle: false };

    /// A run of so many KiB, of entries of 128 bytes.
    fn run(id: usize, kib: f64, tombstones: u64) -> RunSize {
        let bytes = (kib * KIB) as u64;
        RunSize { id: RunId(id as u64), bytes, tombstones, entries: bytes / 128 }
    }

    fn describe(pick: Option<Pick>) -> String {
        match pick {
            None => String::new(),
            Some(Pick::Start { newer, older }) => format!("{}+{}", newer.0, older.0),
            Some(Pick::Continue(index)) => format!("job {index}"),
        }
    }

    /// Runs in MiB, newest first, with their index as id; of jobs the newer's index, the MiB that
    /// remain, and whether a thread is at it. Wants `0+1`, `job 0` or nothing.
    #[track_caller]
    fn check(runs: &[f64], jobs: &[(usize, f64, bool)], idle: bool, want: &str) {
        let runs: Vec<_> = runs.iter().enumerate().map(|(i, mib)| run(i, mib * KIB, 0)).collect();
        let jobs: Vec<_> = jobs.iter().map(job).collect();
        assert_eq!(describe(pick(&runs, &jobs, &Policy { idle, ..POLICY }, 0)), want);
    }

    fn job(&(newer, mib, running): &(usize, f64, bool)) -> JobState {
        let (newer, older) = (RunId(newer as u64), RunId(newer as u64 + 1));
        JobState { newer, older, remaining_bytes: (mib * KIB * KIB) as u64, running }
    }

    #[test]
    fn pairs_by_proportion() {
        check(&[], &[], false, "");
        check(&[64.0], &[], false, "");
        // Two upper runs: the newer has come to half of the older.
        check(&[64.0, 64.0, 9000.0], &[], false, "0+1");
        check(&[64.0, 128.0, 9000.0], &[], false, "0+1");
        check(&[64.0, 129.0, 9000.0], &[], false, "");
        check(&[600.0, 64.0, 9000.0], &[], false, "0+1");
        // Of several the one with the fewest bytes, the newest of equals.
        check(&[400.0, 64.0, 100.0, 9000.0], &[], false, "1+2");
        check(&[64.0, 64.0, 64.0, 9000.0], &[], false, "0+1");
        // Small pairs: a quarter is enough, of the upper runs.
        check(&[3.0, 12.0, 900.0], &[], false, "0+1");
        check(&[3.0, 12.1, 900.0], &[], false, "");
        check(&[3.0, 14.0, 900.0], &[], false, "");
        // Crumbs at once, also into the oldest.
        check(&[0.001, 0.06, 900.0], &[], false, "0+1");
        check(&[0.001, 0.06], &[], false, "0+1");
        check(&[0.001, 0.07, 900.0], &[], false, "");
        check(&[0.0, 0.0], &[], false, "0+1");
    }

    #[test]
    fn the_oldest_run_is_lazy() {
        check(&[249.0, 1000.0], &[], false, "");
        check(&[250.0, 1000.0], &[], false, "0+1");
        // All above it counts, and what is little beside the next is taken along without.
        check(&[40.0, 160.0, 1000.0], &[], false, "");
        check(&[50.0, 200.0, 1000.0], &[], false, "1+2");
        check(&[10.0, 40.0, 200.0, 1000.0], &[], false, "2+3");
        // What is more is gathered first, also where its own proportion would not do.
        check(&[80.0, 180.0, 1000.0], &[], false, "0+1");
        check(&[80.0, 220.0, 1000.0], &[], false, "0+1");
        check(&[20.0, 60.0, 200.0, 1000.0], &[], false, "1+2");
        check(&[80.0, 180.0, 1100.0], &[], false, "");
        // It waits for a job above it whose end is worth waiting for.
        check(&[30.0, 50.0, 200.0, 1000.0], &[(0, 80.0, true)], false, "");
        check(&[30.0, 30.0, 250.0, 1000.0], &[(0, 60.0, true)], false, "2+3");
        // Once it is in a job it is not due again, and what is above is not gathered for it.
        check(&[100.0, 250.0, 999.0, 1000.0], &[(2, 1500.0, true)], false, "");
    }

    #[test]
    fn the_least_work_comes_first() {
        let runs = [64.0, 64.0, 300.0, 320.0, 9000.0];
        check(&runs, &[(2, 620.0, false)], false, "0+1");
        check(&runs, &[(2, 100.0, false)], false, "job 0");
        check(&runs, &[(2, 128.0, false)], false, "job 0");
        check(&runs, &[(2, 100.0, true)], false, "0+1");
        check(&runs, &[(2, 500.0, false), (0, 60.0, false)], false, "job 1");
        check(&runs, &[(2, 500.0, false), (0, 60.0, true)], false, "job 0");
        check(&runs, &[(2, 500.0, true), (0, 60.0, true)], false, "");
        // A neighbour of a job's run is not judged by a size that is about to change.
        check(&[64.0, 1.0, 127.0, 9000.0], &[(1, 3.0, true)], false, "");
    }

    #[test]
    fn idle_merges_down_to_one() {
        check(&[], &[], true, "");
        check(&[64.0], &[], true, "");
        check(&[1.0, 1000.0], &[], true, "0+1");
        check(&[1.0, 100.0, 1000.0], &[], true, "0+1");
        check(&[1.0, 100.0, 1000.0], &[(0, 50.0, false)], true, "job 0");
        check(&[1.0, 100.0, 1000.0], &[(0, 50.0, true)], true, "");
    }

    /// The largest job has every fifth step, however much smaller work there is.
    #[test]
    fn the_largest_job_does_not_starve() {
        let runs: Vec<_> = [64.0, 64.0, 300.0, 320.0, 9000.0, 9000.0]
            .iter()
            .enumerate()
            .map(|(i, mib)| run(i, mib * KIB, 0))
            .collect();
        let jobs = [job(&(2, 100.0, false)), job(&(4, 9000.0, false)), job(&(0, 9.0, true))];
        let picks = |jobs: &[JobState]| {
            (0..10).map(|steps| describe(pick(&runs, jobs, &POLICY, steps))).collect::<Vec<_>>()
        };
        let counted = picks(&jobs).iter().filter(|pick| *pick == "job 1").count();
        assert_eq!(counted, 2);
        // Not while its step is running.
        let jobs = [jobs[0], JobState { running: true, ..jobs[1] }, jobs[2]];
        assert!(picks(&jobs).iter().all(|pick| pick == "job 0"));
    }

    /// A tombstone weighs what it may remove: an ordinary entry of the older run, if there is one.
    #[test]
    fn tombstones_weigh() {
        let check = |runs: &[(f64, u64)], want: &str| {
            let runs: Vec<_> = runs
                .iter()
                .enumerate()
                .map(|(i, &(mib, tombstones))| run(i, mib * KIB, tombstones))
                .collect();
            assert_eq!(describe(pick(&runs, &[], &POLICY, 0)), want, "{runs:?}");
        };
        let mib = 1024 * 1024 / 128;
        // Alone 10 MiB of 128 are not enough, with 60 MiB removed they are.
        check(&[(10.0, 0), (128.0, 0), (9000.0, 0)], "");
        check(&[(10.0, 50 * mib), (128.0, 0), (9000.0, 0)], "");
        check(&[(10.0, 60 * mib), (128.0, 0), (9000.0, 0)], "0+1");
        // The oldest: a quarter of it, written or removed.
        check(&[(10.0, 230 * mib), (1000.0, 0)], "");
        check(&[(10.0, 240 * mib), (1000.0, 0)], "0+1");
        // A few deletes in a large run do not rewrite it, dense as they are.
        check(&[(10.0, 10 * mib), (1000.0, 0)], "");
        // More than there is to remove counts for all of it, once.
        check(&[(1.0, 500 * mib), (100.0, 0), (9000.0, 0)], "0+1");
        check(&[(1.0, 900 * mib), (90.0, 90 * mib), (900.0, 0)], "0+1");
    }

    /// Sizes with entries and tombstones as they come, a few jobs among them.
    fn random_shape(random: &mut Random) -> (Vec<RunSize>, Vec<JobState>) {
        let count = random.below(40);
        let shape = random.below(4);
        let mut runs = Vec::new();
        for id in 0..count {
            let kib = match shape {
                0 => 64.0 * KIB,
                1 => (1u64 << random.below(34)) as f64 / KIB,
                2 => random.below(1 << 20) as f64,
                // Each a little larger than the last, or smaller: what proportion overlooks.
                _ => 1e5 * (0.9 + random.below(2) as f64 / 5.0).powi(id as i32),
            };
            let mut run = run(id, kib, 0);
            run.tombstones = if random.below(3) == 0 { run.entries * 3 / 4 } else { 0 };
            runs.push(run);
        }
        let mut jobs = Vec::new();
        let mut newer = 0;
        while newer + 1 < count {
            if random.below(6) == 0 {
                let mib = random.below(4000) as f64;
                jobs.push(job(&(newer, mib, random.below(2) == 0)));
                newer += 1;
            }
            newer += 1;
        }
        (runs, jobs)
    }

    /// Carries a pick out, as a thread would: a step of 16 MiB, published at its end.
    fn carry_out(pick: Pick, runs: &mut Vec<RunSize>, jobs: &mut Vec<JobState>) {
        let index = match pick {
            Pick::Continue(index) => index,
            Pick::Start { newer, older } => {
                let at = runs.iter().position(|run| run.id == newer).expect("a run that is there");
                assert_eq!(runs[at + 1].id, older, "not adjacent");
                let taken = |job: &JobState| {
                    [job.newer, job.older].iter().any(|id| [newer, older].contains(id))
                };
                assert!(!jobs.iter().any(taken), "a run in two jobs");
                let remaining_bytes = runs[at].bytes + runs[at + 1].bytes;
                jobs.push(JobState { newer, older, remaining_bytes, running: false });
                jobs.len() - 1
            }
        };
        assert!(!jobs[index].running, "a job that a thread is at");
        let job = &mut jobs[index];
        let at = runs.iter().position(|run| run.id == job.newer).expect("a run that is there");
        let step = job.remaining_bytes.min(SMALL_BYTES_MAX);
        let moved = runs[at].bytes * step / job.remaining_bytes.max(1);
        job.remaining_bytes -= step;
        runs[at].bytes -= moved;
        runs[at + 1].bytes += moved;
        if job.remaining_bytes == 0 {
            runs[at + 1].bytes += runs[at].bytes;
            runs[at + 1].entries += runs[at].entries;
            runs[at + 1].tombstones += runs[at].tombstones;
            runs.remove(at);
            jobs.remove(index);
        }
    }

    /// Picks until nothing is left to do; says what went wrong, else how many steps it took.
    fn settle(
        rules: &Rules,
        policy: &Policy,
        runs: &mut Vec<RunSize>,
        mut jobs: Vec<JobState>,
    ) -> Result<u64, String> {
        let total: u64 = runs.iter().map(|run| run.bytes).sum();
        let work = jobs.iter().map(|job| job.remaining_bytes).sum::<u64>();
        let work = work + total * runs.len() as u64;
        let steps_max = 2 * runs.len() as u64 + work / SMALL_BYTES_MAX;
        let mut steps = 0;
        loop {
            match pick_by(rules, runs, &jobs, policy, steps) {
                Some(pick) => carry_out(pick, runs, &mut jobs),
                // The other threads end their steps.
                None if jobs.iter().any(|job| job.running) => {
                    jobs.iter_mut().for_each(|job| job.running = false);
                }
                None => break,
            }
            steps += 1;
            if steps > steps_max {
                return Err(format!("no end in {steps_max} steps"));
            }
        }
        // At rest each upper run but the two newest is twice the next newer, and no pair is crumbs.
        let runs_max = 3.0 + (total.max(1) as f64 / (42.0 * KIB)).log2().max(0.0);
        let runs_max = if policy.idle { 1.0 } else { runs_max };
        if !jobs.is_empty() || runs.len() as f64 > runs_max {
            return Err(format!("at rest, {runs_max}: {runs:?}, {jobs:?}"));
        }
        Ok(steps)
    }

    /// From any shape, with jobs that end some time: picking comes to an end, a run is in one job
    /// at a time, and what is left is few runs, or one where that is wanted.
    #[test]
    fn picking_ends_and_leaves_few_runs() {
        let mut random = Random::from_env(0x7069_636b);
        let (mut most, mut steps) = (0, 0);
        for round in 0..300 {
            let (mut runs, jobs) = random_shape(&mut random);
            let space_amp_target = [1.0, 1.25, 2.0, f64::INFINITY][round % 4];
            let policy = Policy { space_amp_target, idle: round % 5 == 0 };
            match settle(&RULES, &policy, &mut runs, jobs) {
                Ok(taken) => steps += taken,
                Err(why) => panic!("{why}, seed {}", random.seed),
            }
            most = most.max(runs.len());
        }
        assert!(most > 3 && steps > 10_000, "it exercised little: {most}, {steps}");
    }

    /// The planted fault: rules that do not look at proportion leave more runs than there may be.
    #[test]
    fn runs_that_pile_up_are_noticed() {
        let mut random = Random::from_env(0x7069_6c65);
        let faulty = Rules { ratio: 0.0, ratio_small: 0.0, ..RULES };
        let lazy = Policy { space_amp_target: f64::INFINITY, idle: false };
        let caught = (0..100)
            .map(|_| random_shape(&mut random))
            .filter_map(|(mut runs, jobs)| settle(&faulty, &lazy, &mut runs, jobs).err())
            .count();
        assert!(caught > 0);
    }
}
