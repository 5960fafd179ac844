//! Whether anything of a set of keys has a newer version, in memory or on disk: what a transaction
//! asks before it enters the commit section.
//!
//! A version that a flush or a merge has left out is not found, and need not be. The snapshot that
//! the transaction reads at keeps its versions, and `visible` keeps the newest, so the newest
//! version of a key is left out only if it is a deletion, and nothing that anybody sees lies under
//! it: then the key is absent, as it was for the snapshot. It was there in between, and what the
//! transaction has read is the same at both ends. (I7)

use crate::engine::commit::look::{Looked, Steps, find_newer, look_in_memory};
use crate::engine::commit::spans::{Span, Spans};
use crate::engine::read::get::after_disk_read;
use crate::engine::{Engine, View};
use crate::error::Result;
use crate::format::hash::key_hash;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, SEQUENCE_MAX, Sequence};
use crate::runs::cursor::RunCursor;
use crate::runs::{Run, SegmentRef};
use crate::sync::Arc;

/// What has changed of what was read.
#[derive(Debug)]
pub(crate) enum ReadChange {
    Key(KeyspaceId, Vec<u8>),
    Dropped(KeyspaceId),
}

/// Looks for a version above `since` of anything in `spans`. If there is none, returns the
/// sequence up to which there is none.
pub(crate) fn find_change(
    engine: &Engine,
    spans: &Spans,
    since: Sequence,
) -> Result<Result<Sequence, ReadChange>> {
    // First, so that all up to there is in the view.
    let upto = engine.visible();
    let view = engine.core.view.load_full();
    if let Some(dropped) = spans.keyspaces().find(|&id| is_dropped(engine, id)) {
        return Ok(Err(ReadChange::Dropped(dropped)));
    }
    if upto <= since {
        return Ok(Ok(since));
    }
    let mut steps = Steps(usize::MAX);
    let mut looked = look_in_memory(&view, spans, since, &mut steps);
    // What is above has not left the memtables.
    if looked == Looked::Unchanged && view.flushed > since {
        looked = look_on_disk(&view, spans, since)?;
        after_disk_read(&engine.core);
    }
    Ok(match looked {
        Looked::Changed(keyspace, key) => Err(ReadChange::Key(keyspace, key)),
        Looked::Unchanged | Looked::TooMuch => Ok(upto),
    })
}

fn is_dropped(engine: &Engine, id: KeyspaceId) -> bool {
    let known = || engine.core.keyspaces.by_id(id);
    id != KEYSPACE_DEFAULT && known().is_none_or(|state| state.dropped_at().is_some())
}

fn look_on_disk(view: &View, spans: &Spans, since: Sequence) -> Result<Looked> {
    let newer = |part: &&SegmentRef| part.segment.properties().largest > since;
    for run in &view.segments.runs {
        for (keyspace, key) in spans.keys() {
            let hash = key_hash(keyspace, key);
            let part = run.segment_for(keyspace, key).filter(newer);
            let Some(part) = part.filter(|part| part.segment.may_contain(hash)) else { continue };
            let newest = part
                .segment
                .get_with(keyspace, (key, hash), SEQUENCE_MAX, |hit| hit.sequence > since)?;
            if newest == Some(true) {
                return Ok(Looked::Changed(keyspace, key.to_vec()));
            }
        }
        for (keyspace, span) in spans.ranges() {
            let segments: Vec<_> = parts_in(run, keyspace, span).filter(newer).cloned().collect();
            if segments.is_empty() {
                continue;
            }
            let newer = Arc::new(Run { id: run.id, segments });
            let mut cursor = RunCursor::new(newer, None);
            let mut steps = Steps(usize::MAX);
            let looked = find_newer(&mut cursor, keyspace, span, since, &mut steps)?;
            if looked != Looked::Unchanged {
                return Ok(looked);
            }
        }
    }
    Ok(Looked::Unchanged)
}

/// The parts of a run that may have keys of a range.
fn parts_in<'a>(
    run: &'a Run,
    keyspace: KeyspaceId,
    (start, end): Span<'_>,
) -> impl Iterator<Item = &'a SegmentRef> {
    let from = run.first_not_before(keyspace, start);
    let to = match end {
        Some(end) => run.first_after(keyspace, end),
        None => run.segments.partition_point(|part| part.first.keyspace <= keyspace),
    };
    run.segments[from..to.max(from)].iter()
}
