//! A data block's payload: sorted entries of one keyspace, every one of them addressable at once.
//!
//! No deltas between neighbours and no restarts, so a step back costs what a step forward does.
//! Keys lie apart from values, so that a search touches few cache lines; and a byte of each key's
//! hash lies before all, so that a get finds its entry with one comparison of keys (D47).
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 4 | keyspace id |
//! | 4 | 4 | count *n* of entries, at least 1 |
//! | 8 | 2 | length *p* of the prefix that all keys share |
//! | 10 | 1 | width *w* of a row, 8 or 16 |
//! | 11 | 5 | zero |
//! | 16 | 8 | base sequence |
//! | 24 | p | the prefix |
//! | | n | tags: of each entry, bits 24 to 31 of its key's hash ([`super::hash`]) |
//! | | to a multiple of 8 tags | zero |
//! | | n × w | rows, see below |
//! | | last key end | key area: the keys without the prefix |
//! | | last value end | value area, to the end of the payload |
//!
//! A row, which is 8 bytes wide wherever its numbers fit, else 16 in all the block:
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | w / 4 | key end: where the key's suffix ends in the key area |
//! | w / 4 | w / 4 | value end: where the value ends in the value area |
//! | w / 2 | w / 2 | 8 × (sequence − base) + kind |
//!
//! [`Block::decode`] checks all of it once, except the order of the keys, the tags and the zeros
//! behind them, which the block's checksum vouches for; no access to a decoded block can fail.
//! Blocks of an earlier layout become this one as they are read (`columns`).

mod builder;
mod bytes;
pub(crate) mod columns;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

use std::ops::Range;

use super::Malformed;
use super::coding::{Decoder, copy_few, equal_few, put_few};
use super::key::{
    KEY_BYTES_MAX, KIND_RESERVED_MAX, Kind, Position, VALUE_BYTES_MAX, order_bytes, same_bytes,
};
use crate::ids::{KeyspaceId, Sequence};
use crate::mapped::Mapped;
use crate::prefetch::prefetch;
use crate::sync::Arc;
use crate::value::Backing;

use bytes::Bytes;

pub(crate) use builder::BlockBuilder;
pub(crate) use walk::{Unpacked, Window};

const HEAD_BYTES: usize = 24;
const WHAT: &str = "data block";

/// Cache lines of a key or a value that are fetched ahead at most: the processor goes on by itself.
const LINES_MAX: usize = 4;

/// A get looks through the tags of a block with at most this many entries; in a larger one, where
/// many keys have the same tag, a binary search takes less.
const TAGGED_MAX: usize = 1024;

/// Bits of a row's last number that say the kind.
const KIND_BITS: u32 = 3;

/// Sequences of one block are less than this apart.
const SPAN_END: u64 = 1 << (64 - KIND_BITS);

/// A checked data block in memory, with the bytes it was read in.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    // Where the payload begins in `bytes`, which are less than 4 GiB, and offsets in it.
    start: u32,
    rows_at: u32,
    values_at: u32,
    count: u32,
    keyspace: KeyspaceId,
    base: u64,
    prefix_bytes: u16,
    wide: bool,
}

/// What a block says of an entry, its bytes apart.
#[derive(Clone, Copy, Debug)]
struct Row {
    key_end: u32,
    value_end: u32,
    /// Sequence minus base, and kind.
    version: u64,
}

impl Row {
    /// Of its 8 or 16 bytes.
    #[inline(always)]
    fn read(bytes: &[u8], wide: bool) -> Self {
        let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a row"));
        let first = word(0);
        if wide {
            let key_end = first as u32;
            return Self { key_end, value_end: (first >> 32) as u32, version: word(8) };
        }
        let key_end = u32::from(first as u16);
        Self { key_end, value_end: u32::from((first >> 16) as u16), version: first >> 32 }
    }

    #[inline(always)]
    fn kind(self) -> u8 {
        self.version as u8 & ((1 << KIND_BITS) - 1)
    }

    #[inline(always)]
    fn delta(self) -> u64 {
        self.version >> KIND_BITS
    }
}

/// What a block has of a key, at or below a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InBlock {
    /// The newest version.
    At(usize),
    Absent,
    /// All versions here are too new, and the block ends with them: the next may have older ones.
    MayGoOn,
}

impl Backing for Block {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Block {
    /// Checks and takes over a payload that is one part of `bytes`, all of which it takes over.
    /// Offsets in the error count from the beginning of the payload.
    pub(crate) fn decode(bytes: Vec<u8>, part: Range<usize>) -> Result<Self, Malformed> {
        let len = bytes.len();
        Self::of(Bytes::owned(bytes).ok_or_else(|| too_long(len))?, part)
    }

    /// Checks a payload of a mapped file, and stays on it: it takes no memory for its bytes.
    pub(crate) fn decode_mapped(
        file: &Arc<Mapped>,
        payload: Range<usize>,
    ) -> Result<Self, Malformed> {
        let len = payload.len();
        let bytes = Bytes::mapped(file, payload).ok_or_else(|| too_long(len))?;
        Self::of(bytes, 0..len)
    }

    fn of(bytes: Bytes, part: Range<usize>) -> Result<Self, Malformed> {
        let start = part.start;
        let payload = bytes.get(part).unwrap_or_default();
        let mut decoder = Decoder::new(payload, WHAT);
        let keyspace = KeyspaceId(decoder.u32()?);
        let count = decoder.u32()?;
        let prefix_bytes = decoder.u16()?;
        let [width, zeros @ ..] = decoder.array::<6>()?;
        let base = decoder.u64()?;
        if count == 0 || ![8, 16].contains(&width) || zeros != [0; 5] {
            let want = "at least one entry, rows of 8 or 16 bytes, and zeros";
            let got = format!("{count} entries, {width}, {zeros:?}");
            return Err(Malformed::new(4, WHAT, want, got));
        }
        // Each area is within the payload before its length is used, so nothing here overflows.
        let mut area = |len: u64| {
            decoder.take(usize::try_from(len).unwrap_or(usize::MAX))?;
            Ok(decoder.at())
        };
        area(u64::from(prefix_bytes))?;
        let rows_at = area(u64::from(count).next_multiple_of(8))?;
        let keys_at = area(u64::from(count) * u64::from(width))?;
        let wide = width == 16;
        let rows = StoredRows { bytes: &payload[rows_at..keys_at], wide };
        let last = rows.last();
        let key_bytes = u64::from(last.key_end);
        let left = (payload.len() - keys_at) as u64;
        if key_bytes + u64::from(last.value_end) != left {
            let want = format!("{left} bytes of keys and values");
            let got = format!("{key_bytes} and {}", last.value_end);
            return Err(Malformed::new(keys_at, WHAT, want, got));
        }
        rows.check(rows_at, usize::from(prefix_bytes), base)?;
        let values_at = keys_at as u32 + last.key_end;
        let rows_at = rows_at as u32;
        let start = start as u32;
        Ok(Self { bytes, start, rows_at, values_at, count, keyspace, base, prefix_bytes, wide })
    }

    #[inline(always)]
    fn head_end(&self) -> usize {
        self.start as usize + HEAD_BYTES
    }

    #[inline(always)]
    fn tags_at(&self) -> usize {
        self.head_end() + usize::from(self.prefix_bytes)
    }

    #[inline(always)]
    fn rows_at(&self) -> usize {
        (self.start + self.rows_at) as usize
    }

    /// The rows from `i` on.
    #[inline(always)]
    fn row_bytes(&self, i: usize) -> &[u8] {
        &self.bytes[self.rows_at() + (i << (3 + u32::from(self.wide)))..]
    }

    #[inline(always)]
    fn row(&self, i: usize) -> Row {
        Row::read(self.row_bytes(i), self.wide)
    }

    /// Where the key and the value of entry `i` begin in their areas.
    #[inline(always)]
    fn starts(&self, i: usize) -> (u32, u32) {
        match i {
            0 => (0, 0),
            _ => {
                let before = self.row(i - 1);
                (before.key_end, before.value_end)
            }
        }
    }

    /// How many entries it holds: at least one.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// The keyspace of all its entries.
    #[inline]
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// What all its keys begin with.
    #[inline]
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.bytes[self.head_end()..self.tags_at()]
    }

    #[inline(always)]
    fn keys_at(&self) -> usize {
        self.rows_at() + ((self.count as usize) << (3 + u32::from(self.wide)))
    }

    #[inline(always)]
    fn values_at(&self) -> usize {
        (self.start + self.values_at) as usize
    }

    /// The key of entry `i` after the prefix.
    #[inline(always)]
    pub(crate) fn key_suffix(&self, i: usize) -> &[u8] {
        let end = self.row(i).key_end as usize;
        &self.bytes[self.keys_at() + self.starts(i).0 as usize..self.keys_at() + end]
    }

    /// The sequence of entry `i`.
    #[inline(always)]
    pub(crate) fn sequence(&self, i: usize) -> Sequence {
        Sequence(self.base + self.row(i).delta())
    }

    /// The kind of entry `i`.
    #[inline(always)]
    pub(crate) fn kind(&self, i: usize) -> Kind {
        Kind::from_byte(self.row(i).kind()).expect("decode refuses unknown kinds")
    }

    /// Where the value of entry `i` lies in [`Backing::bytes`].
    #[inline(always)]
    pub(crate) fn value_range(&self, i: usize) -> Range<usize> {
        let end = self.row(i).value_end as usize;
        self.values_at() + self.starts(i).1 as usize..self.values_at() + end
    }

    /// The value of entry `i`; empty for a tombstone.
    #[inline(always)]
    pub(crate) fn value(&self, i: usize) -> &[u8] {
        &self.bytes[self.value_range(i)]
    }

    /// Whether entry `i` is a version of `key`.
    #[inline]
    pub(crate) fn has_key(&self, i: usize, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix()).is_some_and(|suffix| suffix == self.key_suffix(i))
    }

    /// If entry `i`, which is not the first, is a value that a reader at `at` sees, and the entry
    /// before it a version of another key: where the value lies in [`Backing::bytes`]. `key`, which
    /// has been that of an entry here, becomes its key then.
    #[inline(always)]
    pub(crate) fn take_plain(
        &self,
        i: usize,
        at: Sequence,
        key: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let row = self.row(i);
        let before = self.row(i - 1);
        let start = self.starts(i - 1).0 as usize;
        let keys_at = self.keys_at();
        let keys = &self.bytes[keys_at + start..keys_at + row.key_end as usize];
        let (last, suffix) = keys.split_at(before.key_end as usize - start);
        let plain = row.kind() == Kind::Value as u8
            && Sequence(self.base + row.delta()) <= at
            && !same_bytes(suffix, last);
        plain.then(|| {
            self.change_suffix(suffix, key);
            self.values_at() + before.value_end as usize..self.values_at() + row.value_end as usize
        })
    }

    /// Makes `key`, which has been that of an entry here, end with `suffix`.
    #[inline(always)]
    fn change_suffix(&self, suffix: &[u8], key: &mut Vec<u8>) {
        let prefix_bytes = usize::from(self.prefix_bytes);
        let len = prefix_bytes + suffix.len();
        if key.len() != len {
            key.resize(len, 0);
        }
        copy_few(&mut key[prefix_bytes..], suffix);
    }

    /// Makes `key` the key of entry `i`.
    #[inline]
    pub(crate) fn copy_key(&self, i: usize, key: &mut Vec<u8>) {
        let prefix = self.prefix();
        let suffix = self.key_suffix(i);
        key.clear();
        key.reserve(prefix.len() + suffix.len());
        put_few(key, prefix);
        put_few(key, suffix);
    }

    /// Makes `key`, which has been that of another entry, the key of entry `i`.
    #[inline]
    pub(crate) fn change_key(&self, i: usize, key: &mut Vec<u8>) {
        self.change_suffix(self.key_suffix(i), key);
    }

    /// Where what [`Self::find`] looks at first begins.
    pub(crate) fn address(&self) -> usize {
        self.bytes.as_ptr().addr() + self.start as usize
    }

    /// Asks for key and value of the first entry that a key with this hash may have.
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        if self.len() <= TAGGED_MAX
            && let Some(i) = self.tagged(hash).next()
        {
            for bytes in [self.key_suffix(i), self.value(i)] {
                prefetch(bytes.as_ptr().addr(), (bytes.len() / 64 + 1).min(LINES_MAX));
            }
        }
    }

    /// The newest version of a key of this keyspace with a sequence of at most `at`. `hash` is the
    /// key's.
    #[inline(always)]
    pub(crate) fn find(&self, key: &[u8], hash: u64, at: Sequence) -> InBlock {
        let prefix_bytes = usize::from(self.prefix_bytes);
        let Some((start, suffix)) = key.split_at_checked(prefix_bytes) else {
            return InBlock::Absent;
        };
        if self.len() > TAGGED_MAX {
            return self.find_sorted(key, at);
        }
        let same =
            |&i: &usize| equal_few(self.key_suffix(i), suffix) && equal_few(self.prefix(), start);
        match self.tagged(hash).find(same) {
            Some(first) => self.find_version(key, first, at),
            None => InBlock::Absent,
        }
    }

    /// The entries whose tag is that of this hash, in order.
    #[inline(always)]
    fn tagged(&self, hash: u64) -> impl Iterator<Item = usize> {
        let tags = self.bytes[self.tags_at()..self.rows_at()].as_chunks::<8>().0;
        let same = u64::from_ne_bytes([tag(hash); 8]);
        let mut groups = tags.iter().enumerate();
        let mut from = 0;
        let mut equal = 0;
        std::iter::from_fn(move || {
            while equal == 0 {
                let (group, tags) = groups.next()?;
                equal = zero_bytes(u64::from_le_bytes(*tags) ^ same);
                from = 8 * group;
            }
            let i = from + equal.trailing_zeros() as usize / 8;
            equal &= equal - 1;
            // Behind the last tag there are zeros.
            (i < self.len()).then_some(i)
        })
    }

    /// [`Self::find`] for a key whose newest version here is entry `first`.
    #[inline(always)]
    fn find_version(&self, key: &[u8], first: usize, at: Sequence) -> InBlock {
        if self.sequence(first) <= at { InBlock::At(first) } else { self.find_sorted(key, at) }
    }

    /// [`Self::find`] without tags.
    fn find_sorted(&self, key: &[u8], at: Sequence) -> InBlock {
        match self.search(key, at) {
            i if i < self.len() && self.has_key(i, key) => InBlock::At(i),
            i if i == self.len() && self.has_key(i - 1, key) => InBlock::MayGoOn,
            _ => InBlock::Absent,
        }
    }

    /// Whether the tag of entry `i` is that of this hash.
    pub(crate) fn has_tag(&self, i: usize, hash: u64) -> bool {
        self.bytes[self.tags_at() + i] == tag(hash)
    }

    /// The first entry of this keyspace at or after (`key`, `sequence`) in the internal order;
    /// [`Self::len`] if all are before it.
    #[inline]
    pub(crate) fn search(&self, key: &[u8], sequence: Sequence) -> usize {
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return if key < prefix { 0 } else { self.len() };
        };
        let mut low = 0;
        let mut high = self.len();
        while low < high {
            let middle = low + (high - low) / 2;
            let order = order_bytes(self.key_suffix(middle), suffix);
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
            std::cmp::Ordering::Less => self.len(),
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
        self.bytes.into_vec()
    }

    /// Memory of its bytes, if that is its own.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// What is said of bytes that no place in them can be named of.
fn too_long(len: usize) -> Malformed {
    Malformed::new(0, WHAT, "less than 4 GiB", format!("{len} bytes"))
}

/// The byte of a key's hash that stands for it.
#[inline(always)]
fn tag(hash: u64) -> u8 {
    (hash >> 24) as u8
}

/// The high bit of each byte that is zero.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    // No carry leaves its byte.
    !(((word & LOW) + LOW) | word | LOW)
}

/// The rows of a block, not checked yet.
struct StoredRows<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl StoredRows<'_> {
    fn iter(&self) -> impl DoubleEndedIterator<Item = Row> {
        let wide = self.wide;
        self.bytes.chunks_exact(8 << u32::from(wide)).map(move |row| Row::read(row, wide))
    }

    fn last(&self) -> Row {
        self.iter().next_back().expect("there is an entry")
    }

    /// Checks what each row says. They lie at `rows_at` of the payload.
    fn check(&self, rows_at: usize, prefix_bytes: usize, base: u64) -> Result<(), Malformed> {
        let key_bytes_max = (KEY_BYTES_MAX - prefix_bytes) as u32;
        let delta_max = u64::MAX - base;
        let mut before = Row { key_end: 0, value_end: 0, version: 0 };
        let sound = |before: Row, row: Row| {
            let key_bytes = row.key_end.wrapping_sub(before.key_end);
            let value_bytes = row.value_end.wrapping_sub(before.value_end);
            let tombstone = (row.kind() == Kind::Tombstone as u8) & (value_bytes == 0);
            (before.key_end <= row.key_end)
                & (before.value_end <= row.value_end)
                & (key_bytes <= key_bytes_max)
                & (value_bytes <= VALUE_BYTES_MAX as u32)
                & (row.delta() <= delta_max)
                & ((row.kind() == Kind::Value as u8) | tombstone)
        };
        // Without a way out on the way, so that many are looked at in one step.
        let all = self
            .iter()
            .fold(true, |all, row| all & sound(std::mem::replace(&mut before, row), row));
        if all {
            return Ok(());
        }
        before = Row { key_end: 0, value_end: 0, version: 0 };
        let bad = self.iter().position(|row| !sound(std::mem::replace(&mut before, row), row));
        let i = bad.unwrap_or(0);
        let row = self.iter().nth(i).expect("it was met above");
        let at = rows_at + i * (8 << u32::from(self.wide));
        let got = format!("{row:?} with base {base}");
        let malformed = Malformed::new(at, WHAT, format!("a sound row of entry {i}"), got);
        let known = Kind::from_byte(row.kind()).is_some();
        let newer = !known && (1..=KIND_RESERVED_MAX).contains(&row.kind());
        Err(if newer { malformed.newer() } else { malformed })
    }
}
