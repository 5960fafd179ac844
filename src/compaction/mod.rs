//! What compaction decides, as pure functions: no thread, no file, no clock.
//!
//! [`pick`] says which pair of runs is merged next, [`toll`] when reads have paid for merging
//! everything down, [`plan`] which parts of the two are read and
//! written at all, [`survive`] which versions of a key a flush or a merge carries over. The engine,
//! which does the work on background threads, is the only caller; in tests `simulate` drives
//! [`pick`] over sizes alone.

pub(crate) mod pick;
pub(crate) mod plan;
#[cfg(test)]
mod simulate;
pub(crate) mod survive;
pub(crate) mod toll;
