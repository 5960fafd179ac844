//! Spares: memtables and log files that are prepared before a rotation needs them.
//!
//! Made and kept by the log thread; taken inside the commit section.

use super::background::LogJob;
use super::{Core, Engine};
use crate::error::{Error, Result};
use crate::log::SpareLog;
use crate::memtable::Memtable;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// Prepared logs and memtables kept ready.
const SPARES: usize = 2;

impl Core {
    /// Prepares logs and memtables up to the number kept ready.
    pub(super) fn fill_spares(&self) -> Result<()> {
        while lock(&self.spare_memtables).len() < SPARES {
            let bytes = self.memtable_bytes();
            let spare = Memtable::active(bytes);
            let mut spares = lock(&self.spare_memtables);
            // The size may have changed meanwhile; `set_memtable_bytes` empties the list after it
            // has stored the new one.
            if bytes == self.memtable_bytes() {
                spares.push(spare);
            }
        }
        while lock(&self.spare_logs).len() < SPARES {
            let slot = self.slot_next.fetch_add(1, Ordering::Relaxed);
            let capacity = self.log_capacity();
            match SpareLog::create(self.fs.as_ref(), &self.dir, slot, capacity) {
                Ok(spare) => self.recycle(spare),
                // One is enough to go on with.
                Err(_) if !lock(&self.spare_logs).is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps a log's file as a spare if it is of use as one, and removes it otherwise.
    pub(super) fn recycle(&self, spare: SpareLog) {
        let mut spares = lock(&self.spare_logs);
        let capacity = self.log_capacity();
        let useful = spare.capacity() >= capacity && spare.capacity() <= 2 * capacity;
        if useful && spares.len() < SPARES + self.options.flush_bytes / self.memtable_bytes() {
            spares.push(spare);
            return;
        }
        drop(spares);
        if let Err(error) = self.fs.remove(spare.path()) {
            tracing::debug!(%error, path = %spare.path().display(), "a dead log was left behind");
        }
    }
}

impl Core {
    /// Removes one log file beyond those that are kept ready. Called now and then while nothing is
    /// written: a burst leaves as many behind as a flush sets free at once.
    pub(super) fn trim_spares(&self) {
        let spare = {
            let mut spares = lock(&self.spare_logs);
            if spares.len() > SPARES { spares.pop() } else { None }
        };
        // Only now: nobody else knows the file.
        if let Some(spare) = spare
            && let Err(error) = self.fs.remove(spare.path())
        {
            tracing::debug!(%error, path = %spare.path().display(), "a spare log was left behind");
        }
    }
}

impl Engine {
    /// Sets the size of the memtables made from now on, and replaces the spares.
    pub(crate) fn set_memtable_bytes(&self, bytes: usize) -> Result<()> {
        self.refuse_early()?;
        let core = &self.core;
        core.options.check_memtable_bytes(bytes)?;
        core.memtable_bytes.store(bytes, Ordering::Relaxed);
        // A spare that is made at this moment is either in the lists by now, or compared with the
        // new size under their locks.
        let memtables = std::mem::take(&mut *lock(&core.spare_memtables));
        let logs = std::mem::take(&mut *lock(&core.spare_logs));
        drop(memtables);
        logs.into_iter().for_each(|spare| core.send_log(LogJob::Recycle(spare)));
        match self.wait_for_log() {
            Err(Error::Closed) => Err(Error::Closed),
            // What kept the log thread from making a spare is in `health()`, and tried again.
            _ => Ok(()),
        }
    }
}
