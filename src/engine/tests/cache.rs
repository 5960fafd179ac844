//! What a `get` asks of the cache's upkeep.

use super::*;
use crate::engine::cleanup::Reclaim;
use crate::value::Value;

const CACHE_BYTES: usize = 64 << 10;
const KEYS: usize = 200;

/// Six times what the cache holds, in runs that are not merged: that would read blocks, too.
fn open_filled(fs: &SimFs) -> (Arc<Engine>, Threads) {
    let options = Options { cache_bytes: CACHE_BYTES, compaction_threads: 0, ..options() };
    let opened = Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None);
    let (engine, threads) = opened.unwrap();
    for i in 0..KEYS {
        put(&engine, &key(i), &"v".repeat(2_000)).unwrap();
    }
    engine.flush().unwrap();
    (engine, threads)
}

fn key(i: usize) -> String {
    format!("{i:03}")
}

fn look(engine: &Engine, i: usize) -> Value {
    let keyspace = default_keyspace(engine);
    get::get(engine, &keyspace, key(i).as_bytes(), ReadAt::Now).unwrap().unwrap()
}

/// How many of 1,000 gets of what is in memory ask for an eviction.
fn asks(engine: &Engine) -> usize {
    let core = &engine.core;
    let asked = || core.counters.evicting.load(Ordering::Relaxed);
    let misses = || core.cache.stats().misses;
    // Read until it stays, which it does once the flush thread has made room.
    let resident = || {
        let before = misses();
        drop(look(engine, 7));
        misses() == before
    };
    let settled = (0..20_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        !asked() && !core.cache.over() && resident()
    });
    assert!(settled, "the cache does not come to rest");
    let asks = (0..1_000).filter(|_| {
        drop(look(engine, 7));
        asked()
    });
    asks.count()
}

/// Symptom: a `get` of resident data asked for an eviction each time while values that users held
/// were more than `cache_bytes`: allocations, a message, at times a system call. Mechanism: what
/// eviction cannot free was compared with the bound. Fix: only blocks in their slots are.
#[test]
fn gets_ask_for_no_eviction_because_of_values_that_users_hold() {
    let fs = SimFs::new();
    let (engine, threads) = open_filled(&fs);
    let held: Vec<_> = (0..KEYS).map(|i| look(&engine, i)).collect();
    assert!(engine.core.cache.used() > 2 * CACHE_BYTES);
    assert_eq!(asks(&engine), 0);
    drop(held);
    close(&engine, &threads);
}

/// Symptom: with a segment under an iterator whose tables were replaced, the hand never came to
/// what is behind it. Mechanism: it stood twice in the list, and the hand goes on at a number. Fix:
/// each file once.
#[test]
fn the_hand_meets_each_file_once() {
    let fs = SimFs::new();
    let (engine, threads) = open_filled(&fs);
    let view = engine.core.view.load_full();
    let mut reclaim = Reclaim::new();
    view.segments.segments().cloned().for_each(|segment| reclaim.retire_segment(segment));
    let numbers = reclaim.with_slots(&view).into_iter().map(|segment| segment.number());
    let want: Vec<_> = view.segments.segments().map(|segment| segment.number()).collect();
    assert!(want.len() > 1 && numbers.eq(want));
    drop(view);
    close(&engine, &threads);
}

/// The same of an iterator whose segments were replaced. Mechanism: the clock hand came by those of
/// the newest view only. Fix: by those that wait to be freed, too.
#[test]
fn gets_ask_for_no_eviction_because_of_segments_that_iterators_hold() {
    let fs = SimFs::new();
    let (engine, threads) = open_filled(&fs);
    let view = engine.core.view.load_full();
    (0..KEYS).for_each(|i| drop(look(&engine, i)));
    assert!(engine.core.cache.cached() + (8 << 10) > CACHE_BYTES);
    while engine.core.view.load().segments.runs.len() > 1 {
        merge_newest(&engine);
    }
    assert_eq!(asks(&engine), 0);
    drop(view);
    close(&engine, &threads);
}
