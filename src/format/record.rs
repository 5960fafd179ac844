//! The one framing of records, in logs and in manifests: bytes that prove where they belong.
//!
//! No file and no meaning of bodies: writers finish a buffer they own (in the commit section, so
//! that costs two short hashes and no allocation), replay takes records off a file's bytes.
//!
//! # Bytes of a record
//!
//! Records start at multiples of 8 bytes. All integers are little-endian.
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | hash |
//! | 8 | 4 | check |
//! | 12 | 4 | body length *n*, at most 3 GiB |
//! | 16 | 8 | first sequence; in a manifest the number of the last edit up to here |
//! | 24 | 8 | position known synced when the record was written; in a manifest a file offset |
//! | 32 | 4 | count of operations; in a manifest 1 |
//! | 36 | 1 | kind |
//! | 37 | 3 | zero |
//! | 40 | *n* | body |
//! | 40 + *n* | 0..8 | zeros up to the next multiple of 8 |
//!
//! ```text
//! place = salt ^ offset * 0x9e3779b97f4a7c15 (wrapping)   the file's salt, the record's offset
//! check = low 32 bits of XXH3-64(bytes 12..40, seed = place ^ 0xd1b54a32d192ed03)
//! hash  = XXH3-64(bytes 8..40 || body_hash as 8 bytes, seed = place)
//! body_hash = XXH3-64(body, seed = 0)
//! ```
//!
//! A record is therefore valid only at its own offset of its own file: what a recycled file still
//! holds, or a record copied elsewhere, fails. The body's hash is separate, so that it can be
//! computed before the place is known. The check comes apart from the hash so that a search at
//! every 8 bytes hashes 28 bytes at each, and a body only where a header was found.

use super::hash::{checksum, checksum_seeded};

/// Bytes in front of a body.
pub(crate) const RECORD_HEADER_BYTES: usize = 40;

/// The longest body, in bytes: a batch of two of the longest values, with room to spare.
pub(crate) const BODY_BYTES_MAX: usize = 3 << 30;

const PLACE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const CHECK_SEED: u64 = 0xd1b5_4a32_d192_ed03;

/// What a record's body is. The numbers are on disk: frozen.
///
/// Numbers 4 (prepare) and 5 (commit) are reserved. A version that writes them marks its files with
/// an incompatible feature, so an unknown kind here is damage and not news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// A batch of operations.
    Data = 1,
    /// One change that is not to a key.
    Control = 2,
    /// The log ends here; the next log goes on.
    End = 3,
    /// A manifest edit.
    Edit = 6,
    /// The whole state of a manifest.
    Snapshot = 7,
    /// Nothing but the header, in a manifest: everything before is synced.
    Synced = 8,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Control),
            3 => Some(Self::End),
            6 => Some(Self::Edit),
            7 => Some(Self::Snapshot),
            8 => Some(Self::Synced),
            _ => None,
        }
    }
}

/// What stands in front of a body, without what protects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the body, without padding.
    pub(crate) body_len: u32,
    /// The first operation's sequence, or the last edit's number.
    pub(crate) first: u64,
    /// Everything below was known synced when the record was written.
    pub(crate) synced: u64,
    /// How many sequences the record takes.
    pub(crate) count: u32,
    pub(crate) kind: RecordKind,
}

/// Bytes of a record with a body of `body_len` bytes: header, body and padding.
pub(crate) fn record_bytes(body_len: usize) -> usize {
    (RECORD_HEADER_BYTES + body_len).next_multiple_of(8)
}

/// Fills in the header of `record`, a gap of 40 bytes, the body and zeros up to a multiple of 8.
///
/// `body_hash` is [`checksum`] of the body. Cheap whatever the body's length.
///
/// # Panics
///
/// If `record` is not as long as its header says.
#[inline]
pub(crate) fn finish_record(
    record: &mut [u8],
    salt: u64,
    offset: u64,
    header: &RecordHeader,
    body_hash: u64,
) {
    assert_eq!(record.len(), record_bytes(header.body_len as usize));
    let bytes = record_header(salt, offset, header, body_hash);
    record[..RECORD_HEADER_BYTES].copy_from_slice(&bytes);
}

/// The header of a record whose body, with this hash, is already in its place.
#[inline]
pub(crate) fn record_header(
    salt: u64,
    offset: u64,
    header: &RecordHeader,
    body_hash: u64,
) -> [u8; RECORD_HEADER_BYTES] {
    let mut bytes = [0; RECORD_HEADER_BYTES];
    bytes[12..16].copy_from_slice(&header.body_len.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.first.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.synced.to_le_bytes());
    bytes[32..36].copy_from_slice(&header.count.to_le_bytes());
    bytes[36] = header.kind as u8;
    let place = place(salt, offset);
    let check = check(&bytes, place);
    bytes[8..12].copy_from_slice(&check.to_le_bytes());
    let hash = hash(&bytes, body_hash, place);
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes
}

/// The header at `offset`, if these bytes are one: its check fits, its kind is known, what is
/// reserved is zero. Says nothing about the body. Cheap enough for every 8 bytes of a file.
#[inline]
pub(crate) fn decode_header(
    bytes: &[u8; RECORD_HEADER_BYTES],
    salt: u64,
    offset: u64,
) -> Option<RecordHeader> {
    let header = parse_header(bytes)?;
    (u32_at(bytes, 8) == check(bytes, place(salt, offset))).then_some(header)
}

/// What a header says, if it says anything; its check is not looked at. For bytes that have passed
/// [`decode_header`] before.
#[inline]
pub(crate) fn parse_header(bytes: &[u8; RECORD_HEADER_BYTES]) -> Option<RecordHeader> {
    let kind = RecordKind::from_byte(bytes[36])?;
    let body_len = u32_at(bytes, 12);
    if bytes[37..40] != [0; 3] || body_len as usize > BODY_BYTES_MAX {
        return None;
    }
    let first = u64_at(bytes, 16);
    let synced = u64_at(bytes, 24);
    Some(RecordHeader { body_len, first, synced, count: u32_at(bytes, 32), kind })
}

/// Whether `body` is the body that the record at `offset` was finished with. The header has passed
/// [`decode_header`], and `body` is as long as it says.
pub(crate) fn verify_body(
    header_bytes: &[u8; RECORD_HEADER_BYTES],
    body: &[u8],
    salt: u64,
    offset: u64,
) -> bool {
    u64_at(header_bytes, 0) == hash(header_bytes, checksum(body), place(salt, offset))
}

/// The record at `offset` of a file's bytes: header, body, and the offset behind its padding.
///
/// `None` if there is no valid, complete record. Hashes the body only if the header is right.
pub(crate) fn read_record(
    file_bytes: &[u8],
    offset: usize,
    salt: u64,
) -> Option<(RecordHeader, &[u8], usize)> {
    let rest = file_bytes.get(offset..)?;
    let header_bytes = rest.first_chunk::<RECORD_HEADER_BYTES>()?;
    if !offset.is_multiple_of(8) {
        return None;
    }
    let header = decode_header(header_bytes, salt, offset as u64)?;
    let len = header.body_len as usize;
    let record = rest.get(..record_bytes(len))?;
    let (body, padding) = record[RECORD_HEADER_BYTES..].split_at(len);
    let sound = padding.iter().all(|&byte| byte == 0)
        && verify_body(header_bytes, body, salt, offset as u64);
    sound.then(|| (header, body, offset + record.len()))
}

#[inline]
fn place(salt: u64, offset: u64) -> u64 {
    salt ^ offset.wrapping_mul(PLACE_FACTOR)
}

#[inline]
fn check(header: &[u8; RECORD_HEADER_BYTES], place: u64) -> u32 {
    checksum_seeded(&header[12..], place ^ CHECK_SEED) as u32
}

#[inline]
fn hash(header: &[u8; RECORD_HEADER_BYTES], body_hash: u64, place: u64) -> u64 {
    let mut input = [0; RECORD_HEADER_BYTES];
    input[..32].copy_from_slice(&header[8..]);
    input[32..].copy_from_slice(&body_hash.to_le_bytes());
    checksum_seeded(&input, place)
}

#[inline]
fn u32_at(bytes: &[u8; RECORD_HEADER_BYTES], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[inline]
fn u64_at(bytes: &[u8; RECORD_HEADER_BYTES], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;

    fn header(body: &[u8]) -> RecordHeader {
        let body_len = body.len() as u32;
        RecordHeader { body_len, first: 77, synced: 4096, count: 3, kind: RecordKind::Data }
    }

    /// A file with one record at `offset`.
    fn file(offset: usize, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; offset + record_bytes(body.len())];
        bytes[offset + RECORD_HEADER_BYTES..][..body.len()].copy_from_slice(body);
        finish_record(&mut bytes[offset..], SALT, offset as u64, &header(body), checksum(body));
        bytes
    }

    #[test]
    fn golden_bytes() {
        let mut want = Vec::new();
        want.extend_from_slice(&GOLDEN_HASH.to_le_bytes());
        want.extend_from_slice(&GOLDEN_CHECK.to_le_bytes());
        want.extend_from_slice(&[5, 0, 0, 0]);
        want.extend_from_slice(&[77, 0, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&[0, 16, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&[3, 0, 0, 0, 1, 0, 0, 0]);
        want.extend_from_slice(b"hello\0\0\0");
        assert_eq!(file(128, b"hello")[128..], want);
    }

    const GOLDEN_HASH: u64 = 0x7dee_2f80_7392_1cc9;
    const GOLDEN_CHECK: u32 = 0xf344_1798;

    #[test]
    fn records_read_back_for_every_padding() {
        for len in 0..20 {
            let body: Vec<u8> = (1..=len).collect();
            let bytes = file(64, &body);
            assert_eq!(bytes.len() % 8, 0);
            let (got, got_body, next) = read_record(&bytes, 64, SALT).unwrap();
            assert_eq!((got, got_body, next), (header(&body), &body[..], bytes.len()));
        }
    }

    #[test]
    fn truncation_and_every_flipped_bit_are_found() {
        let bytes = file(8, b"some body of 21 bytes");
        for len in 0..bytes.len() {
            assert_eq!(read_record(&bytes[..len], 8, SALT), None, "cut to {len}");
        }
        for at in 8..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(read_record(&damaged, 8, SALT), None, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_is_valid_at_its_own_place_only() {
        let bytes = file(64, b"body");
        assert!(read_record(&bytes, 64, SALT).is_some());
        assert_eq!(read_record(&bytes, 64, SALT + 1), None);
        assert_eq!(read_record(&bytes[8..], 56, SALT), None);
        assert_eq!(read_record(&bytes, usize::MAX, SALT), None);
        let odd = [&[0; 3], &bytes[..]].concat();
        assert_eq!(read_record(&odd, 67, SALT), None);
    }

    #[test]
    fn zeros_and_unknown_kinds_are_no_records() {
        assert_eq!(read_record(&[0; 4096], 0, SALT), None);
        for kind in [0, 4, 5, 9, 255] {
            let mut bytes = file(0, b"body");
            bytes[36] = kind;
            let bytes = *bytes.first_chunk::<RECORD_HEADER_BYTES>().unwrap();
            let mut changed = bytes;
            let check = check(&bytes, place(SALT, 0));
            changed[8..12].copy_from_slice(&check.to_le_bytes());
            assert_eq!(decode_header(&changed, SALT, 0), None, "kind {kind}");
        }
    }
}
