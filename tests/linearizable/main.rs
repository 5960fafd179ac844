//! Recorded histories of three or four threads on four keys in two keyspaces, while memtables are
//! rotated, flushed and merged: an order that explains every answer is looked for by a checker that
//! is not ours, and must be there (G3, G4).
//!
//! `ALLUVIUM_HISTORIES` says how many, `ALLUVIUM_SEED` from which seed on. A seed gives the same
//! operations again, and another interleaving.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "how much was checked is part of the result")]

mod history;
#[path = "../support/random.rs"]
mod random;
mod session;
mod worker;

use history::{History, Operation, Recorded};
use random::Random;
use session::{FAULTS, Fault, record};

/// Histories to a database, and operations of a thread to a history.
const TO_A_DATABASE: usize = 250;
const OPERATIONS: usize = 8;

/// Histories by when each planted fault must have been found.
const FOUND_WITHIN: usize = 4_000;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Has the threads of this process switch far more often than by themselves, in a debug build.
fn switch_often(seed: u64) {
    #[cfg(debug_assertions)]
    alluvium::switch_threads(seed, 12);
    let _ = seed;
}

/// G3, G4, I25, I27.
#[test]
fn every_history_has_an_order() {
    let first = from_environment("ALLUVIUM_SEED", 1);
    let wanted = from_environment("ALLUVIUM_HISTORIES", 20_000) as usize;
    switch_often(first);
    let mut histories = 0;
    let mut operations = 0;
    let mut overlapping = 0;
    let mut seed = first;
    while histories < wanted {
        let count = TO_A_DATABASE.min(wanted - histories);
        for (number, history) in record(seed, count, OPERATIONS, None).iter().enumerate() {
            let ordered = history.is_linearizable();
            assert!(ordered, "no order, seed {seed}, history {number}:\n{history}");
            operations += history.0.len();
            overlapping += history.overlapping();
        }
        histories += count;
        seed += 1;
    }
    let share = 100 * overlapping / operations.max(1);
    println!(
        "{histories} histories, {operations} operations, {share} % overlapping, \
         seeds {first} to {}: each has an order",
        seed - 1
    );
}

#[test]
fn each_planted_fault_is_found() {
    switch_often(1);
    for fault in FAULTS {
        let found = found_after(fault);
        println!("{fault:?}: found after {found:?} histories");
        assert!(found.is_some(), "{fault:?} not found in {FOUND_WITHIN} histories");
    }
}

fn found_after(fault: Fault) -> Option<usize> {
    const AT_ONCE: usize = 50;
    (0..FOUND_WITHIN / AT_ONCE).find_map(|round| {
        let histories = record(1_000 + round as u64, AT_ONCE, OPERATIONS, Some(fault));
        let found = histories.iter().position(|history| !history.is_linearizable())?;
        Some(round * AT_ONCE + found + 1)
    })
}

/// The checker itself, on histories whose answer is known.
#[test]
fn the_checker_tells_right_from_wrong() {
    let put = |thread, called, returned, value| Recorded {
        thread,
        called,
        returned,
        operation: Operation { writes: vec![(0, Some(value))], ..Operation::default() },
    };
    let get = |thread, called, returned, value| Recorded {
        thread,
        called,
        returned,
        operation: Operation { reads: vec![(0, value)], ..Operation::default() },
    };
    let check = |recorded: Vec<Recorded>, want| {
        let history = History(recorded);
        assert_eq!(history.is_linearizable(), want, "\n{history}");
    };
    check(vec![], true);
    check(vec![put(0, 0, 1, 7), get(1, 2, 3, Some(7))], true);
    check(vec![put(0, 0, 1, 7), get(1, 2, 3, None)], false);
    // While the put runs a read may find either, but nothing old after something new.
    check(vec![put(0, 0, 9, 7), get(1, 1, 2, None), get(1, 3, 4, Some(7))], true);
    check(vec![put(0, 0, 9, 7), get(1, 1, 2, Some(7)), get(2, 3, 4, None)], false);
    check(vec![put(0, 0, 3, 7), put(1, 1, 2, 8), get(2, 4, 5, Some(7))], true);
}
