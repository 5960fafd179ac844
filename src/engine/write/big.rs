//! Batches too big to share a memtable: a complete memtable and log file of their own, built
//! outside the commit section, so that writing a gigabyte delays nobody.
//!
//! 1. Outside: book the memory (`overload`), make a log file, write the body behind the place of
//!    its headers, sync the directory, and sort the operations into a memtable over the same bytes.
//! 2. Inside: seal log and memtable, take the sequences, write both log headers and the record's
//!    header in one call, and publish the memtable as the newest sealed one.
//!
//! The headers decide: a body without them belongs to no log.

use crate::engine::threads::flusher::FlushJob;
use crate::engine::threads::log_thread::LogJob;
use crate::engine::write::overload::Reservation;
use crate::engine::write::put::{Refused, Write};
use crate::engine::write::section::WriteEnv;
use crate::engine::{Core, DirectoryLock, Engine};
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::record::{RECORD_HEADER_BYTES, RecordHeader};
use crate::ids::{LogPosition, Sequence};
use crate::log::SpareLog;
use crate::memtable::{Chunk, Memtable, SortedBuilder};
use crate::sync::Arc;

/// What waits to be placed: the log's body is written, the memtable lacks only its first sequence.
#[derive(Debug)]
pub(crate) struct Private {
    /// Gone once it is the chain's.
    log: Option<SpareLog>,
    table: Memtable,
    chunk: Arc<Chunk>,
    body_len: usize,
    reserved: Reservation,
    /// The file is written outside every section, also while others close.
    _directory: Arc<DirectoryLock>,
}

impl Engine {
    /// Does everything that needs no place in the order.
    pub(crate) fn prepare_private(&self, write: &mut Write) -> Result<Private> {
        let core = &self.core;
        let ops = write.buffer.len_ops() as usize;
        let mut reserved = self.reserve(SortedBuilder::cost(write.body_len, ops) as u64)?;
        let _directory = self.pin_directory().ok_or(Error::Closed)?;
        let log = SpareLog::create_empty(core.log_slots())?;
        // The memtable keeps the encoded bytes themselves.
        let chunk = Arc::new(Chunk(std::mem::take(write.buffer.bytes_mut())));
        let (start, len) = (RECORD_HEADER_BYTES, write.body_len);
        let written = log.write_body_ahead(&chunk.0[start..]).and_then(|()| core.sync_dir());
        if let Err(error) = written {
            // No header was written, so an open would find it dead should this fail too.
            let _ = core.fs.remove(log.path());
            return Err(error);
        }
        let mut builder = SortedBuilder::new(ops);
        let added = builder.body(&chunk, start, len, Sequence(0));
        added.expect("the batch was encoded by this process");
        builder.sort();
        let table = Memtable::sorted(builder);
        reserved.adjust(table.bytes() as u64);
        Ok(Private { log: Some(log), table, chunk, body_len: len, reserved, _directory })
    }
}

impl Private {
    /// The encoded operations.
    pub(crate) fn body(&self) -> &[u8] {
        &self.chunk.0[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + self.body_len]
    }

    /// Gives up a log that was never placed. One that was is the chain's.
    pub(crate) fn remove(self, core: &Core) {
        // Not by the log thread, which may have ended.
        if let Some(log) = self.log
            && let Err(error) = core.fs.remove(log.path())
        {
            event!(debug, %error, path = %log.path().display(), "a dead log was left behind");
        }
    }
}

impl WriteEnv {
    /// Places the private log behind the open one, which is sealed with its memtable.
    pub(crate) fn append_private(
        &mut self,
        header: &RecordHeader,
        write: &mut Write,
    ) -> Result<LogPosition, Refused> {
        let body_hash = write.body_hash;
        let private = write.private.as_mut().expect("the caller looked");
        let log = private.log.take().expect("a private log is placed once");
        let path = log.path().to_path_buf();
        let place = self.place_private();
        if !self.memtable().table().is_empty() {
            self.swap_memtable();
        }
        match log.activate_with_record(place, header, body_hash) {
            Ok(log) => Ok(self.private_placed(log)),
            Err(error) => {
                self.core.send_dead(LogJob::Remove(path));
                Err(self.failed(error).into())
            }
        }
    }

    /// Publishes the private memtable as the newest sealed one.
    pub(crate) fn insert_private(&mut self, first: Sequence, private: Private) {
        let mut table = private.table;
        table.set_base(first);
        table.set_log_first(self.last_log_number());
        let table = Arc::new(table);
        private.reserved.keep();
        self.publish_private(&table);
        self.core.send_flush(FlushJob::Sealed);
    }
}
