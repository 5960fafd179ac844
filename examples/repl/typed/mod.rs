//! What is typed: read as a command, and completed while it is under way.

pub(crate) mod complete;
mod narrow;
pub(crate) mod parse;
