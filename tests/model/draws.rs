//! What the model draws: keys, values and bounds, with the awkward ones among them; and how an
//! iterator is drawn from and compared.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

use alluvium::{Range, Value};

use crate::random::Random;
use crate::{Bounds, Pair, Table};

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// From a small set, some far more often than others, with the awkward ones among them.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        match self.below(40) {
            0 => Vec::new(),
            1 => vec![0; 1 + self.below(9)],
            2 => vec![0xff; 1 + self.below(18)],
            3 => vec![b'l'; 300 + self.below(3)],
            4 if self.one_in(8) => vec![b'm'; 65_535],
            5 => [b"user:\xff\xff".as_slice(), &[self.below(3) as u8]].concat(),
            6 => [b"user:0000001".as_slice(), &[0; 3][..self.below(4)]].concat(),
            _ => {
                let rank = self.below(60).min(self.below(60));
                format!("user:{rank:07}").into_bytes()
            }
        }
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        let length = match self.below(20) {
            0 => 0,
            1..=11 => self.below(40),
            12..=17 => self.below(600),
            18 => self.below(5_000),
            _ => self.below(20 << 10),
        };
        // Different from every other value of more than a few bytes.
        let word = self.next().to_le_bytes();
        word.iter().copied().cycle().take(length).collect()
    }

    pub(crate) fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.below(3) {
            0 => Bound::Included(self.key()),
            1 => Bound::Excluded(self.key()),
            _ => Bound::Unbounded,
        }
    }
}

pub(crate) fn within(table: &Table, bounds: &Bounds) -> VecDeque<Pair> {
    let inside = table.iter().filter(|(key, _)| bounds.contains(*key));
    inside.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Draws once from either end, lent or to keep, and compares.
pub(crate) fn draw(iter: &mut Range, want: &mut VecDeque<Pair>, front: bool, lent: bool) {
    let kept = |pair: (Value, Value)| (pair.0.to_vec(), pair.1.to_vec());
    let copied = |pair: (&[u8], &[u8])| (pair.0.to_vec(), pair.1.to_vec());
    let got = match (front, lent) {
        (true, false) => iter.next().map(|pair| pair.map(kept)),
        (false, false) => iter.next_back().map(|pair| pair.map(kept)),
        (true, true) => iter.lend().map(|pair| pair.map(copied)),
        (false, true) => iter.lend_back().map(|pair| pair.map(copied)),
    };
    let got = got.map(|pair| pair.unwrap());
    let want = if front { want.pop_front() } else { want.pop_back() };
    // The keys first: they are what a person can read.
    let key = |pair: &Option<Pair>| pair.as_ref().map(|(key, _)| key.escape_ascii().to_string());
    assert_eq!(key(&got), key(&want), "drawn from the {}", if front { "front" } else { "back" });
    assert!(got == want, "the value of {:?} differs", key(&want));
}

/// Draws to the end and past it: forward, backward, or from both ends in turns.
pub(crate) fn drain(mut iter: Range, mut want: VecDeque<Pair>, random: &mut Random) {
    let turns = [usize::MAX, 12, 2][random.below(3)];
    let lends = [usize::MAX, 2, 1][random.below(3)];
    let mut front = random.one_in(2);
    for _ in 0..want.len() {
        front ^= random.one_in(turns);
        draw(&mut iter, &mut want, front, random.one_in(lends));
    }
    for _ in 0..2 {
        let front = random.one_in(2);
        draw(&mut iter, &mut want, front, random.one_in(2));
        draw(&mut iter, &mut want, !front, random.one_in(2));
    }
}
