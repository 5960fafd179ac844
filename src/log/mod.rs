//! The write-ahead log: files that hold, record after record in commit order, what the memtables
//! hold in memory.
//!
//! `writer` appends and prepares spares, `fill` gives them their length, `read` reads one log,
//! `replay` reads a directory's back into order. Formats are in `format::log_header` and
//! `format::record`. This module knows nothing of memtables or the manifest, decides nothing about
//! when to sync, and starts no thread; the only locks are those of `parallel`, which shares out
//! work of a replay.
//!
//! # The life of a log file
//!
//! ```text
//!        made, at full length     header written       no more room      flushed, edit synced
//! (none) --------------> spare ----------------> open --------> sealed ---------------> dead
//!                          ^                                                              |
//!                          +------------------ used again as it is, or removed -----------+
//! ```
//!
//! # The chain
//!
//! A log file keeps its slot name for life; its header says which log it is now: its number, the
//! number of the log before it and the offset at which that one ended, and a fresh random salt. A
//! slot whose log is below the manifest's log floor is dead: stale bytes in it never verify again
//! under a new salt, so it is used again as it is. The next log after `n` is the highest-numbered
//! one that names `n` as its predecessor; a lower one is the ghost of a rotation that failed.

mod expected;
mod fill;
mod parallel;
mod read;
mod replay;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use expected::Expected;
pub(crate) use parallel::{Parallel, share_out};
pub(crate) use read::{Records, ReplayedLog, ReplayedRecord, verify_log};
pub(crate) use replay::{Replayed, replay};
pub(crate) use writer::{LogEnd, LogFile, LogWriter, Slots, SpareLog, write_end_record};

/// Where the second copy of a log's header stands: in another sector of any disk than the first,
/// so that one bad sector cannot take a whole log.
pub(crate) const LOG_SECOND_HEADER: u64 = 4096;

/// Where the records of a log begin.
pub(crate) const LOG_DATA_START: u64 =
    LOG_SECOND_HEADER + crate::format::log_header::LOG_HEADER_BYTES as u64;
