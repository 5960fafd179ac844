//! One limit for all that a call waits for.

use std::path::PathBuf;

use super::*;
use crate::engine::Engine;
use crate::engine::commit::entry::{Refused, Write};
use crate::engine::commit::holds::HoldClaim;
use crate::engine::write::{hold, overload, put};
use crate::error::Error;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::SimFs;
use crate::options::Options;
use crate::sync::Arc;

/// Longer than any test takes: a wait that begins again fails the test.
const LIMIT: Duration = Duration::from_secs(120);

const BUDGET: usize = 64 << 10;

/// Symptom: a write that met a held key, then needed a log, then met the held key again, waited for
/// longer than `stall_max`, as often as there was something new to wait for. Mechanism: each wait
/// began with a limit of its own. Fix: what was waited for goes with the write.
#[test]
fn a_call_that_has_used_its_time_up_waits_for_nothing_more() {
    let options = Options {
        memtable_bytes: 4 << 10,
        flush_bytes: 8 << 10,
        memory_bytes: BUDGET,
        on_overload: OnOverload::Pace { stall_max: LIMIT },
        ..Options::default()
    };
    let fs = Arc::new(SimFs::new());
    let opened = Engine::open(Arc::clone(&fs) as _, PathBuf::from("data"), options, None);
    let (engine, threads) = opened.unwrap();
    let used_up = || Stalled(LIMIT);
    let write = || {
        let mut write = Write::encode_one(KEYSPACE_DEFAULT, b"k", Some(b"v")).unwrap();
        write.stalled = used_up();
        write
    };
    let claim = || HoldClaim::Key(KEYSPACE_DEFAULT, b"k".to_vec());
    let start = Instant::now();

    let held = hold::hold(&engine, claim(), &mut Stalled::default(), &mut || {}).unwrap();
    // The holder's own thread is let through.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put::try_commit(&engine, &mut write()));
        let refused = waiting.join().unwrap().unwrap_err();
        assert!(matches!(refused, Refused::Failed(Error::KeyHeld { waited }) if waited >= LIMIT));
        let wanting =
            scope.spawn(|| hold::hold(&engine, claim(), &mut used_up(), &mut || {}).err());
        let refused = wanting.join().unwrap().unwrap();
        assert!(matches!(refused, Error::KeyHeld { waited } if waited >= LIMIT), "{refused}");
    });
    drop(held);

    engine.core.gate.add(BUDGET as u64 + 1);
    let refused = overload::wait_for_memory(&engine, &mut write()).unwrap_err();
    assert!(matches!(refused, Error::Overloaded { waited, .. } if waited >= LIMIT), "{refused}");
    let refused = overload::reserve(&engine, 1, &mut used_up()).unwrap_err();
    assert!(matches!(refused, Error::Overloaded { waited, .. } if waited >= LIMIT), "{refused}");

    // A flush may give room back, so this would wait.
    fs.set_capacity(Some(0));
    while engine.core.take_spare_log().is_some() {}
    let refused = overload::stall_for_log(&engine, &mut used_up()).unwrap_err();
    assert!(matches!(refused, Error::StorageFull { .. }) && engine.core.may_gain_room());

    assert!(start.elapsed() < LIMIT, "something waited");
    fs.set_capacity(None);
    engine.core.gate.sub(BUDGET as u64 + 1);
    let _ = engine.close();
    threads.join();
}

#[test]
fn what_was_waited_for_counts_in_the_next_wait() {
    let mut stalled = Stalled::default();
    let mut last = Duration::ZERO;
    for _ in 0..3 {
        let begun = stalled.wait(LIMIT, |patience| {
            let begun = patience.waited();
            while patience.waited() == begun {
                std::thread::yield_now();
            }
            begun
        });
        assert!(begun >= last && stalled.0 > begun);
        last = stalled.0;
    }
    assert!(stalled.wait(last, |patience| patience.left()).is_none());
    assert!(stalled.wait(LIMIT, |patience| patience.at_most(Duration::ZERO).left()).is_none());
    let most = Duration::from_secs(60);
    let left = stalled.wait(LIMIT, |patience| patience.at_most(most).left());
    assert!(left.is_some_and(|left| left <= most));
}
