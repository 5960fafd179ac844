//! The bytes of each run, summed once: a run does not change, and may have tens of thousands of
//! segments, which are not to be walked over at each look under the lock of [`super::book`].

use crate::runs::{Run, SegmentSet};
use crate::sync::{Arc, Weak};

/// Runs of the last look, and what they came to. Holds none of them alive, only their addresses, so
/// that no other run is taken for one of them.
#[derive(Debug, Default)]
pub(crate) struct KnownBytes(Vec<(Weak<Run>, u64)>);

impl KnownBytes {
    /// The sum over a set, by `bytes` of each run that the last look has not seen.
    pub(crate) fn sum(&mut self, set: &SegmentSet, bytes: impl Fn(&Run) -> u64) -> u64 {
        let before = std::mem::take(&mut self.0);
        self.0.extend(set.runs.iter().map(|run| {
            let seen = before.iter().find(|(seen, _)| seen.as_ptr() == Arc::as_ptr(run));
            (Arc::downgrade(run), seen.map_or_else(|| bytes(run), |(_, bytes)| *bytes))
        }));
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests;
