//! Transactions through the public face: what they see, what they conflict with, and that each gets
//! its turn.
//!
//! Interleavings are made by hand: another handle writes between two calls of a transaction, or in
//! the closure of `transact`, on a thread that is waited for.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
#![allow(clippy::print_stdout, reason = "counts are what a run is judged by")]

mod bounds;
mod conflicts;
mod hermitage;
mod lives;
mod overlay;
mod required;
mod turns;
mod with;

use std::path::Path;
use std::sync::Arc;

use alluvium::io::{Fs, SimFs};
use alluvium::{Db, Error, Isolation, Sequence, Transaction, TransactionOptions};

/// A database in memory that flushes and merges when it is told to.
fn open() -> Db {
    open_on(&SimFs::new())
}

fn open_on(sim: &SimFs) -> Db {
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let builder = Db::builder(Path::new("/db")).memtable_bytes(4 << 10).compaction_threads(0);
    builder.flush_bytes(8 << 20).fs(fs).open().unwrap()
}

fn with(isolation: Isolation) -> TransactionOptions {
    TransactionOptions::new().isolation(isolation)
}

/// Runs `write` on a thread of its own, as somebody else would.
fn elsewhere<R: Send>(write: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(write).join().unwrap())
}

fn text(value: Option<alluvium::Value>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Commits a transaction that has to be in conflict about this key.
#[track_caller]
fn conflicts(tx: Transaction, key: &str) {
    match tx.commit() {
        Err(Error::Conflict { key: Some(found), .. }) => assert_eq!(found, key.as_bytes()),
        other => panic!("no conflict about {key}: {other:?}"),
    }
}

/// Commits one that has to.
#[track_caller]
fn commits(tx: Transaction) -> Sequence {
    tx.commit().unwrap()
}
