//! Crashes, failing disks and damaged files, each against an oracle of what may be left.
//!
//! `world` runs operations and notes what was acknowledged, `oracle` decides whether what is found
//! later is a prefix of that, `power` crashes at every operation, `recovery` during recoveries,
//! `faults` fails every call, `panics` panics in it, `merges` does both of the first to merges,
//! `transactions` crashes those, `keyspaces` their changes, `damage` changes every byte, `long_log`
//! has more to recover than fits into one part. Background threads move operations between runs, so
//! a failure prints the seed, the crash point and the
//! trace of the file system.
//!
//! `ALLUVIUM_CRASH_SEEDS` sets how many seeds the enumerators use (default 1), `ALLUVIUM_SEED`
//! which one is the first; the other variables are named where they are read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "seeds and counts are what a run is judged by")]
#![allow(unreachable_pub, reason = "the files of one test know each other")]

mod damage;
mod faults;
mod keyspaces;
mod long_log;
mod merges;
mod oracle;
mod panics;
mod power;
#[path = "../support/random.rs"]
mod random;
mod recovery;
mod regressions;
mod slow_drops;
mod transactions;
mod world;

use random::Random;

/// What a check found wrong, in words.
type Check<T> = Result<T, String>;

/// A number from the environment.
fn env(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("the variable holds a number"))
}

/// The seeds of this run.
fn seeds() -> std::ops::Range<u64> {
    let first = env("ALLUVIUM_SEED", 1);
    first..first + env("ALLUVIUM_CRASH_SEEDS", 1)
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// One number of several, each of which matters.
fn mix(numbers: &[u64]) -> u64 {
    let fold = |state: u64, &number: &u64| Random::new(state ^ number).next();
    numbers.iter().fold(0, fold)
}
