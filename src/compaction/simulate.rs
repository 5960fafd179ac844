//! A simulator that knows sizes only, driven by the real [`pick`]: what a policy costs over
//! thousands of flushes, in seconds. For tests alone; `docs/results.md` has what was learnt.
//!
//! Time is counted in flushes: one arrives at each tick, at whatever the compactors are. They share
//! what the device has left, `bandwidth - 1` flushes a tick; a step takes the time of the bytes
//! that it writes, and only between steps do they ask [`pick`] again. Keys are drawn evenly from
//! `keys` many: two runs that hold x and y of them hold x + y - x·y / keys together, and a merge
//! frees the rest as it goes. [`tests`] has the loads and the bars.
//!
//! Not modelled: snapshots, segment boundaries, skew (which lowers every figure), and that parts of
//! two runs which lie apart in key order are relinked instead of written.

use super::pick::{JobState, Pick, Policy, RULES, Rules, RunSize, pick_by};
use super::toll::{BYTES_PER_READ, Toll};
use crate::ids::RunId;
use crate::iter::testing::Random;

#[cfg(test)]
mod tests;

const MIB: f64 = 1048576.0;
const SEGMENT_BYTES: f64 = 16.0 * MIB;
const PUT_BYTES: f64 = 128.0;
const TOMBSTONE_BYTES: f64 = 32.0;

/// Which keys are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    /// Any of the data's, which are all there from the beginning.
    Overwrite,
    /// New ones in random order, from an empty database.
    Grow,
    /// New ones in ascending order, from an empty database.
    Sequential,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    rules: Rules,
    load: Load,
    /// The data, or what it grows to, in flushes.
    data: f64,
    flushes: usize,
    flush_bytes: f64,
    /// A flush is larger or smaller by up to this share.
    noise: f64,
    /// This share of the operations is deletes.
    deletes: f64,
    /// What can be written while a flush's worth arrives, in flushes, flushing included.
    bandwidth: f64,
    threads: usize,
    /// Jobs are forgotten, as by a restart, each time after that many flushes.
    restart_every: usize,
    space_amp_target: f64,
    /// Blocks that are read while a flush's worth arrives.
    reads: f64,
    seed: u64,
}

impl Setup {
    fn new(load: Load, data: usize, bandwidth: f64) -> Self {
        let rounds = match load {
            Load::Overwrite if data < 1000 => 6,
            // Each takes a second without optimisation.
            Load::Overwrite => 2 + 2 * usize::from(!cfg!(debug_assertions)),
            Load::Grow | Load::Sequential => 1,
        };
        Self {
            rules: RULES,
            load,
            data: data as f64,
            flushes: data * rounds,
            flush_bytes: 64.0 * MIB,
            noise: 0.0,
            deletes: 0.0,
            bandwidth,
            threads: 1,
            restart_every: usize::MAX,
            space_amp_target: 1.25,
            reads: 0.0,
            seed: 0x7069_636b,
        }
    }
}

/// What came of it. Sizes of the data are those of its live entries.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    /// Bytes written by flushes and merges for each byte flushed.
    write_amp: f64,
    /// What reads have paid for merging, for each byte flushed.
    paid: f64,
    /// Runs when a flush has been added, and a tick's work been done.
    runs_mean: f64,
    runs_p99: usize,
    runs_max: usize,
    /// Bytes in all runs for each byte of live data: mean over time, and peak.
    space_mean: f64,
    space_max: f64,
    /// Jobs that have begun, at once.
    jobs_max: usize,
}

/// How many entries of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    puts: f64,
    tombstones: f64,
}

impl Size {
    fn bytes(self) -> f64 {
        self.puts * PUT_BYTES + self.tombstones * TOMBSTONE_BYTES
    }

    fn scaled(self, by: f64) -> Self {
        Self { puts: self.puts * by, tombstones: self.tombstones * by }
    }

    fn plus(self, other: Self) -> Self {
        Self { puts: self.puts + other.puts, tombstones: self.tombstones + other.tombstones }
    }
}

struct SimulatedRun {
    id: RunId,
    size: Size,
    /// Its keys begin at this share of all, because a job has merged what came before.
    from: f64,
}

struct SimulatedJob {
    newer: RunId,
    older: RunId,
    /// Where the newer's keys began.
    from: f64,
    /// The newer when it began, as much of the older as lies beside it, the rest, which stays as
    /// it is, and what the two inputs come to.
    inputs: [Size; 2],
    rest: Size,
    output: Size,
    /// The share of the output that is written.
    done: f64,
    /// The step that a thread is at: the thread, when it ends, and the share done by then.
    step: Option<(usize, f64, f64)>,
}

struct Simulation {
    setup: Setup,
    /// Keys that there are, in all; without end while the data grows.
    keys: f64,
    /// Newest first.
    runs: Vec<SimulatedRun>,
    jobs: Vec<SimulatedJob>,
    runs_made: u64,
    steps: u64,
    flushed: f64,
    merged: f64,
    toll: Toll,
    paid: f64,
    looked_at: f64,
    space_max: f64,
    jobs_max: usize,
}

fn simulate(setup: &Setup) -> Report {
    let keys = setup.data * setup.flush_bytes / PUT_BYTES;
    let mut simulation = Simulation {
        setup: *setup,
        keys: if setup.load == Load::Overwrite { keys } else { f64::INFINITY },
        runs: Vec::new(),
        jobs: Vec::new(),
        runs_made: 0,
        steps: 0,
        flushed: 0.0,
        merged: 0.0,
        toll: Toll::default(),
        paid: 0.0,
        looked_at: 0.0,
        space_max: 0.0,
        jobs_max: 0,
    };
    if setup.load == Load::Overwrite {
        simulation.add_run(Size { puts: keys * (1.0 - setup.deletes), tombstones: 0.0 });
    }
    let mut random = Random::from_env(setup.seed);
    let mut run_counts = Vec::new();
    let mut space = 0.0;
    for tick in 0..setup.flushes {
        simulation.flush(random.below(2001) as f64 / 1000.0 - 1.0);
        if (tick + 1) % setup.restart_every == 0 {
            simulation.jobs.clear();
        }
        simulation.compact(tick as f64, (tick + 1) as f64);
        run_counts.push(simulation.runs.len());
        space += simulation.space();
    }
    let ticks = setup.flushes as f64;
    let runs_mean = run_counts.iter().sum::<usize>() as f64 / ticks;
    run_counts.sort_unstable();
    Report {
        write_amp: 1.0 + simulation.merged / simulation.flushed,
        paid: simulation.paid / simulation.flushed,
        runs_mean,
        runs_p99: run_counts[run_counts.len() * 99 / 100],
        runs_max: run_counts[run_counts.len() - 1],
        space_mean: space / ticks,
        space_max: simulation.space_max,
        jobs_max: simulation.jobs_max,
    }
}

impl Simulation {
    fn add_run(&mut self, size: Size) {
        self.runs.insert(0, SimulatedRun { id: RunId(self.runs_made), size, from: 0.0 });
        self.runs_made += 1;
    }

    /// A flush arrives; `noise` between -1 and 1 makes it larger or smaller.
    fn flush(&mut self, noise: f64) {
        let Setup { flush_bytes, deletes, .. } = self.setup;
        let entries = flush_bytes / PUT_BYTES * (1.0 + self.setup.noise * noise);
        let size = Size { puts: entries * (1.0 - deletes), tombstones: entries * deletes };
        self.flushed += size.bytes();
        self.add_run(size);
        self.note_space();
    }

    /// All bytes for each byte of live data.
    fn space(&self) -> f64 {
        let all: f64 = self.runs.iter().map(|run| run.size.bytes()).sum();
        let live = match self.setup.load {
            Load::Overwrite => self.keys * (1.0 - self.setup.deletes) * PUT_BYTES,
            Load::Grow | Load::Sequential => self.flushed,
        };
        all / live
    }

    fn note_space(&mut self) {
        self.space_max = self.space_max.max(self.space());
    }

    /// The threads work from one tick to the next. A step that is under way then goes on after.
    fn compact(&mut self, from: f64, to: f64) {
        let mut now = from;
        loop {
            let busy = |jobs: &[SimulatedJob], thread| {
                jobs.iter().any(|job| job.step.is_some_and(|step| step.0 == thread))
            };
            for thread in 0..self.setup.threads {
                while !busy(&self.jobs, thread) && self.begin_step(thread, now) {}
            }
            let ends = self.jobs.iter().enumerate();
            let ends = ends.filter_map(|(index, job)| Some((job.step?.1, index)));
            match ends.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((end, index)) if end < to => {
                    now = end;
                    self.end_step(index);
                }
                _ => return,
            }
        }
    }

    /// Asks for work for an idle thread; false if there is none.
    fn begin_step(&mut self, thread: usize, now: f64) -> bool {
        let Setup { rules, space_amp_target, bandwidth, threads, flush_bytes, .. } = self.setup;
        self.take_toll(now);
        let pick = |down: bool| {
            let policy = Policy { space_amp_target, down };
            pick_by(&rules, &self.run_sizes(), &self.job_states(), &policy, self.steps)
        };
        let paid = || if self.toll.is_due() { pick(true) } else { None };
        let picked = pick(false).or_else(paid);
        let index = match picked {
            None => return false,
            Some(Pick::Continue(index)) => index,
            Some(Pick::Start { newer, older }) => self.start(newer, older),
        };
        self.steps += 1;
        let job = &mut self.jobs[index];
        assert!(job.step.is_none(), "picked a job that a thread is at");
        let output_bytes = job.output.bytes();
        if self.setup.load == Load::Sequential {
            job.step = Some((thread, now, 1.0));
            self.end_step(index);
            return true;
        }
        let bytes = SEGMENT_BYTES.min(output_bytes * (1.0 - job.done));
        let seconds = bytes * threads as f64 / ((bandwidth - 1.0) * flush_bytes);
        let done = if output_bytes > 0.0 { job.done + bytes / output_bytes } else { 1.0 };
        job.step = Some((thread, now + seconds, done));
        self.merged += bytes;
        self.toll.charge(bytes as u64);
        true
    }

    /// Reads pay for the runs that they find.
    fn take_toll(&mut self, now: f64) {
        let reads = self.setup.reads;
        let bytes = self.runs.iter().map(|run| run.size.bytes()).sum::<f64>() as u64;
        self.toll.look((reads * now) as u64, self.runs.len(), bytes);
        let further = self.runs.len().saturating_sub(1) as f64;
        self.paid += reads * (now - self.looked_at) * further * BYTES_PER_READ as f64;
        self.looked_at = now;
    }

    fn run_sizes(&self) -> Vec<RunSize> {
        let size = |run: &SimulatedRun| RunSize {
            id: run.id,
            bytes: run.size.bytes() as u64,
            tombstones: run.size.tombstones as u64,
            entries: (run.size.puts + run.size.tombstones) as u64,
        };
        self.runs.iter().map(size).collect()
    }

    fn job_states(&self) -> Vec<JobState> {
        let state = |job: &SimulatedJob| JobState {
            newer: job.newer,
            older: job.older,
            remaining_bytes: (job.inputs[0].plus(job.inputs[1]).bytes() * (1.0 - job.done)) as u64,
            running: job.step.is_some(),
        };
        self.jobs.iter().map(state).collect()
    }

    fn position(&self, id: RunId) -> usize {
        self.runs.iter().position(|run| run.id == id).expect("a run that is there")
    }

    /// Begins a job, and says at which index.
    fn start(&mut self, newer: RunId, older: RunId) -> usize {
        let at = self.position(newer);
        assert_eq!(self.runs[at + 1].id, older, "picked a pair that is not adjacent");
        let taken = |job: &SimulatedJob| {
            [job.newer, job.older].iter().any(|id| [newer, older].contains(id))
        };
        assert!(!self.jobs.iter().any(taken), "picked a run that is in a job");
        let from = self.runs[at].from;
        let x = self.runs[at].size;
        let y = self.runs[at + 1].size;
        let beside = ((1.0 - from) / (1.0 - self.runs[at + 1].from)).min(1.0);
        let inputs = [x, y.scaled(beside)];
        let shadowed = (x.puts + x.tombstones) / (self.keys * (1.0 - from));
        let mut output = inputs[0].plus(inputs[1].scaled(1.0 - shadowed.min(1.0)));
        if at + 2 == self.runs.len() {
            output.tombstones = 0.0;
        }
        let rest = y.scaled(1.0 - beside);
        self.jobs.push(SimulatedJob {
            newer,
            older,
            from,
            inputs,
            rest,
            output,
            done: 0.0,
            step: None,
        });
        self.jobs_max = self.jobs_max.max(self.jobs.len());
        self.jobs.len() - 1
    }

    /// Publishes what the step wrote; at the end of the job one run is left, the older.
    fn end_step(&mut self, index: usize) {
        let job = &mut self.jobs[index];
        let (_, _, done) = job.step.take().expect("a step that a thread is at");
        job.done = done;
        let newer = job.newer;
        let from = job.from;
        let [x, y] = job.inputs;
        let output = job.output;
        let older_size = job.rest.plus(output.scaled(done)).plus(y.scaled(1.0 - done));
        let at = self.position(newer);
        self.runs[at].size = x.scaled(1.0 - done);
        self.runs[at].from = from + done * (1.0 - from);
        self.runs[at + 1].size = older_size;
        self.runs[at + 1].from = from.min(self.runs[at + 1].from);
        if done > 1.0 - 1e-9 {
            self.runs.remove(at);
            self.jobs.remove(index);
        }
        self.note_space();
    }
}
