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

use std::hash::Hasher;

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

/// [`checksum`] of bytes that come in pieces.
pub(crate) struct Checksum(twox_hash::XxHash3_64);

impl Checksum {
    /// Of no bytes yet.
    pub(crate) fn new() -> Self {
        Self(twox_hash::XxHash3_64::new())
    }

    /// Takes the next piece in.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// Of all pieces so far, as if they were one.
    pub(crate) fn get(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests;
