//! A data block's payload: sorted entries of one keyspace, every one of them addressable at once.
//!
//! No deltas between neighbours and no restarts, so a step back costs what a step forward does.
//! Keys lie apart from values, so that a search touches few cache lines.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 4 | keyspace id |
//! | 4 | 4 | count *n* of entries, at least 1 |
//! | 8 | 2 | length *p* of the prefix that all keys share |
//! | 10 | 1 | width *k* of a key end, 2 or 4 |
//! | 11 | 1 | width *v* of a value end, 2 or 4 |
//! | 12 | 1 | width *s* of a sequence delta, 1, 2, 4 or 8 |
//! | 13 | 3 | zero |
//! | 16 | 8 | base sequence |
//! | 24 | p | the prefix |
//! | | n × k | key ends: where each key's suffix ends in the key area |
//! | | n × v | value ends: where each value ends in the value area |
//! | | n × s | sequence deltas: sequence minus base |
//! | | n × 1 | kinds |
//! | | last key end | key area: the keys without the prefix |
//! | | last value end | value area, to the end of the payload |
//!
//! [`Block::decode`] checks all of it once, except the order of the keys, which the block's
//! checksum vouches for; no access to a decoded block can fail.

mod builder;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::Range;

use super::Malformed;
use super::coding::Decoder;
use super::key::{KEY_BYTES_MAX, KIND_RESERVED_MAX, Kind, Position, VALUE_BYTES_MAX};
use crate::ids::{KeyspaceId, Sequence};
use crate::value::Backing;

pub(crate) use builder::BlockBuilder;
pub(crate) use walk::{Unpacked, WINDOW_ENTRIES, Window};

const HEAD_BYTES: usize = 24;
const WHAT: &str = "data block";

/// A checked data block in memory, with the bytes it was read in.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    keyspace: KeyspaceId,
    count: usize,
    base: u64,
    key_width: u8,
    value_width: u8,
    sequence_width: u8,
    // Offsets in `bytes`; each area ends where the next begins.
    prefix_at: usize,
    key_ends_at: usize,
    value_ends_at: usize,
    sequences_at: usize,
    kinds_at: usize,
    keys_at: usize,
    values_at: usize,
}

impl Backing for Block {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Block {
    /// Checks and takes over a payload that begins at `start` of `bytes`. Offsets in the error
    /// count from `start`.
    pub(crate) fn decode(bytes: Vec<u8>, start: usize) -> Result<Self, Malformed> {
        let end = bytes.len();
        Self::decode_part(bytes, start..end)
    }

    /// [`Self::decode`] of a payload that is one part of `bytes`, all of which it takes over.
    pub(crate) fn decode_part(bytes: Vec<u8>, part: Range<usize>) -> Result<Self, Malformed> {
        let start = part.start;
        let payload = bytes.get(part).unwrap_or_default();
        let payload_bytes = payload.len();
        let mut decoder = Decoder::new(payload, WHAT);
        let keyspace = KeyspaceId(decoder.u32()?);
        let count = decoder.u32()? as usize;
        let prefix_bytes = usize::from(decoder.u16()?);
        let [key_width, value_width, sequence_width, zeros @ ..] = decoder.array::<6>()?;
        let base = decoder.u64()?;
        if count == 0 || zeros != [0; 3] {
            let got = format!("{count} entries, {zeros:?}");
            return Err(Malformed::new(4, WHAT, "at least one entry, and zeros", got));
        }
        if ![2, 4].contains(&key_width)
            || ![2, 4].contains(&value_width)
            || ![1, 2, 4, 8].contains(&sequence_width)
        {
            let got = format!("{key_width}, {value_width}, {sequence_width}");
            return Err(Malformed::new(10, WHAT, "widths of 2 or 4, 2 or 4, 1, 2, 4 or 8", got));
        }
        // Each array is within the payload before its length is used, so nothing here overflows.
        let mut area = |len: usize, width: u8| {
            let at = start + decoder.at();
            let bytes = len as u64 * u64::from(width);
            decoder.take(usize::try_from(bytes).unwrap_or(usize::MAX))?;
            Ok(at)
        };
        let prefix_at = area(prefix_bytes, 1)?;
        let key_ends_at = area(count, key_width)?;
        let value_ends_at = area(count, value_width)?;
        let sequences_at = area(count, sequence_width)?;
        let kinds_at = area(count, 1)?;
        let keys_at = start + decoder.at();
        let mut block = Self {
            bytes,
            keyspace,
            count,
            base,
            key_width,
            value_width,
            sequence_width,
            prefix_at,
            key_ends_at,
            value_ends_at,
            sequences_at,
            kinds_at,
            keys_at,
            values_at: keys_at,
        };
        let areas_end = start + payload_bytes;
        block.check_areas(start, areas_end)?;
        block.check_entries(start)?;
        Ok(block)
    }

    /// Finds where values begin, and that both areas fill the payload exactly.
    fn check_areas(&mut self, start: usize, end: usize) -> Result<(), Malformed> {
        let last = self.count - 1;
        let keys = self.number(self.key_ends_at, self.key_width, last);
        let values = self.number(self.value_ends_at, self.value_width, last);
        let left = (end - self.keys_at) as u64;
        if keys + values != left {
            let want = format!("{left} bytes of keys and values");
            let got = format!("{keys} and {values}");
            return Err(Malformed::new(self.keys_at - start, WHAT, want, got));
        }
        self.values_at = self.keys_at + keys as usize;
        Ok(())
    }

    /// Checks what each entry says of itself, one array after the other.
    fn check_entries(&self, start: usize) -> Result<(), Malformed> {
        let fail = |at: usize, i: usize, want: &str, got: String| {
            Err(Malformed::new(at - start, WHAT, format!("{want} of entry {i}"), got))
        };
        let ends = |at: usize, width: u8, len_max: usize| match width {
            2 => unsound_end::<2>(&self.bytes[at..][..2 * self.count], len_max),
            _ => unsound_end::<4>(&self.bytes[at..][..4 * self.count], len_max),
        };
        let suffix_max = KEY_BYTES_MAX - self.prefix().len();
        if let Some(i) = ends(self.key_ends_at, self.key_width, suffix_max) {
            let got = self.number(self.key_ends_at, self.key_width, i);
            return fail(self.key_ends_at, i, "a sound key end", got.to_string());
        }
        if let Some(i) = ends(self.value_ends_at, self.value_width, VALUE_BYTES_MAX) {
            let got = self.number(self.value_ends_at, self.value_width, i);
            return fail(self.value_ends_at, i, "a sound value end", got.to_string());
        }
        // Only sequences near the largest number need a look at each.
        let delta_max = u64::MAX >> (64 - 8 * u32::from(self.sequence_width));
        if self.base.checked_add(delta_max).is_none() {
            let delta = |i: &usize| self.number(self.sequences_at, self.sequence_width, *i);
            let unsound = |i: &usize| self.base.checked_add(delta(i)).is_none();
            if let Some(i) = (0..self.count).find(unsound) {
                let got = format!("delta {}", delta(&i));
                return fail(self.sequences_at, i, "a sound sequence", got);
            }
        }
        let kinds = &self.bytes[self.kinds_at..self.keys_at];
        // Without a way out on the way, so that many are looked at in one step.
        if kinds.iter().fold(true, |all, &byte| all & (byte == Kind::Value as u8)) {
            return Ok(());
        }
        for (i, &byte) in kinds.iter().enumerate() {
            match Kind::from_byte(byte) {
                Some(Kind::Value) => {}
                Some(Kind::Tombstone) if self.value_range(i).is_empty() => {}
                Some(Kind::Tombstone) => {
                    return fail(self.kinds_at, i, "no value", "a tombstone with one".into());
                }
                None => {
                    let at = self.kinds_at + i - start;
                    let unknown = Malformed::new(at, WHAT, "kind 1 or 2", byte.to_string());
                    let reserved = (1..=KIND_RESERVED_MAX).contains(&byte);
                    return Err(if reserved { unknown.newer() } else { unknown });
                }
            }
        }
        Ok(())
    }

    /// Number `i` of an array of little-endian numbers.
    #[inline]
    fn number(&self, array_at: usize, width: u8, i: usize) -> u64 {
        let at = array_at + i * usize::from(width);
        // A whole word, cut to the width: the same few steps for every width.
        match self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * u32::from(width))),
            None => self.number_near_end(at, width),
        }
    }

    /// The number at `at`, with less than a word of bytes from there on.
    #[cold]
    fn number_near_end(&self, at: usize, width: u8) -> u64 {
        let mut word = [0; 8];
        word[..usize::from(width)].copy_from_slice(&self.bytes[at..at + usize::from(width)]);
        u64::from_le_bytes(word)
    }

    /// How many entries it holds: at least one.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The keyspace of all its entries.
    #[inline]
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// What all its keys begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.bytes[self.prefix_at..self.key_ends_at]
    }

    /// The key of entry `i` after the prefix.
    #[inline]
    pub(crate) fn key_suffix(&self, i: usize) -> &[u8] {
        let end = self.number(self.key_ends_at, self.key_width, i) as usize;
        &self.bytes[self.keys_at + self.key_start(i)..self.keys_at + end]
    }

    /// Where the suffix of entry `i` begins in the key area.
    #[inline]
    fn key_start(&self, i: usize) -> usize {
        match i {
            0 => 0,
            _ => self.number(self.key_ends_at, self.key_width, i - 1) as usize,
        }
    }

    /// The sequence of entry `i`.
    #[inline]
    pub(crate) fn sequence(&self, i: usize) -> Sequence {
        Sequence(self.base + self.number(self.sequences_at, self.sequence_width, i))
    }

    /// The kind of entry `i`.
    #[inline]
    pub(crate) fn kind(&self, i: usize) -> Kind {
        Kind::from_byte(self.bytes[self.kinds_at + i]).expect("decode refuses unknown kinds")
    }

    /// Where the value of entry `i` lies in [`Backing::bytes`].
    #[inline]
    pub(crate) fn value_range(&self, i: usize) -> Range<usize> {
        let start = match i {
            0 => 0,
            _ => self.number(self.value_ends_at, self.value_width, i - 1) as usize,
        };
        let end = self.number(self.value_ends_at, self.value_width, i) as usize;
        self.values_at + start..self.values_at + end
    }

    /// The value of entry `i`; empty for a tombstone.
    #[inline]
    pub(crate) fn value(&self, i: usize) -> &[u8] {
        &self.bytes[self.value_range(i)]
    }

    /// Whether entry `i` is a version of `key`.
    #[inline]
    pub(crate) fn has_key(&self, i: usize, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix()).is_some_and(|suffix| suffix == self.key_suffix(i))
    }

    /// The first entry of this keyspace at or after (`key`, `sequence`) in the internal order;
    /// [`Self::len`] if all are before it.
    #[inline]
    pub(crate) fn search(&self, key: &[u8], sequence: Sequence) -> usize {
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return if key < prefix { 0 } else { self.count };
        };
        let mut low = 0;
        let mut high = self.count;
        while low < high {
            let middle = low + (high - low) / 2;
            let order = self.key_suffix(middle).cmp(suffix);
            if order.then_with(|| sequence.cmp(&self.sequence(middle))).is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// [`Self::search`] for a place in any keyspace.
    pub(crate) fn search_position(&self, target: Position<'_>) -> usize {
        match self.keyspace.cmp(&target.keyspace) {
            std::cmp::Ordering::Less => self.count,
            std::cmp::Ordering::Equal => self.search(target.key, target.sequence),
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// Where entry `i` lies as seen from a position.
    pub(crate) fn compare(&self, i: usize, position: Position<'_>) -> std::cmp::Ordering {
        let prefix = self.prefix();
        let keyspaces = self.keyspace.cmp(&position.keyspace);
        let keys = || match position.key.split_at_checked(prefix.len()) {
            Some((start, rest)) => prefix.cmp(start).then_with(|| self.key_suffix(i).cmp(rest)),
            None => prefix.cmp(position.key),
        };
        keyspaces.then_with(keys).then_with(|| position.sequence.cmp(&self.sequence(i)))
    }

    /// The bytes that it was decoded from, for their memory to be used again.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Memory of its bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The first of these ends that is before the one before it, or more than `len_max` behind.
fn unsound_end<const WIDTH: usize>(ends: &[u8], len_max: usize) -> Option<usize> {
    let number = |end: &[u8]| {
        let mut word = [0; 4];
        word[..WIDTH].copy_from_slice(end);
        u32::from_le_bytes(word)
    };
    let len_max = u32::try_from(len_max).unwrap_or(u32::MAX);
    let sound = |start: u32, end: u32| (start <= end) & (end.wrapping_sub(start) <= len_max);
    let after = ends.get(WIDTH..).unwrap_or_default();
    let pairs = || ends.chunks_exact(WIDTH).zip(after.chunks_exact(WIDTH));
    // Without a way out on the way, so that many are looked at in one step.
    let first_sound = ends.chunks_exact(WIDTH).take(1).all(|end| sound(0, number(end)));
    if first_sound && pairs().fold(true, |all, (a, b)| all & sound(number(a), number(b))) {
        return None;
    }
    let mut start = 0;
    ends.chunks_exact(WIDTH).position(|end| {
        let end = number(end);
        !sound(std::mem::replace(&mut start, end), end)
    })
}
