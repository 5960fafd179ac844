//! Runs and segment sets: the published, immutable list of what is on disk, newest first.
//!
//! A run is a list of disjoint, ascending references to segments; its place in the set is its age:
//! for each user key, versions in a newer run are newer. `part` says how
//! references are trimmed, `state` is the same list as the manifest says it, `manifest` the file
//! that keeps it. Knows no memtable and takes no lock.

pub(crate) mod cursor;
pub(crate) mod manifest;
mod part;
pub(crate) mod source;
pub(crate) mod state;

use std::cmp::Ordering;

use crate::format::key::{Position, order_bytes};
use crate::format::meta::BoundKey;
use crate::format::properties::Properties;
use crate::ids::{KeyspaceId, RunId};
use crate::segment::Segment;
use crate::sync::Arc;

/// A segment as one run uses it: whole, or trimmed to user keys from `first` to before `to`.
#[derive(Clone, Debug)]
pub(crate) struct SegmentRef {
    pub(crate) segment: Arc<Segment>,
    /// First key that can be met here: the segment's own, or the trim bound. Inclusive.
    pub(crate) first: BoundKey,
    /// Last key that can be met here, inclusive, unless `to` cuts before it.
    pub(crate) last: BoundKey,
    /// Where a merge has cut the end off, exclusive.
    pub(crate) to: Option<BoundKey>,
    /// Bytes of the data blocks that can be met here.
    pub(crate) bytes: u64,
}

impl SegmentRef {
    /// Whether the key lies behind this reference.
    fn ends_before(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        let cut = self.to.as_ref().is_some_and(|to| order_from(to, keyspace, key).is_ge());
        cut || order_from(&self.last, keyspace, key).is_gt()
    }

    /// Before all that can be met here.
    pub(crate) fn start(&self) -> Position<'_> {
        Position::first(self.first.keyspace, &self.first.key)
    }

    fn starts_after(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        order_from(&self.first, keyspace, key).is_lt()
    }
}

/// The order of a key and a bound.
#[inline]
fn order_from(bound: &BoundKey, keyspace: KeyspaceId, key: &[u8]) -> Ordering {
    keyspace.cmp(&bound.keyspace).then_with(|| order_bytes(key, &bound.key))
}

/// Disjoint segments in key order, written together or merged.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) segments: Vec<SegmentRef>,
}

impl Run {
    /// The one segment that may hold a key.
    #[inline]
    pub(crate) fn segment_for(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&SegmentRef> {
        let at = self.first_not_before(keyspace, key);
        self.segments.get(at).filter(|found| !found.starts_after(keyspace, key))
    }

    /// Index of the first reference that does not end before the key.
    pub(crate) fn first_not_before(&self, keyspace: KeyspaceId, key: &[u8]) -> usize {
        self.segments.partition_point(|segment| segment.ends_before(keyspace, key))
    }

    /// Index of the first reference that starts after the key.
    pub(crate) fn first_after(&self, keyspace: KeyspaceId, key: &[u8]) -> usize {
        self.segments.partition_point(|segment| !segment.starts_after(keyspace, key))
    }

    /// Bytes of its data blocks, without what trims keep out.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|part| part.bytes).sum()
    }
}

/// All runs at one moment, newest first. Never changed: a change publishes another.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentSet {
    pub(crate) runs: Vec<Arc<Run>>,
}

impl SegmentSet {
    /// Every segment, newest run first; one that is referenced in parts once for each.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.runs.iter().flat_map(|run| run.segments.iter().map(|part| &part.segment))
    }

    /// Whether there may be keys of a keyspace in any run ([`SegmentRef::may_hold`]).
    pub(crate) fn may_hold(&self, keyspace: KeyspaceId) -> bool {
        self.runs.iter().any(|run| {
            let from = run.first_not_before(keyspace, &[]);
            let mut near =
                run.segments[from..].iter().take_while(|part| part.first.keyspace <= keyspace);
            near.any(|part| part.may_hold(keyspace))
        })
    }
}

/// Each file of a set once, though runs may refer to parts of one.
pub(crate) fn each_file(set: &SegmentSet) -> Vec<&Arc<Segment>> {
    let mut segments: Vec<_> = set.segments().collect();
    segments.sort_by_key(|segment| segment.number());
    segments.dedup_by_key(|segment| segment.number());
    segments
}

/// Bytes of keys and values in a part of a segment, as steps count what they have read: what is
/// stored may be compressed. By its share of the blocks, so that it is exact for a whole segment.
pub(crate) fn raw_bytes(part: &SegmentRef) -> u64 {
    let Properties { raw_bytes, stored_bytes, .. } = part.segment.properties();
    let raw = u128::from(*raw_bytes) * u128::from(part.bytes) / u128::from((*stored_bytes).max(1));
    u64::try_from(raw).unwrap_or(u64::MAX)
}
