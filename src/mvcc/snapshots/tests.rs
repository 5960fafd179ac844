//! The registry with real threads; `models.rs` has the interleavings.

use super::{ReadPoints, Snapshots};
use crate::ids::Sequence;
use crate::sync::atomic::{AtomicU64, Ordering};

#[test]
fn read_points_are_the_registered_sequences_and_visible() {
    let registry = Snapshots::new();
    let check = |visible, want: &[u64], horizon| {
        let points = registry.read_points(|| Sequence(visible));
        let snapshots = want.iter().copied().map(Sequence).collect();
        assert_eq!(points, ReadPoints { snapshots, visible: Sequence(visible) });
        assert_eq!(points.horizon(), Sequence(horizon));
        // Stamped with ten times the sequence, or later.
        let oldest = want.first().map(|&sequence| (Sequence(sequence), 10 * sequence));
        assert_eq!(registry.oldest(), oldest);
    };
    check(0, &[], 0);
    check(9, &[], 9);
    for (sequence, stamp) in [(5, 50), (9, 90), (5, 99)] {
        assert_eq!(registry.register(stamp, || Sequence(sequence)), Sequence(sequence));
    }
    assert_eq!(registry.count(), 3);
    check(9, &[5, 9], 5);
    registry.release(Sequence(5));
    check(12, &[5, 9], 5);
    registry.release(Sequence(5));
    check(12, &[9], 9);
    registry.release(Sequence(9));
    check(12, &[], 12);
    assert_eq!(registry.count(), 0);
}

#[test]
#[should_panic(expected = "every release follows its own registration")]
fn a_release_without_a_registration_is_a_bug() {
    Snapshots::new().release(Sequence(1));
}

/// I5.
#[test]
fn a_snapshot_is_never_below_a_horizon_computed_while_it_lives() {
    const ROUNDS: u64 = 5_000;
    let registry = Snapshots::new();
    let visible = AtomicU64::new(1);
    let read = || Sequence(visible.load(Ordering::Acquire));
    // The highest horizon that a merge has dropped below.
    let dropped = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let sequence = registry.register(0, read);
                    assert!(dropped.load(Ordering::Acquire) <= sequence.0);
                    assert!(registry.read_points(read).snapshots.contains(&sequence));
                    registry.release(sequence);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                visible.fetch_add(1, Ordering::Release);
                let horizon = registry.read_points(read).horizon();
                dropped.fetch_max(horizon.0, Ordering::AcqRel);
            }
        });
    });
    assert_eq!(registry.count(), 0);
}
