//! Copies of an open database, made while writes go on.
//!
//! | file | what |
//! |---|---|
//! | here | what a copy consists of, held still for as long as it is read |
//! | `checkpoint` | a directory that opens as a database: segments linked, logs copied |
//!
//! Segments are never written again, so the view that holds them is all they need (I33). A log that
//! a flush has made needless is used again, so none is handed on while a copy reads logs; and what
//! is behind the position at which the copy was begun is not read.

pub(crate) mod checkpoint;

use crate::engine::flush::release_logs;
use crate::engine::manifest::locked;
use crate::engine::read::get::check_open;
use crate::engine::{Core, DirectoryLock, Engine, View};
use crate::error::{Error, Result};
use crate::ids::{LogPosition, Sequence};
use crate::io::NamedFile;
use crate::log::LogFile;
use crate::runs::state::ManifestState;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// How much of a log is copied at once, in bytes.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// What a database consists of at one moment. Its segments stay for as long as this does.
pub(crate) struct Frozen<'a> {
    /// What the manifest says, without what was reserved since.
    pub(crate) state: ManifestState,
    /// Has the segments that the state names.
    pub(crate) view: Arc<View>,
    /// All that a recovery needs, oldest first.
    pub(crate) logs: Vec<Arc<LogFile>>,
    /// How far the last of them counts.
    pub(crate) end: LogPosition,
    /// All up to this sequence is in it.
    pub(crate) sequence: Sequence,
    /// Until the logs have been read.
    kept: Option<KeptLogs<'a>>,
    /// Keeps others from opening the directory, also after a close.
    _directory: Arc<DirectoryLock>,
}

impl<'a> Frozen<'a> {
    /// Holds the database still, but for writes and flushes, which go on.
    pub(crate) fn new(engine: &'a Engine) -> Result<Self> {
        let core = &engine.core;
        check_open(engine)?;
        core.refuse_on_own_thread()?;
        if core.options.read_only {
            return Err(Error::ReadOnly { path: core.named.clone() });
        }
        let directory = engine.pin_directory().ok_or(Error::Closed)?;
        let kept = KeptLogs::new(core);
        let manifest = locked(core)?;
        // All of it under the lock: no edit comes in between that knows of a keyspace or a run
        // which the logs or the view do not have, or the other way round (I31).
        let sequence = engine.visible();
        let end = core.logs.appended();
        let view = core.view.load_full();
        let mut state = manifest.state().clone();
        // Acquire; pairs with the Release in `renew_ceiling`, which edits the manifest first: what
        // was appended by now is below.
        let ceiling = Sequence(core.ceiling.load(Ordering::Acquire));
        state.sequence_ceiling = state.sequence_ceiling.max(ceiling);
        let needed =
            |log: &Arc<LogFile>| log.header.number >= state.log_floor && log.header.base < end;
        let logs = core.logs.list().into_iter().filter(needed).collect();
        drop(manifest);
        let kept = Some(kept);
        Ok(Self { state, view, logs, end, sequence, kept, _directory: directory })
    }

    /// Lets flushes hand logs on again: they have been read.
    pub(crate) fn logs_read(&mut self) {
        self.kept = None;
    }

    /// Where a log ends, as far as it counts: its length, from its beginning on.
    pub(crate) fn log_bytes(&self, log: &LogFile) -> u64 {
        let end = log.end_position().map_or(self.end, |sealed| sealed.min(self.end));
        end.0.saturating_sub(log.header.base.0)
    }

    /// Hands what counts of a log to `write`, piece by piece, each with its offset.
    pub(crate) fn read_log(
        &self,
        log: &LogFile,
        mut write: impl FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        read_pieces(&log.file, self.log_bytes(log), &mut write)
    }
}

/// Hands the first `bytes` of a file to `write`, piece by piece, each with its offset.
fn read_pieces(
    file: &NamedFile,
    bytes: u64,
    write: &mut impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        file.read_exact_at(&mut piece[..len], at)?;
        write(&piece[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

/// Keeps flushes from handing logs on, for as long as it lives.
struct KeptLogs<'a>(&'a Core);

impl<'a> KeptLogs<'a> {
    fn new(core: &'a Core) -> Self {
        *lock(&core.log_readers) += 1;
        Self(core)
    }
}

impl Drop for KeptLogs<'_> {
    fn drop(&mut self) {
        *lock(&self.0.log_readers) -= 1;
        // Those that flushes have left meanwhile.
        release_logs(self.0);
    }
}
