//! What compaction decides, as pure functions: no thread, no file, no clock.
//!
//! [`survive`] says which versions of a key a flush or a merge carries over, [`pick`] which pair of
//! runs is merged next. The engine, which does the work on background threads, is the only caller.

// The merge step, its caller, comes with the engine.
#[cfg_attr(not(test), expect(dead_code))]
pub(crate) mod pick;
pub(crate) mod survive;
