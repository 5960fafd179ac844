//! Keeping what readers use in memory across a merge.
//!
//! A merge replaces segments, and with them the cached blocks: readers of a hot range would go to
//! the file for every block of it, all at once. So before a step is published, its blocks are read
//! into the cache where the blocks that they replace are there. On a compactor thread.

use crate::engine::Core;
use crate::engine::read::get::after_disk_read;
use crate::runs::{Run, SegmentRef};
use crate::sync::Arc;

/// Reads those blocks of `fresh` into the cache whose keys are in cached blocks of `replaced`.
/// Stops when the cache is full: the blocks that leave with the step still take room in it. What is
/// over its bound then goes, also where nobody reads from the disk any more.
pub(crate) fn warm<'a>(
    core: &Core,
    replaced: impl Iterator<Item = &'a Arc<Run>>,
    fresh: &[SegmentRef],
) {
    let in_use = |run: &&Arc<Run>| run.segments.iter().any(|part| part.segment.is_warm());
    let replaced: Vec<_> = replaced.filter(in_use).collect();
    if !replaced.is_empty() {
        read_hot(core, &replaced, fresh);
        after_disk_read(core);
    }
}

fn read_hot(core: &Core, replaced: &[&Arc<Run>], fresh: &[SegmentRef]) {
    for part in fresh {
        let index = part.segment.index();
        for i in 0..index.len() {
            if core.cache.over() {
                return;
            }
            let keyspace = index.keyspace(i);
            let key = index.separator(i);
            let hot = |run: &&Arc<Run>| {
                run.segment_for(keyspace, key).is_some_and(|part| {
                    let segment = &part.segment;
                    segment.is_resident(segment.index().find(keyspace, key))
                })
            };
            // Whoever needs a block that cannot be read now is told then.
            if replaced.iter().any(hot) && part.segment.warm_block(i).is_err() {
                return;
            }
        }
    }
}
