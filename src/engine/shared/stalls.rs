//! The books on what writes waited for.

use std::fmt;

use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::clock::Instant;

/// What a write had to wait for, or was refused for; the last one is in
/// [`Stats::stall_last`](crate::Stats::stall_last).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// if db.stats().stall_last == Some(alluvium::StallCause::Memory) {
///     println!("bursts are larger than memory_bytes");
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallCause {
    /// Memtables were full: it waited for a flush, or was refused.
    Memory,
    /// Memtables were filling up: it was delayed, so that they would not.
    Pace,
    /// There was no log file to append to.
    Log,
    /// The disk was full: it was refused.
    DiskFull,
}

impl StallCause {
    const ALL: [Self; 4] = [Self::Memory, Self::Pace, Self::Log, Self::DiskFull];
}

impl fmt::Display for StallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Pace => "pace",
            Self::Log => "log",
            Self::DiskFull => "disk full",
        })
    }
}

/// The books on waiting. Relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// How often each cause was met.
    counts: [AtomicU64; StallCause::ALL.len()],
    /// How long each was waited for, in microseconds.
    waited_us: [AtomicU64; StallCause::ALL.len()],
    /// Writes that were refused for want of memory, at once or after a wait.
    refused: AtomicU64,
    /// The last cause's place among all, from 1; 0 for none.
    last: AtomicU64,
}

impl Stalls {
    /// Books a wait: once when it begins, and its time when it ends.
    pub(crate) fn book<T>(&self, cause: StallCause, wait: impl FnOnce() -> T) -> T {
        self.count(cause);
        let start = Instant::now();
        let result = wait();
        let waited_us = start.elapsed().as_micros() as u64;
        self.waited_us[cause as usize].fetch_add(waited_us, Ordering::Relaxed);
        result
    }

    /// Books a write that was refused.
    pub(crate) fn refused(&self, error: &Error) {
        match error {
            Error::Overloaded { .. } => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.last.store(StallCause::Memory as u64 + 1, Ordering::Relaxed);
            }
            Error::StorageFull { .. } => self.count(StallCause::DiskFull),
            _ => {}
        }
    }

    fn count(&self, cause: StallCause) {
        self.counts[cause as usize].fetch_add(1, Ordering::Relaxed);
        self.last.store(cause as u64 + 1, Ordering::Relaxed);
    }

    /// How often a cause was met, and for how long it was waited for in microseconds.
    pub(crate) fn of(&self, cause: StallCause) -> (u64, u64) {
        let load = |of: &[AtomicU64]| of[cause as usize].load(Ordering::Relaxed);
        (load(&self.counts), load(&self.waited_us))
    }

    /// Writes that were refused for want of memory.
    pub(crate) fn overloaded(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The cause that was met last.
    pub(crate) fn last(&self) -> Option<StallCause> {
        let place = self.last.load(Ordering::Relaxed) as usize;
        StallCause::ALL.get(place.checked_sub(1)?).copied()
    }
}
