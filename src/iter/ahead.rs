//! [`Ahead`]: keys that one end of a [`VisibleIter`](super::visible::VisibleIter) yields next
//! without a look at anything but their block.
//!
//! A scan is mostly in a block of one source for a while, among keys with one version each, all of
//! which it sees. How far that source is ahead of all others and within all bounds is found for
//! some entries together; each draw is then a step in the block. Where the sources take turns, or
//! versions lie about, looking ahead gains nothing and is tried less often.
//!
//! ```text
//! block   | a | b | c | d | d | e |    forward, the cursor stands on `a`, which was yielded:
//!                                      `b`, `c` and the newer `d` come next, without a look
//!
//!                               ^      backward, it stands on `e`, which was not: `e` comes next;
//!                                      of `d` the newest version has to be found
//! ```

use std::ops::{Bound, Range};

use super::Cursor;
use super::stretch::Way;
use crate::format::data_block::Block;
use crate::format::key::Position;
use crate::ids::{KeyspaceId, Sequence};

/// How many entries are looked at first: a short scan is over after so many.
const FIRST: usize = 12;

/// How many are looked at later at most.
const MOST: usize = 128;

/// What has to be gained for another look at once.
const GAIN_MIN: usize = 3;

/// How many draws pass at most before the next look.
const PAUSE_MAX: u32 = 64;

/// Entries of the block in which an end's cursor stands. Settled, it stands forward on the entry
/// that was yielded last, backward on the first one below it.
#[derive(Debug)]
pub(super) struct Ahead {
    /// What was looked at and not drawn yet, by its numbers in the block.
    entries: Range<usize>,
    /// The entry that was drawn last, since the cursor was settled: it stands there.
    drawn: Option<usize>,
    /// How many entries the next look takes in.
    most: usize,
    /// How many draws the last look has gained, unless that says nothing.
    gained: Option<usize>,
    /// How many draws the last pause had, if the look before it was not worth it.
    pause: u32,
    /// How many draws are left of it.
    pause_left: u32,
}

impl Ahead {
    pub(super) fn new() -> Self {
        let drawn = None;
        let gained = None;
        Self { entries: 0..0, drawn, most: FIRST, gained, pause: 0, pause_left: 0 }
    }

    /// Takes the next key for a reader at `at`, and has the cursor stand on its entry.
    #[inline]
    pub(super) fn draw<C: Cursor>(
        &mut self,
        cursor: Option<&mut C>,
        way: Way,
        at: Sequence,
    ) -> bool {
        let entry = match way {
            Way::Forward => self.entries.next(),
            Way::Backward => self.entries.next_back(),
        };
        let (Some(entry), Some(cursor)) = (entry, cursor) else { return false };
        // The newest version of its key, as the entry before is another key's. Backward, those
        // behind it were drawn, so it is the only one.
        if !cursor.pass_to(entry, at) {
            self.entries = 0..0;
            return false;
        }
        self.drawn = Some(entry);
        self.gained = self.gained.map(|gained| gained + 1);
        true
    }

    /// Whether a key was drawn, and the cursor not settled since.
    #[inline]
    pub(super) fn has_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Forgets what was not drawn, and has the cursor stand as it would have without it. `take`
    /// gets the key that was drawn last, if any was.
    pub(super) fn settle<C: Cursor>(
        &mut self,
        cursor: Option<&mut C>,
        way: Way,
        take: impl FnOnce(&[u8]),
    ) {
        if !self.entries.is_empty() {
            // More was looked at than was wanted.
            (self.entries, self.most, self.gained) = (0..0, FIRST, None);
        }
        let (Some(drawn), Some(cursor)) = (self.drawn.take(), cursor) else { return };
        take(cursor.pair().0);
        match way {
            Way::Forward => cursor.settle(drawn),
            // There is an entry below each that is drawn.
            Way::Backward => cursor.settle(drawn - 1),
        }
    }

    /// Looks ahead from a settled cursor, up to `limit`, unless that was not worth it lately.
    pub(super) fn look<C: Cursor>(
        &mut self,
        cursor: &C,
        way: Way,
        keyspace: KeyspaceId,
        limit: &Bound<Vec<u8>>,
    ) {
        if self.pause_left > 0 {
            self.pause_left -= 1;
            return;
        }
        match self.gained.take() {
            Some(gained) if gained < GAIN_MIN => {
                self.pause = (2 * self.pause + 1).min(PAUSE_MAX);
                // This draw is the first of them.
                self.pause_left = self.pause - 1;
                self.most = FIRST;
                return;
            }
            Some(_) => {
                self.pause = 0;
                self.most = (2 * self.most).min(MOST);
            }
            None => {}
        }
        self.reach(cursor, way, keyspace, limit);
    }

    fn reach<C: Cursor>(
        &mut self,
        cursor: &C,
        way: Way,
        keyspace: KeyspaceId,
        limit: &Bound<Vec<u8>>,
    ) {
        self.gained = Some(0);
        let Some((block, entries)) = cursor.ahead(way, self.most) else { return };
        if block.keyspace() != keyspace {
            return;
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
        if block_ends {
            // Few are left, which does not say that sources take turns.
            self.gained = None;
        }
        // Forward the first was yielded; backward it has to be there below what is drawn.
        self.entries = entries.start + 1..entries.end;
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
