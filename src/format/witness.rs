//! The file `WITNESS`: how far the log and the manifest were known to be durable.
//!
//! Log and manifest know that a place was synced only by what was written after it, so damage at
//! their ends, or to a whole file, takes its evidence with it. This file is that evidence, kept
//! elsewhere.
//!
//! # Bytes of the file
//!
//! Slots of 64 bytes, each at a multiple of 512, so that no two share a sector. The one at 0 says
//! nothing but whose file it is, and is never written again. Two are for the log, at 512 and 1,024,
//! and two for the manifest, at 1,536 and 2,048: what is newer takes the place of the older of its
//! two, so that one claim of each is whole at any time. All else is zero. A slot:
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic, `ALLUVWIT` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | of what: 0 nothing, 1 the log, 2 the manifest |
//! | 16 | 16 | the database's uuid |
//! | 32 | 8 | how many claims of its kind came before it |
//! | 40 | 8 | the number of the log, or of the manifest |
//! | 48 | 8 | the log position below which all is durable; the edits that the manifest has durably |
//! | 56 | 8 | XXH3-64 of bytes 0..56 |
//!
//! Every claim stays true for good, so any of them may be believed, also an old one. What is
//! written is not synced: it says what happened, and nothing follows from its absence.

use super::Malformed;
use super::coding::Decoder;
use super::hash::checksum;
use crate::ids::{FileNumber, LogNumber, LogPosition, Uuid};

/// Bytes of a whole file.
pub(crate) const WITNESS_BYTES: usize = 2560;

/// Bytes of a slot.
pub(crate) const WITNESS_SLOT_BYTES: usize = 64;

const SLOT_STRIDE: usize = 512;
const MAGIC: [u8; 8] = *b"ALLUVWIT";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = 56;
const WHAT: &str = "witness";

/// What was durable at some moment, and so is for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing: the file's first slot, durable before any other is written.
    Nothing,
    /// This log is there, and of it and those before it everything below the position.
    Log { log: LogNumber, synced: LogPosition },
    /// This manifest counts, or a later one, with that many edits or more.
    Manifest { manifest: FileNumber, edits: u64 },
}

/// A claim as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WitnessSlot {
    pub(crate) uuid: Uuid,
    /// How many of its kind came before it.
    pub(crate) turn: u64,
    pub(crate) claim: Claim,
}

impl WitnessSlot {
    /// Where it belongs in the file.
    pub(crate) fn offset(&self) -> u64 {
        let slot = match self.claim {
            Claim::Nothing => 0,
            Claim::Log { .. } => 1 + self.turn % 2,
            Claim::Manifest { .. } => 3 + self.turn % 2,
        };
        slot * SLOT_STRIDE as u64
    }

    pub(crate) fn encode(&self) -> [u8; WITNESS_SLOT_BYTES] {
        let (kind, number, reach) = match self.claim {
            Claim::Nothing => (0_u32, 0, 0),
            Claim::Log { log, synced } => (1, log.0, synced.0),
            Claim::Manifest { manifest, edits } => (2, manifest.0, edits),
        };
        let mut bytes = [0; WITNESS_SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&kind.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.uuid.0);
        bytes[32..40].copy_from_slice(&self.turn.to_le_bytes());
        bytes[40..48].copy_from_slice(&number.to_le_bytes());
        bytes[48..56].copy_from_slice(&reach.to_le_bytes());
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let slot = Decoder::new(bytes, WHAT).array::<WITNESS_SLOT_BYTES>()?;
        let mut decoder = Decoder::new(&slot, WHAT);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let got = format!("{:?}", magic.escape_ascii().to_string());
            return Err(Malformed::new(0, WHAT, "the magic bytes ALLUVWIT", got));
        }
        let sum = Decoder::new(&slot[CHECKSUM_AT..], WHAT).u64()?;
        let want = checksum(&slot[..CHECKSUM_AT]);
        if sum != want {
            let expected = format!("checksum {want:016x}");
            let got = format!("{sum:016x}");
            return Err(Malformed::new(CHECKSUM_AT, WHAT, expected, got));
        }
        let version = decoder.u32()?;
        let kind = decoder.u32()?;
        if version != VERSION || kind > 2 {
            let expected = format!("version {VERSION} of a log or a manifest");
            let got = format!("version {version}, kind {kind}");
            return Err(Malformed::new(8, WHAT, expected, got).newer());
        }
        let uuid = Uuid(decoder.array()?);
        let turn = decoder.u64()?;
        let number = decoder.u64()?;
        let reach = decoder.u64()?;
        let claim = match kind {
            0 => Claim::Nothing,
            1 => Claim::Log { log: LogNumber(number), synced: LogPosition(reach) },
            _ => Claim::Manifest { manifest: FileNumber(number), edits: reach },
        };
        Ok(Self { uuid, turn, claim })
    }
}

/// The claims in a file. Slots that are blank or damaged give none.
///
/// # Errors
///
/// A file in which something stands and not one claim is sound; a claim of a newer format.
pub(crate) fn decode_witness(bytes: &[u8]) -> Result<Vec<WitnessSlot>, Malformed> {
    let mut slots = Vec::new();
    let mut damage = None;
    for at in (0..WITNESS_BYTES.min(bytes.len())).step_by(SLOT_STRIDE) {
        let slot = &bytes[at..bytes.len().min(at + WITNESS_SLOT_BYTES)];
        if slot.iter().all(|&byte| byte == 0) {
            continue;
        }
        match WitnessSlot::decode(slot) {
            Ok(slot) => slots.push(slot),
            Err(error) if error.newer => return Err(Malformed { at: at as u64, ..error }),
            Err(error) => damage = damage.or(Some(Malformed { at: at as u64 + error.at, ..error })),
        }
    }
    match damage {
        Some(damage) if slots.is_empty() => Err(damage),
        _ => Ok(slots),
    }
}

#[cfg(test)]
mod tests;
