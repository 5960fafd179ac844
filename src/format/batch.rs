//! The bodies of log records: a batch of operations, or one control.
//!
//! A [`BatchBuffer`] is filled by the writing thread before it enters the commit section, with the
//! record's header left as a gap in front, so that a batch is appended without a copy.
//! Nothing here knows a sequence: operation *i* of a record has the record's first sequence plus
//! *i*.
//!
//! # Bytes of an operation
//!
//! | width | what |
//! |---|---|
//! | 1 | kind: 1 value, 2 tombstone |
//! | varint | keyspace id, 32 bits |
//! | varint | key length, at most 65,535 |
//! | key length | key |
//! | varint | value length, at most 1 GiB; kind 1 only |
//! | value length | value; kind 1 only |
//!
//! The body of a data record is its operations one after the other, without a count: the record's
//! header has one, and replay compares.
//!
//! # Bytes of a control
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 1 | 1: drop keyspace |
//! | 1 | 4 | keyspace id |

use super::Malformed;
use super::coding::{Decoder, put_bytes, put_varint};
use super::key::{KEY_BYTES_MAX, KIND_RESERVED_MAX, Kind, VALUE_BYTES_MAX};
use super::record::RECORD_HEADER_BYTES;
use crate::ids::KeyspaceId;

/// A batch as it will stand in the log, behind a gap for the record's header.
#[derive(Debug)]
pub(crate) struct BatchBuffer {
    /// The gap, the operations, and the padding if there is any now.
    bytes: Vec<u8>,
    count: u32,
    /// How many of `bytes` are padding, 0..8.
    padding: usize,
}

impl Default for BatchBuffer {
    fn default() -> Self {
        Self { bytes: vec![0; RECORD_HEADER_BYTES], count: 0, padding: 0 }
    }
}

impl Clone for BatchBuffer {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), count: self.count, padding: self.padding }
    }

    fn clone_from(&mut self, from: &Self) {
        self.bytes.clone_from(&from.bytes);
        self.count = from.count;
        self.padding = from.padding;
    }
}

impl BatchBuffer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The body of a control record, which takes one sequence.
    pub(crate) fn control(control: Control) -> Self {
        let mut buffer = Self::new();
        buffer.bytes.extend_from_slice(&control.encode());
        buffer.count = 1;
        buffer
    }

    /// Forgets the operations and keeps the memory.
    pub(crate) fn clear(&mut self) {
        // Also gives the gap back to a buffer whose bytes were taken.
        self.bytes.resize(RECORD_HEADER_BYTES, 0);
        (self.count, self.padding) = (0, 0);
    }

    /// Adds a put. The caller has checked the lengths of key and value.
    pub(crate) fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        debug_assert!(value.len() <= VALUE_BYTES_MAX);
        self.start(Kind::Value, keyspace, key);
        put_bytes(&mut self.bytes, value);
    }

    /// Adds a delete. The caller has checked the length of the key.
    pub(crate) fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        self.start(Kind::Tombstone, keyspace, key);
    }

    fn start(&mut self, kind: Kind, keyspace: KeyspaceId, key: &[u8]) {
        debug_assert!(key.len() <= KEY_BYTES_MAX);
        self.unpad();
        self.bytes.push(kind as u8);
        put_varint(&mut self.bytes, u64::from(keyspace.0));
        put_bytes(&mut self.bytes, key);
        self.count += 1;
    }

    /// Whether somebody has taken the bytes.
    pub(crate) fn is_taken(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The operations' bytes.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[RECORD_HEADER_BYTES..self.bytes.len() - self.padding]
    }

    /// The length of [`Self::body`].
    pub(crate) fn body_len(&self) -> usize {
        self.bytes.len() - self.padding - RECORD_HEADER_BYTES
    }

    /// How many operations it holds.
    pub(crate) fn len_ops(&self) -> u32 {
        self.count
    }

    /// Appends the zeros that a record ends with: then [`Self::bytes_mut`] is a whole record,
    /// waiting for its header. Padding again changes nothing; adding an operation takes it off.
    pub(crate) fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(8);
        self.padding += padded - self.bytes.len();
        self.bytes.resize(padded, 0);
    }

    /// Takes the padding off again.
    pub(crate) fn unpad(&mut self) {
        self.bytes.truncate(self.bytes.len() - self.padding);
        self.padding = 0;
    }

    /// Gap, operations and padding; the header is put into the gap. The length must not be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// One operation of a batch, borrowed from its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op<'a> {
    pub(crate) kind: Kind,
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: &'a [u8],
    /// Empty for a tombstone.
    pub(crate) value: &'a [u8],
}

/// The operations of a data record's body, in order. Ends after the first error.
pub(crate) fn ops(body: &[u8]) -> Ops<'_> {
    Ops { body, rest: body }
}

/// The operation that `bytes` begin with, whatever follows it; `None` if they do not.
#[inline]
pub(crate) fn first_op(bytes: &[u8]) -> Option<Op<'_>> {
    split_op(bytes).map(|(op, _)| op)
}

/// The iterator that [`ops`] gives.
#[derive(Clone, Debug)]
pub(crate) struct Ops<'a> {
    body: &'a [u8],
    /// What is still to be read; nothing after an error.
    rest: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match split_op(self.rest) {
            Some((op, rest)) => {
                self.rest = rest;
                Ok(op)
            }
            None => Err(self.fail()),
        })
    }
}

impl std::iter::FusedIterator for Ops<'_> {}

impl<'a> Ops<'a> {
    /// What is still to be read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[cold]
    fn fail(&mut self) -> Malformed {
        let rest = std::mem::take(&mut self.rest);
        let at = self.body.len() - rest.len();
        let kind = rest.first().copied().unwrap_or_default();
        let known = Kind::from_byte(kind).is_some();
        let expected = if known { "a whole operation within bounds" } else { "kind 1 or 2" };
        let got = format!("kind {kind} and {} bytes to the end", rest.len());
        let malformed = Malformed::new(at, "batch", expected, got);
        let newer = !known && (1..=KIND_RESERVED_MAX).contains(&kind);
        if newer { malformed.newer() } else { malformed }
    }
}

/// The first operation of `bytes` and what follows it.
///
/// On slices and not on a [`Decoder`]: replay spends its time here, 22 ns an operation against 31.
#[inline]
fn split_op(bytes: &[u8]) -> Option<(Op<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let kind = Kind::from_byte(kind)?;
    let (keyspace, rest) = split_varint(rest)?;
    let keyspace = KeyspaceId(u32::try_from(keyspace).ok()?);
    let (key, rest) = split_bytes(rest, KEY_BYTES_MAX)?;
    let (value, rest) = match kind {
        Kind::Value => split_bytes(rest, VALUE_BYTES_MAX)?,
        Kind::Tombstone => (&[][..], rest),
    };
    Some((Op { kind, keyspace, key, value }, rest))
}

/// A byte string of at most `max` bytes off the front of `bytes`.
#[inline]
fn split_bytes(bytes: &[u8], max: usize) -> Option<(&[u8], &[u8])> {
    let (len, rest) = split_varint(bytes)?;
    let len = usize::try_from(len).ok().filter(|&len| len <= max)?;
    rest.split_at_checked(len)
}

/// A varint off the front of `bytes`: nearly always one byte.
#[inline]
fn split_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&byte, rest) = bytes.split_first()?;
    if byte < 0x80 {
        return Some((u64::from(byte), rest));
    }
    let mut decoder = Decoder::new(bytes, "batch");
    let value = decoder.varint().ok()?;
    Some((value, &bytes[decoder.at()..]))
}

/// Bytes of an encoded [`Control`].
pub(crate) const CONTROL_BYTES: usize = 5;

/// A change in the commit order that is not to a key. Takes one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The keyspace and everything in it below this record's sequence is gone.
    DropKeyspace(KeyspaceId),
}

impl Control {
    pub(crate) fn encode(&self) -> [u8; CONTROL_BYTES] {
        let Self::DropKeyspace(KeyspaceId(id)) = self;
        let mut bytes = [1; CONTROL_BYTES];
        bytes[1..].copy_from_slice(&id.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(body, "control");
        match decoder.u8()? {
            1 => {
                let id = KeyspaceId(decoder.u32()?);
                decoder.finish()?;
                Ok(Self::DropKeyspace(id))
            }
            other => Err(Malformed::new(0, "control", "1", other.to_string()).newer()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchBuffer {
        let mut batch = BatchBuffer::new();
        batch.put(KeyspaceId(0), b"key", b"value");
        batch.delete(KeyspaceId(300), b"");
        batch.put(KeyspaceId(u32::MAX), &[7; 200], b"");
        batch
    }

    fn all(body: &[u8]) -> Result<Vec<Op<'_>>, Malformed> {
        ops(body).collect()
    }

    #[test]
    fn golden_bytes() {
        let mut want =
            b"\x01\0\x03key\x05value\x02\xac\x02\0\x01\xff\xff\xff\xff\x0f\xc8\x01".to_vec();
        want.extend_from_slice(&[7; 200]);
        want.push(0);
        assert_eq!(sample().body(), want);
        assert_eq!(Control::DropKeyspace(KeyspaceId(258)).encode(), [1, 2, 1, 0, 0]);
    }

    #[test]
    fn operations_read_back_in_order() {
        let batch = sample();
        let op =
            |kind, keyspace, key, value| Op { kind, keyspace: KeyspaceId(keyspace), key, value };
        let want = [
            op(Kind::Value, 0, &b"key"[..], &b"value"[..]),
            op(Kind::Tombstone, 300, b"", b""),
            op(Kind::Value, u32::MAX, &[7; 200], b""),
        ];
        assert_eq!(all(batch.body()).unwrap(), want);
        assert_eq!((batch.len_ops(), batch.body_len()), (3, batch.body().len()));
        assert_eq!(ops(&[]).next(), None);
    }

    #[test]
    fn padding_comes_and_goes_without_touching_the_operations() {
        let mut batch = sample();
        let body = batch.body().to_vec();
        for _ in 0..2 {
            batch.pad();
            assert_eq!(batch.bytes_mut().len() % 8, 0);
            assert_eq!((batch.body(), batch.body_len()), (&body[..], body.len()));
        }
        batch.delete(KeyspaceId(1), b"x");
        assert_eq!(batch.body(), [&body[..], b"\x02\x01\x01x"].concat());
        batch.pad();
        batch.unpad();
        assert_eq!(batch.bytes_mut().len(), RECORD_HEADER_BYTES + body.len() + 4);
        batch.clear();
        assert_eq!((batch.body(), batch.len_ops()), (&[][..], 0));
        assert_eq!(batch.bytes_mut().len(), RECORD_HEADER_BYTES);
    }

    #[test]
    fn cut_and_damaged_bodies_never_panic_and_end_at_the_first_error() {
        let batch = sample();
        let body = batch.body();
        for len in 0..body.len() {
            // A cut between operations leaves fewer of them: the record's count tells.
            let whole = matches!(len, 0 | 12 | 16);
            assert_eq!(all(&body[..len]).is_ok(), whole, "cut to {len}");
        }
        for bit in 0..body.len() * 8 {
            let mut damaged = body.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut iter = ops(&damaged);
            while let Some(op) = iter.next() {
                if op.is_err() {
                    assert_eq!(iter.next(), None);
                }
            }
        }
    }

    #[test]
    fn bounds_and_reserved_kinds_are_enforced() {
        let mut long = vec![2, 0];
        put_bytes(&mut long, &[0; KEY_BYTES_MAX]);
        assert!(all(&long).is_ok());
        let mut longer = vec![2, 0];
        put_bytes(&mut longer, &[0; KEY_BYTES_MAX + 1]);
        assert!(all(&longer).is_err());
        for kind in [0, 3, 6, 7, 255] {
            let malformed = all(&[kind, 0, 0]).unwrap_err();
            assert_eq!(malformed.newer, (3..=6).contains(&kind), "kind {kind}");
        }
    }

    #[test]
    fn controls_read_back_and_other_bytes_are_malformed() {
        let control = Control::DropKeyspace(KeyspaceId(0x0102_0304));
        let bytes = control.encode();
        assert_eq!(Control::decode(&bytes), Ok(control));
        for len in 0..bytes.len() {
            assert!(Control::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(Control::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Control::decode(&[2, 0, 0, 0, 0]).unwrap_err().newer);
    }
}
