//! Keyspaces: what is known of them.
//!
//! A keyspace is an id that its keys begin with. Making and dropping them is the log thread's, for
//! callers that wait (`keyspaces::edits`); `keyspaces::forget` forgets what has been dropped.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::format::edit::{Change, KeyspaceMeta};
use crate::ids::{KeyspaceId, Sequence};
use crate::mvcc::drops::Drops;
use crate::options::KeyspaceOptions;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, Weak, lock};

/// So many forgotten keyspaces are looked through for handles that are gone.
const FORGOTTEN_MANY: usize = 16;

/// What every handle of a keyspace shares.
#[derive(Debug)]
pub(crate) struct KeyspaceState {
    pub(crate) id: KeyspaceId,
    /// As of the last edit that changed it.
    name: Mutex<String>,
    /// As of the last edit that changed them.
    options: Mutex<KeyspaceOptions>,
    /// The sequence that dropped it, 0 while it lives. Stored inside the commit section before
    /// `visible` passes it.
    dropped_at: AtomicU64,
}

impl KeyspaceState {
    pub(crate) fn new(meta: &KeyspaceMeta) -> Self {
        Self {
            id: meta.id,
            name: Mutex::new(meta.name.clone()),
            options: Mutex::new(meta.options),
            dropped_at: AtomicU64::new(meta.dropped_at.unwrap_or_default().0),
        }
    }

    /// Its name now, or its last one if it was dropped.
    pub(crate) fn name(&self) -> String {
        lock(&self.name).clone()
    }

    /// What flushes and merges that begin now go by.
    pub(crate) fn options(&self) -> KeyspaceOptions {
        *lock(&self.options)
    }

    /// The sequence that dropped it.
    pub(crate) fn dropped_at(&self) -> Option<Sequence> {
        // Acquire; pairs with the Release in `mark_dropped`.
        Some(Sequence(self.dropped_at.load(Ordering::Acquire))).filter(|at| at.0 != 0)
    }

    /// Refuses a read at `at` (now, if `None`) that the drop hides from.
    pub(crate) fn check_read(&self, at: Option<Sequence>) -> Result<()> {
        match (self.dropped_at(), at) {
            (None, _) => Ok(()),
            (Some(dropped), Some(at)) if at < dropped => Ok(()),
            (Some(_), _) => Err(Error::KeyspaceDropped { name: self.name() }),
        }
    }

    /// Has flushes and merges that begin from now on go by other options.
    pub(crate) fn set_options(&self, options: KeyspaceOptions) {
        *lock(&self.options) = options;
    }
}

/// All keyspaces that have data or a name.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    table: Mutex<Table>,
    /// How many of them are dropped: so that the release of a snapshot need not look.
    dropped: AtomicUsize,
    /// Up to where an edit that was to say drops has failed, or zero: all up to there are in the
    /// log, durably.
    unsaid: AtomicU64,
}

/// Each step costs a search, whatever the number of keyspaces.
#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<KeyspaceId, Arc<KeyspaceState>>,
    living: HashMap<String, Arc<KeyspaceState>>,
    dropped: Drops,
    /// Those that handles were left of when they were forgotten: for their names.
    forgotten: BTreeMap<KeyspaceId, Weak<KeyspaceState>>,
    /// How many handles there were when `forgotten` was last looked through.
    handles: usize,
}

impl Table {
    fn add(&mut self, state: Arc<KeyspaceState>) {
        match state.dropped_at() {
            // As the manifest says.
            Some(at) => self.dropped.add(state.id, at, true),
            None => drop(self.living.insert(state.name(), Arc::clone(&state))),
        }
        self.by_id.insert(state.id, state);
    }

    fn forget(&mut self, id: KeyspaceId) {
        self.dropped.forget(id);
        let Some(state) = self.by_id.remove(&id).filter(|state| Arc::strong_count(state) > 1)
        else {
            return;
        };
        self.forgotten.insert(id, Arc::downgrade(&state));
        drop(state);
        if self.forgotten.len() >= 2 * self.handles + FORGOTTEN_MANY {
            self.forgotten.retain(|_, state| state.strong_count() > 0);
            self.handles = self.forgotten.len();
        }
    }
}

impl Keyspaces {
    pub(crate) fn new(states: impl Iterator<Item = KeyspaceState>) -> Self {
        let mut table = Table::default();
        states.for_each(|state| table.add(Arc::new(state)));
        let dropped = AtomicUsize::new(table.dropped.len());
        Self { table: Mutex::new(table), dropped, unsaid: AtomicU64::new(0) }
    }

    /// The living keyspace of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<KeyspaceState>> {
        lock(&self.table).living.get(name).cloned()
    }

    /// The names of the living keyspaces, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = lock(&self.table).living.keys().cloned().collect();
        names.sort();
        names
    }

    /// The keyspace with this id, living or dropped, until it is forgotten.
    pub(crate) fn by_id(&self, id: KeyspaceId) -> Option<Arc<KeyspaceState>> {
        lock(&self.table).by_id.get(&id).cloned()
    }

    /// What segments of a keyspace are written with; the defaults once it is forgotten.
    pub(crate) fn options_of(&self, id: KeyspaceId) -> KeyspaceOptions {
        self.by_id(id).map(|state| state.options()).unwrap_or_default()
    }

    /// What a write to a dropped keyspace is told: its name, unless that is forgotten and the last
    /// handle is gone, as it may be for a batch.
    pub(crate) fn dropped_error(&self, id: KeyspaceId) -> Error {
        let name = self.name_of(id).unwrap_or_else(|| format!("#{}", id.0));
        Error::KeyspaceDropped { name }
    }

    /// The name of a keyspace, living or dropped, unless that is forgotten and the last handle is
    /// gone.
    pub(crate) fn name_of(&self, id: KeyspaceId) -> Option<String> {
        let table = lock(&self.table);
        let known = table.by_id.get(&id).cloned();
        let known = known.or_else(|| table.forgotten.get(&id)?.upgrade());
        known.map(|state| state.name())
    }

    /// Dropped keyspaces that may still have data, with the sequences that dropped them.
    pub(crate) fn dropped(&self) -> BTreeMap<KeyspaceId, Sequence> {
        lock(&self.table).dropped.all()
    }

    /// Those of them whose drop the manifest knows, and so the log has durably: one that is only in
    /// memory so far may be lost with the power, and then the data has to be there.
    pub(crate) fn droppable(&self) -> BTreeMap<KeyspaceId, Sequence> {
        lock(&self.table).dropped.droppable()
    }

    /// The same, with what is known of when no memtable holds them any more.
    pub(crate) fn to_forget(&self) -> Vec<(KeyspaceId, Option<Sequence>)> {
        lock(&self.table).dropped.to_forget()
    }

    /// Notes that no memtable holds a dropped keyspace once everything up to `until` is flushed.
    pub(crate) fn note_in_memory(&self, id: KeyspaceId, until: Sequence) {
        lock(&self.table).dropped.note_in_memory(id, until);
    }

    /// Whether any dropped keyspace may still have data.
    pub(crate) fn any_dropped(&self) -> bool {
        // Relaxed: who drops one has the flush thread look by itself.
        self.dropped.load(Ordering::Relaxed) > 0
    }

    /// An edit that was to say drops has failed: the clean-up is to say those up to `last`, which
    /// are durable.
    pub(crate) fn leave_unsaid(&self, last: Sequence) {
        // Relaxed, here and below: what is left to say stands in the table and in the manifest.
        self.unsaid.fetch_max(last.0, Ordering::Relaxed);
    }

    /// Up to where drops are left to say, since the last call.
    pub(crate) fn take_unsaid(&self) -> Option<Sequence> {
        if self.unsaid.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(Sequence(self.unsaid.swap(0, Ordering::Relaxed)))
    }

    /// Marks a keyspace dropped; the first drop counts. Called inside the commit section, and by
    /// recovery.
    pub(crate) fn mark_dropped(&self, id: KeyspaceId, at: Sequence) {
        let mut table = lock(&self.table);
        // One that the manifest has forgotten has nothing left to drop.
        let Some(state) = table.by_id.get(&id).cloned() else { return };
        // Release; pairs with the Acquire in `dropped_at`.
        let first =
            state.dropped_at.compare_exchange(0, at.0, Ordering::Release, Ordering::Relaxed);
        if first.is_ok() {
            table.living.remove(&state.name());
            table.dropped.add(id, at, false);
            self.dropped.store(table.dropped.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn add(&self, state: KeyspaceState) {
        lock(&self.table).add(Arc::new(state));
    }

    /// Gives a keyspace another name, which no living one has; also to one that was dropped
    /// meanwhile. Under the manifest's lock.
    pub(crate) fn rename(&self, state: &Arc<KeyspaceState>, name: &str) {
        let mut table = lock(&self.table);
        let old = std::mem::replace(&mut *lock(&state.name), name.to_owned());
        if let Some(renamed) = table.living.remove(&old) {
            table.living.insert(name.to_owned(), renamed);
        }
    }

    /// Follows an edit: drops that are durable now, and keyspaces that are forgotten, which it
    /// returns. Under the manifest's lock.
    pub(crate) fn follow(&self, changes: &[Change]) -> Vec<KeyspaceId> {
        let mut forgotten = Vec::new();
        let mut table = lock(&self.table);
        for change in changes {
            match change {
                Change::DropKeyspace { id, .. } => table.dropped.settle(*id),
                Change::ForgetKeyspace { id } => {
                    table.forget(*id);
                    forgotten.push(*id);
                }
                _ => {}
            }
        }
        self.dropped.store(table.dropped.len(), Ordering::Relaxed);
        forgotten
    }

    /// How many entries there are for keyspaces that live, are dropped, or are forgotten.
    #[cfg(test)]
    pub(crate) fn known(&self) -> [usize; 3] {
        let table = lock(&self.table);
        assert_eq!(table.by_id.len(), table.living.len() + table.dropped.len());
        [table.living.len(), table.dropped.len(), table.forgotten.len()]
    }
}
