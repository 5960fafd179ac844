//! Alluvium: an embedded, multi-threaded LSM key-value engine.

pub mod ids;
mod mvcc;
mod sync;

#[cfg(not(all(test, loom)))]
mod error;
#[cfg(not(all(test, loom)))]
mod format;
#[cfg(not(all(test, loom)))]
pub mod io;
#[cfg(not(all(test, loom)))]
mod iter;
#[cfg(not(all(test, loom)))]
mod options;
#[cfg(not(all(test, loom)))]
mod value;

#[cfg(not(all(test, loom)))]
pub use error::{Error, Result};
#[cfg(not(all(test, loom)))]
pub use options::Durability;
#[cfg(not(all(test, loom)))]
pub use value::Value;

/// Stand-in until the handle exists.
#[derive(Debug)]
pub struct Builder;
