//! Writes one segment file, front to back, in one pass over sorted entries.
//!
//! Owned by one background thread (flush or merge). The file is complete and durable when
//! [`SegmentWriter::finish`] returns; its name is durable once the caller has synced the directory.

use std::io;
use std::path::Path;

use super::segment_path;
use crate::error::{Error, Result};
use crate::format::block::{
    BLOCK_HEADER_BYTES, BLOCK_PAYLOAD_BYTES_MAX, BlockHandle, BlockType, seal_block,
};
use crate::format::data_block::BlockBuilder;
use crate::format::filter::Filter;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::hash::key_hash;
use crate::format::index::IndexBuilder;
use crate::format::key::{Entry, KEY_BYTES_MAX, Position, VALUE_BYTES_MAX};
use crate::format::properties::{OwnedKey, Properties};
use crate::format::segment_header::SegmentHeader;
use crate::ids::{FileNumber, KeyspaceId, Sequence, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What a segment is written with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentWriterOptions {
    /// The database that it belongs to.
    pub(crate) database: Uuid,
    /// Target size of a data block, header included. One entry may exceed it.
    pub(crate) block_bytes: usize,
    /// Filter bits per user key; 0 for no filter.
    pub(crate) filter_bits: u8,
    /// Creation time, milliseconds since 1970.
    pub(crate) created_ms: u64,
}

/// A segment that was written and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FinishedSegment {
    pub(crate) number: FileNumber,
    pub(crate) uuid: Uuid,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) first: OwnedKey,
    pub(crate) last: OwnedKey,
    pub(crate) smallest: Sequence,
    pub(crate) largest: Sequence,
    pub(crate) created_ms: u64,
}

/// A segment being written.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: NamedFile,
    number: FileNumber,
    uuid: Uuid,
    options: SegmentWriterOptions,
    /// Where `buffer` begins in the file.
    offset: u64,
    buffer: Vec<u8>,
    block: BlockBuilder,
    /// The last closed block, whose separator needs the key that follows.
    closed: Option<ClosedBlock>,
    index: IndexBuilder,
    /// One per user key.
    hashes: Vec<u64>,
    properties: Properties,
}

#[derive(Debug)]
struct ClosedBlock {
    handle: BlockHandle,
    keyspace: KeyspaceId,
    last_key: Vec<u8>,
    last_sequence: Sequence,
}

impl SegmentWriter {
    /// Creates the file of segment `number`, which must not exist.
    pub(crate) fn create(
        fs: &dyn Fs,
        dir: &Path,
        number: FileNumber,
        options: SegmentWriterOptions,
    ) -> Result<Self> {
        let path = segment_path(dir, number);
        let uuid = random_uuid(&path)?;
        let file = NamedFile::open(fs, path, OpenMode::CreateNew)?;
        let header = SegmentHeader { database: options.database, segment: uuid };
        Ok(Self {
            file,
            number,
            uuid,
            options,
            offset: 0,
            buffer: header.encode().to_vec(),
            block: BlockBuilder::default(),
            closed: None,
            index: IndexBuilder::default(),
            hashes: Vec::new(),
            properties: Properties { created_ms: options.created_ms, ..Properties::default() },
        })
    }

    /// Adds an entry, which follows the last one in the internal order.
    ///
    /// After an error the segment is of no use: [`Self::abandon`] it.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        assert!(entry.key.len() <= KEY_BYTES_MAX && entry.value.len() <= VALUE_BYTES_MAX);
        debug_assert!(self.last().is_none_or(|last| last < entry.position()), "entries ascend");
        let block_bytes = self.options.block_bytes.saturating_sub(BLOCK_HEADER_BYTES);
        if !self.block.fits(entry, block_bytes) {
            self.close_block()?;
        }
        let new_key = !self.last().is_some_and(|last| last.same_key(&entry.position()));
        if let Some(closed) = self.closed.take() {
            self.index_block(closed, Some(entry))?;
        }
        if new_key && self.options.filter_bits > 0 {
            self.hashes.push(key_hash(entry.keyspace, entry.key));
        }
        self.properties.count(entry);
        self.block.add(entry);
        Ok(())
    }

    /// The place of the last entry.
    fn last(&self) -> Option<Position<'_>> {
        if let (Some(key), Some(sequence)) = (self.block.last_key(), self.block.last_sequence()) {
            return Some(Position { keyspace: self.block.keyspace(), key, sequence });
        }
        let ClosedBlock { keyspace, last_key: key, last_sequence, .. } = self.closed.as_ref()?;
        Some(Position { keyspace: *keyspace, key, sequence: *last_sequence })
    }

    /// Whether the last entry is a version of this one's key.
    pub(crate) fn ends_with(&self, entry: &Entry<'_>) -> bool {
        self.last().is_some_and(|last| last.same_key(&entry.position()))
    }

    /// Moves the current data block, which is not empty, into the buffer.
    fn close_block(&mut self) -> Result<()> {
        let last = self.last().expect("only a block with entries is closed");
        let (keyspace, last_sequence) = (last.keyspace, last.sequence);
        let last_key = last.key.to_vec();
        let at = self.begin_block();
        self.block.finish(&mut self.buffer);
        let handle = self.seal(at, BlockType::Data)?;
        self.properties.stored_bytes += u64::from(handle.len);
        self.properties.data_blocks += 1;
        self.closed = Some(ClosedBlock { handle, keyspace, last_key, last_sequence });
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Indexes a closed block, now that the entry after it is known.
    fn index_block(&mut self, closed: ClosedBlock, next: Option<&Entry<'_>>) -> Result<()> {
        let ClosedBlock { handle, keyspace, last_key, .. } = closed;
        let next = next.map(|next| (next.keyspace, next.key));
        let pushed = self.index.push_before(handle, (keyspace, &last_key), next);
        if pushed { Ok(()) } else { Err(self.too_large("index")) }
    }

    /// Bytes of the file so far, with what is gathered in memory; the filter is not in it yet.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.offset + (self.buffer.len() + self.block.bytes() + self.index.bytes()) as u64
    }

    /// Writes what is left and makes the file's bytes durable; the caller syncs the directory.
    ///
    /// A segment has at least one entry. After an error the file is still there, incomplete.
    pub(crate) fn finish(mut self) -> Result<FinishedSegment> {
        if self.block.is_empty() {
            let path = self.file.path.display();
            let what = format!("a segment needs at least one entry, and {path} has none");
            return Err(Error::InvalidArgument { what });
        }
        self.close_block()?;
        let closed = self.closed.take().expect("close_block leaves the block it closed");
        self.properties.last = (closed.keyspace, closed.last_key.clone());
        self.index_block(closed, None)?;

        let filter = if self.hashes.is_empty() { None } else { Some(self.put_filter()?) };
        let at = self.begin_block();
        self.index.encode(&mut self.buffer);
        let index = self.seal(at, BlockType::Index)?;
        let at = self.begin_block();
        self.properties.encode(&mut self.buffer);
        let properties = self.seal(at, BlockType::Properties)?;
        let bytes = self.offset + (self.buffer.len() + FOOTER_BYTES) as u64;
        let footer = Footer {
            read_only_compatible: 0,
            segment: self.uuid,
            file_bytes: bytes,
            filter,
            index,
            properties,
        };
        self.buffer.extend_from_slice(&footer.encode());
        self.write_buffer()?;
        self.file.sync_data()?;
        let entries = self.properties.entries();
        let Properties { first, last, smallest, largest, created_ms, .. } = self.properties;
        let (number, uuid) = (self.number, self.uuid);
        Ok(FinishedSegment {
            number,
            uuid,
            bytes,
            entries,
            first,
            last,
            smallest,
            largest,
            created_ms,
        })
    }

    /// The number in its file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Gives the segment up and removes its file. An open removes what could not be removed here.
    pub(crate) fn abandon(self, fs: &dyn Fs) {
        // Emptied first: another holder of the file must not keep its space.
        let _ = self.file.file.set_len(0);
        let _ = fs.remove(&self.file.path);
    }

    fn put_filter(&mut self) -> Result<BlockHandle> {
        let filter = Filter::new(self.hashes.len(), self.options.filter_bits);
        self.hashes.iter().for_each(|&hash| filter.insert(hash));
        let at = self.begin_block();
        filter.encode(&mut self.buffer);
        self.seal(at, BlockType::Filter)
    }

    /// Leaves the gap of a block header at the end of the buffer, and returns where.
    fn begin_block(&mut self) -> usize {
        let at = self.buffer.len();
        self.buffer.resize(at + BLOCK_HEADER_BYTES, 0);
        at
    }

    /// Seals the block that began at `at` of the buffer and runs to its end.
    fn seal(&mut self, at: usize, kind: BlockType) -> Result<BlockHandle> {
        let offset = self.offset + at as u64;
        let len = u32::try_from(self.buffer.len() - at)
            .ok()
            .filter(|&len| len <= BLOCK_PAYLOAD_BYTES_MAX)
            .ok_or_else(|| self.too_large("block"))?;
        seal_block(&mut self.buffer[at..], kind, self.uuid, offset);
        Ok(BlockHandle { offset, len })
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        // One huge block must not cost its memory until the segment is done.
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    fn too_large(&self, part: &str) -> Error {
        let path = self.file.path.display();
        Error::InvalidArgument { what: format!("the {part} of {path} would exceed 3.75 GiB") }
    }
}

fn random_uuid(path: &Path) -> Result<Uuid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io("draw random bytes for", path, io::Error::other(error.to_string()))
    })?;
    Ok(Uuid(bytes))
}
