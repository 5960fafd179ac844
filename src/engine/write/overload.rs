//! What a write does before it enters the commit section: fail if it must, wait if memory is short.
//! And the books on what writes waited for.
//!
//! Memory is the one hard limit; where the disk has little room that is the lower one (`space`).
//! Below three quarters of the budget a write pays two loads and a comparison. From there on
//! writers ask for a flush, and with `OnOverload::Pace` each waits for its turn (`pace` says when
//! that is); at the budget they wait for room, and give up after `stall_max`. Both waits are
//! outside of the section and at the gate, so that a flush, a close or a writer that has stopped
//! ends them at once. With `OnOverload::Error` nobody waits: at the budget a write fails.
//!
//! A big batch books its memory before it is built, at most half of the budget, where what is
//! booked by then leaves it that share. So batches larger than that go one at a time, and one that
//! finds no room has a flush begin, whatever is left.

use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::threads::flusher::FlushJob;
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::options::OnOverload;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How long who waits for other batches, or for room on the disk, sleeps at a time.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a write had to wait for, or was refused for; the last one is in
/// [`Stats::stall_last`](crate::Stats::stall_last).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// if db.stats().stall_last == Some(alluvium::StallCause::Memory) {
///     println!("bursts are larger than memory_bytes");
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallCause {
    /// Memtables were full: it waited for a flush, or was refused.
    Memory,
    /// Memtables were filling up: it was delayed, so that they would not.
    Pace,
    /// There was no log file to append to.
    Log,
    /// The disk was full: it was refused.
    DiskFull,
}

impl StallCause {
    const ALL: [Self; 4] = [Self::Memory, Self::Pace, Self::Log, Self::DiskFull];
}

impl fmt::Display for StallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Pace => "pace",
            Self::Log => "log",
            Self::DiskFull => "disk full",
        })
    }
}

/// The books on waiting. Relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// How often each cause was met.
    counts: [AtomicU64; StallCause::ALL.len()],
    /// How long each was waited for, in microseconds.
    waited_us: [AtomicU64; StallCause::ALL.len()],
    /// Writes that were refused for want of memory, at once or after a wait.
    refused: AtomicU64,
    /// The last cause's place among all, from 1; 0 for none.
    last: AtomicU64,
}

impl Stalls {
    /// Books a wait: once when it begins, and its time when it ends.
    fn book<T>(&self, cause: StallCause, wait: impl FnOnce() -> T) -> T {
        self.count(cause);
        let start = Instant::now();
        let result = wait();
        let waited_us = start.elapsed().as_micros() as u64;
        self.waited_us[cause as usize].fetch_add(waited_us, Ordering::Relaxed);
        result
    }

    /// Books a write that was refused.
    pub(crate) fn refused(&self, error: &Error) {
        match error {
            Error::Overloaded { .. } => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.last.store(StallCause::Memory as u64 + 1, Ordering::Relaxed);
            }
            Error::StorageFull { .. } => self.count(StallCause::DiskFull),
            _ => {}
        }
    }

    fn count(&self, cause: StallCause) {
        self.counts[cause as usize].fetch_add(1, Ordering::Relaxed);
        self.last.store(cause as u64 + 1, Ordering::Relaxed);
    }

    /// How often a cause was met, and for how long it was waited for in microseconds.
    pub(crate) fn of(&self, cause: StallCause) -> (u64, u64) {
        let load = |of: &[AtomicU64]| of[cause as usize].load(Ordering::Relaxed);
        (load(&self.counts), load(&self.waited_us))
    }

    /// Writes that were refused for want of memory.
    pub(crate) fn overloaded(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The cause that was met last.
    pub(crate) fn last(&self) -> Option<StallCause> {
        let place = self.last.load(Ordering::Relaxed) as usize;
        StallCause::ALL.get(place.checked_sub(1)?).copied()
    }
}

/// Memory that is booked for a batch which is not in a sealed memtable yet.
#[derive(Debug)]
pub(crate) struct Reservation {
    core: Arc<Core>,
    bytes: u64,
}

impl Reservation {
    /// Books what it has come to.
    pub(crate) fn adjust(&mut self, bytes: u64) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.core.gate.add(more),
            None => self.core.gate.sub(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// Leaves the booking to whoever flushes the sealed memtable.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.core.gate.sub(self.bytes);
        }
    }
}

/// How long one write may still wait.
#[derive(Clone, Copy, Debug)]
struct Patience {
    start: Instant,
    limit: Duration,
}

impl Patience {
    fn waited(&self) -> Duration {
        self.start.elapsed()
    }

    /// What is left, if anything.
    fn left(&self) -> Option<Duration> {
        self.limit.checked_sub(self.start.elapsed()).filter(|left| !left.is_zero())
    }
}

impl Engine {
    /// Fails a write that is bound to fail before it costs anything.
    pub(crate) fn refuse_early(&self) -> Result<()> {
        self.core.check_process()?;
        if self.core.options.read_only {
            return Err(Error::ReadOnly { path: self.core.dir.clone() });
        }
        if self.core.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.core.stopped().map_or(Ok(()), Err)
    }

    /// Overload: lets a write of `bytes` pass while there is memory, at two loads; delays it while
    /// there is little; and while there is none, lets it wait or fails it, as the option says.
    pub(crate) fn wait_for_memory(
        &self,
        bytes: usize,
        only_deletes: impl FnOnce() -> bool,
    ) -> Result<()> {
        self.refuse_early()?;
        if !self.core.is_pressed() {
            return Ok(());
        }
        self.wait_under_pressure(bytes as u64, only_deletes)
    }

    #[cold]
    fn wait_under_pressure(&self, bytes: u64, only_deletes: impl FnOnce() -> bool) -> Result<()> {
        let core = &self.core;
        let deletes = core.is_room_short() && only_deletes();
        if core.is_room_short() && core.passes_with_little_room(deletes) {
            return Ok(());
        }
        core.ask_for_memory();
        let stall_max = match core.options.on_overload {
            OnOverload::Pace { stall_max } if !core.is_own_thread() => stall_max,
            _ => {
                return if core.over_budget() {
                    Err(core.overloaded(Duration::ZERO))
                } else {
                    Ok(())
                };
            }
        };
        let patience = Patience { start: Instant::now(), limit: stall_max };
        let left = core.memory_left();
        let now_ns = core.pace.now_ns();
        if left > 0
            && let Some(turn_ns) = core.pace.take_turn(bytes, left, core.gate.used(), now_ns)
        {
            let turn = Duration::from_nanos(turn_ns - now_ns).min(stall_max);
            let patience = Patience { limit: turn, ..patience };
            core.counters.stalls.book(StallCause::Pace, || self.wait_for_turn(patience))?;
        }
        if core.over_budget() {
            core.counters
                .stalls
                .book(StallCause::Memory, || self.wait_for_room(patience, deletes))?;
        }
        Ok(())
    }

    /// Waits until the write's turn has come, which `patience` says, or memory has.
    fn wait_for_turn(&self, patience: Patience) -> Result<()> {
        let core = &self.core;
        loop {
            let seen = core.gate.generation();
            self.refuse_early()?;
            if !core.is_pressed() {
                core.pace.forgive();
                return Ok(());
            }
            let Some(left) = patience.left() else { return Ok(()) };
            core.gate.wait_timeout(seen, left);
        }
    }

    /// Waits while memtables are over their budget.
    fn wait_for_room(&self, patience: Patience, deletes: bool) -> Result<()> {
        let core = &self.core;
        loop {
            let seen = core.gate.generation();
            self.refuse_early()?;
            let short = core.is_room_short();
            if !core.over_budget() || short && core.passes_with_little_room(deletes) {
                return Ok(());
            }
            // A full disk is told at once, unless something is about to empty it.
            if let Some(full) = core.full_disk(0) {
                return Err(full);
            }
            let Some(left) = patience.left() else {
                return Err(core.overloaded(patience.waited()));
            };
            core.ask_for_memory();
            // What gives room back does so without a word.
            core.gate.wait_timeout(seen, if short { left.min(LOOK_AGAIN) } else { left });
        }
    }

    /// Books the memory of a big batch before it is taken, until its memtable is sealed. It finds
    /// room while what is booked leaves it its share: what it takes, and half of the budget at
    /// most. So there is one at a time of those that are larger than that.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let core = &self.core;
        if let Some(reserved) = core.try_reserve(bytes) {
            return Ok(reserved);
        }
        core.ask_for_batch();
        let limit = match core.options.on_overload {
            OnOverload::Pace { stall_max } if !core.is_own_thread() => stall_max,
            _ => return Err(core.overloaded(Duration::ZERO)),
        };
        let patience = Patience { start: Instant::now(), limit };
        core.counters.stalls.book(StallCause::Memory, || self.wait_to_reserve(bytes, patience))
    }

    fn wait_to_reserve(&self, bytes: u64, patience: Patience) -> Result<Reservation> {
        let core = &self.core;
        loop {
            let seen = core.gate.generation();
            self.refuse_early()?;
            if let Some(reserved) = core.try_reserve(bytes) {
                return Ok(reserved);
            }
            // As above.
            if let Some(full) = core.full_disk(bytes) {
                return Err(full);
            }
            let Some(left) = patience.left() else {
                return Err(core.overloaded(patience.waited()));
            };
            core.ask_for_batch();
            // What others have reserved becomes a memtable without a word.
            core.gate.wait_timeout(seen, left.min(LOOK_AGAIN));
        }
    }

    /// [`Self::wait_for_log`] for a write, which goes into the books. On a full disk again for as
    /// long as something is under way that may give room back.
    pub(crate) fn stall_for_log(&self) -> Result<()> {
        self.core.counters.stalls.book(StallCause::Log, || self.wait_for_log_and_room())
    }

    fn wait_for_log_and_room(&self) -> Result<()> {
        let core = &self.core;
        let limit = match core.options.on_overload {
            OnOverload::Pace { stall_max } if !core.is_own_thread() => stall_max,
            _ => Duration::ZERO,
        };
        let patience = Patience { start: Instant::now(), limit };
        loop {
            let seen = core.gate.generation();
            match self.wait_for_log() {
                Err(full @ Error::StorageFull { .. }) => match patience.left() {
                    Some(left) if core.may_gain_room() => {
                        core.gate.wait_timeout(seen, left.min(LOOK_AGAIN));
                        self.refuse_early()?;
                    }
                    _ => return Err(full),
                },
                answer => return answer,
            }
        }
    }
}

impl Core {
    /// Bytes in memtables that are not flushed.
    pub(crate) fn memory_used(&self) -> u64 {
        // Relaxed: an estimate. Who waits looks again whenever the gate's generation moves.
        self.gate.used() + self.active_bytes.load(Ordering::Relaxed)
    }

    fn memory_left(&self) -> u64 {
        self.memory_budget().saturating_sub(self.memory_used())
    }

    /// Whether writers have to wait for a flush.
    pub(crate) fn over_budget(&self) -> bool {
        // With no budget even the first one: each would be flushed, and use up the reserve.
        self.memory_used() > self.memory_budget() || self.is_room_used_up()
    }

    /// Whether writers should go slower, and a flush begin.
    pub(crate) fn is_pressed(&self) -> bool {
        let budget = self.memory_budget();
        self.memory_used() >= budget - budget / 4
    }

    /// Asks the flush thread for memory, once until it looks.
    pub(crate) fn ask_for_memory(&self) {
        // AcqRel; pairs with the one in `memory_asked_for`: whoever finds the flag up has its bytes
        // seen by the look that follows.
        if !self.pace.asked.swap(true, Ordering::AcqRel) {
            self.send_flush(FlushJob::Pressure);
        }
    }

    /// Asks for a flush though there may be memory left: not enough for a big batch.
    fn ask_for_batch(&self) {
        self.pace.batch_waits.store(true, Ordering::Relaxed);
        self.ask_for_memory();
    }

    fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.measure_space();
        if !self.has_room_for(bytes) {
            return None;
        }
        let budget = self.memory_budget();
        let most = budget - bytes.min(budget / 2);
        let core = Arc::clone(self);
        self.gate.add_if(bytes, most).then(|| Reservation { core, bytes })
    }

    /// Takes the question back. On the flush thread, before it looks.
    pub(crate) fn memory_asked_for(&self) {
        self.pace.asked.swap(false, Ordering::AcqRel);
    }

    /// Why a write found no memory: with what keeps it from being freed, if anything does.
    fn overloaded(&self, waited: Duration) -> Error {
        match self.write_trouble() {
            Some(full @ Error::StorageFull { .. }) => full,
            None if self.is_room_used_up() => self.room_used_up(),
            cause => Error::Overloaded { waited, cause: cause.map(Arc::new) },
        }
    }
}

#[cfg(test)]
mod tests;
