//! Keyspaces: what is known of them, how they are made, dropped and forgotten.

pub(crate) mod ask;
pub(crate) mod edits;
pub(crate) mod forget;
