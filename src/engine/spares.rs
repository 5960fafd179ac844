//! Spares: memtables and log files that are prepared before a rotation needs them.
//!
//! Made and kept by the log thread; taken inside the commit section.

use super::background::LogJob;
use super::{Core, Engine};
use crate::error::{Error, Result};
use crate::event::event;
use crate::log::SpareLog;
use crate::memtable::{Memtable, MemtableWriter};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Prepared logs and memtables kept ready, of each, at least.
const SPARES: usize = 2;

/// The most, after rotations that found none: what a writer fills while the log thread waits for a
/// slow sync.
const SPARES_MAX: usize = 6;

/// What is prepared, and how much of it is wanted.
#[derive(Debug)]
pub(super) struct Spares {
    pub(super) logs: Mutex<Vec<SpareLog>>,
    pub(super) memtables: Mutex<Vec<(MemtableWriter, Arc<Memtable>)>>,
    /// Whether the log thread has been asked for some and has not looked yet.
    pub(super) asked: AtomicBool,
    /// How many of each are kept ready.
    kept: AtomicUsize,
}

impl Default for Spares {
    fn default() -> Self {
        let (logs, memtables) = (Mutex::default(), Mutex::default());
        Self { logs, memtables, asked: AtomicBool::new(false), kept: AtomicUsize::new(SPARES) }
    }
}

impl Core {
    /// Asks the log thread for spares, once until it looks.
    pub(super) fn want_spare(&self) {
        if !self.spares.asked.swap(true, Ordering::Relaxed) {
            self.send_log(LogJob::Spare { reply: None });
        }
    }

    /// Has one more of each kept ready, up to a bound. Called by a rotation that found none.
    pub(super) fn want_more_spares(&self) {
        // Relaxed, and not one step: the commit section raises it, and the log thread takes it back
        // only while nothing is written.
        let wanted = self.spares.kept.load(Ordering::Relaxed);
        self.spares.kept.store((wanted + 1).min(SPARES_MAX), Ordering::Relaxed);
    }

    fn spares_kept(&self) -> usize {
        self.spares.kept.load(Ordering::Relaxed)
    }

    /// Prepares logs and memtables up to the number kept ready.
    pub(super) fn fill_spares(&self) -> Result<()> {
        while lock(&self.spares.memtables).len() < self.spares_kept() {
            let bytes = self.memtable_bytes();
            let mut spare = Memtable::active(bytes);
            spare.0.touch();
            let mut spares = lock(&self.spares.memtables);
            // The size may have changed meanwhile; `set_memtable_bytes` empties the list after it
            // has stored the new one.
            if bytes == self.memtable_bytes() {
                spares.push(spare);
            }
        }
        while lock(&self.spares.logs).len() < self.spares_kept() {
            let slot = self.slot_next.fetch_add(1, Ordering::Relaxed);
            let capacity = self.log_capacity();
            match SpareLog::create(&self.fs, &self.dir, slot, capacity) {
                Ok(spare) => self.recycle(spare),
                // One is enough to go on with.
                Err(_) if !lock(&self.spares.logs).is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps a log's file as a spare if it is of use as one, and removes it otherwise.
    pub(super) fn recycle(&self, mut spare: SpareLog) {
        if self.is_useful(&spare, &lock(&self.spares.logs)) {
            // Not under the lock, which the commit section takes, and for no file that goes.
            spare.prepare();
            let mut spares = lock(&self.spares.logs);
            // Again: the size may have changed meanwhile.
            if self.is_useful(&spare, &spares) {
                spares.push(spare);
                return;
            }
        }
        if let Err(error) = self.fs.remove(spare.path()) {
            event!(debug, %error, path = %spare.path().display(), "a dead log was left behind");
        }
    }

    fn is_useful(&self, spare: &SpareLog, spares: &[SpareLog]) -> bool {
        let capacity = self.log_capacity();
        let kept = self.spares_kept() + self.options.flush_bytes / self.memtable_bytes();
        spare.capacity() >= capacity && spare.capacity() <= 2 * capacity && spares.len() < kept
    }
}

impl Core {
    /// Removes one log file and one memtable beyond those that are kept ready. Called now and then
    /// while nothing is written: a burst leaves as many behind as a flush sets free at once.
    pub(super) fn trim_spares(&self) {
        self.spares.kept.store(SPARES, Ordering::Relaxed);
        let memtable = {
            let mut spares = lock(&self.spares.memtables);
            if spares.len() > SPARES { spares.pop() } else { None }
        };
        drop(memtable);
        let spare = {
            let mut spares = lock(&self.spares.logs);
            if spares.len() > SPARES { spares.pop() } else { None }
        };
        // Only now: nobody else knows the file.
        if let Some(spare) = spare
            && let Err(error) = self.fs.remove(spare.path())
        {
            event!(debug, %error, path = %spare.path().display(), "a spare log was left behind");
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
        let memtables = std::mem::take(&mut *lock(&core.spares.memtables));
        let logs = std::mem::take(&mut *lock(&core.spares.logs));
        drop(memtables);
        logs.into_iter().for_each(|spare| core.send_log(LogJob::Recycle(spare)));
        match self.wait_for_log() {
            Err(Error::Closed) => Err(Error::Closed),
            // What kept the log thread from making a spare is in `health()`, and tried again.
            _ => Ok(()),
        }
    }
}
