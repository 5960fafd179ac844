//! [`MergeCursor`]: many ordered sources seen as one.
//!
//! Knows the internal order and nothing else: versions, snapshots and tombstones are for
//! [`super::visible`] and for compaction. Used by readers and by background threads, each cursor by
//! one thread at a time.
//!
//! # Shape
//!
//! The winner stands outside a binary heap of the other sources, whose root is therefore the
//! runner-up. While the winner's next entry still comes before the runner-up's, a step costs one
//! comparison, whatever the number of sources, and none at all with one source: the common case
//! after a load, where one run holds long stretches alone. A loser tree would need a comparison per
//! level for the same step. No step allocates or copies a key.
//!
//! The first 16 bytes of each source's key stand in one place: a comparison that they decide, which
//! is nearly every one, meets no cache miss in the sources.

use std::mem;
use std::ops::Range;

use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::Sequence;
use crate::value::Value;

use super::Cursor;
use super::ahead::near_side;
use super::stretch::{Edge, Way};

/// The entries of all its sources in order.
///
/// Sources are given newest first. Should the same position be in two of them, both are yielded,
/// the newer source's first going forward (its last going backward): they are copies of one
/// operation, and the filter of versions drops the second.
///
/// After an error there is no entry, until the next seek succeeds.
#[derive(Debug)]
pub(crate) struct MergeCursor<C> {
    sources: Vec<C>,
    /// How the key of each source's entry starts.
    words: Vec<KeyWords>,
    direction: Direction,
    /// The source whose entry is the cursor's, while there is one.
    winner: Option<usize>,
    /// The other sources that have an entry: a heap, the next one to win at its root.
    heap: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl<C: Cursor> MergeCursor<C> {
    /// A cursor over `sources`, newest first, nowhere until the first seek.
    pub(crate) fn new(sources: Vec<C>) -> Self {
        let heap = Vec::with_capacity(sources.len());
        let words = vec![KeyWords::default(); sources.len()];
        Self { sources, words, direction: Direction::Forward, winner: None, heap }
    }

    /// Moves every source with `place`, then finds the winner among them.
    fn restart(
        &mut self,
        direction: Direction,
        place: impl Fn(&mut C) -> Result<()>,
    ) -> Result<()> {
        self.direction = direction;
        self.winner = None;
        self.heap.clear();
        for (i, source) in self.sources.iter_mut().enumerate() {
            place(source)?;
            if let Some(words) = source.words() {
                self.words[i] = words;
                self.heap.push(i);
            }
        }
        for slot in (0..self.heap.len() / 2).rev() {
            self.sift_down(slot);
        }
        self.winner = self.pop();
        Ok(())
    }

    /// Moves the winner with `step`, then lets the runner-up take over if it comes first now.
    fn step(&mut self, step: impl Fn(&mut C) -> Result<()>) -> Result<()> {
        // Taken, so that a step that fails leaves no entry behind.
        let Some(winner) = self.winner.take() else { return Ok(()) };
        step(&mut self.sources[winner])?;
        let Some(words) = self.sources[winner].words() else {
            self.winner = self.pop();
            return Ok(());
        };
        self.words[winner] = words;
        self.winner = Some(winner);
        if let Some(&runner_up) = self.heap.first()
            && self.precedes(runner_up, winner)
        {
            self.winner = Some(mem::replace(&mut self.heap[0], winner));
            self.sift_down(0);
        }
        Ok(())
    }

    /// Whether source `a` is to be yielded before source `b`. Both have an entry.
    #[inline]
    fn precedes(&self, a: usize, b: usize) -> bool {
        let here = &self.words[a];
        let there = &self.words[b];
        match self.direction {
            Direction::Forward if here != there => here < there,
            Direction::Backward if here != there => here > there,
            _ => self.precedes_in_full(a, b),
        }
    }

    /// [`Self::precedes`], where the keys start alike.
    fn precedes_in_full(&self, a: usize, b: usize) -> bool {
        let position = |i: usize| self.sources[i].entry().map(|entry| entry.position());
        let here = (position(a), a);
        let there = (position(b), b);
        match self.direction {
            Direction::Forward => here < there,
            Direction::Backward => here > there,
        }
    }

    fn pop(&mut self) -> Option<usize> {
        if self.heap.is_empty() {
            return None;
        }
        let root = self.heap.swap_remove(0);
        self.sift_down(0);
        Some(root)
    }

    /// Restores the heap below `slot`, the only place where it may be out of order.
    fn sift_down(&mut self, mut slot: usize) {
        loop {
            let left = 2 * slot + 1;
            let Some(&left_source) = self.heap.get(left) else { return };
            let child = match self.heap.get(left + 1) {
                Some(&right_source) if self.precedes(right_source, left_source) => left + 1,
                _ => left,
            };
            if !self.precedes(self.heap[child], self.heap[slot]) {
                return;
            }
            self.heap.swap(slot, child);
            slot = child;
        }
    }
}

impl<C: Cursor> Cursor for MergeCursor<C> {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        self.restart(Direction::Forward, |source| source.seek(target))
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        self.restart(Direction::Backward, |source| source.seek_before(target))
    }

    fn next(&mut self) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Forward, "next follows seek only");
        self.step(C::next)
    }

    fn prev(&mut self) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Backward, "prev follows seek_before only");
        self.step(C::prev)
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.winner.and_then(|winner| self.sources[winner].entry())
    }

    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        let (block, entries) = self.sources[self.winner?].ahead(way, most)?;
        let Some(&runner_up) = self.heap.first() else { return Some((block, entries)) };
        let limit = self.sources[runner_up].entry()?.position();
        Some((block, near_side(block, entries, way, limit)))
    }

    #[inline]
    fn pass_to(&mut self, entry: usize) {
        if let Some(winner) = self.winner {
            self.sources[winner].pass_to(entry);
        }
    }

    fn settle(&mut self) {
        let Some(winner) = self.winner else { return };
        self.sources[winner].settle();
        // The entry is still before the runner-up's.
        self.words[winner] = self.sources[winner].words().unwrap_or_default();
    }

    #[inline]
    fn value_bytes(&self) -> &[u8] {
        self.winner.map(|winner| self.sources[winner].value_bytes()).unwrap_or_default()
    }

    fn value(&self) -> Value {
        self.winner.map_or_else(|| Value::copy(&[]), |winner| self.sources[winner].value())
    }

    #[inline]
    fn stretch(&self, way: Way, edge: Edge<'_>, at: Sequence, to: &mut Vec<u8>) -> bool {
        // What is remembered on the newest source speaks of all that is older too.
        self.sources.first().is_some_and(|newest| newest.stretch(way, edge, at, to))
    }
}

#[cfg(test)]
mod tests;
