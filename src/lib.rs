//! Alluvium: an embedded, multi-threaded, ordered key-value engine.
//!
//! A log-structured merge tree on a directory. Keys and values are bytes, keys in bytewise order.
//! Readers find everything through one published, immutable view. No reader and no writer waits for
//! the background threads, which move data from memory into runs on disk, and merge those.
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
//! db.write_with(&batch, Durability::Sync)?;
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
//! | | process killed | kernel crash | power loss |
//! |---|---|---|---|
//! | [`Durability::Buffered`] (default) | yes | all but the newest | all but the newest |
//! | [`Durability::Sync`] | yes | yes | yes |
//! | [`Db::wait_durable`] of its sequence returned `Ok` | yes | yes | yes |
//! | [`Db::when_durable`] has called, or [`Db::durable`] is ready, with `Ok` | yes | yes | yes |
//! | [`Db::sync`], [`Db::flush`] or [`Db::close`], called later, returned `Ok` | yes | yes | yes |
//!
//! After a power loss the database is at a prefix of the commit order, across all keyspaces: what
//! is missing is missing from the end, never out of the middle, and never part of a batch. The
//! background sync ([`Builder::sync_every`], one second by default) bounds how much that is.
//! [`Durability::Sync`] costs a sync of the device, shared by all who wait at one time: many
//! threads, or batches, make it cheap. A database of [`Db::in_memory`] is gone with its last
//! handle.
//!
//! # Keyspaces
//!
//! A keyspace ([`Db::keyspace`]) is a set of keys with a name; the methods of [`Db`] work on the
//! one named `default`. All share one log, one memory budget and one commit order, so a
//! [`WriteBatch`] or a [`Snapshot`] across them costs nothing extra. Use one for each kind of
//! record, for each index, and for what goes away as a whole: [`Db::drop_keyspace`] is one small
//! write however much is in it. Filters, block size and compression are chosen for each
//! ([`KeyspaceOptions`]).
//!
//! # Transactions
//!
//! [`Db::transact`] runs code that reads and writes any keys, and commits all that it has written
//! if nobody has changed meanwhile what it has read; otherwise it runs the code again, and after a
//! few times makes others wait. So it is as if each ran alone, one after the other. Reads and
//! writes of others go on meanwhile, and those who use no transactions pay nothing for them.
//!
//! ```
//! use alluvium::{Db, Error, Result};
//!
//! fn move_one(db: &Db, from: &str, to: &str) -> Result<bool> {
//!     let moved = db.transact(|tx| {
//!         let count = |key| Ok::<u8, Error>(tx.get(key)?.map_or(0, |value| value[0]));
//!         let (left, there) = (count(from)?, count(to)?);
//!         if left == 0 {
//!             return Ok(false); // nothing is written
//!         }
//!         tx.put(from, [left - 1])?;
//!         tx.put(to, [there + 1])?;
//!         Ok::<_, Error>(true)
//!     })?;
//!     Ok(moved.value)
//! }
//! # let db = Db::in_memory()?;
//! # db.put("a", [1])?;
//! assert!(move_one(&db, "a", "b")? && !move_one(&db, "a", "b")?);
//! # Ok::<(), alluvium::Error>(())
//! ```
//!
//! [`Db::transaction`] gives one by hand, which conflicts at its commit or not at all. Keep them
//! short: an open one keeps what its snapshot sees, and the longer it is open, the more others
//! change. Where a transaction reads much that it does not depend on, read that through
//! [`Transaction::snapshot`], or choose [`Isolation::Snapshot`], which looks only at what is
//! written and at what [`get_for_update`](Transaction::get_for_update) has read.
//!
//! # Reading, and what keeps what
//!
//! Each read sees everything that was acknowledged before it began.
//! [`Db::multi_get`](crate::Reader::multi_get) and [`Db::range`](crate::Reader::range) see one
//! moment; several calls see one only through a [`Snapshot`].
//!
//! | while it lives | it keeps |
//! |---|---|
//! | [`Snapshot`], [`Transaction`] | the versions that it sees, in flushes and merges; no memory and no file |
//! | [`Range`], [`Keys`], [`Values`] | the memtables and segment files of their moment |
//! | [`Value`] | nothing up to 256 bytes; above, the block or the memory that it was read from |
//! | any handle, snapshot or iterator | the lock on the directory, the first until [`Db::close`] |
//!
//! So hold snapshots as long as you like, and iterators only while you iterate; to stop for a while
//! and go on later, keep a snapshot and the last key. [`Stats`] tells how old the oldest snapshot
//! is, and how much either holds back. Call `to_vec` on a large value that you keep for long.
//!
//! # Threads and waiting
//!
//! Handles, snapshots and values are cheap to clone and usable from any thread; iterators may move
//! between threads. Only iterators and batches have methods that take `&mut self`, and no method
//! panics on misuse. Where a panic of yours was caught, handles may be used on.
//! [`Db::insert_if_absent`](crate::Keyspace::insert_if_absent),
//! [`Db::compare_and_swap`](crate::Keyspace::compare_and_swap) and
//! [`Db::update`](crate::Keyspace::update) are atomic on one key, transactions on any number.
//!
//! [`Db::get`](crate::Reader::get) takes no lock, and makes no system call when its data is in
//! memory. A write shares one short section with other writers, and waits for no flush, merge,
//! sync, reader or background thread, with these exceptions: a [`Durability::Sync`] write waits for
//! the device; a write that finds no log file prepared until one is made, on a full disk also for a
//! merge or a flush that is about to free some of it; where memory or disk run short, writes are
//! slowed down or fail, as [`Builder::on_overload`] says, and so are writes of a key that a
//! conditional write or a transaction holds because it has lost eight tries
//! ([`Db::update`](crate::Keyspace::update), [`Db::transact`]). [`Db::flush`], [`Db::close`],
//! [`Db::keyspace`] (for a new one), [`Db::drop_keyspace`], [`Db::rename_keyspace`] and
//! [`Db::compact`] wait for the work that they ask for.
//!
//! On a thread that must not wait, like those of an async executor:
//!
//! - always: [`Db::try_get`](crate::Reader::try_get), [`Db::try_put`](crate::Keyspace::try_put),
//!   [`Db::try_delete`](crate::Keyspace::try_delete) and [`Db::try_write`], which answer
//!   [`TryGet::WouldRead`] or [`TryWrite::WouldWait`] instead of waiting; [`Db::snapshot`],
//!   [`Snapshot::with`], [`Db::keyspace_if_exists`], making and dropping a [`Range`],
//!   [`Db::stats`], [`Db::health`],
//!   [`Db::runs`], [`Db::approximate_len`](crate::Reader::approximate_len) and
//!   [`Db::approximate_size`](crate::Reader::approximate_size), which are about memory alone;
//!   [`Db::when_durable`] and [`Db::durable`], for which another thread waits for the device;
//! - where the data is in memory for certain: [`Db::get`](crate::Reader::get) and the other reads,
//!   and drawing from a [`Range`]; else they read the disk;
//! - not: [`Db::put`](crate::Keyspace::put), [`Db::delete`](crate::Keyspace::delete),
//!   [`Db::write`], conditional writes and commits of transactions, which wait rarely, but then for
//!   as long as [`Builder::on_overload`] says; [`Durability::Sync`] writes, [`Db::sync`] and
//!   [`Db::wait_durable`], which wait for the device; [`Db::open`], [`Db::close`] and the drop of
//!   the last handle, [`Db::flush`], [`Db::compact`], [`Db::verify`], [`Db::keyspace`],
//!   [`Db::drop_keyspace`], [`Db::rename_keyspace`] and [`Db::len`](crate::Reader::len), which are
//!   work for a thread of its own.
//!
//! # Directories and processes
//!
//! An open database stays in its directory when the process changes its current directory, and on
//! Unix also when the directory is moved. A directory that is removed or emptied stops the writer
//! ([`Error::DirectoryLost`]), at the next sync at the latest. Two locks keep others out, one of
//! them on the directory itself: removing the file `LOCK` lets nobody in. A process that was forked
//! off gets [`Error::Forked`] from everything that it has inherited, reads too; dropping and
//! closing do nothing there. What it opens itself is its own.
//!
//! # Memory and options
//!
//! Memory is the sum of three: memtables, at most [`Builder::memory_bytes`], and as long as
//! iterators hold flushed ones, these too; cached blocks, at most [`Builder::cache_bytes`], and
//! beyond that those that a value or an iterator holds (a value of more than 256 bytes holds its
//! block); and filters and indexes of all segments, about 1.3 bytes a key and 1.5 % of the data.
//! With the defaults and 100 million keys of 100 bytes that is 256 MiB, a quarter of the machine's
//! memory or of its control group's (4 GiB at most; 256 MiB where neither is known), and about 270
//! MiB. Each database of a process takes its own. [`Db::stats`] has the figures of the moment.
//!
//! There are fifteen options, and the defaults suit most. Raise `cache_bytes` towards the data
//! that is read often, and divide it among several databases; raise `memory_bytes` if bursts wait
//! (`stalls`, `paced` in [`Stats`]); lower both on a small machine.
//!
//! | option of [`Builder`] | default | what it trades |
//! |---|---|---|
//! | [`memtable_bytes`](Builder::memtable_bytes) | 4 MiB | cost of an insert for number of memtables |
//! | [`flush_bytes`](Builder::flush_bytes) | 64 MiB | number of runs for time of a recovery |
//! | [`memory_bytes`](Builder::memory_bytes) | 256 MiB | memory for bursts without waiting |
//! | [`cache_bytes`](Builder::cache_bytes) | ¼ of memory, ≤ 4 GiB | memory for reads without the disk |
//! | [`mapped_reads`](Builder::mapped_reads) | no | reads without calls for an error as a signal |
//! | [`sync_every`](Builder::sync_every) | 1 s | syncs for what a power loss may take |
//! | [`on_overload`](Builder::on_overload) | wait, 10 s | waiting for [`Error::Overloaded`] |
//! | [`compaction_threads`](Builder::compaction_threads) | 1 | cores and disk for fewer runs |
//! | [`background_nice`](Builder::background_nice) | 0 | puts for the tail of gets, on busy cores |
//! | [`merge_bytes_per_second`](Builder::merge_bytes_per_second) | no limit | runs and space for disk |
//! | [`space_amp_target`](Builder::space_amp_target) | 1.25 | space for rewriting old data |
//! | [`segment_bytes`](Builder::segment_bytes) | 16 MiB | number of files for their size |
//! | [`read_only`](Builder::read_only) | no | |
//! | [`create`](Builder::create) | yes | |
//!
//! Three more say only where things are: the path, [`fs`](Builder::fs) (with the feature
//! `sim`, `io::SimFs` for tests of crashes and failures) and
//! [`index_snapshot`](Builder::index_snapshot), for a warmer open.
//!
//! # Merging
//!
//! Each flush adds a run to those on disk; a get asks the filter of each, and a scan walks through
//! all. Background threads merge neighbours in pairs, so that there are few, and leave out what
//! nobody can see any more: overwritten versions, deletions and what they delete, dropped
//! keyspaces. That goes a segment at a time, and what is done counts at once: neither a close nor a
//! crash undoes it. With [`Builder::space_amp_target`] at 1.25 the disk holds about a quarter more
//! than what is live; what a [`Snapshot`] sees, or a live iterator's files, come on top.
//!
//! It needs no attention. After a second without writes, or longer the more there is, everything is
//! merged down as far as it goes; while there are writes, once reads have lost as much to the runs
//! that they meet as the merging costs. [`Db::compact`] does that now,
//! [`Keyspace::compact_range`] for some
//! keys, say after a large deletion; [`Db::start_compaction_of_all`] does not wait, and tells how
//! far it is. [`Db::pause_compaction`] keeps merges off while something else needs the disk;
//! [`Builder::merge_bytes_per_second`] limits them for good. [`Db::runs`] shows the runs, and
//! [`MergeStats`] what merging costs. A merge that fails leaves everything as it was, is tried
//! again, and shows in [`Db::health`].
//!
//! # Errors
//!
//! One [`Error`] for all, grouped by what can be done; each prints as a sentence with file and
//! reason, and its `source` is the system's own error.
//!
//! | what happened | what to do |
//! |---|---|
//! | [`is_retryable`](Error::is_retryable): `StorageFull`, `Overloaded`, `KeyHeld` | free space or wait, and call again: nothing was lost, nothing half done |
//! | the same, `Conflict` | run the transaction again from its beginning, or leave that to [`Db::transact`] |
//! | [`is_corruption`](Error::is_corruption) | [`Db::verify`] lists the damage; restore from a copy. The rest stays readable |
//! | `WriterStopped` | what is durable is unknown after a failed sync, or a panic: reads go on, reopening recovers |
//! | `DirectoryLost` | writing has stopped, reads go on: open it where it is now |
//! | `Locked`, `InvalidArgument`, `ReadOnly`, `Closed`, `KeyspaceDropped`, `Forked`, `TransactionTooBig`, `RequirementFailed` | a matter of the program; nothing was changed |
//! | `UnsupportedFormat`, `Io` | a newer version's file; the system's refusal |
//!
//! A missing key is no error. An iterator gives an error as its last item, once, so every loop
//! ends; what passes over items that are errors (`flatten`, `count`) takes a failure for the end of
//! the data: use `?`, and [`Db::len`](crate::Reader::len) or [`Range::len`] to count.
//! [`Db::health`] tells what background work ran into.
//!
//! # Tracing
//!
//! Events and spans go to the `tracing` subscriber of the process, most of them from background
//! threads, none under a lock. A handler may read: [`Db::get`](crate::Reader::get), [`Db::health`],
//! [`Db::stats`], [`Db::runs`] and so on. It must not write to the database, because a write may
//! wait for the thread that it is on, and must not block, because that thread has work that others
//! wait for. A call that would wait for its own thread ([`Db::flush`], [`Db::close`],
//! [`Db::verify`], [`Db::compact`], a new keyspace) fails there with [`Error::InvalidArgument`]
//! instead.
//!
//! # Reading the source
//!
//! A module imports lower floors only. DESIGN.md has the words, the floors, the invariants and the
//! files; each file opens with how it works. A good order:
//!
//! 1. `src/db.rs`, `src/snapshot.rs`: the promises, call by call.
//! 2. `src/mvcc/mod.rs`, `src/mvcc/commit.rs`, `src/mvcc/view.rs`: what everything rests on.
//! 3. `src/engine/write/put.rs`, `src/engine/commit/section.rs`: the way of a write.
//! 4. `src/engine/read/get.rs`: the way of a read.
//! 5. `src/engine/flush/mod.rs`: from memory to a run on disk.
//! 6. `src/compaction/pick.rs`, `src/engine/merge/step.rs`: which two runs are merged, and one step
//!    of it; `src/compaction/survive.rs`: what is left out.
//! 7. `src/engine/open/mod.rs`, `src/log/replay.rs`: recovery.
//! 8. `src/format/mod.rs`: the byte tables, one beside each encoder.

mod ids;
mod mvcc;
mod sync;

// The loom build compiles the three above alone, so that an upward import is a compile error.
cfg_if::cfg_if! {
    if #[cfg(not(all(test, loom)))] {
        mod answers;
        mod backups;
        mod batch;
        mod builder;
        mod compact;
        mod compaction;
        mod db;
        mod durable;
        mod engine;
        mod error;
        mod event;
        mod format;
        pub mod io;
        mod iter;
        mod keyspace;
        mod log;
        mod maintenance;
        mod mapped;
        mod memtable;
        mod options;
        mod overlay;
        mod prefetch;
        mod range;
        mod reader;
        mod runs;
        mod segment;
        mod shared;
        mod snapshot;
        mod transaction;
        mod transaction_keyspace;
        mod transaction_range;
        mod transaction_state;
        #[cfg(test)]
        mod transaction_tests;
        mod unwind;
        mod value;
        mod witness;

        pub use answers::{CompareAndSwap, KeyChange, Transacted, Updated};
        pub use backups::Backups;
        pub use batch::WriteBatch;
        pub use builder::Builder;
        pub use compact::Compaction;
        pub use db::Db;
        pub use durable::Durable;
        pub use engine::copy::backup::{BackupInfo, BackupOptions};
        pub use engine::copy::checkpoint::Checkpoint;
        pub use engine::copy::records::Deleted;
        pub use engine::copy::restore::BackupReport;
        pub use engine::copy::store::{BackupStore, DirStore};
        pub use engine::index::IndexReport;
        pub use engine::index::verify::VerifyReport;
        pub use engine::merge::stats::MergeStats;
        pub use engine::read::explain::{
            Explain, ExplainBlock, ExplainFilter, ExplainFound, ExplainLayer, ExplainSource,
            ExplainVersion,
        };
        pub use engine::report::segments::{RunInfo, SegmentInfo};
        pub use engine::report::stats::{Health, Stats};
        pub use engine::shared::stalls::StallCause;
        pub use engine::{TryGet, TryWrite, WaitFor};
        pub use error::{Error, Result};
        pub use ids::Sequence;
        pub use iter::KeyRange;
        pub use keyspace::Keyspace;
        pub use options::{
            Compression, Durability, Isolation, KeyspaceOptions, OnOverload, TransactionOptions,
        };
        pub use range::{Keys, Range, Values};
        pub use reader::Reader;
        pub use segment::skips::Skipped;
        pub use snapshot::Snapshot;
        pub use transaction::{Savepoint, Transaction};
        pub use transaction_keyspace::TransactionKeyspace;
        pub use transaction_range::TransactionRange;
        #[cfg(all(debug_assertions, feature = "sim", not(shuttle)))]
        pub use sync::switches::switch_threads;
        pub use value::Value;
    }
}

/// What the tests of whole schedules run on.
#[cfg(shuttle)]
#[doc(hidden)]
pub mod schedules {
    pub use crate::sync::scheduled::{Fault, elapsed, plant, run};
}

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
