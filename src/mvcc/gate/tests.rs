//! The gate with real threads; `models.rs` has the interleavings.

use super::Gate;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn the_book_adds_up() {
    let gate = Gate::new();
    gate.add(10);
    gate.add(5);
    assert!(gate.used() > 14 && gate.used() <= 15);
    gate.sub(10);
    assert_eq!(gate.used(), 5);
}

#[test]
fn a_wait_returns_when_the_book_has_changed_since_or_time_is_up() {
    let gate = Gate::new();
    gate.add(1);
    let seen = gate.generation();
    gate.sub(1);
    gate.wait_timeout(seen, LONG);
    let seen = gate.generation();
    gate.wake();
    gate.wait_timeout(seen, LONG);
    gate.wait_timeout(gate.generation(), Duration::from_millis(1));
}

/// I22.
#[test]
fn waiting_writers_miss_neither_free_memory_nor_a_close() {
    const ROUNDS: u64 = 2_000;
    let gate = Gate::new();
    let closed = AtomicBool::new(false);
    let wait_until = |done: &dyn Fn() -> bool| {
        loop {
            let seen = gate.generation();
            if done() {
                return;
            }
            gate.wait_timeout(seen, LONG);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                wait_until(&|| gate.used() <= 3);
                gate.add(1);
            }
            wait_until(&|| closed.load(Ordering::Acquire));
        });
        for _ in 0..ROUNDS {
            while gate.used() == 0 {
                std::thread::yield_now();
            }
            gate.sub(1);
        }
        closed.store(true, Ordering::Release);
        gate.wake();
    });
    assert_eq!(gate.used(), 0);
}
