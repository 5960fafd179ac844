//! The file `CURRENT` round trips, and damage is refused.

use super::*;

const SAMPLE: Current = Current { uuid: Uuid(*b"0123456789abcdef"), manifest: FileNumber(0x0102) };
const GOLDEN_SUM: u64 = 0x27d2_61bf_3c78_a18e;

#[test]
fn golden_bytes() {
    let mut want = b"ALLUVCUR\x01\0\0\0\0\0\0\x000123456789abcdef\x02\x01\0\0\0\0\0\0".to_vec();
    want.extend_from_slice(&GOLDEN_SUM.to_le_bytes());
    assert_eq!(SAMPLE.encode()[..], want);
    assert_eq!(Current::decode(&want), Ok(SAMPLE));
}

#[test]
fn truncation_extension_and_every_flipped_bit_are_malformed() {
    let bytes = SAMPLE.encode();
    for len in 0..bytes.len() {
        assert!(Current::decode(&bytes[..len]).is_err(), "cut to {len}");
    }
    assert!(Current::decode(&[&bytes[..], &[0]].concat()).is_err());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!Current::decode(&damaged).unwrap_err().newer, "bit {bit}");
    }
}

#[test]
fn a_sound_file_of_a_newer_version_is_told_as_newer() {
    for (at, newer) in [(8, true), (12, false)] {
        let mut bytes = SAMPLE.encode();
        bytes[at] += 1;
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Current::decode(&bytes).unwrap_err().newer, newer, "byte {at}");
    }
}
