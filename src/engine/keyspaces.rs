//! Keyspaces: made, found, dropped.
//!
//! A keyspace is an id that its keys begin with. Making one needs a manifest edit, dropping one a
//! control record in the log first; both are carried out by the log thread for a caller that waits.
//!
//! Dropping, in this order: the control record takes its sequence *d* in the commit section, from
//! where on writes are refused; the log is synced past *d*; then the manifest says so. A crash
//! between the last two is made good by the flush that retires the record's memtable (rule 10).

use std::collections::BTreeMap;

use super::Engine;
use crate::error::{Error, Result};
use crate::format::batch::Control;
use crate::format::edit::{Change, KeyspaceMeta};
use crate::ids::{KeyspaceId, Sequence};
use crate::options::KeyspaceOptions;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Longest keyspace name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What every handle of a keyspace shares.
#[derive(Debug)]
pub(crate) struct KeyspaceState {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    /// The sequence that dropped it, 0 while it lives. Stored inside the commit section before
    /// `visible` passes it.
    dropped_at: AtomicU64,
}

impl KeyspaceState {
    pub(super) fn new(meta: &KeyspaceMeta) -> Self {
        Self {
            id: meta.id,
            name: meta.name.clone(),
            options: meta.options,
            dropped_at: AtomicU64::new(meta.dropped_at.unwrap_or_default().0),
        }
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

/// All keyspaces that have data or a name, by id.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    table: Mutex<BTreeMap<KeyspaceId, Arc<KeyspaceState>>>,
}

impl Keyspaces {
    pub(super) fn new(states: impl Iterator<Item = KeyspaceState>) -> Self {
        let table = states.map(|state| (state.id, Arc::new(state))).collect();
        Self { table: Mutex::new(table) }
    }

    /// The living keyspace of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<KeyspaceState>> {
        let table = lock(&self.table);
        let mut living = table.values().filter(|state| state.dropped_at().is_none());
        living.find(|state| state.name == name).cloned()
    }

    /// The names of the living keyspaces, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let table = lock(&self.table);
        let living = table.values().filter(|state| state.dropped_at().is_none());
        let mut names: Vec<_> = living.map(|state| state.name.clone()).collect();
        names.sort();
        names
    }

    /// The keyspace with this id, living or dropped.
    pub(super) fn by_id(&self, id: KeyspaceId) -> Option<Arc<KeyspaceState>> {
        lock(&self.table).get(&id).cloned()
    }

    /// Dropped keyspaces that may still have data, with the sequences that dropped them.
    pub(super) fn dropped(&self) -> BTreeMap<KeyspaceId, Sequence> {
        let table = lock(&self.table);
        table.values().filter_map(|state| Some((state.id, state.dropped_at()?))).collect()
    }

    /// Whether any dropped keyspace may still have data.
    pub(crate) fn any_dropped(&self) -> bool {
        lock(&self.table).values().any(|state| state.dropped_at().is_some())
    }

    /// Marks a keyspace dropped; the first drop counts. Called inside the commit section, and by
    /// recovery.
    pub(super) fn mark_dropped(&self, id: KeyspaceId, at: Sequence) -> Option<Arc<KeyspaceState>> {
        let state = self.by_id(id)?;
        // Release; pairs with the Acquire in `dropped_at`.
        let _ = state.dropped_at.compare_exchange(0, at.0, Ordering::Release, Ordering::Relaxed);
        Some(state)
    }

    fn add(&self, state: KeyspaceState) {
        lock(&self.table).insert(state.id, Arc::new(state));
    }

    /// Forgets a keyspace whose last data is gone.
    pub(super) fn forget(&self, id: KeyspaceId) {
        lock(&self.table).remove(&id);
    }
}

/// What the log thread carries out for a caller.
#[derive(Clone, Debug)]
pub(super) enum KeyspaceRequest {
    Create { name: String, options: KeyspaceOptions },
    Drop { name: String },
}

impl Engine {
    /// Finds a keyspace, or makes it with these options, or with the defaults.
    pub(crate) fn open_keyspace(
        &self,
        name: &str,
        options: Option<KeyspaceOptions>,
    ) -> Result<Arc<KeyspaceState>> {
        check_name(name)?;
        options.map_or(Ok(()), |options| options.validate())?;
        let core = &self.core;
        if let Some(state) = core.keyspaces.find(name) {
            return Ok(state);
        }
        if core.options.read_only {
            return Err(Error::ReadOnly { path: core.dir.clone() });
        }
        let options = options.unwrap_or_default();
        let name_owned = name.to_owned();
        self.request_keyspace(KeyspaceRequest::Create { name: name_owned, options })?;
        // Another thread may have dropped it in between.
        core.keyspaces.find(name).ok_or_else(|| Error::KeyspaceDropped { name: name.to_owned() })
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
            KeyspaceRequest::Create { name, options } => self.create(&name, options),
            KeyspaceRequest::Drop { name } => self.drop_now(&name),
        }
    }

    fn create(&self, name: &str, options: KeyspaceOptions) -> Result<()> {
        let core = &self.core;
        if core.keyspaces.find(name).is_some() {
            return Ok(());
        }
        // A drop whose edit did not come to pass, by a crash or a failure, still holds the name in
        // the manifest. It goes there now, with the log synced first, as for every drop.
        let unsaid = self.unsaid_drop(name);
        if unsaid.is_some() {
            self.sync_all()?;
        }
        let mut manifest = core.manifest();
        let id = manifest.state().next_keyspace;
        let created_at = self.visible();
        let meta =
            KeyspaceMeta { id, name: name.to_owned(), options, created_at, dropped_at: None };
        // A flush may have said it meanwhile.
        let said =
            |id| manifest.state().keyspaces.get(&id).is_none_or(|it| it.dropped_at.is_some());
        let unsaid = unsaid.filter(|&(id, _)| !said(id));
        let mut changes: Vec<_> =
            unsaid.map(|(id, at)| Change::DropKeyspace { id, at }).into_iter().collect();
        changes.push(Change::AddKeyspace(meta.clone()));
        core.append_change(&mut manifest, changes)?;
        core.keyspaces.add(KeyspaceState::new(&meta));
        Ok(())
    }

    /// The keyspace that is dropped, but under this name in the manifest yet.
    fn unsaid_drop(&self, name: &str) -> Option<(KeyspaceId, Sequence)> {
        let manifest = self.core.manifest();
        let mut named = manifest.state().keyspaces.values().filter(|meta| meta.name == name);
        let id = named.find(|meta| meta.dropped_at.is_none())?.id;
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
