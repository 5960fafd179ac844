//! Dropped keyspaces: from the drop to the day when nothing of them is left.
//!
//! The commit section adds one; the edit of the manifest that says so comes later, from the log
//! thread or a flush; merges, flushes and the clean-up ask what they may leave out. The caller has
//! the lock around this, which is held for a look or a change and never across I/O.

use std::collections::BTreeMap;

use crate::ids::{KeyspaceId, Sequence};

/// Dropped keyspaces that may still have data, or that the manifest has not forgotten.
///
/// A drop:
/// 1. inside the commit section: take the sequence *d*, add it here, then store `visible`;
/// 2. sync the log past *d*;
/// 3. append and sync an edit that says so; then settle it here.
///
/// A merge:
/// 1. read what is settled: it is below the `visible` that comes next, and no power loss takes the
///    drop back. What is only added may be lost with the power, and then the data has to be there;
/// 2. read the snapshots and `visible` together; leave out a keyspace that was dropped at or below
///    the lowest of them.
///
/// Forgetting, once a drop is visible, so that no write comes any more:
/// 1. in a view: look which memtable is the newest that has something of it, and note from where on
///    none has;
/// 2. in that view or a later one: if all up to there is flushed, and no segment may hold any of
///    it, then append an edit that forgets it, and forget it here.
#[derive(Debug, Default)]
pub(crate) struct Drops(BTreeMap<KeyspaceId, Dropped>);

#[derive(Clone, Copy, Debug)]
struct Dropped {
    at: Sequence,
    /// Whether the manifest knows, and so the log has it durably.
    settled: bool,
    /// Once everything up to here is flushed no memtable holds it. Nothing where that was not
    /// looked up yet.
    until: Option<Sequence>,
}

impl Drops {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one that was dropped at `at`; whether the manifest says so already.
    pub(crate) fn add(&mut self, id: KeyspaceId, at: Sequence, settled: bool) {
        self.0.insert(id, Dropped { at, settled, until: None });
    }

    /// The manifest knows of the drop.
    pub(crate) fn settle(&mut self, id: KeyspaceId) {
        if let Some(dropped) = self.0.get_mut(&id) {
            dropped.settled = true;
        }
    }

    /// The manifest has forgotten it.
    pub(crate) fn forget(&mut self, id: KeyspaceId) {
        self.0.remove(&id);
    }

    /// All, with the sequences that dropped them.
    pub(crate) fn all(&self) -> BTreeMap<KeyspaceId, Sequence> {
        self.0.iter().map(|(&id, dropped)| (id, dropped.at)).collect()
    }

    /// Those of them that no power loss brings back.
    pub(crate) fn droppable(&self) -> BTreeMap<KeyspaceId, Sequence> {
        self.settled().map(|(id, dropped)| (id, dropped.at)).collect()
    }

    /// The same, with what is known of when no memtable holds them any more.
    pub(crate) fn to_forget(&self) -> Vec<(KeyspaceId, Option<Sequence>)> {
        self.settled().map(|(id, dropped)| (id, dropped.until)).collect()
    }

    /// Notes that no memtable holds one once everything up to `until` is flushed.
    pub(crate) fn note_in_memory(&mut self, id: KeyspaceId, until: Sequence) {
        if let Some(dropped) = self.0.get_mut(&id) {
            dropped.until = Some(until);
        }
    }

    fn settled(&self) -> impl Iterator<Item = (KeyspaceId, &Dropped)> {
        let settled = self.0.iter().filter(|(_, dropped)| dropped.settled);
        settled.map(|(&id, dropped)| (id, dropped))
    }
}

#[cfg(all(test, loom))]
mod models;
