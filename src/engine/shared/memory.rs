//! What memtables take of the budget, and how a flush is asked for. How writers wait for it is
//! `write::overload`'s.

use std::time::Duration;

use crate::engine::Core;
use crate::engine::shared::messages::FlushJob;
use crate::error::Error;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

impl Core {
    /// Bytes in memtables that are not flushed.
    pub(crate) fn memory_used(&self) -> u64 {
        // Relaxed: an estimate. A waiting writer looks again whenever the gate's generation moves.
        self.gate.used() + self.active_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn memory_left(&self) -> u64 {
        self.memory_budget().saturating_sub(self.memory_used())
    }

    /// Whether writers have to wait for a flush.
    pub(crate) fn over_budget(&self) -> bool {
        // With no budget even the first one: each would be flushed, and use up the reserve.
        self.memory_used() > self.memory_budget() || self.is_room_used_up()
    }

    /// Whether writers should go slower, and a flush begin.
    pub(crate) fn is_pressed(&self) -> bool {
        let budget = self.memory_budget();
        self.memory_used() >= budget - budget / 4
    }

    /// Asks the flush thread for memory, once until it looks.
    pub(crate) fn ask_for_memory(&self) {
        // AcqRel; pairs with the one in `take_back_ask`: if the flag is up already, the look that
        // follows sees at least what made this writer ask.
        if !self.pace.asked.swap(true, Ordering::AcqRel) {
            self.send_flush(FlushJob::Pressure);
        }
    }

    /// Takes the question back. On the flush thread, before it looks.
    pub(crate) fn take_back_ask(&self) {
        // AcqRel; pairs with the one in `ask_for_memory`, so that the look that follows sees what
        // made those ask that found the flag up.
        self.pace.asked.swap(false, Ordering::AcqRel);
    }

    /// Asks for a flush though there may be memory left: not enough for a big batch.
    pub(crate) fn ask_for_batch(&self) {
        self.pace.batch_waits.store(true, Ordering::Relaxed);
        self.ask_for_memory();
    }

    /// Why a write found no memory: with what keeps it from being freed, if anything does.
    pub(crate) fn overloaded(&self, waited: Duration) -> Error {
        match self.write_trouble() {
            Some(full @ Error::StorageFull { .. }) => full,
            None if self.is_room_used_up() => self.room_used_up(),
            cause => Error::Overloaded { waited, cause: cause.map(Arc::new) },
        }
    }
}
