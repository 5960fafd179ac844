//! A cursor over either kind of memtable. It keeps the table alive.

use super::active_cursor::ActiveCursor;
use super::sorted::Sorted;
use super::{Memtable, TableIndex, VALUE_COPY_BYTES_MAX};
use crate::error::Result;
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::Sequence;
use crate::iter::Cursor;
use crate::iter::stretch::{Edge, KeySpan, Way};
use crate::sync::Arc;
use crate::value::Value;

/// A [`Cursor`] on a memtable; it never fails. Made by [`Memtable::cursor`].
///
/// On an active table it meets versions inserted after it was made, so what reads through it
/// passes over what is above the read's sequence.
pub(crate) struct MemtableCursor(Inner);

enum Inner {
    Active(ActiveCursor),
    Sorted(SortedCursor),
}

impl MemtableCursor {
    /// A cursor on `table`, at no entry yet.
    pub(super) fn new(table: &Arc<Memtable>) -> Self {
        let kept = Arc::clone(table);
        Self(match &table.index {
            TableIndex::Active(_) => Inner::Active(ActiveCursor::new(kept)),
            TableIndex::Sorted(sorted) => {
                Inner::Sorted(SortedCursor { at: sorted.len(), table: kept })
            }
        })
    }
}

impl Cursor for MemtableCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        match &mut self.0 {
            Inner::Active(cursor) if cursor.table().ends_before(target) => cursor.leave(),
            Inner::Active(cursor) => cursor.seek(target),
            Inner::Sorted(cursor) => cursor.at = cursor.sorted().lower_bound(target),
        }
        Ok(())
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        match &mut self.0 {
            Inner::Active(cursor) if cursor.table().starts_after(target) => cursor.leave(),
            Inner::Active(cursor) => cursor.seek_before(target),
            Inner::Sorted(cursor) => {
                cursor.at = cursor.sorted().lower_bound(target);
                cursor.step_back();
            }
        }
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        match &mut self.0 {
            Inner::Active(cursor) => cursor.next(),
            Inner::Sorted(cursor) => cursor.at = cursor.at.saturating_add(1),
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        match &mut self.0 {
            Inner::Active(cursor) => cursor.prev(),
            Inner::Sorted(cursor) => cursor.step_back(),
        }
        Ok(())
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        match &self.0 {
            Inner::Active(cursor) => cursor.entry(),
            Inner::Sorted(cursor) => cursor.sorted().entry(cursor.at),
        }
    }

    #[inline]
    fn words(&self) -> Option<KeyWords> {
        match &self.0 {
            Inner::Active(cursor) => cursor.words(),
            Inner::Sorted(cursor) => {
                let entry = cursor.sorted().entry(cursor.at)?;
                Some(KeyWords::new(entry.keyspace, entry.key))
            }
        }
    }

    fn value(&self) -> Value {
        match &self.0 {
            Inner::Active(cursor) => cursor.entry().map(|entry| Value::copy(entry.value)),
            Inner::Sorted(cursor) => cursor.sorted().value(cursor.at, VALUE_COPY_BYTES_MAX),
        }
        .unwrap_or_else(|| Value::copy(&[]))
    }

    #[inline]
    fn stretch(&self, way: Way, edge: Edge<'_>, at: Sequence, to: &mut Vec<u8>) -> bool {
        let table = match &self.0 {
            Inner::Active(cursor) => cursor.table(),
            Inner::Sorted(cursor) => &cursor.table,
        };
        let begins = |span: &KeySpan| span.begins_by_edge(way, edge);
        let found = table.stretches.find(at, begins, |span| {
            span.far_end(way, edge).map(|far| {
                to.clear();
                to.extend_from_slice(far);
            })
        });
        found.is_some()
    }
}

struct SortedCursor {
    /// A version's index in the order; anything past the last one is no entry.
    at: usize,
    table: Arc<Memtable>,
}

impl SortedCursor {
    fn sorted(&self) -> &Sorted {
        let TableIndex::Sorted(sorted) = &self.table.index else {
            unreachable!("MemtableCursor::new makes this cursor for sorted tables only");
        };
        sorted
    }

    /// To the version before, or to no entry from the first.
    fn step_back(&mut self) {
        self.at = self.at.checked_sub(1).unwrap_or(usize::MAX);
    }
}
