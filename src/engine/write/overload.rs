//! What a write does before it enters the commit section: fail if it must, wait if memory is short.
//!
//! Memory is the one hard limit; where the disk has little room that is the lower one (`space`).
//! Below three quarters of the budget a write pays two loads and a comparison. From there on
//! writers ask for a flush, and with `OnOverload::Pace` each waits for its turn (`pace` says when
//! that is); at the budget they wait for room, and give up after `stall_max`. Both waits are
//! outside of the section and at the gate, so that a flush, a close or a writer that has stopped
//! ends them at once. With `OnOverload::Error` none waits for memory: at the budget a write fails.
//! One that the section has refused for want of a log waits here for that (`stall_for_log`); the
//! answer of the log thread it waits for as long as that takes.
//!
//! A big batch books its memory before it is built, at most half of the budget, where what is
//! booked by then leaves it that share. So batches larger than that go one at a time, and one that
//! finds no room has a flush begin, whatever is left. Before it waits for what somebody holds it
//! gives up what it has booked: the holder may have to wait for memory, too.

use std::time::Duration;

use crate::engine::commit::entry::Write;
use crate::engine::commit::private::Reservation;
use crate::engine::shared::patience::{Patience, Stalled};
use crate::engine::shared::stalls::StallCause;
use crate::engine::write::rotate;
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::sync::Arc;

/// How long who waits for other batches, or for room on the disk, sleeps at a time.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Overload: lets a write pass while there is memory, at two loads; delays it while there is
/// little; and while there is none, lets it wait or fails it, as the option says.
pub(crate) fn wait_for_memory(engine: &Engine, write: &mut Write<'_>) -> Result<()> {
    engine.core.refuse_early()?;
    if !engine.core.is_pressed() {
        return Ok(());
    }
    wait_under_pressure(engine, write)
}

#[cold]
fn wait_under_pressure(engine: &Engine, write: &mut Write<'_>) -> Result<()> {
    let core = &engine.core;
    let deletes = core.is_room_short() && write.only_deletes();
    if core.is_room_short() && core.passes_with_little_room(deletes) {
        return Ok(());
    }
    core.ask_for_memory();
    let Some(stall_max) = core.stall_max() else {
        return match core.over_budget() {
            true => Err(core.overloaded(Duration::ZERO)),
            false => Ok(()),
        };
    };
    let bytes = crate::memtable::cost(write.body_len, write.count as usize) as u64;
    write.stalled.wait(stall_max, |patience| wait_paced(engine, bytes, deletes, patience))
}

/// Waits for the turn of a write of `bytes`, and then for room if there is none.
fn wait_paced(engine: &Engine, bytes: u64, deletes: bool, patience: Patience) -> Result<()> {
    let core = &engine.core;
    let left = core.memory_left();
    let now_ns = core.pace.now_ns();
    if left > 0
        && let Some(turn_ns) = core.pace.take_turn(bytes, left, core.gate.used(), now_ns)
    {
        let patience = patience.at_most(Duration::from_nanos(turn_ns - now_ns));
        core.counters.stalls.book(StallCause::Pace, || wait_for_turn(engine, patience))?;
    }
    if core.over_budget() {
        core.counters
            .stalls
            .book(StallCause::Memory, || wait_for_room(engine, patience, deletes))?;
    }
    Ok(())
}

/// Waits until the write's turn has come, which `patience` says, or memory has.
fn wait_for_turn(engine: &Engine, patience: Patience) -> Result<()> {
    let core = &engine.core;
    loop {
        let seen = core.gate.generation();
        engine.core.refuse_early()?;
        if !core.is_pressed() {
            core.pace.forgive();
            return Ok(());
        }
        let Some(left) = patience.left() else { return Ok(()) };
        core.gate.wait_timeout(seen, left);
    }
}

/// Waits while memtables are over their budget.
fn wait_for_room(engine: &Engine, patience: Patience, deletes: bool) -> Result<()> {
    let core = &engine.core;
    loop {
        let seen = core.gate.generation();
        engine.core.refuse_early()?;
        let short = core.is_room_short();
        if !core.over_budget() || short && core.passes_with_little_room(deletes) {
            return Ok(());
        }
        // A full disk is told at once, unless something is about to empty it.
        if let Some(full) = core.full_disk(0) {
            return Err(full);
        }
        let Some(left) = patience.left() else {
            return Err(core.overloaded(patience.waited()));
        };
        core.ask_for_memory();
        // What gives room back does so without a word.
        core.gate.wait_timeout(seen, if short { left.min(LOOK_AGAIN) } else { left });
    }
}

/// Books the memory of a big batch before it is taken, until its memtable is sealed. It finds
/// room while what is booked leaves it its share: what it takes, and half of the budget at
/// most. So there is one at a time of those that are larger than that.
pub(crate) fn reserve(engine: &Engine, bytes: u64, stalled: &mut Stalled) -> Result<Reservation> {
    let core = &engine.core;
    if let Some(reserved) = try_reserve(core, bytes) {
        return Ok(reserved);
    }
    core.ask_for_batch();
    let stall_max = core.stall_max().ok_or_else(|| core.overloaded(Duration::ZERO))?;
    let wait = |patience| wait_to_reserve(engine, bytes, patience);
    core.counters.stalls.book(StallCause::Memory, || stalled.wait(stall_max, wait))
}

fn wait_to_reserve(engine: &Engine, bytes: u64, patience: Patience) -> Result<Reservation> {
    let core = &engine.core;
    loop {
        let seen = core.gate.generation();
        engine.core.refuse_early()?;
        if let Some(reserved) = try_reserve(core, bytes) {
            return Ok(reserved);
        }
        // As above.
        if let Some(full) = core.full_disk(bytes) {
            return Err(full);
        }
        let Some(left) = patience.left() else {
            return Err(core.overloaded(patience.waited()));
        };
        core.ask_for_batch();
        // What others have reserved becomes a memtable without a word.
        core.gate.wait_timeout(seen, left.min(LOOK_AGAIN));
    }
}

/// [`rotate::wait_for_log`] for a write, which goes into the books. On a full disk again for as
/// long as something is under way that may give room back.
pub(crate) fn stall_for_log(engine: &Engine, stalled: &mut Stalled) -> Result<()> {
    let stall_max = engine.core.stall_max().unwrap_or_default();
    let wait = |patience| wait_for_log_and_room(engine, patience);
    engine.core.counters.stalls.book(StallCause::Log, || stalled.wait(stall_max, wait))
}

fn wait_for_log_and_room(engine: &Engine, patience: Patience) -> Result<()> {
    let core = &engine.core;
    loop {
        let seen = core.gate.generation();
        match rotate::wait_for_log(engine) {
            Err(full @ Error::StorageFull { .. }) => match patience.left() {
                Some(left) if core.may_gain_room() => {
                    core.gate.wait_timeout(seen, left.min(LOOK_AGAIN));
                    engine.core.refuse_early()?;
                }
                _ => return Err(full),
            },
            answer => return answer,
        }
    }
}

fn try_reserve(core: &Arc<Core>, bytes: u64) -> Option<Reservation> {
    core.measure_space();
    if !core.has_room_for(bytes) {
        return None;
    }
    let budget = core.memory_budget();
    let most = budget - bytes.min(budget / 2);
    let core = Arc::clone(core);
    core.gate.add_if(bytes, most).then(|| Reservation { core, bytes })
}

#[cfg(test)]
mod tests;
