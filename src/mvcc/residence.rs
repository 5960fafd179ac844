//! Whether any slot of a file may hold a block, so that the clock hand passes by cold files.
//!
//! Readers fill slots from any thread; one background thread, which owns the hand, empties them.
//! What the slots hold is the caller's business.

use crate::sync::atomic::{AtomicBool, Ordering};

/// A flag over many slots: while one is filled it is set, or is about to be, unless the hand is on
/// its way through them.
///
/// Filling: 1. fill the slot; 2. set the flag, by an exchange.
///
/// Emptying: 1. clear the flag, by an exchange; 2. look into the slots; 3. set the flag again if
/// any was left filled.
///
/// All exchanges of one flag have an order. If a fill's comes before the hand's, the hand sees the
/// slot; if after, the flag stays set for the next time. A plain load before a plain store would
/// not do: the load may still see the flag that the hand has just cleared, and the hand not yet the
/// slot, and then no hand ever comes by.
#[derive(Debug)]
pub(crate) struct Residence(AtomicBool);

impl Residence {
    /// Of slots that are empty.
    pub(crate) fn none() -> Self {
        Self(AtomicBool::new(false))
    }

    /// A slot was filled, or left so.
    pub(crate) fn note(&self) {
        // AcqRel: a hand that clears this sees the slot; see above for why it is an exchange.
        self.0.swap(true, Ordering::AcqRel);
    }

    /// The hand begins. Whether there is anything to look for: if not, it passes by.
    pub(crate) fn begin(&self) -> bool {
        // AcqRel; pairs with the exchange in `note`.
        self.0.swap(false, Ordering::AcqRel)
    }

    /// Whether a slot may be filled. A hint.
    pub(crate) fn is_warm(&self) -> bool {
        // Relaxed: nothing is read because of it.
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod models;
