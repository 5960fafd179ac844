//! Giving back what nobody can reach any more: views, memtables, cached blocks, segment files.
//!
//! On the flush thread only, so that readers never drop a last reference. A thread that replaces a
//! view sends the old one here, and it is dropped once this thread holds the only reference and a
//! grace period has passed, which flushed memtables do not wait for (D39). A file is removed when
//! neither the current set nor any live view or value can reach its segment (I33); never because an
//! edit said so. A segment whose tables were replaced by others over the same file goes like a
//! view.
//!
//! A log is used again once the edit that raised the floor past it is synced, whatever reader still
//! has its memtable, whose memory is its own. A log found at open is removed instead, because a
//! sync that began earlier may still write to it.
//!
//! What is held back shows in `Stats`: the oldest snapshot's age and the versions written for
//! snapshots alone; the superseded views, memtables and files that only iterators have.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use crate::engine::keyspaces::edits::say_drops;
use crate::engine::keyspaces::forget::forget_dropped;
use crate::engine::manifest::{self, append_change, publish_segments};
use crate::engine::outputs::remove_segment;
use crate::engine::{Core, Engine, Upkeep, View};
use crate::error::Result;
use crate::format::edit::Change;
use crate::ids::{FileNumber, KeyspaceId, RunId, Sequence};
use crate::memtable::Memtable;
use crate::mvcc::retire::{Retired, RetiredFiles};
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::segment::{CachedBlock, ClockHand, Segment, SegmentFile};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::sync::clock::Instant;

/// Bytes of files that are removed in one round, of which there are two a second: a device that
/// discards what is removed must not be kept from writing.
const REMOVED_BYTES_MAX: u64 = 512 << 20;

/// So many views are looked through before their time.
const VIEWS_MANY: usize = 8;

/// What the flush thread holds until nobody else does.
#[derive(Debug)]
pub(crate) struct Reclaim {
    started: Instant,
    views: Retired<View>,
    /// How many views were left when they were last looked through.
    views_left: usize,
    memtables: Retired<Memtable>,
    runs: Retired<Run>,
    /// Segments that the current set no longer has, and their files.
    files: RetiredFiles<Segment, SegmentFile>,
    /// Files that nothing reaches, with their lengths: removed a few at a time.
    doomed: VecDeque<(FileNumber, u64)>,
    blocks: Retired<CachedBlock>,
    hand: ClockHand,
}

impl Reclaim {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            views: Retired::new(),
            views_left: 0,
            memtables: Retired::new(),
            runs: Retired::new(),
            files: RetiredFiles::new(),
            doomed: VecDeque::new(),
            blocks: Retired::new(),
            hand: ClockHand::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Takes over a superseded view.
    pub(crate) fn retire(&mut self, view: Arc<View>) {
        let now = self.now_ms();
        // Whoever replaced it may have sealed its active memtable before that was full.
        view.active.give_back_unused();
        self.views.push(view, now);
    }

    /// Takes over a segment that the current set has no more. Its file stays.
    pub(crate) fn retire_segment(&mut self, segment: Arc<Segment>) {
        let now = self.now_ms();
        self.files.retire(segment, now);
    }

    /// Takes over a segment whose file the current set has no more.
    pub(crate) fn retire_file(&mut self, segment: Arc<Segment>) {
        let now = self.now_ms();
        // Whoever still reads from it opens it again.
        segment.file().close();
        let file = Arc::clone(segment.file());
        self.files.retire_with_file(segment, file, now);
    }

    /// Brings the block cache back under its bound.
    pub(crate) fn evict(&mut self, core: &Core) {
        core.counters.evicting.store(false, Ordering::Relaxed);
        if !core.cache.over() {
            return;
        }
        let now = self.now_ms();
        let segments = self.with_slots(&core.view.load_full());
        for block in self.hand.evict(&core.cache, &segments) {
            // Nobody can find an evicted block, so one that is free by now goes at once.
            if Arc::strong_count(&block) > 1 {
                self.blocks.push(block, now);
            }
        }
    }

    /// Segments with all blocks that are in slots, each file once: the hand goes on behind the one
    /// where it stopped. What an iterator still reads of replaced ones is in slots, too.
    pub(crate) fn with_slots(&self, view: &View) -> Vec<Arc<Segment>> {
        let mut seen = HashSet::new();
        let segments = view.segments.segments().chain(self.files.segments());
        segments.filter(|segment| seen.insert(segment.number())).cloned().collect()
    }

    /// Drops what is held by nobody else and older than `grace_ms`, outermost first.
    pub(crate) fn collect(&mut self, core: &Core, grace_ms: u64) {
        let now = self.now_ms();
        let current = core.view.load_full();
        self.take_apart(&current, now, grace_ms);
        drop(self.memtables.collect(now, 0));
        drop(self.runs.collect(now, 0));
        drop(self.blocks.collect(now, 0));
        let files = self.files.collect(now);
        self.doomed.extend(files.iter().map(|file| (file.number(), file.bytes())));
        // At the close, which has no grace, all of them.
        let mut left = if grace_ms == 0 { u64::MAX } else { REMOVED_BYTES_MAX };
        while left > 0
            && let Some((number, bytes)) = self.doomed.pop_front()
        {
            remove_segment(core, number);
            left = left.saturating_sub(bytes);
        }
        self.publish_figures(core, &current);
    }

    /// Frees the memtables that a flush has just written, as far as nobody holds them: without
    /// grace, because they are the memory that writers wait for (D39).
    pub(crate) fn free_memtables(&mut self, core: &Core) {
        let now = self.now_ms();
        let current = core.view.load_full();
        self.take_apart(&current, now, 0);
        drop(self.memtables.collect(now, 0));
        self.publish_figures(core, &current);
    }

    /// [`Self::free_memtables`] if many views have come: each may have the only empty memtable that
    /// a big batch has put aside.
    pub(crate) fn free_many(&mut self, core: &Core) {
        if self.views.iter().count() >= 2 * self.views_left + VIEWS_MANY {
            self.free_memtables(core);
        }
    }

    /// Puts what is in views that nobody else holds, and that are older than `grace_ms`, into the
    /// lists of its own, unless the current view has it too.
    fn take_apart(&mut self, current: &View, now: u64, grace_ms: u64) {
        let live_tables = tables_of(current);
        let live_runs: HashSet<_> = current.segments.runs.iter().map(Arc::as_ptr).collect();
        for view in self.views.collect(now, grace_ms) {
            let Ok(View { active, sealed, segments, .. }) = Arc::try_unwrap(view) else { continue };
            // Several views may have held the same.
            for table in sealed.into_iter().chain([active]) {
                if !live_tables.contains(&Arc::as_ptr(&table)) {
                    self.memtables.push(table, now);
                }
            }
            for run in &segments.runs {
                if !live_runs.contains(&Arc::as_ptr(run)) {
                    self.runs.push(Arc::clone(run), now);
                }
            }
        }
        self.views_left = self.views.iter().count();
    }

    /// What superseded views still hold, for `stats()`.
    fn publish_figures(&self, core: &Core, current: &View) {
        let held = self.views.iter().filter(|view| Arc::strong_count(view) > 1).count();
        let counters = &core.counters;
        counters.retired_bytes.store(self.retired_bytes(current), Ordering::Relaxed);
        counters.views_held.store(held as u64, Ordering::Relaxed);
        counters.files_held_bytes.store(self.held_bytes(current), Ordering::Relaxed);
    }

    /// Bytes of files that no run refers to any more and that are still there. A merge gives up
    /// what neither of its runs has; another run may have a part of the same file.
    fn held_bytes(&self, current: &View) -> u64 {
        let live: BTreeSet<_> = match self.files.files().next() {
            Some(_) => current.segments.segments().map(|segment| segment.number()).collect(),
            None => BTreeSet::new(),
        };
        let held = self.files.files().filter(|file| !live.contains(&file.number()));
        let doomed = self.doomed.iter().map(|&(_, bytes)| bytes);
        held.map(|file| file.bytes()).chain(doomed).sum()
    }

    /// Bytes of memtables that the current view has no more and that are still in memory, because
    /// their grace has not passed or an iterator holds them.
    fn retired_bytes(&self, current: &View) -> u64 {
        let mut seen = tables_of(current);
        let views = self.views.iter().flat_map(|view| view.sealed.iter().chain([&view.active]));
        let mut bytes = 0;
        for table in views.chain(self.memtables.iter()) {
            if seen.insert(Arc::as_ptr(table)) {
                bytes += table.bytes() as u64;
            }
        }
        bytes
    }
}

/// The memtables of a view.
fn tables_of(view: &View) -> HashSet<*const Memtable> {
    view.sealed.iter().chain([&view.active]).map(Arc::as_ptr).collect()
}

/// Says what the manifest could not be told of drops, takes segments that hold nothing but dropped
/// keyspaces out of their runs, once no snapshot can see them, and forgets keyspaces whose last
/// data is gone (`forget`).
pub(crate) fn clean_up(engine: &Engine, reclaim: &mut Reclaim) -> Result<()> {
    if engine.core.options.read_only || !engine.core.keyspaces.any_dropped() {
        return Ok(());
    }
    let removed = remove_dropped(engine, reclaim);
    engine.core.note(Upkeep::Manifest, &removed);
    removed
}

fn remove_dropped(engine: &Engine, reclaim: &mut Reclaim) -> Result<()> {
    let core = &engine.core;
    if let Some(stopped) = core.stopped() {
        return Err(stopped);
    }
    say_drops(engine)?;
    let horizon = core.snapshots.read_points(|| engine.visible()).horizon();
    let mut gone = core.keyspaces.droppable();
    gone.retain(|_, at| *at <= horizon);
    if !gone.is_empty() {
        install_without_dropped(engine, &gone, reclaim)?;
    }
    forget_dropped(engine)
}

/// Appends the edit and publishes the set without the segments that hold nothing but `gone`,
/// and retires these.
fn install_without_dropped(
    engine: &Engine,
    gone: &BTreeMap<KeyspaceId, Sequence>,
    reclaim: &mut Reclaim,
) -> Result<()> {
    let core = &engine.core;
    let dead = |part: &SegmentRef| {
        part.first.keyspace == part.last.keyspace && gone.contains_key(&part.first.keyspace)
    };
    // Runs change under the manifest's lock only, so these are the ones that it names.
    let mut manifest = manifest::locked(core)?;
    let view = core.view.load_full();
    let mut replaced = Vec::new();
    let mut freed = Vec::new();
    for run in view.segments.runs.iter().filter(|run| run.segments.iter().any(dead)) {
        let (out, segments) = run.segments.iter().cloned().partition(dead);
        let out: Vec<SegmentRef> = out;
        freed.extend(out.into_iter().map(|part| part.segment));
        let run = Run { id: run.id, segments };
        replaced.push((run.id, (!run.segments.is_empty()).then(|| Arc::new(run))));
    }
    if replaced.is_empty() {
        return Ok(());
    }
    let change = |(id, run): &(RunId, Option<Arc<Run>>)| Change::ReplaceRuns {
        remove: vec![*id],
        add: run.iter().map(|run| run.meta()).collect(),
    };
    append_change(core, &mut manifest, replaced.iter().map(change).collect())?;
    publish_segments(core, |set| {
        let change = |run: &Arc<Run>| match replaced.iter().find(|(id, _)| *id == run.id) {
            Some((_, fresh)) => fresh.clone(),
            None => Some(Arc::clone(run)),
        };
        SegmentSet { runs: set.runs.iter().filter_map(change).collect() }
    });
    drop(manifest);
    freed.into_iter().for_each(|segment| reclaim.retire_file(segment));
    Ok(())
}

/// Reserves more sequences once half of the reservation is used. On the log thread.
pub(crate) fn renew_ceiling(engine: &Engine) {
    let core = &engine.core;
    let Ok(next) = engine.in_section(|_, next| next) else { return };
    // Relaxed: this thread alone raises it.
    let ceiling = core.ceiling.load(Ordering::Relaxed);
    if core.options.read_only
        || ceiling.saturating_sub(next.0) > crate::engine::SEQUENCE_RESERVE / 2
    {
        return;
    }
    let raised = Sequence(next.0.saturating_add(crate::engine::SEQUENCE_RESERVE));
    let change = Change::SequenceCeiling(raised);
    let appended = manifest::locked(core)
        .and_then(|mut manifest| append_change(core, &mut manifest, vec![change]));
    core.note(Upkeep::Manifest, &appended);
    if appended.is_ok() {
        // Release; pairs with the Acquire in `section`: what commits up to it does so after its
        // edit was synced (I16).
        core.ceiling.store(raised.0, Ordering::Release);
    }
}
