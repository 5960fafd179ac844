//! [`TwoWay`]: two sorted sources seen as one, the inner loop of a merge.
//!
//! Knows the internal order and nothing else: which versions survive is for compaction. Owned by
//! one background thread. [`super::merge`] does this for any number of cursors; here both sources
//! are known to the compiler, so that a step is one comparison and no virtual call, and nothing is
//! copied. Both are of one type, and the next entry's is found by its number: a branch on which of
//! them it is would be guessed wrong every other time.

use super::Source;
use crate::error::Result;
use crate::format::key::Entry;

/// The entries of both sources in order; on equal positions the newer source's first, and then the
/// older's: they are copies of one operation, and whoever filters versions drops the second.
///
/// After an error there is no entry any more.
#[derive(Debug)]
pub(crate) struct TwoWay<S> {
    /// The newer, then the older.
    sources: [S; 2],
    /// Whether the next entry is the older one's; if it has none, there is none.
    older_is_next: bool,
    failed: bool,
}

impl<S: Source> TwoWay<S> {
    /// Begins where both sources stand.
    pub(crate) fn new(newer: S, older: S) -> Self {
        let mut both = Self { sources: [newer, older], older_is_next: false, failed: false };
        both.choose();
        both
    }

    /// Finds out which source has the entry that comes first.
    #[inline]
    fn choose(&mut self) {
        let [newer, older] = &self.sources;
        self.older_is_next = match (newer.position(), older.position()) {
            (Some(newer), Some(older)) => newer > older,
            (newer, _) => newer.is_none(),
        };
    }
}

impl<S: Source> Source for TwoWay<S> {
    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        if self.failed {
            return None;
        }
        self.sources[usize::from(self.older_is_next)].entry()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if self.failed {
            return Ok(());
        }
        if let Err(error) = self.sources[usize::from(self.older_is_next)].next() {
            // The other source alone would look like a merge of both.
            self.failed = true;
            return Err(error);
        }
        self.choose();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ListSource, OwnedEntry, Random, drain, entry};
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
            let got = drain(two_way(newer, older)).unwrap();
            assert_eq!(got, want, "seed {}", random.seed);
        }
        assert!(copies > 1_000, "too few copies to test: {copies}");
    }

    #[test]
    fn nothing_comes_out_of_nothing_and_one_source_alone_passes_through() {
        let some = vec![entry(0, "a", 2, None), entry(1, "", 1, Some("v"))];
        assert!(drain(two_way(vec![], vec![])).unwrap().is_empty());
        assert_eq!(drain(two_way(some.clone(), vec![])).unwrap(), some);
        assert_eq!(drain(two_way(vec![], some.clone())).unwrap(), some);
    }

    #[test]
    fn after_an_error_of_either_source_nothing_comes_any_more() {
        let entries = |from: u64| (0..4).map(|i| entry(0, "k", from + 2 * i, Some("v"))).collect();
        let list = |from: u64| ListSource::new(entries(from));
        let check = |mut two_way: TwoWay<ListSource>| {
            let mut result = Ok(());
            while result.is_ok() {
                assert!(two_way.entry().is_some(), "an end without the error");
                result = two_way.next();
            }
            assert!(two_way.entry().is_none());
            two_way.next().unwrap();
            assert!(two_way.entry().is_none());
        };
        for steps in 0..4 {
            check(TwoWay::new(list(1).failing_after(steps), list(2)));
            check(TwoWay::new(list(1), list(2).failing_after(steps)));
        }
    }
}
