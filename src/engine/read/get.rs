//! The way of a read: a view, then `visible`, then the newest version at or below it.
//!
//! `get` takes no lock, makes no system call when its data is in memory, and frees nothing: it
//! looks into the active memtable, the sealed ones newest first, and the runs newest first, and
//! stops at the first version it may see. One hash serves every filter on the way.
//!
//! An iterator owns its view, so it keeps the memtables and files of its moment. A snapshot is a
//! sequence that is registered: a read through it uses the current view, so it pins neither memory
//! nor files; flushes and merges keep what it sees. A seek moves an end of an iterator ahead only,
//! so that no key comes twice and both ends stay independent.

use crate::engine::read::layers::{Layers, LayersCursor};
use crate::engine::read::stretches::{count_jumps, remember_dead};
use crate::engine::shared::messages::FlushJob;
use crate::engine::{Core, DirectoryLock, Engine, KeyspaceState, View};
use crate::error::{Error, Result};
use crate::format::hash::key_hash;
use crate::format::key::Kind;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, Sequence};
use crate::iter::range::Bounds;
use crate::iter::stretch::Way;
use crate::iter::visible::VisibleIter;
use crate::memtable::{self, Memtable};
use crate::mvcc::view::{read_point, read_point_owned};
use crate::segment::skips::Skipped;
use crate::segment::{self, Skips};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::value::Value;

/// Which prefix of the commit order a read sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadAt {
    /// Everything acknowledged before it began.
    Now,
    /// What a snapshot saw.
    Snapshot(Sequence),
}

/// What a [`Db::try_get`](crate::Reader::try_get) could say without touching the disk.
///
/// ```
/// use alluvium::TryGet;
///
/// # let db = alluvium::Db::in_memory()?;
/// db.put("k", "v")?;
/// let value = match db.try_get("k")? {
///     TryGet::Hit(value) => Some(value),
///     TryGet::Miss => None,
///     TryGet::WouldRead => db.get("k")?, // on a thread that may wait
/// };
/// assert_eq!(value.as_deref(), Some(&b"v"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "`WouldRead` means that nothing was found out"]
pub enum TryGet {
    /// The key has this value.
    Hit(Value),
    /// The key is not there: memtables, filters or blocks in memory say so.
    Miss,
    /// A block would have to be read from the disk to know.
    WouldRead,
}

/// The value of a key, read for a write that depends on it.
pub(crate) struct Seen {
    /// The value is the newest unless the key has a version above this. That is not the sequence
    /// of the read: the view is loaded before it, and may lack a memtable that a version at or
    /// below it went into.
    pub(crate) since: Sequence,
    /// The sequence of the read: it covers what was read.
    pub(crate) at: Sequence,
    pub(crate) value: Option<Value>,
}

impl ReadAt {
    /// The sequence to read at, or the error that the keyspace is gone by then.
    ///
    /// Called once the read has its view. The clean-up takes segments of a dropped keyspace out of
    /// the view only after the drop is visible here: looked for earlier, the drop could be missed
    /// and the read see what the clean-up has left, a part of the keyspace or an old version.
    pub(crate) fn resolve(self, keyspace: &KeyspaceState, visible: Sequence) -> Result<Sequence> {
        let (at, snapshot) = match self {
            Self::Now => (visible, None),
            Self::Snapshot(at) => (at, Some(at)),
        };
        // It is never dropped.
        if keyspace.id == KEYSPACE_DEFAULT {
            return Ok(at);
        }
        keyspace.check_read(snapshot).map(|()| at)
    }
}

/// Where a version was found.
pub(super) enum Hit<'a> {
    Memory { table: &'a Memtable, found: memtable::Found<'a> },
    Disk(&'a segment::SegmentHit<'a>),
}

impl Hit<'_> {
    /// The value for the user to keep. The key is the one it was found for.
    pub(super) fn keep(self, keyspace: KeyspaceId, key: &[u8]) -> Value {
        match self {
            Self::Memory { table, found } => table.keep_value(keyspace, key, &found),
            Self::Disk(hit) => hit.to_value(),
        }
    }
}

/// The keyspace that every database has.
pub(crate) fn default_keyspace(engine: &Engine) -> Arc<KeyspaceState> {
    let default = engine.core.keyspaces.by_id(KEYSPACE_DEFAULT);
    default.expect("a manifest without it is refused, and nothing forgets it")
}

/// The value of a key, owned.
pub(crate) fn get(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    at: ReadAt,
) -> Result<Option<Value>> {
    let id = keyspace.id;
    find(engine, keyspace, key, at, |hit| hit.map(|hit| hit.keep(id, key)))
}

#[cfg(test)]
thread_local! {
    static BETWEEN_LOADS: std::cell::Cell<Option<Box<dyn FnOnce()>>> =
        const { std::cell::Cell::new(None) };
}

/// Does `work` in the next [`get_seen`] of this thread, when it has its view and no sequence yet.
#[cfg(test)]
pub(crate) fn between_loads(work: impl FnOnce() + 'static) {
    let _ = BETWEEN_LOADS.try_with(|between| between.set(Some(Box::new(work))));
}

/// The value of a key, and since when it is known to be that.
pub(crate) fn get_seen(engine: &Engine, keyspace: &KeyspaceState, key: &[u8]) -> Result<Seen> {
    let since = engine.visible();
    let (view, visible) = read_point(&engine.core.view, || {
        #[cfg(test)]
        if let Ok(Some(work)) = BETWEEN_LOADS.try_with(std::cell::Cell::take) {
            work();
        }
        engine.visible()
    });
    let at = ReadAt::Now.resolve(keyspace, visible)?;
    let id = keyspace.id;
    let keep = |hit: Option<Hit<'_>>| hit.map(|hit| hit.keep(id, key));
    Ok(Seen { since, at, value: find_in(&engine.core, &view, id, key, at, keep)? })
}

/// A point of the commit order to read several keys at, for a write that depends on them. It keeps
/// its view, so it needs no snapshot.
pub(crate) struct SeenAll<'e> {
    engine: &'e Engine,
    view: Arc<View>,
    /// As [`Seen::since`].
    pub(crate) since: Sequence,
    /// As [`Seen::at`].
    pub(crate) at: Sequence,
}

impl<'e> SeenAll<'e> {
    /// The newest there is.
    pub(crate) fn now(engine: &'e Engine) -> Self {
        let since = engine.visible();
        let (view, at) = read_point_owned(&engine.core.view, || engine.visible());
        Self { engine, view, since, at }
    }

    /// Whether a key has this value there.
    pub(crate) fn has(
        &self,
        keyspace: &KeyspaceState,
        key: &[u8],
        expected: Option<&[u8]>,
    ) -> Result<bool> {
        let at = ReadAt::Now.resolve(keyspace, self.at)?;
        find_in(&self.engine.core, &self.view, keyspace.id, key, at, |hit| match hit {
            None => expected.is_none(),
            Some(Hit::Memory { found, .. }) => expected == Some(found.value),
            Some(Hit::Disk(hit)) => expected == Some(hit.value),
        })
    }
}

/// The value of a key, if that can be said without the disk.
pub(crate) fn try_get(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    at: ReadAt,
) -> Result<TryGet> {
    let (view, visible) = read_point(&engine.core.view, || engine.visible());
    let at = at.resolve(keyspace, visible)?;
    let keyspace = keyspace.id;
    let hash = key_hash(keyspace, key);
    for table in std::iter::once(&view.active).chain(&view.sealed) {
        let Some(found) = table.get(keyspace, key, hash, at) else { continue };
        if found.kind != Kind::Value {
            return Ok(TryGet::Miss);
        }
        return Ok(TryGet::Hit(table.keep_value(keyspace, key, &found)));
    }
    for run in &view.segments.runs {
        let Some(part) = run.segment_for(keyspace, key) else { continue };
        if !part.segment.may_contain(hash) {
            continue;
        }
        let keep =
            |hit: &segment::SegmentHit<'_>| (hit.kind == Kind::Value).then(|| hit.to_value());
        match part.segment.try_get_with(keyspace, (key, hash), at, keep) {
            None => return Ok(TryGet::WouldRead),
            Some(None) => {}
            Some(Some(Some(value))) => return Ok(TryGet::Hit(value)),
            Some(Some(None)) => return Ok(TryGet::Miss),
        }
    }
    Ok(TryGet::Miss)
}

/// Hands the value of a key to `read` where it lies: no copy, no reference count.
pub(crate) fn get_with<R>(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    at: ReadAt,
    read: impl FnOnce(Option<&[u8]>) -> R,
) -> Result<R> {
    find(engine, keyspace, key, at, |hit| match hit {
        None => read(None),
        Some(Hit::Memory { found, .. }) => read(Some(found.value)),
        Some(Hit::Disk(hit)) => read(Some(hit.value)),
    })
}

fn find<R>(
    engine: &Engine,
    keyspace: &KeyspaceState,
    key: &[u8],
    at: ReadAt,
    use_hit: impl FnOnce(Option<Hit<'_>>) -> R,
) -> Result<R> {
    let (view, visible) = read_point(&engine.core.view, || engine.visible());
    let at = at.resolve(keyspace, visible)?;
    find_in(&engine.core, &view, keyspace.id, key, at, use_hit)
}

/// An iterator over the keys of a keyspace in `bounds`. It keeps `directory` locked.
pub(crate) fn iter(
    engine: &Arc<Engine>,
    directory: Arc<DirectoryLock>,
    keyspace: &KeyspaceState,
    bounds: Bounds,
    at: ReadAt,
) -> Result<EngineIter> {
    let (view, visible) = read_point_owned(&engine.core.view, || engine.visible());
    let at = at.resolve(keyspace, visible)?;
    Ok(EngineIter {
        inner: VisibleIter::new(Layers { view, skips: None }, keyspace.id, at, bounds),
        keyspace: keyspace.id,
        engine: Arc::clone(engine),
        directory,
        told_forked: false,
    })
}

/// Hands `use_hit` the newest version of a key at or below `at`, unless that is a tombstone.
fn find_in<R>(
    core: &Core,
    view: &View,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Sequence,
    use_hit: impl FnOnce(Option<Hit<'_>>) -> R,
) -> Result<R> {
    let hash = key_hash(keyspace, key);
    for table in std::iter::once(&view.active).chain(&view.sealed) {
        if let Some(found) = table.get(keyspace, key, hash, at) {
            let hit = (found.kind == Kind::Value).then_some(Hit::Memory { table, found });
            return Ok(use_hit(hit));
        }
    }
    let mut use_hit = Some(use_hit);
    let mut finish = |hit: Option<Hit<'_>>| {
        let use_hit = use_hit.take().expect("a read ends at its first hit");
        use_hit(hit)
    };
    for run in &view.segments.runs {
        let Some(part) = run.segment_for(keyspace, key) else { continue };
        if !part.segment.may_contain(hash) {
            continue;
        }
        let found = part.segment.get_with(keyspace, (key, hash), at, |hit| {
            debug_assert!(hit.sequence <= at, "a segment gives what the read may see");
            finish((hit.kind == Kind::Value).then_some(Hit::Disk(hit)))
        });
        after_disk_read(core);
        if let Some(result) = found? {
            return Ok(result);
        }
    }
    Ok(finish(None))
}

/// Tells the flush thread when the block cache needs it. One load where it does not.
pub(crate) fn after_disk_read(core: &Core) {
    if core.cache.over() && !core.counters.evicting.swap(true, Ordering::Relaxed) {
        core.send_flush(FlushJob::Evict);
    }
}

/// Walks a keyspace in either direction. Owns the view, and keeps the engine open.
pub(crate) struct EngineIter {
    // Dropped before the engine, whose memory and files it reads.
    inner: VisibleIter<LayersCursor, Layers>,
    keyspace: KeyspaceId,
    engine: Arc<Engine>,
    directory: Arc<DirectoryLock>,
    /// A forked child has been told so: once, as of any error.
    told_forked: bool,
}

impl EngineIter {
    fn refuse_forked<T>(&mut self) -> Option<Result<T>> {
        let told = std::mem::replace(&mut self.told_forked, true);
        (!told).then_some(Err(Error::Forked))
    }

    /// The next key in ascending order, what `key` makes of it, and what `value` makes of its
    /// value.
    pub(crate) fn next_front<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&LayersCursor) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.engine.core.is_forked() {
            return self.refuse_forked();
        }
        let next = self.inner.next_front(key, value);
        self.after_draw();
        next
    }

    /// As [`Self::next_front`], in descending order.
    pub(crate) fn next_back<K, V>(
        &mut self,
        key: impl Fn(&[u8]) -> K,
        value: impl Fn(&LayersCursor) -> V,
    ) -> Option<Result<(K, V)>> {
        if self.engine.core.is_forked() {
            return self.refuse_forked();
        }
        let next = self.inner.next_back(key, value);
        self.after_draw();
        next
    }

    /// The next key in ascending order and its value, lent until the next call.
    pub(crate) fn lend_front(&mut self) -> Option<Result<(&[u8], &[u8])>> {
        if self.engine.core.is_forked() {
            return self.refuse_forked();
        }
        if self.inner.draws_ahead(Way::Forward) {
            return Some(Ok(self.inner.lent_front()));
        }
        let drawn = self.inner.draw_front();
        self.after_draw();
        drawn.map(|drawn| drawn.map(|()| self.inner.lent_front()))
    }

    /// As [`Self::lend_front`], in descending order.
    pub(crate) fn lend_back(&mut self) -> Option<Result<(&[u8], &[u8])>> {
        if self.engine.core.is_forked() {
            return self.refuse_forked();
        }
        if self.inner.draws_ahead(Way::Backward) {
            return Some(Ok(self.inner.lent_back()));
        }
        let drawn = self.inner.draw_back();
        self.after_draw();
        drawn.map(|drawn| drawn.map(|()| self.inner.lent_back()))
    }

    #[inline]
    fn after_draw(&mut self) {
        after_disk_read(&self.engine.core);
        if let Some((dead, at)) = self.inner.take_walked()
            // What was passed over may have been alive.
            && self.inner.maker().skips.is_none()
        {
            // On the newest layer.
            remember_dead(&self.engine, &self.inner.maker().view.active, &dead, at);
        }
    }

    /// Passes over what cannot be read from now on, and notes it. Goes on behind the last key also
    /// where an error has ended it.
    pub(crate) fn skip_damaged(&mut self) {
        let skips = Some(Arc::new(Skips::new(self.keyspace)));
        let view = Arc::clone(&self.inner.maker().view);
        self.inner.remake(Layers { view, skips });
    }

    /// What it has passed over.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.inner.maker().skips.as_ref().map(|skips| skips.list()).unwrap_or_default()
    }

    /// How many deleted keys it has walked over.
    #[cfg(test)]
    pub(crate) fn dead_walked(&self) -> u64 {
        self.inner.dead_walked()
    }

    /// Passes over the keys before `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        self.inner.seek(key);
    }

    /// Passes over the keys after `key`, from the back.
    pub(crate) fn seek_back(&mut self, key: &[u8]) {
        self.inner.seek_back(key);
    }
}

impl Drop for EngineIter {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            let held = (Arc::clone(&self.inner.maker().view), Arc::clone(&self.directory));
            return self.engine.keep_for_parent(held);
        }
        count_jumps(&self.engine, self.inner.jumps());
    }
}

/// Refuses reads after the close, and in a forked child.
#[inline]
pub(crate) fn check_open(engine: &Engine) -> Result<()> {
    engine.core.check_process()?;
    if engine.core.is_closed() { Err(Error::Closed) } else { Ok(()) }
}
