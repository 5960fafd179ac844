//! Which thread goes on, drawn from a seed: one seed, one schedule.
//!
//! | kind | which one |
//! |---|---|
//! | random | any, at each step |
//! | sticky | the one that runs, but for one step in so many |
//! | pct | the one of the highest priority; a few of the steps, drawn beforehand, take it from the one that runs |
//!
//! The clock is the second task. It is not drawn like the others, or waits would time out all the
//! time: one step in five hundred is its, and those when nobody else can run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// One step in this many is the clock's.
const CLOCK_ODDS: u64 = 500;

/// About as many steps as a run has: where priorities may change.
const STEPS_USUAL: u64 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Random,
    /// One step in so many is a switch.
    Sticky(u64),
    /// How many times a priority changes.
    Pct(usize),
}

impl Kind {
    pub(crate) fn of(seed: u64) -> Self {
        match seed % 8 {
            0 | 1 => Self::Random,
            2 => Self::Sticky(10),
            3 => Self::Sticky(100),
            4 => Self::Pct(2),
            5 => Self::Pct(5),
            6 => Self::Pct(20),
            _ => Self::Pct(100),
        }
    }
}

pub(crate) struct Seeded {
    kind: Kind,
    random: fastrand::Rng,
    /// Its one run has begun.
    begun: bool,
    steps: u64,
    /// Highest first; who yields or is overtaken goes below all.
    priorities: BTreeMap<usize, i64>,
    lowest: i64,
    changes: Vec<u64>,
    count: Arc<Mutex<usize>>,
}

impl Seeded {
    pub(crate) fn new(seed: u64, count: Arc<Mutex<usize>>) -> Self {
        let kind = Kind::of(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let changes = match kind {
            Kind::Pct(changes) => (0..changes).map(|_| random.u64(..STEPS_USUAL)).collect(),
            _ => Vec::new(),
        };
        let (begun, steps, priorities, lowest) = Default::default();
        Self { kind, random, begun, steps, priorities, lowest, changes, count }
    }

    fn priority(&mut self, task: usize) -> i64 {
        let random = &mut self.random;
        *self.priorities.entry(task).or_insert_with(|| random.i64(0..1 << 40))
    }

    fn lower(&mut self, task: usize) {
        self.lowest -= 1;
        self.priorities.insert(task, self.lowest);
    }
}

fn number(task: TaskId) -> usize {
    task.into()
}

impl Scheduler for Seeded {
    fn new_execution(&mut self) -> Option<Schedule> {
        let first = !std::mem::replace(&mut self.begun, true);
        first.then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        self.steps += 1;
        *self.count.lock().unwrap() += 1;
        let is_clock = |task: &&&Task| number(task.id()) == 1;
        let others: Vec<TaskId> =
            runnable.iter().filter(|task| !is_clock(task)).map(|task| task.id()).collect();
        if let Some(clock) = runnable.iter().find(is_clock)
            && (others.is_empty() || self.random.u64(..CLOCK_ODDS) == 0)
        {
            return Some(clock.id());
        }
        let goes_on = current.filter(|task| others.contains(task) && !is_yielding);
        let any = others[self.random.usize(..others.len())];
        let next = match self.kind {
            Kind::Random => any,
            Kind::Sticky(odds) => goes_on.filter(|_| self.random.u64(..odds) > 0).unwrap_or(any),
            Kind::Pct(_) => {
                let change = self.changes.contains(&self.steps);
                if let Some(current) = current.filter(|_| change || is_yielding) {
                    self.lower(number(current));
                }
                *others.iter().max_by_key(|task| self.priority(number(**task)))?
            }
        };
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.random.u64(..)
    }
}
