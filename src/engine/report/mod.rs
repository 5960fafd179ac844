//! What a database says about itself, for people and for the shell.

pub(crate) mod segments;
pub(crate) mod stats;
