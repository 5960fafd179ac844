//! What the log thread does. Whose turn it is, and how long each kind of work can be kept waiting,
//! is in `turns`.
//!
//! The channel is emptied before each turn, so that nothing waits behind what came before it: a
//! dead log, above all, is there when the next file would be made. Every turn is bounded, by the
//! constants below; the only ones whose length depends on what was written are the periodic sync,
//! and the one for those who are told what is durable.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::cleanup::renew_ceiling;
use crate::engine::keyspaces::edits::carry_out;
use crate::engine::shared::messages::{KeyspaceRequest, LogJob};
use crate::engine::shared::prepare::Recycled;
use crate::engine::threads::turns::{Turn, Turns, Waiting};
use crate::engine::write::{sync, told};
use crate::engine::{Core, Engine, Upkeep};
use crate::error::Result;
use crate::event::event;
use crate::ids::LogPosition;
use crate::log::SpareLog;
use crate::sync::atomic::Ordering;
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender};
use crate::sync::clock::Instant;

/// How long after a failure the log thread tries again to make spares that nobody asks for, in
/// milliseconds.
const SPARES_RETRY_MS: u64 = if cfg!(test) { 1 } else { 500 };

/// How often the log thread looks after the ceiling and idle spares where it syncs nothing.
const SYNC_NEVER: Duration = Duration::from_secs(3600);

/// How long nothing may have been written before spare logs are given back, one in each period.
const SPARES_IDLE: Duration = Duration::from_secs(10);

/// How many dead logs are looked at in one turn. One that is kept is mapped, which takes about a
/// millisecond.
const DEAD_PER_TURN: usize = 8;

/// How many sealed logs are synced in one turn.
const SYNCED_PER_TURN: usize = 4;

/// How many files are removed in one turn.
const REMOVED_PER_TURN: usize = 16;

/// What the log thread was asked for and has not done yet.
#[derive(Debug)]
struct Duties {
    /// Logs below the floor, to be used again or removed.
    dead: VecDeque<SpareLog>,
    /// Files to be removed.
    doomed: VecDeque<PathBuf>,
    /// The callers that wait until there is a spare log.
    waiting: Vec<Sender<Result<()>>>,
    requests: VecDeque<(KeyspaceRequest, Sender<Result<()>>)>,
    /// Whether somebody has asked for spares since there were enough.
    asked: bool,
    /// Whether a sealed log may have to be synced.
    sealed: bool,
    /// Whether somebody is to be told what is durable.
    tell: bool,
    /// After a failure: when spares that nobody asks for are tried again.
    retry_at: Option<Instant>,
    stop: bool,
}

/// When the clock calls.
#[derive(Debug)]
struct Clock {
    period: Duration,
    next: Instant,
    /// The end of the log when it last moved, and when that was.
    idle: (LogPosition, Instant),
}

/// The loop of the log thread.
pub(crate) fn run_log(engine: &Engine, jobs: &Receiver<LogJob>) {
    let core = &engine.core;
    let period = match core.options.sync_every {
        Duration::ZERO => SYNC_NEVER,
        // What is longer is as good as never, and has no place in the clock.
        period => period.min(SYNC_NEVER),
    };
    let now = Instant::now();
    let mut clock = Clock { period, next: now + period, idle: (core.logs.appended(), now) };
    let mut turns = Turns::default();
    let mut duties = Duties::new(core);
    loop {
        while let Ok(job) = jobs.try_recv() {
            duties.take_in(job);
        }
        if duties.stop {
            return duties.finish(core);
        }
        let now = Instant::now();
        let waiting = duties.waiting(now, clock.next);
        let Some(turn) = turns.next(waiting) else {
            // Nobody may ask for a spare until the next write, and the trouble may be over by then.
            let deadline = duties.retry_at.map_or(clock.next, |at| at.min(clock.next));
            match jobs.recv_deadline(deadline) {
                Ok(job) => duties.take_in(job),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            continue;
        };
        match turn {
            Turn::Spare => duties.prepare(core),
            Turn::Sealed => duties.sync_sealed(engine),
            Turn::Tell => duties.tell(engine),
            Turn::Keyspace => duties.carry_out(engine),
            Turn::Remove => duties.remove(core, REMOVED_PER_TURN),
            Turn::Periodic => clock.strike(engine, now),
        }
    }
}

impl Duties {
    fn new(core: &Core) -> Self {
        let (dead, doomed, requests) = Default::default();
        let waiting = Vec::new();
        let retry_at = None;
        // The open has made the first log, unless it failed to.
        let asked = !core.has_spare_log();
        let sealed = false;
        let tell = false;
        let stop = false;
        Self { dead, doomed, waiting, requests, asked, sealed, tell, retry_at, stop }
    }

    fn take_in(&mut self, job: LogJob) {
        match job {
            LogJob::Spare { reply } => {
                self.waiting.extend(reply);
                (self.asked, self.retry_at) = (true, None);
            }
            LogJob::Sealed => (self.asked, self.sealed) = (true, true),
            LogJob::Tell => self.tell = true,
            LogJob::Remove(path) => self.doomed.push_back(path),
            LogJob::Recycle(spare) => self.dead.push_back(spare),
            LogJob::Keyspace { request, reply } => self.requests.push_back((request, reply)),
            LogJob::Stop => self.stop = true,
        }
    }

    fn waiting(&self, now: Instant, next_period: Instant) -> Waiting {
        let may_try = self.retry_at.is_none_or(|at| now >= at);
        let wanted = !self.waiting.is_empty() || !self.dead.is_empty();
        Waiting {
            spare: wanted || (self.asked && may_try),
            sealed: self.sealed,
            tell: self.tell,
            keyspace: !self.requests.is_empty(),
            remove: !self.doomed.is_empty(),
            periodic: now >= next_period,
        }
    }

    /// One memtable; and dead logs taken back or, where there is none of use, one log made.
    fn prepare(&mut self, core: &Core) {
        core.spares.asked.store(false, Ordering::Relaxed);
        self.retry_at = None;
        core.make_memtable();
        let made = self.prepare_log(core);
        if made.is_err() {
            self.retry_at = Some(Instant::now() + Duration::from_millis(SPARES_RETRY_MS));
        }
        self.asked = core.wants_log() || core.wants_memtable();
        // One is enough to go on with.
        let result = if core.has_spare_log() { Ok(()) } else { made };
        core.note(Upkeep::Spares, &result);
        if result.is_err() || core.has_spare_log() {
            for writer in self.waiting.drain(..) {
                // The writer may have gone; the spare is kept either way.
                let _ = writer.send(result.clone());
            }
        }
    }

    fn prepare_log(&mut self, core: &Core) -> Result<()> {
        let looked_at = self.dead.len().min(DEAD_PER_TURN);
        let mut taken = false;
        self.doomed.extend(core.take_excess_spares());
        for spare in self.dead.drain(..looked_at) {
            match core.recycle(spare) {
                Recycled::Kept { outgrown } => {
                    taken = true;
                    self.doomed.extend(outgrown);
                }
                Recycled::Useless(path) => self.doomed.push_back(path),
            }
        }
        if !taken && self.dead.is_empty() && core.wants_log() {
            self.doomed.extend(core.make_log()?);
        }
        Ok(())
    }

    fn sync_sealed(&mut self, engine: &Engine) {
        // Before the sync: it would take each page from the writers' address space by itself.
        engine.core.logs.release_sealed();
        self.sealed = false;
        if engine.core.stopped().is_none()
            && let Some((end, more)) = sync::sealed_end(engine, SYNCED_PER_TURN)
        {
            self.sealed = more;
            if let Err(error) = sync::sync_sealed(engine, end) {
                event!(error, %error, "a sealed log could not be synced");
            }
        }
        renew_ceiling(engine);
    }

    fn tell(&mut self, engine: &Engine) {
        self.tell = told::tell_durable(engine);
    }

    fn carry_out(&mut self, engine: &Engine) {
        let count = KeyspaceRequest::group(self.requests.iter().map(|(request, _)| request));
        let (requests, replies): (Vec<_>, Vec<_>) = self.requests.drain(..count).unzip();
        for (reply, answer) in replies.into_iter().zip(carry_out(engine, &requests)) {
            // The caller may have gone.
            let _ = reply.send(answer);
        }
    }

    fn remove(&mut self, core: &Core, most: usize) {
        let count = self.doomed.len().min(most);
        for path in self.doomed.drain(..count) {
            core.remove_dead(&path);
        }
    }

    /// What is left to do at the close: keep one small file, so that the next open need not make
    /// one, and no other. Whoever waits learns that the database is closed, as the senders go.
    fn finish(mut self, core: &Core) {
        let spares = core.take_spare_logs();
        let mut kept = false;
        let small = core.log_capacity_first();
        for spare in self.dead.drain(..).chain(spares) {
            if !kept && spare.capacity() == small {
                kept = true;
            } else {
                self.doomed.push_back(spare.path().to_path_buf());
            }
        }
        self.remove(core, usize::MAX);
    }
}

impl Clock {
    /// What is due once in each period. The next one is counted from when this began, so that a
    /// slow sync does not put it off.
    fn strike(&mut self, engine: &Engine, now: Instant) {
        self.next = now + self.period;
        let core = &engine.core;
        if !core.options.sync_every.is_zero()
            && core.stopped().is_none()
            && let Err(error) = sync::sync_all(engine)
        {
            // It latches in the group sync, where every writer sees it.
            event!(error, %error, "the log could not be synced");
        }
        renew_ceiling(engine);
        let appended = core.logs.appended();
        if self.idle.0 != appended {
            self.idle = (appended, Instant::now());
        } else if self.idle.1.elapsed() >= SPARES_IDLE {
            core.trim_spares();
        }
    }
}
