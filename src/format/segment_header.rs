//! The first 64 bytes of a segment file: what it is, and whose.
//!
//! Pure bytes; the writer in `segment/` encodes it once, the reader decodes it at every open.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic `ALLUVSEG` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database uuid |
//! | 32 | 16 | segment uuid |
//! | 48 | 8 | zero |
//! | 56 | 8 | XXH3-64 of bytes 0..56 |
//!
//! Magic, version and checksum keep their places in every later version, so that a newer file is
//! told from a damaged one.

use super::Malformed;
use super::coding::Decoder;
use super::hash::checksum;
use crate::ids::Uuid;

/// Length of the header, and the offset of the first block.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

/// The segment format that this version writes and reads.
pub(crate) const SEGMENT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"ALLUVSEG";
const CHECKSUM_AT: usize = SEGMENT_HEADER_BYTES - 8;
const WHAT: &str = "segment header";

/// The database that a segment file belongs to, and its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) database: Uuid,
    pub(crate) segment: Uuid,
}

impl SegmentHeader {
    /// Whether a file with these first bytes belongs to the database, sound or not.
    pub(crate) fn is_of(bytes: &[u8], database: Uuid) -> bool {
        super::begins_like(bytes, &MAGIC, 16, database)
    }

    /// Whether a file with these first bytes is a segment, of whatever database.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database.0);
        bytes[32..48].copy_from_slice(&self.segment.0);
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header; a sound one of another version is newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, WHAT);
        let whole = decoder.array::<SEGMENT_HEADER_BYTES>()?;
        decoder.finish()?;
        let mut decoder = Decoder::new(&whole, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let want = MAGIC.escape_ascii();
            let got = magic.escape_ascii();
            return Err(Malformed::new(0, WHAT, want.to_string(), got.to_string()));
        }
        let want = checksum(&whole[..CHECKSUM_AT]);
        let got = last_word(&whole);
        if want != got {
            let want = format!("checksum {want:016x}");
            let got = format!("{got:016x}");
            return Err(Malformed::new(CHECKSUM_AT, WHAT, want, got));
        }
        let version = decoder.u32()?;
        if version != SEGMENT_VERSION {
            let want = format!("version {SEGMENT_VERSION}");
            return Err(Malformed::new(8, WHAT, want, version.to_string()).newer());
        }
        let zeros = decoder.u32()?;
        let header = Self { database: Uuid(decoder.array()?), segment: Uuid(decoder.array()?) };
        if u64::from(zeros) | decoder.u64()? != 0 {
            return Err(Malformed::new(12, WHAT, "zeros at 12..16 and 48..56", "other bytes"));
        }
        Ok(header)
    }
}

fn last_word(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> u64 {
    bytes.last_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader { database: Uuid([1; 16]), segment: Uuid([2; 16]) };

    #[test]
    fn golden_bytes() {
        let bytes = HEADER.encode();
        assert_eq!(&bytes[..16], b"ALLUVSEG\x01\0\0\0\0\0\0\0");
        assert_eq!(&bytes[16..48], [[1; 16], [2; 16]].concat());
        assert_eq!(&bytes[48..56], [0; 8]);
        assert_eq!(u64::from_le_bytes(bytes[56..].try_into().unwrap()), 0x54c4_61b1_78f7_c6a0);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
    }

    #[test]
    fn any_other_byte_or_length_is_malformed() {
        let bytes = HEADER.encode();
        for len in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            let error = SegmentHeader::decode(&damaged).unwrap_err();
            assert!(!error.newer, "byte {at}: damage is no newer version");
        }
    }

    #[test]
    fn a_sound_header_of_another_version_is_newer_and_its_zeros_are_checked() {
        let finished = |at: usize, byte: u8| {
            let mut bytes = HEADER.encode();
            bytes[at] = byte;
            let sum = checksum(&bytes[..CHECKSUM_AT]);
            bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
            SegmentHeader::decode(&bytes).unwrap_err()
        };
        assert!(finished(8, 2).newer);
        assert!(!finished(13, 2).newer);
        assert!(!finished(50, 2).newer);
    }
}
