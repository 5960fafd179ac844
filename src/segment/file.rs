//! The file of an open segment, and its blocks in memory: what all tables over it share.
//!
//! Cached blocks sit in slots here, not beside the index, so that replacing the tables neither
//! loses a block nor charges one twice. Read by any thread; evicted from by one.

use std::ops::Range;
use std::ptr;

use super::cache::{BlockCache, CachedBlock};
use super::parts::{open_mapped, open_part, read_block};
use crate::error::Result;
use crate::format::data_block::Block;
use crate::format::footer::Footer;
use crate::format::index::Index;
use crate::ids::{FileNumber, Uuid};
use crate::io::NamedFile;
use crate::mapped::Mapped;
use crate::mvcc::slots::FileSlots;
use crate::prefetch::prefetch;
use crate::sync::atomic::Ordering;
use crate::sync::unchecked::AtomicUsize;
use crate::sync::{Arc, Slot};

/// Cache lines of a block that are fetched ahead: head, prefix, tags and rows of some 40 entries.
const BLOCK_LINES: usize = 6;

/// Where the block in a slot is, or one was that was there before: for the processor to fetch all
/// that a get looks at first at once, where it would go from one to the next (D47). Nothing is
/// read there, so no checker has to see it.
#[derive(Debug, Default)]
struct Hint {
    block: AtomicUsize,
    bytes: AtomicUsize,
}

impl Hint {
    // Relaxed, both: no more than a hint.
    fn set(&self, block: &Arc<CachedBlock>) {
        self.block.store(Arc::as_ptr(block).addr(), Ordering::Relaxed);
        self.bytes.store(block.address(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn prefetch(&self) {
        prefetch(self.block.load(Ordering::Relaxed), 1);
        prefetch(self.bytes.load(Ordering::Relaxed), BLOCK_LINES);
    }
}

/// An open, immutable file and what of it is in memory.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    /// One per data block.
    pub(super) slots: FileSlots<CachedBlock>,
    /// One per slot.
    hints: Box<[Hint]>,
    cache: Arc<BlockCache>,
    pub(super) file: NamedFile,
    /// Where blocks are read, if the database is to and the system can.
    mapped: Option<Arc<Mapped>>,
    pub(super) number: FileNumber,
    pub(super) uuid: Uuid,
    /// Length of the file.
    pub(super) bytes: u64,
    pub(super) footer: Footer,
    /// Whether its index, filter or properties were found damaged, and derived from its data.
    pub(super) damaged: bool,
}

impl SegmentFile {
    /// Takes over a file with this many data blocks. The file is sound if `damaged` is false.
    pub(super) fn new(
        (number, uuid, bytes): (FileNumber, Uuid, u64),
        file: NamedFile,
        footer: Footer,
        blocks: usize,
        damaged: bool,
        cache: Arc<BlockCache>,
    ) -> Self {
        let slots = FileSlots::empty(blocks);
        let hints = (0..blocks).map(|_| Hint::default()).collect();
        let mapped = cache.maps_files().then(|| file.mapped(bytes)).flatten();
        Self { slots, hints, cache, file, mapped, number, uuid, bytes, footer, damaged }
    }

    /// The number in the file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives its descriptor up, if nobody reads just now. A read opens it again.
    pub(crate) fn close(&self) {
        self.file.close();
    }

    /// A [`crate::Error::Corruption`] of the file as a whole.
    pub(crate) fn corruption(
        &self,
        what: &'static str,
        expected: String,
        got: String,
    ) -> crate::Error {
        self.file.corruption(0, what, expected, got)
    }

    /// Lends data block `i`: from its slot, or from the file.
    #[inline]
    pub(super) fn with_block<R>(
        &self,
        index: &Index,
        i: usize,
        lend: impl FnOnce(&Arc<CachedBlock>) -> R,
    ) -> Result<R> {
        self.hints[i].prefetch();
        let slot = self.slots.at(i).load();
        if let Some(block) = slot.as_ref() {
            block.touch();
            self.cache.count_hit();
            return Ok(lend(block));
        }
        drop(slot);
        Ok(lend(&self.load_block(index, i)?))
    }

    /// Memory of slots and hints.
    pub(super) fn slot_bytes(&self) -> usize {
        self.hints.len() * (size_of::<Slot<CachedBlock>>() + size_of::<Hint>())
    }

    /// Asks for what tells where data block `i` is.
    pub(crate) fn prefetch_slot(&self, i: usize) {
        prefetch(ptr::from_ref(self.slots.at(i)).addr(), 1);
        prefetch(ptr::from_ref(&self.hints[i]).addr(), 1);
    }

    /// Asks for what a get looks at first in data block `i`, if it is in its slot.
    pub(crate) fn prefetch_block(&self, i: usize) {
        self.hints[i].prefetch();
    }

    /// Asks for what a get looks at last in data block `i`, if it is in its slot.
    pub(crate) fn prefetch_entry(&self, i: usize, hash: u64) {
        if let Some(block) = self.slots.at(i).load().as_ref() {
            block.prefetch_entry(hash);
        }
    }

    /// Lends data block `i` if it is in its slot.
    pub(super) fn with_resident<R>(
        &self,
        i: usize,
        lend: impl FnOnce(&Arc<CachedBlock>) -> R,
    ) -> Option<R> {
        let slot = self.slots.at(i).load();
        let block = slot.as_ref()?;
        block.touch();
        self.cache.count_hit();
        Some(lend(block))
    }

    fn load_block(&self, index: &Index, i: usize) -> Result<Arc<CachedBlock>> {
        self.cache.count_miss();
        self.fetch_block(index, i)
    }

    /// Data block `i` from the file, into its slot if the cache has room.
    pub(super) fn fetch_block(&self, index: &Index, i: usize) -> Result<Arc<CachedBlock>> {
        let block = self.read_past_cache(index, i)?;
        let admitted = self.cache.admits(CachedBlock::memory_bytes_of(&block));
        let block = CachedBlock::charged(block, &self.cache);
        if admitted && self.slots.keep(i, &block, self.cache.in_slots()) {
            self.hints[i].set(&block);
        }
        Ok(block)
    }

    /// Data block `i` from where the file is mapped, or from the file, past the cache.
    fn read_past_cache(&self, index: &Index, i: usize) -> Result<Block> {
        let Some(mapped) = &self.mapped else { return self.read_from_file(index, i) };
        let block = open_mapped(&self.file, self.uuid, mapped, index.handle(i))?;
        self.check_keyspace(index, i, &block).map(|()| block)
    }

    /// Data block `i` from the file, by a call, past the cache: what cannot be read is an error.
    pub(super) fn read_from_file(&self, index: &Index, i: usize) -> Result<Block> {
        let handle = index.handle(i);
        let mut bytes = vec![0; handle.len as usize];
        read_block(&self.file, &mut bytes, handle.offset)?;
        let whole = 0..bytes.len();
        self.open_block(index, i, bytes, whole).map(|(block, _)| block)
    }

    /// Makes data block `i` of its bytes in the file, once they are checked: `part` of `bytes`. The
    /// block takes all of them over, or they come back beside it.
    pub(super) fn open_block(
        &self,
        index: &Index,
        i: usize,
        bytes: Vec<u8>,
        part: Range<usize>,
    ) -> Result<(Block, Option<Vec<u8>>)> {
        let offset = index.handle(i).offset;
        let (block, bytes) = open_part(&self.file, self.uuid, offset, bytes, part)?;
        self.check_keyspace(index, i, &block)?;
        Ok((block, bytes))
    }

    /// Checks that data block `i` is of the keyspace that the index says.
    fn check_keyspace(&self, index: &Index, i: usize, block: &Block) -> Result<()> {
        let want = index.keyspace(i);
        let got = block.keyspace();
        if got == want {
            return Ok(());
        }
        let want = format!("keyspace {}", want.0);
        let got = got.0.to_string();
        Err(self.file.corruption(index.handle(i).offset, "data block", want, got))
    }

    pub(super) fn is_warm(&self) -> bool {
        self.slots.are_warm()
    }

    /// Takes blocks out of the slots: see [`FileSlots::evict`]. Background threads only.
    pub(super) fn evict(
        &self,
        from: usize,
        excess: &mut usize,
        out: &mut Vec<Arc<CachedBlock>>,
    ) -> usize {
        self.slots.evict(from, excess, out, self.cache.in_slots())
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        self.slots.clear(self.cache.in_slots());
    }
}
