//! The frame around every block of a segment: type, lengths, and checksums that hold at one place
//! only.
//!
//! Says nothing about what a block holds: see `data_block`, `filter`, `index` and `properties`.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 1 | type: 1 data, 2 filter, 3 index, 4 properties; reserved: 5 range tombstones, 6 dictionary, 7 filter partition, 8 index partition |
//! | 1 | 1 | compression: 0 none; reserved: 1 lz4, 2 zstd |
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

use super::Malformed;
use super::coding::Reader;
use super::hash::checksum_seeded;
use crate::ids::Uuid;

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
    Data = 1,
    Filter = 2,
    Index = 3,
    Properties = 4,
}

impl BlockType {
    /// The type with this number on disk, if this version knows it.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Filter),
            3 => Some(Self::Index),
            4 => Some(Self::Properties),
            _ => None,
        }
    }
}

/// Fills in the header of `block`, which is a gap of [`BLOCK_HEADER_BYTES`] and then the payload.
///
/// # Panics
///
/// If the payload is longer than [`BLOCK_PAYLOAD_BYTES_MAX`]: writers check what they are given.
pub(crate) fn seal_block(block: &mut [u8], kind: BlockType, segment: Uuid, offset: u64) {
    let (header, payload) = block.split_at_mut(BLOCK_HEADER_BYTES);
    assert!(payload.len() <= BLOCK_PAYLOAD_BYTES_MAX as usize);
    let len = (payload.len() as u32).to_le_bytes();
    let place = place(segment, offset);
    header[..4].copy_from_slice(&[kind as u8, 0, 0, 0]);
    header[4..8].copy_from_slice(&len);
    header[8..12].copy_from_slice(&len);
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
    let mut fields = Reader::new(header, WHAT);
    let (head, stored) = (fields.array::<4>()?, fields.u32()?);
    let (_raw, check) = (fields.u32()?, fields.u32()?);
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

/// Checks a whole block that was read at `offset`, and returns its payload.
pub(crate) fn open_block(
    block: &[u8],
    kind: BlockType,
    segment: Uuid,
    offset: u64,
) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(block, WHAT);
    let header = reader.array::<BLOCK_HEADER_BYTES>()?;
    let payload = reader.take(reader.remaining())?;
    let place = place(segment, offset);
    let mut fields = Reader::new(&header, WHAT);
    let head = fields.array::<4>()?;
    let (stored, raw) = (fields.u32()?, fields.u32()?);
    let (check, sum) = (fields.u32()?, fields.u64()?);

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
        let (want, got) = (format!("checksum {want:016x}"), format!("{sum:016x}"));
        return Err(Malformed::new(16, "block", want, got));
    }

    // From here on the bytes are as they were written; what is not understood is newer.
    if BlockType::from_byte(head[0]).is_none() || head[1] != 0 {
        let got = format!("type {}, compression {}", head[0], head[1]);
        return Err(Malformed::new(0, WHAT, "type 1 to 4, compression 0", got).newer());
    }
    if head[0] != kind as u8 {
        let want = format!("type {}", kind as u8);
        return Err(Malformed::new(0, WHAT, want, head[0].to_string()));
    }
    if head[2..] != [0, 0] || raw != stored {
        let want = format!("zeros, raw length {stored}");
        return Err(Malformed::new(2, WHAT, want, format!("{:?}, {raw}", &head[2..])));
    }
    Ok(payload)
}

fn place(segment: Uuid, offset: u64) -> u64 {
    checksum_seeded(&segment.0, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: Uuid = Uuid([7; 16]);

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK_HEADER_BYTES];
        block.extend_from_slice(payload);
        seal_block(&mut block, BlockType::Filter, SEGMENT, 4096);
        block
    }

    #[test]
    fn golden_bytes() {
        let block = sealed(b"payload");
        assert_eq!(&block[..12], &[2, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(u32::from_le_bytes(block[12..16].try_into().unwrap()), 0xe4c1_27a2);
        assert_eq!(u64::from_le_bytes(block[16..24].try_into().unwrap()), 0xe168_2159_0485_5390);
        assert_eq!(open_block(&block, BlockType::Filter, SEGMENT, 4096), Ok(&b"payload"[..]));
    }

    #[test]
    fn damage_and_displacement_are_malformed() {
        let block = sealed(b"payload");
        for len in 0..block.len() {
            assert!(open_block(&block[..len], BlockType::Filter, SEGMENT, 4096).is_err());
        }
        for at in 0..block.len() {
            let mut damaged = block.clone();
            damaged[at] ^= 1;
            let error = open_block(&damaged, BlockType::Filter, SEGMENT, 4096).unwrap_err();
            assert!(!error.newer, "byte {at}");
        }
        assert!(open_block(&block, BlockType::Index, SEGMENT, 4096).is_err());
        assert!(open_block(&block, BlockType::Filter, Uuid([8; 16]), 4096).is_err());
        assert!(open_block(&block, BlockType::Filter, SEGMENT, 4097).is_err());
    }

    #[test]
    fn a_header_alone_tells_type_and_place_and_no_flipped_byte_passes() {
        let block = sealed(b"payload");
        let header: [u8; BLOCK_HEADER_BYTES] = block[..BLOCK_HEADER_BYTES].try_into().unwrap();
        let handle = BlockHandle { offset: 4096, len: block.len() as u32 };
        assert_eq!(open_header(&header, SEGMENT, 4096), Ok((BlockType::Filter as u8, handle)));
        assert!(open_header(&header, SEGMENT, 4097).is_err());
        for at in 0..16 {
            let mut damaged = header;
            damaged[at] ^= 1;
            assert!(open_header(&damaged, SEGMENT, 4096).is_err(), "byte {at}");
        }
    }

    #[test]
    fn reserved_types_and_compressions_are_newer() {
        for (at, byte) in [(0, 5), (0, 8), (1, 1), (1, 2)] {
            let mut block = sealed(b"payload");
            block[at] = byte;
            let place = place(SEGMENT, 4096);
            let check = checksum_seeded(&block[..12], place) as u32;
            block[12..16].copy_from_slice(&check.to_le_bytes());
            let sum = checksum_seeded(b"payload", checksum_seeded(&block[..16], place));
            block[16..24].copy_from_slice(&sum.to_le_bytes());
            assert!(open_block(&block, BlockType::Filter, SEGMENT, 4096).unwrap_err().newer);
        }
    }

    #[test]
    fn a_handle_outside_the_file_is_seen_without_overflow() {
        let check = |offset, len, want| {
            assert_eq!(BlockHandle { offset, len }.lies_within(64, 1000), want, "{offset} {len}");
        };
        check(64, 936, true);
        check(64, 937, false);
        check(63, 100, false);
        check(64, 23, false);
        check(u64::MAX, u32::MAX, false);
    }
}
