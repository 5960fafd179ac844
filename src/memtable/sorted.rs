//! The index of a memtable that is complete: versions sorted once, over record bodies left where
//! they are.
//!
//! Recovery builds one from a log's records, and a big batch brings its own. Built by one thread
//! before anybody else sees it, immutable once shared. Copies no key and no value.

use std::cmp::Ordering;

use super::Chunk;
use crate::format::Malformed;
use crate::format::batch::ops;
use crate::format::filter::Filter;
use crate::format::hash::key_hash;
use crate::format::key::{Entry, Kind, Position, prefix_word};
use crate::ids::{KeyspaceId, Sequence};
use crate::sync::Arc;
use crate::value::Value;

/// The body of one data record: operation `i` in it has sequence `first + i`.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) chunk: Arc<Chunk>,
    /// Where in the chunk the body is.
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) first: Sequence,
}

/// A row's place in the order, decided without the row in nearly every case.
#[derive(Clone, Copy)]
struct Place {
    /// The eight key bytes that follow what all keys have in common.
    word: u64,
    keyspace: u32,
    /// Index of the row.
    row: u32,
}

const _: () = assert!(size_of::<Place>() == 16);

/// Where one version of one key is.
struct Row {
    /// Counted from the table's base.
    sequence: u64,
    /// Index of the chunk that the next two are offsets in.
    chunk: u32,
    key_at: u32,
    value_at: u32,
    value_len: u32,
    key_len: u16,
    kind: Kind,
}

const _: () = assert!(size_of::<Row>() == 32);

/// Versions in internal order, and what they point into.
pub(super) struct Sorted {
    /// In internal order. Apart from the rows, because a search and a sort move through this only:
    /// half the memory, and rows stay as they were read.
    places: Vec<Place>,
    /// In commit order.
    rows: Vec<Row>,
    chunks: Vec<Arc<Chunk>>,
    /// What all keys start with. The words are taken behind it, so that they tell apart keys such
    /// as `user:000…`.
    common: Box<[u8]>,
    /// Added to every row's sequence.
    base: u64,
}

impl Sorted {
    /// Sorts the operations of `bodies`, and makes their filter with `filter_bits` bits a key.
    ///
    /// # Errors
    ///
    /// The first body that is not a sequence of operations; the offset is that in its chunk.
    pub(super) fn build(bodies: &[Body], filter_bits: u8) -> Result<(Self, Filter), Malformed> {
        let mut reading = Reading::default();
        for body in bodies {
            reading.body(body)?;
        }
        let filter = Filter::new(reading.hashes.len(), filter_bits);
        reading.hashes.iter().for_each(|&hash| filter.insert(hash));
        let Reading { mut places, rows, chunks, common, words_stale, .. } = reading;
        let common: Box<[u8]> = common.unwrap_or_default().into();
        for place in &mut places[..words_stale] {
            let key = key_of(&chunks, &rows[place.row as usize]);
            place.word = prefix_word(&key[common.len()..]);
        }
        let mut sorted = Self { places, rows, chunks, common, base: 0 };
        sorted.sort();
        Ok((sorted, filter))
    }

    fn sort(&mut self) {
        let (rows, chunks, skip) = (&self.rows, &self.chunks, self.common.len() + 8);
        self.places.sort_unstable_by(|a, b| {
            (a.keyspace, a.word).cmp(&(b.keyspace, b.word)).then_with(|| {
                let (a, b) = (&rows[a.row as usize], &rows[b.row as usize]);
                compare_from(skip, key_of(chunks, a), key_of(chunks, b))
                    .then_with(|| b.sequence.cmp(&a.sequence))
            })
        });
    }

    /// Makes `base` the sequence of rows with sequence 0. Only before the table is shared.
    pub(super) fn set_base(&mut self, base: Sequence) {
        self.base = base.0;
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Memory of the rows and of everything they point into, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.0.len()).sum();
        self.rows.len() * (size_of::<Row>() + size_of::<Place>()) + chunks
    }

    /// The smallest sequence, if there is a version.
    pub(super) fn smallest(&self) -> Option<Sequence> {
        let smallest = self.rows.iter().map(|row| row.sequence).min()?;
        Some(Sequence(self.base).plus(smallest))
    }

    /// The index of the first version at or after `target`; the number of versions if there is
    /// none.
    pub(super) fn lower_bound(&self, target: Position<'_>) -> usize {
        let keyspace = target.keyspace.0;
        let Some(rest) = target.key.strip_prefix(&*self.common) else {
            // Every key compares to the target as what they have in common does, and never equal.
            let below = (*self.common).cmp(target.key).is_lt();
            return self.places.partition_point(|place| {
                place.keyspace < keyspace || place.keyspace == keyspace && below
            });
        };
        let (wanted, skip) = ((keyspace, prefix_word(rest)), self.common.len() + 8);
        self.places.partition_point(|place| {
            (place.keyspace, place.word)
                .cmp(&wanted)
                .then_with(|| {
                    let row = &self.rows[place.row as usize];
                    compare_from(skip, key_of(&self.chunks, row), target.key)
                        .then_with(|| target.sequence.cmp(&self.sequence(row)))
                })
                .is_lt()
        })
    }

    fn sequence(&self, row: &Row) -> Sequence {
        Sequence(self.base).plus(row.sequence)
    }

    /// The version at `index` in the order, if there are that many.
    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let place = self.places.get(index)?;
        let row = &self.rows[place.row as usize];
        let chunk = &self.chunks[row.chunk as usize].0;
        Some(Entry {
            keyspace: KeyspaceId(place.keyspace),
            key: key_of(&self.chunks, row),
            sequence: self.sequence(row),
            kind: row.kind,
            value: &chunk[row.value_at as usize..][..row.value_len as usize],
        })
    }

    /// The value at `index` for the user to keep: shared if it is longer than `copy_bytes_max`.
    pub(super) fn value(&self, index: usize, copy_bytes_max: usize) -> Option<Value> {
        let entry = self.entry(index)?;
        if entry.value.len() <= copy_bytes_max {
            return Some(Value::copy(entry.value));
        }
        let row = &self.rows[self.places[index].row as usize];
        let chunk = Arc::clone(&self.chunks[row.chunk as usize]);
        Some(Value::shared(chunk, row.value_at as usize, entry.value.len()))
    }
}

/// The order of two keys that agree in their first `skip` bytes, where both have them, and in their
/// prefix words.
#[inline]
fn compare_from(skip: usize, a: &[u8], b: &[u8]) -> Ordering {
    match (a.get(skip..), b.get(skip..)) {
        (Some(a), Some(b)) => a.cmp(b),
        // Equal words, padded with zeros: the shorter key is a prefix of the longer one.
        _ => a.len().cmp(&b.len()),
    }
}

/// The key of a row. In bounds: the offsets were taken from slices of that very chunk.
#[inline]
fn key_of<'a>(chunks: &'a [Arc<Chunk>], row: &Row) -> &'a [u8] {
    &chunks[row.chunk as usize].0[row.key_at as usize..][..usize::from(row.key_len)]
}

/// What one pass over the bodies gathers.
#[derive(Default)]
struct Reading<'a> {
    places: Vec<Place>,
    rows: Vec<Row>,
    /// Kept until the number of keys, and so the size of the filter, is known.
    hashes: Vec<u64>,
    chunks: Vec<Arc<Chunk>>,
    /// What all keys so far start with, if there is one.
    common: Option<&'a [u8]>,
    /// How many places have a word taken behind a `common` that has since become shorter. It does
    /// so at most once for each of its bytes, and nearly always among the first few keys.
    words_stale: usize,
}

impl<'a> Reading<'a> {
    /// Adds the operations of `body`.
    fn body(&mut self, body: &'a Body) -> Result<(), Malformed> {
        let chunk = body.chunk.0.as_slice();
        let wrong = |expected: &str| {
            let got = format!("{} bytes at {} of {}", body.len, body.start, chunk.len());
            Malformed::new(body.start, "batch", expected, got)
        };
        if u32::try_from(chunk.len()).is_err() {
            return Err(wrong("a chunk under 4 GiB"));
        }
        let end = body.start.checked_add(body.len);
        let bytes = end.and_then(|end| chunk.get(body.start..end));
        if !self.chunks.last().is_some_and(|last| Arc::ptr_eq(last, &body.chunk)) {
            self.chunks.push(Arc::clone(&body.chunk));
        }
        let chunk_index =
            u32::try_from(self.chunks.len() - 1).map_err(|_| wrong("fewer chunks"))?;
        // Fits: a chunk's length does. An empty slice may lie anywhere, so it has offset 0.
        let offset = |part: &[u8]| match part {
            [] => 0,
            _ => (part.as_ptr().addr() - chunk.as_ptr().addr()) as u32,
        };
        for (index, op) in ops(bytes.ok_or_else(|| wrong("a body"))?).enumerate() {
            let op = op.map_err(|wrong| Malformed { at: wrong.at + body.start as u64, ..wrong })?;
            let sequence = body.first.0.checked_add(index as u64);
            let row = Row {
                sequence: sequence.ok_or_else(|| wrong("sequences of 64 bits"))?,
                chunk: chunk_index,
                key_at: offset(op.key),
                value_at: offset(op.value),
                value_len: op.value.len() as u32,
                key_len: op.key.len() as u16,
                kind: op.kind,
            };
            if !self.add(row, op.keyspace, op.key) {
                return Err(wrong("fewer than 4 billion operations"));
            }
        }
        Ok(())
    }

    /// Adds a row; returns false if there are too many.
    #[inline]
    fn add(&mut self, row: Row, keyspace: KeyspaceId, key: &'a [u8]) -> bool {
        let Ok(index) = u32::try_from(self.rows.len()) else { return false };
        let mut common = *self.common.get_or_insert(key);
        if !key.starts_with(common) {
            let same = common.iter().zip(key).take_while(|(a, b)| a == b).count();
            common = &common[..same];
            self.common = Some(common);
            self.words_stale = self.places.len();
        }
        let word = prefix_word(&key[common.len()..]);
        self.places.push(Place { word, keyspace: keyspace.0, row: index });
        self.hashes.push(key_hash(keyspace, key));
        self.rows.push(row);
        true
    }
}
