//! Forgetting dropped keyspaces: in the manifest and in memory, once nothing holds their data.
//!
//! The look comes after the drop is visible, so no write comes after the look. What is there
//! moves from memtables to segments, and from segments to segments, by publishing one view after
//! the other: a view that has nothing of a keyspace is followed by none that has. Snapshots do not
//! matter then, because there is nothing to be found. A log that still has its records brings
//! versions back that no handle leads to, but their memtables would have to be there, too.

use crate::engine::manifest::{self, append_change};
use crate::engine::{Core, Engine, View};
use crate::error::Result;
use crate::format::edit::Change;
use crate::ids::{KeyspaceId, Sequence};

/// Where versions of a dropped keyspace may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts {
    /// In no memtable once everything up to here is flushed; 0 if it is in none now.
    pub(crate) until: Sequence,
    pub(crate) on_disk: bool,
}

impl Whereabouts {
    pub(crate) fn is_nowhere(self) -> bool {
        self.until == Sequence(0) && !self.on_disk
    }
}

impl View {
    /// The first sequence of the newest memtable that has versions of a keyspace, 0 if none has:
    /// that memtable is gone, and all older ones are, once this sequence is flushed.
    fn in_memory_until(&self, id: KeyspaceId) -> Sequence {
        let tables = std::iter::once(&self.active).chain(&self.sealed);
        let holder = tables.into_iter().find(|table| table.has_keyspace(id));
        holder.and_then(|table| table.smallest_sequence()).unwrap_or_default()
    }
}

/// Where a keyspace is whose drop is visible.
pub(crate) fn place_of_dropped(core: &Core, id: KeyspaceId) -> Whereabouts {
    let view = core.view.load_full();
    Whereabouts { until: view.in_memory_until(id), on_disk: view.segments.may_hold(id) }
}

/// Forgets dropped keyspaces that neither a memtable nor a segment can still hold. On the flush
/// thread.
pub(crate) fn forget_dropped(engine: &Engine) -> Result<()> {
    let core = &engine.core;
    let mut free = Vec::new();
    let known = core.keyspaces.to_forget();
    // After that: these drops are visible by now, so this view has all that was written before.
    let view = core.view.load_full();
    for (id, until) in known {
        let until = until.unwrap_or_else(|| {
            let until = view.in_memory_until(id);
            core.keyspaces.note_in_memory(id, until);
            until
        });
        if until <= view.flushed && !view.segments.may_hold(id) {
            free.push(id);
        }
    }
    let mut manifest = manifest::locked(core)?;
    // In one edit: each costs two syncs, and there may be thousands. The log thread may have
    // been first.
    free.retain(|id| manifest.state().keyspaces.contains_key(id));
    if free.is_empty() {
        return Ok(());
    }
    let forget = |&id: &KeyspaceId| Change::ForgetKeyspace { id };
    append_change(core, &mut manifest, free.iter().map(forget).collect())
}
