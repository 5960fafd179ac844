//! The manifest as background threads and copies use it: locked, appended to, and settled after an
//! edit that failed; and the segment sets that are published as its edits go.

use crate::engine::outputs::remove_segment;
use crate::engine::shared::clock::now_ms;
use crate::engine::{Core, View};
use crate::error::Result;
use crate::format::edit::{Change, Edit};
use crate::runs::SegmentSet;
use crate::runs::manifest::Manifest;
use crate::segment::FinishedSegment;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MutexGuard, Poisoned, lock, lock_sound};

/// The locked manifest.
pub(crate) struct ManifestGuard<'a>(MutexGuard<'a, Option<Manifest>>);

impl std::ops::Deref for ManifestGuard<'_> {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        self.0.as_ref().expect("only a database open for writing has background work")
    }
}

impl std::ops::DerefMut for ManifestGuard<'_> {
    fn deref_mut(&mut self) -> &mut Manifest {
        self.0.as_mut().expect("only a database open for writing has background work")
    }
}

/// The manifest of a database that is open for writing. After a panic under its lock it may be half
/// changed, in memory or on disk, so it is not to be had then.
pub(crate) fn locked(core: &Core) -> Result<ManifestGuard<'_>> {
    let locked = lock_sound(&core.manifest);
    locked.map(ManifestGuard).map_err(|Poisoned| core.stop_after_panic("background work"))
}

/// Appends an edit that names the segments `fresh` for the first time. If it fails they stay
/// until [`settle_manifest`] knows what the manifest names.
pub(crate) fn append_edit(
    core: &Core,
    manifest: &mut ManifestGuard<'_>,
    changes: Vec<Change>,
    fresh: &[FinishedSegment],
) -> Result<()> {
    let appended = append_change(core, manifest, changes);
    if appended.is_err() {
        // Under the manifest's lock, so that they are not removed by a settling that began
        // before.
        lock(&core.unsettled).extend(fresh.iter().map(|segment| segment.number));
    }
    appended
}

/// Appends an edit, if there is still a directory that it is of, and has what is known of
/// keyspaces follow it.
pub(crate) fn append_change(
    core: &Core,
    manifest: &mut ManifestGuard<'_>,
    changes: Vec<Change>,
) -> Result<()> {
    core.check_directory()?;
    let edit = Edit { time_ms: now_ms(), changes };
    manifest.append(&edit)?;
    let forgotten = core.keyspaces.follow(&edit.changes);
    if !forgotten.is_empty() {
        let view = core.view.load_full();
        let tables = view.sealed.iter().chain([&view.active]);
        tables.for_each(|table| table.forget_drops(&forgotten));
    }
    Ok(())
}

/// Ends the doubt about what an edit that failed has left in the manifest, and only then
/// removes the segments that it named: until then an open might read them. While this fails, an
/// open would do it.
pub(crate) fn settle_manifest(core: &Core) -> Result<()> {
    let mut manifest = locked(core)?;
    if manifest.broken() {
        manifest.rotate()?;
    }
    let unsettled = std::mem::take(&mut *lock(&core.unsettled));
    drop(manifest);
    unsettled.into_iter().for_each(|number| remove_segment(core, number));
    Ok(())
}

/// Publishes another segment set, derived from the current one. The caller holds the manifest's
/// lock, so that sets follow each other as edits do.
pub(crate) fn publish_segments(core: &Core, derive: impl Fn(&SegmentSet) -> SegmentSet) {
    core.publish(|view| View {
        active: Arc::clone(&view.active),
        sealed: view.sealed.clone(),
        segments: Arc::new(derive(&view.segments)),
        flushed: view.flushed,
    });
    core.counters.views_published.fetch_add(1, Ordering::Relaxed);
}
