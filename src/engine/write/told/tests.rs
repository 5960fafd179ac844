//! Callers are told also when the log thread is not there to do it.

use std::path::PathBuf;

use super::*;
use crate::engine::write::put;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::SimFs;
use crate::options::{Durability, Options};
use crate::sync::{Arc, Mutex, lock};

/// I44: joined after the log thread's last look, and before it.
#[test]
fn who_comes_when_the_log_thread_has_ended_is_told_by_itself() {
    let fs = SimFs::new();
    let options = Options { sync_every: std::time::Duration::ZERO, ..Options::default() };
    let (engine, threads) =
        Engine::open(Arc::new(fs), PathBuf::from("data"), options, None).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let ask = |position: LogPosition| {
        let told = Arc::clone(&told);
        let call: DurableCall = Box::new(move |result| lock(&told).push(result));
        match engine.core.to_be_told.join(position, call) {
            Joined::Over(call) => tell_all(&engine, vec![(position, call)], ended),
            // Nobody asks for a turn.
            Joined::Waits | Joined::Ask => {}
        }
    };
    put::write_one(&engine, KEYSPACE_DEFAULT, b"k", Some(b"v"), Durability::Buffered).unwrap();
    let appended = engine.core.logs.appended();
    ask(appended);
    ask(LogPosition(appended.0 + 1));
    assert!(lock(&told).is_empty());
    engine.close().unwrap();
    threads.join();
    // The close has synced, and what was never written stays an error.
    assert!(matches!(lock(&told)[..], [Ok(()), Err(Error::Closed)]), "{told:?}");
    ask(appended);
    ask(LogPosition(appended.0 + 1));
    assert!(matches!(lock(&told)[2..], [Ok(()), Err(Error::Closed)]), "{told:?}");
}

/// A turn makes a bounded number of calls (I34), and the rest have turns of their own, though
/// nobody asks for them.
#[test]
fn more_than_a_turn_tells_are_told_by_turns_that_nobody_asks_for() {
    let options = Options { sync_every: std::time::Duration::ZERO, ..Options::default() };
    let fs = Arc::new(SimFs::new());
    let (engine, threads) = Engine::open(fs, PathBuf::from("data"), options, None).unwrap();
    put::write_one(&engine, KEYSPACE_DEFAULT, b"k", Some(b"v"), Durability::Buffered).unwrap();
    let appended = engine.core.logs.appended();
    let (sender, receiver) = crate::sync::channel::unbounded();
    for n in 0..3 * TOLD_PER_TURN {
        let sender = sender.clone();
        let call: DurableCall = Box::new(move |result| sender.send(result.map(|()| n)).unwrap());
        // Asked for once, below.
        assert!(!matches!(engine.core.to_be_told.join(appended, call), Joined::Over(_)));
    }
    engine.core.send_log(LogJob::Tell);
    for n in 0..3 * TOLD_PER_TURN {
        // As long as a machine may be busy: they come at once.
        let told = receiver.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(told.expect("it is told").unwrap(), n, "in the order in which they joined");
    }
    engine.close().unwrap();
    threads.join();
}
