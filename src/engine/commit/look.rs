//! Whether anything of a set of keys has a newer version in memory.
//!
//! Called in the commit section, with a bound on what it may look at, and outside of it without
//! one. All up to the sequence that is asked about, and all that is above, is in the memtables of
//! the view, or the caller has looked elsewhere too.

use crate::engine::View;
use crate::engine::commit::spans::{Span, Spans};
use crate::format::hash::key_hash;
use crate::format::key::Position;
use crate::ids::{KeyspaceId, SEQUENCE_MAX, Sequence};
use crate::iter::Cursor;
use crate::memtable::Memtable;
use crate::sync::Arc;

/// What a look has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Unchanged,
    /// This key has a version that is newer.
    Changed(KeyspaceId, Vec<u8>),
    /// There is more to look at than was allowed.
    TooMuch,
}

/// How many keys, ranges and versions may still be looked at.
#[derive(Debug)]
pub(crate) struct Steps(pub(crate) usize);

impl Steps {
    fn take(&mut self) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

/// Looks in the memtables of a view for a version above `since` of anything in `spans`.
pub(crate) fn look_in_memory(
    view: &View,
    spans: &Spans,
    since: Sequence,
    steps: &mut Steps,
) -> Looked {
    for table in std::iter::once(&view.active).chain(&view.sealed) {
        let looked = look_in_table(table, spans, since, steps);
        if looked != Looked::Unchanged {
            return looked;
        }
        // Newest first: what is in older ones comes before all that is in this one (I6).
        if table.smallest_sequence().is_some_and(|smallest| smallest <= since) {
            break;
        }
    }
    Looked::Unchanged
}

fn look_in_table(
    table: &Arc<Memtable>,
    spans: &Spans,
    since: Sequence,
    steps: &mut Steps,
) -> Looked {
    if table.is_empty() {
        return Looked::Unchanged;
    }
    for (keyspace, key) in spans.keys() {
        if !steps.take() {
            return Looked::TooMuch;
        }
        if has_newer(table, keyspace, key, since) {
            return Looked::Changed(keyspace, key.to_vec());
        }
    }
    for (keyspace, span) in spans.ranges() {
        let mut cursor = table.cursor();
        let found = find_newer(&mut cursor, keyspace, span, since, steps);
        let looked = found.expect("a cursor on a memtable never fails");
        if looked != Looked::Unchanged {
            return looked;
        }
    }
    Looked::Unchanged
}

/// Whether a memtable has a version of a key above `since`.
pub(crate) fn has_newer(
    table: &Memtable,
    keyspace: KeyspaceId,
    key: &[u8],
    since: Sequence,
) -> bool {
    let newest = table.get(keyspace, key, key_hash(keyspace, key), SEQUENCE_MAX);
    newest.is_some_and(|newest| newest.sequence > since)
}

/// Walks over a range for a version above `since`.
pub(crate) fn find_newer(
    cursor: &mut impl Cursor,
    keyspace: KeyspaceId,
    (start, end): Span<'_>,
    since: Sequence,
    steps: &mut Steps,
) -> crate::error::Result<Looked> {
    // The search for its start, which is all there is to an empty one.
    if !steps.take() {
        return Ok(Looked::TooMuch);
    }
    cursor.seek(Position::first(keyspace, start))?;
    while let Some(entry) = cursor.entry() {
        if entry.keyspace != keyspace || end.is_some_and(|end| entry.key >= end) {
            break;
        }
        if !steps.take() {
            return Ok(Looked::TooMuch);
        }
        if entry.sequence > since {
            return Ok(Looked::Changed(keyspace, entry.key.to_vec()));
        }
        cursor.next()?;
    }
    Ok(Looked::Unchanged)
}
