//! What the commit section, readers and background threads share, and what any of them may ask of
//! it. Verbs have files of their own, above.

use std::path::PathBuf;

use crate::engine::agenda::book::MergeBook;
use crate::engine::directory::{DirectoryLock, lost};
use crate::engine::shared::counters::Counters;
use crate::engine::shared::keyspaces::Keyspaces;
use crate::engine::shared::logs::{LogReaders, Logs};
use crate::engine::shared::messages::{DurableCall, FlushJob, LogJob};
use crate::engine::shared::pace::Pace;
use crate::engine::shared::room::Space;
use crate::engine::shared::spares::Spares;
use crate::engine::shared::view::View;
use crate::error::{Error, Result};
use crate::event::event;
use crate::ids::{FileNumber, Uuid};
use crate::io::{Fs, Process, sync_dir};
use crate::log::Slots;
use crate::mvcc::ending::{Ending, ask};
use crate::mvcc::gate::Gate;
use crate::mvcc::group_sync::GroupSync;
use crate::mvcc::snapshots::Snapshots;
use crate::mvcc::waiting_list::WaitingList;
use crate::options::Options;
use crate::runs::manifest::Manifest;
use crate::segment::BlockCache;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::channel::Sender;
use crate::sync::{Arc, Mutex, Published, Slot, lock};
use crate::witness::Witness;

/// Sequences are reserved this far ahead, and the reservation is renewed at half of it.
pub(crate) const SEQUENCE_RESERVE: u64 = 1 << 32;

/// How long superseded values are kept at least, so that readers never drop a last reference.
pub(crate) const GRACE_MS: u64 = 1_000;

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
    /// The process that opened it.
    pub(crate) process: Process,
    pub(crate) database: Uuid,
    /// Tells this open from every other in the process. Handles of another are refused: it may be
    /// of a copy with the same uuid, or of a time before a keyspace was dropped.
    pub(crate) instance: u64,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) log_jobs: Sender<LogJob>,
    pub(crate) flush_jobs: Sender<FlushJob>,

    // With synchronisation of their own.
    /// Taken out by the close; snapshots and iterators hold it too, and the last one releases
    /// it.
    pub(crate) directory: Slot<DirectoryLock>,
    pub(crate) view: Published<View>,
    pub(crate) snapshots: Snapshots,
    pub(crate) group_sync: GroupSync<Error>,
    pub(crate) logs: Logs,
    /// Is told what is durable. One that notes nothing when opened for reading.
    pub(crate) witness: Arc<Witness>,
    /// Bytes in sealed memtables that are not flushed yet.
    pub(crate) gate: Gate,
    /// How fast writers may go while memory runs short.
    pub(crate) pace: Pace,
    /// Bytes in the active memtable; stored inside the commit section.
    pub(crate) active_bytes: AtomicU64,
    /// Bytes of the memtables made from now on; begins as the option says.
    pub(crate) memtable_bytes: AtomicUsize,
    /// Everything up to this sequence is known to be durable. Only ever raised.
    pub(crate) durable: AtomicU64,
    /// The last sequence that the manifest has reserved.
    pub(crate) ceiling: AtomicU64,
    pub(crate) slot_next: AtomicU64,
    pub(crate) segment_next: AtomicU64,
    pub(crate) ending: Ending,
    pub(crate) keyspaces: Keyspaces,
    pub(crate) counters: Counters,

    /// What the disk can still take.
    pub(crate) space: Space,

    // Guarded lists.
    /// The callers whom the log thread tells what is durable.
    pub(crate) to_be_told: WaitingList<DurableCall>,
    pub(crate) spares: Spares,
    pub(crate) troubles: Mutex<Troubles>,
    /// Segments whose edit failed: the manifest may name them.
    pub(crate) unsettled: Mutex<Vec<FileNumber>>,
    /// A lock of its own inside, held for a choice and never across I/O; the manifest is not asked
    /// for under it.
    pub(crate) merges: MergeBook,

    /// Copies that read logs: until they have, none of those is used again or removed.
    pub(crate) log_readers: Mutex<LogReaders>,

    // Background threads, and for a look those that copy. `None` when opened for reading.
    pub(crate) manifest: Mutex<Option<Manifest>>,
}

impl Core {
    /// Replaces the view by compare-and-swap and retires the old one (I4).
    pub(crate) fn publish(&self, derive: impl FnMut(&View) -> View) {
        let (old, _) = crate::mvcc::view::update(&self.view, derive);
        self.send_flush(FlushJob::Retire(old));
    }

    pub(crate) fn send_flush(&self, job: FlushJob) {
        // A send fails only after the thread has ended, at the close: then nobody is left to serve.
        let _ = self.flush_jobs.send(job);
    }

    pub(crate) fn send_log(&self, job: LogJob) {
        // As above.
        let _ = self.log_jobs.send(job);
    }

    /// Asks the flush thread, and waits for its answer.
    pub(crate) fn ask_flush(&self, job: impl FnOnce(Sender<Result<()>>) -> FlushJob) -> Result<()> {
        ask(&self.flush_jobs, job).unwrap_or_else(|| Err(self.unanswered()))
    }

    /// The same of the log thread.
    pub(crate) fn ask_log(&self, job: impl FnOnce(Sender<Result<()>>) -> LogJob) -> Result<()> {
        ask(&self.log_jobs, job).unwrap_or_else(|| Err(self.unanswered()))
    }

    /// Bytes of a memtable that is made now.
    pub(crate) fn memtable_bytes(&self) -> usize {
        // Relaxed: a number of its own. What makes a spare compares again under the spares' lock.
        self.memtable_bytes.load(Ordering::Relaxed)
    }

    /// Where log files are made.
    pub(crate) fn log_slots(&self) -> Slots<'_> {
        Slots { fs: &self.fs, dir: &self.dir, next: &self.slot_next, database: self.database }
    }

    /// What stops writing for good, if anything does.
    pub(crate) fn stopped(&self) -> Option<Error> {
        self.group_sync.latched().map(|cause| match cause {
            Error::WriterStopped { .. } => cause,
            cause => Error::WriterStopped { cause: Arc::new(cause) },
        })
    }

    /// Fails what writes, if it is bound to fail, before it costs anything.
    pub(crate) fn refuse_early(&self) -> Result<()> {
        self.check_process()?;
        if self.options.read_only {
            return Err(Error::ReadOnly { path: self.dir.clone() });
        }
        if self.is_closed() {
            return Err(Error::Closed);
        }
        self.stopped().map_or(Ok(()), Err)
    }

    /// Whether the close has begun.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.ending.has_begun()
    }

    /// Records how a piece of background work went, for `health()` and for writers that wait.
    pub(crate) fn note<T>(&self, work: Upkeep, result: &Result<T>) {
        let error = result.as_ref().err();
        if let Some(error) = error {
            event!(warn, %error, ?work, "background work failed and will be tried again");
        }
        lock(&self.troubles)[work as usize] = error.cloned();
    }

    /// What keeps writes from being taken: the trouble that a flush, or the making of spares, is
    /// in. A merge that fails is no writer's concern.
    pub(crate) fn write_trouble(&self) -> Option<Error> {
        let troubles = lock(&self.troubles);
        let of = |work: Upkeep| troubles[work as usize].clone();
        of(Upkeep::Flush).or_else(|| of(Upkeep::Spares))
    }

    /// The first trouble that background work is in.
    pub(crate) fn trouble(&self) -> Option<Error> {
        let first = lock(&self.troubles).iter().flatten().next().cloned();
        let first = first.or_else(|| self.merges.trouble(&self.view.load_full().segments));
        first.or_else(|| self.is_room_used_up().then(|| self.room_used_up()))
    }

    /// Stops the writer if the directory is gone, or another has taken its place: what is written
    /// from now on nobody would find. Some system calls, so not for each write; called where one is
    /// to be durable, and before each edit of the manifest.
    pub(crate) fn check_directory(&self) -> Result<()> {
        let Some(directory) = self.directory.load().clone() else { return Ok(()) };
        let checked = directory.check(self.fs.as_ref(), &self.dir);
        let checked = checked.and_then(|()| match self.logs.newest_removed(self.fs.as_ref()) {
            true => Err(lost(&self.dir)),
            false => Ok(()),
        });
        if let Err(error) = &checked {
            self.group_sync.latch(error.clone());
            self.gate.wake();
        }
        checked.map_err(|error| self.stopped().unwrap_or(error))
    }

    /// Makes the names of the database's files durable.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        sync_dir(self.fs.as_ref(), &self.dir)
    }

    /// Refuses the call in a forked child, at the cost of two loads.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.process.is_this() { Ok(()) } else { Err(Error::Forked) }
    }

    /// Whether this is a forked child: then nothing that the parent's threads may hold or wait for
    /// is to be touched.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_this()
    }
}

/// Background work that is tried again after a failure. Merges, of which there are several, keep
/// their own book (`failures`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    Flush,
    Spares,
    Manifest,
}

/// What each [`Upkeep`] ran into last; nothing once it has succeeded again.
pub(crate) type Troubles = [Option<Error>; 3];
