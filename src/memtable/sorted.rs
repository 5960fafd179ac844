//! The index of a memtable that is complete: versions sorted once, over record bodies left where
//! they are.
//!
//! Recovery builds one from the records of some logs, and a big batch brings its own. Built by one
//! thread before anybody else sees it, immutable once shared. Copies no key and no value, and keeps
//! 20 bytes for each: what a version is stands in its encoded operation, and is read off that.

use super::Chunk;
use super::rows::{RowSpan, Rows, SortKey, WORDS_MAX, compare_from};
use crate::format::Malformed;
use crate::format::batch::{Op, ops};
use crate::format::filter::Filter;
use crate::format::hash::key_hash;
use crate::format::key::{Entry, Position, prefix_word};
use crate::ids::{KeyspaceId, Sequence};
use crate::sync::Arc;
use crate::value::Value;

/// Versions in internal order, and what they point into.
pub(super) struct Sorted {
    /// In internal order. Apart from the rows, because a search and a sort move through this only.
    places: Vec<SortKey>,
    rows: Rows,
    /// What all keys start with. The words are taken behind it, so that they tell apart keys such
    /// as `user:000…`.
    common: Box<[u8]>,
    /// Added to every row's sequence.
    base: u64,
}

impl Sorted {
    /// Makes `base` the sequence of rows with sequence 0. Only before the table is shared.
    pub(super) fn set_base(&mut self, base: Sequence) {
        self.base = base.0;
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Memory of the index and of everything it points into, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.rows.chunks.iter().map(|chunk| chunk.0.len()).sum();
        self.places.len() * (size_of::<SortKey>() + size_of::<u32>()) + chunks
    }

    /// The smallest sequence, if there is a version.
    pub(super) fn smallest(&self) -> Option<Sequence> {
        Some(Sequence(self.base).plus(self.rows.spans.first()?.sequence))
    }

    /// The index of the first version at or after `target`; the number of versions if there is
    /// none.
    pub(super) fn lower_bound(&self, target: Position<'_>) -> usize {
        let Some(rest) = target.key.strip_prefix(&*self.common) else {
            // Every key compares to the target as what they have in common does, and never equal.
            let below = (*self.common).cmp(target.key).is_lt();
            return self.places.partition_point(|place| {
                place.keyspace() < target.keyspace || place.keyspace() == target.keyspace && below
            });
        };
        let wanted = SortKey::head_of(target.keyspace, prefix_word(rest));
        let skip = self.common.len() + 8;
        self.places.partition_point(|place| {
            place
                .head()
                .cmp(&wanted)
                .then_with(|| {
                    compare_from(skip, self.rows.op(place.row()).key, target.key)
                        .then_with(|| target.sequence.cmp(&self.sequence(place.row())))
                })
                .is_lt()
        })
    }

    fn sequence(&self, row: u32) -> Sequence {
        Sequence(self.base).plus(self.rows.sequence(row))
    }

    /// The version at `index` in the order, if there are that many.
    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let row = self.places.get(index)?.row();
        let Op { kind, keyspace, key, value } = self.rows.op(row);
        Some(Entry { keyspace, key, sequence: self.sequence(row), kind, value })
    }

    /// The value at `index` for the user to keep: shared if it is longer than `copy_bytes_max`.
    pub(super) fn value(&self, index: usize, copy_bytes_max: usize) -> Option<Value> {
        let row = self.places.get(index)?.row();
        let value = self.rows.op(row).value;
        if value.len() <= copy_bytes_max {
            return Some(Value::copy(value));
        }
        let chunk = self.rows.chunk(row);
        let at = value.as_ptr().addr() - chunk.0.as_ptr().addr();
        let chunk = Arc::clone(chunk);
        Some(Value::shared(chunk, at, value.len()))
    }
}

/// What one pass over the bodies gathers, to be made a [`Memtable`](super::Memtable).
///
/// Bodies come in commit order: sequences ascend from each to the next. Several threads may each
/// fill and sort one, with all of one before all of the next in commit order.
pub(crate) struct SortedBuilder {
    /// In commit order until all are there.
    places: Vec<SortKey>,
    rows: Rows,
    /// Those of the keys, until their number is known.
    hashes: Vec<u64>,
    /// What all keys so far start with, if there is one.
    common: Option<Box<[u8]>>,
    /// How many places have a word taken behind a `common` that has since become shorter. It does
    /// so at most once for each of its bytes, and nearly always among the first few keys.
    words_stale: usize,
    keyspace_max: KeyspaceId,
}

impl SortedBuilder {
    /// About what a table of that many encoded bytes and operations takes.
    pub(crate) fn cost(bytes: usize, ops: usize) -> usize {
        bytes + ops * (size_of::<SortKey>() + size_of::<u32>() + 2)
    }

    /// A builder for about `ops` operations; takes memory for that many.
    pub(crate) fn new(ops: usize) -> Self {
        Self {
            places: Vec::with_capacity(ops),
            rows: Rows { offsets: Vec::with_capacity(ops), ..Rows::default() },
            hashes: Vec::with_capacity(ops),
            common: None,
            words_stale: 0,
            keyspace_max: KeyspaceId(0),
        }
    }

    /// Adds the operations of the body that takes `len` bytes from `start` of `chunk`; operation
    /// `i` has sequence `first + i`. Returns how many there are. The bodies of a chunk come in a
    /// row.
    ///
    /// # Errors
    ///
    /// What is there is not a sequence of operations; the offset is that in the chunk. The builder
    /// is of no use then.
    pub(crate) fn body(
        &mut self,
        chunk: &Arc<Chunk>,
        start: usize,
        len: usize,
        first: Sequence,
    ) -> Result<u32, Malformed> {
        if !self.rows.chunks.last().is_some_and(|last| Arc::ptr_eq(last, chunk)) {
            self.rows.chunks.push(Arc::clone(chunk));
        }
        let chunk = chunk.0.as_slice();
        let wrong = |expected: &str| {
            let got = format!("{len} bytes at {start} of {}", chunk.len());
            Malformed::new(start, "batch", expected, got)
        };
        let bytes = start.checked_add(len).and_then(|end| chunk.get(start..end));
        let bytes = bytes.ok_or_else(|| wrong("a body"))?;
        let row = self.places.len();
        // Offsets in the chunk and rows, both 32 bits.
        if u32::try_from(chunk.len()).is_err() || u32::try_from(row + len).is_err() {
            return Err(wrong("a chunk under 4 GiB, and fewer than 4 billion operations"));
        }
        let mut all = ops(bytes);
        loop {
            let at = start + len - all.rest().len();
            let Some(op) = all.next() else { break };
            let op = op.map_err(|wrong| Malformed { at: wrong.at + start as u64, ..wrong })?;
            self.add(at as u32, &op);
        }
        let count = (self.places.len() - row) as u32;
        if count > 0 {
            let last = first.0.checked_add(u64::from(count) - 1);
            last.ok_or_else(|| wrong("sequences of 64 bits"))?;
            self.cover(row as u32, first);
        }
        Ok(count)
    }

    /// Adds an operation at `offset` of the chunk.
    #[inline]
    fn add(&mut self, offset: u32, op: &Op<'_>) {
        let row = self.places.len();
        let common = self.common.get_or_insert_with(|| op.key.into());
        // Nothing in common is asked for apart: a comparison of no bytes at an address that is
        // none took longer than all the rest of this.
        if !common.is_empty() && !op.key.starts_with(common) {
            let same = common.iter().zip(op.key).take_while(|(a, b)| a == b).count();
            *common = common[..same].into();
            self.words_stale = row;
        }
        let word = prefix_word(&op.key[common.len()..]);
        self.places.push(SortKey::new(op.keyspace, word, row as u32));
        self.rows.offsets.push(offset);
        self.hashes.push(key_hash(op.keyspace, op.key));
        self.keyspace_max = self.keyspace_max.max(op.keyspace);
    }

    /// Notes that the rows from `row` on have sequences from `first` on.
    #[inline]
    fn cover(&mut self, row: u32, first: Sequence) {
        let chunk = (self.rows.chunks.len() - 1) as u32;
        let goes_on = self.rows.spans.last().is_some_and(|span| {
            let next = span.sequence.checked_add(u64::from(row - span.row));
            span.chunk == chunk && next == Some(first.0)
        });
        if !goes_on {
            self.rows.spans.push(RowSpan { row, chunk, sequence: first.0 });
        }
    }

    /// The highest keyspace id so far.
    pub(crate) fn keyspace_max(&self) -> KeyspaceId {
        self.keyspace_max
    }

    /// Sorts what there is. Nothing may be added afterwards.
    pub(crate) fn sort(&mut self) {
        let skip = self.common.as_ref().map_or(0, |common| common.len());
        self.take_words(skip, self.words_stale);
        self.places.sort_unstable();
        let rows = &self.rows;
        for same in self.places.chunk_by_mut(|a, b| a.head() == b.head()) {
            if same.len() > 1 {
                rows.sort_behind(same, skip + 8, WORDS_MAX);
            }
        }
    }

    /// Takes the words of the first `count` places behind `skip` bytes of their keys.
    fn take_words(&mut self, skip: usize, count: usize) {
        for place in &mut self.places[..count] {
            let op = self.rows.op(place.row());
            *place = SortKey::new(op.keyspace, prefix_word(&op.key[skip..]), place.row());
        }
    }

    /// Adds all of `next`, which is later in commit order. Both are sorted, and so is the result.
    ///
    /// `None` if there are more than 4 billion operations.
    pub(crate) fn join(mut self, mut next: Self) -> Option<Self> {
        let rows = u32::try_from(self.places.len()).ok()?;
        u32::try_from(self.places.len() + next.places.len()).ok()?;
        let skip = self.agree(&mut next);
        let chunks = self.rows.chunks.len() as u32;
        self.rows.offsets.append(&mut next.rows.offsets);
        self.rows.chunks.append(&mut next.rows.chunks);
        self.rows.spans.extend(next.rows.spans.iter().map(|span| RowSpan {
            row: span.row + rows,
            chunk: span.chunk + chunks,
            sequence: span.sequence,
        }));
        self.hashes.append(&mut next.hashes);
        // The row is there as its complement.
        let later = next.places.iter().map(|place| SortKey(place.0 - u128::from(rows)));
        let mut later = later.peekable();
        let mut places = Vec::with_capacity(self.places.len() + next.places.len());
        for &place in &self.places {
            let before = |later: &SortKey| self.rows.compare(skip + 8, *later, place).is_lt();
            while let Some(later) = later.next_if(before) {
                places.push(later);
            }
            places.push(place);
        }
        places.extend(later);
        self.places = places;
        self.keyspace_max = self.keyspace_max.max(next.keyspace_max);
        Some(self)
    }

    /// Makes both take their words behind what the keys of both have in common, and returns how
    /// many bytes that is. The order stays as it is: it is that of the whole keys.
    fn agree(&mut self, next: &mut Self) -> usize {
        let mut skip = usize::MAX;
        if let (Some(one), Some(other)) = (&self.common, &next.common) {
            skip = one.iter().zip(other).take_while(|(a, b)| a == b).count();
        }
        for part in [&mut *self, next] {
            if let Some(common) = &mut part.common
                && common.len() > skip
            {
                *common = common[..skip].into();
                part.take_words(skip, part.places.len());
            }
        }
        self.common = self.common.take().or_else(|| next.common.take());
        self.common.as_ref().map_or(0, |common| common.len())
    }

    /// What has been sorted, and the filter of its keys with `filter_bits` bits for each.
    pub(super) fn finish(self, filter_bits: u8) -> (Sorted, Filter) {
        let Self { places, rows, hashes, common, .. } = self;
        let filter = Filter::new(hashes.len(), filter_bits);
        hashes.iter().for_each(|&hash| filter.insert(hash));
        (Sorted { places, rows, common: common.unwrap_or_default(), base: 0 }, filter)
    }
}
