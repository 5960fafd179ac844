//! What readers may still see, which a merge has to keep.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::ids::{KeyspaceId, Sequence};
use crate::mvcc::snapshots::ReadPoints;
use crate::runs::SegmentRef;

/// What readers may still see.
pub(crate) struct Horizon {
    pub(crate) points: ReadPoints,
    /// At what sequence each dropped keyspace was dropped.
    pub(crate) dropped: BTreeMap<KeyspaceId, Sequence>,
    lowest: Sequence,
}

impl Horizon {
    /// What readers of an engine may see from this moment on.
    pub(crate) fn read(engine: &Engine) -> Self {
        // First: what is dropped by now is below the `visible` that is read next.
        let dropped = engine.core.keyspaces.droppable();
        let points = engine.core.snapshots.read_points(|| engine.visible());
        let lowest = points.horizon();
        Self { points, dropped, lowest }
    }

    /// The lowest sequence that anyone reads at, now or later.
    pub(crate) fn lowest(&self) -> Sequence {
        self.lowest
    }

    /// Whether enough of a segment is of no use that it is to be rewritten.
    pub(crate) fn is_worth_rewriting(&self, part: &SegmentRef, bottom: bool) -> bool {
        let properties = part.segment.properties();
        let mut keyspaces = self.dropped.range(part.first.keyspace..=part.last.keyspace);
        let gone = keyspaces.any(|(id, at)| *at <= self.lowest && part.may_hold(*id));
        // Of each key all but the newest version, and that too if it is a tombstone with nothing
        // below it.
        let tombstones = if bottom { properties.tombstones } else { 0 };
        let dead = tombstones.saturating_add(properties.superseded.unwrap_or(0));
        // What a snapshot needs would come out again and again.
        gone || properties.largest <= self.lowest && dead > properties.entries() / 8
    }
}
