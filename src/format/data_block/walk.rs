//! A walk over a data block, for merges and scans: a window of entries is unpacked at a time, which
//! costs less than finding each entry by itself.
//!
//! Knows the layout as the parent does, and nothing of where the block came from. Used by the one
//! thread that reads the block.

use std::ops::Range;

use super::{Block, Row};
use crate::format::coding::{PIECE_BYTES, copy_part};
use crate::format::key::{Entry, KeyWords, Kind};
use crate::ids::{KeyspaceId, Sequence};

/// Entries that are unpacked at a time, a bound for the memory of long keys: 8 MiB.
const WINDOW_ENTRIES: usize = 128;

/// Some consecutive entries of a block, and how many of them a walk has passed. Its memory is used
/// again.
#[derive(Debug, Default)]
pub(crate) struct Window {
    rows: Vec<UnpackedRow>,
    passed: usize,
    /// The number of the entry after them in the block.
    next: usize,
    /// Their whole keys, one after another.
    keys: Vec<u8>,
}

/// What is known of an entry.
#[derive(Clone, Copy, Debug)]
struct UnpackedRow {
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

impl Default for UnpackedRow {
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

    /// Where its keys lie.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.keys.as_ptr().addr()
    }
}

/// Consecutive entries that can be looked at side by side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unpacked<'a> {
    rows: &'a [UnpackedRow],
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
        let UnpackedRow { words, sequence, kind, .. } = self.rows[i];
        let UnpackedRow { key_at, key_end, value_at, value_end, .. } = self.rows[i];
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
        window.rows.resize(entries.len(), UnpackedRow::default());
        // A width that the compiler knows makes each row one or two loads.
        match self.wide {
            false => self.unpack_rows::<false>(&entries, window),
            true => self.unpack_rows::<true>(&entries, window),
        }
    }

    #[inline]
    fn unpack_rows<const WIDE: bool>(&self, entries: &Range<usize>, window: &mut Window) {
        let Window { rows, keys, .. } = window;
        let prefix_at = self.head_end();
        let prefix_end = self.tags_at();
        let prefix_bytes = prefix_end - prefix_at;
        let (key_start, value_start) = self.starts(entries.start);
        let mut from = self.keys_at() + key_start as usize;
        let mut value_at = self.values_at() + value_start as usize;
        let last = self.keys_at() + self.row(entries.end - 1).key_end as usize;
        let len = entries.len() * prefix_bytes + (last - from);
        // Room for a whole piece behind the last key; what is there from before does not matter.
        keys.resize(keys.len().max(len + PIECE_BYTES), 0);
        let stored = self.row_bytes(entries.start).chunks_exact(8 << u32::from(WIDE));
        let mut at = 0;
        for (row, stored) in rows.iter_mut().zip(stored) {
            let stored = Row::read(stored, WIDE);
            let to = self.keys_at() + stored.key_end as usize;
            copy_part(keys, at, &self.bytes, prefix_at, prefix_end);
            copy_part(keys, at + prefix_bytes, &self.bytes, from, to);
            (row.key_at, row.key_end) = (at, at + prefix_bytes + (to - from));
            row.words = KeyWords::new(self.keyspace, &keys[at..row.key_end]);
            (at, from) = (row.key_end, to);
            row.value_at = value_at;
            value_at = self.values_at() + stored.value_end as usize;
            row.value_end = value_at;
            row.sequence = Sequence(self.base + stored.delta());
            row.kind = Kind::from_byte(stored.kind()).expect("decode refuses unknown kinds");
        }
    }
}
