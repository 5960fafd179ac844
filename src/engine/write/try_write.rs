//! Writes that never wait: what would be waited for is the answer.
//!
//! They take what is there: memory below the line from which writes are slowed down, a log that is
//! open, or a spare, and the commit section where nobody is in it or inserts. They look
//! `LOOKS_MAX` times whether that is so, without a system call; so a write ends after a bounded
//! number of its own steps, whatever other threads do. Inside it takes a lock or two that others
//! hold for a push or a look, as every write does.

use crate::engine::Engine;
use crate::engine::commit::entry::{Batch, Refused, Write};
use crate::engine::write::overload;
use crate::error::Result;
use crate::ids::{KeyspaceId, Sequence};
use crate::options::OnOverload;

/// How often a write looks whether the commit section is free, and nobody inserts. Others take
/// about a microsecond for both, which is as long as some tens of looks take.
const LOOKS_MAX: usize = 64;

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
///     TryWrite::WouldWait(_) => db.put("k", "v")?, // on a thread that may wait
/// };
/// assert_eq!(db.snapshot().sequence(), sequence);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "`WouldWait` means that nothing was written"]
pub enum TryWrite {
    /// It is written, as [`Durability::Buffered`](crate::Durability::Buffered), up to this
    /// sequence.
    Written(Sequence),
    /// Nothing was written, because that would have had to wait for this.
    WouldWait(WaitFor),
}

/// What a [`TryWrite`] would have had to wait for. A [`put`](crate::Keyspace::put) of the same
/// waits for it.
///
/// ```
/// use alluvium::{TryWrite, WaitFor};
///
/// # let db = alluvium::Db::in_memory()?;
/// # db.put("first", "has made the log")?;
/// let tried = db.try_put("k", [0; 2 << 20])?;
/// assert_eq!(tried, TryWrite::WouldWait(WaitFor::Disk));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitFor {
    /// For another writer, who is in the commit section, or has left it and inserts: for a
    /// microsecond or so, unless its thread is not running. Beside several that write all the time
    /// there often is one.
    Writer,
    /// For a flush, because memory runs short, or room on the disk
    /// ([`Builder::on_overload`](crate::Builder::on_overload)). It has been asked for.
    Memory,
    /// For a log file, because none is prepared. It has been asked for; the first write after an
    /// open on a full disk, or the one after a failed write, meets this.
    Log,
    /// For a conditional write or a transaction that holds a key of this one, because it has lost
    /// eight tries ([`Keyspace::update`](crate::Keyspace::update),
    /// [`Db::transact`](crate::Db::transact)).
    Key,
    /// For the disk: a batch that requires something may have to read it; and what takes more than
    /// a quarter of [`Builder::memtable_bytes`](crate::Builder::memtable_bytes) is written to a
    /// file of its own first.
    Disk,
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
    written
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
    written
}

fn try_submit(engine: &Engine, write: &mut Write<'_>) -> Result<TryWrite> {
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

fn try_enter(engine: &Engine, write: &mut Write<'_>) -> Result<TryWrite> {
    engine.core.refuse_early()?;
    if write.body_len > engine.core.memtable_bytes() / 4 {
        return Ok(TryWrite::WouldWait(WaitFor::Disk));
    }
    if engine.core.is_pressed() {
        match engine.core.options.on_overload {
            OnOverload::Pace { .. } if !passes_full_disk(engine, write)? => {
                return Ok(TryWrite::WouldWait(WaitFor::Memory));
            }
            OnOverload::Pace { .. } => {}
            // It never waits, and fails where there is nothing left.
            OnOverload::Error => overload::wait_for_memory(engine, write)?,
        }
    }
    let mut looks = 1;
    let tried = loop {
        if let Some(tried) = engine.try_commit_write(write) {
            break tried;
        }
        if looks == LOOKS_MAX {
            return Ok(TryWrite::WouldWait(WaitFor::Writer));
        }
        looks += 1;
        std::hint::spin_loop();
    };
    match tried {
        Ok((last, _)) => Ok(TryWrite::Written(last)),
        Err(Refused::Failed(error)) => Err(error),
        Err(Refused::NeedsLog) => {
            engine.core.want_spare();
            Ok(TryWrite::WouldWait(WaitFor::Log))
        }
        // Without a condition it is the first of them.
        Err(Refused::Held | Refused::Changed | Refused::TooMuch) => {
            Ok(TryWrite::WouldWait(WaitFor::Key))
        }
    }
}
