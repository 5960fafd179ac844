//! Merging runs: what is next, one step of it, and what went wrong.

pub(crate) mod choose;
pub(crate) mod forecast;
pub(crate) mod horizon;
pub(crate) mod scheduler;
pub(crate) mod stats;
pub(crate) mod step;
pub(crate) mod warm;
