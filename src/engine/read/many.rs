//! `multi_get`: many keys in one view at one sequence, which it owns because the caller's iterator
//! of keys runs meanwhile.
//!
//! A get goes from filter to index to slot to block to entry, and waits for memory at each. Here
//! some keys take each step together: what the next step looks at is asked for first, for all of
//! them, so that they wait at the same time (D47).

use crate::engine::read::get::{Hit, ReadAt, after_disk_read};
use crate::engine::{Core, Engine, KeyspaceState, View};
use crate::error::Result;
use crate::format::hash::key_hash;
use crate::format::key::Kind;
use crate::ids::{KeyspaceId, Sequence};
use crate::mvcc::view::read_point_owned;
use crate::runs::Run;
use crate::segment::Segment;
use crate::value::Value;

/// Keys that go together: more than a processor fetches at a time, few enough for its nearest cache
/// to keep what was fetched.
const GROUP: usize = 16;

/// What is known of a key on the way.
struct Wanted<'a> {
    key: &'a [u8],
    hash: u64,
    /// What was found, if the search is over.
    found: Option<Option<Value>>,
    /// Where to look in the run that is searched.
    place: Option<(&'a Segment, usize)>,
}

/// The values of many keys, all at one point of the commit order.
pub(crate) fn multi_get(
    engine: &Engine,
    keyspace: &KeyspaceState,
    keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    at: ReadAt,
) -> Result<Vec<Option<Value>>> {
    let (view, visible) = read_point_owned(&engine.core.view, || engine.visible());
    let at = at.resolve(keyspace, visible)?;
    // Not asked again once it has ended.
    let mut keys = keys.into_iter().fuse();
    let mut values = Vec::with_capacity(keys.size_hint().0.min(1 << 16));
    let mut group = Vec::with_capacity(GROUP);
    loop {
        group.clear();
        group.extend(keys.by_ref().take(GROUP));
        if group.is_empty() {
            return Ok(values);
        }
        let mut wanted: Vec<_> = group
            .iter()
            .map(|key| {
                let key = key.as_ref();
                Wanted { key, hash: key_hash(keyspace.id, key), found: None, place: None }
            })
            .collect();
        find(&engine.core, &view, keyspace.id, at, &mut wanted)?;
        values.extend(wanted.into_iter().map(|it| it.found.flatten()));
    }
}

/// Searches memtables and runs, newest first, for the newest version of each key at or below `at`.
fn find<'a>(
    core: &Core,
    view: &'a View,
    keyspace: KeyspaceId,
    at: Sequence,
    wanted: &mut [Wanted<'a>],
) -> Result<()> {
    for table in std::iter::once(&view.active).chain(&view.sealed) {
        for it in unfound(wanted) {
            let Wanted { key, hash, .. } = *it;
            if let Some(found) = table.get(keyspace, key, hash, at) {
                let hit = (found.kind == Kind::Value).then_some(Hit::Memory { table, found });
                it.found = Some(hit.map(|hit| hit.keep(keyspace, key)));
            }
        }
    }
    for run in &view.segments.runs {
        find_places(run, keyspace, wanted);
        for it in unfound(wanted) {
            let Some((segment, block)) = it.place.take() else { continue };
            let Wanted { key, hash, .. } = *it;
            let kept = segment.get_from(block, keyspace, (key, hash), at, |hit| {
                (hit.kind == Kind::Value).then(|| hit.to_value())
            });
            after_disk_read(core);
            it.found = kept?;
        }
    }
    Ok(())
}

/// Finds where a run may have each key, and asks for it.
fn find_places<'a>(run: &'a Run, keyspace: KeyspaceId, wanted: &mut [Wanted<'a>]) {
    for it in unfound(wanted) {
        // The block is found below.
        let part = run.segment_for(keyspace, it.key);
        it.place = part.map(|part| (&*part.segment, 0));
        if let Some((segment, _)) = it.place {
            segment.prefetch_filter(it.hash);
        }
    }
    for it in unfound(wanted) {
        let Some((segment, _)) = it.place else { continue };
        let block = segment.may_contain(it.hash).then(|| segment.block_for(keyspace, it.key));
        it.place = block.flatten().map(|block| (segment, block));
        if let Some((segment, block)) = it.place {
            segment.file().prefetch_slot(block);
        }
    }
    let places = || wanted.iter().filter_map(|it| Some((it.hash, it.place?)));
    places().for_each(|(_, (segment, block))| segment.file().prefetch_block(block));
    places().for_each(|(hash, (segment, block))| segment.file().prefetch_entry(block, hash));
}

/// Those of which nothing was found yet.
fn unfound<'l, 'a>(wanted: &'l mut [Wanted<'a>]) -> impl Iterator<Item = &'l mut Wanted<'a>> {
    wanted.iter_mut().filter(|it| it.found.is_none())
}
