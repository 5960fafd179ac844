//! The internal key: who owns it, its bytes, its version, and what happened to it.
//!
//! Order, the only one in the engine: keyspace id ascending, user key bytewise ascending, sequence
//! *descending*, so that the newest version of a key is met first. The kind does not take part:
//! no two operations have the same sequence.

use std::cmp::Ordering;

use crate::ids::{KeyspaceId, Sequence};

/// The longest user key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 65_535;

/// The longest value, in bytes (1 GiB).
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 30;

/// What an operation did to its key. The numbers are on disk: frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The key has this value.
    Value = 1,
    /// The key has no value.
    Tombstone = 2,
    // Reserved, refused by this version as newer: 3 range-tombstone, 4 merge-operand,
    // 5 value-with-expiry, 6 value-pointer.
}

/// The largest kind number that the format reserves.
pub(crate) const KIND_RESERVED_MAX: u8 = 6;

impl Kind {
    /// The kind with this number on disk, if this version knows it.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Value),
            2 => Some(Self::Tombstone),
            _ => None,
        }
    }
}

/// One version of one key, borrowed from wherever it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: &'a [u8],
    pub(crate) sequence: Sequence,
    pub(crate) kind: Kind,
    /// Empty for a tombstone.
    pub(crate) value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Its place in the order.
    #[inline]
    pub(crate) fn position(&self) -> Position<'a> {
        Position { keyspace: self.keyspace, key: self.key, sequence: self.sequence }
    }
}

/// A place in the internal order, also between entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position<'a> {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: &'a [u8],
    pub(crate) sequence: Sequence,
}

impl<'a> Position<'a> {
    /// Before every version of `key`.
    pub(crate) fn first(keyspace: KeyspaceId, key: &'a [u8]) -> Self {
        Self { keyspace, key, sequence: crate::ids::SEQUENCE_MAX }
    }

    /// After every version of `key` (no operation has sequence 0).
    pub(crate) fn last(keyspace: KeyspaceId, key: &'a [u8]) -> Self {
        Self { keyspace, key, sequence: Sequence(0) }
    }

    /// Whether both are versions of one key.
    #[inline]
    pub(crate) fn same_key(&self, other: &Position<'_>) -> bool {
        self.keyspace == other.keyspace && same_bytes(self.key, other.key)
    }
}

impl Ord for Position<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.keyspace
            .cmp(&other.keyspace)
            .then_with(|| order_bytes(self.key, other.key))
            .then_with(|| other.sequence.cmp(&self.sequence))
    }
}

impl PartialOrd for Position<'_> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether two keys are the same. Neighbours in the order mostly differ in their last bytes, so
/// those are looked at first, which takes no call.
#[inline]
pub(crate) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.last_chunk::<8>() == b.last_chunk::<8>() && a == b
}

/// The start of a key in numbers. Where two of them differ, their keys compare the same way; where
/// they do not, only the keys can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyWords {
    pub(crate) keyspace: u32,
    pub(crate) high: u64,
    pub(crate) low: u64,
}

impl KeyWords {
    /// Of `key` in `keyspace`.
    #[inline]
    pub(crate) fn new(keyspace: KeyspaceId, key: &[u8]) -> Self {
        let low = prefix_word(key.get(8..).unwrap_or_default());
        Self { keyspace: keyspace.0, high: prefix_word(key), low }
    }
}

/// The bytewise order of two keys. Keys of different origin mostly differ in their first bytes, so
/// those are looked at first, which takes no call.
#[inline]
pub(crate) fn order_bytes(a: &[u8], b: &[u8]) -> Ordering {
    if let (Some(first), Some(other)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        let first = u64::from_be_bytes(*first);
        let other = u64::from_be_bytes(*other);
        if first != other {
            return first.cmp(&other);
        }
    }
    a.cmp(b)
}

/// The first eight bytes of a key as a big-endian number, padded with zeros: compares like the key
/// wherever it differs.
#[inline]
pub(crate) fn prefix_word(key: &[u8]) -> u64 {
    if let Some(word) = key.first_chunk::<8>() {
        return u64::from_be_bytes(*word);
    }
    let mut word = [0; 8];
    word[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_their_bytes_are() {
        let key = *b"0123456789";
        let mut keys: Vec<Vec<u8>> = (0..=key.len()).map(|len| key[..len].to_vec()).collect();
        for at in 0..key.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut other = key.to_vec();
                other[at] = byte;
                keys.push(other);
            }
        }
        for a in &keys {
            for b in &keys {
                assert_eq!(order_bytes(a, b), a.cmp(b), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn keys_are_the_same_only_if_every_byte_is() {
        for len in [0, 1, 7, 8, 9, 16, 40] {
            let key: Vec<u8> = (0..len).collect();
            assert!(same_bytes(&key, &key.clone()));
            for at in 0..key.len() {
                let mut other = key.clone();
                other[at] ^= 1;
                assert!(!same_bytes(&key, &other), "byte {at} of {len}");
                assert!(!same_bytes(&key, &key[..at]) && !same_bytes(&key, &key[at + 1..]));
            }
        }
    }
}
