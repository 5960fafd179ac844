//! Batches too big to share a memtable: a complete memtable and log file of their own, built
//! outside the commit section, so that writing a gigabyte delays nobody.
//!
//! 1. Outside: book the memory (`overload`), make a log file, write the body behind the place of
//!    its headers, sync the directory, and sort the operations into a memtable over the same bytes.
//! 2. Inside: seal log and memtable, take the sequences, write both log headers and the record's
//!    header in one call, and publish the memtable as the newest sealed one.
//!
//! The headers decide: a body without them belongs to no log.

use crate::engine::Engine;
use crate::engine::commit::entry::Write;
use crate::engine::commit::private::Private;
use crate::engine::write::overload;
use crate::error::{Error, Result};
use crate::format::record::RECORD_HEADER_BYTES;
use crate::ids::Sequence;
use crate::log::SpareLog;
use crate::memtable::{Chunk, Memtable, SortedBuilder};
use crate::sync::Arc;

/// Does everything that needs no place in the order.
pub(crate) fn prepare_private(engine: &Engine, write: &mut Write<'_>) -> Result<Private> {
    let core = &engine.core;
    let ops = write.count as usize;
    let bytes = SortedBuilder::cost(write.body_len, ops) as u64;
    let mut reserved = overload::reserve(engine, bytes, &mut write.stalled)?;
    let _directory = engine.pin_directory().ok_or(Error::Closed)?;
    let log = SpareLog::create_empty(core.log_slots())?;
    // The memtable keeps the encoded bytes. Not before they are booked.
    let chunk = Arc::new(Chunk(write.encoded.take_record()));
    let start = RECORD_HEADER_BYTES;
    let len = write.body_len;
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
