//! What a database keeps in memory, counted by the allocator: this binary has one that counts.
//!
//! Memtables are small here, so that their records are the allocator's too; larger ones lie in
//! mappings, which are the system's again when they are freed.

#![allow(unsafe_code, reason = "an allocator that counts is one")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alluvium::{Builder, Db, OnOverload, TryWrite, WaitFor, WriteBatch};

const MEMORY_BYTES: usize = 2 << 20;
const CACHE_BYTES: usize = 512 << 10;

/// Everything that the options do not name: buffers of a flush and of a merge, filters and indexes,
/// prepared memtables, what writers have in their hands.
const MORE_BYTES: usize = 6 << 20;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is the system's, which is asked as it was called.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the trait's contract, handed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as above.
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn builder(dir: &std::path::Path) -> Builder {
    let builder = Db::builder(dir).memtable_bytes(64 << 10).flush_bytes(1 << 20);
    // However slow the disk is, nothing is refused.
    let patient = OnOverload::Pace { stall_max: Duration::from_secs(600) };
    builder.memory_bytes(MEMORY_BYTES as u64).cache_bytes(CACHE_BYTES as u64).on_overload(patient)
}

/// Runs a load of that many bytes on a database of its own, and returns how much more memory was in
/// use at any moment than before.
fn peak<R>(write: impl Fn(&Db, u64) -> R) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut number = 0;
    while db.stats().flush_bytes < 20 << 20 {
        for _ in 0..16 {
            number += 1;
            write(&db, number);
        }
    }
    let peak = PEAK.load(Ordering::Relaxed) - before;
    db.close().unwrap();
    peak
}

fn key(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Symptom: three to ten times `memory_bytes` were resident under load.
/// Mechanism: flushed memtables lived on for a second without being counted, and batches with a
/// memtable of their own were counted once they were written.
/// Fix: a flush frees what it has written before writers hear of it, and such a batch finds room
/// first.
///
/// One test: the count is the process's.
#[test]
fn memory_stays_within_what_the_options_say() {
    let bound = MEMORY_BYTES + CACHE_BYTES + MORE_BYTES;
    let check = |what: &str, peak: usize| {
        assert!(peak < bound, "{what}: {} KiB of {} KiB", peak >> 10, bound >> 10);
        // A count that sees nothing would agree with any bound.
        assert!(peak > MEMORY_BYTES / 4, "{what}: {} KiB", peak >> 10);
    };
    check("small values", peak(|db, number| db.put(key(number), [7; 100]).unwrap()));
    check("values of a page", peak(|db, number| db.put(key(number), [7; 4096]).unwrap()));
    // Each in a memtable of its own.
    check("large values", peak(|db, number| db.put(key(number), vec![7; 64 << 10]).unwrap()));
    let batches = peak(|db, number| {
        let mut batch = WriteBatch::new();
        (0..400).for_each(|n| batch.put(key(number * 1_000 + n), [7; 1_000]));
        db.write(&batch).unwrap();
    });
    check("batches", batches);
    let read = peak(|db, number| {
        db.put(key(number), [7; 1_000]).unwrap();
        (0..4).for_each(|n| drop(db.get(key(number * n / 4)).unwrap()));
    });
    check("reads between writes", read);
    a_batch_is_in_memory_once();
}

/// Symptom: while a batch of a gigabyte was written it was in memory twice.
/// Mechanism: a write took a copy of it before all else, also one that was refused then.
/// Fix: it is written from where it lies.
fn a_batch_is_in_memory_once() {
    const BATCH_BYTES: usize = 8 << 20;
    let mut batch = WriteBatch::new();
    (0..BATCH_BYTES as u64 >> 12).for_each(|n| batch.put(key(n), [7; 4096]));
    let check = |memtable_bytes: u64, write: &dyn Fn(&Db)| {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::builder(dir.path()).memtable_bytes(memtable_bytes).open().unwrap();
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        write(&db);
        let more = PEAK.load(Ordering::Relaxed) - before;
        assert!(more < BATCH_BYTES / 2, "{more} bytes beside the batch");
        db.close().unwrap();
    };
    // Into the memtable, which is a mapping.
    check(64 << 20, &|db| assert!(db.write(&batch).is_ok()));
    // Not at all: it is too large a part of one.
    check(16 << 20, &|db| {
        assert_eq!(db.try_write(&batch).unwrap(), TryWrite::WouldWait(WaitFor::Disk))
    });
}
