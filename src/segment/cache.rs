//! The block cache's accounts: how much memory blocks take, and whether another may stay. The bound
//! is on blocks in their slots: what only users hold, by values and iterators, no eviction frees.
//!
//! The blocks themselves sit in slots of their segments, so a hit is one load and no lookup. A
//! reader that misses never waits for room: while the cache is well over its capacity, blocks are
//! served and not kept. Slots are emptied by a background thread ([`super::ClockHand`]).

use std::cell::Cell;

use super::VALUE_COPY_BYTES_MAX;
use crate::format::data_block::Block;
use crate::mvcc::slots::{Cached, Resident};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::threads::thread_local;
use crate::sync::{Arc, unchecked};
use crate::value::{Backing, Value};

/// Shards of the hit and miss counters: more than that many threads share, and may lose a few
/// counts.
const COUNTER_SHARDS: usize = 32;

/// A bound on the memory of cached blocks, shared by all segments of a database.
#[derive(Debug)]
pub(crate) struct BlockCache {
    capacity: usize,
    /// Whether blocks stay where their files are mapped, and take next to no memory here.
    maps_files: bool,
    in_slots: Cached,
    /// Bytes of all living blocks that were read through the cache, in a slot or only held by a
    /// reader.
    used: AtomicUsize,
    counters: Box<[CacheCounters]>,
}

/// On a cache line of its own, and one ahead for the prefetcher: readers count without sharing.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How the cache has served since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    /// Blocks found in their slot.
    pub(crate) hits: u64,
    /// Blocks read from their file.
    pub(crate) misses: u64,
    /// Bytes of living blocks.
    pub(crate) used_bytes: usize,
    /// The bound.
    pub(crate) capacity_bytes: usize,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes (and an eighth more for a moment).
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Self::of(capacity, false)
    }

    /// A cache whose blocks lie in mapped files, where there can be such, and are not counted.
    pub(crate) fn of_mapped(capacity: usize) -> Arc<Self> {
        Self::of(capacity, true)
    }

    fn of(capacity: usize, maps_files: bool) -> Arc<Self> {
        let counters = (0..COUNTER_SHARDS).map(|_| CacheCounters::default()).collect();
        let in_slots = Cached::none();
        let used = AtomicUsize::new(0);
        Arc::new(Self { capacity, maps_files, in_slots, used, counters })
    }

    /// Whether a block of that many bytes may be kept.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let bound = self.capacity.saturating_add(self.capacity / 8);
        self.cached().saturating_add(bytes) <= bound
    }

    /// Whether files are to be mapped.
    pub(crate) fn maps_files(&self) -> bool {
        self.maps_files
    }

    /// Whether it is time to evict.
    pub(crate) fn over(&self) -> bool {
        self.excess() > 0
    }

    /// How many bytes have to leave their slots.
    pub(crate) fn excess(&self) -> usize {
        self.cached().saturating_sub(self.capacity)
    }

    /// Bytes of blocks in their slots.
    pub(crate) fn cached(&self) -> usize {
        self.in_slots.bytes()
    }

    /// Counts blocks as they come into their slots and leave them.
    pub(super) fn in_slots(&self) -> &Cached {
        &self.in_slots
    }

    /// The bound, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of all living blocks.
    pub(crate) fn used(&self) -> usize {
        // Relaxed: an account, it publishes nothing.
        self.used.load(Ordering::Relaxed)
    }

    /// The figures of this moment.
    pub(crate) fn stats(&self) -> CacheStats {
        let sum = |count: fn(&CacheCounters) -> &AtomicU64| {
            self.counters.iter().map(|counters| count(counters).load(Ordering::Relaxed)).sum()
        };
        CacheStats {
            hits: sum(|counters| &counters.hits),
            misses: sum(|counters| &counters.misses),
            used_bytes: self.used(),
            capacity_bytes: self.capacity,
        }
    }

    pub(super) fn count_hit(&self) {
        bump(&self.counters[shard()].hits);
    }

    pub(super) fn count_miss(&self) {
        bump(&self.counters[shard()].misses);
    }
}

/// Adds one without a locked instruction: a shard has one thread, or few that may lose a count to
/// each other.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// This thread's shard.
fn shard() -> usize {
    static NEXT: unchecked::AtomicUsize = unchecked::AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let drawn = SHARD.try_with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed) % COUNTER_SHARDS);
        }
        shard.get()
    });
    // A read by the destructor of another thread-local counts all the same.
    drawn.unwrap_or(0)
}

/// A block in memory, charged to its cache for as long as it lives.
///
/// All that a get looks at is on one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct CachedBlock {
    block: Block,
    /// Read since the clock hand last passed.
    used: AtomicBool,
    charge: Charge,
}

const _: () = assert!(size_of::<Block>() < 64);

#[derive(Debug)]
struct Charge {
    cache: Arc<BlockCache>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.cache.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Backing for CachedBlock {
    fn bytes(&self) -> &[u8] {
        self.block.bytes()
    }
}

impl Resident for CachedBlock {
    fn cached_bytes(&self) -> usize {
        self.charged_bytes()
    }

    fn take_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) && self.used.swap(false, Ordering::Relaxed)
    }
}

impl std::ops::Deref for CachedBlock {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.block
    }
}

impl CachedBlock {
    /// A block that counts against `cache`.
    pub(super) fn charged(block: Block, cache: &Arc<BlockCache>) -> Arc<Self> {
        let bytes = Self::memory_bytes_of(&block);
        cache.used.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { cache: Arc::clone(cache), bytes };
        Arc::new(Self { block, used: AtomicBool::new(false), charge })
    }

    /// What a block costs in memory.
    pub(super) fn memory_bytes_of(block: &Block) -> usize {
        // The counts of the Arc, in front of it, take as much as it is aligned to.
        block.memory_bytes() + size_of::<Self>() + align_of::<Self>()
    }

    /// What it is charged with.
    pub(super) fn charged_bytes(&self) -> usize {
        self.charge.bytes
    }

    /// Marks it as read. Stores only a change, so that a hot block's line stays shared between
    /// cores.
    #[inline]
    pub(super) fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// The value of entry `i` for the user to keep: copied if small, else shared with the block.
    pub(super) fn value_to_keep(self: &Arc<Self>, i: usize) -> Value {
        let range = self.block.value_range(i);
        if range.len() <= VALUE_COPY_BYTES_MAX {
            return Value::copy(self.block.value(i));
        }
        Value::shared(Arc::<Self>::clone(self), range.start, range.len())
    }
}
