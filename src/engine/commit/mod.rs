//! The commit section: what enters it, what it checks, and the tail of log and memtable that it
//! owns. Knows no waiting: who waits for what is `write`'s.

pub(crate) mod entry;
pub(crate) mod holds;
pub(crate) mod id_set;
pub(crate) mod look;
pub(crate) mod private;
pub(crate) mod section;
pub(crate) mod spans;
pub(crate) mod tail;
