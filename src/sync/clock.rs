//! The clock by which waits end and work is due: the standard library's. The time of day, on which
//! nothing depends, is no part of it.

#[cfg(not(shuttle))]
pub(crate) use std::time::Instant;

#[cfg(shuttle)]
pub(crate) use super::scheduled::clock::Instant;
