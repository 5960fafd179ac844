//! From sealed memtables to one run on disk.
//!
//! On the flush thread. Small memtables pile up until they hold `flush_bytes`, then leave together:
//! write and sync segments, sync the directory, sync the log that becomes the floor, append and
//! sync the edit, publish, and only then use the logs below the floor again. A failure before the
//! edit leaves nothing behind but files to remove; the memtables stay, and the flush is tried
//! again.

use super::cleanup::Reclaim;
use super::{Core, Engine, View, Work};
use crate::compaction::survive::{Survival, Verdict};
use crate::error::{Error, Result};
use crate::format::edit::{BoundKey, Change, Edit, RunMeta, SegmentMeta, SegmentRefMeta};
use crate::ids::{FileNumber, LogNumber, Sequence};
use crate::iter::Cursor;
use crate::iter::merge::MergeCursor;
use crate::log::SpareLog;
use crate::memtable::Memtable;
use crate::options::KeyspaceOptions;
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::segment::{FinishedSegment, Segment, SegmentWriter, SegmentWriterOptions};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// More sealed memtables than this are flushed whatever they hold, so that reads stay cheap.
const SEALED_MAX: usize = 16;

/// A segment is cut at a keyspace boundary once it has this many bytes.
const KEYSPACE_CUT_BYTES: u64 = 1 << 20;

/// How many entries are written between two looks at other duties of the thread.
const HOUSEKEEPING_ENTRIES: u64 = 4_096;

impl Core {
    /// Whether enough is sealed for a flush to be worth its syncs. Never once the writer has
    /// stopped: the log cannot be synced then, so every try would write a run in vain. A close
    /// still tries, because after the last write it needs no log.
    pub(super) fn flush_is_due(&self) -> bool {
        let sealed = self.view.load().sealed.len();
        let enough = self.gate.used() >= self.options.flush_bytes as u64 || sealed > SEALED_MAX;
        enough && self.stopped().is_none()
    }

    /// An edit made now.
    pub(super) fn edit(&self, changes: Vec<Change>) -> Edit {
        Edit { time_ms: super::stats::now_ms(), changes }
    }
}

impl Engine {
    /// Flushes every memtable that is sealed now into one run.
    pub(super) fn flush_sealed(&self, reclaim: &mut Reclaim) -> Result<()> {
        if self.core.options.read_only {
            return Ok(());
        }
        let result = self.flush_group(reclaim);
        self.core.note(Work::Flush, &result);
        self.core.gate.wake();
        result
    }

    fn flush_group(&self, reclaim: &mut Reclaim) -> Result<()> {
        let core = &self.core;
        let view = core.view.load_full();
        if view.sealed.is_empty() {
            return Ok(());
        }
        core.settle_manifest(reclaim)?;
        let bytes: u64 = view.sealed.iter().map(|table| table.bytes() as u64).sum();
        let span = tracing::info_span!("flush", memtables = view.sealed.len(), bytes);
        let _entered = span.enter();
        let mut outputs = Outputs::new(core, reclaim);
        let written = self.write_run(&view, &mut outputs);
        let finished = written.and_then(|newest| Ok((outputs.finish_all()?, newest)));
        let (finished, newest) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                outputs.abandon();
                return Err(error);
            }
        };
        let segments = match self.install(&view, &finished) {
            Ok(segments) => segments,
            Err((error, edit_failed)) => {
                let numbers = finished.iter().map(|segment| segment.number);
                if edit_failed {
                    reclaim.unsettled.extend(numbers);
                    // Tried again before the next flush writes anything.
                    let _ = core.settle_manifest(reclaim);
                } else {
                    numbers.for_each(|number| core.remove_segment(number));
                }
                return Err(error);
            }
        };
        self.publish_run(&view, segments, newest);
        core.gate.sub(bytes);
        core.counters.flushes.fetch_add(1, Ordering::Relaxed);
        let stored: u64 = finished.iter().map(|segment| segment.bytes).sum();
        core.counters.flush_bytes_out.fetch_add(stored, Ordering::Relaxed);
        core.release_logs();
        Ok(())
    }

    /// Merges the memtables, leaves out what nobody can see, and writes the rest. Returns the
    /// largest sequence of any version in them.
    fn write_run(&self, view: &View, outputs: &mut Outputs<'_>) -> Result<Sequence> {
        let core = &self.core;
        let survivors = core.snapshots.survivors(|| self.visible());
        let bottom = view.segments.runs.is_empty();
        let dropped = core.keyspaces.dropped();
        let mut survival = Survival::new(survivors.snapshots, survivors.visible, bottom, &dropped);
        let sources = view.sealed.iter().map(Memtable::cursor).collect();
        let mut merged = MergeCursor::new(sources);
        merged.seek(crate::format::key::Position::first(Default::default(), &[]))?;
        let mut newest = Sequence(0);
        while let Some(entry) = merged.entry() {
            newest = newest.max(entry.sequence);
            if survival.keep(&entry) == Verdict::Keep {
                outputs.add(&entry)?;
            }
            merged.next()?;
        }
        Ok(newest)
    }

    /// Makes the run durable and known to the manifest. The flag of an error says whether the edit
    /// was attempted, after which its outcome is unknown.
    fn install(
        &self,
        view: &View,
        finished: &[FinishedSegment],
    ) -> Result<Option<Run>, (Error, bool)> {
        let core = &self.core;
        let before = |error| (error, false);
        let mut segments = Vec::with_capacity(finished.len());
        for segment in finished {
            segments.push(core.open_segment(segment).map_err(before)?);
        }
        core.fs.sync_dir(&core.dir).map_err(|error| before(Error::io("sync", &core.dir, error)))?;
        let (floor, exists) = self.next_floor(view).map_err(before)?;
        let mut manifest = core.manifest();
        let id = manifest.state().next_run;
        let mut changes = Vec::new();
        if !finished.is_empty() {
            let segments = finished.iter().map(segment_ref_meta).collect();
            changes.push(Change::AddRun(RunMeta { id, segments, sequence_override: None }));
        }
        changes.push(Change::LogFloor { number: floor, exists });
        for (id, at) in view.sealed.iter().flat_map(|table| table.drops()) {
            // The drop's own edit may not have come to pass before a crash (rule 10).
            let known = manifest.state().keyspaces.get(&id);
            if known.is_some_and(|meta| meta.dropped_at.is_none()) {
                changes.push(Change::DropKeyspace { id, at });
            }
        }
        manifest.append(&core.edit(changes)).map_err(|error| (error, true))?;
        Ok((!segments.is_empty()).then_some(Run { id, segments }))
    }

    /// The log that a recovery will start from once `view`'s sealed memtables are on disk, with its
    /// header synced if it exists yet (rule 4).
    fn next_floor(&self, view: &View) -> Result<(LogNumber, bool)> {
        let newest = view.sealed.first().expect("the caller has something to flush");
        // Everything sealed after the flush began, and the active memtable, comes later; read
        // inside the commit section, so that the log cannot appear in between.
        let (floor, exists, position) = self.commit.with(|env, _| {
            let current = self.core.view.load();
            let later =
                current.sealed.iter().take_while(|table| !Arc::ptr_eq(table, newest)).last();
            match later {
                Some(table) => (table.log_first(), true, None),
                None => env.first_log_of_active(),
            }
        });
        if exists {
            // The group sync goes oldest first, so everything appended by now covers the header.
            let target = position.unwrap_or_else(|| self.core.logs.appended());
            self.wait_synced(target)?;
        }
        Ok((floor, exists))
    }

    /// Publishes the view without the flushed memtables, of which `newest` was the last version,
    /// and with their run.
    fn publish_run(&self, flushed: &View, run: Option<Run>, newest: Sequence) {
        let run = run.map(Arc::new);
        let gone = |table: &Arc<Memtable>| flushed.sealed.iter().any(|old| Arc::ptr_eq(old, table));
        self.core.publish(|view| View {
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
        self.core.counters.views_published.fetch_add(1, Ordering::Relaxed);
    }
}

impl Core {
    fn open_segment(&self, finished: &FinishedSegment) -> Result<SegmentRef> {
        let expect = finished.expect(self.database);
        let cache = Arc::clone(&self.cache);
        let segment =
            Segment::open(self.fs.as_ref(), &self.dir, finished.number, &expect, None, cache)?;
        Ok(SegmentRef {
            segment: Arc::new(segment),
            first: bound(&finished.first),
            last: bound(&finished.last),
            to: None,
        })
    }

    /// Ends the doubt about what an edit that failed has left in the manifest, and only then
    /// removes the segments that it named (rule 8). While this fails, an open would do it.
    fn settle_manifest(&self, reclaim: &mut Reclaim) -> Result<()> {
        {
            let mut manifest = self.manifest();
            if manifest.broken() {
                manifest.rotate()?;
            }
        }
        for number in reclaim.unsettled.drain(..) {
            self.remove_segment(number);
        }
        Ok(())
    }

    /// Takes the logs below the manifest's floor out of the chain, for the log thread to use again.
    fn release_logs(&self) {
        let floor = self.manifest().state().log_floor;
        for log in self.logs.retire_below(floor) {
            let job = match SpareLog::recycle(&log) {
                // A recovered file may still be rewritten by a sync that began earlier: it goes.
                Ok(spare) if !log.was_recovered() => super::background::LogJob::Recycle(spare),
                _ => super::background::LogJob::Remove(log.file.path.to_path_buf()),
            };
            self.send_log(job);
        }
    }
}

/// The segments of one run, written one after the other.
struct Outputs<'a> {
    core: &'a Core,
    reclaim: &'a mut Reclaim,
    open: Option<SegmentWriter>,
    done: Vec<FinishedSegment>,
    /// The last key written, so that versions of one key stay in one segment.
    last: BoundKey,
    options: Option<KeyspaceOptions>,
    entries: u64,
}

impl<'a> Outputs<'a> {
    fn new(core: &'a Core, reclaim: &'a mut Reclaim) -> Self {
        let last = BoundKey { keyspace: Default::default(), key: Vec::new() };
        Self { core, reclaim, open: None, done: Vec::new(), last, options: None, entries: 0 }
    }

    fn add(&mut self, entry: &crate::format::key::Entry<'_>) -> Result<()> {
        let new_keyspace = self.last.keyspace != entry.keyspace;
        let new_key = new_keyspace || self.last.key != entry.key;
        if let Some(writer) = &self.open
            && new_key
        {
            let bytes = writer.written_bytes();
            let options = new_keyspace.then(|| self.core.keyspace_options(entry.keyspace));
            let differs = options.is_some() && options != self.options;
            let full = bytes >= self.core.options.segment_bytes as u64;
            if full || differs || new_keyspace && bytes >= KEYSPACE_CUT_BYTES {
                self.close()?;
            }
        }
        if self.open.is_none() {
            self.open = Some(self.create(entry)?);
        }
        if new_key {
            self.last.keyspace = entry.keyspace;
            self.last.key.clear();
            self.last.key.extend_from_slice(entry.key);
        }
        self.entries += 1;
        if self.entries.is_multiple_of(HOUSEKEEPING_ENTRIES) {
            self.reclaim.evict(self.core);
        }
        self.open.as_mut().expect("made above").add(entry)
    }

    fn create(&mut self, entry: &crate::format::key::Entry<'_>) -> Result<SegmentWriter> {
        let options = self.core.keyspace_options(entry.keyspace);
        self.options = Some(options);
        let number = FileNumber(self.core.segment_next.fetch_add(1, Ordering::Relaxed));
        let options = SegmentWriterOptions {
            database: self.core.database,
            block_bytes: options.block_bytes as usize,
            filter_bits: options.filter_bits,
            created_ms: super::stats::now_ms(),
        };
        SegmentWriter::create(self.core.fs.as_ref(), &self.core.dir, number, options)
    }

    fn close(&mut self) -> Result<()> {
        if let Some(writer) = self.open.take() {
            let number = writer.number();
            match writer.finish() {
                Ok(finished) => self.done.push(finished),
                Err(error) => {
                    self.core.remove_segment(number);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn finish_all(&mut self) -> Result<Vec<FinishedSegment>> {
        self.close()?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Removes whatever was written.
    fn abandon(&mut self) {
        if let Some(writer) = self.open.take() {
            let number = writer.number();
            tracing::debug!(number = number.0, "giving up an unfinished segment");
            writer.abandon(self.core.fs.as_ref());
        }
        for segment in self.done.drain(..) {
            self.core.remove_segment(segment.number);
        }
    }
}

fn bound((keyspace, key): &(crate::ids::KeyspaceId, Vec<u8>)) -> BoundKey {
    BoundKey { keyspace: *keyspace, key: key.clone() }
}

fn segment_ref_meta(finished: &FinishedSegment) -> SegmentRefMeta {
    SegmentRefMeta {
        segment: SegmentMeta {
            number: finished.number,
            uuid: finished.uuid,
            bytes: finished.bytes,
            entries: finished.entries,
            first: bound(&finished.first),
            last: bound(&finished.last),
            smallest: finished.smallest,
            largest: finished.largest,
            created_ms: finished.created_ms,
        },
        from: None,
        to: None,
    }
}
