//! The manifest's own bytes: the header of its file, and the edits in its records.
//!
//! An edit says what changed; what it changes, and whether it may, is for `runs::state`. Written
//! and read by background threads and by `open`.
//!
//! # Bytes of a manifest header
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 8 | magic, `ALLUVMAN` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 1 | hash id of the records: 1, XXH3-64 |
//! | 13 | 3 | zero |
//! | 16 | 8 | compatible features, a bit set: unknown ones may be ignored |
//! | 24 | 8 | read-only compatible features: unknown ones allow reading and forbid writing |
//! | 32 | 8 | incompatible features: unknown ones refuse it; bit 0: log files are `*.wal` |
//! | 40 | 16 | the database's uuid |
//! | 56 | 8 | the manifest's number, as in its name |
//! | 64 | 8 | salt of the records, random |
//! | 72 | 16 | zero |
//! | 88 | 8 | XXH3-64 of bytes 0..88 |
//!
//! Bit 0 of the incompatible features is set in whatever is written now, and means nothing to this
//! version, which reads `*.log` and `*.wal`. The first version saw only `*.log`: it would open the
//! database without what is in its logs.
//!
//! # Bytes of an edit
//!
//! Time (ms since 1970) as a varint, then changes up to the end: tag (one byte) · payload length
//! varint · payload. An unknown tag is refused as newer. Runs and keyspaces: [`super::meta`].
//!
//! | tag | change | payload |
//! |---|---|---|
//! | 1 | add keyspace | keyspace |
//! | 2 | drop keyspace | id varint · sequence varint |
//! | 3 | forget keyspace | id varint |
//! | 4 | add run | run |
//! | 5 | replace runs | count varint · run ids varint · count varint · runs |
//! | 6 | log floor | log number varint · 1 if that log exists, else 0 |
//! | 7 | sequence ceiling | sequence varint |
//! | 8 | set options | keyspace id varint · options, as in a keyspace |
//! | 9 | rename keyspace | id varint · name length varint · the new name |

use super::Malformed;
use super::coding::{Decoder, put_bytes, put_varint};
use super::hash::checksum;
pub(crate) use super::meta::{BoundKey, KeyspaceMeta, RunMeta, SegmentMeta, SegmentRefMeta};
use super::meta::{decode_name, decode_options, encode_options};
use crate::ids::{FileNumber, KeyspaceId, LogNumber, RunId, Sequence, Uuid};
use crate::options::KeyspaceOptions;

/// Bytes of a manifest header; the first record follows it.
pub(crate) const MANIFEST_HEADER_BYTES: usize = 96;

const MAGIC: [u8; 8] = *b"ALLUVMAN";
const VERSION: u32 = 1;
const HASH_ID: u8 = 1;
const CHECKSUM_AT: usize = 88;
const FEATURE_WAL_NAMES: u64 = 1;
const HEADER: &str = "manifest header";
const EDIT: &str = "manifest edit";

/// What a manifest file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestHeader {
    /// The database that it belongs to.
    pub(crate) uuid: Uuid,
    /// The number in its name.
    pub(crate) number: FileNumber,
    /// What the hashes of its records start from.
    pub(crate) salt: u64,
    /// Whether a feature that this version does not know forbids writing, and only that. Never set
    /// by this version.
    pub(crate) read_only_compatible: bool,
}

impl ManifestHeader {
    /// Whether a file with these first bytes belongs to the database, sound or not.
    pub(crate) fn is_of(bytes: &[u8], database: Uuid) -> bool {
        super::begins_like(bytes, &MAGIC, 40, database)
    }

    /// The bytes, with the one feature that this version has.
    pub(crate) fn encode(&self) -> [u8; MANIFEST_HEADER_BYTES] {
        let mut bytes = [0; MANIFEST_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12] = HASH_ID;
        bytes[32..40].copy_from_slice(&FEATURE_WAL_NAMES.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.uuid.0);
        bytes[56..64].copy_from_slice(&self.number.0.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.salt.to_le_bytes());
        let sum = checksum(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header off the front of `bytes`. A sound header of a newer format is told as newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = Decoder::new(bytes, HEADER).array::<MANIFEST_HEADER_BYTES>()?;
        let mut decoder = Decoder::new(&header, HEADER);
        let magic = decoder.array::<8>()?;
        if magic != MAGIC {
            let got = format!("{:?}", magic.escape_ascii().to_string());
            return Err(Malformed::new(0, HEADER, "the magic bytes ALLUVMAN", got));
        }
        let sum = Decoder::new(&header[CHECKSUM_AT..], HEADER).u64()?;
        let want = checksum(&header[..CHECKSUM_AT]);
        if sum != want {
            let expected = format!("checksum {want:016x}");
            let got = format!("{sum:016x}");
            return Err(Malformed::new(CHECKSUM_AT, HEADER, expected, got));
        }
        let version = decoder.u32()?;
        let hash_id = decoder.u8()?;
        let zero = decoder.array::<3>()?;
        let _compatible = decoder.u64()?;
        let read_only = decoder.u64()?;
        let incompatible = decoder.u64()?;
        let unknown = incompatible & !FEATURE_WAL_NAMES;
        if version != VERSION || hash_id != HASH_ID || unknown != 0 {
            let expected =
                format!("version {VERSION}, hash {HASH_ID}, features {FEATURE_WAL_NAMES:#x}");
            let got = format!("version {version}, hash {hash_id}, features {incompatible:#x}");
            return Err(Malformed::new(8, HEADER, expected, got).newer());
        }
        if zero.iter().chain(&header[72..CHECKSUM_AT]).any(|&byte| byte != 0) {
            return Err(Malformed::new(13, HEADER, "zeros", "other bytes"));
        }
        Ok(Self {
            uuid: Uuid(decoder.array()?),
            number: FileNumber(decoder.u64()?),
            salt: decoder.u64()?,
            read_only_compatible: read_only != 0,
        })
    }
}

/// One step from a state of the manifest to the next: all of it, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// When it was made, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) changes: Vec<Change>,
}

/// One thing that an edit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    AddKeyspace(KeyspaceMeta),
    /// The keyspace ends at this sequence.
    DropKeyspace {
        id: KeyspaceId,
        at: Sequence,
    },
    /// The last data of a dropped keyspace is gone. Its id stays burnt.
    ForgetKeyspace {
        id: KeyspaceId,
    },
    /// A new newest run.
    AddRun(RunMeta),
    /// The runs `remove`, adjacent and newest first, give their place to `add`, newest first.
    ReplaceRuns {
        remove: Vec<RunId>,
        add: Vec<RunMeta>,
    },
    /// Logs below `number` are dead; log `number` is there if `exists`.
    LogFloor {
        number: LogNumber,
        exists: bool,
    },
    /// No sequence above has been given out, so an open continues behind it.
    SequenceCeiling(Sequence),
    /// A keyspace has other options from here on.
    SetOptions {
        id: KeyspaceId,
        options: KeyspaceOptions,
    },
    /// A living keyspace has another name from here on.
    RenameKeyspace {
        id: KeyspaceId,
        name: String,
    },
}

impl Edit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut payload = Vec::new();
        put_varint(&mut out, self.time_ms);
        for change in &self.changes {
            payload.clear();
            out.push(change.encode(&mut payload));
            put_bytes(&mut out, &payload);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, EDIT);
        let time_ms = decoder.varint()?;
        let mut changes = Vec::new();
        while decoder.remaining() > 0 {
            let tag = decoder.u8()?;
            let payload = decoder.bytes()?;
            let start = (decoder.at() - payload.len()) as u64;
            let change = Change::decode(tag, payload);
            changes.push(change.map_err(|error| Malformed { at: start + error.at, ..error })?);
        }
        Ok(Self { time_ms, changes })
    }
}

impl Change {
    /// Appends the payload and returns the tag.
    fn encode(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::AddKeyspace(keyspace) => {
                keyspace.encode(out);
                1
            }
            Self::DropKeyspace { id, at } => {
                put_varint(out, u64::from(id.0));
                put_varint(out, at.0);
                2
            }
            Self::ForgetKeyspace { id } => {
                put_varint(out, u64::from(id.0));
                3
            }
            Self::AddRun(run) => {
                run.encode(out);
                4
            }
            Self::ReplaceRuns { remove, add } => {
                put_varint(out, remove.len() as u64);
                remove.iter().for_each(|id| put_varint(out, id.0));
                put_varint(out, add.len() as u64);
                add.iter().for_each(|run| run.encode(out));
                5
            }
            Self::LogFloor { number, exists } => {
                put_varint(out, number.0);
                out.push(u8::from(*exists));
                6
            }
            Self::SequenceCeiling(sequence) => {
                put_varint(out, sequence.0);
                7
            }
            Self::SetOptions { id, options } => {
                put_varint(out, u64::from(id.0));
                encode_options(options, out);
                8
            }
            Self::RenameKeyspace { id, name } => {
                put_varint(out, u64::from(id.0));
                put_bytes(out, name.as_bytes());
                9
            }
        }
    }

    fn decode(tag: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(payload, EDIT);
        let change = match tag {
            1 => Self::AddKeyspace(KeyspaceMeta::decode(&mut decoder)?),
            2 => Self::DropKeyspace {
                id: KeyspaceId(decoder.varint_u32()?),
                at: Sequence(decoder.varint()?),
            },
            3 => Self::ForgetKeyspace { id: KeyspaceId(decoder.varint_u32()?) },
            4 => Self::AddRun(RunMeta::decode(&mut decoder)?),
            5 => decode_replace(&mut decoder)?,
            6 => Self::LogFloor {
                number: LogNumber(decoder.varint()?),
                exists: decode_bool(&mut decoder)?,
            },
            7 => Self::SequenceCeiling(Sequence(decoder.varint()?)),
            8 => Self::SetOptions {
                id: KeyspaceId(decoder.varint_u32()?),
                options: decode_options(&mut decoder)?,
            },
            9 => Self::RenameKeyspace {
                id: KeyspaceId(decoder.varint_u32()?),
                name: decode_name(&mut decoder)?,
            },
            _ => return Err(decoder.malformed("a change from 1 to 9", tag.to_string()).newer()),
        };
        decoder.finish()?;
        Ok(change)
    }
}

fn decode_replace(decoder: &mut Decoder<'_>) -> Result<Change, Malformed> {
    // Both lists grow as their elements are found, so that a wrong count costs no memory.
    let mut remove = Vec::new();
    let mut add = Vec::new();
    for _ in 0..decoder.varint()? {
        remove.push(RunId(decoder.varint()?));
    }
    for _ in 0..decoder.varint()? {
        add.push(RunMeta::decode(decoder)?);
    }
    Ok(Change::ReplaceRuns { remove, add })
}

/// Reads a byte that is 0 or 1.
pub(crate) fn decode_bool(decoder: &mut Decoder<'_>) -> Result<bool, Malformed> {
    let at = decoder.clone();
    match decoder.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(at.malformed("0 or 1", other.to_string())),
    }
}

#[cfg(test)]
mod tests;
