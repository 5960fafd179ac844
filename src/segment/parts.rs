//! Reads the parts of a segment file and checks them, each before anything in it is believed.

use std::io;
use std::ops::Range;

use super::FinishedSegment;
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::block::{BLOCK_HEADER_BYTES, BlockHandle, BlockType, open_block};
use crate::format::data_block::{Block, columns};
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::meta::SegmentMeta;
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::ids::Uuid;
use crate::io::NamedFile;
use crate::mapped::Mapped;
use crate::sync::Arc;

/// What the manifest knows of a segment, for its file to agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) database: Uuid,
    pub(crate) uuid: Uuid,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Versions in it.
    pub(crate) entries: u64,
    /// Creation time, milliseconds since 1970.
    pub(crate) created_ms: u64,
}

impl Expect {
    /// What the manifest of `database` says of a segment.
    pub(crate) fn of(database: Uuid, meta: &SegmentMeta) -> Self {
        let SegmentMeta { uuid, bytes, entries, created_ms, .. } = *meta;
        Self { database, uuid, bytes, entries, created_ms }
    }
}

impl FinishedSegment {
    /// What an open of this segment has to find.
    pub(crate) fn expect(&self, database: Uuid) -> Expect {
        let Self { uuid, bytes, entries, created_ms, .. } = *self;
        Expect { database, uuid, bytes, entries, created_ms }
    }
}

/// Checks that a file is the segment that the manifest names.
pub(super) fn check_header(file: &NamedFile, expect: &Expect) -> Result<()> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let header = SegmentHeader::decode(&bytes).map_err(|error| error.in_file(&file.path, 0))?;
    let want = SegmentHeader { database: expect.database, segment: expect.uuid };
    if header != want {
        let show = |header: &SegmentHeader| {
            format!("segment {} of database {}", header.segment, header.database)
        };
        return Err(file.corruption(0, "segment header", show(&want), show(&header)));
    }
    Ok(())
}

/// Reads the footer at `at`, where the file's other parts end, and checks its handles against the
/// file.
pub(super) fn read_footer(file: &NamedFile, expect: &Expect, at: u64) -> Result<Footer> {
    let mut bytes = [0; FOOTER_BYTES];
    file.read_exact_at(&mut bytes, at)?;
    let footer = Footer::decode(&bytes).map_err(|error| error.in_file(&file.path, at))?;
    if footer.segment != expect.uuid || footer.file_bytes != expect.bytes {
        let show = |uuid: Uuid, bytes: u64| format!("segment {uuid} of {bytes} bytes");
        let want = show(expect.uuid, expect.bytes);
        let got = show(footer.segment, footer.file_bytes);
        return Err(file.corruption(at, "segment footer", want, got));
    }
    // Before anything is allocated for them.
    for handle in [Some(footer.index), Some(footer.properties), footer.filter].iter().flatten() {
        if !handle.lies_within(SEGMENT_HEADER_BYTES as u64, at) {
            let want = format!("blocks between {SEGMENT_HEADER_BYTES} and {at}");
            return Err(file.corruption(at, "segment footer", want, format!("{handle:?}")));
        }
    }
    Ok(footer)
}

/// Reads a block that is kept in decoded form, and never compressed.
pub(super) fn read_part<T>(
    file: &NamedFile,
    uuid: Uuid,
    handle: BlockHandle,
    kind: BlockType,
    decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<T> {
    let bytes = read_checked(file, uuid, handle, kind)?;
    decode(&bytes[BLOCK_HEADER_BYTES..])
        .map_err(|error| error.in_file(&file.path, payload_at(handle.offset)))
}

/// Reads a whole block, header and payload, and checks its frame. The handle lies within the file.
fn read_checked(
    file: &NamedFile,
    uuid: Uuid,
    handle: BlockHandle,
    kind: BlockType,
) -> Result<Vec<u8>> {
    let mut bytes = vec![0; handle.len as usize];
    read_block(file, &mut bytes, handle.offset)?;
    open_block(&bytes, kind, uuid, handle.offset)
        .map_err(|error| error.in_file(&file.path, handle.offset))?;
    Ok(bytes)
}

/// Reads the bytes of a whole block, which lies within the file as it was when it was opened.
pub(super) fn read_block(file: &NamedFile, bytes: &mut [u8], offset: u64) -> Result<()> {
    file.read_exact_at(bytes, offset).map_err(|error| {
        let Error::Io { source, .. } = &error else { return error };
        match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                file.corruption(offset, "block", format!("{} bytes", bytes.len()), "fewer")
            }
            // It was there when it was opened first.
            io::ErrorKind::NotFound => {
                file.corruption(offset, "segment file", "the file", "no such file")
            }
            _ => error,
        }
    })
}

/// Makes a data block of the bytes that were read at `offset`, header and payload. A caller that
/// reads data blocks makes them here, so that all of them are checked alike.
pub(super) fn open_data_block(
    file: &NamedFile,
    uuid: Uuid,
    offset: u64,
    bytes: Vec<u8>,
) -> Result<Block> {
    let whole = 0..bytes.len();
    open_part(file, uuid, offset, bytes, whole).map(|(block, _)| block)
}

/// [`open_data_block`] of what lies at `part` of `bytes`. The block takes all of them over; one
/// that was compressed, or in columns, has memory of its own, and they come back beside it.
pub(super) fn open_part(
    file: &NamedFile,
    uuid: Uuid,
    offset: u64,
    bytes: Vec<u8>,
    part: Range<usize>,
) -> Result<(Block, Option<Vec<u8>>)> {
    if let Some(apart) = open_stored(file, uuid, offset, &bytes[part.clone()])? {
        return Ok((apart, Some(bytes)));
    }
    let block = Block::decode(bytes, part.start + BLOCK_HEADER_BYTES..part.end);
    Ok((block.map_err(|error| error.in_file(&file.path, payload_at(offset)))?, None))
}

/// [`open_data_block`] of a block where the file is mapped. It stays there, unless it is compressed
/// or in columns.
pub(super) fn open_mapped(
    file: &NamedFile,
    uuid: Uuid,
    mapped: &Arc<Mapped>,
    handle: BlockHandle,
) -> Result<Block> {
    let BlockHandle { offset, len } = handle;
    let end = handle.end().filter(|&end| end <= mapped.bytes().len() as u64);
    let Some(end) = end.and_then(|end| usize::try_from(end).ok()) else {
        return Err(file.corruption(offset, "block", format!("{len} bytes"), "fewer"));
    };
    let start = end - len as usize;
    if let Some(apart) = open_stored(file, uuid, offset, &mapped.bytes()[start..end])? {
        return Ok(apart);
    }
    let block = Block::decode_mapped(mapped, start + BLOCK_HEADER_BYTES..end);
    block.map_err(|error| error.in_file(&file.path, payload_at(offset)))
}

/// Checks the frame of a data block. A block with memory of its own, if it has to have that: `None`
/// if the bytes are to be decoded where they are.
fn open_stored(file: &NamedFile, uuid: Uuid, offset: u64, stored: &[u8]) -> Result<Option<Block>> {
    let payload = open_block(stored, BlockType::Data, uuid, offset)
        .map_err(|error| error.in_file(&file.path, offset))?;
    let kind = payload.kind;
    let block = match payload.decompressed() {
        None if kind == BlockType::Data => return Ok(None),
        None => columns::decode(payload.stored),
        // A place in what was decompressed is none in the file.
        Some(raw) => raw
            .and_then(|raw| match kind {
                BlockType::Data => {
                    let whole = 0..raw.len();
                    Block::decode(raw, whole)
                }
                _ => columns::decode(&raw),
            })
            .map_err(|e| Malformed { at: 0, ..e }),
    };
    block.map(Some).map_err(|error| error.in_file(&file.path, payload_at(offset)))
}

fn payload_at(offset: u64) -> u64 {
    offset + BLOCK_HEADER_BYTES as u64
}
