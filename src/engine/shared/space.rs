//! What the disk can still take, and what follows from it for writers, spares and segments.
//!
//! Whatever is in memtables must be written out one day, so the disk bounds them as memory does.
//! Its *room* is what the file system has free, and what prepared logs would give back:
//!
//! ```text
//!            free                    spare logs
//! |--------------------------------|------------|   room
//! | memtables, once | what logs    |  reserve   |
//! | they are flushed| grow by      |            |
//! ```
//!
//! - Puts may fill memtables up to half of the room without the *reserve*, and `memory_bytes` at
//!   most (the *budget*, which `overload` enforces as it does without a disk). The other half is
//!   for the logs of what comes while a flush is under way, and for what others write to the disk.
//! - Deletes may use half of the reserve, too, and what is left of the open log. The other half is
//!   for flushes, for merges, which write a segment before they free one, and for edits.
//! - With nothing left for puts they are refused, once nothing is under way that gives room back;
//!   what is in memory is flushed, unless it is a crumb, so that its logs go, and merges have the
//!   least space for a target.
//! - Logs and segments are made smaller where there is little room, so that little has to be there
//!   before something is given back; dead logs and freed segments go at once.
//!
//! Where the room is not known (`Fs::free_bytes`), or a limit of the user's comes first, calls find
//! out by failing. Then the spare logs are the reserve: a flush that finds the disk full removes
//! them and goes on with one memtable at a time, each of which gives its logs back; and after a
//! failure to make a log the last spare is kept for that.
//!
//! The room is looked at when a log was made, after each flush, twice a second, and before a write
//! is refused for it, so that room which has come back is found by the first that needs it.

use crate::engine::shared::messages::FlushJob;
use crate::engine::shared::room::UNKNOWN;
use crate::engine::{Core, Upkeep};
use crate::error::Error;
use crate::options::OnOverload;
use crate::segment::Segment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// A budget of less is none: each flush takes some room for itself, however little is in it.
const BUDGET_BYTES_MIN: u64 = 64 << 10;

/// With little room less is not flushed: crumbs take more of it than they give back.
const FLUSH_BYTES_MIN: u64 = BUDGET_BYTES_MIN / 2;

/// A log is no longer than this share of the room, a segment than that; but not shorter than this.
const LOG_SHARE: u64 = 16;
const SEGMENT_SHARE: u64 = 32;
const SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// The reserve, besides a log: this many segments, two that a merge reads, the one that it writes,
/// and one; as they are made now, or large ones, of which there may be some, where that is no more
/// than this share of what is stored.
const RESERVE_SEGMENTS: u64 = 4;
const STORED_SHARE: u64 = 8;

/// What puts may fill memtables with.
fn budget(room: u64, reserve: u64, memory_bytes: u64) -> u64 {
    let half = room.saturating_sub(reserve) / 2;
    if half < BUDGET_BYTES_MIN.min(memory_bytes) { 0 } else { half.min(memory_bytes) }
}

impl Core {
    /// Looks at the disk: one system call, not under any lock.
    pub(crate) fn measure_space(&self) {
        let space = &self.space;
        let memory_bytes = self.options.memory_bytes as u64;
        // What cannot be asked is not known.
        let free = self.fs.free_bytes(&self.dir).unwrap_or_default();
        let room = free.map_or(UNKNOWN, |free| free.saturating_add(self.spare_log_bytes()));
        space.room.store(room, Ordering::Relaxed);
        let segments = RESERVE_SEGMENTS * self.options.segment_bytes as u64;
        let most = segments + self.log_capacity_full();
        let reserve = match budget(room, most, memory_bytes) {
            // Whatever is stored.
            left if left == memory_bytes => 0,
            _ => self.reserve(),
        };
        space.reserve.store(reserve, Ordering::Relaxed);
        let now = budget(room, reserve, memory_bytes);
        let before = space.budget.load(Ordering::Relaxed);
        if now == 0 && before > 0 {
            // Before anybody waits for merges.
            space.chosen.store(false, Ordering::Relaxed);
        }
        space.budget.store(now, Ordering::Relaxed);
        if now > before {
            self.gate.wake();
        } else if now == 0 && before > 0 {
            self.merges.wake();
        }
        let failed_at = space.failed_at.load(Ordering::Relaxed);
        let much = BUDGET_BYTES_MIN.max(failed_at / 8);
        if failed_at != UNKNOWN && room > failed_at.saturating_add(much) {
            self.try_again();
        }
    }

    /// Forgets what found the disk full when there was less room, and has it tried again now.
    fn try_again(&self) {
        self.space.failed_at.store(UNKNOWN, Ordering::Relaxed);
        let full = |error: &mut Error| matches!(error, Error::StorageFull { .. });
        for work in [Upkeep::Flush, Upkeep::Spares] {
            drop(lock(&self.troubles)[work as usize].take_if(full));
        }
        self.send_flush(FlushJob::Room);
        self.merges.try_again_where_full();
    }

    /// Hands over segments that no run refers to any more.
    pub(crate) fn free(&self, segments: Vec<Arc<Segment>>) {
        if segments.is_empty() {
            return;
        }
        // Before they are.
        self.space.freeing.store(self.is_room_short(), Ordering::Relaxed);
        self.send_flush(FlushJob::Free(segments));
    }

    /// Looks at the disk after what was handed over has gone.
    pub(crate) fn freed(&self) {
        self.measure_space();
        self.space.freeing.store(false, Ordering::Relaxed);
        self.gate.wake();
    }

    /// Whether merges had better end what they have begun.
    pub(crate) fn is_room_tight(&self) -> bool {
        let reserve = self.space.reserve.load(Ordering::Relaxed);
        self.is_room_short() && self.memory_budget() < reserve || self.is_short()
    }

    /// Whether merges are wanted for the room that they give back.
    pub(crate) fn needs_room(&self) -> bool {
        self.is_room_used_up() || self.is_short()
    }

    /// A compactor has looked for merges that give room back.
    pub(crate) fn merges_are_chosen(&self) {
        if !self.space.chosen.swap(true, Ordering::Relaxed) {
            // A writer that waits for them may find that there are none.
            self.gate.wake();
        }
    }

    /// What the last look leaves for flushes, merges and deletes alone.
    fn reserve(&self) -> u64 {
        let view = self.view.load();
        let stored: u64 = view.segments.runs.iter().map(|run| run.bytes()).sum();
        let now = self.segment_bytes();
        let full = self.options.segment_bytes as u64;
        let segments = |bytes: u64| RESERVE_SEGMENTS * bytes;
        let large = segments(full).min(stored / STORED_SHARE);
        self.log_capacity() + segments(now).min(stored).max(large)
    }

    /// Bytes that puts may fill memtables with, as of the last look.
    #[inline]
    pub(crate) fn memory_budget(&self) -> u64 {
        self.space.budget.load(Ordering::Relaxed)
    }

    /// The same for writes that only delete.
    pub(crate) fn memory_budget_to_delete(&self) -> u64 {
        let reserve = self.space.reserve.load(Ordering::Relaxed);
        let most = budget(self.space.room(), reserve / 2, self.options.memory_bytes as u64);
        // The open log has been prepared, so that some take no room at all.
        most.max(BUDGET_BYTES_MIN)
    }

    /// Whether the disk, and not memory, bounds what writers may do.
    pub(crate) fn is_room_short(&self) -> bool {
        self.memory_budget() < self.options.memory_bytes as u64
    }

    /// Whether nothing but deletes may be written.
    pub(crate) fn is_room_used_up(&self) -> bool {
        self.memory_budget() == 0
    }

    /// Whether there is room for the log of that many bytes, and for the flush of it.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let left = self.space.room().saturating_sub(self.space.reserve.load(Ordering::Relaxed));
        bytes.saturating_mul(2) <= left
    }

    /// The most bytes that a log is prepared for.
    pub(crate) fn log_bytes_max(&self) -> u64 {
        self.space.room() / LOG_SHARE
    }

    /// How large segments become.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let most = self.options.segment_bytes as u64;
        most.min((self.space.room() / SEGMENT_SHARE).max(SEGMENT_BYTES_MIN))
    }

    /// How much is to be in sealed memtables before they are flushed.
    pub(crate) fn flush_bytes(&self) -> u64 {
        let most = self.options.flush_bytes as u64;
        match self.is_room_short() {
            true => most.min((self.memory_budget() / 2).max(FLUSH_BYTES_MIN)),
            false => most,
        }
    }

    /// Whether a flush for want of memory, or of room, is worth the room that it takes.
    pub(crate) fn is_worth_flushing(&self) -> bool {
        !self.is_room_short() || self.memory_used() >= FLUSH_BYTES_MIN
    }

    /// Whether a write that only deletes may wait for a flush, because that is worth it.
    pub(crate) fn may_flush_for_room(&self) -> bool {
        matches!(self.options.on_overload, OnOverload::Pace { .. })
            && self.memory_used() >= FLUSH_BYTES_MIN
    }

    /// Why a put is refused while [`Self::is_room_used_up`].
    pub(crate) fn room_used_up(&self) -> Error {
        let room = self.space.room();
        let reserve = self.space.reserve.load(Ordering::Relaxed);
        let left = format!(
            "{room} bytes can be had, and {reserve} are kept for deletes, flushes and merges"
        );
        let full = std::io::Error::new(std::io::ErrorKind::StorageFull, left);
        Error::io("write to", &self.dir, full)
    }

    /// Looks at the disk again. Whether a write may pass all the same, because there is room by
    /// now, or because it only deletes.
    pub(crate) fn passes_with_little_room(&self, deletes: bool) -> bool {
        self.measure_space();
        let to_delete = self.memory_budget_to_delete();
        let passes = deletes && self.memory_used() <= to_delete;
        if passes && self.memory_used() > to_delete / 2 {
            self.ask_for_memory();
        }
        passes || !self.is_pressed()
    }

    /// Why a write of that many bytes finds the disk full, if nothing is about to change that.
    pub(crate) fn full_disk(&self, bytes: u64) -> Option<Error> {
        if self.may_gain_room() {
            return None;
        }
        if let Some(full @ Error::StorageFull { .. }) = self.write_trouble() {
            return Some(full);
        }
        let refused = self.is_room_used_up() || !self.has_room_for(bytes);
        refused.then(|| self.room_used_up())
    }

    /// Whether something is under way that may give room back, so that waiting is of use.
    pub(crate) fn may_gain_room(&self) -> bool {
        let space = &self.space;
        let will_look = self.options.compaction_threads > 0
            && !self.merges.paused.load(Ordering::Relaxed)
            && !space.chosen.load(Ordering::Relaxed);
        let merging = self.merges.is_getting_on() || will_look;
        let freeing = space.freeing.load(Ordering::Relaxed);
        let failing = || lock(&self.troubles)[Upkeep::Flush as usize].is_some();
        merging || freeing || self.gate.used() >= FLUSH_BYTES_MIN && !failing()
    }

    /// Whether the last log that was wanted could not be made, or memtables not be flushed, for
    /// want of room.
    pub(crate) fn is_short(&self) -> bool {
        self.space.short.load(Ordering::Relaxed)
    }

    /// Takes down how the making of a log went, or a flush.
    pub(crate) fn note_room<T>(&self, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.space.short.store(false, Ordering::Relaxed),
            Err(Error::StorageFull { .. }) => {
                self.no_room_was_left();
                // A flush gives its logs back. Once: it is tried again by itself.
                if !self.space.short.swap(true, Ordering::Relaxed) {
                    self.send_flush(FlushJob::Sealed);
                }
            }
            Err(_) => {}
        }
    }

    /// Takes down that something found the disk full, and has given up what it had written.
    pub(crate) fn no_room_was_left(&self) {
        self.measure_space();
        self.space.failed_at.store(self.space.room(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
