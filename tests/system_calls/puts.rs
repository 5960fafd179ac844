//! Writes into a log that is mapped, and into one that is not.

use alluvium::{Db, TryWrite, WriteBatch};

use crate::watch::{ALLOCATOR, Cost, Meter, say, watched};
use crate::{OPERATIONS, builder, key};

/// As many as are written between two looks after the spares: a rotation and a half, and two spares
/// of each kind are kept.
const TURN: usize = 40_000;

/// Rotations of as many puts: a memtable of 4 MiB takes some 27,000 of these, and a turn begins
/// within one.
fn rotations_max(puts: usize) -> u64 {
    (puts / 25_000 + 2) as u64
}

/// Calls other than the allocator's in a rotation. It sends four messages to the threads that sync
/// the old log, make a spare, flush, and take the old view; each send wakes a thread that sleeps.
/// The rest is for a lock on a list that such a thread holds just then.
const CALLS_PER_ROTATION: u64 = 8;

/// Waits until the log thread has had several turns of each kind of its work, so that spares are
/// ready: it makes keyspaces too.
fn settle(db: &Db) {
    for _ in 0..3 {
        db.keyspace(&db.snapshot().sequence().to_string()).unwrap();
        db.put("has taken a place", "").unwrap();
    }
}

/// Writes all `OPERATIONS` by `write`, which takes the number of one, and adds up what the turns
/// have cost. What comes first is not counted: logs are short in the beginning.
fn cost_of_all(meter: &Meter, db: &Db, operations: usize, write: impl Fn(usize)) -> Cost {
    (0..TURN).for_each(&write);
    let mut total = Cost::default();
    for from in (0..operations).step_by(TURN) {
        settle(db);
        let numbers = from..(from + TURN).min(operations);
        let ((), cost) = meter.cost(|| numbers.for_each(&write));
        total.add(&cost);
    }
    total
}

#[test]
fn puts_make_no_system_call_but_to_rotate() {
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    let put = |number| {
        db.put(key(number), [b'v'; 16]).unwrap();
    };
    let Some(cost) = watched(|meter| cost_of_all(meter, &db, OPERATIONS, put)) else { return };
    say(&format!("{OPERATIONS} puts: {cost}"));
    let puts = OPERATIONS as u64;
    let writes = cost.of(&[libc::SYS_pwrite64]);
    let mapped = writes < puts;
    if !mapped {
        say("the log is not mapped on this file system: one write for each put");
    }
    let rotations = rotations_max(OPERATIONS);
    // With spares ready no log outgrows its mapping.
    let writes_max = if mapped { 0 } else { puts + rotations };
    assert!(writes <= writes_max, "{cost}");
    let others = cost.calls_all() - writes - cost.of(&ALLOCATOR);
    assert!(others <= CALLS_PER_ROTATION * rotations, "{others} in {rotations} rotations: {cost}");
    // The skiplist's nodes are the allocator's. That of glibc asks for one page at a time, some 56
    // nodes, in any thread but the first.
    let of_allocator = cost.of(&ALLOCATOR);
    assert!(of_allocator <= puts / 25, "{cost}");
    // One node for each, and the messages and the view of a rotation.
    assert!(cost.allocations >= puts, "{cost}");
    assert!(cost.allocations - puts <= 100 * rotations, "{cost}");
}

#[test]
fn every_way_of_writing_allocates_a_node_for_each_operation() {
    const OPS: usize = 40_000;
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    let measured = watched(|meter| {
        let deletes = cost_of_all(meter, &db, OPS, |number| {
            db.delete(key(number)).unwrap();
        });
        let tries = cost_of_all(meter, &db, OPS, |number| {
            // On a busy machine the log thread may not have made a spare yet.
            if !matches!(db.try_put(key(number), "v").unwrap(), TryWrite::Written(_)) {
                db.put(key(number), "v").unwrap();
            }
        });
        let mut batch = WriteBatch::new();
        (0..10).for_each(|number| batch.put(key(number), "v"));
        let batches = cost_of_all(meter, &db, OPS / 10, |_| {
            db.write(&batch).unwrap();
        });
        [deletes, tries, batches]
    });
    let Some(measured) = measured else { return };
    for cost in measured {
        let more = cost.allocations - OPS as u64;
        assert!(more <= 100 * rotations_max(OPS), "{more} more than one for each: {cost}");
    }
}

/// The planted fault: puts that do call.
#[test]
fn the_writes_of_a_log_that_is_not_mapped_are_counted() {
    const PUTS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).log_mapping(false).open().unwrap();
    let measured = watched(|meter| {
        db.put("first", "v").unwrap();
        let put = |number| {
            db.put(key(number), "v").unwrap();
        };
        meter.cost(|| (0..PUTS).for_each(put)).1
    });
    let Some(cost) = measured else { return };
    let writes = cost.of(&[libc::SYS_pwrite64]);
    // The first log is short, so one is rotated.
    assert!((PUTS..=PUTS + 4).contains(&(writes as usize)), "{cost}");
}
