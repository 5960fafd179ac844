//! Reads of what is in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alluvium::{Db, Snapshot, TryGet};

use crate::watch::{ALLOCATOR, Cost, Meter, say, watched};
use crate::{OPERATIONS, builder, key};

const KEYS: usize = 10_000;

/// A value that a [`alluvium::Value`] holds in itself.
const SHORT: [u8; 16] = [b's'; 16];

/// One that it has on the heap.
const LONG: [u8; 200] = [b'l'; 200];

/// Keys below `KEYS` are on disk, as far as they are in none of the rest; of those, every third is
/// in a sealed memtable or the active one, and some are deleted.
fn filled(dir: &std::path::Path) -> Db {
    let db = builder(dir).open().unwrap();
    let put = |number: usize| {
        let value: &[u8] = if number.is_multiple_of(2) { &SHORT } else { &LONG };
        db.put(key(number), value).unwrap();
    };
    (0..KEYS).for_each(put);
    db.flush().unwrap();
    (0..KEYS).step_by(3).for_each(put);
    (0..KEYS).step_by(100).for_each(|number| {
        db.delete(key(number)).unwrap();
    });
    db
}

/// Reads keys with every verb that needs no more than memory, and returns how many there were. The
/// snapshot is the caller's: taking one locks the list of snapshots for a moment.
fn read(db: &Db, snapshot: &Snapshot, keys: impl Iterator<Item = usize>) -> usize {
    let mut found = 0;
    for number in keys {
        // Every other one is nowhere.
        let key = key(number);
        found += usize::from(match number % 4 {
            0 => db.get(key).unwrap().is_some(),
            1 => db.get_with(key, |value| value.is_some()).unwrap(),
            2 => db.contains_key(key).unwrap(),
            _ => snapshot.get(key).unwrap().is_some(),
        });
    }
    found
}

#[test]
fn gets_of_what_is_in_memory_make_no_system_call() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let numbers = |from: usize| (from..from + OPERATIONS).map(|number| number % (2 * KEYS));
    let measured = watched(|meter: &Meter| {
        // All blocks come into memory, and what the thread needs is made.
        let snapshot = db.snapshot();
        read(&db, &snapshot, 0..2 * KEYS);
        let (found, cost) = meter.cost(|| read(&db, &snapshot, numbers(0)));
        assert!(found > OPERATIONS / 4, "{found}");
        (found, cost)
    });
    let Some((found, cost)) = measured else { return };
    say(&format!("{OPERATIONS} gets, {found} of them hits: {cost}"));
    assert!(cost.calls.is_empty(), "{cost}");
}

#[test]
fn a_get_allocates_its_value_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let measured = watched(|meter: &Meter| {
        read(&db, &db.snapshot(), 0..2 * KEYS);
        let cost_of = |work: &dyn Fn([u8; 16])| {
            let keys = (0..KEYS).filter(|number| number % 100 != 0);
            meter.cost(|| keys.map(key).for_each(work)).1.allocations
        };
        let short = (0..KEYS).filter(|number| number % 2 == 0 && number % 100 != 0);
        let get = |key| drop(db.get(key).unwrap());
        let ((), of_short) = meter.cost(|| short.map(key).for_each(get));
        let lent = cost_of(&|key| assert!(db.get_with(key, |value| value.is_some()).unwrap()));
        let there = cost_of(&|key| assert!(db.contains_key(key).unwrap()));
        let tried = cost_of(&|key| assert!(matches!(db.try_get(key).unwrap(), TryGet::Hit(_))));
        let owned = cost_of(&get);
        (of_short.allocations, lent, there, tried, owned)
    });
    let Some(measured) = measured else { return };
    // A value of more than 22 bytes is copied to the heap.
    let long = (0..KEYS).filter(|number| number % 2 == 1 && number % 100 != 0).count() as u64;
    assert_eq!(measured, (0, 0, 0, long, long));
}

/// The planted fault: gets that do call, of blocks that nobody has read.
#[test]
fn gets_of_what_is_on_disk_alone_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).close().unwrap();
    let db = builder(dir.path()).open().unwrap();
    let snapshot = db.snapshot();
    let measured = watched(|meter: &Meter| meter.cost(|| read(&db, &snapshot, 0..KEYS)).1);
    let Some(cost) = measured else { return };
    let blocks = db.stats().cache_misses;
    assert!(blocks > 10, "{blocks} blocks");
    assert_eq!(cost.of(&[libc::SYS_pread64]), blocks, "{cost}");
}

/// Where segments are mapped, with a block cache that holds next to nothing: the blocks that are
/// not in it, which are nearly all, take none either.
#[test]
fn gets_of_mapped_segments_make_no_system_call() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).close().unwrap();
    let open = |mapped: bool| {
        builder(dir.path()).cache_bytes(64 << 10).mapped_reads(mapped).open().unwrap()
    };
    // The planted fault is the same without.
    for mapped in [false, true] {
        let db = open(mapped);
        let snapshot = db.snapshot();
        let measured = watched(|meter: &Meter| meter.cost(|| read(&db, &snapshot, 0..KEYS)).1);
        let Some(cost) = measured else { return };
        assert!(db.stats().cache_misses > 100, "{:?}", db.stats());
        let reads = cost.of(&[libc::SYS_pread64]);
        assert_eq!(reads > 0, !mapped, "{cost}");
        db.close().unwrap();
    }
}

/// Three readers beside a writer, flushes and merges. `try_get` is about memory alone, so it makes
/// none whatever becomes of the data; `get` makes one for each block that a merge has written and
/// nobody has read yet, or few where its file has to be opened, and the allocator may make some for
/// the block.
#[test]
fn readers_beside_writers_flushes_and_merges_make_no_system_call() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let stop = AtomicBool::new(false);
    let reader = |own: usize| {
        watched(|meter: &Meter| {
            let try_get = |number| !matches!(db.try_get(key(number)).unwrap(), TryGet::WouldRead);
            read(&db, &db.snapshot(), 0..2 * KEYS);
            let mut known = (0..2 * KEYS).map(try_get).filter(|known| *known).count();
            let mut total = Cost::default();
            for turn in 0..(OPERATIONS / 3).div_ceil(KEYS) {
                let numbers = (0..KEYS).map(|number| (number * 7 + turn + own) % (2 * KEYS));
                let ((), tried) = meter.cost(|| {
                    known += numbers.clone().map(try_get).filter(|known| *known).count();
                });
                assert!(tried.calls.is_empty(), "try_get: {tried}");
                let snapshot = db.snapshot();
                let (_, cost) = meter.cost(|| read(&db, &snapshot, numbers));
                total.add(&cost);
            }
            (known, total)
        })
    };
    let writer = || {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            // Over keys that are read, and beside them.
            db.put(key(number * 5 % (8 * KEYS)), LONG).unwrap();
            number += 1;
            if number.is_multiple_of(20_000) {
                db.flush().unwrap();
            }
        }
    };
    let before = db.stats();
    let costs = thread::scope(|scope| {
        let writer = scope.spawn(writer);
        let readers: Vec<_> = (0..3).map(|own| scope.spawn(move || reader(own))).collect();
        let costs: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        costs
    });
    let stats = db.stats();
    let misses = stats.cache_misses - before.cache_misses;
    let mut total = Cost::default();
    for cost in costs {
        let Some((known, cost)) = cost.unwrap() else { return };
        assert!(known > 0);
        total.add(&cost);
    }
    let flushes = stats.flushes - before.flushes;
    let steps = stats.merges.steps - before.merges.steps;
    say(&format!(
        "{OPERATIONS} gets beside {flushes} flushes and {steps} steps of merges, {misses} blocks \
         read anew: {total}; as many try_gets: none"
    ));
    assert!(flushes > 0);
    let reads = total.of(&[libc::SYS_pread64]);
    let others = total.calls_all() - reads - total.of(&ALLOCATOR);
    // A segment whose file is not open is opened for its block, with a look or two at the file; and
    // the reader closes one that was given up while it read.
    let opens = total.of(&[libc::SYS_openat]);
    let closes = total.of(&[libc::SYS_close]);
    assert!(others - closes <= 3 * opens, "{total}");
    assert!(opens <= reads && closes <= reads, "{total}");
    assert!(reads <= misses, "{total} and {misses} misses");
    assert!(misses > 0 || total.calls.is_empty(), "{total}");
}

/// Symptom, mechanism, fix: `src/engine/tests/cache.rs`. Here is what it cost, counted.
#[test]
fn gets_beside_more_than_the_cache_that_is_held_cost_nothing() {
    const GETS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).cache_bytes(256 << 10).open().unwrap();
    // Too long to be copied: a value holds its block.
    (0..GETS).for_each(|number| {
        db.put(key(number), [b'h'; 2_000]).unwrap();
    });
    db.flush().unwrap();
    let held: Vec<_> = (0..GETS).map(|number| db.get(key(number)).unwrap()).collect();
    let measured = watched(|meter: &Meter| {
        let gets = || {
            let mut found = (0..GETS).map(|number| db.get_with(key(number % 4), |it| it.is_some()));
            found.all(|found| found.unwrap())
        };
        // Until the cache has come to rest, which is more than that nobody has time to evict.
        let mut idle = 0;
        (0..2_000).any(|_| {
            thread::sleep(std::time::Duration::from_millis(1));
            let (found, cost) = meter.cost(gets);
            assert!(found);
            let is_free = cost.calls.is_empty() && cost.allocations == 0;
            idle = if is_free { idle + 1 } else { 0 };
            idle == 50
        })
    });
    assert!(db.stats().cache_bytes > 1 << 20, "{}", db.stats().cache_bytes);
    drop(held);
    assert_ne!(measured, Some(false), "each {GETS} gets cost something");
}
