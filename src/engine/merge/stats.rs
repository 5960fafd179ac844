//! What merging has done since open, and what the shape of the runs costs now.

use std::fmt;

use crate::engine::Engine;
use crate::engine::shared::figures::{bytes, counted, grouped};
use crate::runs::each_file;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What merging has done since open, and what the runs cost now; part of [`Stats`](crate::Stats).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// for value in ["old", "new"] {
///     db.put("k", value)?;
///     db.flush()?;
/// }
/// db.compact()?;
/// let merges = db.stats().merges;
/// assert!(merges.entries_read >= 2 && merges.write_amplification > 1.0);
/// assert_eq!((merges.read_amplification, merges.debt_bytes), (2, 0)); // a memtable and a run
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MergeStats {
    /// Pairs of runs that were merged to the end.
    pub jobs: u64,
    /// Steps of merges; each publishes at most a segment or so.
    pub steps: u64,
    /// Bytes of keys and values that merges read.
    pub bytes_read: u64,
    /// Bytes of segment files that merges wrote.
    pub bytes_written: u64,
    /// Versions that merges read.
    pub entries_read: u64,
    /// Versions that they wrote; the others were superseded, or deleted.
    pub entries_written: u64,
    /// Segments that went from one run into the next as they were, because nothing overlapped them.
    pub segments_moved: u64,
    /// Bytes that the merges that have begun have still to read.
    pub debt_bytes: u64,
    /// Bytes written to segments for each byte flushed, the flush included; the log is not. 1 if
    /// nothing was merged, 0 if nothing was flushed.
    pub write_amplification: f64,
    /// Bytes of segment files for each byte of the largest run: what the disk holds, over about
    /// what it would hold if all were merged. 1 for one run, 0 for none; a database that only grows
    /// is better than this says.
    pub space_amplification: f64,
    /// Memtables and runs that a get of an absent key asks; their filters spare it nearly all of
    /// the reading.
    pub read_amplification: u64,
}

pub(crate) fn merge_stats(engine: &Engine) -> MergeStats {
    let counters = &engine.core.counters.merges;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let view = engine.core.view.load();
    let set = &view.segments;
    let on_disk: u64 = each_file(set).iter().map(|segment| segment.bytes()).sum();
    let largest = set.runs.iter().map(|run| run.bytes()).max().unwrap_or(0);
    let flushed = count(&engine.core.counters.flush_bytes_out);
    let written = count(&counters.bytes_out);
    let share = |of: u64, whole: u64| if whole == 0 { 0.0 } else { of as f64 / whole as f64 };
    MergeStats {
        jobs: count(&counters.jobs),
        steps: count(&counters.steps),
        bytes_read: count(&counters.bytes_in),
        bytes_written: written,
        entries_read: count(&counters.entries_in),
        entries_written: count(&counters.entries_out),
        segments_moved: count(&counters.moved),
        debt_bytes: count(&engine.core.merges.debt_bytes),
        write_amplification: share(flushed + written, flushed),
        space_amplification: share(on_disk, largest),
        read_amplification: 1 + (view.sealed.len() + set.runs.len()) as u64,
    }
}

impl fmt::Display for MergeStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        let read = bytes(self.bytes_read);
        let written = bytes(self.bytes_written);
        let steps = counted(self.steps, "step");
        row(
            "merges",
            format!("{} in {steps} ({read} read, {written} written)", grouped(self.jobs)),
        )?;
        let moved = counted(self.segments_moved, "segment");
        let left_out = self.entries_read.saturating_sub(self.entries_written);
        let left_out = counted(left_out, "version");
        row("", format!("{left_out} left out, {moved} moved, {} to do", bytes(self.debt_bytes)))?;
        write!(
            f,
            "{:<22} write {:.2}, space {:.2}, read {}",
            "amplification",
            self.write_amplification,
            self.space_amplification,
            counted(self.read_amplification, "layer")
        )
    }
}
