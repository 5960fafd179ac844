//! How fast writers may go while memory runs short: so that what is left of the budget lasts until
//! the flush under way gives some back.
//!
//! `overload` does the waiting, the flush thread reports its flushes. Every number is a hint of its
//! own, so they are relaxed: a stale one costs a delay that is somewhat too long or too short,
//! within [`DELAY_MS_MAX`]. The two flags are questions to the flush thread, which `memory` puts
//! and takes back.
//!
//! 1. A flush of `b` bytes that began `e` ago ends in `r = b / speed - e`. One that is late is
//!    expected to need a quarter more of the time that it has taken, however long that is.
//! 2. With `h` bytes left in the budget, writers may take `h / r` bytes in a second, together. If
//!    the flush keeps its time that is one steady rate, and the budget is used up just as memory
//!    comes back; if it is late the rate falls with what is left, and reaches nothing at the bound.
//! 3. A write of `n` bytes puts the next turn `n r / h` off, and waits for its own. One that would
//!    wait less than [`DELAY_US_MIN`] goes at once, and leaves its debt to the next.

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::clock::Instant;

/// No write is delayed by more, whatever the disk does; at the bound it waits for memory instead.
const DELAY_MS_MAX: u64 = 100;

/// A shorter sleep takes longer to begin and end than it lasts.
const DELAY_US_MIN: u64 = 250;

/// A flush is not expected to end sooner: it has several syncs before it.
const FLUSH_MS_MIN: u64 = 10;

/// What flushes are expected to write in a second before the first one has: a slow disk's share.
const BYTES_PER_SECOND_FIRST: u64 = 64 << 20;

const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// The speed of flushes, and whose turn it is to write.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    /// Flushes of less say more about syncs than about the disk's speed, and are not counted.
    bytes_min: u64,
    /// Bytes of memtables that flushes write in a second, as of late.
    bytes_per_second: AtomicU64,
    /// Bytes of memory that the flush under way will give back; 0 if there is none.
    flushing: AtomicU64,
    /// When it began.
    began_ns: AtomicU64,
    /// When the next write may go.
    turn_ns: AtomicU64,
    /// Whether the flush thread has been asked for memory and has not looked yet.
    pub(crate) asked: AtomicBool,
    /// Whether a big batch found no room since the last flush began, however much memory is left.
    pub(crate) batch_waits: AtomicBool,
}

impl Pace {
    /// For flushes of `flush_bytes`.
    pub(crate) fn new(flush_bytes: usize) -> Self {
        Self {
            started: Instant::now(),
            bytes_min: flush_bytes as u64 / 2,
            bytes_per_second: AtomicU64::new(BYTES_PER_SECOND_FIRST),
            flushing: AtomicU64::new(0),
            began_ns: AtomicU64::new(0),
            turn_ns: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            batch_waits: AtomicBool::new(false),
        }
    }

    /// The time that all other methods mean.
    pub(crate) fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// The same in milliseconds: the age of snapshots is counted by it too.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns() / NS_PER_MS
    }

    /// A flush begins that will give back `bytes` of memory. On the flush thread.
    pub(crate) fn flush_began(&self, bytes: u64, now_ns: u64) {
        self.began_ns.store(now_ns, Ordering::Relaxed);
        self.flushing.store(bytes, Ordering::Relaxed);
    }

    /// The flush under way, if there is one, has ended; its speed counts if it has succeeded.
    pub(crate) fn flush_ended(&self, succeeded: bool, now_ns: u64) {
        let bytes = self.flushing.swap(0, Ordering::Relaxed);
        if !succeeded || bytes == 0 || bytes < self.bytes_min {
            return;
        }
        let took_ns = now_ns.saturating_sub(self.began_ns.load(Ordering::Relaxed)).max(1);
        let speed = u128::from(bytes) * u128::from(NS_PER_SECOND) / u128::from(took_ns);
        let speed = u64::try_from(speed).unwrap_or(u64::MAX);
        let before = self.bytes_per_second.load(Ordering::Relaxed);
        // Half of the new and half of the old: a disk's speed changes, and one flush is no measure.
        self.bytes_per_second.store((before / 2 + speed / 2).max(1), Ordering::Relaxed);
    }

    /// How long until memory comes back. Without a flush under way, one of all that is `sealed` is
    /// about to begin.
    fn remaining_ns(&self, sealed: u64, now_ns: u64) -> u64 {
        let (bytes, elapsed) = match self.flushing.load(Ordering::Relaxed) {
            0 => (sealed, 0),
            bytes => (bytes, now_ns.saturating_sub(self.began_ns.load(Ordering::Relaxed))),
        };
        let speed = self.bytes_per_second.load(Ordering::Relaxed);
        let whole = u128::from(bytes) * u128::from(NS_PER_SECOND) / u128::from(speed);
        let whole = u64::try_from(whole).unwrap_or(u64::MAX);
        whole.saturating_sub(elapsed).max(elapsed / 4).max(FLUSH_MS_MIN * NS_PER_MS)
    }

    /// Takes the next turn for a write of `bytes`, with `left` bytes of the budget left and
    /// `sealed` bytes waiting for a flush. `None` if it may go at once; else when.
    pub(crate) fn take_turn(&self, bytes: u64, left: u64, sealed: u64, now_ns: u64) -> Option<u64> {
        let remaining = self.remaining_ns(sealed, now_ns);
        let cost = u128::from(bytes) * u128::from(remaining) / u128::from(left.max(1));
        // What is beyond the longest delay is forgiven, or the next writes would pay it as well.
        let latest = now_ns.saturating_add(DELAY_MS_MAX * NS_PER_MS);
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        let after = |turn: u64| Some(turn.max(now_ns).saturating_add(cost).min(latest));
        let relaxed = Ordering::Relaxed;
        let before = self.turn_ns.fetch_update(relaxed, relaxed, after).unwrap_or_default();
        let turn = after(before).unwrap_or_default();
        (turn - now_ns >= DELAY_US_MIN * NS_PER_US).then_some(turn)
    }

    /// Forgives all debt: there is memory again.
    pub(crate) fn forgive(&self) {
        self.turn_ns.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
