//! What a write does before it enters the commit section: fail if it must, wait if memory is full.
//!
//! Memory is the one hard limit. A writer over the budget sleeps outside the section until the
//! flush thread has freed some, and gives up after `stall_ms_max`; `stats()` shows the time.

use super::background::FlushJob;
use super::{Core, Engine};
use crate::error::{Error, Result};
use crate::options::OnOverload;
use crate::sync::atomic::Ordering;

impl Engine {
    /// Fails a write that is bound to fail before it costs anything.
    pub(super) fn refuse_early(&self) -> Result<()> {
        if self.core.options.read_only {
            return Err(Error::ReadOnly { path: self.core.dir.clone() });
        }
        if self.core.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.core.stopped().map_or(Ok(()), Err)
    }

    /// Overload: waits for the flush thread while memtables are over their budget, at most
    /// `stall_ms_max`, outside the section.
    pub(super) fn wait_for_memory(&self) -> Result<()> {
        self.refuse_early()?;
        let core = &self.core;
        if !core.over_budget() {
            return Ok(());
        }
        let start = std::time::Instant::now();
        let stall_ms_max = match core.options.on_overload {
            OnOverload::Pace { stall_ms_max } => stall_ms_max,
            OnOverload::Error => 0,
        };
        let limit = std::time::Duration::from_millis(stall_ms_max);
        core.counters.stalls.fetch_add(1, Ordering::Relaxed);
        let result = loop {
            let seen = core.gate.generation();
            if let Err(error) = self.refuse_early() {
                break Err(error);
            }
            if !core.over_budget() {
                break Ok(());
            }
            // A full disk is told at once: waiting does not empty it.
            if let Some(full @ Error::StorageFull { .. }) = core.trouble() {
                break Err(full);
            }
            let waited = start.elapsed();
            if waited >= limit {
                break Err(Error::Overloaded { waited_ms: waited.as_millis() as u64 });
            }
            core.send_flush(FlushJob::Pressure);
            core.gate.wait_timeout(seen, limit - waited);
        };
        let waited = start.elapsed().as_micros() as u64;
        core.counters.stalled_us.fetch_add(waited, Ordering::Relaxed);
        result
    }
}

impl Core {
    pub(super) fn over_budget(&self) -> bool {
        let active = self.active_bytes.load(Ordering::Relaxed);
        self.gate.used() + active > self.options.memory_bytes as u64
    }
}
