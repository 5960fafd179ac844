//! The loop of the flush thread: of what lies on its [`Desk`], what somebody waits for, and then
//! what the thread does on its own account. And how others ask for a flush.

use crate::engine::cleanup::clean_up;
use crate::engine::flush::desk::Desk;
use crate::engine::flush::{flush_is_due, flush_sealed};
use crate::engine::shared::messages::FlushJob;
use crate::engine::write::rotate;
use crate::engine::{Core, Engine};
use crate::error::Result;
use crate::sync::atomic::Ordering;
use crate::sync::channel::Receiver;
use crate::sync::clock::Instant;

/// The loop of the flush thread.
pub(crate) fn run_flush(engine: &Engine, jobs: &Receiver<FlushJob>) {
    let mut desk = Desk::new(jobs);
    loop {
        // What has arrived amid a flush has been taken in.
        if desk.flushes.is_empty() && !may_flush(&mut desk, &engine.core) {
            desk.wait();
        }
        desk.serve(engine);
        answer_flushes(&mut desk, engine);
        look_after(&mut desk, engine);
        if desk.stop && desk.flushes.is_empty() {
            return desk.reclaim.collect(&engine.core, 0);
        }
    }
}

/// Does what somebody waits for.
fn answer_flushes(desk: &mut Desk<'_>, engine: &Engine) {
    // One that asks from here on may have sealed what this flush does not see.
    let waiting = std::mem::take(&mut desk.flushes);
    if waiting.is_empty() {
        return;
    }
    let flushed = flush_sealed(engine, desk);
    desk.flush_tries.note(flushed.is_ok(), Instant::now());
    for reply in waiting {
        // The caller may have gone; the flush counts either way.
        let _ = reply.send(flushed.clone());
    }
}

/// Does what nobody waits for here. Nothing of it once the database closes: what the close
/// wants done it asks for.
fn look_after(desk: &mut Desk<'_>, engine: &Engine) {
    if may_flush(desk, &engine.core) {
        desk.pressure = false;
        let flushed = relieve(engine, desk);
        desk.flush_tries.note(flushed.is_ok(), Instant::now());
    }
    let closed = engine.core.is_closed();
    if desk.cleanup && !closed && desk.cleanup_tries.may_try(Instant::now()) {
        desk.cleanup = false;
        let cleaned = clean_up(engine, &mut desk.reclaim);
        desk.cleanup_tries.note(cleaned.is_ok(), Instant::now());
    }
}

/// Whether to flush now although nobody has asked for it, or only somebody who wants memory.
fn may_flush(desk: &mut Desk<'_>, core: &Core) -> bool {
    if desk.pressure {
        // Before the look, so that a writer that asks after it asks again.
        core.take_back_ask();
        let batch_waits = core.pace.batch_waits.load(Ordering::Relaxed);
        desk.pressure = batch_waits || core.is_pressed() && core.is_worth_flushing();
    }
    let wanted = desk.pressure || flush_is_due(core) || desk.flush_tries.has_failed();
    wanted
        && !core.options.read_only
        && !core.is_closed()
        && core.stopped().is_none()
        && desk.flush_tries.may_try(Instant::now())
}

impl Engine {
    /// Flushes everything written before the call. Called by foreground threads and the close.
    pub(crate) fn flush(&self) -> Result<()> {
        self.core.refuse_on_own_thread()?;
        rotate::seal_active(self)?;
        self.core.ask_flush(|reply| FlushJob::Flush { reply })
    }
}

/// Makes room for writers: flushes what is sealed, and the active memtable too where that alone
/// has outgrown the budget.
fn relieve(engine: &Engine, desk: &mut Desk<'_>) -> Result<()> {
    let core = &engine.core;
    if core.view.load().sealed.is_empty() && (core.over_budget() || core.is_short()) {
        rotate::seal_active(engine)?;
    }
    flush_sealed(engine, desk)
}

#[cfg(test)]
mod tests;
