//! The clock hand: which blocks leave the cache when it is over its capacity.
//!
//! Called by one background thread. Readers go on at the same time: a slot is emptied by a swap,
//! and a reader of the block holds it.

use super::cache::{BlockCache, CachedBlock};
use super::reader::Segment;
use crate::ids::FileNumber;
use crate::sync::Arc;

/// Where the last eviction stopped, so that the next one goes on from there.
#[derive(Debug, Default)]
pub(crate) struct ClockHand {
    segment: FileNumber,
    slot: usize,
}

impl ClockHand {
    /// Takes blocks out of the slots of `segments` until those left are within the capacity of
    /// `cache`.
    ///
    /// A block that was read since the hand last passed gets a second chance. The blocks come back
    /// for the caller to drop once nobody else holds them, so that no reader frees memory.
    pub(crate) fn evict(
        &mut self,
        cache: &BlockCache,
        segments: &[Arc<Segment>],
    ) -> Vec<Arc<CachedBlock>> {
        let mut out = Vec::new();
        let mut excess = cache.excess();
        let Some(start) = self.start(segments) else { return out };
        // Two rounds at most: the first takes second chances away, the second meets what the first
        // passed. The segment at the start is visited once more for the slots before the hand.
        for step in 0..=2 * segments.len() {
            if excess == 0 {
                break;
            }
            let segment = &segments[(start + step) % segments.len()];
            let from = if step == 0 { self.slot } else { 0 };
            self.segment = segment.number();
            self.slot = segment.evict(from, &mut excess, &mut out);
        }
        out
    }

    /// The index of the segment under the hand, or of the first if that one is gone.
    fn start(&mut self, segments: &[Arc<Segment>]) -> Option<usize> {
        let at = segments.iter().position(|segment| segment.number() == self.segment);
        if at.is_none() {
            self.slot = 0;
        }
        if segments.is_empty() { None } else { Some(at.unwrap_or(0)) }
    }
}
