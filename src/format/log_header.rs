//! The first 128 bytes of a log file: which log it is, and how it hangs on the one before it.
//!
//! Written at rotation, before the log takes its first record, and read when a database is opened.
//! A file whose header does not decode may be a spare or a creation that a crash tore; only the
//! caller, who sees the other logs, can tell.
//!
//! # Bytes of a log header
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic, `ALLUVLOG` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | incompatible features, a bit set: none known |
//! | 16 | 16 | the database's uuid |
//! | 32 | 8 | the log's number |
//! | 40 | 8 | the previous log's number |
//! | 48 | 8 | where the previous log ends, a byte offset in its file |
//! | 56 | 8 | log position of this file's byte 0 |
//! | 64 | 8 | log position known synced when the header was written |
//! | 72 | 8 | salt of the records, random |
//! | 80 | 1 | hash id of the records: 1, XXH3-64 |
//! | 81 | 39 | zero |
//! | 120 | 8 | XXH3-64 of bytes 0..120 |
//!
//! Version and features come first, so that no later version has to move them; nor does any move
//! the uuid. A file that was prepared and not used yet has number 0, which is below every floor.

use super::Malformed;
use super::coding::Decoder;
use super::hash::checksum;
use crate::ids::{LogNumber, LogPosition, Uuid};

/// Bytes of a log header; the first record follows it.
pub(crate) const LOG_HEADER_BYTES: usize = 128;

/// The first bytes of every log header.
const LOG_MAGIC: [u8; 8] = *b"ALLUVLOG";
const VERSION: u32 = 1;
const HASH_ID: u8 = 1;
const CHECKSUM_AT: usize = 120;
const WHAT: &str = "log header";

/// What a log file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHeader {
    /// The database that it belongs to.
    pub(crate) uuid: Uuid,
    pub(crate) number: LogNumber,
    /// The log before this one.
    pub(crate) previous: LogNumber,
    /// Byte offset behind the last record of the log before this one.
    pub(crate) previous_end: u64,
    /// The position of this file's byte 0.
    pub(crate) base: LogPosition,
    /// Everything below was known synced when the header was written.
    pub(crate) synced: LogPosition,
    /// What the hashes of this log's records start from.
    pub(crate) salt: u64,
}

impl LogHeader {
    /// Of a file that has not been a log yet: below every floor, so dead.
    pub(crate) fn unused(uuid: Uuid, salt: u64) -> Self {
        let zero = LogNumber(0);
        let position = LogPosition(0);
        let base = position;
        let synced = position;
        Self { uuid, number: zero, previous: zero, previous_end: 0, base, synced, salt }
    }

    /// Whether a file with these first bytes is a log, of whatever database.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&LOG_MAGIC)
    }

    /// Whether a file with these first bytes belongs to the database, sound or not.
    pub(crate) fn is_of(bytes: &[u8], database: Uuid) -> bool {
        super::begins_like(bytes, &LOG_MAGIC, 16, database)
    }

    pub(crate) fn encode(&self) -> [u8; LOG_HEADER_BYTES] {
        let mut bytes = [0; LOG_HEADER_BYTES];
        bytes[..8].copy_from_slice(&LOG_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uuid.0);
        bytes[32..40].copy_from_slice(&self.number.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.synced.0.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.salt.to_le_bytes());
        bytes[80] = HASH_ID;
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header off the front of `bytes`. A sound header of a newer format is told as newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, WHAT);
        let header = decoder.array::<LOG_HEADER_BYTES>()?;
        let mut decoder = Decoder::new(&header, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != LOG_MAGIC {
            let got = format!("{:?}", magic.escape_ascii().to_string());
            return Err(Malformed::new(0, WHAT, "the magic bytes ALLUVLOG", got));
        }
        let sum = Decoder::new(&header[CHECKSUM_AT..], WHAT).u64()?;
        let want = checksum(&header[..CHECKSUM_AT]);
        if sum != want {
            let expected = format!("checksum {want:016x}");
            let got = format!("{sum:016x}");
            return Err(Malformed::new(CHECKSUM_AT, WHAT, expected, got));
        }
        let version = decoder.u32()?;
        let features = decoder.u32()?;
        if version != VERSION || features != 0 {
            let expected = format!("version {VERSION} without incompatible features");
            let got = format!("version {version}, features {features:#x}");
            return Err(Malformed::new(8, WHAT, expected, got).newer());
        }
        let decoded = Self {
            uuid: Uuid(decoder.array()?),
            number: LogNumber(decoder.u64()?),
            previous: LogNumber(decoder.u64()?),
            previous_end: decoder.u64()?,
            base: LogPosition(decoder.u64()?),
            synced: LogPosition(decoder.u64()?),
            salt: decoder.u64()?,
        };
        let hash_id = decoder.u8()?;
        if hash_id != HASH_ID {
            return Err(Malformed::new(80, WHAT, "hash 1", hash_id.to_string()).newer());
        }
        if header[81..CHECKSUM_AT].iter().any(|&byte| byte != 0) {
            return Err(Malformed::new(81, WHAT, "zeros", "other bytes"));
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LogHeader {
        LogHeader {
            uuid: Uuid(*b"0123456789abcdef"),
            number: LogNumber(3),
            previous: LogNumber(2),
            previous_end: 0x1000,
            base: LogPosition(0x2000),
            synced: LogPosition(0x1f00),
            salt: 0x1122_3344_5566_7788,
        }
    }

    fn rechecked(mut bytes: [u8; LOG_HEADER_BYTES]) -> [u8; LOG_HEADER_BYTES] {
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn golden_bytes() {
        let mut want = b"ALLUVLOG\x01\0\0\0\0\0\0\x000123456789abcdef".to_vec();
        want.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&[0, 0x1f, 0, 0, 0, 0, 0, 0]);
        want.extend_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 1]);
        want.resize(120, 0);
        want.extend_from_slice(&GOLDEN_SUM.to_le_bytes());
        assert_eq!(sample().encode()[..], want);
        assert_eq!(LogHeader::decode(&want), Ok(sample()));
    }

    const GOLDEN_SUM: u64 = 0x4c68_8278_de98_4a94;

    #[test]
    fn truncation_and_every_flipped_bit_are_malformed() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(LogHeader::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let malformed = LogHeader::decode(&damaged).unwrap_err();
            assert!(!malformed.newer, "bit {bit} is damage, not news");
        }
    }

    #[test]
    fn a_sound_header_of_a_newer_format_is_told_as_newer() {
        for at in [8, 12, 80] {
            let mut bytes = sample().encode();
            bytes[at] += 1;
            assert!(LogHeader::decode(&rechecked(bytes)).unwrap_err().newer, "byte {at}");
        }
        for at in 81..CHECKSUM_AT {
            let mut bytes = sample().encode();
            bytes[at] = 1;
            assert!(LogHeader::decode(&rechecked(bytes)).is_err(), "byte {at}");
        }
    }
}
