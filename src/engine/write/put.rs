//! The way of a write: encode, admit, commit, settle.
//!
//! 1. *Encode*, outside the commit section: operations as the log has them, and their hash
//!    (`entry`).
//! 2. *Admit*, outside: wait if memory is short (`overload`).
//! 3. *Commit*, inside (`mvcc::commit`; what it does there is `section`'s): refuse, or make room;
//!    take the sequences; append. Then insert and become visible: inside too, or outside beside
//!    other writers. Refused for want of a log it waits outside for one, and tries again.
//! 4. *Settle*, outside: for `Durability::Sync` wait until the log is durable up to there (`sync`).
//!
//! A write on a condition goes the same way, with a loop of its own around 3 (`conditional`).
//!
//! A failed append takes no place: the log is sealed where it was, the record's header is zeroed as
//! far as the disk lets us, and the next log's header names the end. A full disk is only the
//! caller's to see. Any other failure twice in a row, without a success between, stops the writer
//! as a failed sync does.

use crate::engine::Engine;
use crate::engine::commit::entry::{Batch, Refused, Write};
use crate::engine::shared::own::Caller;
use crate::engine::write::{big, hold, overload, sync};
use crate::error::{Error, Result};
use crate::format::batch::{BatchBuffer, Control};
use crate::format::record::RecordKind;
use crate::ids::{KeyspaceId, LogPosition, Sequence};
use crate::options::Durability;

/// The last sequence of a write that has committed, and where its record ends in the log.
pub(crate) type Committed = (Sequence, LogPosition);

/// Writes one operation. `None` deletes.
pub(crate) fn write_one(
    engine: &Engine,
    keyspace: KeyspaceId,
    key: &[u8],
    value: Option<&[u8]>,
    durability: Durability,
) -> Result<Sequence> {
    let mut write = Write::encode_one(keyspace, key, value)?;
    let written = take_all_the_way(engine, &mut write, durability);
    write.leave();
    written
}

/// Writes a batch: all of it or nothing. An empty one has no place in the order; it returns
/// what is visible.
pub(crate) fn write_batch(
    engine: &Engine,
    batch: &Batch,
    durability: Durability,
) -> Result<Sequence> {
    if batch.len_ops() == 0 {
        engine.core.refuse_early()?;
        let visible = engine.visible();
        if durability == Durability::Sync {
            sync::sync_all(engine)?;
        }
        return Ok(visible);
    }
    let mut write = Write::of_batch(batch);
    let written = take_all_the_way(engine, &mut write, durability);
    write.leave();
    written
}

/// Takes an encoded write all the way.
fn take_all_the_way(
    engine: &Engine,
    write: &mut Write<'_>,
    durability: Durability,
) -> Result<Sequence> {
    with_room(engine, write, |write| {
        admit(engine, write)?;
        let committed = commit(engine, write);
        settle(engine, write, committed, durability)
    })
}

/// Waits for memory if that is short; a big batch gets a log of its own, written ahead.
pub(crate) fn admit(engine: &Engine, write: &mut Write<'_>) -> Result<()> {
    overload::wait_for_memory(engine, write)?;
    if is_big(engine, write) {
        write.private = Some(Box::new(big::prepare_private(engine, write)?));
    }
    Ok(())
}

/// [`admit`] for a big write that has given way to a hold ([`Write::put_back`]).
pub(crate) fn admit_again(engine: &Engine, write: &mut Write<'_>) -> Result<()> {
    if write.private.is_none() && is_big(engine, write) { admit(engine, write) } else { Ok(()) }
}

fn is_big(engine: &Engine, write: &Write<'_>) -> bool {
    write.body_len > engine.core.memtable_bytes() / 4
}

/// Goes through the commit section, as often as it takes.
fn commit(engine: &Engine, write: &mut Write<'_>) -> Result<Committed> {
    loop {
        match try_commit(engine, write) {
            Ok(committed) => return Ok(committed),
            Err(refused) => make_way(engine, refused, write)?,
        }
    }
}

/// Waits for the sync if that is wanted. What was written ahead and did not commit goes.
#[inline]
pub(crate) fn settle(
    engine: &Engine,
    write: &mut Write<'_>,
    committed: Result<Committed>,
    durability: Durability,
) -> Result<Sequence> {
    write.give_up_private(&engine.core);
    let (last, position) = committed?;
    if durability == Durability::Sync {
        sync::wait_synced(engine, position)?;
    }
    Ok(last)
}

/// Makes an attempt to write. On a full disk one that only deletes waits for a flush, whose
/// logs leave some room, and is made once more.
#[inline]
pub(crate) fn with_room<'a, T>(
    engine: &Engine,
    write: &mut Write<'a>,
    mut attempt: impl FnMut(&mut Write<'a>) -> Result<T>,
) -> Result<T> {
    let mut result = attempt(write);
    if let Err(Error::StorageFull { .. }) = result
        && engine.core.may_flush_for_room()
        && write.only_deletes()
        && engine.flush().is_ok()
    {
        result = attempt(write);
    }
    if let Err(error) = &result {
        engine.core.counters.stalls.refused(error);
    }
    result
}

/// Goes through the commit section once; where another writer holds a key, as soon as it does
/// not.
#[inline]
pub(crate) fn try_commit(engine: &Engine, write: &mut Write<'_>) -> Result<Committed, Refused> {
    match engine.commit_write(write) {
        Err(Refused::Held) => commit_when_free(engine, write),
        tried => tried,
    }
}

#[cold]
fn commit_when_free(engine: &Engine, write: &mut Write<'_>) -> Result<Committed, Refused> {
    loop {
        // Its holder may have to wait for the memory that it has booked.
        let gave_way = write.put_back(&engine.core);
        let mut stalled = std::mem::take(&mut write.stalled);
        let tried = hold::wait_for_hold(engine, &mut stalled, &mut || {}, || {
            if gave_way {
                let caller = Caller::this();
                let held = engine.in_section(|env, _| env.holds.refuses(write, caller))?;
                return Ok((!held).then_some(Err(Refused::Held)));
            }
            match engine.commit_write(write) {
                Err(Refused::Held) => Ok(None),
                tried => Ok(Some(tried)),
            }
        });
        write.stalled = stalled;
        match tried? {
            Err(Refused::Held) => {}
            tried => return tried,
        }
        admit_again(engine, write)?;
        match engine.commit_write(write) {
            Err(Refused::Held) => {}
            tried => return tried,
        }
    }
}

/// Does what a refused write has to wait for before it is tried again.
#[cold]
pub(crate) fn make_way(engine: &Engine, refused: Refused, write: &mut Write<'_>) -> Result<()> {
    match refused {
        Refused::NeedsLog => overload::stall_for_log(engine, &mut write.stalled),
        Refused::Failed(error) => Err(error),
        // There is nothing to wait for.
        Refused::Changed | Refused::TooMuch | Refused::Held => Ok(()),
    }
}

/// Writes a control record. Called by the log thread, which makes logs by itself.
pub(crate) fn write_control(engine: &Engine, control: Control) -> Result<Committed> {
    let mut write = Write::new(BatchBuffer::control(control), RecordKind::Control);
    loop {
        match try_commit(engine, &mut write) {
            Ok(committed) => return Ok(committed),
            Err(Refused::NeedsLog) => engine.core.make_log_here()?,
            Err(refused) => make_way(engine, refused, &mut write)?,
        }
    }
}
