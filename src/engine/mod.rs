//! Where the parts meet. At the bottom is what all of it shares, `shared`: one `Core`, the types of
//! its fields, and the messages between threads. With the commit section (`write::section`) that is
//! an `Engine` (`whole`). Above are the verbs, a folder each: `open`, `write`, `read`, `merge`,
//! `keyspaces` (made, dropped, forgotten), `index` (the tables in memory, and what reads all files
//! back), `report` (what a database says of itself); `flush` with the `outputs` that it shares with
//! `merge`, `cleanup`, and `directory` (its handle and locks). `threads` is on top: it calls them.
//!
//! Only `threads::background` starts threads. Locks: the commit section and the manifest, never
//! both together; under either, or alone, the lists below, for a push or a copy, never across I/O.

pub(crate) mod cleanup;
pub(crate) mod directory;
pub(crate) mod flush;
pub(crate) mod index;
pub(crate) mod keyspaces;
pub(crate) mod merge;
pub(crate) mod open;
pub(crate) mod outputs;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod shared;
pub(crate) mod threads;
pub(crate) mod whole;
pub(crate) mod write;

pub(crate) use self::directory::DirectoryLock;
pub(crate) use self::merge::jobs::RequestProgress;
pub use self::read::get::TryGet;
pub(crate) use self::read::get::{EngineIter, ReadAt};
pub(crate) use self::read::layers::LayersCursor;
pub(crate) use self::shared::core::{Core, GRACE_MS, SEQUENCE_RESERVE, Upkeep};
pub(crate) use self::shared::keyspaces::KeyspaceState;
pub(crate) use self::shared::view::View;
pub(crate) use self::whole::Engine;
pub(crate) use self::write::conditional::Decision;
pub(crate) use self::write::entry::{Batch, check_sizes};
pub use self::write::try_write::TryWrite;

#[cfg(test)]
mod tests;
