//! The last 256 bytes of a segment file: where its other parts are, and who may read them.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic `ALLUVEND` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 1 | hash id of filters and fingerprints, 1 |
//! | 13 | 3 | zero |
//! | 16 | 8 | compatible features: unknown bits change nothing |
//! | 24 | 8 | read-only compatible features: unknown bits forbid rewriting the segment |
//! | 32 | 8 | incompatible features: unknown bits forbid reading it; bit 0: data blocks in LZ4, bit 1: in rows |
//! | 40 | 16 | segment uuid |
//! | 56 | 8 | length of the file |
//! | 64 | 8 × 1 | block types of the handles, 0 for none; from 128 on a reader skips what it does not know |
//! | 72 | 8 × 16 | handles: file offset (8), length with block header (8); zero where the type is 0 |
//! | 200 | 48 | zero |
//! | 248 | 8 | XXH3-64 of bytes 0..248 |
//!
//! Index and properties are always there; the filter is left out at 0 bits a key.
//!
//! Bit 0 of the incompatible features is set if, and only if, a data block is compressed. Each
//! such block says so itself, but a reader without LZ4 is to learn it when it opens the segment,
//! not from one read in a thousand. Bit 1 says the same of data blocks in rows
//! ([`super::data_block`]), which this version writes always.

use super::Malformed;
use super::block::{BlockHandle, BlockType};
use super::coding::Decoder;
use super::hash::checksum;
use super::segment_header::SEGMENT_VERSION;
use crate::ids::Uuid;

/// Length of the footer.
pub(crate) const FOOTER_BYTES: usize = 256;

const MAGIC: [u8; 8] = *b"ALLUVEND";
const WHAT: &str = "segment footer";
const HASH_ID: u8 = 1;
const FEATURE_LZ4_BLOCKS: u64 = 1;
const FEATURE_ROWS: u64 = 2;
const TYPES_AT: usize = 64;
const HANDLES_AT: usize = 72;
const HANDLES_MAX: usize = 8;
const CHECKSUM_AT: usize = FOOTER_BYTES - 8;
/// Block types from here on may be skipped by a reader that does not know them.
const SKIPPABLE_FROM: u8 = 128;

/// What the end of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Unknown bits: it may be read, not rewritten by a merge.
    pub(crate) read_only_compatible: u64,
    /// Whether any data block is compressed.
    pub(crate) lz4_blocks: bool,
    pub(crate) segment: Uuid,
    pub(crate) file_bytes: u64,
    pub(crate) filter: Option<BlockHandle>,
    pub(crate) index: BlockHandle,
    pub(crate) properties: BlockHandle,
}

impl Footer {
    /// The footer's bytes.
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes[12] = HASH_ID;
        bytes[24..32].copy_from_slice(&self.read_only_compatible.to_le_bytes());
        let lz4 = if self.lz4_blocks { FEATURE_LZ4_BLOCKS } else { 0 };
        let incompatible = lz4 | FEATURE_ROWS;
        bytes[32..40].copy_from_slice(&incompatible.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.segment.0);
        bytes[56..64].copy_from_slice(&self.file_bytes.to_le_bytes());
        let parts = [
            (BlockType::Filter, self.filter),
            (BlockType::Index, Some(self.index)),
            (BlockType::Properties, Some(self.properties)),
        ];
        let present = parts.into_iter().filter_map(|(kind, handle)| Some((kind, handle?)));
        for (i, (kind, handle)) in present.enumerate() {
            bytes[TYPES_AT + i] = kind as u8;
            let at = HANDLES_AT + 16 * i;
            bytes[at..at + 8].copy_from_slice(&handle.offset.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&u64::from(handle.len).to_le_bytes());
        }
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a footer. Its handles are not checked against the file yet.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, WHAT);
        let whole = decoder.array::<FOOTER_BYTES>()?;
        decoder.finish()?;
        let mut decoder = Decoder::new(&whole, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let want = MAGIC.escape_ascii();
            let got = magic.escape_ascii();
            return Err(Malformed::new(0, WHAT, want.to_string(), got.to_string()));
        }
        let want = checksum(&whole[..CHECKSUM_AT]);
        let got = Decoder::new(&whole[CHECKSUM_AT..], WHAT).u64()?;
        if want != got {
            let want = format!("checksum {want:016x}");
            let got = format!("{got:016x}");
            return Err(Malformed::new(CHECKSUM_AT, WHAT, want, got));
        }
        let version = decoder.u32()?;
        let hash = decoder.u8()?;
        let zeros = decoder.array::<3>()?;
        let _compatible = decoder.u64()?;
        let read_only_compatible = decoder.u64()?;
        let incompatible = decoder.u64()?;
        let unknown = incompatible & !(FEATURE_LZ4_BLOCKS | FEATURE_ROWS);
        if version != SEGMENT_VERSION || hash != HASH_ID || unknown != 0 {
            let want = format!("version {SEGMENT_VERSION}, hash {HASH_ID}, features within 0x3");
            let got = format!("version {version}, hash {hash}, features {incompatible:#x}");
            return Err(Malformed::new(8, WHAT, want, got).newer());
        }
        let segment = Uuid(decoder.array()?);
        let file_bytes = decoder.u64()?;
        let [filter, index, properties] = decode_handles(&mut decoder)?;
        let rest = decoder.take(CHECKSUM_AT - decoder.at())?;
        if zeros != [0; 3] || rest.iter().any(|&byte| byte != 0) {
            return Err(Malformed::new(13, WHAT, "zeros at 13..16 and 200..248", "other bytes"));
        }
        let missing =
            |what: &str| Malformed::new(TYPES_AT, WHAT, format!("a handle of {what}"), "none");
        let index = index.ok_or_else(|| missing("the index"))?;
        let properties = properties.ok_or_else(|| missing("the properties"))?;
        let lz4_blocks = incompatible & FEATURE_LZ4_BLOCKS != 0;
        Ok(Self {
            read_only_compatible,
            lz4_blocks,
            segment,
            file_bytes,
            filter,
            index,
            properties,
        })
    }
}

/// The handles of filter, index and properties.
fn decode_handles(decoder: &mut Decoder<'_>) -> Result<[Option<BlockHandle>; 3], Malformed> {
    let types = decoder.array::<HANDLES_MAX>()?;
    let mut handles = [None; 3];
    for kind in types {
        let at = decoder.at();
        let offset = decoder.u64()?;
        let len = decoder.u64()?;
        let slot = match BlockType::from_byte(kind) {
            Some(BlockType::Filter) => 0,
            Some(BlockType::Index) => 1,
            Some(BlockType::Properties) => 2,
            Some(BlockType::Data | BlockType::Columns) => {
                return Err(Malformed::new(at, WHAT, "no handle of a data block", "one"));
            }
            None if kind == 0 && offset == 0 && len == 0 => continue,
            None if kind == 0 => {
                return Err(Malformed::new(at, WHAT, "zeros for no handle", "other bytes"));
            }
            None if kind >= SKIPPABLE_FROM => continue,
            None => {
                return Err(
                    Malformed::new(at, WHAT, "block types 2 to 4", kind.to_string()).newer()
                );
            }
        };
        let len = u32::try_from(len)
            .map_err(|_| Malformed::new(at, WHAT, "a length of 32 bits", len.to_string()))?;
        if handles[slot].replace(BlockHandle { offset, len }).is_some() {
            let got = format!("two of type {kind}");
            return Err(Malformed::new(at, WHAT, "one handle of each type", got));
        }
    }
    Ok(handles)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTER: Footer = Footer {
        read_only_compatible: 0,
        lz4_blocks: false,
        segment: Uuid([2; 16]),
        file_bytes: 4096,
        filter: Some(BlockHandle { offset: 1000, len: 96 }),
        index: BlockHandle { offset: 1096, len: 60 },
        properties: BlockHandle { offset: 1156, len: 70 },
    };

    fn rechecked(at: usize, byte: u8) -> Result<Footer, Malformed> {
        let mut bytes = FOOTER.encode();
        bytes[at] = byte;
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        Footer::decode(&bytes)
    }

    #[test]
    fn golden_bytes() {
        let bytes = FOOTER.encode();
        let mut want = [0; FOOTER_BYTES];
        want[..13].copy_from_slice(b"ALLUVEND\x01\0\0\0\x01");
        want[32] = 2;
        want[40..56].copy_from_slice(&[2; 16]);
        want[56..58].copy_from_slice(&[0, 16]);
        want[64..67].copy_from_slice(&[2, 3, 4]);
        want[72..74].copy_from_slice(&[0xe8, 3]);
        want[80] = 96;
        want[88..90].copy_from_slice(&[0x48, 4]);
        want[96] = 60;
        want[104..106].copy_from_slice(&[0x84, 4]);
        want[112] = 70;
        assert_eq!(&bytes[..CHECKSUM_AT], &want[..CHECKSUM_AT]);
        assert_eq!(
            u64::from_le_bytes(bytes[CHECKSUM_AT..].try_into().unwrap()),
            0xaacc_b06b_d7ed_1d52
        );
        assert_eq!(Footer::decode(&bytes), Ok(FOOTER));
        let bare = Footer { filter: None, ..FOOTER };
        assert_eq!(Footer::decode(&bare.encode()), Ok(bare));
        let compressed = Footer { lz4_blocks: true, ..FOOTER };
        assert_eq!(compressed.encode()[32..40], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Footer::decode(&compressed.encode()), Ok(compressed));
        // As they were written before blocks were in rows.
        assert_eq!(rechecked(32, 0), Ok(FOOTER));
        assert_eq!(rechecked(32, 1), Ok(compressed));
    }

    #[test]
    fn any_other_byte_or_length_is_malformed() {
        let bytes = FOOTER.encode();
        for len in 0..bytes.len() {
            assert!(Footer::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            let error = Footer::decode(&damaged).unwrap_err();
            assert!(!error.newer, "byte {at}: damage is no newer version");
        }
    }

    #[test]
    fn features_say_who_may_read() {
        assert_eq!(rechecked(16, 1), Ok(FOOTER));
        assert_eq!(rechecked(24, 1).unwrap().read_only_compatible, 1);
        for at in [8, 12, 33] {
            assert!(rechecked(at, 2).unwrap_err().newer, "byte {at}");
        }
        assert!(rechecked(32, 6).unwrap_err().newer);
        assert!(rechecked(67, 5).unwrap_err().newer, "range tombstones must not be overlooked");
        assert_eq!(rechecked(67, 200), Ok(FOOTER));
    }

    #[test]
    fn sound_bytes_without_sense_are_malformed() {
        for (at, byte) in [(13, 1), (64, 3), (65, 2), (66, 0), (67, 1), (130, 1), (220, 1), (84, 1)]
        {
            assert!(!rechecked(at, byte).unwrap_err().newer, "byte {at}");
        }
    }
}
