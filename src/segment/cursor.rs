//! A cursor over the entries of one segment, in both directions.
//!
//! Owns its segment and the block that it stands in. Knows no bounds: trimming is for the cursor of
//! a run. A block that cannot be read is an error, or, for a reader that has asked for that, passed
//! over and noted.

use std::ops::Range;

use super::cache::CachedBlock;
use super::reader::Segment;
use super::skips::Skips;
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::key::{Entry, KeyWords, Position};
use crate::ids::{KeyspaceId, Sequence};
use crate::iter::Cursor;
use crate::iter::stretch::Way;
use crate::sync::Arc;
use crate::value::{Backing, Value};

/// A place in a segment. A step costs no search in either direction.
#[derive(Debug)]
pub(crate) struct SegmentCursor {
    segment: Arc<Segment>,
    place: Option<BlockPlace>,
    /// The key of the entry here: the block's prefix, then the entry's suffix.
    key: Vec<u8>,
    /// Where the value of the entry here lies in the bytes of the block.
    value: Range<usize>,
    /// Where blocks that cannot be read are noted; without it they are errors.
    skips: Option<Arc<Skips>>,
}

/// Where a position lies among the blocks that can be read.
enum Located {
    /// In this block, before this entry. That is the block's length if the position lies between
    /// this block and the next, or after all.
    In(BlockPlace),
    /// In a block that is passed over.
    Skipped(usize),
    /// Behind all blocks.
    End,
}

/// `entry` is less than the block's length whenever a call has returned.
#[derive(Debug)]
struct BlockPlace {
    block: Arc<CachedBlock>,
    block_number: usize,
    entry: usize,
}

impl SegmentCursor {
    /// A cursor for a user's reads. With `skips` it passes over what it cannot read.
    pub(crate) fn new(segment: Arc<Segment>, skips: Option<Arc<Skips>>) -> Self {
        Self { segment, place: None, key: Vec::new(), value: 0..0, skips }
    }

    /// The block with this number, free if the cursor stands in it; `None` if it is passed over.
    fn block(&self, number: usize) -> Result<Option<Arc<CachedBlock>>> {
        match &self.place {
            Some(place) if place.block_number == number => Ok(Some(Arc::clone(&place.block))),
            _ => match (self.segment.read_block(number), &self.skips) {
                (Err(error), Some(skips)) if skips.pass_over(&self.segment, number, &error) => {
                    Ok(None)
                }
                (block, _) => block.map(Some),
            },
        }
    }

    /// The key of the entry here, if there is one.
    #[inline]
    pub(crate) fn key(&self) -> Option<(KeyspaceId, &[u8])> {
        self.place.as_ref().map(|place| (place.block.keyspace(), &*self.key))
    }

    /// Finds the first entry at or after `target`.
    fn locate(&self, target: Position<'_>) -> Result<Located> {
        let blocks = self.segment.index().len();
        let mut number = self.segment.index().find(target.keyspace, target.key);
        while number < blocks {
            let Some(block) = self.block(number)? else { return Ok(Located::Skipped(number)) };
            let entry = block.search_position(target);
            // The block after one that ends with the target's key may begin with newer versions of
            // it.
            let goes_on = entry == block.len()
                && number + 1 < blocks
                && block.keyspace() == target.keyspace
                && block.has_key(entry - 1, target.key);
            if !goes_on {
                return Ok(Located::In(BlockPlace { block, block_number: number, entry }));
            }
            number += 1;
        }
        Ok(Located::End)
    }

    /// Stands at an entry, or nowhere.
    fn stand(&mut self, place: Option<BlockPlace>) {
        self.place = place;
        if let Some(BlockPlace { block, entry, .. }) = &self.place {
            block.copy_key(*entry, &mut self.key);
            self.value = block.value_range(*entry);
        }
    }

    /// Moves to another entry of the same block.
    fn step_to(&mut self, to: usize) {
        if let Some(BlockPlace { block, entry, .. }) = &mut self.place {
            *entry = to;
            block.change_key(to, &mut self.key);
            self.value = block.value_range(to);
        }
    }

    /// The first entry of the first block from `number` on that can be read, or `None` after the
    /// last block.
    fn first_of(&self, number: usize) -> Result<Option<BlockPlace>> {
        for block_number in number..self.segment.index().len() {
            if let Some(block) = self.block(block_number)? {
                return Ok(Some(BlockPlace { block, block_number, entry: 0 }));
            }
        }
        Ok(None)
    }

    /// The last entry of the last block before `number` that can be read, or `None` before the
    /// first block.
    fn last_before(&self, number: usize) -> Result<Option<BlockPlace>> {
        for block_number in (0..number).rev() {
            if let Some(block) = self.block(block_number)? {
                let entry = block.len() - 1;
                return Ok(Some(BlockPlace { block, block_number, entry }));
            }
        }
        Ok(None)
    }

    /// Stands where `place` says; after an error, nowhere.
    fn stand_or_fail(&mut self, place: Result<Option<BlockPlace>>) -> Result<()> {
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
        let place = self.locate(target).and_then(|located| match located {
            Located::In(place) if place.entry == place.block.len() => {
                self.first_of(place.block_number + 1)
            }
            Located::In(place) => Ok(Some(place)),
            Located::Skipped(number) => self.first_of(number + 1),
            Located::End => Ok(None),
        });
        self.stand_or_fail(place)
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        let place = self.locate(target).and_then(|located| match located {
            Located::In(BlockPlace { block_number, entry: 0, .. }) => {
                self.last_before(block_number)
            }
            Located::In(place) => Ok(Some(BlockPlace { entry: place.entry - 1, ..place })),
            Located::Skipped(number) => self.last_before(number),
            Located::End => self.last_before(self.segment.index().len()),
        });
        self.stand_or_fail(place)
    }

    fn next(&mut self) -> Result<()> {
        let Some(BlockPlace { block, block_number, entry }) = &self.place else { return Ok(()) };
        if entry + 1 < block.len() {
            self.step_to(entry + 1);
            return Ok(());
        }
        let place = self.first_of(block_number + 1);
        self.stand_or_fail(place)
    }

    fn prev(&mut self) -> Result<()> {
        let Some(BlockPlace { block_number, entry, .. }) = &self.place else { return Ok(()) };
        if *entry > 0 {
            self.step_to(entry - 1);
            return Ok(());
        }
        let place = self.last_before(*block_number);
        self.stand_or_fail(place)
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let BlockPlace { block, entry, .. } = self.place.as_ref()?;
        Some(Entry {
            keyspace: block.keyspace(),
            key: &self.key,
            sequence: block.sequence(*entry),
            kind: block.kind(*entry),
            value: &block.bytes()[self.value.clone()],
        })
    }

    #[inline]
    fn words(&self) -> Option<KeyWords> {
        self.key().map(|(keyspace, key)| KeyWords::new(keyspace, key))
    }

    fn ahead(&self, way: Way, most: usize) -> Option<(&Block, Range<usize>)> {
        let BlockPlace { block, entry, .. } = self.place.as_ref()?;
        let entries = match way {
            Way::Forward => *entry..block.len().min(entry + most),
            Way::Backward => (entry + 1).saturating_sub(most)..entry + 1,
        };
        Some((block, entries))
    }

    #[inline]
    fn pass_to(&mut self, to: usize, at: Sequence) -> bool {
        let Some(BlockPlace { block, entry, .. }) = &mut self.place else { return false };
        let Some(value) = block.take_plain(to, at, &mut self.key) else { return false };
        *entry = to;
        self.value = value;
        true
    }

    fn settle(&mut self, to: usize) {
        if self.place.as_ref().is_some_and(|place| place.entry != to) {
            self.step_to(to);
        }
    }

    #[inline]
    fn pair(&self) -> (&[u8], &[u8]) {
        match &self.place {
            Some(BlockPlace { block, .. }) => (&self.key, &block.bytes()[self.value.clone()]),
            None => (&[], &[]),
        }
    }

    fn value(&self) -> Value {
        match &self.place {
            Some(BlockPlace { block, entry, .. }) => block.value_to_keep(*entry),
            None => Value::copy(&[]),
        }
    }
}
