//! A cursor over one run: its segments one after the other, opened as they are reached.

use std::ops::Range;

use super::Run;
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::{Entry, Position};
use crate::ids::SEQUENCE_MAX;
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

    fn open(&mut self, index: usize) -> &mut SegmentCursor {
        let reuse = self.current.take().filter(|(at, _)| *at == index);
        let cursor = match reuse {
            Some((_, cursor)) => cursor,
            None => {
                let segment = Arc::clone(&self.run.segments[index].segment);
                SegmentCursor::new(segment, self.skips.clone())
            }
        };
        &mut self.current.insert((index, cursor)).1
    }

    /// Goes to the first entry of segments from `index` on, within their trims.
    fn enter_forward(&mut self, mut index: usize) -> Result<()> {
        let run = Arc::clone(&self.run);
        while let Some(part) = run.segments.get(index) {
            let first = Position::first(part.first.keyspace, &part.first.key);
            self.open(index).seek(first)?;
            if self.inside() {
                return Ok(());
            }
            index += 1;
        }
        self.current = None;
        Ok(())
    }

    /// Goes to the last entry of the segments before `end`, within their trims.
    fn enter_backward(&mut self, mut end: usize) -> Result<()> {
        let run = Arc::clone(&self.run);
        while end > 0 {
            let part = &run.segments[end - 1];
            let cursor = self.open(end - 1);
            match &part.to {
                Some(to) => cursor.seek_before(Position::first(to.keyspace, &to.key))?,
                None => {
                    // Behind the oldest version of the last key: sequence 0 is no operation's.
                    cursor.seek_before(Position::last(part.last.keyspace, &part.last.key))?;
                }
            }
            if self.inside() {
                return Ok(());
            }
            end -= 1;
        }
        self.current = None;
        Ok(())
    }

    /// Whether the segment cursor stands on an entry that the trims let through.
    fn inside(&self) -> bool {
        let Some((index, cursor)) = &self.current else { return false };
        let part = &self.run.segments[*index];
        cursor.entry().is_some_and(|entry| {
            let at = (entry.keyspace, entry.key);
            at >= (part.first.keyspace, part.first.key.as_slice())
                && part.to.as_ref().is_none_or(|to| at < (to.keyspace, to.key.as_slice()))
        })
    }
}

impl Cursor for RunCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        let index = self.run.first_not_before(target.keyspace, target.key);
        let run = Arc::clone(&self.run);
        let Some(part) = run.segments.get(index) else {
            self.current = None;
            return Ok(());
        };
        let first = Position {
            keyspace: part.first.keyspace,
            key: &part.first.key,
            sequence: SEQUENCE_MAX,
        };
        self.open(index).seek(target.max(first))?;
        if self.inside() { Ok(()) } else { self.enter_forward(index + 1) }
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        let end = self.run.first_after(target.keyspace, target.key);
        if end == 0 {
            self.current = None;
            return Ok(());
        }
        let run = Arc::clone(&self.run);
        let bound = match &run.segments[end - 1].to {
            Some(to) => target.min(Position::first(to.keyspace, &to.key)),
            None => target,
        };
        self.open(end - 1).seek_before(bound)?;
        if self.inside() { Ok(()) } else { self.enter_backward(end - 1) }
    }

    fn next(&mut self) -> Result<()> {
        let Some((index, cursor)) = &mut self.current else { return Ok(()) };
        let index = *index;
        cursor.next()?;
        if self.inside() { Ok(()) } else { self.enter_forward(index + 1) }
    }

    fn prev(&mut self) -> Result<()> {
        let Some((index, cursor)) = &mut self.current else { return Ok(()) };
        let index = *index;
        cursor.prev()?;
        if self.inside() { Ok(()) } else { self.enter_backward(index) }
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.current.as_ref().and_then(|(_, cursor)| cursor.entry())
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

    fn pass_to(&mut self, entry: usize) {
        if let Some((_, cursor)) = &mut self.current {
            cursor.pass_to(entry);
        }
    }

    fn settle(&mut self) {
        if let Some((_, cursor)) = &mut self.current {
            cursor.settle();
        }
    }

    fn value_bytes(&self) -> &[u8] {
        self.current.as_ref().map(|(_, cursor)| cursor.value_bytes()).unwrap_or_default()
    }

    fn value(&self) -> Value {
        self.current.as_ref().map_or_else(|| Value::copy(&[]), |(_, cursor)| cursor.value())
    }
}
