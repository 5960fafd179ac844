//! Model of a wait at the gate: without time-outs, so that a missed change is a deadlock.

use super::Gate;
use crate::mvcc::models::check;
use crate::sync::atomic::Ordering;
use crate::sync::models::thread;
use crate::sync::wait;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The generation is read after the look.
    LooksFirst,
    /// Those who wait are woken before there is a change.
    WakesFirst,
}

/// Waits until the book is empty.
fn wait_empty(gate: &Gate, fault: Fault) {
    loop {
        let before = gate.generation();
        if gate.used() == 0 {
            return;
        }
        let seen = if fault == Fault::LooksFirst { gate.generation() } else { before };
        gate.wait_past(seen, |changed, generation| drop(wait(changed, generation)));
    }
}

/// Two flushes that free memory, one of them adding first, and a writer that waits.
fn waiter_wakes(fault: Fault) {
    // Leaked: a deadlock leaves no thread active that the checker's `Arc` could be dropped on.
    let gate: &Gate = Box::leak(Box::new(Gate::new()));
    gate.add(2);
    let flushes = [0, 1].map(|extra| {
        thread::spawn(move || {
            gate.add(extra);
            if fault == Fault::WakesFirst {
                gate.wake();
                gate.used.fetch_sub(1 + extra, Ordering::Relaxed);
            } else {
                gate.sub(1 + extra);
            }
        })
    });
    wait_empty(gate, fault);
    for flush in flushes {
        flush.join().expect("no flush panics");
    }
    assert_eq!(gate.used(), 0);
}

/// I22.
#[test]
fn a_waiting_writer_misses_no_change() {
    let faults = [(Fault::LooksFirst, "deadlock"), (Fault::WakesFirst, "deadlock")];
    check("gate", waiter_wakes, &faults);
}
