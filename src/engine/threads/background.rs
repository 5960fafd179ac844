//! The threads, and how work reaches them. The only file that starts one.
//!
//! - The **log thread** makes spares, syncs sealed logs and, every `sync_every`, the open one,
//!   and carries out what needs a manifest edit for a foreground caller. It has no long job, so
//!   that neither spares nor the periodic sync wait for a flush. It also tells those who have asked
//!   what is durable, to the last of them when it ends.
//! - The **flush thread** flushes, evicts cached blocks, and drops what readers no longer hold.
//! - The **compactor threads** merge; their loop is `merge::scheduler`'s.
//! - A **helper** thread for each of the two passes of an open over the logs ([`in_parallel`]).
//!
//! Work arrives over channels (for the compactors, by a signal that the segment set has changed); a
//! thread that finds nothing to do sleeps until its next period. Flush and compactor threads are as
//! nice as the options say. All own the engine, never a
//! handle, and end at the close.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::engine::flush::thread::run_flush;
use crate::engine::merge::scheduler::run_compactor;
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::shared::own::{Own, work_for};
use crate::engine::threads::log_thread::run_log;
use crate::engine::write::{sync, told};
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::event::event;
use crate::io::{steps_of, yield_readily};
use crate::sync::atomic::Ordering;
use crate::sync::channel::Receiver;
use crate::sync::threads::{self, JoinHandle};
use crate::sync::{Arc, Mutex, lock};

/// Logs of fewer bytes than this are recovered by one thread: a start costs what they cost.
const HELP_BYTES_MIN: u64 = 1 << 20;

/// The running threads of an engine, joined when it is closed.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts all threads.
    pub(crate) fn start(
        engine: &Arc<Engine>,
        log_jobs: Receiver<LogJob>,
        flush_jobs: Receiver<FlushJob>,
    ) -> Result<Self> {
        let threads = Self::default();
        // Said before any of them has run; one that is refused says so itself.
        note_niceness(&engine.core, steps_of(engine.core.options.background_nice));
        let owned = Arc::clone(engine);
        if !engine.core.options.read_only {
            let run = move || {
                run_guarded(&owned, Own::Log, |engine| run_log(engine, &log_jobs));
                told::tell_rest(&owned);
            };
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
                engine.core.ending.add_user();
                threads.spawn(engine, "alluvium-compactor", run)
            });
        }
        if let Err(error) = started {
            engine.core.ending.begin();
            engine.core.merges.wake();
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
        let builder = threads::Builder::new().name(name.to_owned());
        let thread = builder
            .spawn(run)
            .map_err(|error| Error::io("start a background thread for", &engine.core.dir, error))?;
        lock(&self.0).push(thread);
        Ok(())
    }

    /// Waits until they have ended. Any number of callers may wait. None of them panics: what their
    /// loops do is caught.
    pub(crate) fn join(&self) {
        for thread in lock(&self.0).drain(..) {
            // What it was is in `health()`.
            let _ = thread.join();
        }
    }

    /// Runs what an open has to do beside its threads. A panic goes on to its caller, who has no
    /// handle to end them by.
    pub(crate) fn unless_it_panics(&self, engine: &Engine, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let _ = close(engine);
            self.join();
            engine.release_directory();
            resume_unwind(panic);
        }
    }
}

/// Runs `work`, which concerns `bytes` bytes, on the caller's thread and, if there is much of it,
/// on a second one at the same time; returns when both have ended.
pub(crate) fn in_parallel(bytes: u64, work: &(dyn Fn() + Sync)) {
    if bytes < HELP_BYTES_MIN {
        return work();
    }
    threads::scope(|scope| {
        let helper = threads::Builder::new().name("alluvium-open".to_owned());
        // Without it everything is done all the same, and takes longer.
        if let Err(error) = helper.spawn_scoped(scope, work) {
            event!(debug, %error, "an open goes on without a helper");
        }
        work();
    });
}

impl Engine {
    /// Stops everything: no write is acknowledged afterwards; what is in memory is flushed; the
    /// threads end. Idempotent.
    pub(crate) fn close(&self) -> Result<()> {
        close(self)
    }
}

/// Ends writing, flushes what is in memory, and stops the threads, whatever of that fails or
/// panics.
fn close(engine: &Engine) -> Result<()> {
    let core = &engine.core;
    core.ending.begin();
    core.gate.wake();
    core.merges.wake();
    if !engine.commit.close(|_| ()) {
        return Ok(());
    }
    let finished = catch_unwind(AssertUnwindSafe(|| finish(engine)));
    let result = finished.unwrap_or_else(|_| Err(core.stop_after_panic("a close")));
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
        let closed = close(&owned);
        threads.join();
        owned.release_directory();
        if let Err(error) = closed {
            event!(warn, %error, "the close could not flush; the log still has everything");
        }
    };
    let builder = threads::Builder::new().name("alluvium-close".to_owned());
    if let Err(error) = builder.spawn(run) {
        engine.core.ending.begin();
        engine.core.merges.wake();
        engine.core.send_log(LogJob::Stop);
        end_flush_thread(engine);
        event!(error, %error, "a database was left without a close");
    }
}

/// Stops the flush thread if nobody else has work for it: the compactor threads and the close are
/// its users. Files that a last merge has freed have been handed to it then.
fn end_flush_thread(engine: &Engine) {
    if engine.core.ending.end_user() {
        engine.core.send_flush(FlushJob::Stop);
    }
}

fn finish(engine: &Engine) -> Result<()> {
    if engine.core.options.read_only {
        return Ok(());
    }
    // Buffered writes are made durable even if the flush below fails.
    let synced = sync::sync_all(engine);
    let flushed = engine.flush().map_err(|error| match error {
        // The threads have not been told to end: one that does not answer has panicked.
        Error::Closed => engine.core.stop_after_panic("background work"),
        error => error,
    });
    engine.core.witness.sync();
    flushed.and(synced)
}

/// Runs a thread's loop; a panic in it, which is a fault of the engine, stops the writer, so that
/// it is seen.
fn run_guarded(engine: &Engine, own: Own, run: impl FnOnce(&Engine)) {
    work_for(&engine.core, own);
    if own == Own::Other {
        be_nice(&engine.core);
    }
    if catch_unwind(AssertUnwindSafe(|| run(engine))).is_err() {
        let stopped = engine.core.stop_after_panic("background work");
        engine.core.merges.end_all(&stopped);
    }
}

/// Has the calling thread yield to the callers' as the options say. Not the log thread: puts wait
/// for what it prepares.
fn be_nice(core: &Core) {
    note_niceness(core, yield_readily(core.options.background_nice));
}

fn note_niceness(core: &Core, steps: u8) {
    core.counters.background_nice.store(u64::from(steps), Ordering::Relaxed);
}

impl Core {
    /// How many compactor threads there are. One at least where anything can be merged, for what
    /// users ask for.
    fn compactors(&self) -> usize {
        if self.options.read_only { 0 } else { self.options.compaction_threads.max(1) }
    }
}
