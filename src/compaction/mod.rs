//! What compaction decides, as pure functions: no thread, no file, no clock.
//!
//! [`survive`] says which versions of a key a flush or a merge carries over. The engine, which does
//! the work on background threads, is the only caller.

pub(crate) mod survive;
