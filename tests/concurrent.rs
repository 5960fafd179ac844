//! Threads that read and write at once, with memtables so small that rotation, flush and merge
//! never stop. Bounded by operations, never by time; every assertion holds in each interleaving.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use alluvium::{Db, Durability, Keyspace, Snapshot, Value, WriteBatch};

type Pair = (Vec<u8>, Vec<u8>);

fn open(path: &Path) -> Db {
    // A release build has none of it.
    #[cfg(debug_assertions)]
    alluvium::switch_threads(1, 50);
    Db::builder(path)
        .memtable_bytes(8 << 10)
        .flush_bytes(16 << 10)
        .cache_bytes(64 << 10)
        .sync_every(std::time::Duration::from_millis(1))
        .open()
        .unwrap()
}

/// Raises a flag when its thread ends, also by a panic, so that nobody waits for it in vain.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs the writers, and each reader over and over until all writers are done, and once more.
fn race(writers: &[&(dyn Fn() + Sync)], readers: &[&(dyn Fn() + Sync)]) {
    let done: Vec<_> = writers.iter().map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for (writer, done) in writers.iter().zip(&done) {
            scope.spawn(move || {
                let _raised = Raised(done);
                writer();
            });
        }
        for reader in readers {
            scope.spawn(|| {
                loop {
                    let last = done.iter().all(|done| done.load(Ordering::SeqCst));
                    reader();
                    if last {
                        break;
                    }
                }
            });
        }
    });
}

fn owned(pair: alluvium::Result<(Value, Value)>) -> Pair {
    let (key, value) = pair.unwrap();
    (key.to_vec(), value.to_vec())
}

/// A filler, so that few operations fill a memtable.
fn padded(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(200, b'.');
    value
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(*value.first_chunk().expect("every value begins with its number"))
}

fn assert_all_equal(values: &[Option<u64>], seen_by: &str) {
    assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{seen_by} saw a part: {values:?}");
}

/// I25.
#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    const KEYS: Range<u32> = 0..6;
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let other = db.keyspace("other").unwrap();
    let key = |i: u32| format!("k{i}");
    let write = |writer: u64| {
        for i in 0..400 {
            let value = padded(writer * 1_000 + i);
            let mut batch = WriteBatch::new();
            for i in KEYS {
                batch.put(key(i), &value);
                batch.put_in(&other, key(i), &value);
            }
            db.write(&batch).unwrap();
        }
    };
    let by_get = || {
        let snapshot = db.snapshot();
        let here = KEYS.map(|i| snapshot.get(key(i)).unwrap());
        let there = KEYS.map(|i| snapshot.of(&other).get(key(i)).unwrap());
        let values: Vec<_> = here.chain(there).map(|v| v.map(|v| number(&v))).collect();
        assert_all_equal(&values, "gets through a snapshot");
    };
    let by_range = || {
        let snapshot = db.snapshot();
        let all = snapshot.range(..).chain(snapshot.of(&other).range(..).rev());
        let values: Vec<_> = all.map(|pair| Some(number(&owned(pair).1))).collect();
        assert!(values.is_empty() || values.len() == 2 * KEYS.len());
        assert_all_equal(&values, "ranges through a snapshot");
    };
    let by_iterator = || {
        let values: Vec<_> = db.range(..).map(|pair| Some(number(&owned(pair).1))).collect();
        assert_all_equal(&values, "an iterator");
        let values: Vec<_> =
            other.prefix("k").rev().map(|pair| Some(number(&owned(pair).1))).collect();
        assert_all_equal(&values, "a backward iterator");
    };
    race(&[&|| write(1), &|| write(2)], &[&by_get, &by_range, &by_iterator]);
}

#[test]
fn a_snapshot_reads_the_same_twice_whatever_happens_between() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let other = db.keyspace("other").unwrap();
    let write = |writer: u64| {
        for i in 0..1_500 {
            // A walk that meets each of 64 keys in no plain order, deleting every fourth time.
            let key = format!("k{:02}", (i * 37 + writer * 11) % 64);
            match (i % 4, i % 3) {
                (0, 0) => other.delete(&key).unwrap(),
                (0, _) => db.delete(&key).unwrap(),
                (_, 0) => other.put(&key, padded(i)).unwrap(),
                (_, _) => db.put(&key, padded(i)).unwrap(),
            };
        }
    };
    let flush = || (0..20).for_each(|_| db.flush().unwrap());
    let read = || {
        let snapshots: Vec<_> = (0..3).map(|_| db.snapshot()).collect();
        let first: Vec<_> = snapshots.iter().map(|snapshot| contents(snapshot, &other)).collect();
        db.flush().unwrap();
        for (snapshot, first) in snapshots.iter().zip(&first) {
            assert_eq!(&contents(snapshot, &other), first);
            for (key, value) in &first.0 {
                assert_eq!(snapshot.get(key).unwrap().as_deref(), Some(value.as_slice()));
            }
        }
    };
    race(&[&|| write(1), &|| write(2), &flush], &[&read, &read]);
}

/// Everything that a snapshot shows, of which the backward walk must be the mirror image.
fn contents(snapshot: &Snapshot, other: &Keyspace) -> (Vec<Pair>, Vec<Pair>) {
    let here: Vec<_> = snapshot.range(..).map(owned).collect();
    let there: Vec<_> = snapshot.of(other).range(..).map(owned).collect();
    let mut backward: Vec<_> = snapshot.range(..).rev().map(owned).collect();
    backward.reverse();
    assert_eq!(here, backward);
    (here, there)
}

#[test]
fn each_thread_reads_what_it_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let own = |thread: u64| {
        let prefix = format!("t{thread}-");
        for i in 0..600 {
            let key = format!("{prefix}{}", i % 7);
            let get = || db.get(&key).unwrap().map(|value| number(&value));
            let durability = if i % 50 == 0 { Durability::Sync } else { Durability::Buffered };
            db.put_with(&key, padded(i), durability).unwrap();
            assert_eq!(get(), Some(i));
            if i % 3 == 0 {
                db.delete(&key).unwrap();
                assert_eq!(get(), None);
                let mut batch = WriteBatch::new();
                batch.put(&key, padded(i + 1));
                batch.put(&key, padded(i));
                db.write(&batch).unwrap();
                assert_eq!(get(), Some(i));
            }
            let found = db.prefix(&prefix).map(owned).find(|(found, _)| found == key.as_bytes());
            assert_eq!(found.map(|(_, value)| number(&value)), Some(i));
        }
    };
    race(&[&|| own(1), &|| own(2), &|| own(3)], &[&|| db.flush().unwrap()]);
}

/// I6.
#[test]
fn a_counter_never_goes_back_and_counters_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    // `a` is raised before `b`, so that no prefix of the commit order has b ahead of a.
    let write = || {
        for i in 1..=3_000 {
            db.put("a", padded(i)).unwrap();
            db.put("b", padded(i)).unwrap();
        }
    };
    let get = |key: &str| db.get(key).unwrap().map_or(0, |value| number(&value));
    let last_a = AtomicU64::new(0);
    let last_b = AtomicU64::new(0);
    let by_get = || {
        // What another turn of this reader stored was read before this turn began.
        let before = (last_a.load(Ordering::SeqCst), last_b.load(Ordering::SeqCst));
        let b = get("b");
        let a = get("a");
        assert!(a >= b, "b was seen at {b}, and then a at {a}");
        assert!(a >= before.0 && b >= before.1, "{a} and {b} after {before:?}");
        last_a.store(a, Ordering::SeqCst);
        last_b.store(b, Ordering::SeqCst);
    };
    let in_one = |pairs: Vec<Pair>| {
        let values: Vec<_> = pairs.iter().map(|(_, value)| number(value)).collect();
        let a = values.first().copied().unwrap_or(0);
        let b = values.get(1).copied().unwrap_or(0);
        assert!(a == b || a == b + 1, "one reader saw a at {a} and b at {b}");
    };
    let by_range = || {
        in_one(db.range(..).map(owned).collect());
        in_one(db.snapshot().range("a".."c").map(owned).collect());
    };
    race(&[&write], &[&by_get, &by_range]);
}

#[test]
fn an_iterator_sees_a_prefix_that_covers_everything_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    // Keys `all-N` are committed in the order of N, by whichever thread is next.
    let order = Mutex::new(0);
    let acknowledged = AtomicU64::new(0);
    // Keys `own-T-N` in the order of N for each thread T.
    let acknowledged_own = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
    let write = |thread: usize| {
        for i in 0..500 {
            {
                let mut next = order.lock().unwrap();
                db.put(format!("all-{next:08}"), padded(*next)).unwrap();
                *next += 1;
                acknowledged.store(*next, Ordering::SeqCst);
            }
            db.put(format!("own-{thread}-{i:08}"), padded(i)).unwrap();
            acknowledged_own[thread].store(i + 1, Ordering::SeqCst);
        }
    };
    let forward = || {
        let least = acknowledged.load(Ordering::SeqCst);
        assert_prefix(db.prefix("all-").map(owned), least);
    };
    let backward = || {
        let thread = acknowledged.load(Ordering::SeqCst) as usize % 3;
        let least = acknowledged_own[thread].load(Ordering::SeqCst);
        let iter = db.prefix(format!("own-{thread}-"));
        let mut found: Vec<_> = iter.rev().map(owned).collect();
        found.reverse();
        assert_prefix(found.into_iter(), least);
    };
    let flush = || (0..30).for_each(|_| db.flush().unwrap());
    race(&[&|| write(0), &|| write(1), &|| write(2), &flush], &[&forward, &backward]);
}

/// Numbers 0, 1, 2, … without a hole, at least `least` of them.
fn assert_prefix(found: impl Iterator<Item = Pair>, least: u64) {
    let mut count = 0;
    for (key, value) in found {
        assert_eq!(number(&value), count, "a hole before {}", key.escape_ascii());
        count += 1;
    }
    assert!(count >= least, "{least} were acknowledged, {count} are there");
}

/// The planted faults: checks that let these pass would prove nothing.
#[test]
fn the_checks_of_this_file_can_fail() {
    let fails = |check: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        assert!(std::panic::catch_unwind(check).is_err());
    };
    let pairs = |numbers: &[u64]| -> Vec<Pair> {
        numbers.iter().map(|&n| (b"k".to_vec(), padded(n))).collect()
    };
    fails(&|| assert_all_equal(&[Some(1), Some(1), Some(2)], "a test"));
    fails(&|| assert_all_equal(&[Some(1), None], "a test"));
    fails(&|| assert_prefix(pairs(&[0, 2]).into_iter(), 0));
    fails(&|| assert_prefix(pairs(&[0, 1]).into_iter(), 3));
    assert_all_equal(&[None, None], "a test");
    assert_prefix(pairs(&[0, 1]).into_iter(), 2);
}

/// Checks that a scan saw a queue without a hole, between two looks at its head and its end, and
/// the pair whole or not at all.
fn assert_queue(found: Vec<Pair>, before: (u64, u64), after: (u64, u64)) {
    let (pairs, queue): (Vec<Pair>, Vec<Pair>) =
        found.into_iter().partition(|(key, _)| key.len() > 7);
    let pairs: Vec<_> = pairs.iter().map(|(_, value)| number(value)).collect();
    assert!(pairs.is_empty() || pairs.len() == 2 && pairs[0] == pairs[1], "{pairs:?}");
    let queue: Vec<_> = queue.iter().map(|(_, value)| number(value)).collect();
    assert!(queue.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole: {queue:?}");
    let (first, end) = match (queue.first(), queue.last()) {
        (Some(first), Some(last)) => (*first, last + 1),
        _ => (before.0, before.1),
    };
    // What is counted is acknowledged; one more of each may be under way.
    assert!(before.0 <= first && first <= after.0 + 1, "{before:?} {first} {after:?}");
    assert!(before.1 <= end && end <= after.1 + 1, "{before:?} {end} {after:?}");
}

/// A queue that one thread feeds and drains, with a pair of keys in its dead head that come and go
/// together: no scan may miss a live key, however much it jumps over, and none sees half a pair.
///
/// (I28)
#[test]
fn scans_that_jump_over_dead_keys_see_a_prefix() {
    const STEPS: u64 = 6_000;
    const LIVE: u64 = 40;
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let key = |n: u64| format!("q{n:06}");
    let tail = AtomicU64::new(0);
    let head = AtomicU64::new(0);
    let feed = || {
        for n in 0..STEPS {
            db.put(key(n), n.to_be_bytes()).unwrap();
            tail.store(n + 1, Ordering::SeqCst);
            if n >= LIVE {
                db.delete(key(n - LIVE)).unwrap();
                head.store(n - LIVE + 1, Ordering::SeqCst);
            }
        }
    };
    // Between keys that are long dead, as seen from where the queue is by then.
    let pair = || {
        for round in 0..STEPS / 8 {
            let at = head.load(Ordering::SeqCst);
            let low = format!("{}-low", key(at / 4));
            let high = format!("{}-pair", key(at / 2));
            let mut batch = WriteBatch::new();
            batch.put(&low, round.to_be_bytes());
            batch.put(&high, round.to_be_bytes());
            db.write(&batch).unwrap();
            let mut batch = WriteBatch::new();
            batch.delete(low);
            batch.delete(high);
            db.write(&batch).unwrap();
        }
    };
    let now = || (head.load(Ordering::SeqCst), tail.load(Ordering::SeqCst));
    let scan = |backward: bool| {
        let before = now();
        let range = db.range(..);
        let found: Vec<_> = match backward {
            false => range.map(owned).collect(),
            true => {
                let mut found: Vec<_> = range.rev().map(owned).collect();
                found.reverse();
                found
            }
        };
        assert_queue(found, before, now());
    };
    race(&[&feed, &pair], &[&|| scan(false), &|| scan(true), &|| db.flush().unwrap()]);
}

/// Counts with `increment` from several threads while memtables rotate and leave; every count must
/// be there in the end.
fn count_together(increment: impl Fn(&Db, &str) + Sync) {
    const COUNTERS: u64 = 3;
    const ROUNDS: u64 = 300;
    let directory = tempfile::tempdir().unwrap();
    let db = open(directory.path());
    let done = AtomicU64::new(0);
    let count = || {
        for round in 0..ROUNDS {
            increment(&db, &format!("counter{}", round % COUNTERS));
            db.put(format!("filler{round}"), padded(round)).unwrap();
        }
        done.fetch_add(ROUNDS, Ordering::SeqCst);
    };
    let flush = || db.flush().unwrap();
    race(&[&count, &count, &count, &count], &[&flush]);
    let counters = (0..COUNTERS).map(|i| db.get(format!("counter{i}")).unwrap().unwrap());
    let total: u64 = counters.map(|value| number(&value)).sum();
    assert_eq!(total, done.load(Ordering::SeqCst), "increments were lost");
}

/// (I27)
#[test]
fn increments_by_update_are_all_counted() {
    count_together(|db, key| {
        db.update(key, |now| Some(padded(now.map_or(0, number) + 1))).unwrap();
    });
}

#[test]
fn increments_by_compare_and_swap_are_all_counted() {
    count_together(|db, key| {
        loop {
            let now = db.get(key).unwrap();
            let next = padded(now.as_deref().map_or(0, number) + 1);
            if db.compare_and_swap(key, now.as_deref(), Some(&next)).unwrap().swapped() {
                break;
            }
        }
    });
}

/// The planted fault: what the counters are for.
#[test]
#[should_panic(expected = "increments were lost")]
fn increments_by_get_and_put_are_noticed() {
    // One after the other read, before either writes: no luck is needed.
    let turn = std::sync::Barrier::new(4);
    count_together(|db, key| {
        let now = db.get(key).unwrap();
        turn.wait();
        db.put(key, padded(now.as_deref().map_or(0, number) + 1)).unwrap();
        turn.wait();
    });
}
