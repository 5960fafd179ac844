//! A walk over a data block, for merges and scans: a window of entries is unpacked at a time,
//! column by column, which costs less than finding each entry by itself.
//!
//! Knows the layout as the parent does, and nothing of where the block came from. Used by the one
//! thread that reads the block.

use std::ops::Range;

use super::Block;
use crate::format::coding::{PIECE_BYTES, copy_part};
use crate::format::key::{Entry, KeyWords, Kind};
use crate::ids::{KeyspaceId, Sequence};

/// Entries that are unpacked at a time, a bound for the memory of long keys: 8 MiB.
pub(crate) const WINDOW_ENTRIES: usize = 128;

/// Some consecutive entries of a block, and how many of them a walk has passed. Its memory is used
/// again.
#[derive(Debug, Default)]
pub(crate) struct Window {
    rows: Vec<Row>,
    passed: usize,
    /// The number of the entry after them in the block.
    next: usize,
    /// Their whole keys, one after another.
    keys: Vec<u8>,
}

/// What is known of an entry.
#[derive(Clone, Copy, Debug)]
struct Row {
    words: KeyWords,
    // In the window's keys.
    key_at: usize,
    key_end: usize,
    // In the block's bytes.
    value_at: usize,
    value_end: usize,
    sequence: Sequence,
    kind: Kind,
}

impl Default for Row {
    fn default() -> Self {
        let key_at = 0;
        let key_end = 0;
        let value_at = 0;
        let value_end = 0;
        let words = KeyWords::default();
        let sequence = Sequence(0);
        let kind = Kind::Value;
        Self { words, key_at, key_end, value_at, value_end, sequence, kind }
    }
}

impl Window {
    /// The entries that are left, of `block`, which the window was unpacked from.
    #[inline]
    pub(crate) fn unpacked<'a>(&'a self, block: &'a Block) -> Unpacked<'a> {
        Unpacked { rows: &self.rows[self.passed..], keys: &self.keys, bytes: &block.bytes }
    }

    /// Passes `count` entries, and returns whether any is left.
    pub(crate) fn pass(&mut self, count: usize) -> bool {
        self.passed += count;
        self.passed < self.rows.len()
    }

    /// The number in its block of the entry after those that are unpacked.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// The key of the entry in row `i` of those that were unpacked.
    #[inline]
    pub(crate) fn key(&self, i: usize) -> &[u8] {
        let Row { key_at, key_end, .. } = self.rows[i];
        &self.keys[key_at..key_end]
    }

    /// Where its keys lie.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.keys.as_ptr().addr()
    }
}

/// Consecutive entries that can be looked at side by side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unpacked<'a> {
    rows: &'a [Row],
    keys: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Unpacked<'a> {
    /// How many they are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How the key of entry `i` starts.
    #[inline]
    pub(crate) fn words(&self, i: usize) -> KeyWords {
        self.rows[i].words
    }

    /// Entry `i`.
    #[inline]
    pub(crate) fn entry(&self, i: usize) -> Entry<'a> {
        let Row { words, sequence, kind, .. } = self.rows[i];
        let Row { key_at, key_end, value_at, value_end, .. } = self.rows[i];
        let key = &self.keys[key_at..key_end];
        let value = &self.bytes[value_at..value_end];
        Entry { keyspace: KeyspaceId(words.keyspace), key, sequence, kind, value }
    }
}

impl Block {
    /// Unpacks the first of `entries`, which must not be empty, and as many more of them as it
    /// takes at a time.
    pub(crate) fn unpack(&self, entries: Range<usize>, window: &mut Window) {
        let entries = entries.start..entries.end.min(entries.start + WINDOW_ENTRIES);
        (window.passed, window.next) = (0, entries.end);
        window.rows.resize(entries.len(), Row::default());
        self.unpack_keys(&entries, window);
        let rows = &mut window.rows;
        let mut value_at = self.value_range(entries.start).start;
        self.unpack_column(self.value_ends_at, self.value_width, &entries, rows, |row, end| {
            row.value_at = value_at;
            value_at = self.values_at + end as usize;
            row.value_end = value_at;
        });
        let at = self.sequences_at;
        let width = self.sequence_width;
        self.unpack_column(at, width, &entries, rows, |row, delta| {
            row.sequence = Sequence(self.base + delta);
        });
        for (row, &kind) in rows.iter_mut().zip(&self.bytes[self.kinds_at..][entries]) {
            row.kind = Kind::from_byte(kind).expect("decode refuses unknown kinds");
        }
    }

    fn unpack_keys(&self, entries: &Range<usize>, window: &mut Window) {
        let Window { rows, keys, .. } = window;
        let prefix = self.prefix();
        let mut from = self.keys_at + self.key_start(entries.start);
        let last = self.number(self.key_ends_at, self.key_width, entries.end - 1) as usize;
        let len = entries.len() * prefix.len() + (self.keys_at + last - from);
        // Room for a whole piece behind the last key; what is there from before does not matter.
        keys.resize(keys.len().max(len + PIECE_BYTES), 0);
        self.unpack_column(self.key_ends_at, self.key_width, entries, rows, |row, end| {
            row.key_end = end as usize;
        });
        let mut at = 0;
        for row in rows.iter_mut() {
            let to = self.keys_at + row.key_end;
            copy_part(keys, at, &self.bytes, self.prefix_at, self.key_ends_at);
            copy_part(keys, at + prefix.len(), &self.bytes, from, to);
            (row.key_at, row.key_end) = (at, at + prefix.len() + (to - from));
            row.words = KeyWords::new(self.keyspace, &keys[at..row.key_end]);
            (at, from) = (row.key_end, to);
        }
    }

    /// Lets `unpack` take in the number of each entry's row in the array at `array_at`.
    #[inline]
    fn unpack_column(
        &self,
        array_at: usize,
        width: u8,
        entries: &Range<usize>,
        rows: &mut [Row],
        unpack: impl FnMut(&mut Row, u64),
    ) {
        let wide = usize::from(width);
        let column = &self.bytes[array_at + entries.start * wide..array_at + entries.end * wide];
        // A width that the compiler knows makes each number one load.
        match width {
            1 => unpack_words::<1>(column, rows, unpack),
            2 => unpack_words::<2>(column, rows, unpack),
            4 => unpack_words::<4>(column, rows, unpack),
            _ => unpack_words::<8>(column, rows, unpack),
        }
    }
}

#[inline]
fn unpack_words<const WIDTH: usize>(
    column: &[u8],
    rows: &mut [Row],
    mut unpack: impl FnMut(&mut Row, u64),
) {
    for (row, number) in rows.iter_mut().zip(column.as_chunks::<WIDTH>().0) {
        let mut word = [0; 8];
        word[..WIDTH].copy_from_slice(number);
        unpack(row, u64::from_le_bytes(word));
    }
}
