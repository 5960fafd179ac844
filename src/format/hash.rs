//! The hash of user keys, for filters and fingerprints. It is part of the segment format, so it is
//! spelled out here and pinned by golden vectors; block and record checksums are XXH3-64 instead.
//!
//! # Specification (hash id 1)
//!
//! All arithmetic is on 64-bit words; `mum(a, b)` is the 128-bit product of `a` and `b`, its low
//! half xor its high half. `K0..K2` are the odd constants below (the fractional bits of the square
//! roots of 2, 3 and 5, made odd). Input: a keyspace id `ks` and `n` key bytes.
//!
//! ```text
//! h = mum(ks ^ K0, n ^ K1)
//! while more than 16 bytes are left: h = mum(h ^ word(p), K0 ^ word(p + 8)); p += 16
//! tail of t bytes (0 <= t <= 16) gives two words:
//!   t >= 8:  a = word(p)                b = word(p + t - 8)
//!   t >= 4:  a = word32(p)              b = word32(p + t - 4)
//!   t >= 1:  a = byte(p) << 16 | byte(p + t / 2) << 8 | byte(p + t - 1)    b = 0
//!   t == 0:  a = b = 0
//! h = mum(h ^ a ^ K1, b ^ K2)
//! result = mum(h ^ K2, h ^ (h >> 32) ^ K0)
//! ```
//!
//! `word` and `word32` are little-endian. Reads at most `n` bytes, has no table and no state.

use crate::ids::KeyspaceId;

const K0: u64 = 0x6a09_e667_f3bc_c909;
const K1: u64 = 0xbb67_ae85_84ca_a73b;
const K2: u64 = 0x3c6e_f372_fe94_f82b;

fn mum(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

fn word32(bytes: &[u8]) -> u64 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[..4]);
    u64::from(u32::from_le_bytes(word))
}

/// The hash of a key in a keyspace: one per lookup serves every filter.
#[inline]
pub(crate) fn key_hash(keyspace: KeyspaceId, key: &[u8]) -> u64 {
    let mut h = mum(u64::from(keyspace.0) ^ K0, key.len() as u64 ^ K1);
    let mut rest = key;
    while rest.len() > 16 {
        h = mum(h ^ word(rest), K0 ^ word(&rest[8..]));
        rest = &rest[16..];
    }
    let (a, b) = match rest.len() {
        8.. => (word(rest), word(&rest[rest.len() - 8..])),
        4..=7 => (word32(rest), word32(&rest[rest.len() - 4..])),
        1..=3 => {
            let middle = u64::from(rest[rest.len() / 2]) << 8;
            (u64::from(rest[0]) << 16 | middle | u64::from(rest[rest.len() - 1]), 0)
        }
        0 => (0, 0),
    };
    h = mum(h ^ a ^ K1, b ^ K2);
    mum(h ^ K2, h ^ (h >> 32) ^ K0)
}

/// The 64-bit checksum of record bodies and of structures that carry no salt: XXH3-64, seed 0.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// A checksum that also depends on where the bytes belong: XXH3-64 with a seed.
pub(crate) fn checksum_seeded(bytes: &[u8], seed: u64) -> u64 {
    twox_hash::XxHash3_64::oneshot_with_seed(seed, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: a change here makes every filter on disk wrong.
    #[test]
    fn golden_vectors() {
        let check = |keyspace, key: &[u8], want: u64| {
            assert_eq!(key_hash(KeyspaceId(keyspace), key), want, "{keyspace} {key:?}");
        };
        check(0, b"", GOLDEN[0]);
        check(0, b"a", GOLDEN[1]);
        check(1, b"a", GOLDEN[2]);
        check(0, b"abc", GOLDEN[3]);
        check(0, b"abcd", GOLDEN[4]);
        check(0, b"12345678", GOLDEN[5]);
        check(0, b"0123456789abcdef", GOLDEN[6]);
        check(7, b"0123456789abcdefg", GOLDEN[7]);
        check(7, &[0xff; 100], GOLDEN[8]);
    }

    const GOLDEN: [u64; 9] = [
        0x6642_a9ea_077f_2c0e,
        0xcd48_deb1_cbb1_a23a,
        0xeeb5_74c1_0c08_133b,
        0xa712_41ba_fd35_e961,
        0x002b_64ee_f375_6845,
        0xa248_1185_bf18_3867,
        0x2e3b_ddf0_219b_40f1,
        0x77a1_13b6_8d24_f71d,
        0xc21e_51e1_9fa6_533a,
    ];

    /// Another implementation of XXH3-64 says the same, at every length at which the function
    /// changes its way, and aligned or not.
    #[test]
    fn checksums_are_those_of_another_implementation() {
        let bytes: Vec<u8> = (0..5_000_u32).map(|i| ((i * 167) >> 3) as u8).collect();
        for len in (0..1_100).chain([4_096, 4_999]) {
            let at = len % 2;
            let (part, seed) = (&bytes[at..at + len.min(4_999)], len as u64 * 0x9e37_79b9);
            assert_eq!(checksum(part), xxhash_rust::xxh3::xxh3_64(part), "{len}");
            let want = xxhash_rust::xxh3::xxh3_64_with_seed(part, seed);
            assert_eq!(checksum_seeded(part, seed), want, "{len}");
        }
    }

    #[test]
    fn every_bit_of_a_key_moves_about_half_of_the_hash() {
        for len in [1_usize, 3, 4, 7, 8, 15, 16, 17, 40] {
            let key: Vec<u8> = (0..len as u8).collect();
            let base = key_hash(KeyspaceId(0), &key);
            let mut moved = 0;
            for bit in 0..len * 8 {
                let mut other = key.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                moved += (key_hash(KeyspaceId(0), &other) ^ base).count_ones();
            }
            let mean = f64::from(moved) / (len * 8) as f64;
            assert!((26.0..38.0).contains(&mean), "{len}-byte keys: {mean} bits moved");
        }
    }
}
