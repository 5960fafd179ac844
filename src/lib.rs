//! Alluvium: an embedded, multi-threaded LSM key-value engine.

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
pub use db::Db;
#[cfg(not(all(test, loom)))]
pub use engine::stats::{Health, Stats};
#[cfg(not(all(test, loom)))]
pub use error::{Error, Result};
#[cfg(not(all(test, loom)))]
pub use ids::Sequence;
#[cfg(not(all(test, loom)))]
pub use iter::KeyRange;
#[cfg(not(all(test, loom)))]
pub use keyspace::Keyspace;
#[cfg(not(all(test, loom)))]
pub use options::Durability;
#[cfg(not(all(test, loom)))]
pub use range::Range;
#[cfg(not(all(test, loom)))]
pub use snapshot::Snapshot;
#[cfg(not(all(test, loom)))]
pub use value::Value;
