//! [`TwoWay`]: two sorted sources seen as one, the inner loop of a merge.
//!
//! Knows the internal order and nothing else: which versions survive is for compaction. Owned by
//! one background thread. [`super::merge`] does this for any number of cursors; here both sources
//! are known to the compiler, and what they have ahead is merged as one batch: a few steps an entry
//! without a virtual call, and nothing is copied. Which of them has the next entry is a number, not
//! a branch, which would be guessed wrong every other time.

use super::Source;
use crate::error::Result;
use crate::format::data_block::Unpacked;
use crate::format::key::Entry;

/// The entries of both sources in order; on equal positions the newer source's first, and then the
/// older's: they are copies of one operation, and whoever filters versions drops the second.
///
/// After an error there is no entry any more.
#[derive(Debug)]
pub(crate) struct TwoWay<S> {
    /// The newer, then the older.
    sources: [S; 2],
    failed: bool,
}

/// Entries of both sources from where they stand.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// In order; none only past the end.
    pub(crate) entries: Vec<Entry<'a>>,
    /// How many of them are of which source.
    pub(crate) taken: [usize; 2],
}

impl<S: Source> TwoWay<S> {
    /// Begins where both sources stand.
    pub(crate) fn new(newer: S, older: S) -> Self {
        Self { sources: [newer, older], failed: false }
    }

    /// What comes next, as far as both sources can be looked at from where they stand; in the
    /// memory of a batch before it.
    pub(crate) fn batch(&self, memory: Vec<Entry<'_>>) -> Batch<'_> {
        let sides = match self.failed {
            false => self.sources.each_ref().map(Source::ahead),
            // The other source alone would look like a merge of both.
            true => Default::default(),
        };
        let mut entries = emptied(memory);
        entries.reserve(sides[0].len() + sides[1].len());
        let mut taken = [0, 0];
        while taken[0] < sides[0].len() && taken[1] < sides[1].len() {
            let side = usize::from(is_older_first(&sides, taken));
            entries.push(sides[side].entry(taken[side]));
            taken[side] += 1;
        }
        if entries.is_empty() {
            // One of them has ended.
            let side = usize::from(sides[0].len() == 0);
            taken[side] = sides[side].len();
            entries.extend((0..taken[side]).map(|i| sides[side].entry(i)));
        }
        Batch { entries, taken }
    }

    /// Moves past a batch that said `taken`.
    pub(crate) fn pass(&mut self, taken: [usize; 2]) -> Result<()> {
        for (source, count) in self.sources.iter_mut().zip(taken) {
            let passed = if count > 0 { source.pass(count) } else { Ok(()) };
            passed.inspect_err(|_| self.failed = true)?;
        }
        Ok(())
    }
}

/// The memory of a list for entries that live otherwise: collecting into the same memory is what
/// the standard library does where it can.
pub(crate) fn emptied<'a>(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'a>> {
    entries.clear();
    entries.into_iter().map(|_| unreachable!("it is empty")).collect()
}

/// Whether of these two entries the older source's comes first.
#[inline]
fn is_older_first([newer, older]: &[Unpacked<'_>; 2], at: [usize; 2]) -> bool {
    let (words, other) = (newer.words(at[0]), older.words(at[1]));
    // Of keys in any order, nearly always.
    if words.keyspace == other.keyspace && words.high != other.high {
        return words.high > other.high;
    }
    if words != other {
        return words > other;
    }
    newer.entry(at[0]).position() > older.entry(at[1]).position()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ListSource, OwnedEntry, Random, drain_both, entry};
    use super::*;

    fn two_way(newer: Vec<OwnedEntry>, older: Vec<OwnedEntry>) -> TwoWay<ListSource> {
        TwoWay::new(ListSource::new(newer), ListSource::new(older))
    }

    #[test]
    fn random_sources_come_out_sorted_and_copies_newer_first() {
        let mut random = Random::from_env(0x7477_6f77);
        let mut copies = 0;
        for round in 0..2_000 {
            let (mut newer, mut older) = (Vec::new(), Vec::new());
            for sequence in 1..=random.below(40) as u64 {
                let key = ["", "a", "a\0", "ab", "b", "longer than a word", "longer than a wore"]
                    [random.below(7)];
                let keyspace = random.below(2) as u32;
                // Long stretches in one source as well as a fine mix.
                let side = if round % 2 == 0 { random.below(9) } else { key.len() };
                if side % 3 != 1 {
                    newer.push(entry(keyspace, key, sequence, Some("newer")));
                }
                if side % 3 != 0 {
                    older.push(entry(keyspace, key, sequence, Some("older")));
                }
                copies += usize::from(side % 3 == 2);
            }
            let mut want = [newer.clone(), older.clone()].concat();
            // Stable: the newer source's copy stays first.
            want.sort();
            let got = drain_both(two_way(newer, older)).unwrap();
            assert_eq!(got, want, "seed {}", random.seed);
        }
        assert!(copies > 1_000, "too few copies to test: {copies}");
    }

    #[test]
    fn nothing_comes_out_of_nothing_and_one_source_alone_passes_through() {
        let some = vec![entry(0, "a", 2, None), entry(1, "", 1, Some("v"))];
        assert!(drain_both(two_way(vec![], vec![])).unwrap().is_empty());
        assert_eq!(drain_both(two_way(some.clone(), vec![])).unwrap(), some);
        assert_eq!(drain_both(two_way(vec![], some.clone())).unwrap(), some);
    }

    #[test]
    fn after_an_error_of_either_source_nothing_comes_any_more() {
        let entries = |from: u64| (0..4).map(|i| entry(0, "k", from + 2 * i, Some("v"))).collect();
        let list = |from: u64| ListSource::new(entries(from));
        let check = |mut two_way: TwoWay<ListSource>| {
            let mut result = Ok(());
            while result.is_ok() {
                let Batch { entries, taken } = two_way.batch(Vec::new());
                assert!(!entries.is_empty(), "an end without the error");
                result = two_way.pass(taken);
            }
            let Batch { entries, taken } = two_way.batch(Vec::new());
            assert!(entries.is_empty());
            two_way.pass(taken).unwrap();
            assert!(two_way.batch(Vec::new()).entries.is_empty());
        };
        for steps in 0..4 {
            check(TwoWay::new(list(1).failing_after(steps), list(2)));
            check(TwoWay::new(list(1), list(2).failing_after(steps)));
        }
    }

    #[test]
    fn a_batch_takes_over_the_memory_of_the_one_before() {
        let list = |from: u64| {
            (0..40).map(|i| entry(0, &format!("{i:03}"), from + i, Some("v"))).collect()
        };
        let mut two_way = two_way(list(1), list(100));
        let (mut memory, mut places) = (Vec::with_capacity(64), Vec::new());
        loop {
            let Batch { entries, taken } = two_way.batch(memory);
            if entries.is_empty() {
                break;
            }
            places.push(entries.as_ptr().addr());
            memory = emptied(entries);
            two_way.pass(taken).unwrap();
        }
        assert!(places.len() > 10 && places.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
