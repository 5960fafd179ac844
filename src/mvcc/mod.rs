//! What readers may see, and when: protocols without bytes, paths or clocks.
//!
//! Each file holds one protocol as numbered steps above its type, and takes its surroundings as a
//! trait or a closure. The loom build compiles this folder with `ids` and `sync` alone, so that the
//! models (`models.rs` beside each protocol) explore the shipped code and not a copy of it.
//! Storage, clocks and threads belong to `engine`; a wait takes its time-out from there.
//!
//! # Versions
//!
//! Nothing is overwritten. Each operation is a version of its key at a sequence, and a read at a
//! sequence finds the newest version at or below it:
//!
//! ```text
//! sequence
//!     7 |              c=3    inserted, not visible yet
//!     6 |  a=x                <- visible: a read finds a deleted, b=4, c=2
//!     5 |        b=4
//!     4 |              c=2
//!     3 |        b=2          <- a snapshot, and the horizon: a=1, b=2, no c
//!     2 |        b=1          nobody can find it: flushes and merges leave it out
//!     1 |  a=1
//! ```
//!
//! | file | protocol |
//! |---|---|
//! | `commit` | sequences are taken, writes inserted side by side |
//! | `order` | `visible` moves up, in the commit order |
//! | `view` | a reader finds a view and a sequence that belong together |
//! | `snapshots` | a sequence is registered, and the horizon never passes it |
//! | `group_sync` | one sync of the log serves all who wait for one |
//! | `waiting_list` | who is told when that was, without waiting |
//! | `live_logs` | what a sync covers while logs come and go |
//! | `gate` | writers wait for memory, and miss no change |
//! | `retire` | what was replaced goes when no reader has it |
//! | `drops` | a keyspace is dropped, left out, forgotten |
//! | `ending` | a close answers all who wait, and the threads end |
//! | `residence` | blocks are cached, and none escapes the clock hand |
//! | `slots` | two load one block, one is kept, the hand takes it out |
//! | `seal` | a log ends while it is synced, and owes what was taken back |
//! | `stretches` | scans jump over dead keys that a scan has walked over |
//!
//! # Models
//!
//! `models.rs` has the table of them. Every model has at least two planted faults, the same code
//! with steps exchanged or left out, each of which it must find: `.ci/run loom` runs them all.

pub(crate) mod commit;
pub(crate) mod drops;
pub(crate) mod ending;
pub(crate) mod gate;
pub(crate) mod group_sync;
pub(crate) mod live_logs;
pub(crate) mod order;
pub(crate) mod residence;
pub(crate) mod retire;
pub(crate) mod seal;
pub(crate) mod slots;
pub(crate) mod snapshots;
pub(crate) mod stretches;
pub(crate) mod view;
pub(crate) mod waiting_list;

#[cfg(all(test, loom))]
mod models;
