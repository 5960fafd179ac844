//! Alluvium: an embedded, multi-threaded, ordered key-value engine.
//!
//! A log-structured merge tree on a directory. Keys and values are bytes, keys in bytewise order.
//! Readers find everything through one published, immutable view: no reader and no writer waits
//! for the threads that move data. This version does not merge runs yet: flushes pile them up.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data");
//! use alluvium::{Db, Durability, WriteBatch};
//!
//! let db = Db::open(&path)?;
//! db.put("k", "v")?;
//! assert_eq!(db.get("k")?.as_deref(), Some(&b"v"[..]));
//!
//! // A keyspace has keys of its own and shares the log, so a batch across them is one record.
//! let users = db.keyspace("users")?;
//! let mut batch = WriteBatch::new();
//! batch.put("last-user", "ann");
//! batch.put_in(&users, "ann", "1");
//! db.write_with(batch, Durability::Sync)?;
//!
//! // A snapshot and an iterator keep their moment.
//! let snapshot = db.snapshot();
//! db.delete("k")?;
//! assert_eq!(snapshot.get("k")?.as_deref(), Some(&b"v"[..]));
//! let keys: Vec<_> = db.range(..).map(|kv| kv.map(|(key, _)| key)).collect::<Result<_, _>>()?;
//! assert_eq!(keys, ["last-user"]);
//!
//! drop(snapshot);
//! db.close()?;
//! # Ok::<(), alluvium::Error>(())
//! ```
//!
//! # Durability
//!
//! What an acknowledged write (the call has returned `Ok`) survives:
//!
//! | | process killed | kernel crash, power loss |
//! |---|---|---|
//! | [`Durability::Buffered`] (default) | yes | all but the newest writes, see below |
//! | [`Durability::Sync`] | yes | yes |
//! | written before [`Db::sync`], [`Db::flush`] or [`Db::close`] returned `Ok` | yes | yes |
//!
//! After a power loss the database is at a prefix of the commit order, across all keyspaces: what
//! is missing is missing from the end, never out of the middle, and never part of a batch. The
//! background sync ([`Builder::sync_every_ms`], one second by default) bounds how much that is.
//! After a failed sync the writer stops ([`Error::WriterStopped`]), reads go on, and reopening
//! recovers.
//!
//! # What keeps what
//!
//! | while it lives | it keeps |
//! |---|---|
//! | [`Snapshot`] | the versions that it sees, in flushes and merges; no memory and no file |
//! | [`Range`] (an iterator) | the memtables and segment files of its moment |
//! | [`Value`] | nothing up to 256 bytes; above, the block or the memory that it was read from |
//! | any handle, snapshot or iterator | the lock on the directory, the first until [`Db::close`] |
//!
//! # Waiting
//!
//! [`Db::get`] takes no lock, and makes no system call when its data is in memory. A write shares
//! one short section with other writers, and waits for no flush, sync, reader or background thread,
//! with these exceptions: a [`Durability::Sync`] write waits for the device; the first write after
//! an open, for its log file; and a write that would pass [`Builder::memory_bytes`], for a flush,
//! at most [`Builder::stall_ms_max`]. [`Db::flush`], [`Db::close`], [`Db::keyspace`] (for a new
//! one) and [`Db::drop_keyspace`] wait for the work that they ask for.
//!
//! # Reading the source
//!
//! A module imports lower floors only; DESIGN.md has the protocols, invariants and reasons.
//!
//! | floor | modules |
//! |---|---|
//! | 7 | the public face: `db`, `keyspace`, `snapshot`, `lookup`, `conditional`, `range`, `batch`, … |
//! | 6 | `engine`: where the parts meet, one file per verb |
//! | 5 | `compaction`: which versions survive |
//! | 4 | `runs`: segment sets, and the manifest that keeps them |
//! | 3 | `memtable`, `segment`: versions in memory, and in files |
//! | 2 | `log`: append and replay; `iter`: cursors and what a reader sees of them |
//! | 1 | `format`: bytes and values; [`io`]: the file system; `mvcc`: who sees what, when; `options` |
//! | 0 | `error`, [`ids`], `sync`, `value` |
//!
//! To follow one put, begin with `engine/write.rs` and `mvcc/commit.rs`; one get, with
//! `engine/read.rs` and `mvcc/view.rs`; a recovery, with `engine/open.rs` and `log/replay.rs`.

pub mod ids;
mod mvcc;
mod sync;

// The loom build compiles the three above alone, so that an upward import is a compile error.
#[cfg(not(all(test, loom)))]
mod batch;
#[cfg(not(all(test, loom)))]
mod builder;
#[cfg(not(all(test, loom)))]
mod compaction;
#[cfg(not(all(test, loom)))]
mod conditional;
#[cfg(not(all(test, loom)))]
mod db;
#[cfg(not(all(test, loom)))]
mod engine;
#[cfg(not(all(test, loom)))]
mod error;
#[cfg(not(all(test, loom)))]
mod format;
#[cfg(not(all(test, loom)))]
pub mod io;
#[cfg(not(all(test, loom)))]
mod iter;
#[cfg(not(all(test, loom)))]
mod keyspace;
#[cfg(not(all(test, loom)))]
mod log;
#[cfg(not(all(test, loom)))]
mod lookup;
#[cfg(not(all(test, loom)))]
mod maintenance;
#[cfg(not(all(test, loom)))]
mod memtable;
#[cfg(not(all(test, loom)))]
mod options;
#[cfg(not(all(test, loom)))]
mod range;
#[cfg(not(all(test, loom)))]
mod runs;
#[cfg(not(all(test, loom)))]
mod segment;
#[cfg(not(all(test, loom)))]
mod snapshot;
#[cfg(not(all(test, loom)))]
mod value;
#[cfg(not(all(test, loom)))]
pub use batch::WriteBatch;
#[cfg(not(all(test, loom)))]
pub use builder::Builder;
#[cfg(not(all(test, loom)))]
pub use conditional::CompareAndSwap;
#[cfg(not(all(test, loom)))]
pub use db::Db;
#[cfg(not(all(test, loom)))]
pub use engine::TryGet;
#[cfg(not(all(test, loom)))]
pub use engine::explain::{
    Explain, ExplainBlock, ExplainFilter, ExplainFound, ExplainLayer, ExplainSource, ExplainVersion,
};
#[cfg(not(all(test, loom)))]
pub use engine::index::IndexReport;
#[cfg(not(all(test, loom)))]
pub use engine::segments::SegmentInfo;
#[cfg(not(all(test, loom)))]
pub use engine::stats::{Health, Stats};
#[cfg(not(all(test, loom)))]
pub use engine::verify::VerifyReport;
#[cfg(not(all(test, loom)))]
pub use error::{Error, Result};
#[cfg(not(all(test, loom)))]
pub use ids::Sequence;
#[cfg(not(all(test, loom)))]
pub use iter::KeyRange;
#[cfg(not(all(test, loom)))]
pub use keyspace::Keyspace;
#[cfg(not(all(test, loom)))]
pub use options::{Durability, KeyspaceOptions};
#[cfg(not(all(test, loom)))]
pub use range::{Keys, Range, Values};
#[cfg(not(all(test, loom)))]
pub use snapshot::Snapshot;
#[cfg(not(all(test, loom)))]
pub use value::Value;

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
