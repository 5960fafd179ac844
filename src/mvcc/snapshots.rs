//! The registry of sequences that someone still reads at.
//!
//! Snapshots, and iterators that may move to a newer view, register from any foreground thread and
//! release when dropped. Flushes and merges ask for the read points from background threads. The
//! mutex is held for one map operation, or for one copy of the keys; nobody blocks under it.

use std::collections::BTreeMap;

use crate::ids::Sequence;
use crate::sync::{Mutex, lock};

/// The sequences that are read at, and by how many.
///
/// Registering: 1. lock; 2. read `visible`; 3. put it into the map.
/// Asking: 1. lock; 2. read `visible`; 3. copy the map's keys.
///
/// `visible` is read under the lock on purpose: the order of the locks decides. A snapshot that
/// locks first is among the read points; one that locks later reads a `visible` at or above theirs,
/// and everything from there up is kept.
#[derive(Debug)]
pub(crate) struct Snapshots {
    live: Mutex<BTreeMap<Sequence, Readers>>,
}

/// The readers at one sequence.
#[derive(Debug)]
struct Readers {
    /// Never zero.
    count: usize,
    /// The stamp of the first one.
    stamp: u64,
}

/// The sequences that are read at, at one instant: what a flush or a merge must keep readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadPoints {
    /// The registered sequences, ascending, each once. None is above `visible`.
    pub(crate) snapshots: Vec<Sequence>,
    /// What an unregistered read could see then. Everything above it is kept as well.
    pub(crate) visible: Sequence,
}

impl ReadPoints {
    /// The lowest sequence that anyone reads at, now or later: of each key, versions older than the
    /// newest one at or below it are not needed.
    pub(crate) fn horizon(&self) -> Sequence {
        self.snapshots.first().map_or(self.visible, |oldest| self.visible.min(*oldest))
    }
}

impl Snapshots {
    /// A registry without readers.
    pub(crate) fn new() -> Self {
        Self { live: Mutex::new(BTreeMap::new()) }
    }

    /// Registers a reader at what `visible` says, and returns that sequence. Each registration is
    /// ended by one [`Self::release`]. `stamp` is the caller's, for [`Self::oldest`]: a time, say.
    pub(crate) fn register(&self, stamp: u64, visible: impl FnOnce() -> Sequence) -> Sequence {
        let mut live = lock(&self.live);
        let sequence = visible();
        live.entry(sequence).or_insert(Readers { count: 0, stamp }).count += 1;
        sequence
    }

    /// Ends one registration at `sequence`.
    ///
    /// # Panics
    /// If there is none: another reader's protection would be taken away instead.
    pub(crate) fn release(&self, sequence: Sequence) {
        let mut live = lock(&self.live);
        let readers = live.get_mut(&sequence).expect("every release follows its own registration");
        readers.count -= 1;
        if readers.count == 0 {
            live.remove(&sequence);
        }
    }

    /// The registered sequences and `visible`, read together.
    pub(crate) fn read_points(&self, visible: impl FnOnce() -> Sequence) -> ReadPoints {
        let live = lock(&self.live);
        let visible = visible();
        ReadPoints { snapshots: live.keys().copied().collect(), visible }
    }

    /// The oldest registered sequence, with the stamp of the first of its readers.
    pub(crate) fn oldest(&self) -> Option<(Sequence, u64)> {
        let live = lock(&self.live);
        live.first_key_value().map(|(&sequence, readers)| (sequence, readers.stamp))
    }

    /// How many registrations are live.
    pub(crate) fn count(&self) -> usize {
        lock(&self.live).values().map(|readers| readers.count).sum()
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
