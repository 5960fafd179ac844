//! The index of a segment: which data block may hold a key.
//!
//! In memory whole: 29 bytes and a short separator per block. A lookup is a binary search over one
//! flat array of 8-byte words, which are the last of each eight of another; the eight are looked
//! through then. It reads a separator only where words are equal.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 4 | count *n* of data blocks, at least 1 |
//! | 4 | 4 | zero |
//! | 8 | n × 8 | file offsets of the blocks, ascending |
//! | | n × 4 | their lengths, header included |
//! | | n × 4 | their keyspace ids |
//! | | n × 4 | separator ends: where each separator ends in the separator area |
//! | | last end | separators, to the end of the payload |
//!
//! A block's separator is a short key *s* of its keyspace with last key of the block <= s < first
//! key of the next block; its last key itself where the next block goes on with that key or another
//! keyspace, or there is none.

use super::Malformed;
use super::block::BlockHandle;
use super::coding::Decoder;
use super::key::{KEY_BYTES_MAX, prefix_word};
use crate::ids::KeyspaceId;

const WHAT: &str = "index";
const HEAD_BYTES: usize = 8;
/// Words that are looked through: as many as lie on a cache line, or two.
const GROUP: usize = 8;
/// Bytes per block besides its separator.
const ENTRY_BYTES: u64 = 20;

/// The shortest key between `last`, inclusive, and the greater key `next`, exclusive.
pub(crate) fn separator(last: &[u8], next: &[u8]) -> Vec<u8> {
    let shared = last.iter().zip(next).take_while(|(a, b)| a == b).count();
    if shared == last.len() {
        return last.to_vec();
    }
    // `last` and `next` differ at `shared`. A proper prefix of `next` that is longer than `shared`
    // lies between.
    if next.len() > shared + 1 {
        return next[..=shared].to_vec();
    }
    // Otherwise raise one byte of `last`: at `shared` only if that stays below `next`, later bytes
    // freely.
    let from = shared + usize::from(next.get(shared).is_some_and(|&n| n - last[shared] == 1));
    for at in from..last.len() {
        if last[at] < 0xff {
            let mut raised = last[..=at].to_vec();
            raised[at] += 1;
            return raised;
        }
    }
    last.to_vec()
}

/// Gathers the data blocks of a segment, in order.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    handles: Vec<BlockHandle>,
    keyspaces: Vec<KeyspaceId>,
    separator_ends: Vec<u32>,
    separators: Vec<u8>,
}

impl IndexBuilder {
    /// Adds the next block. Returns whether it did: separators of more than 4 GiB together do not
    /// fit.
    #[must_use]
    pub(crate) fn push(
        &mut self,
        handle: BlockHandle,
        keyspace: KeyspaceId,
        separator: &[u8],
    ) -> bool {
        let Ok(end) = u32::try_from(self.separators.len() + separator.len()) else { return false };
        self.handles.push(handle);
        self.keyspaces.push(keyspace);
        self.separators.extend_from_slice(separator);
        self.separator_ends.push(end);
        true
    }

    /// Adds a block that ends with `last`, followed by one that begins with `next`, or by nothing.
    /// Returns what [`Self::push`] does.
    #[must_use]
    pub(crate) fn push_before(
        &mut self,
        handle: BlockHandle,
        (keyspace, last): (KeyspaceId, &[u8]),
        next: Option<(KeyspaceId, &[u8])>,
    ) -> bool {
        match next {
            Some((same, next)) if same == keyspace => {
                self.push(handle, keyspace, &separator(last, next))
            }
            _ => self.push(handle, keyspace, last),
        }
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Bytes of the payload as it stands.
    pub(crate) fn bytes(&self) -> usize {
        HEAD_BYTES + self.len() * ENTRY_BYTES as usize + self.separators.len()
    }

    /// Appends the payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes());
        out.extend_from_slice(&(self.handles.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.handles.iter().for_each(|h| out.extend_from_slice(&h.offset.to_le_bytes()));
        self.handles.iter().for_each(|h| out.extend_from_slice(&h.len.to_le_bytes()));
        self.keyspaces.iter().for_each(|k| out.extend_from_slice(&k.0.to_le_bytes()));
        self.separator_ends.iter().for_each(|e| out.extend_from_slice(&e.to_le_bytes()));
        out.extend_from_slice(&self.separators);
    }
}

/// A checked index in memory.
#[derive(Debug)]
pub(crate) struct Index {
    /// Per block, the [`prefix_word`] of its separator after the first `skip` bytes.
    words: Box<[u64]>,
    /// The last of each whole [`GROUP`] of words, if all separators are of one keyspace: an eighth
    /// of them, so that a search stays near.
    group_ends: Box<[u64]>,
    /// Bytes that all separators share, if they are all of one keyspace; otherwise 0.
    skip: usize,
    offsets: Box<[u64]>,
    lens: Box<[u32]>,
    keyspaces: Box<[KeyspaceId]>,
    separator_ends: Box<[u32]>,
    separators: Box<[u8]>,
}

impl Index {
    /// Reads an index whose blocks must lie between two offsets of the file.
    pub(crate) fn decode(bytes: &[u8], from: u64, to: u64) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, WHAT);
        let count = decoder.u32()?;
        let zeros = decoder.u32()?;
        // Bounds every allocation below by the length of the input.
        let fits = u64::from(count) * ENTRY_BYTES <= decoder.remaining() as u64;
        if count == 0 || zeros != 0 || !fits {
            let got = format!("{count}, {zeros}, {} bytes", bytes.len());
            return Err(Malformed::new(0, WHAT, "a count of blocks, zero, and their entries", got));
        }
        let count = count as usize;
        let offsets = read_array(&mut decoder, count, Decoder::u64)?;
        let lens = read_array(&mut decoder, count, Decoder::u32)?;
        let keyspaces = read_array(&mut decoder, count, |r| Ok(KeyspaceId(r.u32()?)))?;
        let separator_ends = read_array(&mut decoder, count, Decoder::u32)?;
        let separators = decoder.take(decoder.remaining())?.into();
        let words = Box::default();
        let group_ends = Box::default();
        let skip = 0;
        let mut index =
            Self { words, group_ends, skip, offsets, lens, keyspaces, separator_ends, separators };
        index.check(from, to)?;
        let last = count - 1;
        if index.keyspaces[0] == index.keyspaces[last] {
            let first = index.separator(0);
            let last = index.separator(last);
            index.skip = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        }
        let word = |i| prefix_word(&index.separator(i)[index.skip..]);
        index.words = (0..count).map(word).collect();
        if index.keyspaces[0] == index.keyspaces[last] {
            let groups = index.words.as_chunks::<GROUP>().0;
            index.group_ends = groups.iter().map(|group| group[GROUP - 1]).collect();
        }
        Ok(index)
    }

    /// Checks everything that later accesses and searches rely on.
    fn check(&self, from: u64, to: u64) -> Result<(), Malformed> {
        let fail = |i: usize, want: &str| {
            Err(Malformed::new(HEAD_BYTES, WHAT, want, format!("another at block {i}")))
        };
        let last = self.len() - 1;
        if self.separator_ends[last] as usize != self.separators.len() {
            return fail(last, "separators up to the end");
        }
        let mut block_from = from;
        let mut separator_from = 0;
        for (i, &separator_end) in self.separator_ends.iter().enumerate() {
            let handle = self.handle(i);
            if !handle.lies_within(block_from, to) {
                return fail(i, "blocks inside the file, one after another");
            }
            block_from = handle.offset + u64::from(handle.len);
            let bytes = separator_end.checked_sub(separator_from);
            let in_bounds = separator_end as usize <= self.separators.len();
            if !in_bounds || bytes.is_none_or(|bytes| bytes as usize > KEY_BYTES_MAX) {
                return fail(i, "a sound separator end");
            }
            separator_from = separator_end;
            let place = |i: usize| (self.keyspaces[i], self.separator(i));
            if i > 0 && place(i - 1) > place(i) {
                return fail(i, "ascending separators");
            }
        }
        Ok(())
    }

    /// Appends the payload, the same bytes as it was read from.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.offsets.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        self.lens.iter().for_each(|len| out.extend_from_slice(&len.to_le_bytes()));
        self.keyspaces.iter().for_each(|id| out.extend_from_slice(&id.0.to_le_bytes()));
        self.separator_ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        out.extend_from_slice(&self.separators);
    }

    /// Whether it has the same data blocks as another.
    pub(crate) fn same_blocks(&self, other: &Self) -> bool {
        self.offsets == other.offsets
            && self.lens == other.lens
            && self.keyspaces == other.keyspaces
    }

    /// Memory of the arrays.
    pub(crate) fn memory_bytes(&self) -> usize {
        let words = (self.words.len() + self.group_ends.len()) * 8;
        words + self.len() * ENTRY_BYTES as usize + self.separators.len()
    }

    /// How many data blocks there are: at least one.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Where data block `i` lies.
    #[inline]
    pub(crate) fn handle(&self, i: usize) -> BlockHandle {
        BlockHandle { offset: self.offsets[i], len: self.lens[i] }
    }

    /// Bytes from data block `begin` to before data block `end`.
    pub(crate) fn span_bytes(&self, begin: usize, end: usize) -> u64 {
        let reach = (begin..end).next_back().map_or(0, |last| {
            let BlockHandle { offset, len } = self.handle(last);
            offset + u64::from(len)
        });
        reach.saturating_sub(self.offsets.get(begin).copied().unwrap_or(reach))
    }

    /// The keyspace of data block `i`.
    pub(crate) fn keyspace(&self, i: usize) -> KeyspaceId {
        self.keyspaces[i]
    }

    /// A key at or after the last of block `i`, and before the first of the next block unless that
    /// is the same key.
    pub(crate) fn separator(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.separator_ends[i - 1] as usize };
        &self.separators[start..self.separator_ends[i] as usize]
    }

    /// The first block that may hold `key` or anything after it; [`Self::len`] if all blocks are
    /// before it.
    #[inline]
    pub(crate) fn find(&self, keyspace: KeyspaceId, key: &[u8]) -> usize {
        let (mut low, mut high) = self.blocks_of(keyspace);
        if low == high {
            return low;
        }
        if self.skip > 0 {
            let shared = &self.separator(low)[..self.skip];
            match key.get(..self.skip).unwrap_or(key).cmp(shared) {
                std::cmp::Ordering::Less => return low,
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => return high,
            }
        }
        // Within the range the key has `skip` bytes at least: a shorter one compares less above.
        let word = prefix_word(key.get(self.skip..).unwrap_or_default());
        low = self.first_word_from(word, low, high);
        if low == high || self.words[low] != word {
            return low;
        }
        high = low + self.words[low..high].partition_point(|&other| other == word);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.separator(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first word in `low..high`, which ascend, that is `word` or more; `high` if none is.
    /// Without a branch on the way, which would be a coin's throw each time.
    #[inline]
    fn first_word_from(&self, word: u64, low: usize, high: usize) -> usize {
        if self.group_ends.is_empty() {
            return low + self.words[low..high].partition_point(|&other| other < word);
        }
        // All blocks are of one keyspace, so the range is all of them.
        let from = self.group_ends.partition_point(|&end| end < word) * GROUP;
        let group = &self.words[from..high.min(from + GROUP)];
        from + group.iter().map(|&other| usize::from(other < word)).sum::<usize>()
    }

    /// The blocks of a keyspace; an empty range at its place if there are none.
    fn blocks_of(&self, keyspace: KeyspaceId) -> (usize, usize) {
        let count = self.len();
        if self.keyspaces[0] == keyspace && self.keyspaces[count - 1] == keyspace {
            return (0, count);
        }
        let low = self.keyspaces.partition_point(|&k| k < keyspace);
        let high = self.keyspaces.partition_point(|&k| k <= keyspace);
        (low, high)
    }
}

fn read_array<'a, T>(
    decoder: &mut Decoder<'a>,
    count: usize,
    read: impl Fn(&mut Decoder<'a>) -> Result<T, Malformed>,
) -> Result<Box<[T]>, Malformed> {
    // `count` entries are known to be within the input.
    let mut array = Vec::with_capacity(count);
    for _ in 0..count {
        array.push(read(decoder)?);
    }
    Ok(array.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(blocks: &[(u32, &[u8])]) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        for (i, (keyspace, separator)) in blocks.iter().enumerate() {
            let handle = BlockHandle { offset: 64 + 100 * i as u64, len: 90 };
            assert!(builder.push(handle, KeyspaceId(*keyspace), separator));
        }
        let mut bytes = Vec::new();
        builder.encode(&mut bytes);
        assert_eq!(bytes.len(), builder.bytes());
        bytes
    }

    fn check_separator(last: &[u8], next: &[u8], want: &[u8]) {
        let got = separator(last, next);
        assert_eq!(got, want);
        assert!(last <= got.as_slice() && got.as_slice() < next);
    }

    #[test]
    fn separators_are_short_and_between() {
        check_separator(b"", b"a", b"");
        check_separator(b"abc", b"abcd", b"abc");
        check_separator(b"abcdef", b"abx", b"abd");
        check_separator(b"abcdef", b"abxy", b"abx");
        check_separator(b"abc9", b"abd", b"abc:");
        check_separator(b"abc\xff\xff", b"abd", b"abc\xff\xff");
        check_separator(b"abc\xff\x01z", b"abd", b"abc\xff\x02");
        check_separator(b"a", b"b", b"a");
        check_separator(b"a\xff", b"b", b"a\xff");
        check_separator(b"a", b"b\0", b"b");
    }

    #[test]
    fn golden_bytes() {
        #[rustfmt::skip]
        let want = [
            2, 0, 0, 0,  0, 0, 0, 0,
            64, 0, 0, 0, 0, 0, 0, 0,  164, 0, 0, 0, 0, 0, 0, 0,
            90, 0, 0, 0,  90, 0, 0, 0,
            1, 0, 0, 0,  2, 0, 0, 0,
            2, 0, 0, 0,  3, 0, 0, 0,
            b'k', b'm', b'a',
        ];
        assert_eq!(build(&[(1, b"km"), (2, b"a")]), want);
    }

    fn check_find(blocks: &[(u32, &[u8])]) {
        let index = Index::decode(&build(blocks), 64, 10_000).unwrap();
        for (_, separator) in blocks {
            let longer = [separator, &b"\0"[..]].concat();
            let shorter = &separator[..separator.len().saturating_sub(1)];
            for key in [separator, longer.as_slice(), shorter, b"", b"\xff\xff"] {
                for keyspace in 0..5 {
                    let want = blocks.partition_point(|block| *block < (keyspace, key));
                    assert_eq!(index.find(KeyspaceId(keyspace), key), want, "{keyspace} {key:?}");
                }
            }
        }
    }

    #[test]
    fn find_agrees_with_a_list() {
        check_find(&[(0, b"")]);
        check_find(&[
            (1, b"user:000001"),
            (1, b"user:000001a"),
            (1, b"user:00002"),
            (1, b"user:1"),
        ]);
        check_find(&[(1, b"same"), (1, b"same"), (1, b"same"), (1, b"same\0")]);
        check_find(&[(1, b"abcdefgh"), (1, b"abcdefgh1"), (3, b"abcdefgh"), (3, b"x"), (4, b"")]);
        check_find(&[(2, b"\0"), (2, b"\0\0"), (2, b"\0\0\0"), (2, b"\xff\xff\xff")]);
        // Groups of words: one short of whole, whole, and more; with words that are the same
        // across their ends; and of several keyspaces.
        for count in [7, 8, 9, 15, 16, 17, 40] {
            let keys: Vec<String> = (0..count).map(|i| format!("key {:03}", 3 * i)).collect();
            let same: Vec<String> = (0..count).map(|i| format!("the same {i:03}")).collect();
            let few = |i: usize| format!("{:08}{}", i / 6, i % 6);
            let few: Vec<String> = (0..count).map(few).collect();
            for keys in [keys, same, few] {
                let blocks = |keyspace: fn(usize) -> u32| -> Vec<(u32, &[u8])> {
                    let keys = keys.iter().enumerate();
                    keys.map(|(i, key)| (keyspace(i), key.as_bytes())).collect()
                };
                check_find(&blocks(|_| 2));
                check_find(&blocks(|i| 1 + (i as u32 / 10)));
            }
        }
    }

    #[test]
    fn no_damage_makes_an_index_panic() {
        let bytes = build(&[(1, b"km"), (1, b"kn"), (2, b"a")]);
        for len in 0..bytes.len() {
            assert!(Index::decode(&bytes[..len], 64, 10_000).is_err(), "{len} bytes");
        }
        assert!(Index::decode(&bytes, 65, 10_000).is_err());
        assert!(Index::decode(&bytes, 64, 353).is_err());
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                let Ok(index) = Index::decode(&damaged, 64, 10_000) else { continue };
                for keyspace in 0..4 {
                    for key in [&b""[..], b"k", b"km", b"kn", b"z"] {
                        assert!(index.find(KeyspaceId(keyspace), key) <= index.len());
                    }
                }
            }
        }
    }
}
