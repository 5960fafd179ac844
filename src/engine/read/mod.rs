//! The way of a read, and what a database says about one.

pub(crate) mod changed;
pub(crate) mod estimate;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod layers;
pub(crate) mod many;
pub(crate) mod stretches;
