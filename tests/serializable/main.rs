//! Recorded histories of transactions in three threads on a few keys, while memtables are sealed,
//! flushed and merged: there must be an order in which they can have run one after the other, each
//! where it was called (G14, I42).
//!
//! `ALLUVIUM_HISTORIES` says how many, `ALLUVIUM_SEED` from which seed on. A seed gives the same
//! transactions again, and another interleaving.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "how much was checked is part of the result")]

mod order;
#[path = "../support/random.rs"]
mod random;
mod session;

use order::{Recorded, has_order};
use random::Random;
use session::{FAULTS, Fault, Session};

/// Histories to a database.
const TO_A_DATABASE: usize = 100;

/// Histories by when each planted fault must have been found.
const FOUND_WITHIN: usize = 2_000;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Has the threads of this process switch far more often than by themselves, in a debug build.
fn switch_often(seed: u64) {
    #[cfg(debug_assertions)]
    alluvium::switch_threads(seed, 12);
    let _ = seed;
}

fn show(history: &[Recorded]) -> String {
    history.iter().map(|recorded| format!("{recorded:?}\n")).collect()
}

#[test]
fn every_history_has_an_order() {
    let first = from_environment("ALLUVIUM_SEED", 1);
    let wanted = from_environment("ALLUVIUM_HISTORIES", 2_000) as usize;
    switch_often(first);
    let mut histories = 0;
    let mut transactions = 0;
    let mut seed = first;
    let mut stats = [0; 3];
    while histories < wanted {
        let count = TO_A_DATABASE.min(wanted - histories);
        let session = Session::open();
        for number in 0..count {
            let history = session.record(seed * 1_000 + number as u64, None);
            let shown = || format!("no order, seed {seed}, history {number}:\n{}", show(&history));
            assert!(has_order(&history), "{}", shown());
            transactions += history.len();
        }
        let now = session.counts();
        (0..3).for_each(|at| stats[at] += now[at]);
        histories += count;
        seed += 1;
    }
    let [commits, conflicts, holds] = stats;
    assert!(holds > 0 || wanted < 100, "nobody was made to lose");
    println!(
        "{histories} histories of {transactions} transactions, seeds {first} to {}: each has an \
         order; {commits} commits, {conflicts} conflicts, {holds} holds",
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
    (0..FOUND_WITHIN / TO_A_DATABASE).find_map(|round| {
        let session = Session::open();
        let found = (0..TO_A_DATABASE).position(|number| {
            let seed = 1_000_000 + (round * TO_A_DATABASE + number) as u64;
            !has_order(&session.record(seed, Some(fault)))
        })?;
        Some(round * TO_A_DATABASE + found + 1)
    })
}

/// The checker itself, on histories whose answer is known.
#[test]
fn the_checker_tells_right_from_wrong() {
    let tx = |called, returned, reads: &[(u8, Option<u32>)], writes: &[(u8, Option<u32>)]| {
        let reads = reads.to_vec();
        Recorded { called, returned, reads, ranges: Vec::new(), writes: writes.to_vec() }
    };
    let check = |history: &[Recorded], want| {
        assert_eq!(has_order(history), want, "\n{}", show(history));
    };
    check(&[], true);
    check(&[tx(0, 1, &[], &[(0, Some(7))]), tx(2, 3, &[(0, Some(7))], &[])], true);
    check(&[tx(0, 1, &[], &[(0, Some(7))]), tx(2, 3, &[(0, None)], &[])], false);
    check(&[tx(0, 9, &[], &[(0, Some(7))]), tx(2, 3, &[(0, None)], &[])], true);
    // Write skew.
    let left = tx(0, 9, &[(0, None), (1, None)], &[(0, Some(1))]);
    let right = tx(0, 9, &[(0, None), (1, None)], &[(1, Some(2))]);
    check(&[left.clone(), right.clone()], false);
    check(&[left.clone(), tx(0, 9, &[(0, Some(1))], &[(1, Some(2))])], true);
    // A lost update, and one that nobody has made.
    check(&[left.clone(), left], false);
    check(&[right, tx(0, 9, &[(0, Some(3))], &[])], false);
    // A phantom.
    let ranged = |found: &[(u8, u32)], writes: &[(u8, Option<u32>)]| Recorded {
        ranges: vec![(0, 3, found.to_vec())],
        ..tx(0, 9, &[], writes)
    };
    check(&[ranged(&[], &[(0, Some(1))]), ranged(&[], &[(1, Some(2))])], false);
    check(&[ranged(&[], &[(0, Some(1))]), ranged(&[(0, 1)], &[(1, Some(2))])], true);
}
