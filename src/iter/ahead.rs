//! [`Ahead`]: keys that one end of a [`VisibleIter`](super::visible::VisibleIter) yields next
//! without a look at anything else.
//!
//! A scan is mostly in a block of one source for a while, among keys with one version each, all of
//! which it sees. Such entries are unpacked, some at a time, and looked at together; each draw is
//! then a step in a row. Where the sources take turns, or versions lie about, looking ahead gains
//! nothing and is tried less often.
//!
//! ```text
//! block   | a | b | c | d | d | e |    forward, the cursor stands on `a`, which was yielded:
//! row       0   1   2   3   4   5      `b`, `c` and the newer `d` come next, without a look
//!
//!                               ^      backward, it stands on `e`, which was not: `e` comes next;
//!                                      of `d` the newest version has to be found
//! ```

use std::ops::{Bound, Range};

use super::Cursor;
use super::stretch::Way;
use crate::format::data_block::{Block, WINDOW_ENTRIES, Window};
use crate::format::key::{Kind, Position, same_bytes};
use crate::ids::{KeyspaceId, Sequence};

/// How many entries are looked at first: a short scan is over after so many.
const FIRST: usize = 12;

/// What has to be gained for another look at once.
const GAIN_MIN: usize = 3;

/// How many draws pass at most before the next look.
const PAUSE_MAX: u32 = 64;

/// Entries of the block in which an end's cursor stands. Settled, it stands forward on the entry
/// that was yielded last, backward on the first one below it.
#[derive(Debug)]
pub(super) struct Ahead {
    window: Window,
    /// The number in the block of the entry in row 0.
    base: usize,
    /// What was looked at and not drawn yet.
    rows: Range<usize>,
    /// The row that was drawn last, since the cursor was settled.
    drawn: Option<usize>,
    /// How many entries the next look takes in.
    most: usize,
    /// How many draws the last pause had, if the last look was not worth it.
    pause: u32,
    /// How many draws are left of it.
    pause_left: u32,
}

impl Ahead {
    pub(super) fn new() -> Self {
        let window = Window::default();
        let drawn = None;
        Self { window, base: 0, rows: 0..0, drawn, most: FIRST, pause: 0, pause_left: 0 }
    }

    /// Takes the next key, and has the cursor stand on its entry.
    #[inline]
    pub(super) fn draw<C: Cursor>(&mut self, cursor: Option<&mut C>, way: Way) -> bool {
        let row = match way {
            Way::Forward => self.rows.next(),
            Way::Backward => self.rows.next_back(),
        };
        let (Some(row), Some(cursor)) = (row, cursor) else { return false };
        cursor.pass_to(self.base + row);
        self.drawn = Some(row);
        true
    }

    /// The key that was drawn last, if the cursor was not settled since.
    #[inline]
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.drawn.map(|row| self.window.key(row))
    }

    /// Forgets what was not drawn, and has the cursor stand as it would have without it. Returns
    /// the key that was drawn last, if any was.
    pub(super) fn settle<C: Cursor>(&mut self, cursor: Option<&mut C>, way: Way) -> Option<&[u8]> {
        if !self.rows.is_empty() {
            // More was looked at than was wanted.
            (self.rows, self.most) = (0..0, FIRST);
        }
        let row = self.drawn.take()?;
        let cursor = cursor?;
        match way {
            Way::Forward => cursor.pass_to(self.base + row),
            // There is a row below each that is drawn.
            Way::Backward => cursor.pass_to(self.base + row - 1),
        }
        cursor.settle();
        Some(self.window.key(row))
    }

    /// Looks ahead from a settled cursor, for a reader at `at`, up to `limit`.
    pub(super) fn look<C: Cursor>(
        &mut self,
        cursor: &C,
        way: Way,
        keyspace: KeyspaceId,
        at: Sequence,
        limit: &Bound<Vec<u8>>,
    ) {
        if self.pause_left > 0 {
            self.pause_left -= 1;
        } else if self.unpack(cursor, way, keyspace, at, limit) {
            self.pause = 0;
            self.most = (2 * self.most).min(WINDOW_ENTRIES);
        } else {
            self.pause = (2 * self.pause + 1).min(PAUSE_MAX);
            self.pause_left = self.pause;
            self.most = FIRST;
        }
    }

    /// Whether that was worth it.
    fn unpack<C: Cursor>(
        &mut self,
        cursor: &C,
        way: Way,
        keyspace: KeyspaceId,
        at: Sequence,
        limit: &Bound<Vec<u8>>,
    ) -> bool {
        let Some((block, entries)) = cursor.ahead(way, self.most) else { return false };
        if block.keyspace() != keyspace {
            return false;
        }
        let position = match (limit, way) {
            (Bound::Unbounded, _) => None,
            (Bound::Included(key), Way::Forward) | (Bound::Excluded(key), Way::Backward) => {
                Some(Position::last(keyspace, key))
            }
            (Bound::Excluded(key), Way::Forward) | (Bound::Included(key), Way::Backward) => {
                Some(Position::first(keyspace, key))
            }
        };
        let entries = match position {
            Some(position) => near_side(block, entries, way, position),
            None => entries,
        };
        let block_ends = match way {
            Way::Forward => entries.end == block.len(),
            Way::Backward => entries.start == 0,
        };
        if entries.len() < 2 {
            return block_ends;
        }
        let count = entries.len();
        self.base = entries.start;
        block.unpack(entries, &mut self.window);
        let unpacked = self.window.unpacked(block);
        // The newest version of its key, as the row before is another key's. Backward, the rows
        // above were looked at first, so it is the only one.
        let plain = |row: &usize| {
            let entry = unpacked.entry(*row);
            let before = unpacked.entry(*row - 1);
            entry.kind == Kind::Value && entry.sequence <= at && !same_bytes(entry.key, before.key)
        };
        self.rows = match way {
            Way::Forward => 1..(1..count).find(|row| !plain(row)).unwrap_or(count),
            Way::Backward => {
                (1..count).rev().find(|row| !plain(row)).map_or(1, |row| row + 1)..count
            }
        };
        self.rows.len() >= GAIN_MIN || block_ends
    }
}

/// Of consecutive entries, some from the near end on, going `way`, that all come before `limit`: by
/// the look at a few of them.
pub(crate) fn near_side(
    block: &Block,
    mut entries: Range<usize>,
    way: Way,
    limit: Position<'_>,
) -> Range<usize> {
    while !entries.is_empty() {
        let half = entries.len() / 2;
        match way {
            Way::Forward if block.compare(entries.end - 1, limit).is_lt() => break,
            Way::Forward => entries.end = entries.start + half,
            Way::Backward if block.compare(entries.start, limit).is_gt() => break,
            Way::Backward => entries.start = entries.end - half,
        }
    }
    entries
}

#[cfg(test)]
mod tests;
