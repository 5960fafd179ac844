//! What a segment knows about itself: counts, bounds and origin, in tagged fields so that later
//! versions can add some.
//!
//! The payload is a row of fields, tags ascending: tag (varint) · length (varint) · value. A reader
//! skips tags it does not know: whatever must not be skipped takes an incompatible bit in the
//! footer instead.
//!
//! | tag | value |
//! |---|---|
//! | 1 | entries per kind: pairs of kind (varint) and count (varint), kinds ascending |
//! | 2 | first key: keyspace id (varint), then the key to the end |
//! | 3 | last key, likewise |
//! | 4 | smallest sequence, largest sequence (varints) |
//! | 5 | reserved: smallest and largest expiry |
//! | 6 | bytes of data blocks: raw (keys and values as written by the user), stored (varints) |
//! | 7 | count of data blocks (varint) |
//! | 8 | creation time, milliseconds since 1970 (varint) |
//! | 9 | inputs that it replaces, each: segment uuid (16), first key, last key (each keyspace id varint, length varint, bytes) |
//! | 10 | versions that are not the newest of their key in the segment (varint); what was written without it is read without it |
//!
//! All but 5, 9 and 10 are always there. The keyspaces run from that of the first key to that of
//! the last.

use super::Malformed;
use super::coding::{Decoder, put_bytes, put_varint};
use super::key::{Entry, KEY_BYTES_MAX, Kind};
use crate::ids::{KeyspaceId, Sequence, Uuid};

const WHAT: &str = "properties";

/// A user key and its keyspace.
pub(crate) type OwnedKey = (KeyspaceId, Vec<u8>);

/// A segment, or a range of one, that a merge read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) uuid: Uuid,
    pub(crate) first: OwnedKey,
    pub(crate) last: OwnedKey,
}

/// The facts about one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) values: u64,
    pub(crate) tombstones: u64,
    pub(crate) first: OwnedKey,
    pub(crate) last: OwnedKey,
    pub(crate) smallest: Sequence,
    pub(crate) largest: Sequence,
    /// Bytes of keys and values.
    pub(crate) raw_bytes: u64,
    /// Bytes of the data blocks, headers included.
    pub(crate) stored_bytes: u64,
    pub(crate) data_blocks: u64,
    pub(crate) created_ms: u64,
    pub(crate) inputs: Vec<Input>,
    /// Versions that are not the newest of their key here, if that was counted.
    pub(crate) superseded: Option<u64>,
}

impl Properties {
    /// Those of no entry yet, to be counted.
    pub(crate) fn counting() -> Self {
        Self { superseded: Some(0), ..Self::default() }
    }

    /// Entries of all kinds.
    pub(crate) fn entries(&self) -> u64 {
        self.values.saturating_add(self.tombstones)
    }

    /// Counts an entry, the next one in the internal order, and whether it is the first of its key.
    /// `last` is the caller's to set.
    pub(crate) fn count(&mut self, entry: &Entry<'_>, new_key: bool) {
        if let Some(superseded) = &mut self.superseded {
            *superseded += u64::from(!new_key);
        }
        if self.entries() == 0 {
            self.first = (entry.keyspace, entry.key.to_vec());
            self.smallest = entry.sequence;
        }
        match entry.kind {
            Kind::Value => self.values += 1,
            Kind::Tombstone => self.tombstones += 1,
        }
        self.smallest = self.smallest.min(entry.sequence);
        self.largest = self.largest.max(entry.sequence);
        self.raw_bytes += (entry.key.len() + entry.value.len()) as u64;
    }

    /// Whether another has counted the same entries and blocks; where they came from aside.
    pub(crate) fn same_counts(&self, other: &Self) -> bool {
        let created_ms = self.created_ms;
        let inputs = self.inputs.clone();
        let uncounted = self.superseded.is_none() || other.superseded.is_none();
        let superseded = if uncounted { self.superseded } else { other.superseded };
        *self == Self { created_ms, inputs, superseded, ..other.clone() }
    }

    /// Appends the payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        let mut field = |tag: u64, fill: &dyn Fn(&mut Vec<u8>)| {
            value.clear();
            fill(&mut value);
            put_varint(out, tag);
            put_bytes(out, &value);
        };
        field(1, &|value| {
            for (kind, count) in [(Kind::Value, self.values), (Kind::Tombstone, self.tombstones)] {
                put_varint(value, kind as u64);
                put_varint(value, count);
            }
        });
        for (tag, (keyspace, key)) in [(2, &self.first), (3, &self.last)] {
            field(tag, &|value| {
                put_varint(value, u64::from(keyspace.0));
                value.extend_from_slice(key);
            });
        }
        field(4, &|value| {
            put_varint(value, self.smallest.0);
            put_varint(value, self.largest.0);
        });
        field(6, &|value| {
            put_varint(value, self.raw_bytes);
            put_varint(value, self.stored_bytes);
        });
        field(7, &|value| put_varint(value, self.data_blocks));
        field(8, &|value| put_varint(value, self.created_ms));
        if !self.inputs.is_empty() {
            field(9, &|value| {
                for input in &self.inputs {
                    value.extend_from_slice(&input.uuid.0);
                    for (keyspace, key) in [&input.first, &input.last] {
                        put_varint(value, u64::from(keyspace.0));
                        put_bytes(value, key);
                    }
                }
            });
        }
        if let Some(superseded) = self.superseded {
            field(10, &|value| put_varint(value, superseded));
        }
    }

    /// Reads the payload.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut properties = Self::default();
        let mut decoder = Decoder::new(bytes, WHAT);
        let mut previous = 0;
        let mut known = 0_u32;
        while decoder.remaining() > 0 {
            let at = decoder.at();
            let tag = decoder.varint()?;
            if tag <= previous {
                return Err(Malformed::new(at, WHAT, "ascending tags", tag.to_string()));
            }
            let value = decoder.bytes()?;
            properties.decode_field(tag, value).map_err(|error| Malformed {
                at: (decoder.at() - value.len()) as u64 + error.at,
                ..error
            })?;
            if tag < 32 {
                known |= 1 << tag;
            }
            previous = tag;
        }
        let missing = REQUIRED & !known;
        if missing != 0 {
            let got = format!("none with tag {}", missing.trailing_zeros());
            return Err(decoder.malformed("every field that is always there", got));
        }
        Ok(properties)
    }

    fn decode_field(&mut self, tag: u64, value: &[u8]) -> Result<(), Malformed> {
        let mut decoder = Decoder::new(value, WHAT);
        match tag {
            1 => {
                while decoder.remaining() > 0 {
                    let kind = decoder.varint()?;
                    let count = decoder.varint()?;
                    match u8::try_from(kind).ok().and_then(Kind::from_byte) {
                        Some(Kind::Value) => self.values = count,
                        Some(Kind::Tombstone) => self.tombstones = count,
                        None => {
                            return Err(decoder.malformed("kind 1 or 2", kind.to_string()).newer());
                        }
                    }
                }
            }
            2 | 3 => {
                let keyspace = KeyspaceId(decoder.varint_u32()?);
                let key = checked_key(&decoder, decoder.clone().take(decoder.remaining())?)?;
                *(if tag == 2 { &mut self.first } else { &mut self.last }) = (keyspace, key);
                return Ok(());
            }
            4 => {
                self.smallest = Sequence(decoder.varint()?);
                self.largest = Sequence(decoder.varint()?);
            }
            6 => (self.raw_bytes, self.stored_bytes) = (decoder.varint()?, decoder.varint()?),
            7 => self.data_blocks = decoder.varint()?,
            8 => self.created_ms = decoder.varint()?,
            9 => {
                while decoder.remaining() > 0 {
                    let uuid = Uuid(decoder.array()?);
                    let first = bound(&mut decoder)?;
                    let last = bound(&mut decoder)?;
                    self.inputs.push(Input { uuid, first, last });
                }
            }
            10 => self.superseded = Some(decoder.varint()?),
            _ => return Ok(()),
        }
        decoder.finish()
    }
}

/// One bit per tag that must be there.
const REQUIRED: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8;

fn bound(decoder: &mut Decoder<'_>) -> Result<OwnedKey, Malformed> {
    let keyspace = KeyspaceId(decoder.varint_u32()?);
    let key = decoder.bytes()?;
    Ok((keyspace, checked_key(decoder, key)?))
}

fn checked_key(decoder: &Decoder<'_>, key: &[u8]) -> Result<Vec<u8>, Malformed> {
    if key.len() > KEY_BYTES_MAX {
        let want = format!("a key of at most {KEY_BYTES_MAX} bytes");
        return Err(decoder.malformed(want, key.len().to_string()));
    }
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Properties {
        Properties {
            values: 300,
            tombstones: 2,
            first: (KeyspaceId(1), b"a".to_vec()),
            last: (KeyspaceId(2), b"zz".to_vec()),
            smallest: Sequence(5),
            largest: Sequence(306),
            raw_bytes: 1000,
            stored_bytes: 1200,
            data_blocks: 3,
            created_ms: 77,
            inputs: vec![Input {
                uuid: Uuid([9; 16]),
                first: (KeyspaceId(1), b"a".to_vec()),
                last: (KeyspaceId(2), b"".to_vec()),
            }],
            superseded: Some(4),
        }
    }

    fn encode(properties: &Properties) -> Vec<u8> {
        let mut bytes = Vec::new();
        properties.encode(&mut bytes);
        bytes
    }

    #[test]
    fn golden_bytes() {
        #[rustfmt::skip]
        let mut want = vec![
            1, 5, 1, 0xac, 2, 2, 2,
            2, 2, 1, b'a',
            3, 3, 2, b'z', b'z',
            4, 3, 5, 0xb2, 2,
            6, 4, 0xe8, 7, 0xb0, 9,
            7, 1, 3,
            8, 1, 77,
            9, 21,
        ];
        want.extend_from_slice(&[9; 16]);
        want.extend_from_slice(&[1, 1, b'a', 2, 0]);
        want.extend_from_slice(&[10, 1, 4]);
        assert_eq!(encode(&sample()), want);
        assert_eq!(Properties::decode(&want), Ok(sample()));
    }

    #[test]
    fn unknown_tags_are_skipped_and_missing_or_repeated_ones_are_malformed() {
        let mut bytes = encode(&sample());
        bytes.extend_from_slice(&[11, 2, 0xff, 0xff, 0x80, 1, 0]);
        assert_eq!(Properties::decode(&bytes), Ok(sample()));
        bytes.extend_from_slice(&[11, 0]);
        assert!(Properties::decode(&bytes).is_err());
        assert!(Properties::decode(&encode(&sample())[7..]).is_err());
        assert!(Properties::decode(&[]).is_err());
    }

    #[test]
    fn no_damage_makes_the_decoder_panic_and_none_is_taken_for_the_original() {
        let bytes = encode(&sample());
        // Cut before one of the optional last fields, the rest is sound by itself.
        let sound = [bytes.len() - 26, bytes.len() - 3];
        for len in (0..bytes.len()).filter(|len| !sound.contains(len)) {
            assert!(Properties::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            for byte in (0..=u8::MAX).filter(|&byte| byte != bytes[at]) {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                assert_ne!(Properties::decode(&damaged), Ok(sample()), "byte {at} = {byte}");
            }
        }
    }
}
