//! Estimates: how many bytes a range takes, and how many versions a keyspace has.
//!
//! From indexes, properties and counters, without the disk. Segments cost a search of their index
//! at either end of the range; memtables a bounded walk, because a skiplist has no ranks.

use std::ops::Bound;

use crate::engine::read::get::ReadAt;
use crate::engine::{Engine, KeyspaceState};
use crate::error::Result;
use crate::format::key::Position;
use crate::ids::KeyspaceId;
use crate::iter::Cursor;
use crate::iter::range::Bounds;
use crate::memtable::Memtable;
use crate::mvcc::view::read_point_owned;
use crate::runs::SegmentRef;
use crate::segment::Segment;
use crate::sync::Arc;

/// How many versions of a memtable are walked before the whole of it is counted instead.
const WALK_VERSIONS_MAX: usize = 4_096;

/// What is found in one layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimate {
    pub(crate) bytes: u64,
    pub(crate) versions: u64,
}

impl Estimate {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.versions += other.versions;
    }
}

/// What the present layers hold of a keyspace in `bounds`, if it is there to be read at `at`.
pub(crate) fn estimate(
    engine: &Engine,
    keyspace: &KeyspaceState,
    bounds: &Bounds,
    at: ReadAt,
) -> Result<Estimate> {
    let (view, visible) = read_point_owned(&engine.core.view, || engine.visible());
    at.resolve(keyspace, visible)?;
    let keyspace = keyspace.id;
    let mut sum = Estimate::default();
    for table in std::iter::once(&view.active).chain(&view.sealed) {
        sum.add(in_memtable(table, keyspace, bounds)?);
    }
    for run in &view.segments.runs {
        for part in &run.segments {
            sum.add(in_segment(part, keyspace, bounds));
        }
    }
    Ok(sum)
}

fn in_memtable(table: &Arc<Memtable>, keyspace: KeyspaceId, bounds: &Bounds) -> Result<Estimate> {
    let mut cursor = table.cursor();
    cursor.seek(match &bounds.0 {
        Bound::Included(key) => Position::first(keyspace, key),
        Bound::Excluded(key) => Position::last(keyspace, key),
        Bound::Unbounded => Position::first(keyspace, &[]),
    })?;
    let mut found = Estimate::default();
    while let Some(entry) = cursor.entry() {
        if entry.keyspace != keyspace || !ends_after(&bounds.1, entry.key) {
            break;
        }
        if found.versions == WALK_VERSIONS_MAX as u64 {
            return Ok(Estimate { bytes: table.bytes() as u64, versions: table.entries() as u64 });
        }
        found.bytes += (entry.key.len() + entry.value.len()) as u64;
        found.versions += 1;
        cursor.next()?;
    }
    Ok(found)
}

/// Whole blocks, from the first to the last that may hold a key in the bounds.
fn in_segment(part: &SegmentRef, keyspace: KeyspaceId, bounds: &Bounds) -> Estimate {
    let segment = &part.segment;
    let index = segment.index();
    let first = (part.first.keyspace, part.first.key.as_slice());
    let last = (part.last.keyspace, part.last.key.as_slice());
    // The range within what the run uses of the segment.
    let mut from = first;
    if let Bound::Included(key) | Bound::Excluded(key) = &bounds.0 {
        from = from.max((keyspace, key.as_slice()));
    } else {
        from = from.max((keyspace, &[]));
    }
    let cut = part.to.as_ref().map_or(last, |to| last.min((to.keyspace, to.key.as_slice())));
    let past = index.find(KeyspaceId(keyspace.0.saturating_add(1)), &[]);
    let end = match &bounds.1 {
        Bound::Included(key) | Bound::Excluded(key) if (keyspace, key.as_slice()) < cut => {
            (index.find(keyspace, key) + 1).min(past)
        }
        _ if cut.0 > keyspace => past,
        _ if cut.0 < keyspace => return Estimate::default(),
        _ => (index.find(cut.0, cut.1) + 1).min(past),
    };
    let inverted = match &bounds.1 {
        Bound::Included(key) => from > (keyspace, key.as_slice()),
        Bound::Excluded(key) => from >= (keyspace, key.as_slice()),
        Bound::Unbounded => from.0 > keyspace,
    };
    if inverted || from > cut {
        return Estimate::default();
    }
    blocks(segment, index.find(from.0, from.1), end)
}

/// The blocks `start..end` of a segment, and their share of its versions.
fn blocks(segment: &Segment, start: usize, end: usize) -> Estimate {
    let index = segment.index();
    let Some(last) = end.checked_sub(1).filter(|&last| start <= last) else {
        return Estimate::default();
    };
    let first = index.handle(start);
    let last = index.handle(last);
    // Blocks lie one after the other.
    let bytes = last.offset + u64::from(last.len) - first.offset;
    let all = segment.properties().stored_bytes.max(1);
    let versions = u128::from(segment.properties().entries()) * u128::from(bytes);
    Estimate { bytes, versions: versions.div_ceil(u128::from(all)) as u64 }
}

fn ends_after(end: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match end {
        Bound::Included(end) => key <= end.as_slice(),
        Bound::Excluded(end) => key < end.as_slice(),
        Bound::Unbounded => true,
    }
}
