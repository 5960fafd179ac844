//! The blocked Bloom filter: one cache line per lookup, no false negative.
//!
//! Kept as 64-byte lines of eight 64-bit words. Everything derives from the 64-bit key hash of
//! [`super::hash`], so one hash serves every filter of a lookup.
//!
//! # Specification (filter id 1), for a filter of `lines` lines and `PROBES` probes
//!
//! ```text
//! line  = (hash >> 32) * lines >> 32              the high half picks the line, without a division
//! g     = hash as u32 (low half) * 0x9e3779b1
//! each of PROBES: bit = g >> 23 (0..512), that is bit % 64 of word bit / 64; then g *= 0x9e3779b1
//! ```
//!
//! # Bytes of a stored filter
//!
//! | at | width | what |
//! |---|---|---|
//! | 0 | 1 | filter id, 1 |
//! | 1 | 1 | hash id, 1 |
//! | 2 | 1 | probes, 1..=16 |
//! | 3 | 1 | zero |
//! | 4 | 4 | number of lines, at least 1 |
//! | 8 | 64 × lines | the lines, each eight little-endian words |
//!
//! With 10 bits a key and 6 probes about 1 in 100 absent keys passes.

use super::Malformed;
use super::coding::Decoder;
use crate::prefetch::prefetch;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Probes per lookup: the best number for about 10 bits a key.
pub(crate) const PROBES: u8 = 6;

/// Words of a 64-byte line.
const LINE_WORDS: usize = 8;
const HEADER_BYTES: usize = 8;
const MULTIPLIER: u32 = 0x9e37_79b1;

/// All that a lookup looks at, and on one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_WORDS]);

/// A filter's bits. Setting needs one writer; testing may go on at the same time and sees every bit
/// whose setting happened before it in the usual sense.
#[derive(Debug)]
pub(crate) struct Filter {
    lines: Box<[Line]>,
    probes: u8,
}

impl Filter {
    /// An empty filter for `keys` keys at `bits_per_key` bits each. Costs that many bits of memory.
    pub(crate) fn new(keys: usize, bits_per_key: u8) -> Self {
        let bits = (keys as u64).saturating_mul(u64::from(bits_per_key));
        let lines = u32::try_from(bits.div_ceil(512).max(1)).unwrap_or(u32::MAX);
        Self { lines: (0..lines).map(|_| Line::default()).collect(), probes: PROBES }
    }

    /// An empty filter of the size that a stored form of `stored_bytes` bytes has, if any has.
    pub(crate) fn of_stored_bytes(stored_bytes: usize) -> Option<Self> {
        let line_bytes = stored_bytes.checked_sub(HEADER_BYTES)?;
        let lines = u32::try_from(line_bytes / 64).ok().filter(|&lines| lines > 0)?;
        if line_bytes % 64 != 0 {
            return None;
        }
        Some(Self { lines: (0..lines).map(|_| Line::default()).collect(), probes: PROBES })
    }

    /// Adds a key by its hash. One writer at a time.
    #[inline]
    pub(crate) fn insert(&self, hash: u64) {
        let line = self.line(hash);
        let mut g = (hash as u32).wrapping_mul(MULTIPLIER);
        for _ in 0..self.probes {
            let bit = g >> 23;
            let word = &line[(bit / 64) as usize];
            // Relaxed, and no read-modify-write: the commit section is the one writer, and readers
            // are ordered after it by the Release store of `visible`.
            word.store(word.load(Ordering::Relaxed) | 1 << (bit % 64), Ordering::Relaxed);
            g = g.wrapping_mul(MULTIPLIER);
        }
    }

    /// Whether a key with this hash may have been added; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let line = self.line(hash);
        let mut g = (hash as u32).wrapping_mul(MULTIPLIER);
        for _ in 0..self.probes {
            let bit = g >> 23;
            if line[(bit / 64) as usize].load(Ordering::Relaxed) & 1 << (bit % 64) == 0 {
                return false;
            }
            g = g.wrapping_mul(MULTIPLIER);
        }
        true
    }

    /// Asks for what [`Self::may_contain`] looks at.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(self.line(hash).as_ptr().addr(), 1);
    }

    #[inline]
    fn line(&self, hash: u64) -> &[AtomicU64; LINE_WORDS] {
        // Their number is one of 32 bits.
        &self.lines[(((hash >> 32) * self.lines.len() as u64) >> 32) as usize].0
    }

    /// Memory of the bits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Appends the stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, 1, self.probes, 0]);
        out.extend_from_slice(&(self.lines.len() as u32).to_le_bytes());
        for word in self.lines.iter().flat_map(|line| &line.0) {
            out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes, "filter");
        let head = decoder.array::<4>()?;
        if head[0] != 1 || head[1] != 1 {
            let got = format!("filter {}, hash {}", head[0], head[1]);
            return Err(Malformed::new(0, "filter", "filter 1, hash 1", got).newer());
        }
        if !(1..=16).contains(&head[2]) || head[3] != 0 {
            return Err(Malformed::new(2, "filter", "1 to 16 probes", format!("{:?}", &head[2..])));
        }
        let lines = decoder.u32()?;
        let want = HEADER_BYTES as u64 + u64::from(lines) * 64;
        if lines == 0 || bytes.len() as u64 != want {
            let got = format!("{} bytes for {lines} lines", bytes.len());
            return Err(Malformed::new(4, "filter", format!("{want} bytes"), got));
        }
        let mut read = Vec::with_capacity(lines as usize);
        for _ in 0..lines {
            let line = Line::default();
            for word in &line.0 {
                word.store(decoder.u64()?, Ordering::Relaxed);
            }
            read.push(line);
        }
        decoder.finish()?;
        Ok(Self { lines: read.into(), probes: head[2] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::key_hash;
    use crate::ids::KeyspaceId;

    fn hash(n: u64) -> u64 {
        key_hash(KeyspaceId(0), &n.to_be_bytes())
    }

    #[test]
    fn no_false_negative_and_about_one_percent_false_positives() {
        let filter = Filter::new(20_000, 10);
        (0..20_000).for_each(|n| filter.insert(hash(n)));
        assert!((0..20_000).all(|n| filter.may_contain(hash(n))));
        let passed = (20_000..120_000).filter(|&n| filter.may_contain(hash(n))).count();
        assert!(passed < 1_600, "{passed} of 100,000 absent keys passed");
    }

    #[test]
    fn the_stored_form_answers_the_same_and_any_other_bytes_are_malformed() {
        let filter = Filter::new(100, 10);
        (0..100).for_each(|n| filter.insert(hash(n)));
        let mut bytes = Vec::new();
        filter.encode(&mut bytes);
        assert_eq!(&bytes[..8], &[1, 1, 6, 0, 2, 0, 0, 0]);
        assert_eq!(bytes.len(), 8 + 128);
        let decoded = Filter::decode(&bytes).unwrap();
        assert!((0..10_000).all(|n| decoded.may_contain(hash(n)) == filter.may_contain(hash(n))));
        let again = Filter::of_stored_bytes(bytes.len()).unwrap();
        (0..100).for_each(|n| again.insert(hash(n)));
        let mut stored = Vec::new();
        again.encode(&mut stored);
        assert!(stored == bytes, "the same size and keys make the same filter");
        for len in 0..bytes.len() {
            assert!(Filter::decode(&bytes[..len]).is_err());
            assert!(Filter::of_stored_bytes(len).is_none() || len == 72);
        }
        for at in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            assert!(Filter::decode(&damaged).is_err(), "byte {at}");
        }
    }
}
