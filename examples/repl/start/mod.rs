//! The command line, and which directories become databases.

pub(crate) mod args;
pub(crate) mod opening;
