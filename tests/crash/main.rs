//! Crashes, failing disks and damaged files, each against an oracle of what may be left.
//!
//! `world` runs operations and notes what was acknowledged, `oracle` decides whether what is found
//! later is a prefix of that, `power` crashes at every operation, `recovery` during recoveries,
//! `faults` fails every call, `merges` does both to merges, `damage` changes every byte. Background
//! threads move operations between runs, so a failure prints the seed, the crash point and the
//! trace of the file system.
//!
//! `ALLUVIUM_CRASH_SEEDS` sets how many seeds the enumerators use (default 1), `ALLUVIUM_SEED`
//! which one is the first; the other variables are named where they are read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "seeds and counts are what a run is judged by")]
#![allow(unreachable_pub, reason = "the files of one test know each other")]

mod damage;
mod faults;
mod merges;
mod oracle;
mod power;
mod recovery;
mod regressions;
mod world;

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

/// splitmix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// One number of several, each of which matters.
fn mix(numbers: &[u64]) -> u64 {
    let fold = |state: u64, &number: &u64| Random(state ^ number).next();
    numbers.iter().fold(0, fold)
}
