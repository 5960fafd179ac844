//! What the disk can still take, as of the last look. What follows from it is `space`'s.

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the room is not known to bound.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// The last look at the disk. Relaxed: each is a number of its own, and a hint.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) room: AtomicU64,
    pub(crate) reserve: AtomicU64,
    /// How many bytes puts may fill memtables with.
    pub(crate) budget: AtomicU64,
    /// Whether a log could not be made, or memtables not be flushed, for want of room. Until one
    /// was.
    pub(crate) short: AtomicBool,
    /// The room that was left when something last found the disk full, after it had given up what
    /// it had written: with as much nothing is tried before its time.
    pub(crate) failed_at: AtomicU64,
    /// Whether merges were chosen since room was used up.
    pub(crate) chosen: AtomicBool,
    /// Whether there are segments on their way to be removed.
    pub(crate) freeing: AtomicBool,
}

impl Space {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self {
            room: AtomicU64::new(UNKNOWN),
            reserve: AtomicU64::new(0),
            budget: AtomicU64::new(memory_bytes as u64),
            short: AtomicBool::new(false),
            failed_at: AtomicU64::new(UNKNOWN),
            chosen: AtomicBool::new(true),
            freeing: AtomicBool::new(false),
        }
    }

    pub(crate) fn room(&self) -> u64 {
        self.room.load(Ordering::Relaxed)
    }
}
