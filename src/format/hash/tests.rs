//! Hashes are the ones that are on disk, and spread.

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
        let part = &bytes[at..at + len.min(4_999)];
        let seed = len as u64 * 0x9e37_79b9;
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

#[test]
fn pieces_have_the_checksum_of_the_whole() {
    let bytes: Vec<u8> = (0..2_000_u32).map(|number| number as u8).collect();
    for piece in [1, 7, 64, 256, 1_999, 2_000] {
        for len in [0, 1, 16, 240, 241, 1_024, 2_000] {
            let mut checksum_so_far = Checksum::new();
            bytes[..len].chunks(piece).for_each(|piece| checksum_so_far.add(piece));
            assert_eq!(checksum_so_far.get(), checksum(&bytes[..len]), "{len} by {piece}");
        }
    }
}
