//! A segment read from front to back for a merge: large pieces, past the block cache.
//!
//! Blocks are checked as a read checks them, in the same place. The memory of a piece, of a block
//! and of a key is used again, so that a walk over blocks that are stored as they are allocates
//! nothing while they are of ordinary size; a compressed one takes memory of its own.
//! Owned by one background thread. Knows no run: the bounds are its caller's.

use super::parts::read_block;
use super::reader::Segment;
use crate::error::{Error, Result};
use crate::format::block::BlockHandle;
use crate::format::data_block::{Block, Step};
use crate::format::key::{Entry, Position};
use crate::format::meta::BoundKey;
use crate::iter::Source;
use crate::sync::Arc;

/// Bytes read at a time; a larger block is read whole.
const PIECE_BYTES: u64 = 256 << 10;

/// The entries of a segment between two user keys.
#[derive(Debug)]
pub(crate) struct SegmentSource {
    segment: Arc<Segment>,
    /// The block after the one at hand, and the end of those that may hold an entry before `to`.
    next_block: usize,
    end_block: usize,
    to: Option<BoundKey>,
    /// Consecutive blocks as they lie in the file, from `piece_at` on.
    piece: Vec<u8>,
    piece_at: u64,
    /// The block at hand and the entry here; `None` past the end.
    place: Option<(Block, Step)>,
    /// The end of the entries before `to`, in that block.
    end_entry: usize,
    /// The key of the entry here.
    key: Vec<u8>,
}

impl SegmentSource {
    /// Stands at the first entry whose key is at or after `from`, and ends before `to`.
    pub(crate) fn new(
        segment: Arc<Segment>,
        from: Option<&BoundKey>,
        to: Option<&BoundKey>,
    ) -> Result<Self> {
        let index = segment.index();
        let next_block = from.map_or(0, |from| index.find(from.keyspace, &from.key));
        // The block where `to` would be is the last that may begin with something before it.
        let behind = |to: &BoundKey| index.len().min(index.find(to.keyspace, &to.key) + 1);
        let end_block = to.map_or(index.len(), behind);
        let mut source = Self {
            segment,
            next_block,
            end_block,
            to: to.cloned(),
            piece: Vec::new(),
            piece_at: 0,
            place: None,
            end_entry: 0,
            key: Vec::new(),
        };
        source.next_block(from)?;
        Ok(source)
    }

    /// Goes to the first entry at or after `from` of the blocks that are left.
    fn next_block(&mut self, from: Option<&BoundKey>) -> Result<()> {
        let position = |bound: &BoundKey, block: &Block| {
            block.search_position(Position::first(bound.keyspace, &bound.key))
        };
        loop {
            let memory = self.place.take().map(|(block, _)| block.into_bytes());
            if self.next_block >= self.end_block {
                return Ok(());
            }
            // An error leaves no block, and none to come.
            let number = std::mem::replace(&mut self.next_block, self.end_block);
            let block = self.load(number, memory.unwrap_or_default())?;
            self.next_block = number + 1;
            let first = from.map_or(0, |from| position(from, &block));
            let last = self.next_block == self.end_block;
            let to = self.to.as_ref().filter(|_| last);
            self.end_entry = to.map_or(block.len(), |to| position(to, &block));
            if first < self.end_entry {
                let step = block.walk_from(first, &mut self.key);
                self.place = Some((block, step));
                return Ok(());
            }
        }
    }

    /// Block `number`, in `memory`.
    fn load(&mut self, number: usize, mut memory: Vec<u8>) -> Result<Block> {
        let handle = self.segment.index().handle(number);
        let held = self.piece_at..self.piece_at + self.piece.len() as u64;
        if !handle.lies_within(held.start, held.end) {
            self.read_piece(number, handle)?;
        }
        let at = (handle.offset - self.piece_at) as usize;
        memory.clear();
        // One huge block must not cost its memory for the rest of the walk.
        memory.shrink_to(2 * PIECE_BYTES as usize);
        memory.extend_from_slice(&self.piece[at..at + handle.len as usize]);
        self.segment.file().open_block(self.segment.index(), number, memory)
    }

    /// Where the memory lies that is used again.
    #[cfg(test)]
    pub(super) fn memory(&self) -> [usize; 3] {
        use crate::value::Backing;
        let block = self.place.as_ref().map_or(&[][..], |(block, _)| block.bytes());
        [self.piece.as_ptr().addr(), block.as_ptr().addr(), self.key.as_ptr().addr()]
    }

    /// Reads a piece that begins with block `number`.
    fn read_piece(&mut self, number: usize, first: BlockHandle) -> Result<()> {
        let index = self.segment.index();
        let fits = |handle: &BlockHandle| handle.offset - first.offset + u64::from(handle.len);
        let blocks = (number..self.end_block).map(|i| fits(&index.handle(i)));
        let whole = blocks.take_while(|&bytes| bytes <= PIECE_BYTES).last();
        let file = &self.segment.file().file;
        self.piece.shrink_to(2 * PIECE_BYTES as usize);
        self.piece.resize(whole.unwrap_or(u64::from(first.len)) as usize, 0);
        self.piece_at = first.offset;
        match read_block(file, &mut self.piece, first.offset) {
            // The file was cut: the first block may lie before the cut.
            Err(Error::Corruption { .. }) => {
                self.piece.truncate(first.len as usize);
                read_block(file, &mut self.piece, first.offset)
            }
            result => result,
        }
    }
}

impl Source for SegmentSource {
    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.place.as_ref().map(|(block, step)| block.walked(step, &self.key))
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let Some((block, step)) = &mut self.place else { return Ok(()) };
        if step.number() + 1 == self.end_entry {
            return self.next_block(None);
        }
        *step = block.walk_on(step, &mut self.key);
        Ok(())
    }
}
