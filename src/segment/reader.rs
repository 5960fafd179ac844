//! An open segment: index and filter in memory, data blocks read when needed and kept in slots.
//!
//! Every method may be called from any thread. A read whose block is in its slot takes no lock,
//! makes no system call and counts no reference.

use std::io;
use std::path::Path;

use super::cache::{BlockCache, CachedBlock};
use super::file::SegmentFile;
use super::parts::{Expect, check_header, read_footer};
use super::scan::scan;
use super::segment_path;
use super::tables::Tables;
use super::writer::FinishedSegment;
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::data_block::InBlock;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::index::Index;
use crate::format::key::Kind;
use crate::format::properties::Properties;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::ids::{FileNumber, KeyspaceId, Sequence, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};
use crate::sync::Arc;
use crate::value::Value;

/// A version of a key that a segment holds, borrowed for one call.
#[derive(Debug)]
pub(crate) struct SegmentHit<'a> {
    pub(crate) kind: Kind,
    pub(crate) sequence: Sequence,
    /// Empty for a tombstone.
    pub(crate) value: &'a [u8],
    block: &'a Arc<CachedBlock>,
    entry: usize,
}

impl SegmentHit<'_> {
    /// The value for the user to keep: copied if small, else shared with the block.
    pub(crate) fn to_value(&self) -> Value {
        self.block.value_to_keep(self.entry)
    }
}

/// An open, immutable segment: its file, and the tables that find its blocks.
///
/// Tables are replaced by another segment over the same file; readers of the old one go on.
#[derive(Debug)]
pub(crate) struct Segment {
    tables: Tables,
    file: Arc<SegmentFile>,
}

impl Segment {
    /// Opens a segment and checks all but its data blocks, which are checked when they are read.
    ///
    /// With `saved` tables its own are not read. If its own are damaged, and nothing else is, they
    /// are derived from the data blocks ([`Self::was_damaged`]).
    ///
    /// # Errors
    ///
    /// `Corruption` if the file is not the one that `expect` names, or is damaged;
    /// `UnsupportedFormat` if a newer version wrote it; `Io` if it cannot be read.
    pub(crate) fn open(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        number: FileNumber,
        expect: &Expect,
        saved: Option<Tables>,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let path = segment_path(dir, number);
        let file = match NamedFile::shared(fs, path.clone(), OpenMode::Read) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let expected = "the segment that the manifest names";
                let got = "no such file";
                let expected = expected.to_owned();
                let got = got.to_owned();
                let what = "segment file";
                return Err(Error::Corruption { file: path, offset: 0, what, expected, got });
            }
            file => file?,
        };
        Self::of_file(file, number, expect, saved, cache)
    }

    /// Opens a segment that was just written through the file that it was written to: it takes no
    /// other descriptor.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(crate) fn of_written(
        finished: &FinishedSegment,
        database: Uuid,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let file = finished.file.clone();
        Self::of_file(file, finished.number, &finished.expect(database), None, cache)
    }

    fn of_file(
        file: NamedFile,
        number: FileNumber,
        expect: &Expect,
        saved: Option<Tables>,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let bytes = file.len()?;
        if bytes != expect.bytes || bytes < (SEGMENT_HEADER_BYTES + FOOTER_BYTES) as u64 {
            let want = format!("{} bytes", expect.bytes);
            return Err(file.corruption(0, "segment length", want, format!("{bytes} bytes")));
        }
        check_header(&file, expect)?;
        let footer = read_footer(&file, expect, bytes - FOOTER_BYTES as u64)?;
        let stored = saved.map_or_else(|| Tables::read(&file, expect.uuid, &footer), Ok);
        let (tables, damaged) = match stored {
            Ok(tables) => (tables, false),
            Err(error) if error.is_corruption() => {
                event!(warn, %error, "the tables of a segment are damaged: reading its data");
                (rescue(&file, expect, &footer)?, true)
            }
            Err(error) => return Err(error),
        };
        let entries = tables.properties.entries();
        if entries != expect.entries {
            let want = format!("{} entries", expect.entries);
            let got = entries.to_string();
            return Err(file.corruption(footer.properties.offset, "properties", want, got));
        }
        let name = (number, expect.uuid, bytes);
        let file = SegmentFile::new(name, file, footer, tables.index.len(), damaged, cache);
        Ok(Self { tables, file: Arc::new(file) })
    }

    /// Derives its tables from its data blocks again: a segment over the same file, and how many
    /// user keys it has.
    ///
    /// # Errors
    ///
    /// `Corruption` if a data block is damaged, or they are not those that were there at open.
    pub(crate) fn rebuild(&self, database: Uuid) -> Result<(Self, u64)> {
        let SegmentFile { uuid, bytes, footer, file, .. } = self.file.as_ref();
        let Properties { created_ms, .. } = self.tables.properties;
        let entries = self.tables.properties.entries();
        let expect = Expect { database, uuid: *uuid, bytes: *bytes, entries, created_ms };
        let (mut tables, keys) = scan(file, &expect, footer)?;
        let inputs = self.tables.properties.inputs.clone();
        tables.properties.inputs = inputs;
        let Some(segment) = self.with_tables(tables) else {
            let want = "the blocks that were there at open";
            let got = "others";
            return Err(file.corruption(0, "data blocks", want, got));
        };
        Ok((segment, keys))
    }

    /// A segment over the same file with other tables; `None` if they speak of other blocks.
    pub(crate) fn with_tables(&self, tables: Tables) -> Option<Self> {
        let same = tables.index.same_blocks(&self.tables.index)
            && tables.filter.is_some() == self.file.footer.filter.is_some()
            && tables.properties.same_counts(&self.tables.properties);
        same.then(|| Self { tables, file: Arc::clone(&self.file) })
    }

    /// The file, which other segments may share.
    pub(crate) fn file(&self) -> &Arc<SegmentFile> {
        &self.file
    }

    /// What finds its blocks.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether its stored tables were damaged when it was opened; its data is whole.
    pub(crate) fn was_damaged(&self) -> bool {
        self.file.damaged
    }

    /// Whether the segment may hold a key with this hash; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.tables.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// The newest version of a key with a sequence of at most `at`, if there is one, read in place:
    /// no copy, and no reference count if cached. `hash` is the key's. Does not ask the filter.
    pub(crate) fn get_with<R>(
        &self,
        keyspace: KeyspaceId,
        (key, hash): (&[u8], u64),
        at: Sequence,
        read: impl FnOnce(&SegmentHit<'_>) -> R,
    ) -> Result<Option<R>> {
        let i = self.tables.index.find(keyspace, key);
        self.get_from(i, keyspace, (key, hash), at, read)
    }

    /// The data block that may hold a key.
    #[inline]
    pub(crate) fn block_for(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<usize> {
        let index = &self.tables.index;
        let i = index.find(keyspace, key);
        (i < index.len() && index.keyspace(i) == keyspace).then_some(i)
    }

    /// Asks for what [`Self::may_contain`] looks at.
    pub(crate) fn prefetch_filter(&self, hash: u64) {
        if let Some(filter) = &self.tables.filter {
            filter.prefetch(hash);
        }
    }

    /// [`Self::get_with`] of a key whose data block is known by [`Self::block_for`].
    #[inline]
    pub(crate) fn get_from<R>(
        &self,
        mut i: usize,
        keyspace: KeyspaceId,
        (key, hash): (&[u8], u64),
        at: Sequence,
        read: impl FnOnce(&SegmentHit<'_>) -> R,
    ) -> Result<Option<R>> {
        let mut read = Some(read);
        let index = &self.tables.index;
        while i < index.len() && index.keyspace(i) == keyspace {
            let lookup =
                self.with_block(i, |block| match look_up(block, keyspace, (key, hash), at) {
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

    /// [`Self::get_with`] from blocks in memory only: `None` if one is needed that is not.
    pub(crate) fn try_get_with<R>(
        &self,
        keyspace: KeyspaceId,
        (key, hash): (&[u8], u64),
        at: Sequence,
        read: impl FnOnce(&SegmentHit<'_>) -> R,
    ) -> Option<Option<R>> {
        let mut read = Some(read);
        let index = &self.tables.index;
        let mut i = index.find(keyspace, key);
        while i < index.len() && index.keyspace(i) == keyspace {
            let lookup = self.file.with_resident(i, |block| {
                match look_up(block, keyspace, (key, hash), at) {
                    Lookup::At(hit) => Some(read.take().map(|read| read(&hit))),
                    Lookup::Absent => Some(None),
                    Lookup::MayGoOn => None,
                }
            })?;
            match lookup {
                Some(result) => return Some(result),
                None => i += 1,
            }
        }
        Some(None)
    }

    #[inline]
    fn with_block<R>(&self, i: usize, lend: impl FnOnce(&Arc<CachedBlock>) -> R) -> Result<R> {
        self.file.with_block(&self.tables.index, i, lend)
    }

    /// Data block `i`, from its slot or from the file; kept in its slot if the cache has room.
    ///
    /// # Panics
    ///
    /// If there is no such block.
    pub(crate) fn read_block(&self, i: usize) -> Result<Arc<CachedBlock>> {
        self.with_block(i, Arc::clone)
    }

    /// Whether data block `i` is there and in its slot.
    pub(crate) fn is_resident(&self, i: usize) -> bool {
        i < self.file.slots.count() && self.file.slots.at(i).load().is_some()
    }

    /// Whether any block may be in its slot. While blocks are being evicted it may say no.
    pub(crate) fn is_warm(&self) -> bool {
        self.file.is_warm()
    }

    /// Puts data block `i` into its slot if the cache has room. Counts as no read.
    pub(crate) fn warm_block(&self, i: usize) -> Result<()> {
        if self.is_resident(i) {
            return Ok(());
        }
        self.file.fetch_block(&self.tables.index, i).map(drop)
    }

    /// Takes blocks out of the slots: see [`SegmentFile`]. Background threads only.
    pub(super) fn evict(
        &self,
        from: usize,
        excess: &mut usize,
        out: &mut Vec<Arc<CachedBlock>>,
    ) -> usize {
        self.file.evict(from, excess, out)
    }

    /// The number in the file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.file.number
    }

    /// Its name for good.
    pub(crate) fn uuid(&self) -> Uuid {
        self.file.uuid
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.bytes
    }

    /// What the segment knows about itself.
    pub(crate) fn properties(&self) -> &Properties {
        &self.tables.properties
    }

    /// The index of its data blocks.
    pub(crate) fn index(&self) -> &Index {
        &self.tables.index
    }

    /// Memory of index and filter, which stay for as long as the segment is open.
    pub(crate) fn pinned_bytes(&self) -> usize {
        self.tables.memory_bytes() + self.file.slot_bytes()
    }
}

/// Tables for a file whose own are damaged. What the properties alone know is kept if they are
/// sound, and must then agree with the data.
fn rescue(file: &NamedFile, expect: &Expect, footer: &Footer) -> Result<Tables> {
    let (mut tables, _) = scan(file, expect, footer)?;
    if let Ok(properties) = Tables::read_properties(file, expect.uuid, footer) {
        if !properties.same_counts(&tables.properties) {
            let want = format!("{:?}", tables.properties);
            let got = format!("{properties:?}");
            return Err(file.corruption(footer.properties.offset, "properties", want, got));
        }
        tables.properties = properties;
    }
    Ok(tables)
}

enum Lookup<'a> {
    At(SegmentHit<'a>),
    Absent,
    /// All versions here are too new; older ones may be in the next block.
    MayGoOn,
}

#[inline(always)]
fn look_up<'a>(
    block: &'a Arc<CachedBlock>,
    keyspace: KeyspaceId,
    (key, hash): (&[u8], u64),
    at: Sequence,
) -> Lookup<'a> {
    debug_assert_eq!(block.keyspace(), keyspace);
    match block.find(key, hash, at) {
        InBlock::Absent => Lookup::Absent,
        InBlock::MayGoOn => Lookup::MayGoOn,
        InBlock::At(entry) => {
            let kind = block.kind(entry);
            let sequence = block.sequence(entry);
            let value = block.value(entry);
            Lookup::At(SegmentHit { kind, sequence, value, block, entry })
        }
    }
}
