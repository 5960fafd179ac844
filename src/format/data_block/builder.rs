//! Collects the entries of one data block and lays them out as the table in the parent says.

use super::HEAD_BYTES;
use crate::format::key::Entry;
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
    /// Whole keys, one after another.
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    values: Vec<u8>,
    value_ends: Vec<u32>,
    sequences: Vec<u64>,
    kinds: Vec<u8>,
    /// Bytes shared by all keys so far: keys ascend, so those shared by the first and the last.
    prefix_bytes: usize,
    smallest: u64,
    largest: u64,
}

impl BlockBuilder {
    /// Adds an entry. It follows the last one in the internal order, in the same keyspace.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        debug_assert!(self.is_empty() || self.keyspace == entry.keyspace);
        self.prefix_bytes = self.prefix_bytes_with(entry.key);
        (self.smallest, self.largest) = self.sequences_with(entry.sequence);
        self.keyspace = entry.keyspace;
        self.keys.extend_from_slice(entry.key);
        self.key_ends.push(u32::try_from(self.keys.len()).expect("`fits` bounds the keys"));
        self.values.extend_from_slice(entry.value);
        self.value_ends
            .push(u32::try_from(self.values.len()).expect("`fits` lets one value exceed a block"));
        self.sequences.push(entry.sequence.0);
        self.kinds.push(entry.kind as u8);
    }

    /// Whether the block stays within `payload_bytes_max` with `entry` in it. An empty one takes
    /// any entry.
    pub(crate) fn fits(&self, entry: &Entry<'_>, payload_bytes_max: usize) -> bool {
        self.is_empty()
            || (self.keyspace == entry.keyspace
                && self.keys.len() + entry.key.len() <= KEYS_BYTES_MAX
                && self.bytes_with(entry) <= payload_bytes_max)
    }

    /// Bytes of the payload as it stands.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let span = self.largest - self.smallest;
        payload_bytes(self.len(), self.prefix_bytes, self.keys.len(), self.values.len(), span)
    }

    fn bytes_with(&self, entry: &Entry<'_>) -> usize {
        let (smallest, largest) = self.sequences_with(entry.sequence);
        let keys = self.keys.len() + entry.key.len();
        let values = self.values.len() + entry.value.len();
        let prefix = self.prefix_bytes_with(entry.key);
        payload_bytes(self.len() + 1, prefix, keys, values, largest - smallest)
    }

    fn prefix_bytes_with(&self, key: &[u8]) -> usize {
        match self.key_ends.first() {
            None => key.len(),
            Some(_) => shared_bytes(&self.keys[..self.prefix_bytes], key),
        }
    }

    fn sequences_with(&self, sequence: Sequence) -> (u64, u64) {
        match self.len() {
            0 => (sequence.0, sequence.0),
            _ => (self.smallest.min(sequence.0), self.largest.max(sequence.0)),
        }
    }

    /// How many entries it holds.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether it holds no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The keyspace of its entries.
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// The key of its last entry, if it has one.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        let start = match self.len() {
            0 => return None,
            1 => 0,
            len => self.key_ends[len - 2] as usize,
        };
        Some(&self.keys[start..])
    }

    /// The sequence of its last entry, if it has one.
    pub(crate) fn last_sequence(&self) -> Option<Sequence> {
        self.sequences.last().copied().map(Sequence)
    }

    /// Appends the payload to `out` and starts over.
    ///
    /// # Panics
    ///
    /// If it is empty: a block has at least one entry.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        assert!(!self.is_empty());
        let (count, prefix) = (self.len(), self.prefix_bytes);
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
        for (i, end) in self.key_ends.iter().enumerate() {
            let suffix_end = u64::from(*end) - (i as u64 + 1) * prefix as u64;
            put_number(out, suffix_end, key_width);
        }
        self.value_ends.iter().for_each(|&end| put_number(out, u64::from(end), value_width));
        for sequence in &self.sequences {
            put_number(out, sequence - self.smallest, sequence_width);
        }
        out.extend_from_slice(&self.kinds);
        let mut start = 0;
        for &end in &self.key_ends {
            out.extend_from_slice(&self.keys[start + prefix..end as usize]);
            start = end as usize;
        }
        out.extend_from_slice(&self.values);
        self.clear();
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.key_ends.clear();
        self.values.clear();
        self.value_ends.clear();
        self.sequences.clear();
        self.kinds.clear();
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

fn put_number(out: &mut Vec<u8>, number: u64, width: usize) {
    out.extend_from_slice(&number.to_le_bytes()[..width]);
}

fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
