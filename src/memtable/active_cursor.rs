//! A cursor over the skiplist of an active memtable, which it keeps alive.

#![allow(unsafe_code, reason = "a node in the list is kept by the table, not by a borrow")]

use std::ops::Bound;

use crossbeam_skiplist::base;

use super::active::{List, Node, guard};
use super::{Memtable, TableIndex};
use crate::format::key::{Entry, KeyWords, Position};
use crate::sync::Arc;

/// A cursor on an active memtable. A step forward follows one link; a step back is a search.
pub(super) struct ActiveCursor {
    /// A node of the table's list. It stays while the list lives, and `table` keeps the list:
    /// `'static` stands for that. The entry has no destructor, so the order of the fields does not
    /// matter.
    place: Option<base::Entry<'static, 'static, Node, ()>>,
    table: Arc<Memtable>,
}

// SAFETY: the entry is a list (Sync), a node (Send and Sync) and the unprotected guard, which
// belongs to no thread; only the guard's type keeps it from being Send.
unsafe impl Send for ActiveCursor {}
// SAFETY: as above; through a shared reference the cursor only reads the node's key.
unsafe impl Sync for ActiveCursor {}

impl ActiveCursor {
    /// A cursor on `table`, which must be an active one, at no entry.
    pub(super) fn new(table: Arc<Memtable>) -> Self {
        Self { place: None, table }
    }

    fn list(&self) -> &'static List {
        let TableIndex::Active(active) = &self.table.index else {
            unreachable!("Memtable::cursor makes this cursor for active tables only");
        };
        // SAFETY: the list sits in the allocation of `self.table`, which neither moves nor goes
        // while this cursor lives, and the result leaves `self` only inside `place`.
        unsafe { &*std::ptr::from_ref(&active.list) }
    }

    pub(super) fn table(&self) -> &Arc<Memtable> {
        &self.table
    }

    /// To no entry.
    pub(super) fn leave(&mut self) {
        self.place = None;
    }

    pub(super) fn seek(&mut self, target: Position<'_>) {
        self.place = self.list().lower_bound(Bound::Included(&Node::new(target)), guard());
    }

    pub(super) fn seek_before(&mut self, target: Position<'_>) {
        self.place = self.list().upper_bound(Bound::Excluded(&Node::new(target)), guard());
    }

    pub(super) fn next(&mut self) {
        self.place = self.place.as_ref().and_then(base::Entry::next);
        if let Some(place) = &self.place {
            place.key().prefetch();
        }
    }

    pub(super) fn prev(&mut self) {
        self.place = self.place.as_ref().and_then(base::Entry::prev);
    }

    /// The start of the key here, out of its node.
    pub(super) fn words(&self) -> Option<KeyWords> {
        Some(self.place.as_ref()?.key().words())
    }

    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        // SAFETY: the node is in the list of `self.table`, which holds the arena and outlives the
        // borrow of `self`.
        self.place.as_ref().map(|place| unsafe { place.key().entry() })
    }
}
