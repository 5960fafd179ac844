//! The file `CURRENT`: which manifest counts.
//!
//! Written whole under another name and renamed into place, so that there is always one. Read at
//! open, written when a manifest is begun.
//!
//! # Bytes of `CURRENT`
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic, `ALLUVCUR` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | the database's uuid |
//! | 32 | 8 | the manifest's number |
//! | 40 | 8 | XXH3-64 of bytes 0..40 |
//!
//! Every version keeps this length and the checksum's place; features belong to the manifest.

use super::Malformed;
use super::coding::Decoder;
use super::hash::checksum;
use crate::ids::{FileNumber, Uuid};

/// Bytes of the file.
pub(crate) const CURRENT_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"ALLUVCUR";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = 40;
const WHAT: &str = "CURRENT";

/// What `CURRENT` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) uuid: Uuid,
    /// The number in the manifest's name.
    pub(crate) manifest: FileNumber,
}

impl Current {
    pub(crate) fn encode(&self) -> [u8; CURRENT_BYTES] {
        let mut bytes = [0; CURRENT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uuid.0);
        bytes[32..40].copy_from_slice(&self.manifest.0.to_le_bytes());
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the whole file. A sound one of a newer format is told as newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != CURRENT_BYTES {
            let expected = format!("{CURRENT_BYTES} bytes");
            let got = bytes.len().to_string();
            return Err(Malformed::new(0, WHAT, expected, got));
        }
        let mut decoder = Decoder::new(bytes, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let got = format!("{:?}", magic.escape_ascii().to_string());
            return Err(Malformed::new(0, WHAT, "the magic bytes ALLUVCUR", got));
        }
        let sum = Decoder::new(&bytes[CHECKSUM_AT..], WHAT).u64()?;
        let want = checksum(&bytes[..CHECKSUM_AT]);
        if sum != want {
            let expected = format!("checksum {want:016x}");
            let got = format!("{sum:016x}");
            return Err(Malformed::new(CHECKSUM_AT, WHAT, expected, got));
        }
        let version = decoder.u32()?;
        let zero = decoder.u32()?;
        if version != VERSION {
            let expected = format!("version {VERSION}");
            let got = version.to_string();
            return Err(Malformed::new(8, WHAT, expected, got).newer());
        }
        if zero != 0 {
            return Err(Malformed::new(12, WHAT, "zeros", format!("{zero:#x}")));
        }
        Ok(Self { uuid: Uuid(decoder.array()?), manifest: FileNumber(decoder.u64()?) })
    }
}

#[cfg(test)]
mod tests;
