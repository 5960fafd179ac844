//! Collects the entries of one data block and lays them out as the table in the parent says.

use super::HEAD_BYTES;
use crate::format::coding::{PIECE_BYTES, copy_few, copy_part, put_few};
use crate::format::key::{Entry, Kind, Position};
use crate::format::properties::Properties;
use crate::ids::{KeyspaceId, Sequence};

/// Unstripped key bytes that a builder gathers at most: a long shared prefix costs nothing on disk,
/// but memory here.
const KEYS_BYTES_MAX: usize = 8 << 20;

/// Capacity that the builder keeps for the next block.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Bytes of an entry besides its key and its value: two ends, a sequence and a kind, all as wide as
/// they can be.
const ENTRY_BYTES_MAX: usize = 4 + 4 + 8 + 1;

/// Gathers ascending entries of one keyspace.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    keyspace: KeyspaceId,
    entries: Vec<Added>,
    /// Whole keys, one after another.
    keys: Vec<u8>,
    /// Where the last key begins in `keys`.
    last_key_at: usize,
    values: Vec<u8>,
    // Stale while it is empty: the first entry sets both.
    smallest: u64,
    largest: u64,
    tombstones: usize,
}

/// What is known of an entry besides its bytes.
#[derive(Debug)]
struct Added {
    sequence: u64,
    /// Where its key ends in `keys`, and its value in `values`.
    key_end: u32,
    value_end: u32,
    kind: u8,
}

impl BlockBuilder {
    /// Adds an entry, if the block stays within `payload_bytes_max` with it; an empty block takes
    /// any. The entry follows the last one in the internal order. Returns whether it was added.
    #[inline(always)]
    #[must_use]
    pub(crate) fn add(&mut self, entry: &Entry<'_>, payload_bytes_max: usize) -> bool {
        let sequence = entry.sequence.0;
        let most = self.bytes_max() + ENTRY_BYTES_MAX + entry.key.len() + entry.value.len();
        // Most entries of a block fit in whatever way they are laid out.
        let fits = most <= payload_bytes_max.min(KEYS_BYTES_MAX) && self.keyspace == entry.keyspace;
        if self.entries.is_empty() {
            self.keyspace = entry.keyspace;
            (self.smallest, self.largest) = (sequence, sequence);
        } else if !fits && !self.fits_exactly(entry, payload_bytes_max) {
            return false;
        }
        self.smallest = self.smallest.min(sequence);
        self.largest = self.largest.max(sequence);
        self.last_key_at = self.keys.len();
        put_few(&mut self.keys, entry.key);
        self.values.extend_from_slice(entry.value);
        let key_end = u32::try_from(self.keys.len()).expect("bounded above, or one key");
        let value_end = u32::try_from(self.values.len());
        let value_end = value_end.expect("one value at most exceeds a block");
        self.tombstones += usize::from(entry.kind == Kind::Tombstone);
        self.entries.push(Added { sequence, key_end, value_end, kind: entry.kind as u8 });
        true
    }

    /// Adds the first of these entries, as [`Self::add`] would: as many of them as are certain to
    /// fit. Returns how many; of an empty block none.
    pub(crate) fn add_some(&mut self, entries: &[Entry<'_>], payload_bytes_max: usize) -> usize {
        if self.is_empty() {
            return 0;
        }
        let bound = payload_bytes_max.min(KEYS_BYTES_MAX);
        let mut most = self.bytes_max();
        let certain = entries.iter().take_while(|entry| {
            most += ENTRY_BYTES_MAX + entry.key.len() + entry.value.len();
            most <= bound && entry.keyspace == self.keyspace
        });
        let entries = &entries[..certain.count()];
        let mut key_end = self.keys.len() as u32;
        let mut value_end = self.values.len() as u32;
        let bytes: usize = entries.iter().map(|entry| entry.key.len()).sum();
        self.keys.resize(self.keys.len() + bytes, 0);
        let mut room = &mut self.keys[key_end as usize..];
        for entry in entries {
            let (key, rest) = room.split_at_mut(entry.key.len());
            copy_few(key, entry.key);
            room = rest;
        }
        if let Some(last) = entries.last() {
            self.last_key_at = self.keys.len() - last.key.len();
        }
        entries.iter().for_each(|entry| self.values.extend_from_slice(entry.value));
        self.entries.extend(entries.iter().map(|entry| {
            let sequence = entry.sequence.0;
            self.smallest = self.smallest.min(sequence);
            self.largest = self.largest.max(sequence);
            self.tombstones += usize::from(entry.kind == Kind::Tombstone);
            // Within `bound`, so neither overflows.
            key_end += entry.key.len() as u32;
            value_end += entry.value.len() as u32;
            Added { sequence, key_end, value_end, kind: entry.kind as u8 }
        }));
        entries.len()
    }

    /// Whether a block that has entries takes this one too.
    #[inline(never)]
    fn fits_exactly(&self, entry: &Entry<'_>, payload_bytes_max: usize) -> bool {
        let keys = self.keys.len() + entry.key.len();
        if self.keyspace != entry.keyspace || keys > KEYS_BYTES_MAX {
            return false;
        }
        let sequence = entry.sequence.0;
        let span = self.largest.max(sequence) - self.smallest.min(sequence);
        let prefix = shared_bytes(self.first_key(), entry.key);
        let values = self.values.len() + entry.value.len();
        payload_bytes(self.entries.len() + 1, prefix, keys, values, span) <= payload_bytes_max
    }

    /// Bytes of the payload as it stands; of none if it is empty.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let keys = self.keys.len();
        let values = self.values.len();
        let span = self.largest - self.smallest;
        payload_bytes(self.entries.len(), self.prefix_bytes(), keys, values, span)
    }

    /// A bound for [`Self::bytes`] that takes no look at the keys.
    #[inline]
    pub(crate) fn bytes_max(&self) -> usize {
        let entries = self.entries.len() * ENTRY_BYTES_MAX;
        HEAD_BYTES + entries + self.keys.len() + self.values.len()
    }

    /// Bytes shared by all keys: they ascend, so those shared by the first and the last.
    fn prefix_bytes(&self) -> usize {
        shared_bytes(self.first_key(), &self.keys[self.last_key_at..])
    }

    /// The key of its first entry; of none it is empty.
    pub(crate) fn first_key(&self) -> &[u8] {
        let end = self.entries.first().map_or(0, |first| first.key_end as usize);
        &self.keys[..end]
    }

    /// Whether it holds no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The place of its last entry, if it has one.
    #[inline]
    pub(crate) fn last(&self) -> Option<Position<'_>> {
        let sequence = Sequence(self.entries.last()?.sequence);
        Some(Position { keyspace: self.keyspace, key: &self.keys[self.last_key_at..], sequence })
    }

    /// Adds what it holds to the facts about its segment, the keys at either end and the block
    /// itself aside.
    pub(crate) fn count(&self, properties: &mut Properties) {
        let none_yet = properties.entries() == 0;
        let smallest = if none_yet { self.smallest } else { properties.smallest.0 };
        properties.smallest = Sequence(smallest.min(self.smallest));
        properties.largest = properties.largest.max(Sequence(self.largest));
        properties.values += (self.entries.len() - self.tombstones) as u64;
        properties.tombstones += self.tombstones as u64;
        properties.raw_bytes += (self.keys.len() + self.values.len()) as u64;
    }

    /// Appends the payload to `out` and starts over.
    ///
    /// # Panics
    ///
    /// If it is empty: a block has at least one entry.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        assert!(!self.is_empty());
        let count = self.entries.len();
        let prefix = self.prefix_bytes();
        let key_width = end_width(self.keys.len() - count * prefix);
        let value_width = end_width(self.values.len());
        let sequence_width = delta_width(self.largest - self.smallest);
        out.reserve(self.bytes() + PIECE_BYTES);
        out.extend_from_slice(&self.keyspace.0.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        out.extend_from_slice(&(prefix as u16).to_le_bytes());
        let widths = [key_width as u8, value_width as u8, sequence_width as u8];
        out.extend_from_slice(&widths);
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.smallest.to_le_bytes());
        out.extend_from_slice(&self.keys[..prefix]);
        let entries = || self.entries.iter();
        let key_ends = entries().enumerate().map(|(i, entry)| {
            let prefixes = (i as u64 + 1) * prefix as u64;
            u64::from(entry.key_end) - prefixes
        });
        put_numbers(out, key_width, key_ends);
        put_numbers(out, value_width, entries().map(|entry| u64::from(entry.value_end)));
        put_numbers(out, sequence_width, entries().map(|entry| entry.sequence - self.smallest));
        put_numbers(out, 1, entries().map(|entry| u64::from(entry.kind)));
        let mut start = 0;
        let mut at = out.len();
        let end = at + self.keys.len() - count * prefix;
        // Room for a whole piece behind the last key.
        out.resize(end + PIECE_BYTES, 0);
        for entry in &self.entries {
            let end = entry.key_end as usize;
            copy_part(out, at, &self.keys, start + prefix, end);
            at += end - start - prefix;
            start = end;
        }
        out.truncate(end);
        out.extend_from_slice(&self.values);
        self.clear();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.values.clear();
        (self.last_key_at, self.tombstones) = (0, 0);
        // One huge entry must not cost its memory until the segment is done.
        self.keys.shrink_to(KEPT_BYTES_MAX);
        self.values.shrink_to(KEPT_BYTES_MAX);
    }
}

fn payload_bytes(count: usize, prefix: usize, keys: usize, values: usize, span: u64) -> usize {
    let suffixes = keys - count * prefix;
    let per_entry = end_width(suffixes) + end_width(values) + delta_width(span) + 1;
    HEAD_BYTES + prefix + count * per_entry + suffixes + values
}

fn end_width(end: usize) -> usize {
    if end <= usize::from(u16::MAX) { 2 } else { 4 }
}

fn delta_width(delta: u64) -> usize {
    match delta {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

fn put_numbers(out: &mut Vec<u8>, width: usize, numbers: impl ExactSizeIterator<Item = u64>) {
    match width {
        1 => put_words::<1>(out, numbers),
        2 => put_words::<2>(out, numbers),
        4 => put_words::<4>(out, numbers),
        _ => put_words::<8>(out, numbers),
    }
}

/// A width that the compiler knows makes each number one store.
fn put_words<const WIDTH: usize>(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64>) {
    let at = out.len();
    out.resize(at + numbers.len() * WIDTH, 0);
    for (word, number) in out[at..].chunks_exact_mut(WIDTH).zip(numbers) {
        word.copy_from_slice(&number.to_le_bytes()[..WIDTH]);
    }
}

fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    // Whole words first: keys may share much.
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}
