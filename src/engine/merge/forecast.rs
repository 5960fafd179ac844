//! How much a requested compaction has still to read, for a progress display.
//!
//! A guess, made again for each step from the runs and jobs of then: what will be moved without
//! being read, or left out on the way down, is not known before. Under the lock of
//! `agenda::book`; no I/O.

use crate::engine::Engine;
use crate::engine::agenda::jobs::{Extent, MergeState};
use crate::engine::agenda::pair::Step;
use crate::engine::merge::horizon::Horizon;
use crate::engine::merge::step::would_write;
use crate::runs::raw_bytes;
use crate::runs::{Run, SegmentSet};
use crate::sync::Arc;

/// Bytes of keys and values that the request at hand has still to read of `runs`, which it is
/// about in this extent.
pub(crate) fn bytes_left(
    engine: &Engine,
    state: &MergeState,
    set: &SegmentSet,
    runs: &[Arc<Run>],
    extent: &Extent,
    horizon: &Horizon,
) -> u64 {
    let mut sizes: Vec<_> = runs.iter().map(|run| (run.id, extent.raw_bytes(run))).collect();
    // What is above the first run with keys in the extent has no part in it, nor what is below
    // the last.
    let empty = sizes.iter().take_while(|(_, bytes)| *bytes == 0).count();
    sizes.drain(..empty);
    let last = sizes.iter().rposition(|(_, bytes)| *bytes > 0).map_or(0, |last| last + 1);
    sizes.truncate(last);
    let several = runs.len() > 1;
    let jobs: Vec<_> = state.jobs.iter().filter(|job| state.concerns(job, several)).collect();
    if jobs.is_empty()
        && let [(run, bytes)] = sizes[..]
    {
        let tried = state.rewritten.iter().any(|(id, _)| *id == run);
        let step = Step { from: extent.from(), to: extent.to(), ..Step::alone(run) };
        return if !tried && would_write(engine, set, &step, horizon) { bytes } else { 0 };
    }
    let mut left = 0;
    for Step { newer, older, from, to } in jobs.iter().map(|job| &job.step) {
        let about = set.runs.iter().filter(|run| Some(run.id) == *newer || run.id == *older);
        let parts = about.flat_map(|run| run.between(from.as_ref(), to.as_ref()));
        left += parts.map(|part| raw_bytes(&part)).sum::<u64>();
        let at = |wanted| sizes.iter().position(|&(id, _)| id == wanted);
        if let (Some(newer), Some(older)) = (newer.and_then(at), at(*older)) {
            sizes[older].1 += sizes[newer].1;
            sizes.remove(newer);
        }
    }
    let sizes = sizes.into_iter().map(|(_, bytes)| bytes).collect();
    left + bytes_of_merging(sizes, extent.is_everything())
}

/// What is read until runs of these sizes, newest first, are one: the cheapest pair first, or else
/// from the newest down.
fn bytes_of_merging(mut sizes: Vec<u64>, cheapest_first: bool) -> u64 {
    let mut read = 0;
    while sizes.len() > 1 {
        let pairs = 0..sizes.len() - 1;
        let cheapest = pairs.min_by_key(|&at| sizes[at] + sizes[at + 1]).unwrap_or(0);
        let at = if cheapest_first { cheapest } else { 0 };
        let newer = sizes.remove(at);
        sizes[at] += newer;
        read += sizes[at];
    }
    read
}

#[cfg(test)]
mod tests {
    use super::bytes_of_merging;

    #[test]
    fn what_merging_reads() {
        let check = |sizes: &[u64], cheapest_first: u64, downwards: u64| {
            assert_eq!(bytes_of_merging(sizes.to_vec(), true), cheapest_first);
            assert_eq!(bytes_of_merging(sizes.to_vec(), false), downwards);
        };
        check(&[], 0, 0);
        check(&[7], 0, 0);
        check(&[1, 2], 3, 3);
        check(&[1, 1, 1, 1], 2 + 2 + 4, 2 + 3 + 4);
        check(&[10, 1, 2], 3 + 13, 11 + 13);
        // A run of which nothing is in the range is passed through.
        check(&[5, 0, 3], 3 + 8, 5 + 8);
    }
}
