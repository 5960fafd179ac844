//! What a table knows of keyspaces: which were dropped in its span, and which it has versions of.

use std::collections::BTreeMap;

use super::{Memtable, TableIndex};
use crate::format::key::Position;
use crate::ids::{KeyspaceId, Sequence};
use crate::sync::lock;

impl Memtable {
    /// Notes that `keyspace` was dropped at `at`, to be carried by the flush of this table. Inside
    /// the commit section.
    pub(crate) fn add_drop(&self, keyspace: KeyspaceId, at: Sequence) {
        lock(&self.drops).entry(keyspace).or_insert(at);
        self.counters.cover(at);
    }

    /// The keyspaces dropped in the span of this table.
    pub(crate) fn drops(&self) -> BTreeMap<KeyspaceId, Sequence> {
        lock(&self.drops).clone()
    }

    /// Gives up the drops of these keyspaces, which the manifest has forgotten. Their sequences
    /// still count as the table's: the log has the records.
    pub(crate) fn forget_drops(&self, keyspaces: &[KeyspaceId]) {
        let mut drops = lock(&self.drops);
        for id in keyspaces {
            drops.remove(id);
        }
    }

    /// Whether it has a version in this keyspace, visible or not. For who asks after the keyspace's
    /// drop is visible the answer stays.
    pub(crate) fn has_keyspace(&self, keyspace: KeyspaceId) -> bool {
        let target = Position::first(keyspace, &[]);
        let entry = match &self.index {
            TableIndex::Active(active) => active.lower_bound(target),
            TableIndex::Sorted(sorted) => sorted.entry(sorted.lower_bound(target)),
        };
        entry.is_some_and(|entry| entry.keyspace == keyspace)
    }
}
