//! Files in other encodings, read as UTF-8.

use std::io::{self, BufRead, Read};

/// How a file writes characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    /// As the byte order mark at its start says; without one the little end comes first.
    Utf16,
    Utf16Le,
    Utf16Be,
    /// Each byte is the character of that number.
    Latin1,
}

impl Encoding {
    /// The names that are offered.
    pub(crate) const NAMES: &[&str] = &["utf-8", "utf-16", "utf-16le", "utf-16be", "latin-1"];

    /// The encoding of that name; other programs' spellings are taken, too.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "utf-16" | "utf16" => Some(Self::Utf16),
            "utf-16le" | "utf16le" => Some(Self::Utf16Le),
            "utf-16be" | "utf16be" => Some(Self::Utf16Be),
            "latin-1" | "latin1" | "iso-8859-1" => Some(Self::Latin1),
            _ => None,
        }
    }
}

/// A file of another encoding as UTF-8.
pub(crate) struct Decoder<R> {
    inner: R,
    encoding: Encoding,
    /// Bytes read that are no whole character yet: at most 3.
    left: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` has been taken.
    taken: usize,
    /// Bytes read before `left`, for messages.
    passed: u64,
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(inner: R, encoding: Encoding) -> Self {
        Self { inner, encoding, left: Vec::new(), out: Vec::new(), taken: 0, passed: 0 }
    }

    /// Decodes what can be read without waiting for more than one read.
    fn refill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        while self.out.is_empty() {
            let read = self.inner.fill_buf()?;
            let count = read.len();
            if count == 0 {
                return if self.left.is_empty() { Ok(()) } else { Err(self.wrong()) };
            }
            self.left.extend_from_slice(read);
            self.inner.consume(count);
            match self.encoding {
                Encoding::Utf8 => self.out.append(&mut self.left),
                Encoding::Latin1 => {
                    let mut utf8 = [0; 4];
                    for byte in self.left.drain(..) {
                        let text = char::from(byte).encode_utf8(&mut utf8);
                        self.out.extend_from_slice(text.as_bytes());
                    }
                }
                _ => self.utf_16()?,
            }
        }
        Ok(())
    }

    fn utf_16(&mut self) -> io::Result<()> {
        let unit = |pair: &[u8], encoding| match (pair, encoding) {
            (&[high, low], Encoding::Utf16Be) => u16::from_be_bytes([high, low]),
            (&[low, high], _) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        let mut at = 0;
        while let Some(pair) = self.left.get(at..at + 2) {
            if self.passed == 0 && at == 0 && self.encoding == Encoding::Utf16 {
                let big = pair == [0xfe, 0xff];
                self.encoding = if big { Encoding::Utf16Be } else { Encoding::Utf16Le };
            }
            let first = unit(pair, self.encoding);
            let mut units = vec![first];
            if (0xd800..0xdc00).contains(&first) {
                let Some(pair) = self.left.get(at + 2..at + 4) else { break };
                units.push(unit(pair, self.encoding));
            }
            let mut characters = char::decode_utf16(units.iter().copied());
            let (Some(Ok(character)), None) = (characters.next(), characters.next()) else {
                self.passed += at as u64;
                return Err(self.wrong());
            };
            self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            at += 2 * units.len();
        }
        self.left.drain(..at);
        self.passed += at as u64;
        Ok(())
    }

    fn wrong(&self) -> io::Error {
        io::Error::other(format!("no UTF-16 at byte {}: is it another encoding?", self.passed))
    }
}

impl<R: BufRead> BufRead for Decoder<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.out.len() {
            self.refill()?;
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, count: usize) {
        self.taken += count;
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decoded, given a few bytes at a time.
    fn decode(encoding: Encoding, bytes: &[u8], step: usize) -> io::Result<String> {
        let mut text = String::new();
        let reader = io::BufReader::with_capacity(step, bytes);
        Decoder::new(reader, encoding).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn each_encoding_becomes_utf_8() {
        let text = "\u{feff}kéy,日本 😀\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for step in [1, 2, 3, 5, 64] {
            for (encoding, bytes) in [
                (Encoding::Utf16Le, &little),
                (Encoding::Utf16Be, &big),
                (Encoding::Utf16, &little),
                (Encoding::Utf16, &big),
                (Encoding::Utf8, &text.as_bytes().to_vec()),
            ] {
                assert_eq!(decode(encoding, bytes, step).unwrap(), text, "{encoding:?}");
            }
            assert_eq!(decode(Encoding::Latin1, b"caf\xe9\n", step).unwrap(), "café\n");
            for bytes in [&b"a\0b"[..], b"a\0\x00\xdc", b"\x00\xd8", b"\x00\xd8a\0"] {
                assert!(decode(Encoding::Utf16Le, bytes, step).is_err(), "{bytes:?}");
            }
        }
    }
}
