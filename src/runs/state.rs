//! What the manifest says, as plain data: keyspaces, runs, log floor, sequence ceiling.
//!
//! No file and no lock. [`ManifestState::apply`] is the one place that says which edits are legal;
//! background threads apply what they are about to append, and `open` what it reads.
//!
//! # Bytes of a snapshot
//!
//! One after the other:
//!
//! | bytes | what |
//! |---|---|
//! | 16 | the database's uuid |
//! | varint | number of edits applied |
//! | varint | next keyspace id |
//! | varint | next run id |
//! | varint | log floor |
//! | 1 | 1 if the log at the floor exists, else 0 |
//! | varint | sequence ceiling |
//! | varint | number of keyspaces |
//! | … | keyspaces, ids ascending, as in [`crate::format::meta`] |
//! | varint | number of runs |
//! | … | runs, newest first, as in [`crate::format::meta`] |

use std::collections::{BTreeMap, BTreeSet};

use crate::format::Malformed;
use crate::format::coding::{Decoder, put_varint};
use crate::format::edit::{
    BoundKey, Change, Edit, KeyspaceMeta, RunMeta, SegmentMeta, SegmentRefMeta, decode_bool,
};
use crate::ids::{
    FileNumber, KEYSPACE_DEFAULT, KEYSPACE_DEFAULT_NAME, KeyspaceId, LogNumber, RunId, Sequence,
    Uuid,
};
use crate::options::KeyspaceOptions;

const SNAPSHOT: &str = "manifest snapshot";
const STATE: &str = "manifest state";

/// The state of a database as far as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestState {
    pub(crate) uuid: Uuid,
    /// Every keyspace that may have data, dropped ones too until they are forgotten.
    pub(crate) keyspaces: BTreeMap<KeyspaceId, KeyspaceMeta>,
    /// The names of those that are not dropped.
    names: BTreeMap<String, KeyspaceId>,
    /// Ids below have been given out, and are never given out again.
    pub(crate) next_keyspace: KeyspaceId,
    /// Newest first. For each user key, a newer run has the newer versions.
    pub(crate) runs: Vec<RunMeta>,
    /// Ids below have been given out.
    pub(crate) next_run: RunId,
    /// Logs below are dead.
    pub(crate) log_floor: LogNumber,
    /// Whether the log at the floor must be there.
    pub(crate) log_floor_exists: bool,
    /// No sequence above has been given out.
    pub(crate) sequence_ceiling: Sequence,
    /// How many edits led here: the number of the last one.
    pub(crate) edits: u64,
}

/// What an edit has replaced, for [`ManifestState::undo`]: an edit that is refused, or that cannot
/// be written, costs what it changes, and not a copy of all that the manifest says.
#[derive(Debug)]
pub(crate) struct Undo {
    next_keyspace: KeyspaceId,
    next_run: RunId,
    log_floor: (LogNumber, bool),
    sequence_ceiling: Sequence,
    edits: u64,
    /// In the order in which it was replaced.
    replaced: Vec<Replaced>,
}

#[derive(Debug)]
enum Replaced {
    /// What was known of a keyspace.
    Keyspace(KeyspaceId, Option<KeyspaceMeta>),
    /// `added` runs from `at` on are where these were.
    Runs { at: usize, added: usize, removed: Vec<RunMeta> },
}

impl Undo {
    /// Nothing is changed yet.
    fn begin(state: &ManifestState) -> Self {
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
    fn note_keyspace(&mut self, state: &ManifestState, id: KeyspaceId) {
        self.replaced.push(Replaced::Keyspace(id, state.keyspaces.get(&id).cloned()));
    }
}

fn refused(expected: impl Into<String>, got: impl Into<String>) -> Malformed {
    Malformed::new(0, STATE, expected, got)
}

/// Passes if `sound`, else says what was expected of what.
fn require(
    sound: bool,
    expected: &'static str,
    got: impl FnOnce() -> String,
) -> Result<(), Malformed> {
    if sound { Ok(()) } else { Err(refused(expected, got())) }
}

impl ManifestState {
    /// An empty database: the keyspace `default`, no run, no log.
    pub(crate) fn new(uuid: Uuid) -> Self {
        let default = KeyspaceMeta {
            id: KEYSPACE_DEFAULT,
            name: KEYSPACE_DEFAULT_NAME.to_owned(),
            options: KeyspaceOptions::default(),
            created_at: Sequence(0),
            dropped_at: None,
        };
        Self {
            uuid,
            keyspaces: BTreeMap::from([(KEYSPACE_DEFAULT, default)]),
            names: BTreeMap::from([(KEYSPACE_DEFAULT_NAME.to_owned(), KEYSPACE_DEFAULT)]),
            next_keyspace: KeyspaceId(1),
            runs: Vec::new(),
            next_run: RunId(1),
            log_floor: LogNumber(1),
            log_floor_exists: false,
            sequence_ceiling: Sequence(0),
            edits: 0,
        }
    }

    /// What every reference points to, run by run. A segment that is referenced in parts comes once
    /// for each part.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.references().map(|reference| &reference.segment)
    }

    fn references(&self) -> impl Iterator<Item = &SegmentRefMeta> {
        self.runs.iter().flat_map(|run| &run.segments)
    }

    /// The segments of the runs that an edit replaces; it may name some of them again.
    pub(crate) fn replaced_by(&self, edit: &Edit) -> impl Iterator<Item = FileNumber> {
        let replaced = edit.changes.iter().flat_map(|change| match change {
            Change::ReplaceRuns { remove, .. } => remove.as_slice(),
            _ => &[],
        });
        let replaced: Vec<_> = replaced.collect();
        let runs = self.runs.iter().filter(move |run| replaced.contains(&&run.id));
        runs.flat_map(|run| run.segments.iter().map(|reference| reference.segment.number))
    }

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
        self.next_keyspace = undo.next_keyspace;
        self.next_run = undo.next_run;
        (self.log_floor, self.log_floor_exists) = undo.log_floor;
        self.sequence_ceiling = undo.sequence_ceiling;
        self.edits = undo.edits;
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

    /// Makes an edit's changes, at the cost of these, and returns what takes them back. A refusal
    /// leaves none of them made.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<Undo, Malformed> {
        let mut undo = Undo::begin(self);
        for change in &edit.changes {
            if let Err(refused) = self.apply_change(change, &mut undo) {
                self.undo(undo);
                return Err(refused);
            }
        }
        self.edits = self.edits.saturating_add(1);
        Ok(undo)
    }

    fn apply_change(&mut self, change: &Change, undo: &mut Undo) -> Result<(), Malformed> {
        match change {
            Change::AddKeyspace(KeyspaceMeta { id, .. })
            | Change::DropKeyspace { id, .. }
            | Change::ForgetKeyspace { id }
            | Change::SetOptions { id, .. }
            | Change::RenameKeyspace { id, .. } => undo.note_keyspace(self, *id),
            _ => {}
        }
        match change {
            Change::AddKeyspace(keyspace) => self.add_keyspace(keyspace),
            Change::DropKeyspace { id, at } => self.drop_keyspace(*id, *at),
            Change::ForgetKeyspace { id } => self.forget_keyspace(*id),
            Change::SetOptions { id, options } => self.set_options(*id, *options),
            Change::RenameKeyspace { id, name } => self.rename_keyspace(*id, name),
            Change::AddRun(run) => self.replace_runs(&[], std::slice::from_ref(run), undo),
            Change::ReplaceRuns { remove, add } => {
                require(!remove.is_empty(), "runs to replace", || "none".to_owned())?;
                self.replace_runs(remove, add, undo)
            }
            Change::LogFloor { number, exists } => self.raise_floor(*number, *exists),
            Change::SequenceCeiling(ceiling) => {
                let old = self.sequence_ceiling;
                let new = *ceiling;
                require(new >= old, "a sequence ceiling that does not sink", || {
                    format!("{new} after {old}")
                })?;
                self.sequence_ceiling = new;
                Ok(())
            }
        }
    }

    fn add_keyspace(&mut self, keyspace: &KeyspaceMeta) -> Result<(), Malformed> {
        let KeyspaceMeta { id, name, .. } = keyspace;
        let burnt = *id < self.next_keyspace || id.0 == u32::MAX;
        require(!burnt, "a keyspace id that was never used", || format!("{}", id.0))?;
        require(keyspace.dropped_at.is_none(), "a new keyspace", || format!("{name:?}, dropped"))?;
        require(self.live(name).is_none(), "a new keyspace's name", || format!("{name:?} again"))?;
        self.next_keyspace = KeyspaceId(id.0 + 1);
        self.names.insert(name.clone(), *id);
        self.keyspaces.insert(*id, keyspace.clone());
        Ok(())
    }

    /// The keyspace with this name that is not dropped.
    pub(crate) fn live(&self, name: &str) -> Option<&KeyspaceMeta> {
        self.keyspaces.get(self.names.get(name)?)
    }

    fn drop_keyspace(&mut self, id: KeyspaceId, at: Sequence) -> Result<(), Malformed> {
        require(id != KEYSPACE_DEFAULT, "a keyspace other than the default", || "it".to_owned())?;
        let known = self.keyspaces.get_mut(&id);
        let keyspace = known.ok_or_else(|| refused("a known keyspace", format!("{}", id.0)))?;
        let again = keyspace.dropped_at.is_none_or(|earlier| earlier == at);
        require(again, "the sequence of the earlier drop", || format!("{at}"))?;
        require(at >= keyspace.created_at, "a drop after the creation", || format!("{at}"))?;
        if keyspace.dropped_at.replace(at).is_none() {
            self.names.remove(&keyspace.name);
        }
        Ok(())
    }

    fn set_options(&mut self, id: KeyspaceId, options: KeyspaceOptions) -> Result<(), Malformed> {
        let known = self.keyspaces.get_mut(&id).filter(|known| known.dropped_at.is_none());
        let keyspace = known.ok_or_else(|| refused("a living keyspace", format!("{}", id.0)))?;
        keyspace.options = options;
        Ok(())
    }

    fn rename_keyspace(&mut self, id: KeyspaceId, name: &str) -> Result<(), Malformed> {
        require(id != KEYSPACE_DEFAULT, "a keyspace that may be renamed", || format!("{}", id.0))?;
        require(self.live(name).is_none(), "a name that is free", || format!("{name:?}"))?;
        let known = self.keyspaces.get_mut(&id).filter(|known| known.dropped_at.is_none());
        let keyspace = known.ok_or_else(|| refused("a living keyspace", format!("{}", id.0)))?;
        self.names.remove(&keyspace.name);
        name.clone_into(&mut keyspace.name);
        self.names.insert(name.to_owned(), id);
        Ok(())
    }

    fn forget_keyspace(&mut self, id: KeyspaceId) -> Result<(), Malformed> {
        let dropped = self.keyspaces.get(&id).is_some_and(|known| known.dropped_at.is_some());
        require(dropped, "a dropped keyspace to forget", || format!("{}", id.0))?;
        self.keyspaces.remove(&id);
        Ok(())
    }

    fn raise_floor(&mut self, number: LogNumber, exists: bool) -> Result<(), Malformed> {
        let old = (self.log_floor, self.log_floor_exists);
        let new = (number, exists);
        require(new >= old, "a log floor that does not sink", || format!("{new:?} after {old:?}"))?;
        (self.log_floor, self.log_floor_exists) = new;
        Ok(())
    }

    /// Puts `add` where the adjacent runs `remove` are; at the front if `remove` is empty. An added
    /// run may keep the id of one that it replaces; every other id is new.
    fn replace_runs(
        &mut self,
        remove: &[RunId],
        add: &[RunMeta],
        undo: &mut Undo,
    ) -> Result<(), Malformed> {
        let front = remove
            .first()
            .map_or(Some(0), |first| self.runs.iter().position(|run| run.id == *first));
        let range = front.map(|front| front..front + remove.len()).filter(|range| {
            let there = self.runs.get(range.clone());
            there.is_some_and(|runs| runs.iter().map(|run| run.id).eq(remove.iter().copied()))
        });
        let range =
            range.ok_or_else(|| refused("adjacent runs, newest first", format!("{remove:?}")))?;
        let mut ids = BTreeSet::new();
        for run in add {
            let fresh = run.id >= self.next_run && run.id.0 < u64::MAX;
            let unique = (fresh || remove.contains(&run.id)) && ids.insert(run.id);
            require(unique, "a run id that was never used", || format!("{:?}", run.id))?;
            check_run(run)?;
        }
        if let Some(RunId(last)) = ids.last() {
            self.next_run = self.next_run.max(RunId(last.saturating_add(1)));
        }
        let at = range.start;
        let added = add.len();
        let removed = self.runs.splice(range, add.iter().cloned()).collect();
        undo.replaced.push(Replaced::Runs { at, added, removed });
        let added = add.iter().flat_map(|run| &run.segments);
        self.check_shared(&added.map(|reference| reference.segment.number).collect())
    }

    /// Checks that references to one of `numbers` describe one file, and share no key.
    fn check_shared(&self, numbers: &BTreeSet<FileNumber>) -> Result<(), Malformed> {
        let mut shared: Vec<&SegmentRefMeta> = self.references().collect();
        shared.retain(|reference| numbers.contains(&reference.segment.number));
        shared.sort_by_key(|reference| (reference.segment.number, start(reference)));
        for pair in shared.windows(2) {
            let left = pair[0];
            let right = pair[1];
            let number = left.segment.number;
            if number == right.segment.number {
                let apart = left.segment == right.segment && before(left, right);
                require(apart, "disjoint parts of one segment", || format!("{number:?} twice"))?;
            }
        }
        Ok(())
    }

    /// All of it, as the body of a snapshot record.
    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        let mut out = self.uuid.0.to_vec();
        put_varint(&mut out, self.edits);
        put_varint(&mut out, u64::from(self.next_keyspace.0));
        put_varint(&mut out, self.next_run.0);
        put_varint(&mut out, self.log_floor.0);
        out.push(u8::from(self.log_floor_exists));
        put_varint(&mut out, self.sequence_ceiling.0);
        put_varint(&mut out, self.keyspaces.len() as u64);
        self.keyspaces.values().for_each(|keyspace| keyspace.encode(&mut out));
        put_varint(&mut out, self.runs.len() as u64);
        self.runs.iter().for_each(|run| run.encode(&mut out));
        out
    }

    /// Reads a snapshot's body and checks that edits could have led there.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, SNAPSHOT);
        let mut state = Self::new(Uuid(decoder.array()?));
        state.keyspaces.clear();
        state.names.clear();
        state.edits = decoder.varint()?;
        state.next_keyspace = KeyspaceId(decoder.varint_u32()?);
        state.next_run = RunId(decoder.varint()?);
        state.log_floor = LogNumber(decoder.varint()?);
        state.log_floor_exists = decode_bool(&mut decoder)?;
        state.sequence_ceiling = Sequence(decoder.varint()?);
        for _ in 0..decoder.varint()? {
            let keyspace = KeyspaceMeta::decode(&mut decoder)?;
            state.check_listed_keyspace(&keyspace)?;
            if keyspace.dropped_at.is_none() {
                state.names.insert(keyspace.name.clone(), keyspace.id);
            }
            state.keyspaces.insert(keyspace.id, keyspace);
        }
        let default = state.keyspaces.contains_key(&KEYSPACE_DEFAULT);
        require(default, "the keyspace default", || "none".to_owned())?;
        let mut ids = BTreeSet::new();
        for _ in 0..decoder.varint()? {
            let run = RunMeta::decode(&mut decoder)?;
            let known = run.id < state.next_run && ids.insert(run.id);
            require(known, "a run id of its own", || format!("{:?}", run.id))?;
            check_run(&run)?;
            state.runs.push(run);
        }
        decoder.finish()?;
        state.check_shared(&state.segments().map(|segment| segment.number).collect())?;
        Ok(state)
    }

    fn check_listed_keyspace(&self, keyspace: &KeyspaceMeta) -> Result<(), Malformed> {
        let KeyspaceMeta { id, name, dropped_at, .. } = keyspace;
        let ascending = self.keyspaces.last_key_value().is_none_or(|(last, _)| last < id);
        let known = ascending && *id < self.next_keyspace;
        require(known, "keyspace ids that ascend to the next", || format!("{}", id.0))?;
        let unique = dropped_at.is_some() || self.live(name).is_none();
        require(unique, "a keyspace's name once", || format!("{name:?} again"))
    }
}

/// Checks a run on its own: references that hold something, disjoint and ascending.
fn check_run(run: &RunMeta) -> Result<(), Malformed> {
    require(!run.segments.is_empty(), "a run with segments", || format!("{:?}", run.id))?;
    for reference in &run.segments {
        let SegmentRefMeta { segment, from, to } = reference;
        let sound = segment.first <= segment.last
            && segment.smallest <= segment.largest
            && from.as_ref().is_none_or(|from| *from <= segment.last)
            && to.as_ref().is_none_or(|to| to > start(reference));
        require(sound, "a segment whose bounds hold something", || format!("{reference:?}"))?;
    }
    for pair in run.segments.windows(2) {
        let left = &pair[0];
        let right = &pair[1];
        require(before(left, right), "segments of a run in key order, disjoint", || {
            format!("{:?} before {:?}", left.segment.number, right.segment.number)
        })?;
    }
    Ok(())
}

/// The first key that the reference may hold.
fn start(reference: &SegmentRefMeta) -> &BoundKey {
    let first = &reference.segment.first;
    reference.from.as_ref().map_or(first, |from| from.max(first))
}

/// Whether everything in `left` comes before everything in `right`.
fn before(left: &SegmentRefMeta, right: &SegmentRefMeta) -> bool {
    let start = start(right);
    left.segment.last < *start || left.to.as_ref().is_some_and(|to| to <= start)
}

#[cfg(test)]
pub(crate) mod tests;
