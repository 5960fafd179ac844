//! The tables in memory, index and filter of every segment, made again from data blocks, and how
//! other tables are published (`snapshot` has some from a file).
//!
//! All reading is done on the caller's thread, which holds the view. The new tables come as
//! segments over the same files; the flush thread puts them in the place of the old ones in one
//! publication, so either all of them count or none. Readers and writers go on meanwhile.

pub(crate) mod snapshot;
pub(crate) mod verify;

use crate::engine::cleanup::Reclaim;
use crate::engine::manifest::publish_segments;
use crate::engine::read::get::check_open;
use crate::engine::shared::messages::FlushJob;
use crate::engine::{Core, Engine};
use crate::error::Result;
use crate::event::scope;
use crate::runs::each_file;
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::segment::Segment;
use crate::sync::{Arc, Poisoned, lock_sound};

/// What was done with the index and the filters of a database, from
/// [`Db::rebuild_index`](crate::Db::rebuild_index),
/// [`Db::save_index_snapshot`](crate::Db::save_index_snapshot) and
/// [`Db::load_index_snapshot`](crate::Db::load_index_snapshot).
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// db.flush()?;
/// let report = db.rebuild_index()?;
/// assert_eq!((report.segments, report.keys), (1, 1));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexReport {
    /// Segments whose index and filter this was about.
    pub segments: u64,
    /// Data blocks in them.
    pub blocks: u64,
    /// Versions in them, tombstones included.
    pub entries: u64,
    /// User keys in them, a key once for each segment; 0 where the data blocks were not read.
    pub keys: u64,
    /// Bytes of their indexes and filters: of the file for a save, of memory otherwise.
    pub bytes: u64,
    /// Of a load: segments that the file has no entry for, whose tables stay as they are.
    pub missing: u64,
    /// Of a load: entries of the file whose segments are gone.
    pub ignored: u64,
}

impl IndexReport {
    pub(crate) fn add(&mut self, segment: &Segment) {
        self.segments += 1;
        self.blocks += segment.properties().data_blocks;
        self.entries += segment.properties().entries();
        self.bytes += segment.pinned_bytes() as u64;
    }
}

/// Derives the tables of all segments from their data blocks.
pub(crate) fn rebuild_index(engine: &Engine) -> Result<IndexReport> {
    let view = engine.core.view.load_full();
    let _scope = scope!("rebuild_index");
    let mut report = IndexReport::default();
    let mut fresh = Vec::new();
    for segment in each_file(&view.segments) {
        check_open(engine)?;
        let (rebuilt, keys) = segment.rebuild(engine.core.database)?;
        report.add(&rebuilt);
        report.keys += keys;
        engine.core.merges.found_sound(segment.number());
        fresh.push(Arc::new(rebuilt));
    }
    replace_segments(engine, fresh)?;
    Ok(report)
}

/// Has the flush thread publish segments in the place of others over the same files, and waits.
pub(crate) fn replace_segments(engine: &Engine, fresh: Vec<Arc<Segment>>) -> Result<()> {
    engine.core.refuse_on_own_thread()?;
    engine.core.ask_flush(|reply| FlushJob::Replace { fresh, reply })
}

/// Publishes `fresh` in the place of segments over the same files. Files that the set has no
/// more are passed over. On the flush thread.
pub(crate) fn publish_replaced(
    core: &Core,
    fresh: &[Arc<Segment>],
    reclaim: &mut Reclaim,
) -> Result<()> {
    // Runs change under this lock only; a database that is open for reading has no manifest in
    // it.
    let unchanged = lock_sound(&core.manifest);
    let _unchanged = unchanged.map_err(|Poisoned| core.stop_after_panic("background work"))?;
    let view = core.view.load_full();
    for old in view.segments.segments().filter(|old| replacement(fresh, old).is_some()) {
        // A cursor may hold it longer than its run.
        reclaim.retire_segment(Arc::clone(old));
    }
    publish_segments(core, |set| SegmentSet {
        runs: set.runs.iter().map(|run| replace_in(run, fresh)).collect(),
    });
    Ok(())
}

/// The one of `fresh`, which is sorted by number, that is over the same file.
fn replacement<'a>(fresh: &'a [Arc<Segment>], old: &Segment) -> Option<&'a Arc<Segment>> {
    let at = fresh.binary_search_by_key(&old.number(), |segment| segment.number()).ok()?;
    Some(&fresh[at]).filter(|segment| Arc::ptr_eq(segment.file(), old.file()))
}

fn replace_in(run: &Arc<Run>, fresh: &[Arc<Segment>]) -> Arc<Run> {
    let replaced = |part: &SegmentRef| replacement(fresh, &part.segment);
    if run.segments.iter().all(|part| replaced(part).is_none()) {
        return Arc::clone(run);
    }
    let segments = run.segments.iter().map(|part| {
        let segment = Arc::clone(replaced(part).unwrap_or(&part.segment));
        SegmentRef { segment, ..part.clone() }
    });
    Arc::new(Run { id: run.id, segments: segments.collect() })
}
