//! Copies of an open database, made while writes go on.
//!
//! | file | what |
//! |---|---|
//! | here | what a copy consists of, held still for as long as it is read |
//! | `checkpoint` | a directory that opens as a database: segments linked, logs copied |
//! | `backup` | the segments, as objects in a store, and a record of them |
//! | `restore` | a backup read back: checked, or made a database of |
//! | `records` | names and records of backups, and their deletion |
//! | `store` | where backups go |
//! | `target` | the directory that becomes a database |
//!
//! Segments are never written again, so the set that holds them is all they need (I33). A log that
//! a flush has made needless is used again, so those that a copy reads are kept for it; and what is
//! behind the position at which the copy was begun is not read.

pub(crate) mod backup;
pub(crate) mod checkpoint;
pub(crate) mod records;
pub(crate) mod restore;
pub(crate) mod store;
mod target;

use std::collections::BTreeMap;
use std::io;

use crate::engine::flush::hand_on;
use crate::engine::manifest::locked;
use crate::engine::read::get::check_open;
use crate::engine::{Core, DirectoryLock, Engine};
use crate::error::{Error, Result};
use crate::format::edit::KeyspaceMeta;
use crate::ids::{KeyspaceId, LogNumber, LogPosition, Sequence};
use crate::log::LogFile;
use crate::runs::SegmentSet;
use crate::runs::each_file;
use crate::runs::state::ManifestState;
use crate::segment::Segment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// How much of a log is copied at once, in bytes.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// How often a backup flushes again because keyspaces were dropped meanwhile.
const FLUSHES_MAX: usize = 16;

/// Whether the database is one that can be copied, and this a thread that can do it.
pub(crate) fn check_copyable(engine: &Engine) -> Result<()> {
    check_open(engine)?;
    engine.core.refuse_on_own_thread()?;
    if engine.core.options.read_only {
        return Err(Error::ReadOnly { path: engine.core.named.clone() });
    }
    Ok(())
}

/// What a database consists of at one moment. Its segments stay for as long as this does.
pub(crate) struct Frozen<'a> {
    /// What the manifest says, without what was reserved since.
    pub(crate) state: ManifestState,
    /// Has the segments that the state names.
    pub(crate) segments: Arc<SegmentSet>,
    /// All up to this sequence is in those.
    flushed: Sequence,
    /// All that a recovery needs, oldest first, until they have been read.
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
        check_copyable(engine)?;
        let core = &engine.core;
        let directory = engine.pin_directory().ok_or(Error::Closed)?;
        let kept = KeptLogs::new(core);
        let manifest = locked(core)?;
        // All of it under the lock: no edit comes in between that knows of a keyspace or a run
        // which the logs or the view do not have, or the other way round (I31).
        let sequence = engine.visible();
        let end = core.logs.appended();
        let view = core.view.load();
        let segments = Arc::clone(&view.segments);
        let flushed = view.flushed;
        drop(view);
        let mut state = manifest.state().clone();
        // As after one edit at least: only then is a manifest without a CURRENT refused.
        state.edits = state.edits.max(1);
        // Acquire; pairs with the Release in `renew_ceiling`, which edits the manifest first: what
        // was appended by now is below.
        let ceiling = Sequence(core.ceiling.load(Ordering::Acquire));
        state.sequence_ceiling = state.sequence_ceiling.max(ceiling);
        let needed =
            |log: &Arc<LogFile>| log.header.number >= state.log_floor && log.header.base < end;
        let logs: Vec<_> = core.logs.list().into_iter().filter(needed).collect();
        drop(manifest);
        kept.up_to(logs.last().map(|log| log.header.number));
        let kept = Some(kept);
        Ok(Self { state, segments, flushed, logs, end, sequence, kept, _directory: directory })
    }

    /// Hands on the logs that were kept: they have been read.
    pub(crate) fn logs_read(&mut self) {
        self.logs.clear();
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
        let bytes = self.log_bytes(log);
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < bytes {
            let len = usize::try_from(bytes - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            log.file.read_exact_at(&mut piece[..len], at)?;
            write(&piece[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }
}

/// The runs of a database at one moment, which have all that was written before it was asked for.
/// Their files stay for as long as this does; logs and memtables go their way.
pub(crate) struct FrozenRuns {
    /// What the manifest says, without a log: a recovery needs none.
    pub(crate) state: ManifestState,
    /// All up to this sequence is in it, and nothing above.
    pub(crate) sequence: Sequence,
    _segments: Vec<Arc<Segment>>,
    _directory: Arc<DirectoryLock>,
}

impl FrozenRuns {
    /// Flushes, then holds the runs still. Runs have a prefix of the commit order, but the manifest
    /// may be ahead of them by a drop or a rename, behind writes that are in memory yet. Whoever
    /// has moved what a keyspace held and dropped it would find neither, and a name could stand for
    /// a part of what was written, or for another's, so then this begins again.
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        for _ in 0..FLUSHES_MAX {
            let (before, names) = {
                let manifest = locked(&engine.core)?;
                (dropped(manifest.state()), names(manifest.state()))
            };
            let visible = engine.visible();
            engine.flush()?;
            let mut frozen = Frozen::new(engine)?;
            frozen.logs_read();
            if dropped(&frozen.state) != before || renamed(&frozen.state, &names) {
                continue;
            }
            let Frozen { mut state, segments, flushed, _directory, .. } = frozen;
            state.log_floor_exists = false;
            let sequence = visible.max(flushed);
            let _segments = each_file(&segments).into_iter().cloned().collect();
            return Ok(Self { state, sequence, _segments, _directory });
        }
        let error = io::Error::new(
            io::ErrorKind::WouldBlock,
            "keyspaces are dropped or renamed all the time",
        );
        Err(Error::io("make a backup of", &engine.core.named, error))
    }
}

/// How many keyspaces were dropped since there is the database.
fn dropped(state: &ManifestState) -> u32 {
    let live = state.keyspaces.values().filter(|meta| meta.dropped_at.is_none()).count();
    state.next_keyspace.0.saturating_sub(live as u32)
}

/// The keyspaces and their names.
fn names(state: &ManifestState) -> BTreeMap<KeyspaceId, String> {
    state.keyspaces.iter().map(|(id, meta)| (*id, meta.name.clone())).collect()
}

/// Whether any of them has another name by now.
fn renamed(state: &ManifestState, names: &BTreeMap<KeyspaceId, String>) -> bool {
    let differs = |(id, meta): (&KeyspaceId, &KeyspaceMeta)| {
        names.get(id).is_some_and(|name| *name != meta.name)
    };
    state.keyspaces.iter().any(differs)
}

/// Keeps logs that are being read from being used again, for as long as it lives.
struct KeptLogs<'a> {
    core: &'a Core,
    reader: u64,
}

impl<'a> KeptLogs<'a> {
    /// All logs, until it is known which are read.
    fn new(core: &'a Core) -> Self {
        Self { core, reader: lock(&core.log_readers).begin() }
    }

    fn up_to(&self, newest: Option<LogNumber>) {
        let free = lock(&self.core.log_readers).read_up_to(self.reader, newest);
        hand_on(self.core, free);
    }
}

impl Drop for KeptLogs<'_> {
    fn drop(&mut self) {
        let free = lock(&self.core.log_readers).end(self.reader);
        hand_on(self.core, free);
    }
}
