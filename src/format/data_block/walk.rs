//! A walk over a data block from front to back, for a merge: cheaper than finding each entry anew.
//!
//! Knows the layout as the parent does, and nothing of where the block came from. Called by the one
//! thread that reads the block.

use std::ops::Range;

use super::Block;
use crate::format::coding::put_part;
use crate::format::key::{Entry, Kind};
use crate::ids::Sequence;

/// One entry of a block, found by a walk from front to back: each step reads where the entry's
/// parts end, and knows from the step before where they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    number: usize,
    // Offsets in the block's bytes.
    key_at: usize,
    key_end: usize,
    value_at: usize,
    value_end: usize,
    sequence: Sequence,
    kind: Kind,
}

impl Step {
    /// The number of the entry in its block.
    #[inline]
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Its sequence.
    #[inline]
    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence
    }
}

impl Block {
    /// Begins a walk at entry `i`, and leaves its key in `key`.
    pub(crate) fn walk_from(&self, i: usize, key: &mut Vec<u8>) -> Step {
        key.clear();
        key.extend_from_slice(self.prefix());
        let Range { start: value_at, .. } = self.value_range(i);
        let key_at = self.keys_at + self.key_start(i);
        self.step_to(i, (key_at, value_at), key)
    }

    /// Goes on to the next entry, which there must be, and puts its key in place of that before.
    #[inline]
    pub(crate) fn walk_on(&self, step: &Step, key: &mut Vec<u8>) -> Step {
        key.truncate(key.len() - (step.key_end - step.key_at));
        self.step_to(step.number + 1, (step.key_end, step.value_end), key)
    }

    #[inline]
    fn step_to(
        &self,
        number: usize,
        (key_at, value_at): (usize, usize),
        key: &mut Vec<u8>,
    ) -> Step {
        let key_end = self.number(self.key_ends_at, self.key_width, number) as usize;
        let value_end = self.number(self.value_ends_at, self.value_width, number) as usize;
        let (key_end, value_end) = (self.keys_at + key_end, self.values_at + value_end);
        put_part(key, &self.bytes, key_at, key_end);
        let (sequence, kind) = (self.sequence(number), self.kind(number));
        Step { number, key_at, key_end, value_at, value_end, sequence, kind }
    }

    /// The entry that a walk over this block has come to; `key` is what it left there.
    #[inline]
    pub(crate) fn walked<'a>(&'a self, step: &Step, key: &'a [u8]) -> Entry<'a> {
        let Step { value_at, value_end, sequence, kind, .. } = *step;
        let value = &self.bytes[value_at..value_end];
        Entry { keyspace: self.keyspace, key, sequence, kind, value }
    }
}
