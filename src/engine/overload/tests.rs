//! Waits at the gate, step by step; `tests/never_wait/overload.rs` has writers and flushes.

use std::path::PathBuf;

use super::*;
use crate::engine::background::Threads;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::SimFs;
use crate::options::{Durability, Options};
use crate::sync::Arc;

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

fn patience(limit: Duration) -> Patience {
    Patience { start: Instant::now(), limit }
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
        let patience = patience(LIMIT);
        let result = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| match used > BUDGET {
                true => engine.wait_for_room(patience),
                false => engine.wait_for_turn(patience),
            });
            change(&engine);
            waiting.join().unwrap()
        });
        assert!(want(&result), "{used}: {result:?}");
        assert!(patience.left().is_some(), "{used}: nothing ended the wait");
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
            engine.core.closed.store(true, Ordering::Release);
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
    assert!(engine.wait_for_turn(patience(short)).is_ok());
    let error = engine.wait_for_room(patience(short)).unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { waited, cause: None } if waited.as_millis() >= 1),
        "{error:?}"
    );
    // A full disk is the better answer, and comes at once.
    let full = Error::io("write", &engine.core.dir, std::io::ErrorKind::StorageFull.into());
    engine.core.note::<()>(crate::engine::Work::Flush, &Err(full));
    for error in
        [engine.wait_for_room(patience(LIMIT)), Err(engine.core.overloaded(Duration::ZERO))]
    {
        assert!(matches!(error, Err(Error::StorageFull { .. })), "{error:?}");
    }
    engine.core.gate.sub(BUDGET as u64 + 1);
    engine.core.note(crate::engine::Work::Flush, &Ok(()));
    let _ = engine.close();
    threads.join();
}

#[test]
fn the_flush_thread_is_asked_once_however_many_are_refused() {
    let (engine, threads) = open();
    let core = &engine.core;
    let put = || engine.write_one(KEYSPACE_DEFAULT, b"k", Some(b"v"), Durability::Buffered);
    put().unwrap();
    engine.seal_active().unwrap();
    let manifest = core.manifest();
    let (reply, answer) = crossbeam_channel::bounded(1);
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
