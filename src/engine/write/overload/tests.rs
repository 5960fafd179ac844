//! Waits at the gate, step by step; `tests/never_wait/overload.rs` has writers and flushes.

use std::path::PathBuf;

use super::*;
use crate::engine::commit::holds::HoldClaim;
use crate::engine::manifest;
use crate::engine::read::get::{ReadAt, default_keyspace, get};
use crate::engine::shared::messages::FlushJob;
use crate::engine::threads::background::Threads;
use crate::engine::write::{hold, overload, put};
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::SimFs;
use crate::options::{Durability, OnOverload, Options};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::sync::clock::Instant;

const BUDGET: usize = 32 << 10;

/// Longer than any test takes, and short of for ever: a wait that nothing ends fails the test.
const LIMIT: Duration = Duration::from_secs(120);

fn open() -> (Arc<Engine>, Threads) {
    let options = Options {
        memtable_bytes: 4 << 10,
        flush_bytes: 8 << 10,
        memory_bytes: BUDGET,
        ..Options::default()
    };
    Engine::open(Arc::new(SimFs::new()), PathBuf::from("data"), options, None).unwrap()
}

/// What a wait for its turn, and one for room, end with if memory is `used` and then `change`
/// happens.
#[track_caller]
fn check(change: fn(&Engine), want: fn(&Result<()>) -> bool) {
    for used in [BUDGET * 4 / 5, BUDGET + 1] {
        let (engine, threads) = open();
        let core = &engine.core;
        core.gate.add(used as u64);
        // A debt, to see that it is forgiven when there is memory again, and only then.
        core.pace.take_turn(BUDGET as u64, 1, used as u64, 1);
        let start = Instant::now();
        let result = std::thread::scope(|scope| {
            let wait = |patience| match used > BUDGET {
                true => overload::wait_for_room(&engine, patience, false),
                false => overload::wait_for_turn(&engine, patience),
            };
            let waiting = scope.spawn(move || Stalled::default().wait(LIMIT, wait));
            change(&engine);
            waiting.join().unwrap()
        });
        assert!(want(&result), "{used}: {result:?}");
        assert!(start.elapsed() < LIMIT, "{used}: nothing ended the wait");
        core.gate.sub(core.gate.used());
        let _ = engine.close();
        threads.join();
    }
}

/// I22: each of the changes ends both waits, whether it comes before they begin or after.
#[test]
fn waits_end_when_memory_comes_the_writer_stops_or_the_database_closes() {
    check(|engine| engine.core.gate.sub(engine.core.gate.used()), Result::is_ok);
    check(
        |engine| {
            engine.core.ending.begin();
            engine.core.gate.wake();
        },
        |result| matches!(result, Err(Error::Closed)),
    );
    check(
        |engine| {
            let error = std::io::Error::other("planted");
            engine.core.group_sync.latch(Error::io("sync", &engine.core.dir, error));
            engine.core.gate.wake();
        },
        |result| matches!(result, Err(Error::WriterStopped { .. })),
    );
}

#[test]
fn patience_ends_a_turn_with_success_and_a_wait_for_room_without() {
    let (engine, threads) = open();
    engine.core.gate.add(BUDGET as u64 + 1);
    let short = Duration::from_millis(1);
    let turn = |limit| {
        Stalled::default().wait(limit, |patience| overload::wait_for_turn(&engine, patience))
    };
    let room = |limit| {
        Stalled::default().wait(limit, |patience| overload::wait_for_room(&engine, patience, false))
    };
    assert!(turn(short).is_ok());
    let error = room(short).unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { waited, cause: None } if waited.as_millis() >= 1),
        "{error:?}"
    );
    // A full disk is the better answer, and comes at once.
    let full = Error::io("write", &engine.core.dir, std::io::ErrorKind::StorageFull.into());
    engine.core.note::<()>(crate::engine::Upkeep::Flush, &Err(full));
    for error in [room(LIMIT), Err(engine.core.overloaded(Duration::ZERO))] {
        assert!(matches!(error, Err(Error::StorageFull { .. })), "{error:?}");
    }
    engine.core.gate.sub(BUDGET as u64 + 1);
    engine.core.note(crate::engine::Upkeep::Flush, &Ok(()));
    let _ = engine.close();
    threads.join();
}

#[test]
fn the_flush_thread_is_asked_once_however_many_are_refused() {
    let (engine, threads) = open();
    let core = &engine.core;
    let put = || put::write_one(&engine, KEYSPACE_DEFAULT, b"k", Some(b"v"), Durability::Buffered);
    put().unwrap();
    rotate::seal_active(&engine).unwrap();
    let manifest = manifest::locked(core).unwrap();
    let (reply, answer) = crate::sync::channel::bounded(1);
    core.send_flush(FlushJob::Flush { reply });
    while !core.flush_jobs.is_empty() {
        std::thread::yield_now();
    }
    // The flush thread stands at the manifest now.
    for _ in 0..1_000 {
        core.ask_for_memory();
    }
    assert_eq!(core.flush_jobs.len(), 1);
    drop(manifest);
    answer.recv().unwrap().unwrap();
    while !core.flush_jobs.is_empty() {
        std::thread::yield_now();
    }
    core.ask_for_memory();
    // Asked again after it has looked, or the flag would stay up for good.
    while core.pace.asked.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    engine.close().unwrap();
    threads.join();
}

/// A batch with a memtable of its own books its memory before it takes any: up to half of the
/// budget beside others, and of those that are larger one at a time.
#[test]
fn a_big_batch_finds_room_before_it_is_built() {
    let (engine, threads) = open();
    let core = &engine.core;
    let budget = BUDGET as u64;
    let mut quarters: Vec<_> = (0..4).map(|_| try_reserve(core, budget / 4).unwrap()).collect();
    assert_eq!(core.gate.used(), budget);
    assert!(try_reserve(core, 1).is_none());
    quarters.pop();
    assert!(try_reserve(core, budget / 2).is_none() && try_reserve(core, 10 * budget).is_none());
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| overload::reserve(&engine, 10 * budget, &mut Stalled::default()));
        quarters.pop();
        let reserved = waiting.join().unwrap().unwrap();
        assert_eq!(core.gate.used(), 10 * budget + budget / 2);
        assert!(try_reserve(core, 1).is_none());
        reserved.keep();
    });
    core.gate.sub(10 * budget);
    let mut reserved = try_reserve(core, 100).unwrap();
    for bytes in [1_000, 10] {
        reserved.adjust(bytes);
        assert_eq!(core.gate.used(), budget / 2 + bytes);
    }
    drop((reserved, quarters));
    assert_eq!(core.gate.used(), 0);
    engine.close().unwrap();
    threads.join();
}

/// More than half of the budget, and less than what makes writers wait: nothing else would flush.
#[test]
fn a_big_batch_without_room_has_what_is_sealed_flushed() {
    for on_overload in [OnOverload::Error, OnOverload::Pace { stall_max: LIMIT }] {
        let options = Options {
            memtable_bytes: 4 << 10,
            flush_bytes: BUDGET,
            memory_bytes: BUDGET,
            on_overload,
            ..Options::default()
        };
        let fs = Arc::new(SimFs::new());
        let dir = PathBuf::from("data");
        let (engine, threads) = Engine::open(fs, dir, options, None).unwrap();
        let put = |key: u32, len: usize| {
            let key = key.to_be_bytes();
            let value = vec![7; len];
            put::write_one(&engine, KEYSPACE_DEFAULT, &key, Some(&value), Durability::Buffered)
        };
        let mut key = 0;
        while engine.core.gate.used() <= BUDGET as u64 / 2 {
            // However slow the making of spares is.
            (0..4).for_each(|_| {
                key += 1;
                put(key, 700).unwrap();
            });
            rotate::seal_active(&engine).unwrap();
        }
        assert!(
            !engine.core.is_pressed() && engine.core.counters.flushes.load(Ordering::Relaxed) == 0
        );
        let mut tries = 0;
        while let Err(error) = put(0, BUDGET) {
            assert!(matches!(error, Error::Overloaded { .. }), "{error}");
            tries += 1;
            std::thread::yield_now();
        }
        assert_eq!(tries > 0, on_overload == OnOverload::Error, "{tries}");
        // Writers hear of the room before the flush is counted.
        while engine.core.counters.flushes.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        engine.close().unwrap();
        threads.join();
    }
}

/// Symptom: who held a key waited for memory until a big batch of another thread, which waited for
/// the key, had lost its patience. Mechanism: the batch kept the memory that it had booked. Fix: it
/// gives that up before it waits, and is written ahead once more.
#[test]
fn who_waits_for_a_hold_has_no_memory_booked() {
    let options = Options {
        memtable_bytes: 4 << 10,
        flush_bytes: 8 << 10,
        memory_bytes: BUDGET,
        on_overload: OnOverload::Pace { stall_max: LIMIT },
        ..Options::default()
    };
    let fs = Arc::new(SimFs::new());
    let (engine, threads) = Engine::open(fs, PathBuf::from("data"), options, None).unwrap();
    let engine = &engine;
    let core = &engine.core;
    let put = |key: &[u8], len: usize| {
        let value = vec![7; len];
        put::write_one(engine, KEYSPACE_DEFAULT, key, Some(&value), Durability::Buffered)
    };
    let claim = || HoldClaim::Key(KEYSPACE_DEFAULT, b"k".to_vec());
    let wish = |stalled: &mut Stalled, give_way: &mut dyn FnMut()| {
        hold::hold(engine, claim(), stalled, give_way).map(|held| assert!(held.is_some()))
    };
    let held = hold::hold(engine, claim(), &mut Stalled::default(), &mut || {}).unwrap();
    std::thread::scope(|scope| {
        let big = scope.spawn(|| put(b"k", 2 * BUDGET));
        let wishing = scope.spawn(|| {
            let value = vec![7; 2 * BUDGET];
            let mut write = Write::encode_one(KEYSPACE_DEFAULT, b"n", Some(&value)).unwrap();
            put::admit(engine, &mut write).unwrap();
            write.wait_for_hold(core, wish).unwrap();
            put::admit_again(engine, &mut write).unwrap();
            put::try_commit(engine, &mut write).unwrap();
        });
        let wishes = || engine.in_section(|env, _| env.holds.list.len()).unwrap();
        while wishes() < 2 || core.gate.used() > BUDGET as u64 {
            assert!(!big.is_finished() && !wishing.is_finished());
            std::thread::yield_now();
        }
        // Both at once do not find room.
        put(b"small", 10).unwrap();
        put(b"large", BUDGET).unwrap();
        assert!(!big.is_finished() && !wishing.is_finished());
        drop(held);
        big.join().unwrap().unwrap();
        wishing.join().unwrap();
    });
    for (key, len) in [(&b"k"[..], 2 * BUDGET), (b"n", 2 * BUDGET), (b"large", BUDGET)] {
        let default = default_keyspace(engine);
        let found = get(engine, &default, key, ReadAt::Now).unwrap().unwrap();
        assert!(found.len() == len && found.iter().all(|&byte| byte == 7));
    }
    engine.flush().unwrap();
    assert_eq!(core.gate.used(), 0);
    engine.close().unwrap();
    threads.join();
}
