//! Collects the entries of one data block and lays them out as the table in the parent says.

use super::{HEAD_BYTES, KIND_BITS, SPAN_END, tag};
use crate::format::coding::{PIECE_BYTES, copy_few, copy_part, put_few};
use crate::format::key::{Entry, Kind, Position};
use crate::format::properties::Properties;
use crate::ids::{KeyspaceId, Sequence};

/// Unstripped key bytes that a builder gathers at most: a long shared prefix costs nothing on disk,
/// but memory here.
const KEYS_BYTES_MAX: usize = 8 << 20;

/// Capacity that the builder keeps for the next block.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Bytes of an entry besides its key and its value: a tag and a wide row.
const ENTRY_BYTES_MAX: usize = 1 + 16;

/// Bytes of a block besides its entries: the head, and zeros behind the tags.
const BLOCK_BYTES_MAX: usize = HEAD_BYTES + 7;

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
    tag: u8,
}

impl BlockBuilder {
    /// Adds an entry, if the block stays within `payload_bytes_max` with it; an empty block takes
    /// any. The entry follows the last one in the internal order, and `hash` is its key's. Returns
    /// whether it was added.
    #[inline(always)]
    #[must_use]
    pub(crate) fn add(&mut self, entry: &Entry<'_>, hash: u64, payload_bytes_max: usize) -> bool {
        let sequence = entry.sequence.0;
        let most = self.bytes_max() + ENTRY_BYTES_MAX + entry.key.len() + entry.value.len();
        // Most entries of a block fit in whatever way they are laid out.
        let span = self.largest.max(sequence) - self.smallest.min(sequence);
        let fits = most <= payload_bytes_max.min(KEYS_BYTES_MAX)
            && self.keyspace == entry.keyspace
            && span < SPAN_END;
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
        let kind = entry.kind as u8;
        self.entries.push(Added { sequence, key_end, value_end, kind, tag: tag(hash) });
        true
    }

    /// Adds the first of these entries, as [`Self::add`] would: as many of them as are certain to
    /// fit. Returns how many; of an empty block none. `hashes` are those of their keys.
    pub(crate) fn add_some(
        &mut self,
        entries: &[Entry<'_>],
        hashes: &[u64],
        payload_bytes_max: usize,
    ) -> usize {
        if self.is_empty() {
            return 0;
        }
        let bound = payload_bytes_max.min(KEYS_BYTES_MAX);
        let mut most = self.bytes_max();
        let mut smallest = self.smallest;
        let mut largest = self.largest;
        let certain = entries.iter().take_while(|entry| {
            most += ENTRY_BYTES_MAX + entry.key.len() + entry.value.len();
            smallest = smallest.min(entry.sequence.0);
            largest = largest.max(entry.sequence.0);
            let in_span = largest - smallest < SPAN_END;
            most <= bound && entry.keyspace == self.keyspace && in_span
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
        self.entries.extend(entries.iter().zip(hashes).map(|(entry, &hash)| {
            let sequence = entry.sequence.0;
            self.smallest = self.smallest.min(sequence);
            self.largest = self.largest.max(sequence);
            self.tombstones += usize::from(entry.kind == Kind::Tombstone);
            // Within `bound`, so neither overflows.
            key_end += entry.key.len() as u32;
            value_end += entry.value.len() as u32;
            Added { sequence, key_end, value_end, kind: entry.kind as u8, tag: tag(hash) }
        }));
        entries.len()
    }

    /// Whether a block that has entries takes this one too.
    #[inline(never)]
    fn fits_exactly(&self, entry: &Entry<'_>, payload_bytes_max: usize) -> bool {
        let keys = self.keys.len() + entry.key.len();
        let sequence = entry.sequence.0;
        let span = self.largest.max(sequence) - self.smallest.min(sequence);
        if self.keyspace != entry.keyspace || keys > KEYS_BYTES_MAX || span >= SPAN_END {
            return false;
        }
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
        BLOCK_BYTES_MAX + entries + self.keys.len() + self.values.len()
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
        let suffixes = self.keys.len() - count * prefix;
        let wide = is_wide(suffixes, self.values.len(), self.largest - self.smallest);
        out.reserve(self.bytes() + PIECE_BYTES);
        out.extend_from_slice(&self.keyspace.0.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        out.extend_from_slice(&(prefix as u16).to_le_bytes());
        out.extend_from_slice(&[row_bytes(wide) as u8, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.smallest.to_le_bytes());
        out.extend_from_slice(&self.keys[..prefix]);
        let tags_at = out.len();
        out.extend(self.entries.iter().map(|entry| entry.tag));
        out.resize(tags_at + count.next_multiple_of(8), 0);
        self.put_rows(out, prefix as u32, wide);
        let mut start = 0;
        let mut at = out.len();
        let end = at + suffixes;
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

    fn put_rows(&self, out: &mut Vec<u8>, prefix: u32, wide: bool) {
        let at = out.len();
        let bytes = row_bytes(wide);
        out.resize(at + self.entries.len() * bytes, 0);
        let rows = out[at..].chunks_exact_mut(bytes).zip(&self.entries);
        let mut prefixes = 0;
        for (row, entry) in rows {
            prefixes += u64::from(prefix);
            // Each key has the prefix, so this is not negative.
            let key_end = u64::from(entry.key_end) - prefixes;
            let value_end = u64::from(entry.value_end);
            let delta = entry.sequence - self.smallest;
            let version = delta << KIND_BITS | u64::from(entry.kind);
            if wide {
                row[..8].copy_from_slice(&(key_end | value_end << 32).to_le_bytes());
                row[8..].copy_from_slice(&version.to_le_bytes());
            } else {
                row.copy_from_slice(&(key_end | value_end << 16 | version << 32).to_le_bytes());
            }
        }
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
    let rows = count * row_bytes(is_wide(suffixes, values, span));
    HEAD_BYTES + count.next_multiple_of(8) + rows + prefix + suffixes + values
}

/// Whether the numbers of a row, at most these, need 16 bytes.
pub(super) fn is_wide(suffixes: usize, values: usize, span: u64) -> bool {
    let ends = usize::from(u16::MAX);
    suffixes > ends || values > ends || span > u64::from(u32::MAX >> KIND_BITS)
}

pub(super) fn row_bytes(wide: bool) -> usize {
    if wide { 16 } else { 8 }
}

fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    // Whole words first: keys may share much.
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}
