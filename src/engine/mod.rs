//! Where the parts meet, one folder per verb: `open`, `write`, `read`, `merge`, `keyspaces` (made,
//! dropped, forgotten), `index` (the tables in memory, and what reads all files back), `report`
//! (what a database says of itself) and `threads` (what is done in the background). Beside them
//! `flush`, the `outputs` of flush and merge, `cleanup`, and `directory` (its handle and locks).
//!
//! Only `threads::background` starts threads. Locks: the commit section and the manifest, never
//! both together; under either, or alone, the lists below, for a push or a copy, never across I/O.

pub(crate) mod cleanup;
pub(crate) mod directory;
pub(crate) mod flush;
pub(crate) mod index;
pub(crate) mod keyspaces;
pub(crate) mod merge;
pub(crate) mod open;
pub(crate) mod outputs;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod threads;
pub(crate) mod write;

use std::path::PathBuf;

use crossbeam_channel::Sender;

use self::keyspaces::state::Keyspaces;
use self::merge::scheduler::Compaction;
use self::report::stats::Counters;
use self::threads::flusher::FlushJob;
use self::threads::log_thread::LogJob;
use self::write::pace::Pace;
use self::write::section::WriteEnv;
use self::write::sync::Logs;
use crate::error::{Error, Result};
use crate::event::event;
use crate::ids::{FileNumber, LogNumber, LogPosition, Sequence, Uuid};
use crate::io::{Fs, Process, TemporaryDir};
use crate::log::Slots;
use crate::memtable::Memtable;
use crate::mvcc::commit::Commit;
use crate::mvcc::gate::Gate;
use crate::mvcc::group_sync::GroupSync;
use crate::mvcc::snapshots::Snapshots;
use crate::options::Options;
use crate::runs::SegmentSet;
use crate::runs::manifest::Manifest;
use crate::segment::BlockCache;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, Published, Slot, lock};
use crate::witness::Witness;

pub(crate) use self::directory::DirectoryLock;
pub(crate) use self::keyspaces::state::KeyspaceState;
pub(crate) use self::merge::jobs::RequestProgress;
pub use self::read::get::TryGet;
pub(crate) use self::read::get::{EngineIter, ReadAt};
pub(crate) use self::read::layers::LayersCursor;
pub(crate) use self::write::conditional::Decision;
pub(crate) use self::write::put::{Batch, check_sizes};
pub use self::write::try_write::TryWrite;

/// Sequences are reserved this far ahead, and the reservation is renewed at half of it.
pub(crate) const SEQUENCE_RESERVE: u64 = 1 << 32;

/// How long superseded values are kept at least, so that readers never drop a last reference.
pub(crate) const GRACE_MS: u64 = 1_000;

/// Everything that can be read, at one moment. Never changed: a change publishes another.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) active: Arc<Memtable>,
    /// Newest first.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    pub(crate) segments: Arc<SegmentSet>,
    /// Nothing above it has left the memtables: a version that is newer and not found there does
    /// not exist. The largest sequence of any memtable flushed since open.
    pub(crate) flushed: Sequence,
}

/// What the commit section, readers and background threads share.
#[derive(Debug)]
pub(crate) struct Core {
    // Fixed after open.
    pub(crate) options: Options,
    /// Where the database's files are.
    pub(crate) fs: Arc<dyn Fs>,
    /// Where other files are, by paths of the user's.
    pub(crate) outside: Arc<dyn Fs>,
    /// The directory in full, where that is known: errors go by it.
    pub(crate) dir: PathBuf,
    /// The directory as the user named it.
    pub(crate) named: PathBuf,
    /// Who opened it.
    process: Process,
    pub(crate) database: Uuid,
    /// Tells this open from every other in the process. Handles of another are refused: it may be
    /// of a copy with the same uuid, or of a time before a keyspace was dropped.
    pub(crate) instance: u64,
    pub(crate) cache: Arc<BlockCache>,
    log_jobs: Sender<LogJob>,
    flush_jobs: Sender<FlushJob>,

    // With synchronisation of their own.
    /// Taken out by the close; snapshots and iterators hold it too, and the last one releases it
    /// (rule 18).
    directory: Slot<DirectoryLock>,
    view: Published<View>,
    snapshots: Snapshots,
    group_sync: GroupSync<Error>,
    logs: Logs,
    /// Who is told what is durable. One that notes nothing when opened for reading.
    witness: Arc<Witness>,
    /// Bytes in sealed memtables that are not flushed yet.
    gate: Gate,
    /// How fast writers may go while memory runs short.
    pace: Pace,
    /// Bytes in the active memtable; stored inside the commit section.
    active_bytes: AtomicU64,
    /// Bytes of the memtables made from now on; begins as the option says.
    memtable_bytes: AtomicUsize,
    /// Everything up to this sequence is known to be durable. Only ever raised.
    durable: AtomicU64,
    /// The last sequence that the manifest has reserved.
    ceiling: AtomicU64,
    slot_next: AtomicU64,
    segment_next: AtomicU64,
    closed: AtomicBool,
    pub(crate) keyspaces: Keyspaces,
    pub(crate) counters: Counters,

    /// What the disk can still take.
    space: write::space::Space,

    // Guarded lists.
    spares: write::spares::Spares,
    troubles: Mutex<Troubles>,
    /// Segments whose edit failed: the manifest may name them.
    unsettled: Mutex<Vec<FileNumber>>,
    /// A lock of its own inside, held for a choice and never across I/O; the manifest is not asked
    /// for under it.
    compaction: Compaction,

    // Background threads only. `None` when opened for reading.
    manifest: Mutex<Option<Manifest>>,
}

/// An open database. Background threads own it too.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
    pub(crate) commit: Commit<WriteEnv>,
    /// Removed with the engine, after everything that has files open: handles, snapshots, iterators
    /// and threads all hold the engine.
    _temporary: Option<TemporaryDir>,
}

impl Engine {
    /// Keeps the directory locked for as long as the result lives. `None` after the close.
    pub(crate) fn pin_directory(&self) -> Option<Arc<DirectoryLock>> {
        if self.core.is_forked() { None } else { self.core.directory.load().clone() }
    }

    /// Gives the close's own hold on the directory up. After the threads have ended.
    pub(crate) fn release_directory(&self) {
        drop(self.core.directory.take());
    }

    /// The last sequence that a read may see now.
    pub(crate) fn visible(&self) -> Sequence {
        self.commit.visible()
    }

    /// Registers a snapshot of now.
    pub(crate) fn register_snapshot(&self) -> Sequence {
        if self.core.is_forked() {
            // Of no use, which its reads say.
            return Sequence(0);
        }
        self.core.snapshots.register(self.core.pace.now_ms(), || self.visible())
    }

    /// Releases a snapshot, and lets the flush thread look whether that frees something.
    pub(crate) fn release_snapshot(&self, at: Sequence) {
        self.core.snapshots.release(at);
        if self.core.keyspaces.any_dropped() {
            self.core.send_flush(FlushJob::Cleanup);
        }
    }

    /// Stops everything: no write is acknowledged afterwards; what is in memory is flushed; the
    /// threads end. Idempotent.
    pub(crate) fn close(&self) -> Result<()> {
        threads::background::close(self)
    }
}

impl Core {
    /// Replaces the view by compare-and-swap and retires the old one (rule 1).
    fn publish(&self, derive: impl FnMut(&View) -> View) {
        let (old, _) = crate::mvcc::view::update(&self.view, derive);
        self.send_flush(FlushJob::Retire(old));
    }

    fn send_flush(&self, job: FlushJob) {
        // A send fails only after the thread has ended, at the close: then nobody is left to serve.
        let _ = self.flush_jobs.send(job);
    }

    fn send_log(&self, job: LogJob) {
        // As above.
        let _ = self.log_jobs.send(job);
    }

    /// Bytes of a memtable that is made now.
    fn memtable_bytes(&self) -> usize {
        // Relaxed: a number of its own. Who makes a spare compares again under the spares' lock.
        self.memtable_bytes.load(Ordering::Relaxed)
    }

    /// Where log files are made.
    fn log_slots(&self) -> Slots<'_> {
        Slots { fs: &self.fs, dir: &self.dir, next: &self.slot_next, database: self.database }
    }

    /// What stops writing for good, if anything does.
    fn stopped(&self) -> Option<Error> {
        self.group_sync.latched().map(|cause| match cause {
            Error::WriterStopped { .. } => cause,
            cause => Error::WriterStopped { cause: Arc::new(cause) },
        })
    }

    /// Records how a piece of background work went, for `health()` and for writers that wait.
    fn note<T>(&self, work: Work, result: &Result<T>) {
        let error = result.as_ref().err();
        if let Some(error) = error {
            event!(warn, %error, ?work, "background work failed and will be tried again");
        }
        lock(&self.troubles)[work as usize] = error.cloned();
    }

    /// What keeps writes from being taken: the trouble that a flush, or the making of spares, is
    /// in. A merge that fails is no writer's concern.
    fn write_trouble(&self) -> Option<Error> {
        let troubles = lock(&self.troubles);
        let of = |work: Work| troubles[work as usize].clone();
        of(Work::Flush).or_else(|| of(Work::Spares))
    }

    /// The first trouble that background work is in.
    fn trouble(&self) -> Option<Error> {
        let first = lock(&self.troubles).iter().flatten().next().cloned();
        let first = first.or_else(|| self.compaction.trouble(&self.view.load_full().segments));
        first.or_else(|| self.is_room_used_up().then(|| self.room_used_up()))
    }
}

/// Background work that is tried again after a failure. Merges, of which there are several, keep
/// their own book (`failures`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Flush,
    Spares,
    Manifest,
}

/// What each [`Work`] ran into last; nothing once it has succeeded again.
type Troubles = [Option<Error>; 3];

/// Where the log goes on after a log was sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    pub(crate) number: LogNumber,
    pub(crate) end: u64,
    pub(crate) position: LogPosition,
}

#[cfg(test)]
mod tests;
