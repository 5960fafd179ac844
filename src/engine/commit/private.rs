//! A batch with a memtable and a log file of its own, written ahead, and the memory booked for it.

use crate::engine::{Core, DirectoryLock};
use crate::event::event;
use crate::format::record::RECORD_HEADER_BYTES;
use crate::log::SpareLog;
use crate::memtable::{Chunk, Memtable};
use crate::sync::Arc;

/// What waits to be placed: the log's body is written, the memtable lacks only its first sequence.
#[derive(Debug)]
pub(crate) struct Private {
    /// Gone once it is the chain's.
    pub(crate) log: Option<SpareLog>,
    pub(crate) table: Memtable,
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) body_len: usize,
    pub(crate) reserved: Reservation,
    /// The file is written outside every section, also while others close.
    pub(crate) _directory: Arc<DirectoryLock>,
}

impl Private {
    /// The encoded operations.
    pub(crate) fn body(&self) -> &[u8] {
        &self.chunk.0[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + self.body_len]
    }

    /// Gives up a log that was never placed, and the booking. One that was is the chain's. Returns
    /// the record that was encoded.
    pub(crate) fn remove(self, core: &Core) -> Vec<u8> {
        // Not by the log thread, which may have ended.
        if let Some(log) = self.log
            && let Err(error) = core.fs.remove(log.path())
        {
            event!(debug, %error, path = %log.path().display(), "a dead log was left behind");
        }
        drop(self.table);
        Arc::try_unwrap(self.chunk).map_or_else(|shared| shared.0.clone(), |Chunk(record)| record)
    }
}

/// Memory that is booked for a batch which is not in a sealed memtable yet.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) core: Arc<Core>,
    pub(crate) bytes: u64,
}

impl Reservation {
    /// Books what it has come to.
    pub(crate) fn adjust(&mut self, bytes: u64) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.core.gate.add(more),
            None => self.core.gate.sub(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// Leaves the booking to the flush of the sealed memtable.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.core.gate.sub(self.bytes);
        }
    }
}
