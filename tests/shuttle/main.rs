//! The whole engine on a simulated file system, with every thread, lock, channel and wait in the
//! hands of a scheduler: thousands of schedules of short histories, each named by one seed.
//!
//! Built with `--cfg shuttle` alone; `.ci/run shuttle` has the command. What a run does, `worlds`
//! has; how threads are switched, `scheduler`; what must hold, `history`. A failure prints the
//! world and the seed, and `ALLUVIUM_SEED` with that seed runs this schedule alone, of the tests
//! that are named.
//!
//! `ALLUVIUM_SCHEDULES` is how many schedules each world has. All atomics are taken for
//! sequentially consistent; the models of `src/mvcc` are there for weaker orders.

#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod faults;
mod history;
mod scheduler;
mod worlds;

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once};
use std::time::Instant;

use alluvium::schedules;
use scheduler::{Kind, Seeded};

/// More steps than any run takes that gets on.
const STEPS_MAX: usize = 400_000;

/// How many schedules of each world run unless `ALLUVIUM_SCHEDULES` says it.
const SCHEDULES: u64 = 1_500;

/// How much is kept of what a panic says: it may have a whole history in it.
const PANIC_CHARS_MAX: usize = 4_000;

type World = fn(seed: u64);

thread_local! {
    /// The first panic of the run, also one that the engine has caught.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// Has the panics of runs noted, and not printed: a planted fault makes many.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !RUNS.get() {
                return usual(panic);
            }
            let text = || panic.to_string().chars().take(PANIC_CHARS_MAX).collect();
            PANIC.with_borrow_mut(|first| _ = first.get_or_insert_with(text));
        }));
    });
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one schedule of a world. Returns how many steps it took, or what went wrong.
fn run_one(world: World, seed: u64) -> Result<usize, String> {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.max_steps = shuttle::MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let steps = Arc::new(Mutex::new(0));
    let scheduler = Seeded::new(seed, Arc::clone(&steps));
    let runner = shuttle::Runner::new(scheduler, config);
    note_panics();
    PANIC.take();
    RUNS.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runner.run(move || schedules::run(|| world(seed)));
    }));
    RUNS.set(false);
    let steps = *steps.lock().unwrap();
    match (PANIC.take(), outcome) {
        (None, Ok(_)) => Ok(steps),
        (panic, _) => Err(panic.unwrap_or_default()),
    }
}

/// Runs the schedules of a world, or the one that was asked for, and fails with the first that
/// does.
fn explore(name: &str, world: World) {
    if let Some(seed) = from_env("ALLUVIUM_SEED") {
        let steps = run_one(world, seed).expect("the schedule that was asked for");
        println!("{name}: seed {seed} ({:?}) passed in {steps} steps", Kind::of(seed));
        return;
    }
    let start = Instant::now();
    let schedules = from_env("ALLUVIUM_SCHEDULES").unwrap_or(SCHEDULES);
    let mut steps = 0;
    for seed in 0..schedules {
        match run_one(world, seed) {
            Ok(taken) => steps += taken,
            Err(what) => panic!("{name}: ALLUVIUM_SEED={seed} ({:?}): {what}", Kind::of(seed)),
        }
    }
    let elapsed_s = start.elapsed().as_secs_f64();
    println!("{name}: seeds 0 to {schedules}, {steps} steps, {elapsed_s:.1} s");
}

#[test]
fn reads_see_one_order_and_all_that_was_acknowledged() {
    explore("live", worlds::live);
}

#[test]
fn keyspaces_that_come_and_go_keep_their_own() {
    explore("keyspaces", worlds::keyspaces);
}

#[test]
fn conditional_writes_lose_no_update() {
    explore("conditional", worlds::conditional);
}

#[test]
fn a_full_memory_lets_writers_go_on() {
    explore("overload", worlds::overload);
}

#[test]
fn a_crash_leaves_a_prefix_with_all_that_was_durable() {
    explore("crash", worlds::crash);
}

#[test]
fn a_close_ends_amid_everything() {
    explore("close", worlds::close);
}
