//! The record of a backup: what it is, and which objects it consists of.
//!
//! Written last of all that belongs to a backup, as one object, so what can be read is whole. Pure
//! bytes; `engine/copy` encodes it, and decodes it for a list, a check and a restore.
//!
//! # Bytes of a record
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic `ALLUVBAK` |
//! | 4 | format version, 1 |
//! | 4 | zero |
//! | varint | the backup's number, which its name has too |
//! | varint | when it was begun, in milliseconds since 1970 |
//! | varint | all up to this sequence is in it |
//! | varint | bytes of segments that were put for it |
//! | varint, … | length of the label, and the label in UTF-8 |
//! | varint, … | length of the state, and the state, a snapshot of a manifest (`runs::state`) |
//! | varint | number of segments |
//! | … | segments |
//! | 8 | XXH3-64 of everything before |
//!
//! A segment, numbers ascending:
//!
//! | bytes | what |
//! |---|---|
//! | varint | the number in its name |
//! | 16 | its uuid |
//! | varint | bytes of the file |
//! | 8 | XXH3-64 of the file |
//!
//! Magic, version and checksum keep their places in every later version, so that a newer record is
//! told from a damaged one.

use super::Malformed;
use super::coding::{Decoder, put_bytes, put_varint};
use super::hash::checksum;
use crate::ids::{FileNumber, Sequence, Uuid};

const MAGIC: [u8; 8] = *b"ALLUVBAK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
const WHAT: &str = "record of a backup";

/// What a backup's record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupRecord {
    pub(crate) id: u64,
    pub(crate) time_ms: u64,
    pub(crate) sequence: Sequence,
    pub(crate) new_bytes: u64,
    pub(crate) label: String,
    /// A snapshot of a manifest, as it is stored.
    pub(crate) state: Vec<u8>,
    /// Numbers ascending.
    pub(crate) segments: Vec<BackupSegment>,
}

/// A segment of a backup, and what its object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupSegment {
    pub(crate) number: FileNumber,
    pub(crate) uuid: Uuid,
    pub(crate) bytes: u64,
    /// XXH3-64 of the whole file.
    pub(crate) checksum: u64,
}

impl BackupRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        put_varint(&mut out, self.id);
        put_varint(&mut out, self.time_ms);
        put_varint(&mut out, self.sequence.0);
        put_varint(&mut out, self.new_bytes);
        put_bytes(&mut out, self.label.as_bytes());
        put_bytes(&mut out, &self.state);
        put_varint(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            put_varint(&mut out, segment.number.0);
            out.extend_from_slice(&segment.uuid.0);
            put_varint(&mut out, segment.bytes);
            out.extend_from_slice(&segment.checksum.to_le_bytes());
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a whole record. A sound one of a newer format is told as newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(body(bytes)?, WHAT);
        decoder.take(HEADER_BYTES)?;
        let id = decoder.varint()?;
        let time_ms = decoder.varint()?;
        let sequence = Sequence(decoder.varint()?);
        let new_bytes = decoder.varint()?;
        let at = decoder.clone();
        let label = std::str::from_utf8(decoder.bytes()?)
            .map_err(|error| at.malformed("a label in UTF-8", error.to_string()))?
            .to_owned();
        let state = decoder.bytes()?.to_vec();
        // Grows as segments are found, so that a wrong count costs no memory.
        let mut segments: Vec<BackupSegment> = Vec::new();
        for _ in 0..decoder.varint()? {
            let at = decoder.clone();
            let number = FileNumber(decoder.varint()?);
            if segments.last().is_some_and(|last| last.number >= number) {
                return Err(at.malformed("numbers that ascend", number.0.to_string()));
            }
            let uuid = Uuid(decoder.array()?);
            let bytes = decoder.varint()?;
            segments.push(BackupSegment { number, uuid, bytes, checksum: decoder.u64()? });
        }
        decoder.finish()?;
        Ok(Self { id, time_ms, sequence, new_bytes, label, state, segments })
    }
}

/// All but the checksum, which holds, of a record of this version.
fn body(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut decoder = Decoder::new(bytes, WHAT);
    let magic = decoder.array::<8>()?;
    if magic != MAGIC {
        let got = format!("{:?}", magic.escape_ascii().to_string());
        return Err(Malformed::new(0, WHAT, "the magic bytes ALLUVBAK", got));
    }
    let version = decoder.u32()?;
    let zero = decoder.u32()?;
    let at = bytes.len().saturating_sub(CHECKSUM_BYTES).max(HEADER_BYTES);
    let (body, sum) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    let sum = Decoder::new(sum, WHAT).u64()?;
    let want = checksum(body);
    if sum != want {
        let expected = format!("checksum {want:016x}");
        return Err(Malformed::new(at, WHAT, expected, format!("{sum:016x}")));
    }
    if version != VERSION {
        let expected = format!("version {VERSION}");
        return Err(Malformed::new(8, WHAT, expected, version.to_string()).newer());
    }
    if zero != 0 {
        return Err(Malformed::new(12, WHAT, "zeros", format!("{zero:#x}")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
