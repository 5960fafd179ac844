//! Making the log durable: what the sync leader does with the live logs.
//!
//! Called by writers with `Durability::Sync`, by `sync()`, by the log thread (periodic, and for
//! each sealed log) and by the flush. The leader role is `mvcc::group_sync`'s. The leader:
//!
//! 1. reads `visible`, then the appended position, then the list of live logs (`mvcc::live_logs`);
//!    that `visible` is `durable` once all is done;
//! 2. syncs each that is not known durable, oldest first: of the open log what the position covers,
//!    of a sealed one what is below its end, with the header behind it that a failed append has
//!    zeroed. The rest of a prepared file may be dirty as well, and is nobody's (D10);
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

    fn panicked() -> Error {
        Error::Panicked { during: "a sync" }
    }

    fn sync(&self) -> Result<LogPosition> {
        let core = &self.core;
        let synced = core.group_sync.synced();
        let covered = core.logs.sync_all(
            synced,
            || self.visible(),
            |log, covered| sync_log(self, log, covered),
        )?;
        // Durable where nobody finds it would be a lie.
        core.check_directory()?;
        // Before anybody is told.
        if let Some(newest) = covered.newest {
            core.witness.note_log(newest.header.number, covered.position);
        }
        core.counters.log_syncs.fetch_add(1, Ordering::Relaxed);
        // Release; pairs with the Acquire in `wait_durable`.
        core.durable.fetch_max(covered.visible.0, Ordering::Release);
        Ok(covered.position)
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

    fn panicked() -> Error {
        Error::Panicked { during: "a sync" }
    }

    fn sync(&self) -> Result<LogPosition> {
        let core = &self.engine.core;
        let synced = core.group_sync.synced();
        let newest = core
            .logs
            .sync_sealed(synced, self.end, |log, covered| sync_log(self.engine, log, covered))?;
        core.check_directory()?;
        if let Some(newest) = newest.filter(|log| log.end_position() == Some(self.end)) {
            core.witness.note_log(newest.header.number, self.end);
        }
        core.counters.log_syncs.fetch_add(1, Ordering::Relaxed);
        // Also where one of them has left the list: then a flush has made durable what it held.
        Ok(self.end)
    }
}

fn sync_log(engine: &Engine, log: &LogFile, covered: LogPosition) -> Result<()> {
    // If this fails, a flush may have made durable what it held, and its file may be gone: one that
    // the open found is opened by its name if the bound has closed it.
    let rewritten = log.sync(covered)?;
    engine.core.counters.log_bytes_rewritten.fetch_add(rewritten, Ordering::Relaxed);
    Ok(())
}

/// Where the last of the next `most` sealed logs ends that are not known to be durable, and
/// whether there are more of them.
pub(crate) fn sealed_end(engine: &Engine, most: usize) -> Option<(LogPosition, bool)> {
    engine.core.logs.sealed_end(engine.core.group_sync.synced(), most)
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
    let leading = engine.core.stop_on_panic("a sync");
    let synced = engine.core.group_sync.wait(position, env);
    leading.over();
    synced.map_err(|cause| {
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
    // Not up to the position alone: it looks after the directory also where that is synced.
    unsynced(engine, sequence)?.map_or(Ok(()), |_| sync_all(engine))
}

/// What has to be synced so that everything up to `sequence` is durable; nothing if it is known to
/// be.
pub(crate) fn unsynced(engine: &Engine, sequence: Sequence) -> Result<Option<LogPosition>> {
    // Acquire; pairs with the Release in `sync`.
    if sequence.0 <= engine.core.durable.load(Ordering::Acquire) {
        return Ok(None);
    }
    let visible = engine.visible();
    if sequence > visible {
        return Err(Error::InvalidArgument {
            what: format!("sequence {sequence} was not issued yet; the last one is {visible}"),
        });
    }
    if engine.core.options.read_only {
        return Ok(None);
    }
    // What is visible has been appended.
    Ok(Some(engine.core.logs.appended()))
}

/// Makes every write that was acknowledged before the call durable, and looks after the
/// directory also where nothing is left to do.
pub(crate) fn sync_all(engine: &Engine) -> Result<()> {
    engine.core.check_directory()?;
    wait_synced(engine, engine.core.logs.appended())
}

#[cfg(test)]
mod tests;
