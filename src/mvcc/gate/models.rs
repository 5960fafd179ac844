//! Model of a wait at the gate: without time-outs, so that a missed change is a deadlock.

use super::Gate;
use crate::mvcc::models::{holds, refuted};
use crate::sync::model::thread;
use crate::sync::wait;

/// Waits until the book is empty.
fn wait_empty(gate: &Gate, looks_first: bool) {
    loop {
        let before = gate.generation();
        if gate.used() <= 0 {
            return;
        }
        // A fault: the generation is read after the look.
        let seen = if looks_first { gate.generation() } else { before };
        gate.wait_past(seen, |changed, generation| drop(wait(changed, generation)));
    }
}

/// Two flushes that free memory, one of them adding first, and a writer that waits.
fn waiter_wakes(looks_first: bool) {
    // Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    let gate: &Gate = Box::leak(Box::new(Gate::new()));
    gate.add(2);
    let flushes = [0, 1].map(|extra| {
        thread::spawn(move || {
            gate.add(extra);
            gate.sub(1 + extra);
        })
    });
    wait_empty(gate, looks_first);
    for flush in flushes {
        flush.join().expect("no flush panics");
    }
    assert_eq!(gate.used(), 0);
}

/// I22.
#[test]
fn a_waiting_writer_misses_no_change() {
    holds("gate", Some(4), 25_000, || waiter_wakes(false));
    refuted("looks before the generation", Some(3), "deadlock", || waiter_wakes(true));
}
