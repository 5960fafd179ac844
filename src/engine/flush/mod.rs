//! From sealed memtables to one run on disk. On the flush thread, when they hold `flush_bytes`, are
//! more than 16, or on demand.
//!
//! ```text
//!            memtables                    runs          logs
//!   before   active 10 | sealed 9, 8, 7   |   C, B, A    10 -> 9 -> 8 -> 7, the floor
//!                            \_ merged: D
//!   after    active 10 |                  | D, C, B, A   10, the floor; 9, 8, 7 are spares
//! ```
//!
//! 1. Take the view's sealed memtables; read snapshots and `visible` together.
//! 2. Merge, leave out what nobody can see (`compaction::survive`), write segments, cut at
//!    `segment_bytes` and at keyspace boundaries from 1 MiB on; sync and open each; sync the
//!    directory.
//! 3. Find the log that becomes the floor, and sync the log up to there.
//! 4. Append and sync one edit, with its mark: the run, the floor, and the drops whose records were
//!    in these memtables.
//! 5. Publish the view with the run and without the memtables; only then hand the logs below the
//!    floor on, to be used again.
//!
//! A failure before the edit leaves nothing behind but files to remove; the memtables stay, and the
//! flush is tried again. If the edit itself fails its outcome is unknown, and the outputs go only
//! after a new manifest file without it counts.

pub(crate) mod backoff;
pub(crate) mod desk;
pub(crate) mod thread;

use crate::compaction::survive::{Survival, Verdict};

use crate::engine::flush::desk::{Desk, PIECE_BYTES, PIECE_ENTRIES};
use crate::engine::manifest::{self, append_edit, settle_manifest};
use crate::engine::outputs::{Outputs, open_finished, remove_segment};
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::shared::view::SEALED_MAX;
use crate::engine::write::sync;
use crate::engine::{Core, Engine, Upkeep, View};
use crate::error::{Error, Result};
use crate::event::scope;
use crate::format::edit::Change;
use crate::ids::{LogNumber, Sequence};
use crate::iter::Cursor;
use crate::iter::merge::MergeCursor;
use crate::log::{LogFile, SpareLog};
use crate::memtable::Memtable;
use crate::runs::{Run, SegmentSet};
use crate::segment::FinishedSegment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// More recovered logs than this are flushed however little they hold: each kill leaves one.
const RECOVERED_MAX: usize = 8;

/// More recovered logs than this, full ones apart, are not left to the background.
const RECOVERED_AT_OPEN_MAX: usize = 24;

/// Whether enough is sealed for a flush to be worth its syncs. Never once the writer has
/// stopped: the log cannot be synced then, so every try would write a run in vain. A close
/// still tries, because after the last write it needs no log.
pub(crate) fn flush_is_due(core: &Core) -> bool {
    let sealed = core.view.load().sealed.len();
    let enough = sealed > 0 && core.gate.used() >= core.flush_bytes()
        || sealed > SEALED_MAX
        || (sealed > 0 && core.logs.recovered() > RECOVERED_MAX)
        || (core.is_short() && core.memory_used() > 0);
    enough && core.stopped().is_none()
}

/// Keeps what a recovery reads short: each kill leaves a log, whatever is in it. A few are
/// flushed in the background; more are before the open returns, which the program might not
/// outlive for long. Unless they are many because they are full: memory bounds those.
pub(crate) fn flush_recovered(engine: &Engine) {
    let core = &engine.core;
    let full = core.gate.used() as usize / core.memtable_bytes();
    if core.logs.recovered() > RECOVERED_AT_OPEN_MAX + full {
        // A failure is in `health()`, and tried again.
        let _ = engine.flush();
    } else if flush_is_due(core) {
        core.send_flush(FlushJob::Sealed);
    }
}

/// Flushes every memtable that is sealed now into one run.
pub(crate) fn flush_sealed(engine: &Engine, desk: &mut Desk<'_>) -> Result<()> {
    if engine.core.options.read_only {
        return Ok(());
    }
    let count = engine.core.view.load().sealed.len();
    let mut result = flush_group(engine, count, desk);
    if let Err(Error::StorageFull { .. }) = result {
        engine.core.note_room(&result);
        result = flush_one_by_one(engine, count, desk);
    }
    if count > 0 {
        engine.core.note_room(&result);
        engine.core.measure_space();
    }
    engine.core.pace.flush_ended(result.is_ok(), engine.core.pace.now_ns());
    engine.core.note(Upkeep::Flush, &result);
    engine.core.gate.wake();
    result
}

/// On a disk that is full: what the spare logs take is enough for one memtable, and that gives
/// its own logs back.
fn flush_one_by_one(engine: &Engine, count: usize, desk: &mut Desk<'_>) -> Result<()> {
    (0..count).try_for_each(|_| {
        engine.core.give_up_spare_logs();
        flush_group(engine, 1, desk)
    })
}

/// Flushes the oldest `count` of the sealed memtables.
fn flush_group(engine: &Engine, count: usize, desk: &mut Desk<'_>) -> Result<()> {
    let core = &engine.core;
    let view = core.view.load_full();
    let tables = &view.sealed[view.sealed.len().saturating_sub(count)..];
    if tables.is_empty() {
        return Ok(());
    }
    core.check_directory()?;
    core.pace.batch_waits.store(false, Ordering::Relaxed);
    settle_manifest(core)?;
    let bytes: u64 = tables.iter().map(|table| table.bytes() as u64).sum();
    let _scope = scope!("flush", memtables = tables.len(), bytes);
    core.pace.flush_began(bytes, core.pace.now_ns());
    let mut outputs = Outputs::new(core, false);
    let bottom = view.segments.runs.is_empty();
    let written = write_run(engine, tables, bottom, &mut outputs, desk);
    let finished = written.and_then(|newest| Ok((outputs.finish()?, newest)));
    let (finished, newest) = match finished {
        Ok(finished) => finished,
        Err(error) => {
            outputs.abandon();
            return Err(error);
        }
    };
    install(engine, tables, &finished, newest)?;
    drop(view);
    // First, so that nobody is told of memory that is still there.
    desk.free_memtables(core);
    // Where files are removed right here, writers wait for that: they would fill as many (I34).
    release_logs(core);
    core.gate.sub(bytes);
    core.counters.flushes.fetch_add(1, Ordering::Relaxed);
    let stored: u64 = finished.iter().map(|segment| segment.bytes).sum();
    core.counters.flush_bytes_out.fetch_add(stored, Ordering::Relaxed);
    core.merges.wake();
    Ok(())
}

/// Merges the memtables, leaves out what nobody can see, and writes the rest. Returns the
/// largest sequence of any version in them.
fn write_run(
    engine: &Engine,
    tables: &[Arc<Memtable>],
    bottom: bool,
    outputs: &mut Outputs<'_>,
    desk: &mut Desk<'_>,
) -> Result<Sequence> {
    let core = &engine.core;
    let points = core.snapshots.read_points(|| engine.visible());
    let dropped = core.keyspaces.dropped();
    let mut survival = Survival::new(points.snapshots, points.visible, bottom, &dropped);
    let sources = tables.iter().map(Memtable::cursor).collect();
    let mut merged = MergeCursor::new(sources);
    merged.seek(crate::format::key::Position::first(Default::default(), &[]))?;
    let mut newest = Sequence(0);
    let mut entries = 0_u64;
    let mut bytes = 0_u64;
    while let Some(entry) = merged.entry() {
        newest = newest.max(entry.sequence);
        if survival.keep(&entry) == Verdict::Keep {
            if outputs.ends_before(&entry) {
                outputs.close()?;
                desk.serve(engine);
            }
            outputs.add(&entry)?;
            bytes += (entry.key.len() + entry.value.len()) as u64;
        }
        merged.next()?;
        entries += 1;
        if entries >= PIECE_ENTRIES || bytes >= PIECE_BYTES {
            (entries, bytes) = (0, 0);
            desk.serve(engine);
        }
    }
    let kept = survival.kept_for_snapshots();
    core.counters.kept_for_snapshots.fetch_add(kept, Ordering::Relaxed);
    Ok(newest)
}

/// Makes the run durable, known to the manifest and visible. `newest` is the last version of
/// the memtables. After an error nothing refers to `finished`, and its files go.
fn install(
    engine: &Engine,
    tables: &[Arc<Memtable>],
    finished: &[FinishedSegment],
    newest: Sequence,
) -> Result<()> {
    let core = &engine.core;
    let ready = open_finished(core, finished).and_then(|segments| {
        core.sync_dir()?;
        Ok((segments, next_floor(engine, &tables[0])?))
    });
    let (segments, (floor, exists)) = ready.inspect_err(|_| {
        finished.iter().for_each(|segment| remove_segment(core, segment.number));
    })?;
    let mut manifest = manifest::locked(core)?;
    let run = Run { id: manifest.state().next_run, segments };
    let run = (!run.segments.is_empty()).then_some(run);
    let mut changes: Vec<_> = run.iter().map(|run| Change::AddRun(run.meta())).collect();
    changes.push(Change::LogFloor { number: floor, exists });
    for (id, at) in tables.iter().flat_map(|table| table.drops()) {
        // The drop's own edit may not have come to pass before a crash: this one
        // carries it then.
        let known = manifest.state().keyspaces.get(&id);
        if known.is_some_and(|meta| meta.dropped_at.is_none()) {
            changes.push(Change::DropKeyspace { id, at });
        }
    }
    append_edit(core, &mut manifest, changes, finished)?;
    publish_run(engine, tables, run, newest);
    Ok(())
}

/// The log that a recovery will start from once `newest` and all before it is on disk, with its
/// header synced if it exists yet: the edit says whether it does.
fn next_floor(engine: &Engine, newest: &Arc<Memtable>) -> Result<(LogNumber, bool)> {
    // Everything sealed after the flush began, and the active memtable, comes later; read
    // inside the commit section, so that the log cannot appear in between.
    let (floor, exists, position) = engine.in_section(|env, _| {
        let current = engine.core.view.load();
        let later = current.sealed.iter().take_while(|table| !Arc::ptr_eq(table, newest)).last();
        match later {
            Some(table) => (table.log_first(), true, None),
            None => env.tail.first_log_of_active(),
        }
    })?;
    if exists {
        // The group sync goes oldest first, so everything appended by now covers the header.
        let target = position.unwrap_or_else(|| engine.core.logs.appended());
        sync::wait_synced(engine, target)?;
    }
    Ok((floor, exists))
}

/// Publishes the view without the flushed memtables, of which `newest` was the last version,
/// and with their run.
fn publish_run(engine: &Engine, flushed: &[Arc<Memtable>], run: Option<Run>, newest: Sequence) {
    let run = run.map(Arc::new);
    let gone = |table: &Arc<Memtable>| flushed.iter().any(|old| Arc::ptr_eq(old, table));
    engine.core.publish(|view| View {
        active: Arc::clone(&view.active),
        sealed: view.sealed.iter().filter(|table| !gone(table)).cloned().collect(),
        segments: match &run {
            Some(run) => Arc::new(SegmentSet {
                runs: std::iter::once(run).chain(&view.segments.runs).cloned().collect(),
            }),
            None => Arc::clone(&view.segments),
        },
        flushed: view.flushed.max(newest),
    });
    engine.core.counters.views_published.fetch_add(1, Ordering::Relaxed);
}

/// Takes the logs below the manifest's floor out of the chain, for the log thread to use again,
/// but for those that a copy reads, which it hands on.
fn release_logs(core: &Core) {
    // After a panic under it: it may say a floor that is not durable.
    let Ok(manifest) = manifest::locked(core) else { return };
    let floor = manifest.state().log_floor;
    drop(manifest);
    let dead = core.logs.retire_below(floor);
    let free = lock(&core.log_readers).keep(dead);
    hand_on(core, free);
}

/// Gives logs that nobody needs to the log thread.
pub(crate) fn hand_on(core: &Core, dead: Vec<Arc<LogFile>>) {
    for log in dead {
        let job = match SpareLog::recycle(&log) {
            // A recovered file may still be rewritten by a sync that began earlier: it goes.
            Ok(spare) if !log.was_recovered() => LogJob::Recycle(spare),
            _ => LogJob::Remove(log.file.path.to_path_buf()),
        };
        core.give_back(job);
    }
}
