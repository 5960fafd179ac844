//! What the engine says about itself and its segments, and what it does on request.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use alluvium::{Db, MergeStats};
use serde_json::{Value, json};

use super::layers::{draw, layers};
use super::spec::{Given, Read, done};
use crate::print::output::{self, Ink, Output};
use crate::shell::{Failure, Shell};
use crate::text::escape::escaped;
use crate::text::size::{self, bytes, counted};

pub(super) fn stats(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let stats = shell.db.stats();
    let health = shell.db.health();
    if !out.look.json {
        writeln!(out, "{stats}\n{health}")?;
        return Ok(());
    }
    let merges = merges_as_json(&stats.merges);
    let mut answer = json!({
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
        "cache_bytes_max": stats.cache_bytes_max,
        "cache_hits": stats.cache_hits,
        "cache_misses": stats.cache_misses,
        "stretches": stats.stretches,
        "stretch_jumps": stats.stretch_jumps,
        "snapshots": stats.snapshots,
        "snapshot_oldest": stats.snapshot_oldest,
        "snapshot_oldest_ms": stats.snapshot_oldest_ms,
        "snapshot_oldest_ops": stats.snapshot_oldest_ops,
        "snapshot_versions_kept": stats.snapshot_versions_kept,
        "views_held": stats.views_held,
        "segment_bytes_held": stats.segment_bytes_held,
        "stalls": stats.stalls,
        "stalled_us": stats.stalled_us,
        "paced": stats.paced,
        "paced_us": stats.paced_us,
        "stalls_log": stats.stalls_log,
        "stalled_log_us": stats.stalled_log_us,
        "refused_overloaded": stats.refused_overloaded,
        "refused_full": stats.refused_full,
        "stall_last": stats.stall_last.map(|cause| cause.to_string()),
        "indexes_rebuilt": stats.indexes_rebuilt,
        "background_nice": stats.background_nice,
        "merges": merges,
        "healthy": health.is_healthy(),
        "health": health.to_string(),
    });
    // Apart, because the macro takes no more lines.
    let of_transactions = [
        ("transactions", stats.transactions),
        ("transaction_bytes", stats.transaction_bytes),
        ("transaction_commits", stats.transaction_commits),
        ("transaction_conflicts", stats.transaction_conflicts),
        ("transaction_holds", stats.transaction_holds),
    ];
    for (name, figure) in of_transactions {
        answer[name] = figure.into();
    }
    writeln!(out, "{answer}")?;
    Ok(())
}

fn merges_as_json(merges: &MergeStats) -> Value {
    json!({
        "jobs": merges.jobs,
        "steps": merges.steps,
        "bytes_read": merges.bytes_read,
        "bytes_written": merges.bytes_written,
        "entries_read": merges.entries_read,
        "entries_written": merges.entries_written,
        "segments_moved": merges.segments_moved,
        "debt_bytes": merges.debt_bytes,
        "write_amplification": merges.write_amplification,
        "space_amplification": merges.space_amplification,
        "read_amplification": merges.read_amplification,
    })
}

pub(super) fn segments(given: &mut Given) -> Read {
    let all = given.flag("--all");
    done(move |shell, out| print_segments(shell, all, out))
}

fn print_segments(shell: &Shell, all: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    // Runs before segments: a run that a merge ends in between has no segment in the second list.
    let runs = shell.db.runs();
    let infos = shell.db.segments();
    let merging: Vec<_> = runs.iter().filter(|run| run.merging).map(|run| run.id).collect();
    if out.look.json {
        for info in infos {
            let answer = json!({
                "run": info.run,
                "age": info.age,
                "number": info.number,
                "merging": merging.contains(&info.run),
                "bytes": info.bytes,
                "raw_bytes": info.raw_bytes,
                "used_bytes": info.used_bytes,
                "trimmed": info.trimmed,
                "blocks": info.blocks,
                "entries": info.entries,
                "tombstones": info.tombstones,
                "first_keyspace": info.first_keyspace,
                "first_key": output::bytes(&info.first_key),
                "last_keyspace": info.last_keyspace,
                "last_key": output::bytes(&info.last_key),
                "last_excluded": info.last_excluded,
                "smallest": info.smallest.0,
                "largest": info.largest.0,
                "created_ms": info.created_ms,
                "pinned_bytes": info.pinned_bytes,
            });
            writeln!(out, "{answer}")?;
        }
        return Ok(());
    }
    if infos.is_empty() {
        writeln!(out, "{}", out.look.paint(Ink::Faint, "(none: all is in memory and in the log)"))?;
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| since.as_millis() as u64);
    for line in draw(&layers(&infos, &merging, all), now_ms, out.look) {
        writeln!(out, "{line}")?;
    }
    // Each file once, however many parts of it there are.
    let files: BTreeMap<_, _> = infos.iter().map(|info| (info.number, info)).collect();
    let runs = infos.last().map_or(0, |info| info.age + 1);
    let total = format!(
        "{}, newest first; {}, {}, {}",
        counted(runs, "run"),
        counted(files.len() as u64, "segment"),
        bytes(files.values().map(|info| info.bytes).sum()),
        counted(files.values().map(|info| info.entries).sum::<u64>(), "version")
    );
    writeln!(out, "{}", out.look.paint(Ink::Faint, &total))?;
    Ok(())
}

pub(super) fn set_threshold(given: &mut Given) -> Read {
    let word = given.needed();
    let size = size::size(&word).ok_or_else(|| {
        let got = escaped(&word);
        format!("{got:?} is no size: write bytes, or a number with KiB, MiB or GiB")
    })?;
    done(move |shell, out| {
        shell.db.set_memtable_bytes(size)?;
        let text = format!("memtables of {} from the next one on", bytes(size));
        out.say(&text, || json!({"memtable_bytes": size}))?;
        Ok(())
    })
}

/// Makes all that was stored durable.
pub(super) fn sync(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    waited(shell, "the sync", |db| db.sync())??;
    out.ok()?;
    Ok(())
}

/// Moves what is in memory into a segment.
pub(super) fn flush(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    waited(shell, "the flush", |db| db.flush())??;
    out.ok()?;
    Ok(())
}

/// Does on another thread what may take long, so that an interrupt leads back to the prompt.
pub(super) fn waited<T: Send + 'static>(
    shell: &Shell,
    what: &str,
    work: impl FnOnce(&Db) -> T + Send + 'static,
) -> Result<T, Failure> {
    let db = shell.db.clone();
    let done = shell.interrupt.wait(move || work(&db));
    done.ok_or_else(|| Failure::Interrupted(format!("{what} goes on in the background")))
}

/// Damage fails the command, so that a script notices.
pub(super) fn verify(shell: &mut Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let report = waited(shell, "what the check still reads", |db| db.verify())??;
    let errors = || report.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    out.say(&report.to_string(), || {
        json!({
            "segments": report.segments, "blocks": report.blocks, "entries": report.entries,
            "keys": report.keys, "bytes": report.bytes, "logs": report.logs,
            "log_records": report.log_records, "damages": report.damages,
            "errors": errors(),
        })
    })?;
    if report.is_sound() {
        return Ok(());
    }
    Err("the database is damaged: copy its directory; export --skip-damaged saves what can be read"
        .into())
}
