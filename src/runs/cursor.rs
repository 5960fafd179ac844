//! A cursor over one run: its segments one after the other, opened as they are reached.

use std::ops::Range;

use super::{Run, SegmentRef, order_from};
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::Sequence;
use crate::iter::Cursor;
use crate::iter::ahead::near_side;
use crate::iter::stretch::Way;
use crate::segment::{SegmentCursor, Skips};
use crate::sync::Arc;
use crate::value::Value;

/// Walks a run in either direction. Owns the run; single-threaded.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: Arc<Run>,
    /// The segment under the cursor, and which one it is.
    current: Option<(usize, SegmentCursor)>,
    /// Where what cannot be read is noted, if it is to be passed over.
    skips: Option<Arc<Skips>>,
}

impl RunCursor {
    pub(crate) fn new(run: Arc<Run>, skips: Option<Arc<Skips>>) -> Self {
        Self { run, current: None, skips }
    }

    /// A part of the run, and the cursor over its segment, which becomes the current one.
    fn open(&mut self, index: usize) -> (&SegmentRef, &mut SegmentCursor) {
        let part = &self.run.segments[index];
        if self.current.as_ref().is_none_or(|(at, _)| *at != index) {
            let cursor = SegmentCursor::new(Arc::clone(&part.segment), self.skips.clone());
            self.current = Some((index, cursor));
        }
        let (_, cursor) = self.current.as_mut().expect("it is there, or was made above");
        (part, cursor)
    }

    /// Goes to the first entry of segments from `index` on, within their trims.
    fn enter_forward(&mut self, mut index: usize) -> Result<()> {
        while index < self.run.segments.len() {
            let (part, cursor) = self.open(index);
            cursor.seek(part.start())?;
            if ends_after(part, cursor) {
                return Ok(());
            }
            index += 1;
        }
        self.current = None;
        Ok(())
    }

    /// Goes to the last entry of the segments before `end`, within their trims.
    fn enter_backward(&mut self, mut end: usize) -> Result<()> {
        while end > 0 {
            let (part, cursor) = self.open(end - 1);
            match &part.to {
                Some(to) => cursor.seek_before(Position::first(to.keyspace, &to.key))?,
                None => {
                    // Behind the oldest version of the last key: sequence 0 is no operation's.
                    cursor.seek_before(Position::last(part.last.keyspace, &part.last.key))?;
                }
            }
            if starts_before(part, cursor) {
                return Ok(());
            }
            end -= 1;
        }
        self.current = None;
        Ok(())
    }
}

/// Whether a cursor that is not before the part stands on an entry, and not behind the part.
#[inline]
fn ends_after(part: &SegmentRef, cursor: &SegmentCursor) -> bool {
    cursor.key().is_some_and(|(keyspace, key)| {
        part.to.as_ref().is_none_or(|to| order_from(to, keyspace, key).is_lt())
    })
}

/// Whether a cursor that is not behind the part stands on an entry, and not before the part.
#[inline]
fn starts_before(part: &SegmentRef, cursor: &SegmentCursor) -> bool {
    cursor.key().is_some_and(|(keyspace, key)| !part.starts_after(keyspace, key))
}

impl Cursor for RunCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        let index = self.run.first_not_before(target.keyspace, target.key);
        if index == self.run.segments.len() {
            self.current = None;
            return Ok(());
        }
        let (part, cursor) = self.open(index);
        cursor.seek(target.max(part.start()))?;
        if ends_after(part, cursor) { Ok(()) } else { self.enter_forward(index + 1) }
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        let end = self.run.first_after(target.keyspace, target.key);
        if end == 0 {
            self.current = None;
            return Ok(());
        }
        let (part, cursor) = self.open(end - 1);
        let bound = match &part.to {
            Some(to) => target.min(Position::first(to.keyspace, &to.key)),
            None => target,
        };
        cursor.seek_before(bound)?;
        if starts_before(part, cursor) { Ok(()) } else { self.enter_backward(end - 1) }
    }

    fn next(&mut self) -> Result<()> {
        let Some((index, cursor)) = &mut self.current else { return Ok(()) };
        let index = *index;
        cursor.next()?;
        let inside = ends_after(&self.run.segments[index], cursor);
        if inside { Ok(()) } else { self.enter_forward(index + 1) }
    }

    fn prev(&mut self) -> Result<()> {
        let Some((index, cursor)) = &mut self.current else { return Ok(()) };
        let index = *index;
        cursor.prev()?;
        let inside = starts_before(&self.run.segments[index], cursor);
        if inside { Ok(()) } else { self.enter_backward(index) }
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.current.as_ref().and_then(|(_, cursor)| cursor.entry())
    }

    #[inline]
    fn words(&self) -> Option<KeyWords> {
        self.current.as_ref().and_then(|(_, cursor)| cursor.words())
    }

    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        let (index, cursor) = self.current.as_ref()?;
        let (block, entries) = cursor.ahead(way, most)?;
        let part = &self.run.segments[*index];
        let limit = match way {
            Way::Forward => part.to.as_ref(),
            Way::Backward => Some(&part.first),
        };
        let Some(limit) = limit else { return Some((block, entries)) };
        let limit = Position::first(limit.keyspace, &limit.key);
        Some((block, near_side(block, entries, way, limit)))
    }

    #[inline]
    fn pass_to(&mut self, entry: usize, at: Sequence) -> bool {
        self.current.as_mut().is_some_and(|(_, cursor)| cursor.pass_to(entry, at))
    }

    fn settle(&mut self, entry: usize) {
        if let Some((_, cursor)) = &mut self.current {
            cursor.settle(entry);
        }
    }

    #[inline]
    fn pair(&self) -> (&[u8], &[u8]) {
        self.current.as_ref().map(|(_, cursor)| cursor.pair()).unwrap_or_default()
    }

    fn value(&self) -> Value {
        self.current.as_ref().map_or_else(|| Value::copy(&[]), |(_, cursor)| cursor.value())
    }
}
