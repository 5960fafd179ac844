//! Keyspaces: made, found, dropped.
//!
//! A keyspace is an id that its keys begin with. Making one needs a manifest edit, dropping one a
//! control record in the log first; both are carried out by the log thread for a caller that waits.
//!
//! Dropping, in this order: the control record takes its sequence *d* in the commit section, from
//! where on writes are refused; the log is synced past *d*; then the manifest says so. A crash
//! between the last two is made good by the flush that retires the record's memtable (rule 10).

use std::collections::{BTreeMap, HashMap};

use super::Engine;
use crate::error::{Error, Result};
use crate::format::batch::Control;
use crate::format::edit::{Change, KeyspaceMeta};
use crate::ids::{KeyspaceId, Sequence};
use crate::options::KeyspaceOptions;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Longest keyspace name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What every handle of a keyspace shares.
#[derive(Debug)]
pub(crate) struct KeyspaceState {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    /// As of the last edit that changed them.
    options: Mutex<KeyspaceOptions>,
    /// The sequence that dropped it, 0 while it lives. Stored inside the commit section before
    /// `visible` passes it.
    dropped_at: AtomicU64,
}

impl KeyspaceState {
    pub(super) fn new(meta: &KeyspaceMeta) -> Self {
        Self {
            id: meta.id,
            name: meta.name.clone(),
            options: Mutex::new(meta.options),
            dropped_at: AtomicU64::new(meta.dropped_at.unwrap_or_default().0),
        }
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
            (Some(_), _) => Err(self.dropped_error()),
        }
    }

    pub(super) fn dropped_error(&self) -> Error {
        Error::KeyspaceDropped { name: self.name.clone() }
    }
}

/// All keyspaces that have data or a name.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    table: Mutex<Table>,
    /// How many of them are dropped: so that whoever releases a snapshot need not look.
    dropped: AtomicUsize,
}

/// Each step costs a search, whatever the number of keyspaces.
#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<KeyspaceId, Arc<KeyspaceState>>,
    living: HashMap<String, Arc<KeyspaceState>>,
    dropped: BTreeMap<KeyspaceId, Sequence>,
}

impl Table {
    fn add(&mut self, state: Arc<KeyspaceState>) {
        match state.dropped_at() {
            Some(at) => drop(self.dropped.insert(state.id, at)),
            None => drop(self.living.insert(state.name.clone(), Arc::clone(&state))),
        }
        self.by_id.insert(state.id, state);
    }
}

impl Keyspaces {
    pub(super) fn new(states: impl Iterator<Item = KeyspaceState>) -> Self {
        let mut table = Table::default();
        states.for_each(|state| table.add(Arc::new(state)));
        let dropped = AtomicUsize::new(table.dropped.len());
        Self { table: Mutex::new(table), dropped }
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

    /// The keyspace with this id, living or dropped.
    pub(super) fn by_id(&self, id: KeyspaceId) -> Option<Arc<KeyspaceState>> {
        lock(&self.table).by_id.get(&id).cloned()
    }

    /// Dropped keyspaces that may still have data, with the sequences that dropped them.
    pub(super) fn dropped(&self) -> BTreeMap<KeyspaceId, Sequence> {
        lock(&self.table).dropped.clone()
    }

    /// Whether any dropped keyspace may still have data.
    pub(crate) fn any_dropped(&self) -> bool {
        // Relaxed: who drops one has the flush thread look by itself.
        self.dropped.load(Ordering::Relaxed) > 0
    }

    /// Marks a keyspace dropped; the first drop counts. Called inside the commit section, and by
    /// recovery.
    pub(super) fn mark_dropped(&self, id: KeyspaceId, at: Sequence) -> Option<Arc<KeyspaceState>> {
        let mut table = lock(&self.table);
        let state = Arc::clone(table.by_id.get(&id)?);
        // Release; pairs with the Acquire in `dropped_at`.
        let first =
            state.dropped_at.compare_exchange(0, at.0, Ordering::Release, Ordering::Relaxed);
        if first.is_ok() {
            table.living.remove(&state.name);
            table.dropped.insert(id, at);
            self.dropped.store(table.dropped.len(), Ordering::Relaxed);
        }
        Some(state)
    }

    fn add(&self, state: KeyspaceState) {
        lock(&self.table).add(Arc::new(state));
    }

    /// Forgets a keyspace whose last data is gone.
    pub(super) fn forget(&self, id: KeyspaceId) {
        let mut table = lock(&self.table);
        table.by_id.remove(&id);
        table.dropped.remove(&id);
        self.dropped.store(table.dropped.len(), Ordering::Relaxed);
    }
}

/// What the log thread carries out for a caller.
#[derive(Clone, Debug)]
pub(super) enum KeyspaceRequest {
    /// All of them in one edit. Those that exist get the options, too, if there are any.
    Create {
        names: Vec<String>,
        options: Option<KeyspaceOptions>,
    },
    Drop {
        name: String,
    },
}

impl Engine {
    /// Finds a keyspace, or makes it. It has these options then, or, without, those it had, or the
    /// defaults.
    pub(crate) fn open_keyspace(
        &self,
        name: &str,
        options: Option<KeyspaceOptions>,
    ) -> Result<Arc<KeyspaceState>> {
        check_name(name)?;
        options.map_or(Ok(()), |options| options.validate())?;
        if let Some(state) = self.as_wanted(name, options) {
            return Ok(state);
        }
        self.make_keyspaces(vec![name.to_owned()], options)?;
        // Another thread may have dropped it in between.
        let found = self.core.keyspaces.find(name);
        found.ok_or_else(|| Error::KeyspaceDropped { name: name.to_owned() })
    }

    /// [`Self::open_keyspace`] for many, in one edit.
    pub(crate) fn open_keyspaces(
        &self,
        names: &[String],
        options: KeyspaceOptions,
    ) -> Result<Vec<Arc<KeyspaceState>>> {
        names.iter().try_for_each(|name| check_name(name))?;
        options.validate()?;
        let options = Some(options);
        let mut missing: Vec<_> = names.to_vec();
        missing.retain(|name| self.as_wanted(name, options).is_none());
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            self.make_keyspaces(missing, options)?;
        }
        let found = names.iter().map(|name| {
            let found = self.core.keyspaces.find(name);
            found.ok_or_else(|| Error::KeyspaceDropped { name: name.clone() })
        });
        found.collect()
    }

    /// The keyspace, if there is nothing to be done about it.
    fn as_wanted(
        &self,
        name: &str,
        options: Option<KeyspaceOptions>,
    ) -> Option<Arc<KeyspaceState>> {
        let found = self.core.keyspaces.find(name)?;
        options.is_none_or(|options| options == found.options()).then_some(found)
    }

    fn make_keyspaces(&self, names: Vec<String>, options: Option<KeyspaceOptions>) -> Result<()> {
        if self.core.options.read_only {
            return Err(Error::ReadOnly { path: self.core.dir.clone() });
        }
        self.request_keyspace(KeyspaceRequest::Create { names, options })
    }

    /// Drops a keyspace with all its data.
    pub(crate) fn drop_keyspace(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if self.core.options.read_only {
            return Err(Error::ReadOnly { path: self.core.dir.clone() });
        }
        self.request_keyspace(KeyspaceRequest::Drop { name: name.to_owned() })
    }

    /// On the log thread.
    pub(super) fn carry_out(&self, request: KeyspaceRequest) -> Result<()> {
        if self.core.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if let Some(stopped) = self.core.stopped() {
            return Err(stopped);
        }
        match request {
            KeyspaceRequest::Create { names, options } => self.create(&names, options),
            KeyspaceRequest::Drop { name } => self.drop_now(&name),
        }
    }

    fn create(&self, names: &[String], options: Option<KeyspaceOptions>) -> Result<()> {
        let core = &self.core;
        // A drop whose edit did not come to pass, by a crash or a failure, still holds the name in
        // the manifest. It goes there now, with the log synced first, as for every drop.
        let missing = |name: &&String| core.keyspaces.find(name).is_none();
        let unsaid: Vec<_> =
            names.iter().filter(missing).filter_map(|name| self.unsaid_drop(name)).collect();
        if !unsaid.is_empty() {
            self.sync_all()?;
        }
        let mut manifest = core.manifest();
        let state = manifest.state();
        // A flush may have said it meanwhile.
        let said = |id| state.keyspaces.get(&id).is_none_or(|it| it.dropped_at.is_some());
        let drops = unsaid.into_iter().filter(|&(id, _)| !said(id));
        let mut changes: Vec<_> = drops.map(|(id, at)| Change::DropKeyspace { id, at }).collect();
        let (mut made, mut set) = (Vec::new(), Vec::new());
        let (mut next, created_at) = (state.next_keyspace, self.visible());
        for name in names {
            if let Some(found) = core.keyspaces.find(name) {
                if let Some(options) = options.filter(|options| *options != found.options()) {
                    changes.push(Change::SetOptions { id: found.id, options });
                    set.push((found, options));
                }
                continue;
            }
            let (name, options) = (name.clone(), options.unwrap_or_default());
            let meta = KeyspaceMeta { id: next, name, options, created_at, dropped_at: None };
            next = KeyspaceId(next.0.saturating_add(1));
            changes.push(Change::AddKeyspace(meta.clone()));
            made.push(meta);
        }
        if changes.is_empty() {
            return Ok(());
        }
        core.append_change(&mut manifest, changes)?;
        made.iter().for_each(|meta| core.keyspaces.add(KeyspaceState::new(meta)));
        set.iter().for_each(|(state, options)| *lock(&state.options) = *options);
        Ok(())
    }

    /// The keyspace that is dropped, but under this name in the manifest yet.
    fn unsaid_drop(&self, name: &str) -> Option<(KeyspaceId, Sequence)> {
        let manifest = self.core.manifest();
        let id = manifest.state().live(name)?.id;
        Some((id, self.core.keyspaces.by_id(id)?.dropped_at()?))
    }

    fn drop_now(&self, name: &str) -> Result<()> {
        let core = &self.core;
        let Some(state) = core.keyspaces.find(name) else {
            return Err(Error::InvalidArgument { what: format!("there is no keyspace {name:?}") });
        };
        if state.id == crate::ids::KEYSPACE_DEFAULT {
            let what = String::from("the default keyspace cannot be dropped");
            return Err(Error::InvalidArgument { what });
        }
        let (at, position) = self.write_control(Control::DropKeyspace(state.id))?;
        self.wait_synced(position)?;
        let changes = vec![Change::DropKeyspace { id: state.id, at }];
        core.append_change(&mut core.manifest(), changes)?;
        core.send_flush(super::flusher::FlushJob::Cleanup);
        Ok(())
    }
}

/// Names are for people: 1 to 255 bytes, no control characters.
fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        what: format!(
            "a keyspace's name has 1 to {NAME_BYTES_MAX} bytes and no control characters, and is \
             {name:?}"
        ),
    })
}
