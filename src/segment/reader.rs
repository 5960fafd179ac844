//! An open segment: index and filter in memory, data blocks read when needed and kept in slots.
//!
//! Every method may be called from any thread. A read whose block is in its slot takes no lock,
//! makes no system call and counts no reference.

use std::io;
use std::path::Path;

use super::cache::{BlockCache, CachedBlock};
use super::parts::{Expect, check_header, read_checked, read_footer, read_part};
use super::segment_path;
use crate::error::{Error, Result};
use crate::format::block::{BLOCK_HEADER_BYTES, BlockType};
use crate::format::data_block::Block;
use crate::format::filter::Filter;
use crate::format::footer::FOOTER_BYTES;
use crate::format::index::Index;
use crate::format::key::Kind;
use crate::format::properties::Properties;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::ids::{FileNumber, KeyspaceId, Sequence, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Slot};
use crate::value::Value;

/// A version of a key that a segment holds, borrowed for one call.
#[derive(Debug)]
pub(crate) struct Hit<'a> {
    pub(crate) kind: Kind,
    pub(crate) sequence: Sequence,
    /// Empty for a tombstone.
    pub(crate) value: &'a [u8],
    block: &'a Arc<CachedBlock>,
    entry: usize,
}

impl Hit<'_> {
    /// The value for the user to keep: copied if small, else shared with the block.
    pub(crate) fn to_value(&self) -> Value {
        self.block.value_to_keep(self.entry)
    }
}

/// An open, immutable segment.
#[derive(Debug)]
pub(crate) struct Segment {
    index: Index,
    filter: Option<Filter>,
    /// One per data block.
    slots: Box<[Slot<CachedBlock>]>,
    /// Whether a slot may be filled; lets the clock hand pass by cold segments.
    resident: AtomicBool,
    cache: Arc<BlockCache>,
    file: NamedFile,
    number: FileNumber,
    uuid: Uuid,
    bytes: u64,
    properties: Properties,
}

impl Segment {
    /// Opens a segment and checks all but its data blocks, which are checked when they are read.
    ///
    /// # Errors
    ///
    /// `Corruption` if the file is not the one that `expect` names, or is damaged;
    /// `UnsupportedFormat` if a newer version wrote it; `Io` if it cannot be read.
    pub(crate) fn open(
        fs: &dyn Fs,
        dir: &Path,
        number: FileNumber,
        expect: &Expect,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let path = segment_path(dir, number);
        let file = match NamedFile::open(fs, path.clone(), OpenMode::Read) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let (expected, got) = ("the segment that the manifest names", "no such file");
                let (expected, got) = (expected.to_owned(), got.to_owned());
                let what = "segment file";
                return Err(Error::Corruption { file: path, offset: 0, what, expected, got });
            }
            file => file?,
        };
        let bytes = file.len()?;
        if bytes != expect.bytes || bytes < (SEGMENT_HEADER_BYTES + FOOTER_BYTES) as u64 {
            let want = format!("{} bytes", expect.bytes);
            return Err(file.corruption(0, "segment length", want, format!("{bytes} bytes")));
        }
        check_header(&file, expect)?;
        let meta_end = bytes - FOOTER_BYTES as u64;
        let footer = read_footer(&file, expect, meta_end)?;
        let uuid = expect.uuid;
        let index = read_part(&file, uuid, footer.index, BlockType::Index, |payload| {
            Index::decode(payload, SEGMENT_HEADER_BYTES as u64, meta_end)
        })?;
        let filter = footer
            .filter
            .map(|handle| read_part(&file, uuid, handle, BlockType::Filter, Filter::decode));
        let filter = filter.transpose()?;
        let handle = footer.properties;
        let properties = read_part(&file, uuid, handle, BlockType::Properties, Properties::decode)?;
        if properties.data_blocks != index.len() as u64 {
            let want = format!("{} data blocks", index.len());
            let got = properties.data_blocks.to_string();
            return Err(file.corruption(handle.offset, "properties", want, got));
        }
        let slots = (0..index.len()).map(|_| Slot::empty()).collect();
        let resident = AtomicBool::new(false);
        Ok(Self { index, filter, slots, resident, cache, file, number, uuid, bytes, properties })
    }

    /// Whether the segment may hold a key with this hash; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// The newest version of a key with a sequence of at most `at`, if there is one, read in place:
    /// no copy, and no reference count if cached. Does not ask the filter.
    pub(crate) fn get_with<R>(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        at: Sequence,
        read: impl FnOnce(&Hit<'_>) -> R,
    ) -> Result<Option<R>> {
        let mut read = Some(read);
        let mut i = self.index.find(keyspace, key);
        while i < self.index.len() && self.index.keyspace(i) == keyspace {
            let lookup = self.with_block(i, |block| match look_up(block, keyspace, key, at) {
                Lookup::At(hit) => {
                    let read = read.take().expect("a lookup ends at its first hit");
                    Some(Some(read(&hit)))
                }
                Lookup::Absent => Some(None),
                Lookup::MayGoOn => None,
            })?;
            match lookup {
                Some(result) => return Ok(result),
                None => i += 1,
            }
        }
        Ok(None)
    }

    /// Lends data block `i`: from its slot, or from the file.
    fn with_block<R>(&self, i: usize, lend: impl FnOnce(&Arc<CachedBlock>) -> R) -> Result<R> {
        let slot = self.slots[i].load();
        if let Some(block) = slot.as_ref() {
            block.touch();
            self.cache.count_hit();
            return Ok(lend(block));
        }
        drop(slot);
        Ok(lend(&self.load_block(i)?))
    }

    /// Data block `i`, from its slot or from the file; kept in its slot if the cache has room.
    ///
    /// # Panics
    ///
    /// If there is no such block.
    pub(crate) fn read_block(&self, i: usize) -> Result<Arc<CachedBlock>> {
        self.with_block(i, Arc::clone)
    }

    fn load_block(&self, i: usize) -> Result<Arc<CachedBlock>> {
        self.cache.count_miss();
        let block = self.read_from_file(i)?;
        let admitted = self.cache.admits(CachedBlock::memory_bytes_of(&block));
        let block = CachedBlock::charged(block, &self.cache);
        if admitted {
            self.slots[i].fill(Arc::clone(&block));
            // Release, after the slot is filled: pairs with the swap in `evict`.
            if !self.resident.load(Ordering::Relaxed) {
                self.resident.store(true, Ordering::Release);
            }
        }
        Ok(block)
    }

    /// Whether data block `i` is in its slot.
    #[cfg(test)]
    pub(super) fn is_resident(&self, i: usize) -> bool {
        self.slots[i].load().is_some()
    }

    fn read_from_file(&self, i: usize) -> Result<Block> {
        let handle = self.index.handle(i);
        let bytes = read_checked(&self.file, self.uuid, handle, BlockType::Data)?;
        let payload_at = handle.offset + BLOCK_HEADER_BYTES as u64;
        let block = Block::decode(bytes, BLOCK_HEADER_BYTES)
            .map_err(|error| error.in_file(&self.file.path, payload_at))?;
        if block.keyspace() != self.index.keyspace(i) {
            let want = format!("keyspace {}", self.index.keyspace(i).0);
            let got = block.keyspace().0.to_string();
            return Err(self.file.corruption(handle.offset, "data block", want, got));
        }
        Ok(block)
    }

    /// Takes blocks out of the slots from `from` on, until their bytes make up for `excess`.
    /// Returns the slot to go on with. Background threads only.
    pub(super) fn evict(
        &self,
        from: usize,
        excess: &mut usize,
        out: &mut Vec<Arc<CachedBlock>>,
    ) -> usize {
        // Acquire: a fill whose flag this swap clears is seen below; a later fill sets the flag
        // again.
        if !self.resident.swap(false, Ordering::AcqRel) {
            return self.slots.len();
        }
        let mut left_some = from > 0;
        for (i, slot) in self.slots.iter().enumerate().skip(from) {
            if *excess == 0 {
                self.resident.store(true, Ordering::Release);
                return i;
            }
            match slot.load().as_ref() {
                None => continue,
                Some(block) if block.take_used() => {
                    left_some = true;
                    continue;
                }
                Some(_) => {}
            }
            if let Some(block) = slot.take() {
                *excess = excess.saturating_sub(block.charged_bytes());
                out.push(block);
            }
        }
        if left_some {
            self.resident.store(true, Ordering::Release);
        }
        self.slots.len()
    }

    /// The number in the file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the segment knows about itself.
    pub(crate) fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The index of its data blocks.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}

enum Lookup<'a> {
    At(Hit<'a>),
    Absent,
    /// All versions here are too new; older ones may be in the next block.
    MayGoOn,
}

fn look_up<'a>(
    block: &'a Arc<CachedBlock>,
    keyspace: KeyspaceId,
    key: &[u8],
    at: Sequence,
) -> Lookup<'a> {
    debug_assert_eq!(block.keyspace(), keyspace);
    let entry = block.search(key, at);
    if entry == block.len() {
        return if block.has_key(entry - 1, key) { Lookup::MayGoOn } else { Lookup::Absent };
    }
    if !block.has_key(entry, key) {
        return Lookup::Absent;
    }
    let (kind, sequence, value) = (block.kind(entry), block.sequence(entry), block.value(entry));
    Lookup::At(Hit { kind, sequence, value, block, entry })
}
