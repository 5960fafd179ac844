//! Who must still find what: the lines that a merge keeps versions for.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::ids::{KeyspaceId, Sequence};
use crate::runs::SegmentRef;

/// Who must still find what.
pub(crate) struct Lines {
    pub(crate) snapshots: Vec<Sequence>,
    pub(crate) visible: Sequence,
    pub(crate) dropped: BTreeMap<KeyspaceId, Sequence>,
    /// The lowest sequence that anyone reads at.
    lowest: Sequence,
}

impl Engine {
    /// Who must still find what, as of now.
    pub(crate) fn lines(&self) -> Lines {
        // First: what is dropped at a line that is read later is below it.
        let dropped = self.core.keyspaces.droppable();
        let survivors = self.core.snapshots.survivors(|| self.visible());
        let lowest = survivors.drop_line();
        Lines { snapshots: survivors.snapshots, visible: survivors.visible, dropped, lowest }
    }
}

impl Lines {
    /// The lowest sequence that anyone reads at.
    pub(crate) fn lowest(&self) -> Sequence {
        self.lowest
    }

    /// Whether enough of a segment is of no use to anyone that it is to be written anew.
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
