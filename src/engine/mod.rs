//! Where the parts meet. A room imports lower floors only (`tests/tidy/floors.rs`):
//!
//! | floor | rooms | what |
//! |---|---|---|
//! | 11 | `open` | an engine from a directory: recovery, then the threads |
//! | 10 | `copy` | checkpoints and backups |
//! | 10 | `threads` | starts them, ends them; the log thread's turns |
//! | 9 | `flush` | memtables to runs; the flush thread's desk and loop |
//! | 8 | `index` | tables in memory, made again or loaded; verify |
//! | 7 | `cleanup` | what nobody reaches any more |
//! | 6 | `keyspaces`, `report` | keyspaces made and dropped; what the engine says of itself |
//! | 5 | `write`, `merge` | the other verbs |
//! | 4 | `read` | gets and scans, which conditional writes are made of too |
//! | 3 | `whole`, `manifest` | an `Engine`: the `Core`, and the commit section; edits of the manifest |
//! | 2 | `commit`, `outputs` | what the section owns; segments being written |
//! | 1 | `shared` | the `Core`, the types of its fields, messages between threads |
//! | 0 | `agenda`, `directory` | merges wanted, under way and failed; the directory's handle and locks |
//!
//! Only `threads::background` starts threads. Locks: the commit section and the manifest, never
//! both together; under either, or alone, the lists below, for a push or a copy, never across I/O.

pub(crate) mod agenda;
pub(crate) mod cleanup;
pub(crate) mod commit;
pub(crate) mod copy;
pub(crate) mod directory;
pub(crate) mod flush;
pub(crate) mod index;
pub(crate) mod keyspaces;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod open;
pub(crate) mod outputs;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod shared;
pub(crate) mod threads;
pub(crate) mod whole;
pub(crate) mod write;

pub(crate) use self::agenda::jobs::RequestProgress;
pub(crate) use self::commit::entry::{Batch, check_sizes};
pub(crate) use self::directory::DirectoryLock;
pub use self::read::get::TryGet;
pub(crate) use self::read::get::{EngineIter, ReadAt};
pub(crate) use self::read::layers::LayersCursor;
pub(crate) use self::shared::core::{Core, GRACE_MS, SEQUENCE_RESERVE, Upkeep};
pub(crate) use self::shared::keyspaces::KeyspaceState;
pub(crate) use self::shared::view::View;
pub(crate) use self::whole::Engine;
pub(crate) use self::write::conditional::Decision;
pub use self::write::try_write::{TryWrite, WaitFor};

#[cfg(test)]
mod tests;
