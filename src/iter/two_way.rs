//! [`TwoWay`]: two sorted sources seen as one, the inner loop of a merge.
//!
//! Knows the internal order and nothing else: which versions survive is for compaction. Owned by
//! one background thread. [`super::merge`] does this for any number of cursors; here both sources
//! are known to the compiler, and what they have ahead is merged as one batch: a few steps an entry
//! without a virtual call, and nothing is copied. Which of them has the next entry is a number, not
//! a branch, which would be guessed wrong every other time.

use super::Source;
use crate::error::Result;
use crate::format::data_block::Unpacked;
use crate::format::key::Entry;

/// The entries of both sources in order; on equal positions the newer source's first, and then the
/// older's: they are copies of one operation, and the filter of versions drops the second.
///
/// After an error there is no entry any more.
#[derive(Debug)]
pub(crate) struct TwoWay<S> {
    /// The newer, then the older.
    sources: [S; 2],
    failed: bool,
}

/// Entries of both sources from where they stand.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// In order; none only past the end.
    pub(crate) entries: Vec<Entry<'a>>,
    /// How many of them are of which source.
    pub(crate) taken: [usize; 2],
}

impl<S: Source> TwoWay<S> {
    /// Begins where both sources stand.
    pub(crate) fn new(newer: S, older: S) -> Self {
        Self { sources: [newer, older], failed: false }
    }

    /// What comes next, as far as both sources can be looked at from where they stand; in the
    /// memory of a batch before it.
    pub(crate) fn batch(&self, memory: Vec<Entry<'_>>) -> Batch<'_> {
        let sides = match self.failed {
            false => self.sources.each_ref().map(Source::ahead),
            // The other source alone would look like a merge of both.
            true => Default::default(),
        };
        let mut entries = emptied(memory);
        entries.reserve(sides[0].len() + sides[1].len());
        let mut taken = [0, 0];
        while taken[0] < sides[0].len() && taken[1] < sides[1].len() {
            let side = usize::from(is_older_first(&sides, taken));
            entries.push(sides[side].entry(taken[side]));
            taken[side] += 1;
        }
        if entries.is_empty() {
            // One of them has ended.
            let side = usize::from(sides[0].len() == 0);
            taken[side] = sides[side].len();
            entries.extend((0..taken[side]).map(|i| sides[side].entry(i)));
        }
        Batch { entries, taken }
    }

    /// Moves past a batch that said `taken`.
    pub(crate) fn pass(&mut self, taken: [usize; 2]) -> Result<()> {
        for (source, count) in self.sources.iter_mut().zip(taken) {
            let passed = if count > 0 { source.pass(count) } else { Ok(()) };
            passed.inspect_err(|_| self.failed = true)?;
        }
        Ok(())
    }
}

/// The memory of a list for entries that live otherwise: collecting into the same memory is what
/// the standard library does where it can.
pub(crate) fn emptied<'a>(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'a>> {
    entries.clear();
    entries.into_iter().map(|_| unreachable!("it is empty")).collect()
}

/// Whether of these two entries the older source's comes first.
#[inline]
fn is_older_first([newer, older]: &[Unpacked<'_>; 2], at: [usize; 2]) -> bool {
    let words = newer.words(at[0]);
    let other = older.words(at[1]);
    // Of keys in any order, nearly always.
    if words.keyspace == other.keyspace && words.high != other.high {
        return words.high > other.high;
    }
    if words != other {
        return words > other;
    }
    newer.entry(at[0]).position() > older.entry(at[1]).position()
}

#[cfg(test)]
mod tests;
