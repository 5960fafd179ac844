//! Waiting for a log, and ending the open one together with the active memtable.

use crate::engine::Engine;
use crate::engine::shared::messages::LogJob;
use crate::error::{Error, Result};
use crate::event::event;
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// Waits, outside the section, until there is a spare log or the log thread has failed to make
/// one.
pub(crate) fn wait_for_log(engine: &Engine) -> Result<()> {
    engine.core.refuse_on_log_thread()?;
    engine.core.ask_log(|reply| LogJob::Spare { reply: Some(reply) })
}

/// Seals the active memtable if it holds anything, for an explicit flush and for the close.
///
/// Ends the open log, so that the next write needs a spare. If there is none, this call waits
/// for one first: it may, and that write may not. Without one it goes on all the same, on a
/// full disk for instance.
pub(crate) fn seal_active(engine: &Engine) -> Result<()> {
    let mut waited = false;
    loop {
        let sealed = engine.in_section_with_earlier(|env, earlier| {
            let empty = env.tail.memtable.table().is_empty();
            if empty || (!waited && env.tail.takes_last_log()) {
                return Ok(empty);
            }
            env.tail.seal_log();
            env.tail.swap_memtable(earlier).map(|()| true)
        })?;
        if sealed {
            return Ok(());
        }
        if let Err(error) = wait_for_log(engine) {
            event!(debug, %error, "the log is sealed without a spare to follow it");
        }
        waited = true;
    }
}

/// Sets the size of the memtables made from now on, and replaces the spares.
pub(crate) fn set_memtable_bytes(engine: &Engine, bytes: usize) -> Result<()> {
    engine.core.refuse_early()?;
    let core = &engine.core;
    core.options.check_memtable_bytes(bytes)?;
    core.memtable_bytes.store(bytes, Ordering::Relaxed);
    // A spare that is made at this moment is either in the lists by now, or compared with the
    // new size under their locks.
    let memtables = std::mem::take(&mut *lock(&core.spares.memtables));
    let logs = core.take_spare_logs_but_one();
    drop(memtables);
    logs.into_iter().for_each(|spare| core.give_back(LogJob::Recycle(spare)));
    let waited = wait_for_log(engine);
    if waited.is_ok() {
        let last = core.take_last_resort();
        last.into_iter().for_each(|spare| core.give_back(LogJob::Recycle(spare)));
    }
    match waited {
        Err(Error::Closed) => Err(Error::Closed),
        // What kept the log thread from making a spare is in `health()`, and tried again.
        _ => Ok(()),
    }
}
