//! What the engine says about itself.

use std::io::Write;

use serde_json::json;

use super::Failure;
use crate::output::Output;
use crate::shell::Shell;

pub(super) fn stats(shell: &Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let (stats, health) = (shell.db.stats(), shell.db.health());
    if !out.look.json {
        writeln!(out, "{stats}\n{health}")?;
        return Ok(());
    }
    let answer = json!({
        "visible": stats.visible,
        "memtables_sealed": stats.memtables_sealed,
        "memtable_bytes": stats.memtable_bytes,
        "memtable_bytes_retired": stats.memtable_bytes_retired,
        "runs": stats.runs,
        "segments": stats.segments,
        "segment_bytes": stats.segment_bytes,
        "segment_entries": stats.segment_entries,
        "logs": stats.logs,
        "log_bytes_unsynced": stats.log_bytes_unsynced,
        "log_syncs": stats.log_syncs,
        "log_bytes_rewritten": stats.log_bytes_rewritten,
        "flushes": stats.flushes,
        "flush_bytes": stats.flush_bytes,
        "cache_bytes": stats.cache_bytes,
        "cache_hits": stats.cache_hits,
        "cache_misses": stats.cache_misses,
        "snapshots": stats.snapshots,
        "snapshot_oldest": stats.snapshot_oldest,
        "stalls": stats.stalls,
        "stalled_us": stats.stalled_us,
        "indexes_rebuilt": stats.indexes_rebuilt,
        "healthy": health.is_healthy(),
        "health": health.to_string(),
    });
    writeln!(out, "{answer}")?;
    Ok(())
}
