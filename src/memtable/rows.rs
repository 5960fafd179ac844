//! The versions of a sorted table as places to sort and search by, and rows that lead to their
//! encoded operations.
//!
//! Knows the order, and nothing of filters or of building; `sorted` does that, on one thread.

use std::cmp::Ordering;

use super::Chunk;
use crate::format::batch::{Op, first_op};
use crate::format::key::prefix_word;
use crate::ids::KeyspaceId;
use crate::sync::Arc;

/// A version's place in the order, decided without its key in nearly every case. From the highest
/// bit: keyspace (32), the eight key bytes that follow what all keys have in common, and the
/// complement of the row (32), since later versions come first.
///
/// One number, so that a sort compares without a branch: a third of the time of a sort that asks
/// for the keys where words are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey(pub(super) u128);

impl SortKey {
    pub(super) fn new(keyspace: KeyspaceId, word: u64, row: u32) -> Self {
        Self(Self::head_of(keyspace, word) << 32 | u128::from(!row))
    }

    pub(super) fn head_of(keyspace: KeyspaceId, word: u64) -> u128 {
        u128::from(keyspace.0) << 64 | u128::from(word)
    }

    /// Keyspace and word.
    pub(super) fn head(self) -> u128 {
        self.0 >> 32
    }

    pub(super) fn keyspace(self) -> KeyspaceId {
        KeyspaceId((self.0 >> 96) as u32)
    }

    pub(super) fn row(self) -> u32 {
        !(self.0 as u32)
    }
}

const _: () = assert!(size_of::<SortKey>() == 16);

/// From this many places with one word on they are sorted by further words, below by their keys.
const WORDS_FROM: usize = if cfg!(test) { 4 } else { 32 };

/// How many further words are looked at before the keys are.
pub(super) const WORDS_MAX: u32 = 8;

/// Rows in a row, in one chunk and with consecutive sequences: as a rule those of one log.
pub(super) struct RowSpan {
    /// Its first row.
    pub(super) row: u32,
    /// Index of the chunk.
    pub(super) chunk: u32,
    /// The first row's sequence, counted from the table's base.
    pub(super) sequence: u64,
}

/// The operations of a table, each by its row: its number in commit order.
#[derive(Default)]
pub(super) struct Rows {
    /// Where in its chunk each operation is.
    pub(super) offsets: Vec<u32>,
    pub(super) spans: Vec<RowSpan>,
    pub(super) chunks: Vec<Arc<Chunk>>,
}

impl Rows {
    pub(super) fn span(&self, row: u32) -> &RowSpan {
        let behind = self.spans.partition_point(|span| span.row <= row);
        &self.spans[behind - 1]
    }

    /// Counted from the table's base.
    pub(super) fn sequence(&self, row: u32) -> u64 {
        let span = self.span(row);
        span.sequence + u64::from(row - span.row)
    }

    pub(super) fn chunk(&self, row: u32) -> &Arc<Chunk> {
        &self.chunks[self.span(row).chunk as usize]
    }

    /// The order of two places by what they stand for.
    #[inline]
    pub(super) fn compare(&self, skip: usize, a: SortKey, b: SortKey) -> Ordering {
        a.head().cmp(&b.head()).then_with(|| {
            let left = self.op(a.row()).key;
            let right = self.op(b.row()).key;
            compare_from(skip, left, right).then(a.cmp(&b))
        })
    }

    /// Sorts places of one keyspace whose keys agree in their first `skip` bytes, where they have
    /// them: by their next words, of up to `words` each.
    ///
    /// Keys of a few families, as `user:000…` and `order:00…`, agree in the words that they have
    /// their places by. To sort those by comparing keys took ten times as long as all the rest.
    pub(super) fn sort_behind(&self, places: &mut [SortKey], skip: usize, words: u32) {
        if places.len() < WORDS_FROM || words == 0 {
            return places.sort_unstable_by(|&a, &b| self.compare(skip, a, b));
        }
        let next = |&place: &SortKey| {
            let key = self.op(place.row()).key;
            // A key that has ended before is first, the shorter the earlier.
            let len = key.len().min(skip);
            SortKey::new(KeyspaceId(len as u32), prefix_word(&key[len..]), place.row())
        };
        let mut by_next: Vec<_> = places.iter().map(next).collect();
        by_next.sort_unstable();
        let head = places[0].head() << 32;
        let mut at = 0;
        for same in by_next.chunk_by(|a, b| a.head() == b.head()) {
            let part = &mut places[at..at + same.len()];
            at += same.len();
            for (place, next) in part.iter_mut().zip(same) {
                *place = SortKey(head | u128::from(!next.row()));
            }
            if same.len() > 1 && same[0].keyspace().0 as usize == skip {
                self.sort_behind(part, skip + 8, words - 1);
            }
        }
    }

    #[inline]
    pub(super) fn op(&self, row: u32) -> Op<'_> {
        let bytes = &self.chunk(row).0[self.offsets[row as usize] as usize..];
        first_op(bytes).expect("an operation was read there when the table was built")
    }
}

/// The order of two keys that agree in their first `skip` bytes, where both have them, and in their
/// prefix words.
#[inline]
pub(super) fn compare_from(skip: usize, a: &[u8], b: &[u8]) -> Ordering {
    match (a.get(skip..), b.get(skip..)) {
        (Some(a), Some(b)) => a.cmp(b),
        // Equal words, padded with zeros: the shorter key is a prefix of the longer one.
        _ => a.len().cmp(&b.len()),
    }
}
