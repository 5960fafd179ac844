//! What the manifest says about keyspaces, segments and runs, as bytes.
//!
//! Shared by edits and snapshots. Decoders check bounds only; whether a description fits the rest
//! of the manifest is for `runs::state`. Plain values, compared and copied by background threads.
//!
//! # Bytes
//!
//! One after the other, every number a varint unless it says otherwise:
//!
//! | structure | bytes |
//! |---|---|
//! | bound | keyspace id · key length · key |
//! | segment | number · uuid (16) · span · smallest sequence · largest sequence · created |
//! | span | bytes of the file · number of entries · first bound · last bound |
//! | reference | flags (1; bit 0 *from*, bit 1 *to*) · segment · *from* bound · *to* bound |
//! | run | id · flags (1; bit 0 *override*) · *override* sequence · references |
//! | references | how many · each, in key order |
//! | keyspace | id · name length · name · options length · options · lifetime |
//! | options | filter bits per key (1) · bytes of a block · *compression* (1: 1 LZ4, 2 auto) |
//! | lifetime | created at · flags (1; bit 0 *dropped*) · *dropped* at |
//!
//! A segment's creation is in milliseconds since 1970, a keyspace's lifetime in sequences.
//!
//! A part named in italics is there if its flag is set; *compression* has none, and is left out if
//! there is none, as it was before there was any. What a later version adds comes with a flag
//! of its own, or at the end of the options; either is refused here as newer, because a state that
//! was read without it would be written back without it.

use super::Malformed;
use super::coding::{Decoder, put_bytes, put_varint};
use super::key::KEY_BYTES_MAX;
use crate::ids::{FileNumber, KeyspaceId, RunId, Sequence, Uuid};
use crate::options::{Compression, KeyspaceOptions};

/// A user key in its keyspace: one end of something. Ordered like keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BoundKey {
    pub(crate) keyspace: KeyspaceId,
    /// At most one byte longer than the longest key, so that there is a bound behind every key.
    pub(crate) key: Vec<u8>,
}

/// What the manifest says about a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// The number in its name.
    pub(crate) number: FileNumber,
    /// The same as in its header, so that another file under its name is told.
    pub(crate) uuid: Uuid,
    /// The file's length.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Its first user key.
    pub(crate) first: BoundKey,
    /// Its last user key, included.
    pub(crate) last: BoundKey,
    pub(crate) smallest: Sequence,
    pub(crate) largest: Sequence,
    /// When it was written, in milliseconds since 1970.
    pub(crate) created_ms: u64,
}

/// A segment, or the part of it between two bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRefMeta {
    pub(crate) segment: SegmentMeta,
    /// Keys below are none of this reference's.
    pub(crate) from: Option<BoundKey>,
    /// This key and those above are none of this reference's.
    pub(crate) to: Option<BoundKey>,
}

/// A run: references to disjoint segments in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunMeta {
    pub(crate) id: RunId,
    pub(crate) segments: Vec<SegmentRefMeta>,
    /// The sequence that every entry has instead of its own: for ingested files.
    pub(crate) sequence_override: Option<Sequence>,
}

/// A keyspace, also after its drop for as long as it has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyspaceMeta {
    pub(crate) id: KeyspaceId,
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    pub(crate) created_at: Sequence,
    /// The sequence of its drop: reads at or above find nothing.
    pub(crate) dropped_at: Option<Sequence>,
}

/// Reads a byte of flags, of which `known` are understood.
fn flags(decoder: &mut Decoder<'_>, known: u8) -> Result<u8, Malformed> {
    let at = decoder.clone();
    let flags = decoder.u8()?;
    if flags & !known != 0 {
        return Err(at
            .malformed(format!("flags within {known:#04x}"), format!("{flags:#04x}"))
            .newer());
    }
    Ok(flags)
}

impl BoundKey {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.keyspace.0));
        put_bytes(out, &self.key);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let keyspace = KeyspaceId(decoder.varint_u32()?);
        let at = decoder.clone();
        let key = decoder.bytes()?;
        if key.len() > KEY_BYTES_MAX + 1 {
            let expected = format!("a bound of at most {} bytes", KEY_BYTES_MAX + 1);
            return Err(at.malformed(expected, key.len().to_string()));
        }
        Ok(Self { keyspace, key: key.to_vec() })
    }
}

impl SegmentMeta {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number.0);
        out.extend_from_slice(&self.uuid.0);
        put_varint(out, self.bytes);
        put_varint(out, self.entries);
        self.first.encode(out);
        self.last.encode(out);
        put_varint(out, self.smallest.0);
        put_varint(out, self.largest.0);
        put_varint(out, self.created_ms);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: FileNumber(decoder.varint()?),
            uuid: Uuid(decoder.array()?),
            bytes: decoder.varint()?,
            entries: decoder.varint()?,
            first: BoundKey::decode(decoder)?,
            last: BoundKey::decode(decoder)?,
            smallest: Sequence(decoder.varint()?),
            largest: Sequence(decoder.varint()?),
            created_ms: decoder.varint()?,
        })
    }
}

impl SegmentRefMeta {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.from.is_some()) | u8::from(self.to.is_some()) << 1);
        self.segment.encode(out);
        for bound in self.from.iter().chain(&self.to) {
            bound.encode(out);
        }
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let flags = flags(decoder, 0b11)?;
        let segment = SegmentMeta::decode(decoder)?;
        let mut bound = |there: bool| there.then(|| BoundKey::decode(decoder)).transpose();
        Ok(Self { segment, from: bound(flags & 1 != 0)?, to: bound(flags & 2 != 0)? })
    }
}

impl RunMeta {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id.0);
        out.push(u8::from(self.sequence_override.is_some()));
        if let Some(sequence) = self.sequence_override {
            put_varint(out, sequence.0);
        }
        put_varint(out, self.segments.len() as u64);
        self.segments.iter().for_each(|segment| segment.encode(out));
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let id = RunId(decoder.varint()?);
        let there = flags(decoder, 1)? != 0;
        let sequence_override = there.then(|| decoder.varint()).transpose()?.map(Sequence);
        // Grows as references are found, so that a wrong count costs no memory.
        let mut segments = Vec::new();
        for _ in 0..decoder.varint()? {
            segments.push(SegmentRefMeta::decode(decoder)?);
        }
        Ok(Self { id, segments, sequence_override })
    }
}

impl KeyspaceMeta {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.id.0));
        put_bytes(out, self.name.as_bytes());
        encode_options(&self.options, out);
        put_varint(out, self.created_at.0);
        out.push(u8::from(self.dropped_at.is_some()));
        if let Some(at) = self.dropped_at {
            put_varint(out, at.0);
        }
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let id = KeyspaceId(decoder.varint_u32()?);
        let name = decode_name(decoder)?;
        let options = decode_options(decoder)?;
        let created_at = Sequence(decoder.varint()?);
        let dropped = flags(decoder, 1)? != 0;
        let dropped_at = dropped.then(|| decoder.varint()).transpose()?.map(Sequence);
        Ok(Self { id, name, options, created_at, dropped_at })
    }
}

/// Reads a keyspace's name.
pub(super) fn decode_name(decoder: &mut Decoder<'_>) -> Result<String, Malformed> {
    let at = decoder.clone();
    let name = std::str::from_utf8(decoder.bytes()?);
    name.map(str::to_owned).map_err(|error| at.malformed("a name in UTF-8", error.to_string()))
}

/// Numbers of compressions on disk: frozen.
const COMPRESSION_LZ4: u8 = 1;
const COMPRESSION_AUTO: u8 = 2;

pub(super) fn encode_options(options: &KeyspaceOptions, out: &mut Vec<u8>) {
    let mut bytes = vec![options.filter_bits];
    put_varint(&mut bytes, u64::from(options.block_bytes));
    match options.compression {
        Compression::None => {}
        Compression::Lz4 => bytes.push(COMPRESSION_LZ4),
        Compression::Auto => bytes.push(COMPRESSION_AUTO),
    }
    put_bytes(out, &bytes);
}

pub(super) fn decode_options(decoder: &mut Decoder<'_>) -> Result<KeyspaceOptions, Malformed> {
    let at = decoder.clone();
    let mut options = Decoder::new(decoder.bytes()?, "keyspace options");
    let filter_bits = options.u8()?;
    let block_bytes = options.varint_u32()?;
    let compression = match options.take(options.remaining())? {
        [] => Compression::None,
        [COMPRESSION_LZ4] => Compression::Lz4,
        [COMPRESSION_AUTO] => Compression::Auto,
        more => {
            return Err(at
                .malformed("compression 1 or 2, and no more", format!("{more:?}"))
                .newer());
        }
    };
    Ok(KeyspaceOptions { filter_bits, block_bytes, compression })
}
