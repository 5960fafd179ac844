//! The threads, and how work reaches them. The only file that starts one.
//!
//! - The **log thread** makes spares, syncs sealed logs and, every `sync_every_ms`, the open one,
//!   and carries out what needs a manifest edit for a foreground caller. It has no long job, so
//!   that neither spares nor the periodic sync wait for a flush.
//! - The **flush thread** flushes, evicts cached blocks, and drops what readers no longer hold.
//! - The **compactor threads** merge; their loop is `compact`'s.
//!
//! - A **helper** for each of an open's two passes over the logs ([`two_hands`]); it ends with it.
//!
//! Work arrives over channels (for the compactors, by a signal that the segment set has changed); a
//! thread that finds nothing to do sleeps until its next period. All own the engine, never a
//! handle, and end at the close.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::cleanup::Reclaim;
use super::compact::run_compactor;
use super::keyspaces::KeyspaceRequest;
use super::{Core, Engine, GRACE_MS, View, Work};
use crate::error::{Error, Result};
use crate::log::SpareLog;
use crate::segment::Segment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, lock};

/// How often the flush thread looks after what nobody tells it about, in milliseconds.
const TICK_MS: u64 = 500;

/// How long after a failure the log thread tries again to make spares that nobody asks for, in
/// milliseconds.
const SPARES_RETRY_MS: u64 = if cfg!(test) { 1 } else { 500 };

/// How long nothing may have been written before spare logs are given back, one in each period.
const SPARES_IDLE: Duration = Duration::from_secs(10);

/// Logs of fewer bytes than this are recovered by one thread: a start costs what they cost.
const HELP_BYTES_MIN: u64 = 1 << 20;

/// Work for the log thread.
#[derive(Debug)]
pub(super) enum LogJob {
    /// A spare was taken, or is wanted by someone who waits for the answer.
    Spare {
        reply: Option<Sender<Result<()>>>,
    },
    /// A log was sealed: make it durable.
    Sealed,
    /// A file that no chain will ever use.
    Remove(PathBuf),
    /// A log below the floor: to be used again.
    Recycle(SpareLog),
    /// A keyspace to be made or dropped.
    Keyspace {
        request: KeyspaceRequest,
        reply: Sender<Result<()>>,
    },
    Stop,
}

/// Work for the flush thread.
#[derive(Debug)]
pub(super) enum FlushJob {
    /// A memtable was sealed.
    Sealed,
    /// Flush everything that is sealed by now, and say how it went.
    Flush {
        reply: Sender<Result<()>>,
    },
    /// A superseded view.
    Retire(Arc<View>),
    /// Writers find little memory, or none.
    Pressure,
    /// The block cache is over its bound.
    Evict,
    /// Segments that no run refers to any more.
    Free(Vec<Arc<Segment>>),
    /// Segments with new tables, to take the place of those over the same files.
    Replace {
        fresh: Vec<Arc<Segment>>,
        reply: Sender<()>,
    },
    /// Read the manifest back.
    CheckManifest {
        reply: Sender<Result<()>>,
    },
    /// A keyspace was dropped, or a snapshot that held one back released.
    Cleanup,
    Stop,
}

/// The running threads of an engine, joined by whoever closes it.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts all threads.
    pub(super) fn start(
        engine: &Arc<Engine>,
        log_jobs: Receiver<LogJob>,
        flush_jobs: Receiver<FlushJob>,
    ) -> Result<Self> {
        let threads = Self::default();
        let owned = Arc::clone(engine);
        if !engine.core.options.read_only {
            let run = move || run_guarded(&owned, |engine| run_log(engine, &log_jobs));
            threads.spawn(engine, "alluvium-log", run)?;
        }
        let owned = Arc::clone(engine);
        let run = move || run_guarded(&owned, |engine| run_flush(engine, &flush_jobs));
        let mut started = threads.spawn(engine, "alluvium-flush", run);
        for _ in 0..engine.core.compactors() {
            let owned = Arc::clone(engine);
            let run = move || {
                run_guarded(&owned, run_compactor);
                end_flush_thread(&owned);
            };
            started = started.and_then(|()| {
                engine.core.compaction.begin_thread();
                threads.spawn(engine, "alluvium-compactor", run)
            });
        }
        if let Err(error) = started {
            engine.core.closed.store(true, Ordering::Release);
            engine.core.compaction.wake();
            engine.core.send_log(LogJob::Stop);
            engine.core.send_flush(FlushJob::Stop);
            threads.join();
            return Err(error);
        }
        Ok(threads)
    }

    fn spawn(
        &self,
        engine: &Engine,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let builder = std::thread::Builder::new().name(name.to_owned());
        let thread = builder
            .spawn(run)
            .map_err(|error| Error::io("start a background thread for", &engine.core.dir, error))?;
        lock(&self.0).push(thread);
        Ok(())
    }

    /// Waits until they have ended, whoever else waits too.
    pub(crate) fn join(&self) {
        let mut threads = lock(&self.0);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}

/// Runs `work`, which concerns so many bytes, on the caller's thread and, if there is much of it,
/// on a second one at the same time; returns when both have ended.
pub(super) fn two_hands(bytes: u64, work: &(dyn Fn() + Sync)) {
    if bytes < HELP_BYTES_MIN {
        return work();
    }
    std::thread::scope(|scope| {
        let helper = std::thread::Builder::new().name("alluvium-open".to_owned());
        // Without it everything is done all the same, and takes longer.
        if let Err(error) = helper.spawn_scoped(scope, work) {
            tracing::debug!(%error, "an open goes on without a helper");
        }
        work();
    });
}

/// Ends writing, flushes what is in memory, and stops the threads.
pub(super) fn close(engine: &Engine) -> Result<()> {
    let core = &engine.core;
    core.closed.store(true, Ordering::Release);
    core.gate.wake();
    core.compaction.wake();
    if !engine.commit.close(|_| ()) {
        return Ok(());
    }
    let result = if core.options.read_only { Ok(()) } else { finish(engine) };
    core.send_log(LogJob::Stop);
    end_flush_thread(engine);
    result
}

/// Stops the flush thread if nobody else has work for it.
fn end_flush_thread(engine: &Engine) {
    if engine.core.compaction.ends_flushing() {
        engine.core.send_flush(FlushJob::Stop);
    }
}

fn finish(engine: &Engine) -> Result<()> {
    // Buffered writes are made durable even if the flush below fails.
    let synced = engine.sync_all();
    engine.flush()?;
    synced
}

/// Runs a thread's loop; a panic in it, which is a fault of the engine, stops the writer, so that
/// it is seen.
fn run_guarded(engine: &Engine, run: impl FnOnce(&Engine)) {
    if catch_unwind(AssertUnwindSafe(|| run(engine))).is_err() {
        let panicked = std::io::Error::other("a background thread panicked");
        let error = Error::io("run background work for", &engine.core.dir, panicked);
        engine.core.group_sync.latch(error.clone());
        engine.core.gate.wake();
        engine.core.compaction.end_all(&engine.core.stopped().unwrap_or(error));
    }
}

fn run_log(engine: &Engine, jobs: &Receiver<LogJob>) {
    let period = match engine.core.options.sync_every_ms {
        0 => Duration::from_secs(3600),
        period_ms => Duration::from_millis(period_ms),
    };
    let pause = Duration::from_millis(SPARES_RETRY_MS);
    let mut next_sync = Instant::now() + period;
    // The end of the log when it last moved, and when that was.
    let mut idle = (engine.core.logs.appended(), Instant::now());
    let mut next_try = Instant::now();
    loop {
        // Nobody may ask for a spare until the next write, and the trouble may be over by then.
        let troubled = engine.core.is_troubled(Work::Spares);
        let deadline = if troubled { next_sync.min(next_try) } else { next_sync };
        match jobs.recv_deadline(deadline) {
            Ok(LogJob::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(job) => run_log_job(engine, job),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Also when there is always another job: they must not put the sync off.
        if Instant::now() >= next_sync {
            if engine.core.options.sync_every_ms != 0 {
                periodic_sync(engine);
            }
            engine.renew_ceiling();
            let appended = engine.core.logs.appended();
            if idle.0 != appended {
                idle = (appended, Instant::now());
            } else if idle.1.elapsed() >= SPARES_IDLE {
                engine.core.trim_spares();
            }
            next_sync = Instant::now() + period;
        }
        if !troubled {
            next_try = Instant::now() + pause;
        } else if Instant::now() >= next_try {
            engine.core.note(Work::Spares, &engine.core.fill_spares());
            next_try = Instant::now() + pause;
        }
    }
}

fn run_log_job(engine: &Engine, job: LogJob) {
    let core = &engine.core;
    match job {
        LogJob::Stop => {}
        LogJob::Spare { reply } => {
            core.spares.asked.store(false, Ordering::Relaxed);
            let made = core.fill_spares();
            core.note(Work::Spares, &made);
            if let Some(reply) = reply {
                // The writer may have gone; the spare is kept either way.
                let _ = reply.send(made);
            }
        }
        LogJob::Sealed => {
            // Spares first: a writer may be in need of one, and the sync may take long.
            core.note(Work::Spares, &core.fill_spares());
            // Before the sync: it would take each page from the writers' address space by itself.
            core.logs.release_sealed();
            if core.stopped().is_none()
                && let Some(end) = engine.sealed_end()
                && let Err(error) = engine.sync_sealed(end)
            {
                tracing::error!(%error, "a sealed log could not be synced");
            }
            engine.renew_ceiling();
        }
        LogJob::Remove(path) => {
            if let Err(error) = core.fs.remove(&path) {
                tracing::debug!(%error, path = %path.display(), "a dead log was left behind");
            }
        }
        LogJob::Recycle(spare) => core.recycle(spare),
        LogJob::Keyspace { request, reply } => {
            // As above.
            let _ = reply.send(engine.carry_out(request));
        }
    }
}

/// A failure latches in the group sync, where every writer sees it.
fn periodic_sync(engine: &Engine) {
    if engine.core.stopped().is_none()
        && let Err(error) = engine.sync_all()
    {
        tracing::error!(%error, "the log could not be synced");
    }
}

fn run_flush(engine: &Engine, jobs: &Receiver<FlushJob>) {
    let mut reclaim = Reclaim::new();
    let tick = Duration::from_millis(TICK_MS);
    let mut next_tick = Instant::now() + tick;
    let mut retry = false;
    loop {
        let job = jobs.recv_deadline(next_tick);
        match job {
            Ok(FlushJob::Stop) | Err(RecvTimeoutError::Disconnected) => {
                return reclaim.collect(&engine.core, 0);
            }
            Ok(FlushJob::Retire(view)) => reclaim.retire(view),
            Ok(FlushJob::Free(segments)) => {
                segments.into_iter().for_each(|segment| reclaim.retire_file(segment));
            }
            Ok(FlushJob::Evict) => reclaim.evict(&engine.core),
            Ok(FlushJob::Flush { reply }) => {
                let result = engine.flush_sealed(&mut reclaim);
                retry = result.is_err();
                // The caller may have gone; the flush counts either way.
                let _ = reply.send(result);
            }
            Ok(FlushJob::Sealed) => {
                if !retry && engine.core.flush_is_due() {
                    retry = engine.flush_sealed(&mut reclaim).is_err();
                }
            }
            Ok(FlushJob::Pressure) => {
                engine.core.memory_asked_for();
                if !retry && engine.core.is_pressed() {
                    retry = engine.relieve(&mut reclaim).is_err();
                }
            }
            Ok(FlushJob::Replace { fresh, reply }) => {
                engine.core.publish_replaced(&fresh, &mut reclaim);
                // As above.
                let _ = reply.send(());
            }
            Ok(FlushJob::CheckManifest { reply }) => {
                // As above.
                let _ = reply.send(engine.core.check_manifest());
            }
            Ok(FlushJob::Cleanup) => engine.clean_up(&mut reclaim),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Also when there is always another job: they must not keep memory from being freed.
        if Instant::now() >= next_tick {
            next_tick = Instant::now() + tick;
            if retry && engine.core.stopped().is_none() || engine.core.flush_is_due() {
                retry = engine.flush_sealed(&mut reclaim).is_err();
            }
            engine.clean_up(&mut reclaim);
            reclaim.collect(&engine.core, GRACE_MS);
        }
    }
}

impl Core {
    /// How many compactor threads there are. One at least where anything can be merged, for what
    /// users ask for.
    fn compactors(&self) -> usize {
        if self.options.read_only { 0 } else { self.options.compaction_threads.max(1) }
    }
}

impl Engine {
    /// Flushes everything written before the call. Called by foreground threads and the close.
    pub(crate) fn flush(&self) -> Result<()> {
        self.seal_active()?;
        let (reply, answer) = bounded(1);
        self.core.send_flush(FlushJob::Flush { reply });
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Makes room for writers: flushes what is sealed, and the active memtable too where that alone
    /// has outgrown the budget.
    fn relieve(&self, reclaim: &mut Reclaim) -> Result<()> {
        if self.core.view.load().sealed.is_empty() && self.core.over_budget() {
            self.seal_active()?;
        }
        self.flush_sealed(reclaim)
    }

    /// Sends a keyspace request to the log thread and waits for it.
    pub(super) fn request_keyspace(&self, request: KeyspaceRequest) -> Result<()> {
        let (reply, answer) = bounded(1);
        self.core.send_log(LogJob::Keyspace { request, reply });
        answer.recv().unwrap_or(Err(Error::Closed))
    }
}
