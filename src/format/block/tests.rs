//! Blocks round trip, and damaged ones are refused.

use super::*;

const SEGMENT: Uuid = Uuid([7; 16]);

fn finished(payload: &[u8]) -> Vec<u8> {
    finished_as(BlockType::Filter, Codec::None, payload, payload.len())
}

fn finished_as(kind: BlockType, codec: Codec, payload: &[u8], raw_bytes: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK_HEADER_BYTES];
    block.extend_from_slice(payload);
    finish_block(&mut block, Frame { kind, codec, raw_bytes: raw_bytes as u32 }, SEGMENT, 4096);
    block
}

/// A block after a change, with checks that hold again.
fn rechecked(block: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut block = block.to_vec();
    change(&mut block);
    let place = place(SEGMENT, 4096);
    let check = checksum_seeded(&block[..12], place) as u32;
    block[12..16].copy_from_slice(&check.to_le_bytes());
    let seed = checksum_seeded(&block[..16], place);
    let sum = checksum_seeded(&block[BLOCK_HEADER_BYTES..], seed);
    block[16..24].copy_from_slice(&sum.to_le_bytes());
    block
}

/// 40 bytes in 15: five literals, a match of 30 bytes, five literals.
const RAW: &[u8; 40] = b"abcdeabcdeabcdeabcdeabcdeabcdeabcdevwxyz";
const LZ4: &[u8; 15] = b"\x5fabcde\x05\0\x0b\x50vwxyz";

fn compressed() -> Vec<u8> {
    finished_as(BlockType::Data, Codec::Lz4, LZ4, RAW.len())
}

fn unpacked(block: &[u8]) -> Result<Vec<u8>, Malformed> {
    let payload = open_block(block, BlockType::Data, SEGMENT, 4096)?;
    payload.decompressed().unwrap_or_else(|| Ok(payload.stored.to_vec()))
}

#[test]
fn golden_bytes() {
    let block = finished(b"payload");
    assert_eq!(&block[..12], &[2, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(u32::from_le_bytes(block[12..16].try_into().unwrap()), 0xe4c1_27a2);
    assert_eq!(u64::from_le_bytes(block[16..24].try_into().unwrap()), 0xe168_2159_0485_5390);
    let payload = open_block(&block, BlockType::Filter, SEGMENT, 4096).unwrap();
    assert_eq!((payload.stored, payload.decompressed()), (&b"payload"[..], None));
}

#[test]
fn golden_bytes_compressed() {
    let block = compressed();
    assert_eq!(&block[..12], &[9, 1, 0, 0, 15, 0, 0, 0, 40, 0, 0, 0]);
    assert_eq!(unpacked(&block), Ok(RAW.to_vec()));
    let block = finished_as(BlockType::Columns, Codec::Lz4, LZ4, RAW.len());
    assert_eq!(&block[..12], &[1, 1, 0, 0, 15, 0, 0, 0, 40, 0, 0, 0]);
    assert_eq!(u32::from_le_bytes(block[12..16].try_into().unwrap()), 0xc7a6_5514);
    assert_eq!(u64::from_le_bytes(block[16..24].try_into().unwrap()), 0xe7c7_e390_6881_b011);
    assert_eq!(unpacked(&block), Ok(RAW.to_vec()));
}

/// Every cut and every flipped bit of a compressed block, with the checksum to notice it and,
/// as it would be under a checksum that holds, without.
#[test]
fn a_damaged_compressed_block_is_malformed_or_at_least_harmless() {
    let block = compressed();
    for len in 0..block.len() {
        assert!(unpacked(&block[..len]).is_err(), "{len} bytes");
    }
    for at in 0..block.len() {
        for bit in 0..8 {
            let flip = |block: &mut [u8]| block[at] ^= 1 << bit;
            let mut damaged = block.clone();
            flip(&mut damaged);
            assert!(!unpacked(&damaged).unwrap_err().newer, "byte {at}, bit {bit}");
            match unpacked(&rechecked(&block, flip)) {
                // Stored bytes that say something else: as long as the header says, and the
                // data block inside is checked next. Or the other layout, checked as that.
                Ok(raw) => {
                    let other_layout = at == 0 && block[0] ^ 1 << bit == BlockType::Columns as u8;
                    let header = at < BLOCK_HEADER_BYTES && !(12..24).contains(&at);
                    assert!(!header || other_layout, "byte {at}");
                    assert_eq!(raw.len(), RAW.len());
                }
                Err(_) => assert!(!(12..24).contains(&at)),
            }
        }
    }
}

/// I19. Lengths that no writer makes are refused before anything is allocated for them.
#[test]
fn raw_lengths_that_cannot_be_are_malformed() {
    let check = |stored: usize, raw: u32, want: bool| {
        let block = finished_as(BlockType::Data, Codec::Lz4, &vec![0; stored], 2 * stored);
        let block = rechecked(&block, |block| block[8..12].copy_from_slice(&raw.to_le_bytes()));
        let opened = open_block(&block, BlockType::Data, SEGMENT, 4096);
        assert_eq!(opened.is_ok(), want, "{stored} of {raw}");
        assert!(opened.is_ok() || !opened.unwrap_err().newer);
    };
    check(100, 115, true);
    check(100, 114, true);
    check(100, 113, false);
    check(100, 100, false);
    check(100, 99, false);
    check(100, 0, false);
    check(100, 25_500, true);
    check(100, 25_501, false);
    check(100, u32::MAX, false);
    check(300_000, 64 << 20, true);
    check(300_000, (64 << 20) + 1, false);
    // Without compression both are the same.
    let block = rechecked(&finished(b"payload"), |block| block[8] = 8);
    assert!(open_block(&block, BlockType::Filter, SEGMENT, 4096).is_err());
}

#[test]
fn damage_and_displacement_are_malformed() {
    let block = finished(b"payload");
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
    let block = finished(b"payload");
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
        let block = rechecked(&finished(b"payload"), |block| block[at] = byte);
        assert!(open_block(&block, BlockType::Filter, SEGMENT, 4096).unwrap_err().newer);
    }
    for (at, byte) in [(1, 2), (0, 2)] {
        let block = rechecked(&compressed(), |block| block[at] = byte);
        assert!(unpacked(&block).unwrap_err().newer, "only data is compressed, in LZ4");
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
