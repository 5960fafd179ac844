//! Collects the entries of one data block and lays them out as the table in the parent says.

use super::HEAD_BYTES;
use crate::format::coding::{put_few, put_part};
use crate::format::key::{Entry, Kind, Position};
use crate::format::properties::Properties;
use crate::ids::{KeyspaceId, Sequence};

/// Unstripped key bytes that a builder gathers at most: a long shared prefix costs nothing on disk,
/// but memory here.
const KEYS_BYTES_MAX: usize = 8 << 20;

/// Capacity that the builder keeps for the next block.
const KEPT_BYTES_MAX: usize = 1 << 20;

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
    /// Bytes shared by all keys so far: keys ascend, so those shared by the first and the last.
    prefix_bytes: usize,
    smallest: u64,
    largest: u64,
    tombstones: usize,
    /// Bytes of the payload as it stands.
    bytes: usize,
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
        let keys = self.keys.len() + entry.key.len();
        let values = self.values.len() + entry.value.len();
        let sequence = entry.sequence.0;
        let (prefix, smallest, largest) = match self.entries.len() {
            0 => (entry.key.len(), sequence, sequence),
            _ => (
                shared_bytes(&self.keys, self.prefix_bytes, entry.key),
                self.smallest.min(sequence),
                self.largest.max(sequence),
            ),
        };
        let bytes = payload_bytes(self.entries.len() + 1, prefix, keys, values, largest - smallest);
        let fits =
            bytes <= payload_bytes_max && keys <= KEYS_BYTES_MAX && self.keyspace == entry.keyspace;
        if !fits && !self.entries.is_empty() {
            return false;
        }
        self.keyspace = entry.keyspace;
        (self.prefix_bytes, self.smallest, self.largest) = (prefix, smallest, largest);
        self.bytes = bytes;
        self.last_key_at = self.keys.len();
        put_few(&mut self.keys, entry.key);
        self.values.extend_from_slice(entry.value);
        let key_end = u32::try_from(keys).expect("bounded above, or one key");
        let value_end = u32::try_from(values).expect("one value at most exceeds a block");
        self.tombstones += usize::from(entry.kind == Kind::Tombstone);
        self.entries.push(Added { sequence, key_end, value_end, kind: entry.kind as u8 });
        true
    }

    /// Bytes of the payload as it stands.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
        let (count, prefix) = (self.entries.len(), self.prefix_bytes);
        let key_width = end_width(self.keys.len() - count * prefix);
        let value_width = end_width(self.values.len());
        let sequence_width = delta_width(self.largest - self.smallest);
        out.reserve(self.bytes());
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
        for entry in &self.entries {
            let end = entry.key_end as usize;
            put_part(out, &self.keys, start + prefix, end);
            start = end;
        }
        out.extend_from_slice(&self.values);
        self.clear();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.values.clear();
        (self.last_key_at, self.tombstones, self.bytes) = (0, 0, 0);
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

/// How many of the first `prefix_bytes` bytes of `keys` the key begins with: all, nearly always.
#[inline]
fn shared_bytes(keys: &[u8], prefix_bytes: usize, key: &[u8]) -> usize {
    // Within a word there is no call to make.
    if let (Some(first), Some(key)) = (keys.first_chunk::<8>(), key.first_chunk::<8>()) {
        let differ = u64::from_le_bytes(*first) ^ u64::from_le_bytes(*key);
        let shared = differ.trailing_zeros() as usize / 8;
        if shared < 8 || prefix_bytes <= 8 {
            return shared.min(prefix_bytes);
        }
    }
    let prefix = &keys[..prefix_bytes];
    if key.starts_with(prefix) {
        return prefix_bytes;
    }
    prefix.iter().zip(key).take_while(|(a, b)| a == b).count()
}
