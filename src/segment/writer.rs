//! Writes one segment file, front to back, in one pass over sorted entries.
//!
//! Owned by one background thread (flush or merge). The file is complete and durable when
//! [`SegmentWriter::finish`] returns; its name is durable once the caller has synced the directory.

use std::io;
use std::path::Path;

use super::segment_path;
use crate::error::{Error, Result};
use crate::format::block::{
    BLOCK_HEADER_BYTES, BLOCK_PAYLOAD_BYTES_MAX, BlockHandle, BlockType, Frame, finish_block,
};
use crate::format::data_block::BlockBuilder;
use crate::format::filter::Filter;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::hash::key_hash;
use crate::format::index::IndexBuilder;
use crate::format::key::{Entry, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::format::lz4::Compressor;
use crate::format::properties::Properties;
use crate::format::segment_header::SegmentHeader;
use crate::ids::{FileNumber, Uuid};
use crate::io::{Fs, NamedFile, OpenMode, Pin};
use crate::options::Codec;
use crate::sync::Arc;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// More than a block takes besides its entries' keys and values, in the file and in the index.
const BLOCK_BYTES_MORE: u64 = 128;

/// What a segment is written with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentWriterOptions {
    /// The database that it belongs to.
    pub(crate) database: Uuid,
    /// How data blocks are stored; one that it hardly shortens is stored as it is.
    pub(crate) codec: Codec,
    /// Target size of a data block before compression, header included. One entry may exceed it.
    pub(crate) block_bytes: usize,
    /// Filter bits per user key; 0 for no filter.
    pub(crate) filter_bits: u8,
    /// Creation time, milliseconds since 1970.
    pub(crate) created_ms: u64,
}

/// A segment that was written and synced.
#[derive(Clone, Debug)]
pub(crate) struct FinishedSegment {
    /// The file as it was written, to be read from.
    pub(super) file: NamedFile,
    pub(crate) number: FileNumber,
    pub(crate) uuid: Uuid,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) created_ms: u64,
}

/// A segment being written.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: NamedFile,
    /// Until all is written and synced.
    _pin: Pin,
    number: FileNumber,
    uuid: Uuid,
    options: SegmentWriterOptions,
    /// Where `buffer` begins in the file.
    offset: u64,
    buffer: Vec<u8>,
    /// Bytes of the file as far as its blocks are closed, with those of the index.
    closed_bytes: u64,
    block: BlockBuilder,
    compressor: Compressor,
    /// Whether any block is stored compressed.
    compressed: bool,
    /// The last key of the block that is being closed; its memory is reused.
    last_key: Vec<u8>,
    index: IndexBuilder,
    /// One per user key, for the filter, if there is to be one.
    hashes: Vec<u64>,
    /// Of the last entry's key.
    last_hash: u64,
    /// Of keys that are being added; the memory is reused.
    added: Vec<u64>,
    /// Of whole blocks, until the end.
    properties: Properties,
    /// Versions that are not the newest of their key.
    superseded: u64,
}

impl SegmentWriter {
    /// Creates the file of segment `number`, which must not exist.
    ///
    /// Nothing has been written by then, so a process that may open no more files has lost nothing.
    pub(crate) fn create(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        number: FileNumber,
        options: SegmentWriterOptions,
    ) -> Result<Self> {
        let path = segment_path(dir, number);
        let uuid = random_uuid(&path)?;
        let (file, pin) = NamedFile::create(fs, path, OpenMode::Read)?;
        // At once: a file that does not say whose it is is left alone by an open.
        let header = SegmentHeader { database: options.database, segment: uuid }.encode();
        if let Err(error) = file.write_all_at(&header, 0) {
            let _ = fs.remove(&file.path);
            return Err(error);
        }
        Ok(Self {
            file,
            _pin: pin,
            number,
            uuid,
            options,
            offset: header.len() as u64,
            closed_bytes: (header.len() + IndexBuilder::default().bytes()) as u64,
            buffer: Vec::new(),
            block: BlockBuilder::default(),
            compressor: Compressor::default(),
            compressed: false,
            last_key: Vec::new(),
            index: IndexBuilder::default(),
            hashes: Vec::new(),
            last_hash: 0,
            added: Vec::new(),
            properties: Properties { created_ms: options.created_ms, ..Properties::counting() },
            superseded: 0,
        })
    }

    /// Adds an entry, which follows the last one in the internal order.
    ///
    /// After an error the segment is of no use: [`Self::abandon`] it.
    #[inline]
    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        assert!(entry.key.len() <= KEY_BYTES_MAX && entry.value.len() <= VALUE_BYTES_MAX);
        let here = entry.position();
        let last = self.block.last();
        debug_assert!(last.is_none_or(|last| last < here), "entries ascend");
        let new_key = !last.is_some_and(|last| last.same_key(&here));
        if new_key {
            self.last_hash = key_hash(entry.keyspace, entry.key);
            if self.options.filter_bits > 0 {
                self.hashes.push(self.last_hash);
            }
        }
        let payload_bytes = self.options.block_bytes.saturating_sub(BLOCK_HEADER_BYTES);
        if !self.block.add(entry, self.last_hash, payload_bytes) {
            self.add_to_next(entry, self.last_hash, payload_bytes)?;
        }
        self.superseded += u64::from(!new_key);
        Ok(())
    }

    /// Adds entries as [`Self::add`] would one by one. `distinct` says that each is known to be of
    /// another user key than the one before it.
    pub(crate) fn add_all(&mut self, entries: &[Entry<'_>], distinct: bool) -> Result<()> {
        let in_bounds =
            |e: &Entry<'_>| e.key.len() <= KEY_BYTES_MAX && e.value.len() <= VALUE_BYTES_MAX;
        assert!(entries.iter().all(in_bounds));
        if !distinct {
            return entries.iter().try_for_each(|entry| self.add(entry));
        }
        let last = self.block.last();
        debug_assert!(entries.first().is_none_or(|e| last.is_none_or(|l| l < e.position())));
        debug_assert!(entries.windows(2).all(|pair| pair[0].position() < pair[1].position()));
        let mut added = std::mem::take(&mut self.added);
        added.clear();
        added.extend(entries.iter().map(|entry| key_hash(entry.keyspace, entry.key)));
        if self.options.filter_bits > 0 {
            self.hashes.extend_from_slice(&added);
        }
        self.last_hash = added.last().copied().unwrap_or(self.last_hash);
        let result = self.add_hashed(entries, &added);
        self.added = added;
        result
    }

    /// Adds entries whose keys have these hashes.
    fn add_hashed(&mut self, entries: &[Entry<'_>], hashes: &[u64]) -> Result<()> {
        let payload_bytes = self.options.block_bytes.saturating_sub(BLOCK_HEADER_BYTES);
        let mut at = 0;
        while at < entries.len() {
            at += self.block.add_some(&entries[at..], &hashes[at..], payload_bytes);
            let (Some(entry), Some(&hash)) = (entries.get(at), hashes.get(at)) else { break };
            if !self.block.add(entry, hash, payload_bytes) {
                self.add_to_next(entry, hash, payload_bytes)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Closes the current block, and begins the next with `entry`.
    #[inline(never)]
    fn add_to_next(&mut self, entry: &Entry<'_>, hash: u64, payload_bytes: usize) -> Result<()> {
        self.close_block(Some(entry))?;
        let added = self.block.add(entry, hash, payload_bytes);
        assert!(added, "an empty block takes any entry");
        Ok(())
    }

    /// Whether the last entry is a version of this one's key.
    #[inline]
    pub(crate) fn ends_with(&self, entry: &Entry<'_>) -> bool {
        self.block.last().is_some_and(|last| last.same_key(&entry.position()))
    }

    /// Moves the current data block, which is not empty, into the buffer, and indexes it: `next` is
    /// the entry after it.
    fn close_block(&mut self, next: Option<&Entry<'_>>) -> Result<()> {
        let last = self.block.last().expect("only a block with entries is closed");
        let keyspace = last.keyspace;
        self.last_key.clear();
        self.last_key.extend_from_slice(last.key);
        if self.properties.data_blocks == 0 {
            self.properties.first = (keyspace, self.block.first_key().to_vec());
        }
        self.block.count(&mut self.properties);
        let at = self.begin_block();
        self.block.finish(&mut self.buffer);
        let handle = self.finish_block(at, BlockType::Data)?;
        self.properties.stored_bytes += u64::from(handle.len);
        self.properties.data_blocks += 1;
        let next = next.map(|next| (next.keyspace, next.key));
        if !self.index.push_before(handle, (keyspace, &self.last_key), next) {
            return Err(self.too_large("index"));
        }
        self.closed_bytes = self.offset + (self.buffer.len() + self.index.bytes()) as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Bytes of the file so far, with what is gathered in memory; the filter is not in it yet.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.closed_bytes + self.block.bytes() as u64
    }

    /// Whether [`Self::written_bytes`] has come to `bytes`.
    #[inline]
    pub(crate) fn has_written(&self, bytes: u64) -> bool {
        let most = self.closed_bytes + self.block.bytes_max() as u64;
        most >= bytes && self.written_bytes() >= bytes
    }

    /// Whether [`Self::written_bytes`] might come to `bytes` with that many more entries, which
    /// have that many bytes of keys and values.
    pub(crate) fn may_come_to(&self, bytes: u64, entries: usize, entry_bytes: u64) -> bool {
        // If each ended a block, with its key in the index too, behind the last key so far.
        let last = self.block.last().map_or(0, |last| last.key.len() as u64);
        let most = last + entries as u64 * BLOCK_BYTES_MORE + 2 * entry_bytes;
        self.closed_bytes + self.block.bytes_max() as u64 + most >= bytes
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
        let last = self.block.last().expect("it is not empty");
        self.properties.last = (last.keyspace, last.key.to_vec());
        self.close_block(None)?;
        self.properties.superseded = Some(self.superseded);

        let filter = if self.hashes.is_empty() { None } else { Some(self.put_filter()?) };
        let at = self.begin_block();
        self.index.encode(&mut self.buffer);
        let index = self.finish_block(at, BlockType::Index)?;
        let at = self.begin_block();
        self.properties.encode(&mut self.buffer);
        let properties = self.finish_block(at, BlockType::Properties)?;
        let bytes = self.offset + (self.buffer.len() + FOOTER_BYTES) as u64;
        let footer = Footer {
            read_only_compatible: 0,
            lz4_blocks: self.compressed,
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
        let created_ms = self.properties.created_ms;
        let Self { file, number, uuid, .. } = self;
        Ok(FinishedSegment { file, number, uuid, bytes, entries, created_ms })
    }

    /// The number in its file's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Gives the segment up and removes its file. An open removes what could not be removed here.
    pub(crate) fn abandon(self, fs: &dyn Fs) {
        // Emptied first: another holder of the file must not keep its space.
        let _ = self.file.set_len(0);
        let _ = fs.remove(&self.file.path);
    }

    fn put_filter(&mut self) -> Result<BlockHandle> {
        let filter = Filter::new(self.hashes.len(), self.options.filter_bits);
        self.hashes.iter().for_each(|&hash| filter.insert(hash));
        let at = self.begin_block();
        filter.encode(&mut self.buffer);
        self.finish_block(at, BlockType::Filter)
    }

    /// Leaves the gap of a block header at the end of the buffer, and returns where.
    fn begin_block(&mut self) -> usize {
        let at = self.buffer.len();
        self.buffer.resize(at + BLOCK_HEADER_BYTES, 0);
        at
    }

    /// Finishes the block that began at `at` of the buffer and runs to its end.
    fn finish_block(&mut self, at: usize, kind: BlockType) -> Result<BlockHandle> {
        let offset = self.offset + at as u64;
        let len = u32::try_from(self.buffer.len() - at)
            .ok()
            .filter(|&len| len <= BLOCK_PAYLOAD_BYTES_MAX)
            .ok_or_else(|| self.too_large("block"))?;
        let raw_bytes = len - BLOCK_HEADER_BYTES as u32;
        let codec = if kind == BlockType::Data { self.compress(at) } else { Codec::None };
        let len = (self.buffer.len() - at) as u32;
        let frame = Frame { kind, codec, raw_bytes };
        finish_block(&mut self.buffer[at..], frame, self.uuid, offset);
        Ok(BlockHandle { offset, len })
    }

    /// Compresses the payload of the block that began at `at` of the buffer where that pays.
    fn compress(&mut self, at: usize) -> Codec {
        let payload_at = at + BLOCK_HEADER_BYTES;
        if self.options.codec == Codec::Lz4
            && let Some(stored) = self.compressor.compress(&self.buffer[payload_at..])
        {
            self.buffer.truncate(payload_at);
            self.buffer.extend_from_slice(stored);
            self.compressed = true;
            return Codec::Lz4;
        }
        Codec::None
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
