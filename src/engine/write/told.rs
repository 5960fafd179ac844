//! Durability as a call: who has asked is told, once, when everything up to a sequence is durable,
//! or when that can no longer be known. The protocol is `mvcc::waiting_list`'s.
//!
//! The log thread is the teller. A caller that joins the list asks it for a turn
//! (`threads::turns`), in which one sync serves all who are on the list by then; where another
//! thread leads one already, the turn waits for that. What is told is the program's code: it runs
//! under no lock, and what it panics with ends there.
//!
//! What is known at once (durable, closed, refused) the calling thread tells, and what the log
//! thread has not told when it ends, it tells then: [`tell_rest`]. A close syncs first, so that is
//! good news, unless the sync has failed. Opened for reading there is no log thread, and nothing to
//! wait for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::Engine;
use crate::engine::read::get::check_open;
use crate::engine::shared::messages::{DurableCall, LogJob};
use crate::engine::write::sync;
use crate::error::{Error, Result};
use crate::event::check_no_lock;
use crate::ids::{LogPosition, Sequence};
use crate::mvcc::waiting_list::Joined;

/// Calls of one turn: some milliseconds, if each wakes a thread (I34).
const TOLD_PER_TURN: usize = if cfg!(test) { 8 } else { 512 };

/// Has `call` made once everything up to `sequence` is durable, or with the error that prevents it.
pub(crate) fn when_durable(engine: &Engine, sequence: Sequence, call: DurableCall) {
    let core = &engine.core;
    let unsynced = check_open(engine).and_then(|()| sync::unsynced(engine, sequence));
    let position = match unsynced {
        Ok(Some(position)) => position,
        known => return tell(call, known.map(drop)),
    };
    match core.to_be_told.join(position, call) {
        Joined::Waits => {}
        Joined::Ask => core.send_log(LogJob::Tell),
        Joined::Over(call) => tell_all(engine, vec![(position, call)], ended),
    }
}

/// A turn of the log thread: one sync for all who wait. Returns whether some may be left that are
/// to be told: then it is to have another turn.
pub(crate) fn tell_durable(engine: &Engine) -> bool {
    let core = &engine.core;
    let Some(position) = core.to_be_told.begin_turn() else { return false };
    match sync::wait_synced(engine, position) {
        Ok(()) => {
            let covered = core.to_be_told.take_covered(core.group_sync.synced(), TOLD_PER_TURN);
            let told = covered.len();
            covered.into_iter().for_each(|(_, call)| tell(call, Ok(())));
            told == TOLD_PER_TURN
        }
        // It has latched, so nothing gets better for those who came meanwhile.
        Err(error) => {
            let all = core.to_be_told.take_covered(LogPosition(u64::MAX), usize::MAX);
            tell_all(engine, all, |_| error.clone());
            false
        }
    }
}

/// Tells all who are left, however the log thread has ended. After the last turn.
pub(crate) fn tell_rest(engine: &Engine) {
    tell_all(engine, engine.core.to_be_told.end(), ended);
}

/// Why nothing becomes durable any more once the log thread has ended.
fn ended(engine: &Engine) -> Error {
    engine.core.stopped().unwrap_or_else(|| engine.core.unanswered())
}

/// Tells each what is so; what is not durable is an error.
fn tell_all(
    engine: &Engine,
    all: Vec<(LogPosition, DurableCall)>,
    error: impl Fn(&Engine) -> Error,
) {
    for (position, call) in all {
        let durable = position <= engine.core.group_sync.synced();
        tell(call, if durable { Ok(()) } else { Err(error(engine)) });
    }
}

fn tell(call: DurableCall, result: Result<()>) {
    check_no_lock();
    // Others are to be told, too. The panic hook has said what it was. What it was may panic when
    // it is dropped, so it is not.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(result))) {
        std::mem::forget(panic);
    }
}

#[cfg(test)]
mod tests;
