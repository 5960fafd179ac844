//! Taking an edit's changes back: what each of them has replaced.
//!
//! So an edit that is refused, or that cannot be written, costs what it changes, and not a copy of
//! all that the manifest says.

use super::ManifestState;
use crate::format::edit::{KeyspaceMeta, RunMeta};
use crate::ids::{KeyspaceId, LogNumber, RunId, Sequence};

/// What [`ManifestState::undo`] needs to take an edit back.
#[derive(Debug)]
pub(crate) struct Undo {
    next_keyspace: KeyspaceId,
    next_run: RunId,
    log_floor: (LogNumber, bool),
    sequence_ceiling: Sequence,
    edits: u64,
    /// In the order in which it was replaced.
    pub(super) replaced: Vec<Replaced>,
}

#[derive(Debug)]
pub(super) enum Replaced {
    /// What was known of a keyspace.
    Keyspace(KeyspaceId, Option<KeyspaceMeta>),
    /// `added` runs from `at` on are where these were.
    Runs { at: usize, added: usize, removed: Vec<RunMeta> },
}

impl Undo {
    /// Nothing is changed yet.
    pub(super) fn begin(state: &ManifestState) -> Self {
        Self {
            next_keyspace: state.next_keyspace,
            next_run: state.next_run,
            log_floor: (state.log_floor, state.log_floor_exists),
            sequence_ceiling: state.sequence_ceiling,
            edits: state.edits,
            replaced: Vec::new(),
        }
    }

    /// Notes a keyspace that is about to be changed.
    pub(super) fn note_keyspace(&mut self, state: &ManifestState, id: KeyspaceId) {
        self.replaced.push(Replaced::Keyspace(id, state.keyspaces.get(&id).cloned()));
    }
}

impl ManifestState {
    /// Takes back the edit that was applied last.
    pub(crate) fn undo(&mut self, undo: Undo) {
        for replaced in undo.replaced.into_iter().rev() {
            match replaced {
                Replaced::Keyspace(id, before) => self.put_back(id, before),
                Replaced::Runs { at, added, removed } => {
                    self.runs.splice(at..at + added, removed);
                }
            }
        }
        (self.next_keyspace, self.next_run) = (undo.next_keyspace, undo.next_run);
        (self.log_floor, self.log_floor_exists) = undo.log_floor;
        (self.sequence_ceiling, self.edits) = (undo.sequence_ceiling, undo.edits);
    }

    fn put_back(&mut self, id: KeyspaceId, before: Option<KeyspaceMeta>) {
        let lives = |meta: &&KeyspaceMeta| meta.dropped_at.is_none();
        if let Some(now) = self.keyspaces.remove(&id).as_ref().filter(lives) {
            self.names.remove(&now.name);
        }
        let Some(before) = before else { return };
        if lives(&&before) {
            self.names.insert(before.name.clone(), id);
        }
        self.keyspaces.insert(id, before);
    }
}
