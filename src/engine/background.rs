//! The threads, and how work reaches them. The only file that starts one.
//!
//! - The **log thread** makes spares, syncs sealed logs and, every `sync_every`, the open one,
//!   and carries out what needs a manifest edit for a foreground caller. It has no long job, so
//!   that neither spares nor the periodic sync wait for a flush.
//! - The **flush thread** flushes, evicts cached blocks, and drops what readers no longer hold.
//! - The **compactor threads** merge; their loop is `compact`'s.
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

use super::compact::run_compactor;
use super::flusher::{FlushJob, run_flush};
use super::keyspaces::KeyspaceRequest;
use super::own_thread::{Own, work_for};
use super::{Core, Engine, Work};
use crate::error::{Error, Result};
use crate::event::event;
use crate::log::SpareLog;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, lock};

/// How long after a failure the log thread tries again to make spares that nobody asks for, in
/// milliseconds.
const SPARES_RETRY_MS: u64 = if cfg!(test) { 1 } else { 500 };

/// How often the log thread looks after the ceiling and idle spares where it syncs nothing.
const SYNC_NEVER: Duration = Duration::from_secs(3600);

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
            let run = move || run_guarded(&owned, Own::Log, |engine| run_log(engine, &log_jobs));
            threads.spawn(engine, "alluvium-log", run)?;
        }
        let owned = Arc::clone(engine);
        let run = move || run_guarded(&owned, Own::Other, |engine| run_flush(engine, &flush_jobs));
        let mut started = threads.spawn(engine, "alluvium-flush", run);
        for _ in 0..engine.core.compactors() {
            let owned = Arc::clone(engine);
            let run = move || {
                run_guarded(&owned, Own::Other, run_compactor);
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
        let mut panicked = 0;
        {
            let mut threads = lock(&self.0);
            for thread in threads.drain(..) {
                panicked += usize::from(thread.join().is_err());
            }
        }
        if panicked > 0 {
            event!(error, panicked, "background threads panicked");
        }
    }
}

/// A thread of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller(std::thread::ThreadId);

impl Caller {
    /// The one that asks.
    pub(super) fn this() -> Self {
        Self(std::thread::current().id())
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
            event!(debug, %error, "an open goes on without a helper");
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

/// Closes an engine whose last handle went on one of its own threads, which cannot wait for itself:
/// on a thread made for it. Without one the database stays as a crash leaves it, which the next
/// open recovers from.
pub(crate) fn close_elsewhere(engine: &Arc<Engine>, threads: Threads) {
    let owned = Arc::clone(engine);
    let run = move || {
        if let Err(error) = close(&owned) {
            event!(warn, %error, "the close could not flush; the log still has everything");
        }
        threads.join();
        owned.release_directory();
    };
    let builder = std::thread::Builder::new().name("alluvium-close".to_owned());
    if let Err(error) = builder.spawn(run) {
        engine.core.closed.store(true, Ordering::Release);
        engine.core.compaction.wake();
        engine.core.send_log(LogJob::Stop);
        end_flush_thread(engine);
        event!(error, %error, "a database was left without a close");
    }
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
    let flushed = engine.flush();
    engine.core.witness.sync();
    flushed.and(synced)
}

/// Runs a thread's loop; a panic in it, which is a fault of the engine, stops the writer, so that
/// it is seen.
fn run_guarded(engine: &Engine, own: Own, run: impl FnOnce(&Engine)) {
    work_for(&engine.core, own);
    if catch_unwind(AssertUnwindSafe(|| run(engine))).is_err() {
        let panicked = std::io::Error::other("a background thread panicked");
        let error = Error::io("run background work for", &engine.core.dir, panicked);
        engine.core.group_sync.latch(error.clone());
        engine.core.gate.wake();
        engine.core.compaction.end_all(&engine.core.stopped().unwrap_or(error));
    }
}

fn run_log(engine: &Engine, jobs: &Receiver<LogJob>) {
    let period = match engine.core.options.sync_every {
        Duration::ZERO => SYNC_NEVER,
        // What is longer is as good as never, and has no place in the clock.
        period => period.min(SYNC_NEVER),
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
            if !engine.core.options.sync_every.is_zero() {
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
                event!(error, %error, "a sealed log could not be synced");
            }
            engine.renew_ceiling();
        }
        LogJob::Remove(path) => {
            if let Err(error) = core.fs.remove(&path) {
                event!(debug, %error, path = %path.display(), "a dead log was left behind");
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
        event!(error, %error, "the log could not be synced");
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
    /// Sends a keyspace request to the log thread and waits for it.
    pub(super) fn request_keyspace(&self, request: KeyspaceRequest) -> Result<()> {
        self.core.refuse_on_own_thread()?;
        let (reply, answer) = bounded(1);
        self.core.send_log(LogJob::Keyspace { request, reply });
        answer.recv().unwrap_or(Err(Error::Closed))
    }
}
