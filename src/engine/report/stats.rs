//! What the engine counts about itself, and how it says it.

use std::fmt;

use crate::engine::merge::stats::{MergeStats, merge_stats};
use crate::engine::shared::figures::{bytes, counted, grouped, ms};
use crate::engine::shared::stalls::StallCause;
use crate::engine::{Core, Engine};
use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A moment's figures of a database, from [`Db::stats`](crate::Db::stats). `Display` prints a
/// table.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// let stats = db.stats();
/// assert!(stats.memtable_bytes > 0 && stats.segments == 0);
/// println!("{stats}");
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The last sequence that reads may see. No count of operations: each open goes on 2^32 above
    /// the one before, so that a number that a crash has taken is not given out again. There are
    /// 2^64.
    pub visible: u64,
    /// Memtables that are sealed and not yet flushed.
    pub memtables_sealed: u64,
    /// Bytes in memtables, the active one included.
    pub memtable_bytes: u64,
    /// Bytes in flushed memtables that are still in memory: for a second or so after the flush, and
    /// for as long as an iterator holds them.
    pub memtable_bytes_retired: u64,
    /// Runs on disk; a read looks at the filter of each that may hold its key.
    pub runs: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Versions in segments, superseded ones and tombstones included.
    pub segment_entries: u64,
    /// Segments whose stored index, filter or properties were found damaged at open, and derived
    /// from their data instead. Nothing is lost; the device deserves a look.
    pub indexes_rebuilt: u64,
    /// Log files that a recovery would read.
    pub logs: u64,
    /// Bytes appended to the log that are not known to be durable yet.
    pub log_bytes_unsynced: u64,
    /// Syncs of the log, each for everyone who waited.
    pub log_syncs: u64,
    /// Recovered log bytes that had to be written again before they could be called durable.
    pub log_bytes_rewritten: u64,
    /// Flushes since open.
    pub flushes: u64,
    /// Bytes that flushes wrote since open.
    pub flush_bytes: u64,
    /// By how many steps the threads that flush and merge are nicer than the one that opened the
    /// database ([`background_nice`](crate::Builder::background_nice)), 19 being the nicest: 0
    /// where the system has no such thing, or has refused one of them.
    pub background_nice: u64,
    /// What merging has done, and what the shape of the runs costs.
    pub merges: MergeStats,
    /// Bytes of decoded blocks in memory, those that values still share included.
    pub cache_bytes: u64,
    /// The bound of those in the cache, [`cache_bytes`](crate::Builder::cache_bytes).
    pub cache_bytes_max: u64,
    /// Block reads that found the block in the cache.
    pub cache_hits: u64,
    /// Block reads that went to the file.
    pub cache_misses: u64,
    /// Stretches of deleted keys that scans remember now, in at most 4 MiB. A scan over 32 deleted
    /// keys or more, with no live one between them, remembers them, and later scans jump.
    pub stretches: u64,
    /// How often scans have jumped over one since open, or ended in it, instead of walking over
    /// what is deleted. Counted when the iterator is dropped.
    pub stretch_jumps: u64,
    /// Live snapshots.
    pub snapshots: u64,
    /// Sequence of the oldest live snapshot.
    pub snapshot_oldest: Option<u64>,
    /// How long it has been held, in milliseconds.
    pub snapshot_oldest_ms: Option<u64>,
    /// Operations committed since it was taken: it keeps what they have replaced.
    pub snapshot_oldest_ops: u64,
    /// Versions that flushes and merges wrote since open only because a snapshot saw them, each
    /// time that they did: for new readers they were replaced or deleted. Once the snapshots are
    /// gone merges drop them.
    pub snapshot_versions_kept: u64,
    /// Open transactions. Each has a snapshot, which `snapshots` counts too.
    pub transactions: u64,
    /// About what they take in memory, for what they have read and written.
    pub transaction_bytes: u64,
    /// Transactions that have committed since open.
    pub transaction_commits: u64,
    /// Commits that failed with [`Error::Conflict`].
    pub transaction_conflicts: u64,
    /// How often one that had lost too often held what it reads, so that others waited.
    pub transaction_holds: u64,
    /// Superseded views that iterators still hold, as of at most half a second ago. The memtables
    /// of each are in `memtable_bytes_retired`.
    pub views_held: u64,
    /// Bytes of segment files that the database needs no more and that are still on disk: for a
    /// second or so, and for as long as an iterator holds them.
    pub segment_bytes_held: u64,
    /// Writes that found [`memory_bytes`](crate::Builder::memory_bytes) used up, and waited for a
    /// flush.
    pub stalls: u64,
    /// Time that they waited, in microseconds.
    pub stalled_us: u64,
    /// Writes that were delayed while memory ran short, so that it would last until a flush gives
    /// some back.
    pub paced: u64,
    /// Time that they were delayed, in microseconds.
    pub paced_us: u64,
    /// Writes that waited for a log file: one after a failed append may, or after an
    /// open on a full disk, and a big batch.
    pub stalls_log: u64,
    /// Time that they waited, in microseconds.
    pub stalled_log_us: u64,
    /// Writes that failed with [`Error::Overloaded`].
    pub refused_overloaded: u64,
    /// Writes that failed with [`Error::StorageFull`].
    pub refused_full: u64,
    /// What a write waited for last, or was refused for.
    pub stall_last: Option<StallCause>,
}

/// Whether background work goes well, from [`Db::health`](crate::Db::health).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// let health = db.health();
/// assert!(health.writer_stopped.is_none() && health.background_error.is_none());
/// println!("{health}");
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// The failure that has stopped writing for good; reads go on. Reopen to recover.
    pub writer_stopped: Option<Error>,
    /// What background work ran into last; it is tried again, and this is cleared when it succeeds.
    /// A segment that a merge found damaged stays here until no run has it any more, or until
    /// [`Db::verify`](crate::Db::verify) has found it sound.
    pub background_error: Option<Error>,
    /// Segments whose stored index, filter or properties were found damaged at open, and derived
    /// from their data instead: nothing is lost, and each open reads them whole.
    pub indexes_rebuilt: u64,
    /// Segments that the manifest does not name, found whole by this open where nothing shows that
    /// the manifest has lost no edit. Each was renamed to `….seg.orphan`, and is not touched again:
    /// look whether data is missing, and remove them if none is.
    pub orphans_kept: u64,
}

impl Health {
    /// Whether there is nothing to report.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.health().is_healthy());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.writer_stopped.is_none()
            && self.background_error.is_none()
            && self.indexes_rebuilt == 0
            && self.orphans_kept == 0
    }
}

pub(crate) fn gather_stats(engine: &Engine) -> Stats {
    let core = &engine.core;
    if core.is_forked() {
        return Stats::default();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let view = core.view.load();
    let tables = std::iter::once(&view.active).chain(&view.sealed);
    let files = crate::runs::each_file(&view.segments);
    let unsynced = core.logs.appended().0.saturating_sub(core.group_sync.synced().0);
    // The oldest snapshot first: what it sees is visible.
    let oldest = core.snapshots.oldest();
    let visible = engine.visible().0;
    let transactions = &core.counters.transactions;
    let waits = &core.counters.stalls;
    let (stalls, stalled_us) = waits.of(StallCause::Memory);
    let (paced, paced_us) = waits.of(StallCause::Pace);
    let (stalls_log, stalled_log_us) = waits.of(StallCause::Log);
    Stats {
        visible,
        memtables_sealed: view.sealed.len() as u64,
        memtable_bytes: tables.map(|table| table.bytes() as u64).sum(),
        memtable_bytes_retired: count(&core.counters.retired_bytes),
        runs: view.segments.runs.len() as u64,
        segments: files.len() as u64,
        segment_bytes: files.iter().map(|segment| segment.bytes()).sum(),
        segment_entries: files.iter().map(|file| file.properties().entries()).sum(),
        indexes_rebuilt: indexes_rebuilt(core) as u64,
        logs: core.logs.list().len() as u64,
        log_bytes_unsynced: unsynced,
        log_syncs: count(&core.counters.log_syncs),
        log_bytes_rewritten: count(&core.counters.log_bytes_rewritten),
        flushes: count(&core.counters.flushes),
        flush_bytes: count(&core.counters.flush_bytes_out),
        background_nice: count(&core.counters.background_nice),
        merges: merge_stats(engine),
        cache_bytes: core.cache.used() as u64,
        cache_bytes_max: core.cache.capacity() as u64,
        cache_hits: core.cache.stats().hits,
        cache_misses: core.cache.stats().misses,
        stretches: view.active.stretches().count() as u64,
        stretch_jumps: count(&core.counters.stretch_jumps),
        snapshots: core.snapshots.count() as u64,
        snapshot_oldest: oldest.map(|(at, _)| at.0),
        snapshot_oldest_ms: oldest.map(|(_, since)| core.pace.now_ms().saturating_sub(since)),
        snapshot_oldest_ops: oldest.map_or(0, |(at, _)| visible.saturating_sub(at.0)),
        snapshot_versions_kept: count(&core.counters.kept_for_snapshots),
        transactions: count(&transactions.open),
        transaction_bytes: count(&transactions.bytes),
        transaction_commits: count(&transactions.commits),
        transaction_conflicts: count(&transactions.conflicts),
        transaction_holds: count(&transactions.holds),
        views_held: count(&core.counters.views_held),
        segment_bytes_held: count(&core.counters.files_held_bytes),
        stalls,
        stalled_us,
        paced,
        paced_us,
        stalls_log,
        stalled_log_us,
        refused_overloaded: waits.overloaded(),
        refused_full: waits.of(StallCause::DiskFull).0,
        stall_last: waits.last(),
    }
}

pub(crate) fn gather_health(engine: &Engine) -> Health {
    let core = &engine.core;
    if core.is_forked() {
        let stopped = Some(crate::Error::Forked);
        return Health { writer_stopped: stopped, ..Health::default() };
    }
    Health {
        writer_stopped: core.stopped(),
        background_error: core.trouble(),
        indexes_rebuilt: indexes_rebuilt(core) as u64,
        orphans_kept: core.counters.orphans_kept.load(Ordering::Relaxed) as u64,
    }
}

fn indexes_rebuilt(core: &Core) -> usize {
    core.view.load().segments.segments().filter(|segment| segment.was_damaged()).count()
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        row("visible sequence", self.visible.to_string())?;
        row(
            "memtables",
            format!(
                "{} sealed, {} in all, {} more about to be freed",
                self.memtables_sealed,
                bytes(self.memtable_bytes),
                bytes(self.memtable_bytes_retired)
            ),
        )?;
        row(
            "runs",
            format!(
                "{} ({}, {}, {})",
                self.runs,
                counted(self.segments, "segment"),
                bytes(self.segment_bytes),
                counted(self.segment_entries, "version")
            ),
        )?;
        if self.indexes_rebuilt > 0 {
            row("indexes rebuilt", self.indexes_rebuilt.to_string())?;
        }
        let unsynced = bytes(self.log_bytes_unsynced);
        row("log", format!("{}, {unsynced} unsynced", counted(self.logs, "file")))?;
        row(
            "log syncs",
            format!("{} ({} rewritten)", grouped(self.log_syncs), bytes(self.log_bytes_rewritten)),
        )?;
        row("flushes", format!("{} ({} written)", grouped(self.flushes), bytes(self.flush_bytes)))?;
        writeln!(f, "{}", self.merges)?;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        row(
            "block cache",
            format!(
                "{} of {} ({}, {} missed)",
                bytes(self.cache_bytes),
                bytes(self.cache_bytes_max),
                counted(self.cache_hits, "hit"),
                grouped(self.cache_misses)
            ),
        )?;
        let jumps = counted(self.stretch_jumps, "time");
        row("deleted stretches", format!("{} remembered, jumped over {jumps}", self.stretches))?;
        self.fmt_held(f)?;
        self.fmt_waits(f)
    }
}

impl Stats {
    /// What snapshots and iterators hold back.
    fn fmt_held(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        let mut snapshots = self.snapshots.to_string();
        if let (Some(at), Some(age_ms)) = (self.snapshot_oldest, self.snapshot_oldest_ms) {
            let since = counted(self.snapshot_oldest_ops, "operation");
            snapshots += &format!(", oldest at {at}, {} s and {since} ago", age_ms / 1_000);
        }
        row("snapshots", snapshots)?;
        let kept = counted(self.snapshot_versions_kept, "version");
        row("kept for snapshots", format!("{kept}, since open"))?;
        row(
            "transactions",
            format!(
                "{} open ({}), {}, {}, {} held",
                self.transactions,
                bytes(self.transaction_bytes),
                counted(self.transaction_commits, "commit"),
                counted(self.transaction_conflicts, "conflict"),
                grouped(self.transaction_holds)
            ),
        )?;
        let held = bytes(self.segment_bytes_held);
        row(
            "superseded views",
            format!("{} held, {held} of files freed with them", self.views_held),
        )
    }

    /// What writes waited for. The last rows: the last one ends without a line break.
    fn fmt_waits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22} {value}");
        let [memory, paced, log] = [self.stalled_us, self.paced_us, self.stalled_log_us].map(ms);
        let [stalls, logs] = [self.stalls, self.stalls_log].map(grouped);
        row("stalls", format!("{stalls} ({memory}), and {logs} for a log ({log})"))?;
        row("paced writes", format!("{} ({paced})", grouped(self.paced)))?;
        let last = self.stall_last.map_or(String::new(), |cause| format!("; last: {cause}"));
        let [memory, disk] = [self.refused_overloaded, self.refused_full].map(grouped);
        write!(f, "{:<22} {memory} overloaded, {disk} on a full disk{last}", "refused writes")
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.writer_stopped, &self.background_error) {
            (None, None) if self.indexes_rebuilt > 0 => write!(
                f,
                "at open, the index, filter or properties block of {} was damaged and derived from \
                 the data instead; nothing is lost: check the device, and copy the database",
                counted(self.indexes_rebuilt, "segment")
            ),
            (None, None) if self.orphans_kept > 0 => write!(
                f,
                "at open, nothing showed that the manifest had not lost its end; {} that it does \
                 not name kept as *.seg.orphan: look whether data is missing, and remove them if \
                 none is",
                counted(self.orphans_kept, "segment")
            ),
            (None, None) => f.write_str("healthy"),
            (Some(error), _) => write!(f, "{error}"),
            (None, Some(error)) => write!(f, "background work will be tried again: {error}"),
        }
    }
}
