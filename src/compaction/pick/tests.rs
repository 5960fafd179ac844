//! What is picked, case by case, and that picking comes to an end from any shape.

use super::*;
use crate::iter::testing::Random;

const KIB: f64 = 1024.0;
const POLICY: Policy = Policy { space_amp_target: 1.25, down: false };

/// A run of that many KiB, of entries of 128 bytes.
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
fn check(runs: &[f64], jobs: &[(usize, f64, bool)], down: bool, want: &str) {
    let runs: Vec<_> = runs.iter().enumerate().map(|(i, mib)| run(i, mib * KIB, 0)).collect();
    let jobs: Vec<_> = jobs.iter().map(job).collect();
    assert_eq!(describe(pick(&runs, &jobs, &Policy { down, ..POLICY }, 0)), want);
}

fn job(&(newer, mib, running): &(usize, f64, bool)) -> JobState {
    let older = RunId(newer as u64 + 1);
    let newer = RunId(newer as u64);
    JobState { newer, older, remaining_bytes: (mib * KIB * KIB) as u64, running }
}

#[test]
fn pairs_by_proportion() {
    check(&[], &[], false, "");
    check(&[64.0], &[], false, "");
    // Two upper runs: 1.75 times the newer is the older.
    check(&[64.0, 64.0, 9000.0], &[], false, "0+1");
    check(&[64.0, 112.0, 9000.0], &[], false, "0+1");
    check(&[64.0, 113.0, 9000.0], &[], false, "");
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
    check(&[274.0, 1000.0], &[], false, "");
    check(&[276.0, 1000.0], &[], false, "0+1");
    // All above it counts, and what is little beside the next is taken along without.
    check(&[40.0, 220.0, 1000.0], &[], false, "");
    check(&[50.0, 230.0, 1000.0], &[], false, "1+2");
    check(&[10.0, 40.0, 230.0, 1000.0], &[], false, "2+3");
    // What is more is gathered first, also where its own proportion would not do.
    check(&[90.0, 190.0, 1000.0], &[], false, "0+1");
    check(&[90.0, 250.0, 1000.0], &[], false, "0+1");
    check(&[90.0, 190.0, 1100.0], &[], false, "");
    check(&[20.0, 60.0, 200.0, 1000.0], &[], false, "1+2");
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
    check(&[64.0, 1.0, 100.0, 9000.0], &[(1, 3.0, true)], false, "");
}

#[test]
fn down_means_to_one() {
    check(&[], &[], true, "");
    check(&[64.0], &[], true, "");
    check(&[1.0, 1000.0], &[], true, "0+1");
    check(&[1.0, 100.0, 1000.0], &[], true, "0+1");
    check(&[1.0, 100.0, 1000.0], &[(0, 50.0, false)], true, "job 0");
    check(&[1.0, 100.0, 1000.0], &[(0, 50.0, true)], true, "");
}

/// The largest job has each fifth step, however much smaller work there is.
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
    let running = [jobs[0], JobState { running: true, ..jobs[1] }, jobs[2]];
    assert!(picks(&running).iter().all(|pick| pick == "job 0"));
    // One that has not begun cannot starve, but for the oldest when it is overdue.
    let last = [(0, 500.0), (1, 700.0), (2, 1000.0)];
    let runs = last.map(|(id, mib)| run(id, mib * KIB, 0));
    let picks: Vec<_> = (0..5).map(|steps| describe(pick(&runs, &[], &POLICY, steps))).collect();
    assert_eq!(picks, ["0+1", "0+1", "0+1", "0+1", "1+2"]);
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
    // Alone 10 MiB of 128 are not enough, with 70 MiB removed they are.
    check(&[(10.0, 0), (128.0, 0), (9000.0, 0)], "");
    check(&[(10.0, 50 * mib), (128.0, 0), (9000.0, 0)], "");
    check(&[(10.0, 70 * mib), (128.0, 0), (9000.0, 0)], "0+1");
    // The oldest: a quarter of it, written or removed.
    check(&[(10.0, 260 * mib), (1000.0, 0)], "");
    check(&[(10.0, 270 * mib), (1000.0, 0)], "0+1");
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
    // At rest each upper run is more than 1.75 times the next newer, and no pair is crumbs.
    let doublings = (total.max(1) as f64 / (40.0 * KIB)).log2().max(0.0);
    let runs_max = 3.0 + doublings / 1.75f64.log2();
    let runs_max = if policy.down { 1.0 } else { runs_max };
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
    let mut most = 0;
    let mut steps = 0;
    for round in 0..300 {
        let (mut runs, jobs) = random_shape(&mut random);
        let space_amp_target = [1.0, 1.25, 2.0, f64::INFINITY][round % 4];
        let policy = Policy { space_amp_target, down: round % 5 == 0 };
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
    let lazy = Policy { space_amp_target: f64::INFINITY, down: false };
    let caught = (0..100)
        .map(|_| random_shape(&mut random))
        .filter_map(|(mut runs, jobs)| settle(&faulty, &lazy, &mut runs, jobs).err())
        .count();
    assert!(caught > 0);
}
