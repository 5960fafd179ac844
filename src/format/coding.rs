//! Fixed-width little-endian integers and LEB128 varints, and a cursor that reads them from bytes
//! that nobody has vouched for.

use super::Malformed;

/// The longest varint of a `u64`, in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as LEB128: seven bits a byte, low bits first, the high bit set on all but the
/// last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `bytes` after their length as a varint.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes that are mostly few, as those of a key are, without the call that it takes to copy
/// any number of them: as two pieces of one length, which overlap.
#[inline(always)]
pub(crate) fn put_few(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        16..=32 => put_ends::<16>(out, bytes),
        8..=15 => put_ends::<8>(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
}

#[inline(always)]
fn put_ends<const BYTES: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<BYTES>(), bytes.last_chunk::<BYTES>()) {
        out.extend_from_slice(first);
        out.truncate(out.len() + bytes.len() - 2 * BYTES);
        out.extend_from_slice(last);
    }
}

/// Copies bytes that are mostly few to others, as many, as [`put_few`] appends them.
#[inline(always)]
pub(crate) fn copy_few(to: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        16..=32 => copy_ends::<16>(to, bytes),
        8..=15 => copy_ends::<8>(to, bytes),
        _ => to.copy_from_slice(bytes),
    }
}

#[inline(always)]
fn copy_ends<const BYTES: usize>(to: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(first)) = (to.first_chunk_mut::<BYTES>(), bytes.first_chunk::<BYTES>()) {
        *to = *first;
    }
    if let (Some(to), Some(last)) = (to.last_chunk_mut::<BYTES>(), bytes.last_chunk::<BYTES>()) {
        *to = *last;
    }
}

/// Whether bytes that are mostly few are the same, without a call for up to 32 of them: by two
/// pieces of one length, which overlap.
#[inline(always)]
pub(crate) fn equal_few(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && match a.len() {
            0 => true,
            8..=16 => equal_ends::<8>(a, b),
            17..=32 => equal_ends::<16>(a, b),
            4..=7 => equal_ends::<4>(a, b),
            _ => a == b,
        }
}

#[inline(always)]
fn equal_ends<const BYTES: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<BYTES>() == b.first_chunk::<BYTES>()
        && a.last_chunk::<BYTES>() == b.last_chunk::<BYTES>()
}

/// How many bytes are mostly enough.
pub(crate) const PIECE_BYTES: usize = 32;

/// Copies a part of `bytes` that is mostly short to `out` at `at`, and whatever is behind it in
/// `bytes` to a whole piece there, for which `out` has room.
#[inline(always)]
pub(crate) fn copy_part(out: &mut [u8], at: usize, bytes: &[u8], from: usize, to: usize) {
    let piece = bytes.get(from..).and_then(<[u8]>::first_chunk::<PIECE_BYTES>);
    let room = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<PIECE_BYTES>);
    match (room, piece) {
        (Some(room), Some(piece)) if to - from <= PIECE_BYTES => *room = *piece,
        _ => out[at..at + (to - from)].copy_from_slice(&bytes[from..to]),
    }
}

/// Reads integers and byte strings off the front of a slice; every shortage is a [`Malformed`].
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Decoder<'a> {
    /// Reads `bytes`, naming the structure `what` in errors.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// The offset of the next byte to read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A complaint about the structure at the current offset.
    pub(crate) fn malformed(
        &self,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Malformed {
        Malformed::new(self.at, self.what, expected, got)
    }

    /// The next `len` bytes.
    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let Some((taken, _)) = left.split_at_checked(len) else { return Err(self.short_of(len)) };
        self.at += len;
        Ok(taken)
    }

    #[cold]
    fn short_of(&self, len: usize) -> Malformed {
        self.malformed(format!("{len} more bytes"), self.remaining().to_string())
    }

    /// The next `N` bytes as an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next varint; more than 64 bits, or a longer form than needed, is malformed.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (index, &byte) in self.bytes[self.at..].iter().take(VARINT_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index as u32;
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                if byte == 0 && index > 0 {
                    break;
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.malformed("a varint of at most 64 bits in its shortest form", "none"))
    }

    /// The next varint as a 32-bit number.
    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        let at = self.clone();
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| at.malformed("a number of 32 bits", value.to_string()))
    }

    /// A byte string after its length as a varint.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.take(len)
    }

    /// Ends the reading: bytes left over are malformed.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.malformed("the end", format!("{left} more bytes"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is appended is what was given, at every length, whatever lies before and behind.
    #[test]
    fn few_bytes_are_equal_only_if_every_byte_is() {
        for len in 0..=40 {
            let bytes: Vec<u8> = (0..len).collect();
            assert!(equal_few(&bytes, &bytes.clone()), "{len} bytes");
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x10;
                assert!(!equal_few(&bytes, &other), "byte {at} of {len}");
                assert!(!equal_few(&bytes, &bytes[..at]) && !equal_few(&bytes[at..], &[]));
            }
        }
    }

    #[test]
    fn short_and_long_bytes_are_appended_whole() {
        let bytes: Vec<u8> = (1..=100).collect();
        for len in 0..=bytes.len() {
            for before in [0, 1, 40] {
                let want = [&bytes[..before], &bytes[..len]].concat();
                let mut out = bytes[..before].to_vec();
                put_few(&mut out, &bytes[..len]);
                assert_eq!(out, want);
                for from in [0, 1, 60].into_iter().filter(|&from| from + len <= bytes.len()) {
                    let mut room = [want.as_slice(), &[0; PIECE_BYTES]].concat();
                    room[before..].fill(0);
                    copy_part(&mut room, before, &bytes, from, from + len);
                    assert_eq!(room[..before], want[..before]);
                    assert_eq!(room[before..before + len], bytes[from..from + len]);
                }
                out.resize(before + len, 0);
                copy_few(&mut out[before..], &bytes[..len]);
                assert_eq!(out, want);
            }
        }
    }

    fn check(value: u64, want: &[u8]) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        assert_eq!(bytes, want);
        let mut decoder = Decoder::new(&bytes, "varint");
        assert_eq!(decoder.varint(), Ok(value));
        assert!(decoder.finish().is_ok());
        for len in 0..bytes.len() {
            assert!(Decoder::new(&bytes[..len], "varint").varint().is_err());
        }
    }

    #[test]
    fn varints_have_golden_bytes_and_no_shorter_prefix() {
        check(0, &[0]);
        check(127, &[0x7f]);
        check(128, &[0x80, 1]);
        check(300, &[0xac, 2]);
        check(u64::from(u32::MAX), &[0xff, 0xff, 0xff, 0xff, 0x0f]);
        check(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn overlong_and_oversized_varints_are_malformed() {
        for bytes in [
            &[0x80, 0][..],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert!(Decoder::new(bytes, "varint").varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_malformed() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        bytes.extend_from_slice(b"abc");
        assert!(Decoder::new(&bytes, "bytes").bytes().is_err());
    }
}
