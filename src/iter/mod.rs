//! Cursors over ordered entries, and the ways to combine them: pure, generic, without I/O of their
//! own.
//!
//! Nothing here knows what a memtable or a segment is. In reading order, for readers: the
//! [`Cursor`] contract, [`merge`] (many cursors as one), [`visible`] (what a reader sees),
//! [`ahead`] (what it sees next, known without a look), [`range`] (what it asks for), [`stretch`]
//! (dead keys that it need not walk over again). For merges of runs: the [`Source`] contract,
//! [`two_way`] (two sources as one).

pub(crate) mod ahead;
pub(crate) mod merge;
pub(crate) mod range;
pub(crate) mod stretch;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod two_way;
pub(crate) mod visible;

use crate::error::Result;
use crate::format::data_block::{Block, Unpacked};
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::Sequence;
use crate::value::Value;

use std::ops::Range;

use stretch::{Edge, Way};

pub use range::KeyRange;

/// A place in an ordered set of entries, moved in one direction after each seek: forward after
/// [`Cursor::seek`], backward after [`Cursor::seek_before`].
///
/// Single-threaded; the set does not lose entries while the cursor lives, and may gain newer ones.
pub(crate) trait Cursor {
    /// Moves to the first entry at or after `target`.
    fn seek(&mut self, target: Position<'_>) -> Result<()>;

    /// Moves to the last entry before `target`.
    fn seek_before(&mut self, target: Position<'_>) -> Result<()>;

    /// Moves one entry on, in key order. Only after `seek`, and only while there is an entry.
    fn next(&mut self) -> Result<()>;

    /// Moves one entry back. Only after `seek_before`, and only while there is an entry.
    fn prev(&mut self) -> Result<()>;

    /// The entry here, or `None` past either end, or before the first seek.
    fn entry(&self) -> Option<Entry<'_>>;

    /// The start of the key here, if there is an entry. A cursor that has it without looking at the
    /// key says so: what comes next is mostly decided by it.
    #[inline]
    fn words(&self) -> Option<KeyWords> {
        self.entry().map(|entry| KeyWords::new(entry.keyspace, entry.key))
    }

    /// The value of the entry here for the user to keep: copied if small, else shared. Empty if
    /// there is none.
    fn value(&self) -> Value;

    /// The key and the value of the entry here where they lie. Empty if there is none.
    #[inline]
    fn pair(&self) -> (&[u8], &[u8]) {
        self.entry().map(|entry| (entry.key, entry.value)).unwrap_or_default()
    }

    /// The block that the entry here lies in, and at most `most` of its entries: this one and those
    /// that come next going `way`, with nothing else between them; none where something else may
    /// be. Most cursors walk no blocks.
    fn ahead(&self, _way: Way, _most: usize) -> Option<(&Block, Range<usize>)> {
        None
    }

    /// Stands at an entry of [`Self::ahead`] if [`Block::take_plain`] gives it, and returns whether
    /// it does. Only its key and its value may be asked for until [`Self::settle`].
    fn pass_to(&mut self, _entry: usize, _at: Sequence) -> bool {
        false
    }

    /// Stands at an entry of [`Self::ahead`], of which everything may be asked.
    fn settle(&mut self, _entry: usize) {}

    /// Whether a stretch of dead keys is remembered that holds at `edge`, for readers at `at`. If
    /// so, `to` becomes the key before which its far end lies, going that way: the cursor may be
    /// moved there. Most cursors know of none.
    fn stretch(&self, _way: Way, _edge: Edge<'_>, _at: Sequence, _to: &mut Vec<u8>) -> bool {
        false
    }
}

/// Entries in internal order, walked once from front to back, some of them at a time: what a merge
/// reads.
///
/// Single-threaded. Once a call has failed there is no entry any more.
pub(crate) trait Source {
    /// Some entries from here on, in order: none only past the end.
    fn ahead(&self) -> Unpacked<'_>;

    /// Moves past the first `count` of [`Self::ahead`].
    fn pass(&mut self, count: usize) -> Result<()>;

    /// The entry here, or `None` past the end.
    fn entry(&self) -> Option<Entry<'_>> {
        let ahead = self.ahead();
        (ahead.len() > 0).then(|| ahead.entry(0))
    }
}
