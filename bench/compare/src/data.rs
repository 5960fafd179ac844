//! Keys and values. A key is a function of the seed and its number, and a value of its key, so that
//! whatever is read can be checked without anything being kept.
//!
//! Keys are spread evenly and their numbers are in bytewise order: number 7 is the neighbour of
//! number 8. Besides their first bits, which neighbours share, they are noise.

use crate::Result;

pub(crate) const KEY_BYTES: usize = 20;

pub(crate) type Key = [u8; KEY_BYTES];

/// Values begin anywhere in this much data: so much that one block holds no piece of it twice.
const POOL_BYTES: usize = 1 << 20;

/// Noise that comes twice in a row, so that LZ4 saves a quarter, as it does on many real values.
const NOISE_BYTES: usize = 50;

/// The sets of pairs that workloads read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// As many keys as asked for, 100-byte values.
    Small,
    /// The records of YCSB: a fifth of the keys, 1,000-byte values.
    Kilobyte,
    /// A twentieth of the keys, values of 4 KiB.
    FourKib,
    /// One of 320 keys, values of 64 KiB.
    SixtyFourKib,
}

impl Shape {
    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Self::Small => 100,
            Self::Kilobyte => 1_000,
            Self::FourKib => 4 << 10,
            Self::SixtyFourKib => 64 << 10,
        }
    }

    /// How many keys there are of this shape where there are `n` of the small one.
    pub(crate) fn count(self, n: u64) -> u64 {
        let share = match self {
            Self::Small => 1,
            Self::Kilobyte => 5,
            Self::FourKib => 20,
            Self::SixtyFourKib => 320,
        };
        (n / share).max(100)
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(self, n: u64) -> u64 {
        self.count(n) * (KEY_BYTES + self.value_bytes()) as u64
    }
}

/// One set of pairs.
pub(crate) struct Data {
    seed: u64,
    count: u64,
    value_bytes: usize,
    pool: Vec<u8>,
    order: Order,
}

impl Data {
    pub(crate) fn new(seed: u64, shape: Shape, n: u64) -> Self {
        let seed = mix(mix(seed));
        let value_bytes = shape.value_bytes();
        let mut pool = Vec::with_capacity(POOL_BYTES + value_bytes + 2 * NOISE_BYTES);
        let mut word = 0;
        while pool.len() < POOL_BYTES + value_bytes {
            let noise = (word..).take(NOISE_BYTES.div_ceil(8)).map(|word| mix(seed ^ word));
            let noise: Vec<u8> = noise.flat_map(u64::to_le_bytes).take(NOISE_BYTES).collect();
            pool.extend_from_slice(&noise);
            pool.extend_from_slice(&noise);
            word += NOISE_BYTES as u64;
        }
        let count = shape.count(n);
        Self { seed, count, value_bytes, pool, order: Order::new(seed, count) }
    }

    /// How many keys are loaded.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn entry_bytes(&self) -> u64 {
        (KEY_BYTES + self.value_bytes) as u64
    }

    /// Key number `i`, in order, of those that are loaded.
    #[inline]
    pub(crate) fn key(&self, i: u64) -> Key {
        self.key_at(2 * i)
    }

    /// A key right behind that of the same number. It is not loaded.
    #[inline]
    pub(crate) fn absent_key(&self, i: u64) -> Key {
        self.key_at(2 * i + 1)
    }

    #[inline]
    fn key_at(&self, slot: u64) -> Key {
        let width = u64::MAX / (2 * self.count);
        let noise = mix(self.seed ^ slot);
        with_noise(slot * width + below(noise, width), noise)
    }

    /// Key number `i` of a queue: each behind the one before.
    #[inline]
    pub(crate) fn queue_key(&self, i: u64) -> Key {
        with_noise(i, mix(self.seed ^ i))
    }

    /// The value that a key has, whoever wrote it.
    #[inline]
    pub(crate) fn value(&self, key: &[u8]) -> &[u8] {
        let head = key.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        let at = below(mix(self.seed ^ head), POOL_BYTES as u64) as usize;
        &self.pool[at..at + self.value_bytes]
    }

    /// Whether this is the value of that key.
    #[inline]
    pub(crate) fn is_right(&self, key: &[u8], value: &[u8]) -> bool {
        value == self.value(key)
    }

    /// Number `i` of an order that looks random and has each key once.
    #[inline]
    pub(crate) fn shuffled(&self, i: u64) -> u64 {
        self.order.place(i)
    }

    /// A number below `n`: choice `i` of `thread`.
    #[inline]
    pub(crate) fn choice(&self, thread: u64, i: u64, n: u64) -> u64 {
        below(mix(mix(self.seed ^ thread) ^ i), n)
    }
}

/// What a read gave that no write put there.
pub(crate) fn wrong(what: &str, key: &[u8]) -> Result<()> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    Err(format!("wrong answer: {what}, key {hex}").into())
}

fn with_noise(head: u64, noise: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let more = mix(noise);
    key[..8].copy_from_slice(&head.to_be_bytes());
    key[8..16].copy_from_slice(&more.to_le_bytes());
    key[16..].copy_from_slice(&noise.to_le_bytes()[..4]);
    key
}

/// Each number below `count` once, by a Feistel network over the next even number of bits.
struct Order {
    seed: u64,
    count: u64,
    half_bits: u32,
}

impl Order {
    fn new(seed: u64, count: u64) -> Self {
        let bits = count.next_power_of_two().ilog2();
        Self { seed, count, half_bits: bits.div_ceil(2).max(1) }
    }

    #[inline]
    fn place(&self, i: u64) -> u64 {
        debug_assert!(i < self.count);
        let mask = (1 << self.half_bits) - 1;
        let mut at = i;
        loop {
            let mut left = at >> self.half_bits;
            let mut right = at & mask;
            for round in 0..4 {
                let next = left ^ (mix(self.seed ^ right ^ (round << 60)) & mask);
                left = right;
                right = next;
            }
            at = left << self.half_bits | right;
            // Numbers past the end are sent on until they come back.
            if at < self.count {
                return at;
            }
        }
    }
}

/// Ranks as YCSB draws them: few keys take most of the draws (skew 0.99), spread over all keys.
pub(crate) struct Zipf {
    /// Drawn beforehand, so that drawing is in no figure.
    draws: Vec<u32>,
}

impl Zipf {
    const SKEW: f64 = 0.99;

    const DRAWS: u64 = 1 << 20;

    /// After Gray et al., "Quickly generating billion-record synthetic databases".
    pub(crate) fn new(data: &Data) -> Self {
        let n = data.count;
        let zeta: f64 = (1..=n).map(|rank| (rank as f64).powf(-Self::SKEW)).sum();
        let two = 1.0 + 0.5_f64.powf(Self::SKEW);
        let alpha = 1.0 / (1.0 - Self::SKEW);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - Self::SKEW)) / (1.0 - two / zeta);
        let draw = |i| {
            let uniform = (mix(data.seed ^ i) >> 11) as f64 / (1_u64 << 53) as f64;
            let rank = match uniform * zeta {
                sum if sum < 1.0 => 0,
                sum if sum < two => 1,
                _ => (n as f64 * (eta * uniform - eta + 1.0).powf(alpha)) as u64,
            };
            u32::try_from(data.shuffled(rank.min(n - 1))).unwrap_or(0)
        };
        Self { draws: (0..Self::DRAWS).map(draw).collect() }
    }

    /// The number of the key that is drawn next.
    #[inline]
    pub(crate) fn draw(&self, i: u64) -> u64 {
        u64::from(self.draws[(i % Self::DRAWS) as usize])
    }
}

/// The finaliser of splitmix64 over a Weyl step: a different word for each input.
#[inline]
fn mix(i: u64) -> u64 {
    let mut word = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A word brought below `n` by a multiplication.
#[inline]
fn below(word: u64, n: u64) -> u64 {
    ((u128::from(word) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_absent_ones_lie_between() {
        let data = Data::new(7, Shape::Small, 1_000);
        for i in 0..999 {
            assert!(data.key(i) < data.absent_key(i) && data.absent_key(i) < data.key(i + 1));
            assert!(data.is_right(&data.key(i), data.value(&data.key(i))));
            assert!(!data.is_right(&data.key(i), data.value(&data.key(i + 1))));
        }
        assert_ne!(data.key(0), Data::new(8, Shape::Small, 1_000).key(0));
    }

    #[test]
    fn the_order_has_each_number_once() {
        for count in [1, 2, 100, 1_000, 1_025] {
            let order = Order::new(3, count);
            let mut seen: Vec<u64> = (0..count).map(|i| order.place(i)).collect();
            assert!(count < 100 || !seen.is_sorted());
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn few_keys_take_most_of_the_draws() {
        let data = Data::new(1, Shape::Small, 10_000);
        let zipf = Zipf::new(&data);
        let mut counts = vec![0_u64; 10_000];
        (0..Zipf::DRAWS).for_each(|i| counts[zipf.draw(i) as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let share = counts[..100].iter().sum::<u64>() as f64 / Zipf::DRAWS as f64;
        assert!((0.45..0.65).contains(&share), "{share}");
    }
}
