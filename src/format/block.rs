//! The frame around every block of a segment: type, lengths, and checksums that hold at one place
//! only.
//!
//! Says nothing about what a block holds: see `data_block`, `filter`, `index` and `properties`.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 1 | type: 9 data, 1 data in columns, which nothing writes any more, 2 filter, 3 index, 4 properties; reserved: 5 range tombstones, 6 dictionary, 7 filter partition, 8 index partition |
//! | 1 | 1 | compression: 0 none, 1 LZ4 (data blocks only); reserved: 2 zstd |
//! | 2 | 2 | zero |
//! | 4 | 4 | stored length: bytes of the payload as it follows |
//! | 8 | 4 | raw length: bytes of the payload uncompressed |
//! | 12 | 4 | header check: the low 32 bits of XXH3-64 of bytes 0..12, seed *place* |
//! | 16 | 8 | checksum: XXH3-64 of the payload, seed XXH3-64 of bytes 0..16 with seed *place* |
//! | 24 | stored length | payload |
//!
//! *place* is XXH3-64 of the segment's uuid, with the block's file offset as seed: a sound block in
//! the wrong file, or at the wrong offset, fails both checks. The header check lets a scan of a
//! damaged file find the next block without the index. The header enters the checksum through the
//! seed, so that header and payload need not be joined (or hashed piecewise, which costs more than
//! the hash of a small block).
//!
//! Both lengths are the same without compression. With LZ4 ([`super::lz4`]) the stored one is at
//! least an eighth shorter, and the raw one at most 64 MiB and 255 times it: a block that says
//! something else is damaged, and nothing is allocated for it. The checksum covers what is stored
//! and holds before anything is decompressed. A segment with a compressed block says so in its
//! footer.

use super::Malformed;
use super::coding::Decoder;
use super::hash::checksum_seeded;
use super::lz4;
use crate::ids::Uuid;
use crate::options::Codec;

/// Length of a block's header.
pub(crate) const BLOCK_HEADER_BYTES: usize = 24;

/// Largest payload: one entry with the longest key and value, and room for its neighbours.
pub(crate) const BLOCK_PAYLOAD_BYTES_MAX: u32 = 0xf000_0000;

const WHAT: &str = "block header";

/// Where a block lies in its file, header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    /// Bytes of header and payload.
    pub(crate) len: u32,
}

impl BlockHandle {
    /// The offset of the byte after the block, if there is such an offset.
    pub(crate) fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.len))
    }

    /// Whether the block can lie between two offsets of a file.
    pub(crate) fn lies_within(&self, from: u64, to: u64) -> bool {
        self.len as usize >= BLOCK_HEADER_BYTES
            && self.offset >= from
            && self.end().is_some_and(|end| end <= to)
    }
}

/// What a block holds. The numbers are on disk: frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockType {
    Columns = 1,
    Filter = 2,
    Index = 3,
    Properties = 4,
    Data = 9,
}

impl BlockType {
    /// The type with this number on disk, if this version knows it.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Columns),
            2 => Some(Self::Filter),
            3 => Some(Self::Index),
            4 => Some(Self::Properties),
            9 => Some(Self::Data),
            _ => None,
        }
    }

    /// Whether it holds data, in whatever layout.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Data | Self::Columns)
    }
}

/// What a header says of its payload, its place apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: BlockType,
    pub(crate) codec: Codec,
    /// Bytes of the payload uncompressed.
    pub(crate) raw_bytes: u32,
}

/// Fills in the header of `block`, which is a gap of [`BLOCK_HEADER_BYTES`] and then the payload
/// as it is stored.
///
/// # Panics
///
/// If the payload is longer than [`BLOCK_PAYLOAD_BYTES_MAX`], or of another length than the frame
/// can have: writers check what they are given.
pub(crate) fn finish_block(block: &mut [u8], frame: Frame, segment: Uuid, offset: u64) {
    let (header, payload) = block.split_at_mut(BLOCK_HEADER_BYTES);
    assert!(payload.len() <= BLOCK_PAYLOAD_BYTES_MAX as usize);
    let stored = payload.len() as u32;
    assert!(lengths_agree(frame.codec, stored, frame.raw_bytes));
    let place = place(segment, offset);
    header[..4].copy_from_slice(&[frame.kind as u8, codec_byte(frame.codec), 0, 0]);
    header[4..8].copy_from_slice(&stored.to_le_bytes());
    header[8..12].copy_from_slice(&frame.raw_bytes.to_le_bytes());
    let check = checksum_seeded(&header[..12], place) as u32;
    header[12..16].copy_from_slice(&check.to_le_bytes());
    let sum = checksum_seeded(payload, checksum_seeded(&header[..16], place));
    header[16..].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the header of a block at `offset` on its own, for a scan without the index: the type as it
/// is on disk, and the block's place.
pub(crate) fn open_header(
    header: &[u8; BLOCK_HEADER_BYTES],
    segment: Uuid,
    offset: u64,
) -> Result<(u8, BlockHandle), Malformed> {
    let mut fields = Decoder::new(header, WHAT);
    let head = fields.array::<4>()?;
    let stored = fields.u32()?;
    let _raw = fields.u32()?;
    let check = fields.u32()?;
    let want = checksum_seeded(&header[..12], place(segment, offset)) as u32;
    if check != want {
        return Err(Malformed::new(12, WHAT, format!("check {want:08x}"), format!("{check:08x}")));
    }
    let len = stored.checked_add(BLOCK_HEADER_BYTES as u32).filter(|_| {
        // What a writer never makes is damage, whatever its checksum.
        stored <= BLOCK_PAYLOAD_BYTES_MAX
    });
    let len = len.ok_or_else(|| {
        let want = format!("a payload of at most {BLOCK_PAYLOAD_BYTES_MAX} bytes");
        Malformed::new(4, WHAT, want, stored.to_string())
    })?;
    Ok((head[0], BlockHandle { offset, len }))
}

/// The payload of a checked block, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) stored: &'a [u8],
    pub(crate) kind: BlockType,
    codec: Codec,
    raw_bytes: u32,
}

impl Payload<'_> {
    /// The raw payload; `None` if it is stored as it is.
    pub(crate) fn decompressed(&self) -> Option<Result<Vec<u8>, Malformed>> {
        match self.codec {
            Codec::None => None,
            Codec::Lz4 => Some(lz4::decompress(self.stored, self.raw_bytes)),
        }
    }
}

/// Checks a whole block that was read at `offset`, and returns its payload. Only a data block's
/// may be compressed. A data block may be of either layout.
pub(crate) fn open_block(
    block: &[u8],
    kind: BlockType,
    segment: Uuid,
    offset: u64,
) -> Result<Payload<'_>, Malformed> {
    let mut decoder = Decoder::new(block, WHAT);
    let header = decoder.array::<BLOCK_HEADER_BYTES>()?;
    let payload = decoder.take(decoder.remaining())?;
    let place = place(segment, offset);
    let mut fields = Decoder::new(&header, WHAT);
    let head = fields.array::<4>()?;
    let stored = fields.u32()?;
    let raw = fields.u32()?;
    let check = fields.u32()?;
    let sum = fields.u64()?;

    let want = checksum_seeded(&header[..12], place) as u32;
    if check != want {
        return Err(Malformed::new(12, WHAT, format!("check {want:08x}"), format!("{check:08x}")));
    }
    if stored as usize != payload.len() {
        let want = format!("a payload of {} bytes", payload.len());
        return Err(Malformed::new(4, WHAT, want, stored.to_string()));
    }
    let want = checksum_seeded(payload, checksum_seeded(&header[..16], place));
    if sum != want {
        let want = format!("checksum {want:016x}");
        let got = format!("{sum:016x}");
        return Err(Malformed::new(16, "block", want, got));
    }

    // From here on the bytes are as they were written; what is not understood is newer.
    let found = BlockType::from_byte(head[0]);
    let (found, codec) = match (found, head[1]) {
        (Some(found), 0) => (found, Codec::None),
        (Some(found), 1) if found.is_data() => (found, Codec::Lz4),
        (_, byte) => {
            let got = format!("type {}, compression {byte}", head[0]);
            let want = "type 1 to 4 or 9, compression 0, or 1 with type 1 or 9";
            return Err(Malformed::new(0, WHAT, want, got).newer());
        }
    };
    if found != kind && !(found.is_data() && kind.is_data()) {
        let want = format!("type {}", kind as u8);
        return Err(Malformed::new(0, WHAT, want, head[0].to_string()));
    }
    if head[2..] != [0, 0] || !lengths_agree(codec, stored, raw) {
        let want = format!("zeros, a raw length that {codec:?} stores in {stored} bytes");
        return Err(Malformed::new(2, WHAT, want, format!("{:?}, {raw}", &head[2..])));
    }
    Ok(Payload { stored: payload, kind: found, codec, raw_bytes: raw })
}

/// The number on disk: frozen.
fn codec_byte(codec: Codec) -> u8 {
    match codec {
        Codec::None => 0,
        Codec::Lz4 => 1,
    }
}

/// Whether a payload of `raw` bytes can be stored in `stored` bytes.
fn lengths_agree(codec: Codec, stored: u32, raw: u32) -> bool {
    match codec {
        Codec::None => stored == raw,
        Codec::Lz4 => lz4::lengths_agree(stored, raw),
    }
}

fn place(segment: Uuid, offset: u64) -> u64 {
    checksum_seeded(&segment.0, offset)
}

#[cfg(test)]
mod tests;
