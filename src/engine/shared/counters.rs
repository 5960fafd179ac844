//! What the engine counts about itself.

use crate::engine::shared::stalls::Stalls;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// Counters that are always on. Relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flushes: AtomicU64,
    pub(crate) flush_bytes_out: AtomicU64,
    pub(crate) views_published: AtomicU64,
    pub(crate) merges: MergeCounters,
    pub(crate) transactions: TransactionCounters,
    pub(crate) log_syncs: AtomicU64,
    pub(crate) log_bytes_rewritten: AtomicU64,
    /// As of the flush thread's last look.
    pub(crate) retired_bytes: AtomicU64,
    /// As of the same.
    pub(crate) views_held: AtomicU64,
    pub(crate) files_held_bytes: AtomicU64,
    pub(crate) kept_for_snapshots: AtomicU64,
    /// Segments that the open has kept though nothing names them.
    pub(crate) orphans_kept: AtomicUsize,
    pub(crate) snapshots_saved: AtomicU64,
    pub(crate) stalls: Stalls,
    /// By how many steps the threads that flush and merge are nicer.
    pub(crate) background_nice: AtomicU64,
    /// Counted when an iterator goes.
    pub(crate) stretch_jumps: AtomicU64,
    /// Whether the flush thread has been asked to evict and has not done so yet.
    pub(crate) evicting: AtomicBool,
}

/// The same of merges.
#[derive(Debug, Default)]
pub(crate) struct MergeCounters {
    /// Pairs that were merged to the end.
    pub(crate) jobs: AtomicU64,
    pub(crate) steps: AtomicU64,
    /// Keys and values that merges read.
    pub(crate) bytes_in: AtomicU64,
    /// Segment files that merges wrote.
    pub(crate) bytes_out: AtomicU64,
    pub(crate) entries_in: AtomicU64,
    pub(crate) entries_out: AtomicU64,
    /// References that went from run to run as they were.
    pub(crate) moved: AtomicU64,
}

/// The same of transactions.
#[derive(Debug, Default)]
pub(crate) struct TransactionCounters {
    /// All since open.
    pub(crate) begun: AtomicU64,
    /// Those that are open.
    pub(crate) open: AtomicU64,
    /// What they have read and written, in bytes.
    pub(crate) bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    /// How often one has held what it has read.
    pub(crate) holds: AtomicU64,
}
