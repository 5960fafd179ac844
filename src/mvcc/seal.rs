//! Where a log ends, once it does, and what a sync of it still owes.
//!
//! The commit section seals a log while the sync leader may be syncing it. A log that was sealed
//! after a failed append owes one more sync than its bytes say: the place of the record was taken
//! back behind its end, and that has to be durable too.

use crate::sync::atomic::{AtomicU64, Ordering};

/// No end yet, or nothing owed.
const NONE: u64 = u64::MAX;

/// Offsets in one log: its end, and from where its bytes are to be written again by a sync.
///
/// Sealing, in the commit section, once:
/// 1. after a failed append: take the record back in the file; store what is owed;
/// 2. store the end.
///
/// Syncing, in the one leader:
/// 1. read the end;
/// 2. of a log without one: sync what is covered, and that is all. Else read what is owed, which is
///    final by now, and write that again;
/// 3. sync all of the log, and what stands behind its end;
/// 4. owe nothing.
///
/// A sync that began before the end was known settles no debt: it may have covered less.
#[derive(Debug)]
pub(crate) struct Seal {
    end: AtomicU64,
    owed_from: AtomicU64,
}

/// What a sync finds of a sealed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) end: u64,
    /// The bytes from here to the end are to be written again first; none if it is the end.
    pub(crate) owed_from: u64,
}

impl Seal {
    /// Of a log that is being written.
    pub(crate) fn open() -> Self {
        Self { end: AtomicU64::new(NONE), owed_from: AtomicU64::new(NONE) }
    }

    /// Of a log that was found with this end. `owed_from`: its bytes from there on may sit in the
    /// page cache alone.
    pub(crate) fn found(end: u64, owed_from: Option<u64>) -> Self {
        let owed_from = AtomicU64::new(owed_from.unwrap_or(NONE));
        Self { end: AtomicU64::new(end), owed_from }
    }

    /// The end, if the log is sealed.
    pub(crate) fn end(&self) -> Option<u64> {
        // Acquire; pairs with the Release in `close`: what came before the seal is seen.
        Some(self.end.load(Ordering::Acquire)).filter(|&end| end != NONE)
    }

    /// Whether a sync is owed whatever was synced so far.
    pub(crate) fn owes(&self) -> bool {
        // Acquire; pairs with the Release in `settle`: if nothing is owed, that sync is over.
        self.owed_from.load(Ordering::Acquire) != NONE
    }

    /// Ends the log at `end`.
    pub(crate) fn close(&self, end: u64) {
        // Release; pairs with the Acquire in `end`.
        self.end.store(end, Ordering::Release);
    }

    /// Ends the log at `end`, behind which a record was taken back.
    pub(crate) fn close_owing(&self, end: u64) {
        // Relaxed: a leader looks once it has seen the end, which is stored after this.
        self.owed_from.store(end, Ordering::Relaxed);
        self.close(end);
    }

    /// Steps 1 and 2 of a sync; `None` of a log that is not sealed.
    pub(crate) fn begin_sync(&self) -> Option<Sealed> {
        let end = self.end()?;
        // Relaxed: it was stored before the end.
        let owed_from = self.owed_from.load(Ordering::Relaxed).min(end);
        Some(Sealed { end, owed_from })
    }

    /// Step 4 of a sync that has found the log sealed.
    pub(crate) fn settle(&self, _: Sealed) {
        // Release; pairs with the Acquire in `owes`.
        self.owed_from.store(NONE, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models;
