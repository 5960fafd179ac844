//! A pass over the data blocks of a segment that uses neither its index nor its other tables:
//! block headers say where blocks end. Derives all tables again.
//!
//! Called at open if the stored tables are damaged, and when they are to be rebuilt. Every block
//! is checked as a read would check it; a damaged one ends the pass with `Corruption`.

use super::parts::{Expect, open_data_block};
use super::tables::Tables;
use crate::error::Result;
use crate::format::block::{BLOCK_HEADER_BYTES, BlockHandle, BlockType, open_header};
use crate::format::data_block::Block;
use crate::format::filter::Filter;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::hash::key_hash;
use crate::format::index::{Index, IndexBuilder};
use crate::format::key::{Entry, Position};
use crate::format::properties::Properties;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::ids::{KeyspaceId, Sequence, Uuid};
use crate::io::NamedFile;

/// Bytes read at a time; a larger block is read whole.
const READ_BYTES: u64 = 256 << 10;

/// Filter bits for a key where the stored filter does not even say its size.
const FILTER_BITS: u8 = 10;

/// Derives the tables of a segment from its data blocks. Returns them with the number of user keys.
///
/// # Errors
///
/// `Corruption` if a block is damaged, or if the blocks are not all that `expect` knows of.
pub(super) fn scan(file: &NamedFile, expect: &Expect, footer: &Footer) -> Result<(Tables, u64)> {
    let filter = footer.filter.map(|handle| {
        let stored = handle.len as usize - BLOCK_HEADER_BYTES;
        let keys = usize::try_from(expect.entries).unwrap_or(usize::MAX);
        Filter::of_stored_bytes(stored).unwrap_or_else(|| Filter::new(keys, FILTER_BITS))
    });
    let mut blocks = Blocks::new(file, expect.uuid, footer);
    let mut entries = Entries::new();
    let mut index = IndexBuilder::default();
    let mut pending: Option<(BlockHandle, KeyspaceId, Vec<u8>)> = None;
    let too_large = |at| file.corruption(at, "index", "less than 4 GiB of separators", "more");
    while let Some((handle, block)) = blocks.next()? {
        let first = [block.prefix(), block.key_suffix(0)].concat();
        if let Some((closed, keyspace, last)) = pending.take() {
            let next = Some((block.keyspace(), first.as_slice()));
            if !index.push_before(closed, (keyspace, &last), next) {
                return Err(too_large(closed.offset));
            }
        }
        let insert = |hash, _: &[u8]| filter.iter().for_each(|filter| filter.insert(hash));
        entries.add(&block, handle, insert).map_err(|entry| {
            let got =
                format!("entry {entry} at or before the one before it, or with another's tag");
            file.corruption(handle.offset, "data block", "keys in order, each with its tag", got)
        })?;
        let last = entries.last_key().to_vec();
        pending = Some((handle, block.keyspace(), last));
    }
    let none = || file.corruption(SEGMENT_HEADER_BYTES as u64, "data blocks", "some", "none");
    let (closed, keyspace, last) = pending.ok_or_else(none)?;
    if !index.push_before(closed, (keyspace, &last), None) {
        return Err(too_large(closed.offset));
    }
    let mut properties = entries.properties();
    properties.created_ms = expect.created_ms;
    if properties.entries() != expect.entries {
        let want = expect.entries.to_string();
        let got = properties.entries().to_string();
        return Err(file.corruption(0, "data blocks", format!("{want} entries"), got));
    }
    let mut payload = Vec::new();
    index.encode(&mut payload);
    let to = footer.file_bytes - FOOTER_BYTES as u64;
    let index = Index::decode(&payload, SEGMENT_HEADER_BYTES as u64, to)
        .map_err(|error| error.in_file(&file.path, 0))?;
    Ok((Tables { index, filter, properties }, entries.keys))
}

/// The data blocks of a file one after another, found by their headers.
struct Blocks<'a> {
    file: &'a NamedFile,
    uuid: Uuid,
    /// Where the next block begins.
    at: u64,
    /// Where the first part that is no data block begins, by the footer.
    to: u64,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    buffer_at: u64,
}

impl<'a> Blocks<'a> {
    fn new(file: &'a NamedFile, uuid: Uuid, footer: &Footer) -> Self {
        let parts = [Some(footer.index), Some(footer.properties), footer.filter];
        let to = parts.iter().flatten().map(|part| part.offset).min().unwrap_or(0);
        let at = SEGMENT_HEADER_BYTES as u64;
        Self { file, uuid, at, to, buffer: Vec::new(), buffer_at: at }
    }

    fn next(&mut self) -> Result<Option<(BlockHandle, Block)>> {
        if self.at >= self.to {
            return Ok(None);
        }
        let header = *self.bytes(BLOCK_HEADER_BYTES as u64)?.first_chunk().expect("just as long");
        let (kind, handle) = open_header(&header, self.uuid, self.at)
            .map_err(|error| error.in_file(&self.file.path, self.at))?;
        if !BlockType::from_byte(kind).is_some_and(BlockType::is_data) {
            return Ok(None);
        }
        let bytes = self.bytes(u64::from(handle.len))?.to_vec();
        let block = open_data_block(self.file, self.uuid, self.at, bytes)?;
        self.at += u64::from(handle.len);
        Ok(Some((handle, block)))
    }

    /// The next `len` bytes of the file, which must lie before `to`.
    fn bytes(&mut self, len: u64) -> Result<&[u8]> {
        let left = self.to - self.at;
        if len > left {
            let want = format!("a block that ends by {}", self.to);
            return Err(self.file.corruption(self.at, "data block", want, format!("{len} bytes")));
        }
        let buffered = self.buffer_at + self.buffer.len() as u64;
        if self.at + len > buffered {
            self.buffer_at = self.at;
            self.buffer.resize(len.max(READ_BYTES.min(left)) as usize, 0);
            self.file.read_exact_at(&mut self.buffer, self.at)?;
        }
        let from = (self.at - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + len as usize])
    }
}

/// Walks over the entries of consecutive blocks: checks their order, and counts them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    counted: Properties,
    /// User keys so far.
    pub(super) keys: u64,
    /// Whether there is a last entry, to be followed.
    started: bool,
    keyspace: KeyspaceId,
    key: Vec<u8>,
    hash: u64,
    sequence: Sequence,
    /// The entry at hand, swapped with `key` when it was looked at.
    next: Vec<u8>,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self { counted: Properties::counting(), ..Self::default() }
    }

    /// Takes the next block in, and hands out each new user key, with its hash. An error is the
    /// number of an entry that does not follow the one before, or whose tag is another key's.
    pub(super) fn add(
        &mut self,
        block: &Block,
        handle: BlockHandle,
        mut new_key: impl FnMut(u64, &[u8]),
    ) -> Result<(), usize> {
        let keyspace = block.keyspace();
        for i in 0..block.len() {
            self.next.clear();
            self.next.extend_from_slice(block.prefix());
            self.next.extend_from_slice(block.key_suffix(i));
            let entry = Entry {
                keyspace,
                key: &self.next,
                sequence: block.sequence(i),
                kind: block.kind(i),
                value: block.value(i),
            };
            let at = entry.position();
            let started = self.started;
            let last =
                Position { keyspace: self.keyspace, key: &self.key, sequence: self.sequence };
            if started && last >= at {
                return Err(i);
            }
            let is_new = !started || !last.same_key(&at);
            if is_new {
                self.keys += 1;
                self.hash = key_hash(keyspace, entry.key);
                new_key(self.hash, entry.key);
            }
            if !block.has_tag(i, self.hash) {
                return Err(i);
            }
            self.counted.count(&entry, is_new);
            self.started = true;
            (self.keyspace, self.sequence) = (keyspace, entry.sequence);
            std::mem::swap(&mut self.key, &mut self.next);
        }
        self.counted.stored_bytes += u64::from(handle.len);
        self.counted.data_blocks += 1;
        Ok(())
    }

    /// Lets any entry follow: after a block that could not be read.
    pub(super) fn forget_order(&mut self) {
        self.started = false;
    }

    /// The key of the last entry.
    pub(super) fn last_key(&self) -> &[u8] {
        &self.key
    }

    /// What was counted, as a segment of just these entries would say it.
    pub(super) fn properties(&self) -> Properties {
        let last = (self.keyspace, self.key.clone());
        Properties { last, ..self.counted.clone() }
    }
}
