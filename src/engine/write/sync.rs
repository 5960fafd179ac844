//! Making the log durable: what the sync leader does with the live logs.
//!
//! Called by writers with `Durability::Sync`, by `sync()`, by the log thread (periodic, and for
//! each sealed log) and by the flush. The leader role is `mvcc::group_sync`'s. The leader:
//!
//! 1. reads `visible`, then the appended position. What is visible has been appended, so that
//!    `visible` is `durable` once all is done;
//! 2. syncs every live log that is not known durable, oldest first: of the open log what the
//!    position covers, of a sealed one what is below its end, with the header behind it that a
//!    failed append has zeroed. The rest of a prepared file may be dirty as well, and is nobody's
//!    (D10);
//! 3. tells the witness, then raises `synced`.
//!
//! For a sealed log it syncs the sealed ones only, since the open one is in use. The first sync of
//! a recovered log writes its un-synced bytes again first: they may be in the page cache alone,
//! marked clean by a sync that failed.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ids::{LogPosition, Sequence};
use crate::log::LogFile;
use crate::mvcc::group_sync::SyncEnv;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

impl SyncEnv for Engine {
    type Error = Error;

    fn sync(&self) -> Result<LogPosition> {
        let core = &self.core;
        // `visible` before the position: what is visible has been appended. The position before the
        // list: that then holds every log that the position reaches into.
        let visible = self.visible();
        let covered = core.logs.appended();
        let synced = core.group_sync.synced();
        // One that came after the position holds nothing that it covers.
        let logs = core.logs.list();
        let reached = || logs.iter().filter(|log| log.header.base < covered);
        for log in reached() {
            if log.end_position().is_none_or(|end| end > synced) || log.needs_sync() {
                sync_log(self, log, covered)?;
            }
        }
        // Durable where nobody finds it would be a lie.
        core.check_directory()?;
        // Before anybody is told.
        if let Some(newest) = reached().next_back() {
            core.witness.note_log(newest.header.number, covered);
        }
        core.counters.log_syncs.fetch_add(1, Ordering::Relaxed);
        // Release; pairs with the Acquire in `wait_durable`.
        core.durable.fetch_max(visible.0, Ordering::Release);
        Ok(covered)
    }
}

/// The sealed logs up to a position alone: the open one is in use, and much of it may be written
/// again before it is sealed itself.
struct SealedLogs<'a> {
    engine: &'a Engine,
    /// Where one of them ends.
    end: LogPosition,
}

impl SyncEnv for SealedLogs<'_> {
    type Error = Error;

    fn sync(&self) -> Result<LogPosition> {
        let core = &self.engine.core;
        let synced = core.group_sync.synced();
        let logs = core.logs.list();
        let sealed = |log: &&Arc<LogFile>| log.end_position().is_some_and(|end| end <= self.end);
        for log in logs.iter().filter(sealed) {
            if log.end_position().is_some_and(|end| end > synced) || log.needs_sync() {
                sync_log(self.engine, log, self.end)?;
            }
        }
        core.check_directory()?;
        if let Some(newest) = logs.iter().rfind(sealed)
            && newest.end_position() == Some(self.end)
        {
            core.witness.note_log(newest.header.number, self.end);
        }
        core.counters.log_syncs.fetch_add(1, Ordering::Relaxed);
        // Also where one of them has left the list: then a flush has made durable what it held.
        Ok(self.end)
    }
}

fn sync_log(engine: &Engine, log: &Arc<LogFile>, covered: LogPosition) -> Result<()> {
    let rewritten = match log.sync(covered) {
        // A flush has made durable what it held, and its file may be gone: one that the open
        // found is opened by its name if the bound has closed it.
        Err(_) if !engine.core.logs.is_live(log) => return Ok(()),
        synced => synced?,
    };
    engine.core.counters.log_bytes_rewritten.fetch_add(rewritten, Ordering::Relaxed);
    Ok(())
}

/// Where the last of the next `most` sealed logs ends that are not known to be durable, and
/// whether there are more of them.
pub(crate) fn sealed_end(engine: &Engine, most: usize) -> Option<(LogPosition, bool)> {
    let synced = engine.core.group_sync.synced();
    let list = engine.core.logs.list();
    let mut ends = list.iter().map_while(|log| log.end_position()).filter(|&end| end > synced);
    let end = ends.by_ref().take(most).last()?;
    Some((end, ends.next().is_some()))
}

/// Makes the sealed logs durable up to `end`, where one of them ends.
pub(crate) fn sync_sealed(engine: &Engine, end: LogPosition) -> Result<()> {
    wait_with(engine, end, &SealedLogs { engine, end })
}

/// Returns once everything below `position` is durable.
pub(crate) fn wait_synced(engine: &Engine, position: LogPosition) -> Result<()> {
    wait_with(engine, position, engine)
}

fn wait_with(
    engine: &Engine,
    position: LogPosition,
    env: &impl SyncEnv<Error = Error>,
) -> Result<()> {
    engine.core.group_sync.wait(position, env).map_err(|cause| {
        // A wait for memory is in vain now.
        engine.core.gate.wake();
        match cause {
            Error::WriterStopped { .. } => cause,
            cause => Error::WriterStopped { cause: Arc::new(cause) },
        }
    })
}

/// Returns once everything up to `sequence` is durable. One load if it is known to be.
pub(crate) fn wait_durable(engine: &Engine, sequence: Sequence) -> Result<()> {
    // Acquire; pairs with the Release in `sync`.
    if sequence.0 <= engine.core.durable.load(Ordering::Acquire) {
        return Ok(());
    }
    let visible = engine.visible();
    if sequence > visible {
        return Err(Error::InvalidArgument {
            what: format!("sequence {sequence} was not issued yet; the last one is {visible}"),
        });
    }
    if engine.core.options.read_only {
        return Ok(());
    }
    // What is visible has been appended.
    sync_all(engine)
}

/// Makes every write that was acknowledged before the call durable, and looks after the
/// directory also where nothing is left to do.
pub(crate) fn sync_all(engine: &Engine) -> Result<()> {
    engine.core.check_directory()?;
    wait_synced(engine, engine.core.logs.appended())
}

#[cfg(test)]
mod tests;
