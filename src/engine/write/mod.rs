//! The way of a write, from the caller to the durable log, and what bounds it.

pub(crate) mod big;
pub(crate) mod conditional;
pub(crate) mod hold;
pub(crate) mod overload;
pub(crate) mod put;
pub(crate) mod rotate;
pub(crate) mod sync;
pub(crate) mod told;
pub(crate) mod transaction;
pub(crate) mod try_write;
