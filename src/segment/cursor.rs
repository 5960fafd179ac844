//! A cursor over the entries of one segment, in both directions.
//!
//! Owns its segment and the block that it stands in. Knows no bounds: trimming is for the cursor of
//! a run.

use super::cache::CachedBlock;
use super::reader::Segment;
use crate::error::Result;
use crate::format::key::{Entry, Position};
use crate::iter::Cursor;
use crate::sync::Arc;
use crate::value::Value;

/// A place in a segment. A step costs no search in either direction.
#[derive(Debug)]
pub(crate) struct SegmentCursor {
    segment: Arc<Segment>,
    place: Option<Place>,
    /// The key of the entry here: the block's prefix, then the entry's suffix.
    key: Vec<u8>,
}

/// `entry` is less than the block's length whenever a call has returned.
#[derive(Debug)]
struct Place {
    block: Arc<CachedBlock>,
    block_number: usize,
    entry: usize,
}

impl SegmentCursor {
    /// A cursor for a user's reads.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, place: None, key: Vec::new() }
    }

    /// The block with this number; free if the cursor stands in it.
    fn block(&self, number: usize) -> Result<Arc<CachedBlock>> {
        match &self.place {
            Some(place) if place.block_number == number => Ok(Arc::clone(&place.block)),
            _ => self.segment.read_block(number),
        }
    }

    /// The place of `target`: a block and the first entry in it at or after `target`. That entry is
    /// the block's length if `target` lies between this block and the next, or after all. `None` if
    /// all blocks are before it.
    fn locate(&self, target: Position<'_>) -> Result<Option<Place>> {
        let blocks = self.segment.index().len();
        let mut number = self.segment.index().find(target.keyspace, target.key);
        while number < blocks {
            let block = self.block(number)?;
            let entry = block.search_position(target);
            // The block after one that ends with the target's key may begin with newer versions of
            // it.
            let goes_on = entry == block.len()
                && number + 1 < blocks
                && block.keyspace() == target.keyspace
                && block.has_key(entry - 1, target.key);
            if !goes_on {
                return Ok(Some(Place { block, block_number: number, entry }));
            }
            number += 1;
        }
        Ok(None)
    }

    /// Stands at an entry, or nowhere.
    fn stand(&mut self, place: Option<Place>) {
        self.place = place;
        self.key.clear();
        if let Some(Place { block, entry, .. }) = &self.place {
            self.key.extend_from_slice(block.prefix());
            self.key.extend_from_slice(block.key_suffix(*entry));
        }
    }

    /// Moves to another entry of the same block.
    fn step_to(&mut self, to: usize) {
        if let Some(Place { block, entry, .. }) = &mut self.place {
            *entry = to;
            self.key.truncate(block.prefix().len());
            self.key.extend_from_slice(block.key_suffix(to));
        }
    }

    /// The first entry of a block, or `None` after the last block.
    fn first_of(&self, number: usize) -> Result<Option<Place>> {
        if number >= self.segment.index().len() {
            return Ok(None);
        }
        Ok(Some(Place { block: self.block(number)?, block_number: number, entry: 0 }))
    }

    /// The last entry of the block before `number`, or `None` before the first block.
    fn last_before(&self, number: usize) -> Result<Option<Place>> {
        let Some(number) = number.checked_sub(1) else { return Ok(None) };
        let block = self.block(number)?;
        let entry = block.len() - 1;
        Ok(Some(Place { block, block_number: number, entry }))
    }

    /// Stands where `place` says; after an error, nowhere.
    fn stand_or_fail(&mut self, place: Result<Option<Place>>) -> Result<()> {
        match place {
            Ok(place) => self.stand(place),
            Err(error) => {
                self.stand(None);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Cursor for SegmentCursor {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        let place = self.locate(target).and_then(|place| match place {
            Some(place) if place.entry == place.block.len() => {
                self.first_of(place.block_number + 1)
            }
            place => Ok(place),
        });
        self.stand_or_fail(place)
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        let place = self.locate(target).and_then(|place| match place {
            Some(Place { block_number, entry: 0, .. }) => self.last_before(block_number),
            Some(place) => Ok(Some(Place { entry: place.entry - 1, ..place })),
            None => self.last_before(self.segment.index().len()),
        });
        self.stand_or_fail(place)
    }

    fn next(&mut self) -> Result<()> {
        let Some(Place { block, block_number, entry }) = &self.place else { return Ok(()) };
        if entry + 1 < block.len() {
            self.step_to(entry + 1);
            return Ok(());
        }
        let place = self.first_of(block_number + 1);
        self.stand_or_fail(place)
    }

    fn prev(&mut self) -> Result<()> {
        let Some(Place { block_number, entry, .. }) = &self.place else { return Ok(()) };
        if *entry > 0 {
            self.step_to(entry - 1);
            return Ok(());
        }
        let place = self.last_before(*block_number);
        self.stand_or_fail(place)
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let Place { block, entry, .. } = self.place.as_ref()?;
        Some(Entry {
            keyspace: block.keyspace(),
            key: &self.key,
            sequence: block.sequence(*entry),
            kind: block.kind(*entry),
            value: block.value(*entry),
        })
    }

    fn value(&self) -> Value {
        match &self.place {
            Some(Place { block, entry, .. }) => block.value_to_keep(*entry),
            None => Value::copy(&[]),
        }
    }
}
