//! Writes that never wait: whatever would, is an answer.
//!
//! They take what is there: memory below the line from which writes are slowed down, and a log that
//! is open, or a spare. They share the commit section with other writers, as every write does.

use crate::engine::Engine;
use crate::engine::commit::entry::{Batch, Refused, Write};
use crate::engine::write::overload;
use crate::error::Result;
use crate::ids::{KeyspaceId, Sequence};
use crate::options::OnOverload;

/// How a write that must not wait went: a [`Keyspace::try_put`](crate::Keyspace::try_put),
/// a [`Keyspace::try_delete`](crate::Keyspace::try_delete), or a
/// [`Db::try_write`](crate::Db::try_write).
///
/// ```
/// use alluvium::TryWrite;
///
/// # let db = alluvium::Db::in_memory()?;
/// let sequence = match db.try_put("k", "v")? {
///     TryWrite::Written(sequence) => sequence,
///     TryWrite::WouldBlock => db.put("k", "v")?, // on a thread that may wait
/// };
/// assert_eq!(db.snapshot().sequence(), sequence);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "`WouldBlock` means that nothing was written"]
pub enum TryWrite {
    /// It is written, as [`Durability::Buffered`](crate::Durability::Buffered), up to this
    /// sequence.
    Written(Sequence),
    /// Nothing was written, because that would have had to wait.
    WouldBlock,
}

/// Writes one operation, or says that it would wait. `None` deletes.
pub(crate) fn try_write_one(
    engine: &Engine,
    keyspace: KeyspaceId,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<TryWrite> {
    let mut write = Write::encode_one(keyspace, key, value)?;
    let written = try_submit(engine, &mut write);
    write.leave();
    Ok(written?.map_or(TryWrite::WouldBlock, TryWrite::Written))
}

/// Writes a batch, or says that it would wait.
pub(crate) fn try_write_batch(engine: &Engine, batch: &Batch) -> Result<TryWrite> {
    if batch.len_ops() == 0 {
        engine.core.refuse_early()?;
        return Ok(TryWrite::Written(engine.visible()));
    }
    let mut write = Write::of_batch(batch);
    let written = try_submit(engine, &mut write);
    write.leave();
    Ok(written?.map_or(TryWrite::WouldBlock, TryWrite::Written))
}

/// The sequence, or `None` if it would wait.
fn try_submit(engine: &Engine, write: &mut Write<'_>) -> Result<Option<Sequence>> {
    let result = try_enter(engine, write);
    if let Err(error) = &result {
        engine.core.counters.stalls.refused(error);
    }
    result
}

/// Whether a write may pass though memory runs short, since that is for want of room on the
/// disk; an error if waiting for that is of no use.
fn passes_full_disk(engine: &Engine, write: &Write<'_>) -> Result<bool> {
    let core = &engine.core;
    if core.is_room_short() {
        if core.passes_with_little_room(write.only_deletes()) {
            return Ok(true);
        }
        if let Some(full) = core.full_disk(0) {
            return Err(full);
        }
    }
    core.ask_for_memory();
    Ok(false)
}

fn try_enter(engine: &Engine, write: &mut Write<'_>) -> Result<Option<Sequence>> {
    engine.core.refuse_early()?;
    if write.body_len > engine.core.memtable_bytes() / 4 {
        return Ok(None);
    }
    if engine.core.is_pressed() {
        match engine.core.options.on_overload {
            OnOverload::Pace { .. } if !passes_full_disk(engine, write)? => return Ok(None),
            OnOverload::Pace { .. } => {}
            // It never waits, and fails where there is nothing left.
            OnOverload::Error => overload::wait_for_memory(engine, write)?,
        }
    }
    match engine.commit.commit(write, u64::from(write.count)) {
        Ok((last, _)) => Ok(Some(last)),
        Err(Refused::Failed(error)) => Err(error),
        Err(Refused::NeedsLog) => {
            engine.core.want_spare();
            Ok(None)
        }
        Err(Refused::Held | Refused::Changed) => Ok(None),
    }
}
