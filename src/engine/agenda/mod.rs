//! The agenda of merges: what is under way, what was asked for, what has failed. Plain data behind
//! one lock, `book`'s; `merge` chooses from it and works it off.

pub(crate) mod book;
pub(crate) mod failures;
pub(crate) mod jobs;
pub(crate) mod known_bytes;
pub(crate) mod pair;
