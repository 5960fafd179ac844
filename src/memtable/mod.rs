//! Memtables: the newest versions, in memory, in order, each with a filter.
//!
//! A table is either *active* (a skiplist in which one [`MemtableWriter`] gives out places from
//! inside the commit section, filled by the writers side by side; then sealed by no longer being
//! written) or *sorted* (complete when made: recovered from a log, or one big batch). Readers on
//! any thread call [`Memtable::get`] and cursors and never wait. What is visible is not decided
//! here: a reader names its sequence. Nothing here knows a file, a segment or a snapshot.
//!
//! Publication: `visible` is stored with Release after [`Memtable::fill`], and readers load it with
//! Acquire before they look: everything at or below that sequence is then found here, filter
//! included.

mod active;
mod active_cursor;
mod arena;
mod cursor;
mod drops;
mod rows;
mod sorted;
#[cfg(test)]
mod tests;

pub(crate) use arena::Room;
pub(crate) use cursor::MemtableCursor;
pub(crate) use sorted::SortedBuilder;

use active::{Active, ENTRY_OVERHEAD};
use arena::ArenaWriter;
use sorted::Sorted;

use std::collections::BTreeMap;
use std::fmt;

use crate::format::batch::Op;
use crate::format::filter::Filter;
use crate::format::hash::key_hash;
use crate::format::key::{Entry, Kind, Position};
use crate::ids::{KeyspaceId, LogNumber, Sequence};
use crate::iter::stretch::KeySpan;
use crate::mvcc::stretches::Stretches;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, OnceLock};
use crate::value::{Backing, Value};

/// Values up to this length are copied out of a sorted table, longer ones share its memory.
const VALUE_COPY_BYTES_MAX: usize = 4096;

/// Filter bits for each key.
const FILTER_BITS: u8 = 10;

/// The entry that the filter of an active table is sized for: 30 bytes of key and value. A table of
/// smaller entries is sealed when its filter is full.
const ENTRY_BYTES_TYPICAL: usize = ENTRY_OVERHEAD + 30;

/// About what operations of that many encoded bytes take in a memtable.
pub(crate) fn cost(bytes: usize, ops: usize) -> usize {
    ops.saturating_mul(ENTRY_OVERHEAD).saturating_add(bytes)
}

/// Largest step in which an active table's memory grows.
const SLAB_BYTES_MAX: usize = 1 << 20;

/// Largest part of an active table's memory that is had before anything is written.
const FIRST_SLAB_BYTES_MAX: usize = 64 << 20;

/// Largest part of it that is touched by then.
const TOUCHED_BYTES_MAX: usize = 8 << 20;

/// Bytes read from a log, or built for one, that sorted tables and their values share.
#[derive(Debug)]
pub(crate) struct Chunk(pub(crate) Vec<u8>);

impl Backing for Chunk {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One version that a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) kind: Kind,
    /// Empty for a tombstone.
    pub(crate) value: &'a [u8],
}

/// An ordered set of versions in memory, and the logs that hold the same.
pub(crate) struct Memtable {
    // Own synchronisation.
    filter: Filter,
    index: TableIndex,
    log_first: AtomicU64,
    drops: Mutex<BTreeMap<KeyspaceId, Sequence>>,
    /// Where a view that begins with this table has no live key.
    stretches: Stretches<KeySpan>,
    /// The first and the last key, once the table is sealed.
    ends: OnceLock<Option<Ends>>,
    counters: TableCounters,
}

/// The keys that a table begins and ends with.
struct Ends {
    first: (KeyspaceId, Box<[u8]>),
    last: (KeyspaceId, Box<[u8]>),
}

enum TableIndex {
    /// Boxed: the list's head is some 600 bytes.
    Active(Box<Active>),
    Sorted(Sorted),
}

/// Written with each place given out, read by any thread. Relaxed throughout: each is a number by
/// itself, and a thread that needs them exact is ordered after the writer by the commit section.
///
/// Aligned to two cache lines, so that these stores do not take from readers the line of what they
/// look up.
#[repr(align(128))]
struct TableCounters {
    bytes: AtomicUsize,
    entries: AtomicUsize,
    /// `u64::MAX` while there is none.
    smallest: AtomicU64,
}

impl TableCounters {
    fn new(bytes: usize, entries: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(bytes),
            entries: AtomicUsize::new(entries),
            smallest: AtomicU64::new(u64::MAX),
        }
    }

    /// Counts a sequence in. One writer at a time.
    #[inline]
    fn cover(&self, sequence: Sequence) {
        if sequence.0 < self.smallest.load(Ordering::Relaxed) {
            self.smallest.store(sequence.0, Ordering::Relaxed);
        }
    }
}

impl Memtable {
    /// An empty table to be written, and its only writer.
    ///
    /// `bytes_max` is what [`MemtableWriter::fits`] holds it to.
    pub(crate) fn active(bytes_max: usize) -> (MemtableWriter, Arc<Self>) {
        // All of it, which costs addresses; what is not touched takes no memory.
        let first_bytes = bytes_max.clamp(4096, FIRST_SLAB_BYTES_MAX);
        let slab_bytes = (bytes_max / 8).clamp(4096, SLAB_BYTES_MAX);
        let arena = ArenaWriter::new(first_bytes, slab_bytes);
        let entries_max = (bytes_max / ENTRY_BYTES_TYPICAL).max(1);
        let filter = Filter::new(entries_max, FILTER_BITS);
        let index = TableIndex::Active(Box::new(Active::new(arena.arena())));
        let table = Arc::new(Self::new(filter, index, TableCounters::new(0, 0)));
        (MemtableWriter { table: Arc::clone(&table), arena, bytes_max, entries_max }, table)
    }

    /// A complete table of everything in `builder`, which has been sorted.
    ///
    /// Building and sorting cost about 0.15 µs an operation; no key and no value is copied.
    pub(crate) fn sorted(builder: SortedBuilder) -> Self {
        let (sorted, filter) = builder.finish(FILTER_BITS);
        let counters = TableCounters::new(sorted.bytes() + filter.bytes(), sorted.len());
        let mut table = Self::new(filter, TableIndex::Sorted(sorted), counters);
        table.count_sequences();
        table
    }

    fn new(filter: Filter, index: TableIndex, counters: TableCounters) -> Self {
        let drops = Mutex::new(BTreeMap::new());
        let stretches = Stretches::new();
        let ends = OnceLock::new();
        Self { filter, index, log_first: AtomicU64::new(0), drops, stretches, ends, counters }
    }

    /// The stretches that are remembered for views which begin with this table.
    #[inline]
    pub(crate) fn stretches(&self) -> &Stretches<KeySpan> {
        &self.stretches
    }

    /// Notes that no version comes any more, so that readers outside of its keys pass it over
    /// without a search. A queue leaves many such tables. Only of use to active tables. Inside the
    /// commit section, when all places are filled.
    pub(crate) fn seal(&self) {
        let TableIndex::Active(active) = &self.index else { return };
        self.ends.get_or_init(|| {
            let key = |entry: Entry<'_>| (entry.keyspace, entry.key.into());
            Some(Ends { first: key(active.first()?), last: key(active.last()?) })
        });
    }

    /// Gives memory that was got ready and not needed back to the system, if it is no longer
    /// written. Background threads only.
    pub(crate) fn give_back_unused(&self) {
        if let TableIndex::Active(active) = &self.index {
            active.give_back_unused();
        }
    }

    /// Whether it is sealed and has nothing at or after `target`.
    #[inline]
    fn ends_before(&self, target: Position<'_>) -> bool {
        self.ends.get().is_some_and(|ends| {
            let last = ends.as_ref().map(|Ends { last: (keyspace, key), .. }| (*keyspace, &**key));
            last.is_none_or(|last| last < (target.keyspace, target.key))
        })
    }

    /// Whether it is sealed and has nothing before `target`.
    #[inline]
    fn starts_after(&self, target: Position<'_>) -> bool {
        self.ends.get().is_some_and(|ends| {
            let first =
                ends.as_ref().map(|Ends { first: (keyspace, key), .. }| (*keyspace, &**key));
            first.is_none_or(|first| first > (target.keyspace, target.key))
        })
    }

    /// Gives a sorted table whose bodies count from sequence 0 the sequence of its first operation.
    /// Does nothing to an active one.
    pub(crate) fn set_base(&mut self, first: Sequence) {
        if let TableIndex::Sorted(sorted) = &mut self.index {
            sorted.set_base(first);
            self.count_sequences();
        }
    }

    fn count_sequences(&mut self) {
        let TableIndex::Sorted(sorted) = &self.index else { return };
        let smallest = sorted.smallest().map_or(u64::MAX, |smallest| smallest.0);
        self.counters.smallest = AtomicU64::new(smallest);
        self.drops().values().for_each(|&at| self.counters.cover(at));
    }

    /// Names the first log that holds operations of this table, once that is taken into use.
    /// Inside the commit section, or before the table is shared.
    pub(crate) fn set_log_first(&self, log: LogNumber) {
        // Relaxed: read inside the commit section, or by a thread that the view was published to.
        self.log_first.store(log.0, Ordering::Relaxed);
    }

    /// The first log that holds operations of this table; 0 before it has one.
    pub(crate) fn log_first(&self) -> LogNumber {
        LogNumber(self.log_first.load(Ordering::Relaxed))
    }

    /// Whether it holds neither a version nor a drop.
    pub(crate) fn is_empty(&self) -> bool {
        self.smallest_sequence().is_none()
    }

    /// Memory in bytes: keys, values, index and filter.
    pub(crate) fn bytes(&self) -> usize {
        self.counters.bytes.load(Ordering::Relaxed)
    }

    /// The number of versions.
    pub(crate) fn entries(&self) -> usize {
        self.counters.entries.load(Ordering::Relaxed)
    }

    /// The smallest sequence of a version or a drop here, if there is one.
    pub(crate) fn smallest_sequence(&self) -> Option<Sequence> {
        let smallest = self.counters.smallest.load(Ordering::Relaxed);
        (smallest < u64::MAX).then_some(Sequence(smallest))
    }

    /// The newest version of a key at or below `at`. `hash` is the
    /// [key's](crate::format::hash::key_hash).
    ///
    /// Waits for nothing and allocates nothing. An absent key costs one cache line in 99 of 100
    /// cases.
    #[inline]
    pub(crate) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        hash: u64,
        at: Sequence,
    ) -> Option<Found<'_>> {
        if !self.filter.may_contain(hash) {
            return None;
        }
        let target = Position { keyspace, key, sequence: at };
        let entry = match &self.index {
            TableIndex::Active(active) => active.lower_bound(target),
            TableIndex::Sorted(sorted) => sorted.entry(sorted.lower_bound(target)),
        };
        let Entry { sequence, kind, value, .. } =
            entry.filter(|entry| entry.position().same_key(&target))?;
        Some(Found { sequence, kind, value })
    }

    /// Whether it may hold a key with this hash; `false` is certain.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    /// The value of what [`Self::get`] found for a key, for the user to keep: copied, or shared
    /// where it is long and the table sorted.
    pub(crate) fn keep_value(&self, keyspace: KeyspaceId, key: &[u8], found: &Found<'_>) -> Value {
        if let TableIndex::Sorted(sorted) = &self.index
            && found.value.len() > VALUE_COPY_BYTES_MAX
        {
            // A second search, which is nothing beside the copy it saves.
            let at = Position { keyspace, key, sequence: found.sequence };
            if let Some(value) = sorted.value(sorted.lower_bound(at), VALUE_COPY_BYTES_MAX) {
                return value;
            }
        }
        Value::copy(found.value)
    }

    /// Adds operations in the place that [`MemtableWriter::place`] gave them, beside other writers.
    /// None may be there yet.
    ///
    /// Readers find them for certain once `visible` has passed them.
    ///
    /// # Panics
    /// If the place is in another table, or other operations got it.
    #[inline]
    pub(crate) fn fill<'a>(
        &self,
        mut room: Room,
        first: Sequence,
        ops: impl Iterator<Item = Op<'a>>,
    ) {
        let mut sequence = first;
        for op in ops {
            self.list().insert(&mut room, op, sequence);
            sequence = sequence.plus(1);
        }
    }

    fn list(&self) -> &Active {
        match &self.index {
            TableIndex::Active(active) => active,
            TableIndex::Sorted(_) => unreachable!("only active tables have writers"),
        }
    }

    /// A cursor over all versions, at none of them yet; it keeps the table alive.
    pub(crate) fn cursor(self: &Arc<Self>) -> MemtableCursor {
        MemtableCursor::new(self)
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        let bytes = self.bytes();
        f.debug_struct("Memtable").field("entries", &entries).field("bytes", &bytes).finish()
    }
}

impl fmt::Debug for MemtableWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemtableWriter").field("table", &self.table).finish_non_exhaustive()
    }
}

/// The one writer of an active [`Memtable`]; lives inside the commit section.
pub(crate) struct MemtableWriter {
    table: Arc<Memtable>,
    arena: ArenaWriter,
    bytes_max: usize,
    entries_max: usize,
}

impl MemtableWriter {
    /// The table it writes.
    pub(crate) fn table(&self) -> &Arc<Memtable> {
        &self.table
    }

    /// Has the system back the first of its memory now: takes a page fault for each page, which the
    /// commit section is spared.
    pub(crate) fn touch(&mut self) {
        // Records of 130 bytes take five eighths of a table; longer ones meet a page fault now and
        // then.
        self.arena.touch((self.bytes_max / 8 * 5).min(TOUCHED_BYTES_MAX));
    }

    /// Adds operations, the first of which has sequence `first`. None may be there yet.
    ///
    /// Readers find them for certain once the caller has stored `visible`.
    #[inline]
    pub(crate) fn add<'a>(&mut self, first: Sequence, ops: impl Iterator<Item = Op<'a>>) {
        let table = &*self.table;
        let mut sequence = first;
        let mut entries = table.entries();
        for op in ops {
            // Before the list has it, so that a version in the list always passes the filter.
            table.filter.insert(key_hash(op.keyspace, op.key));
            let mut room = self.arena.room(active::record_bytes(&op));
            table.list().insert(&mut room, op, sequence);
            sequence = sequence.plus(1);
            entries += 1;
        }
        self.count(first, entries);
    }

    /// Counts operations in as [`Self::add`] does, and gives them a place, in which
    /// [`Memtable::fill`] adds them. The table is not to be sealed before that.
    pub(crate) fn place<'a>(&mut self, first: Sequence, ops: impl Iterator<Item = Op<'a>>) -> Room {
        let mut entries = self.table.entries();
        let mut bytes = 0;
        for op in ops {
            self.table.filter.insert(key_hash(op.keyspace, op.key));
            bytes += active::record_bytes(&op);
            entries += 1;
        }
        let room = self.arena.room(bytes);
        self.count(first, entries);
        room
    }

    fn count(&self, first: Sequence, entries: usize) {
        let counters = &self.table.counters;
        counters.entries.store(entries, Ordering::Relaxed);
        let bytes = self.arena.used() + entries * active::NODE_BYTES;
        counters.bytes.store(bytes, Ordering::Relaxed);
        counters.cover(first);
    }

    /// Whether `ops` operations with `bytes` bytes of keys and values together leave the table
    /// within its bounds. An empty table takes anything, so that no operation is too large for
    /// every table.
    pub(crate) fn fits(&self, bytes: usize, ops: u32) -> bool {
        let entries = self.table.entries();
        let ops = ops as usize;
        let cost = cost(bytes, ops);
        entries == 0
            || self.table.bytes().saturating_add(cost) <= self.bytes_max
                && entries.saturating_add(ops) <= self.entries_max
    }
}
