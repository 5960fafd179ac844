//! Which runs are walked over.

use std::cell::Cell;

use super::*;
use crate::ids::RunId;

/// Symptom: each look walked over all segments of all runs under the lock. Fix: those of a run
/// that was not there at the last look.
#[test]
fn a_run_is_summed_once() {
    let walks = Cell::new(0);
    let mut known = KnownBytes::default();
    let run = |id| Arc::new(Run { id: RunId(id), segments: Vec::new() });
    let mut check = |runs: &[&Arc<Run>], want, want_walks| {
        let set = SegmentSet { runs: runs.iter().copied().cloned().collect() };
        let sum = known.sum(&set, |run| {
            walks.set(walks.get() + 1);
            1 << run.id.0
        });
        assert_eq!((sum, walks.take()), (want, want_walks));
    };
    let [a, b, c] = [0, 1, 2].map(run);
    check(&[], 0, 0);
    check(&[&b, &a], 3, 2);
    check(&[&b, &a], 3, 0);
    check(&[&c, &b, &a], 7, 1);
    // A step of a merge leaves runs of the same names, and others.
    check(&[&c, &run(1), &run(0)], 7, 2);
    check(&[&c], 4, 0);
    check(&[&b, &c], 6, 1);
}
