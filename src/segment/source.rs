//! A segment read from front to back for a merge: large pieces, past the block cache.
//!
//! Blocks are checked as a read checks them, in the same place. One that is stored as it is stays
//! in its piece; a compressed one takes memory of its own. The memory of pieces and of keys is used
//! again, so that a walk allocates nothing while blocks are of ordinary size.
//! Owned by one background thread. Knows no run: the bounds are its caller's.

use super::parts::read_block;
use super::reader::Segment;
use crate::error::{Error, Result};
use crate::format::block::BlockHandle;
use crate::format::data_block::{Block, Unpacked, Window};
use crate::format::key::Position;
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
    /// Consecutive blocks as they lie in the file, from `piece_at` to `piece_end`; without bytes
    /// while the block at hand has them.
    piece: Vec<u8>,
    piece_at: u64,
    piece_end: u64,
    /// Whether it has them.
    piece_lent: bool,
    /// The block at hand; `None` past the end.
    block: Option<Block>,
    /// The end of the entries before `to`, in that block.
    end_entry: usize,
    /// Entries of that block, at least one of them ahead.
    window: Window,
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
            piece_end: 0,
            piece_lent: false,
            block: None,
            end_entry: 0,
            window: Window::default(),
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
            if let Some(block) = self.block.take() {
                self.take_back(block);
            }
            if self.next_block >= self.end_block {
                return Ok(());
            }
            // An error leaves no block, and none to come.
            let number = std::mem::replace(&mut self.next_block, self.end_block);
            let block = self.load(number)?;
            self.next_block = number + 1;
            let first = from.map_or(0, |from| position(from, &block));
            let last = self.next_block == self.end_block;
            let to = self.to.as_ref().filter(|_| last);
            self.end_entry = to.map_or(block.len(), |to| position(to, &block));
            if first < self.end_entry {
                block.unpack(first..self.end_entry, &mut self.window);
                self.block = Some(block);
                return Ok(());
            }
            self.take_back(block);
        }
    }

    /// The memory of the piece, if `block` has it.
    fn take_back(&mut self, block: Block) {
        if std::mem::take(&mut self.piece_lent) {
            self.piece = block.into_bytes();
        }
    }

    /// Block `number`, with the piece that it lies in unless it is compressed.
    fn load(&mut self, number: usize) -> Result<Block> {
        let handle = self.segment.index().handle(number);
        if !handle.lies_within(self.piece_at, self.piece_end) {
            self.read_piece(number, handle)?;
        }
        let at = (handle.offset - self.piece_at) as usize;
        let bytes = std::mem::take(&mut self.piece);
        let part = at..at + handle.len as usize;
        let opened = self.segment.file().open_block(self.segment.index(), number, bytes, part);
        let (block, bytes) = opened?;
        self.piece_lent = bytes.is_none();
        self.piece = bytes.unwrap_or_default();
        Ok(block)
    }

    /// Where the memory lies that is used again.
    #[cfg(test)]
    pub(super) fn memory(&self) -> [usize; 2] {
        use crate::value::Backing;
        let block = self.block.as_ref().filter(|_| self.piece_lent);
        let piece = block.map_or(&self.piece[..], |block| block.bytes());
        [piece.as_ptr().addr(), self.window.memory()]
    }

    /// Reads a piece that begins with block `number`.
    fn read_piece(&mut self, number: usize, first: BlockHandle) -> Result<()> {
        let index = self.segment.index();
        let fits = |handle: &BlockHandle| handle.offset - first.offset + u64::from(handle.len);
        let blocks = (number..self.end_block).map(|i| fits(&index.handle(i)));
        let whole = blocks.take_while(|&bytes| bytes <= PIECE_BYTES).last();
        let file = &self.segment.file().file;
        // One huge block must not cost its memory for the rest of the walk.
        self.piece.shrink_to(2 * PIECE_BYTES as usize);
        self.piece.resize(whole.unwrap_or(u64::from(first.len)) as usize, 0);
        self.piece_at = first.offset;
        match read_block(file, &mut self.piece, first.offset) {
            // The file was cut: the first block may lie before the cut.
            Err(Error::Corruption { .. }) => {
                self.piece.truncate(first.len as usize);
                read_block(file, &mut self.piece, first.offset)?;
            }
            result => result?,
        }
        self.piece_end = first.offset + self.piece.len() as u64;
        Ok(())
    }
}

impl Source for SegmentSource {
    #[inline]
    fn ahead(&self) -> Unpacked<'_> {
        self.block.as_ref().map(|block| self.window.unpacked(block)).unwrap_or_default()
    }

    fn pass(&mut self, count: usize) -> Result<()> {
        let Some(block) = &self.block else { return Ok(()) };
        if self.window.pass(count) {
            return Ok(());
        }
        let unpacked = self.window.next();
        if unpacked == self.end_entry {
            return self.next_block(None);
        }
        block.unpack(unpacked..self.end_entry, &mut self.window);
        Ok(())
    }
}
