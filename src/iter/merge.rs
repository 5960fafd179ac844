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
//! The first 16 bytes of each source's key stand beside its cursor: a comparison that they decide,
//! which is nearly every one, meets no cache miss where the keys lie.

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
    sources: Vec<Ranked<C>>,
    direction: Direction,
    /// The source whose entry is the cursor's, while there is one.
    winner: Option<usize>,
    /// The other sources that have an entry: a heap, the next one to win at its root.
    heap: Vec<usize>,
}

#[derive(Debug)]
struct Ranked<C> {
    cursor: C,
    /// How the key of its entry starts.
    words: KeyWords,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl<C: Cursor> MergeCursor<C> {
    /// A cursor over `sources`, newest first, nowhere until the first seek.
    pub(crate) fn new(sources: Vec<C>) -> Self {
        let mut merge = Self::with_room(sources.len());
        sources.into_iter().for_each(|source| merge.push(source));
        merge
    }

    /// A cursor over nothing yet, with room for this many sources.
    pub(crate) fn with_room(count: usize) -> Self {
        // Where one source has entries, which is common, the heap takes no memory.
        let heap = Vec::new();
        let sources = Vec::with_capacity(count);
        Self { sources, direction: Direction::Forward, winner: None, heap }
    }

    /// Adds a source, which is older than those that are there. Only before the first seek.
    pub(crate) fn push(&mut self, cursor: C) {
        self.sources.push(Ranked { cursor, words: KeyWords::default() });
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
        let mut last = None;
        for (i, source) in self.sources.iter_mut().enumerate() {
            place(&mut source.cursor)?;
            if let Some(words) = source.cursor.words() {
                source.words = words;
                self.heap.extend(last.replace(i));
            }
        }
        for slot in (0..self.heap.len() / 2).rev() {
            self.sift_down(slot);
        }
        self.winner = last;
        self.let_pass();
        Ok(())
    }

    /// Moves the winner with `step`, then lets the runner-up take over if it comes first now.
    fn step(&mut self, step: impl Fn(&mut C) -> Result<()>) -> Result<()> {
        // Taken, so that a step that fails leaves no entry behind.
        let Some(winner) = self.winner.take() else { return Ok(()) };
        let source = &mut self.sources[winner];
        step(&mut source.cursor)?;
        let Some(words) = source.cursor.words() else {
            self.winner = self.pop();
            return Ok(());
        };
        source.words = words;
        self.winner = Some(winner);
        self.let_pass();
        Ok(())
    }

    /// Lets the runner-up take over if it comes first.
    #[inline]
    fn let_pass(&mut self) {
        if let Some(winner) = self.winner
            && let Some(&runner_up) = self.heap.first()
            && self.precedes(runner_up, winner)
        {
            self.winner = Some(mem::replace(&mut self.heap[0], winner));
            self.sift_down(0);
        }
    }

    /// Whether source `a` is to be yielded before source `b`. Both have an entry.
    #[inline]
    fn precedes(&self, a: usize, b: usize) -> bool {
        let here = &self.sources[a].words;
        let there = &self.sources[b].words;
        match self.direction {
            Direction::Forward if here != there => here < there,
            Direction::Backward if here != there => here > there,
            _ => self.precedes_in_full(a, b),
        }
    }

    /// [`Self::precedes`], where the keys start alike.
    fn precedes_in_full(&self, a: usize, b: usize) -> bool {
        let position = |i: usize| self.sources[i].cursor.entry().map(|entry| entry.position());
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
        self.winner.and_then(|winner| self.sources[winner].cursor.entry())
    }

    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        let (block, entries) = self.sources[self.winner?].cursor.ahead(way, most)?;
        let Some(&runner_up) = self.heap.first() else { return Some((block, entries)) };
        let limit = self.sources[runner_up].cursor.entry()?.position();
        Some((block, near_side(block, entries, way, limit)))
    }

    #[inline]
    fn pass_to(&mut self, entry: usize, at: Sequence) -> bool {
        self.winner.is_some_and(|winner| self.sources[winner].cursor.pass_to(entry, at))
    }

    fn settle(&mut self, entry: usize) {
        let Some(winner) = self.winner else { return };
        let source = &mut self.sources[winner];
        source.cursor.settle(entry);
        // The entry is still before the runner-up's.
        source.words = source.cursor.words().unwrap_or_default();
    }

    #[inline]
    fn pair(&self) -> (&[u8], &[u8]) {
        self.winner.map(|winner| self.sources[winner].cursor.pair()).unwrap_or_default()
    }

    fn value(&self) -> Value {
        self.winner.map_or_else(|| Value::copy(&[]), |winner| self.sources[winner].cursor.value())
    }

    #[inline]
    fn stretch(&self, way: Way, edge: Edge<'_>, at: Sequence, to: &mut Vec<u8>) -> bool {
        // What is remembered on the newest source speaks of all that is older too.
        self.sources.first().is_some_and(|newest| newest.cursor.stretch(way, edge, at, to))
    }
}

#[cfg(test)]
mod tests;
