//! Round trips, the judgement of what is worth it, and any bytes at all for the decoder.

use super::*;

struct Random(fastrand::Rng);

impl Random {
    fn from_env() -> Self {
        let seed = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(0x1_24b1);
        eprintln!("ALLUVIUM_SEED={seed}");
        Self::new(seed)
    }

    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Random bytes and copies of earlier ones, in pieces.
    fn payload(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let piece = 1 + self.below(40);
            if bytes.is_empty() || self.below(3) == 0 {
                bytes.extend((0..piece).map(|_| self.next() as u8));
            } else {
                let from = self.below(bytes.len());
                (0..piece).for_each(|i| bytes.push(bytes[from + i]));
            }
        }
        bytes.truncate(len);
        bytes
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn unpack(stored: &[u8], raw: usize) -> Result<Vec<u8>, Malformed> {
    decompress(stored, raw as u32)
}

#[test]
fn what_is_compressed_comes_back_and_was_worth_it() {
    let mut random = Random::from_env();
    let mut compressor = Compressor::default();
    let mut compressed = 0;
    // Sizes mixed, so that memory of one block is left for the next, on either side of 64 KiB.
    for round in 0..400 {
        let len = random.below(if round % 20 == 0 { 300_000 } else { 9_000 });
        let raw = random.payload(len);
        let Some(stored) = compressor.compress(&raw) else { continue };
        compressed += 1;
        assert!(stored.len() <= len - len / 8, "{} of {len}", stored.len());
        assert!(lengths_agree(stored.len() as u32, len as u32));
        assert!(unpack(stored, len).unwrap() == raw, "{len} bytes");
    }
    assert!(compressed > 300, "{compressed}");
}

#[test]
fn what_does_not_get_an_eighth_shorter_stays() {
    let mut random = Random::new(7);
    let mut compressor = Compressor::default();
    for len in [0, 1, 12, 13, 100, 4_096, 100_000] {
        assert_eq!(compressor.compress(&random.noise(len)), None, "{len} bytes");
    }
    // Noise and then zeros, which cost next to nothing: an eighth, give or take a few bytes.
    let mut check = |zeros: usize, want: bool| {
        let raw = [random.noise(4_096 - zeros), vec![0; zeros]].concat();
        assert_eq!(compressor.compress(&raw).is_some(), want, "{zeros} zeros");
    };
    check(480, false);
    check(560, true);
    assert!(is_worth_it(3_584, 4_096) && !is_worth_it(3_585, 4_096));
    assert!(!is_worth_it(7, 7) && !is_worth_it(0, 0) && is_worth_it(6, 7));
}

#[test]
fn what_is_longer_than_a_reader_would_believe_stays() {
    let mut compressor = Compressor::default();
    let zeros = vec![0; LZ4_RAW_BYTES_MAX as usize + 1];
    assert!(compressor.compress(&zeros).is_none());
    let stored = compressor.compress(&zeros[1..]).unwrap();
    assert!(lengths_agree(stored.len() as u32, LZ4_RAW_BYTES_MAX));
    assert!(unpack(stored, zeros.len() - 1).unwrap() == zeros[1..]);
    compressor.compress(b"k");
    assert!(compressor.out.capacity() <= 2 * KEPT_BYTES_MAX, "memory for one block is given back");
}

#[test]
fn after_many_attempts_in_vain_few_are_made_until_one_succeeds() {
    let text = vec![b'x'; 1_000];
    let noise = Random::new(3).noise(1_000);
    let mut compressor = Compressor::default();
    let mut worth = |raw: &[u8]| compressor.compress(raw).is_some();
    (0..VAIN_MAX).for_each(|_| assert!(!worth(&noise)));
    let passed_over = (1..TRIED_ONE_IN).take_while(|_| !worth(&text)).count();
    assert_eq!(passed_over, 7, "the eighth is tried");
    assert!(worth(&text));
    assert!(!worth(&noise) && worth(&text), "and then all are again");
}

/// I19: whatever the bytes, an error or just the length that was asked for.
#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut random = Random::from_env();
    let mut compressor = Compressor::default();
    let mut sound = 0;
    for _ in 0..3_000 {
        let len = 20 + random.below(600);
        let raw = random.payload(len);
        let mut stored = compressor.compress(&raw).map_or_else(|| raw.clone(), <[u8]>::to_vec);
        match random.below(4) {
            0 => stored.truncate(random.below(stored.len())),
            1 => stored = random.noise(len),
            _ => {}
        }
        for _ in 0..random.below(4) {
            let at = random.below(stored.len().max(1));
            stored.get_mut(at).into_iter().for_each(|byte| *byte = random.next() as u8);
        }
        let asked = if random.below(2) == 0 { len } else { random.below(2 * len) };
        if let Ok(out) = unpack(&stored, asked) {
            assert_eq!(out.len(), asked);
            sound += 1;
        }
    }
    assert!((50..2_900).contains(&sound), "both outcomes are common, {sound}");
}

/// Another encoder's block, byte by byte from the format's specification.
#[test]
fn golden_bytes() {
    // Token: 1 literal, match of 4 + 15 and more; offset 1; 2 more; then the last literals.
    let stored = b"\x1fa\x01\0\x02\x50vwxyz";
    assert_eq!(unpack(stored, 27).unwrap(), b"aaaaaaaaaaaaaaaaaaaaaavwxyz");
    assert!(unpack(stored, 26).is_err() && unpack(stored, 28).is_err());
    // An offset of zero, and one before the beginning.
    assert!(unpack(b"\x1fa\0\0\x02\x50vwxyz", 27).is_err());
    assert!(unpack(b"\x1fa\x02\0\x02\x50vwxyz", 27).is_err());
}
