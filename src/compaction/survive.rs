//! Which versions of a key survive a flush or a merge.
//!
//! A reader reads at `visible`, at something later, or at a registered snapshot: these are the
//! *lines*. Two neighbouring lines enclose a stripe of sequences, (lower, upper], and of all
//! versions of a key in one stripe every reader sees the newest or none. So:
//!
//! 1. What is above `visible` stays: readers may yet settle anywhere among it.
//! 2. Below, the newest version of a key in each stripe stays, and shadows the others.
//! 3. A tombstone goes if it is in the lowest stripe and nothing older of its key lies below the
//!    output: all it could hide in the output is shadowed by rule 2. One in a higher stripe stays,
//!    because an older version may have to stay for an older snapshot, and would come back to life
//!    for newer readers. (It might go when no older version exists, but that is only known further
//!    on in the input; it goes in a later merge, after the snapshot has.)
//! 4. A keyspace dropped at or below the lowest line is seen by nobody, and goes whole.
//!
//! The lines must be read together, under the snapshot registry's mutex: a snapshot registered
//! between the two reads could be at a sequence that this filter no longer serves. A line that was
//! given up since only makes the filter keep too much.

use std::collections::BTreeMap;

use crate::format::coding::put_few;
use crate::format::key::{Entry, Kind, Position, same_bytes};
use crate::ids::{KeyspaceId, Sequence};

/// What becomes of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is carried over.
    Keep,
    /// It is left out: every reader that would see it sees a newer version.
    Shadowed,
    /// It is left out: a tombstone with nothing left to hide, or part of a dropped keyspace.
    Dropped,
}

/// The filter over one pass of entries in internal order: newest version of each key first.
///
/// One pass covers whole user keys, never a part of one's versions.
#[derive(Debug)]
pub(crate) struct Survival {
    /// The sequences that readers read at, up to and including `visible`: ascending, each once.
    lines: Vec<Sequence>,
    visible: Sequence,
    bottom: bool,
    /// Dropped keyspaces that no reader can see any more, ascending.
    dropped: Vec<KeyspaceId>,
    /// Dropped keyspaces that only snapshots see, ascending.
    held: Vec<KeyspaceId>,
    /// Whether both are empty.
    none_dropped: bool,
    /// How many versions were kept that nobody but a snapshot needs.
    kept_for_snapshots: u64,
    /// The version judged last, unless it was of a dropped keyspace.
    last: Option<Judged>,
    /// Its key, set by whoever judges one version or several; its memory is reused.
    last_key: Vec<u8>,
}

/// What was left out of some versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOut {
    pub(crate) shadowed: u64,
    pub(crate) dropped: u64,
    /// Whether each of the versions was of another key than the one before it, the first as well.
    pub(crate) distinct: bool,
}

#[derive(Clone, Copy, Debug)]
struct Judged {
    keyspace: KeyspaceId,
    sequence: Sequence,
    /// The upper line of its stripe; `None` above `visible`.
    line: Option<Sequence>,
}

impl Survival {
    /// A filter for readers at `snapshots` (in any order) and from `visible` on, read together.
    ///
    /// `bottom` says that nothing older, of any key in the pass, lies below the output. `dropped`
    /// holds the sequence at which each dropped keyspace was dropped.
    pub(crate) fn new(
        snapshots: Vec<Sequence>,
        visible: Sequence,
        bottom: bool,
        dropped: &BTreeMap<KeyspaceId, Sequence>,
    ) -> Self {
        let mut lines = snapshots;
        lines.retain(|&line| line < visible);
        lines.push(visible);
        lines.sort_unstable();
        lines.dedup();
        let between = |low: Option<Sequence>, high| {
            let inside = |at| low.is_none_or(|low| at > low) && at <= high;
            dropped.iter().filter(|&(_, &at)| inside(at)).map(|(&id, _)| id).collect()
        };
        let (held, dropped): (Vec<_>, Vec<_>) =
            (between(Some(lines[0]), visible), between(None, lines[0]));
        let none_dropped = dropped.is_empty() && held.is_empty();
        Self {
            lines,
            visible,
            bottom,
            dropped,
            held,
            none_dropped,
            kept_for_snapshots: 0,
            last: None,
            last_key: Vec::new(),
        }
    }

    /// How many versions were kept so far for snapshots alone: without any, they would have gone.
    pub(crate) fn kept_for_snapshots(&self) -> u64 {
        self.kept_for_snapshots
    }

    /// Judges the next version.
    #[inline]
    pub(crate) fn keep(&mut self, entry: &Entry<'_>) -> Verdict {
        let same = self.is_of_last_key(entry);
        let verdict = self.verdict(entry, same);
        if !same {
            self.set_last_key(entry);
        }
        verdict
    }

    /// Judges the next versions, and leaves those that are to stay.
    pub(crate) fn keep_of(&mut self, entries: &mut Vec<Entry<'_>>) -> LeftOut {
        let mut left_out = LeftOut { shadowed: 0, dropped: 0, distinct: true };
        let Some(last) = entries.last().copied() else { return left_out };
        if self.are_plain(entries) {
            let (keyspace, sequence) = (last.keyspace, last.sequence);
            self.last = Some(Judged { keyspace, sequence, line: Some(self.lines[0]) });
            self.set_last_key(&last);
            return left_out;
        }
        let mut before: Option<Position<'_>> = None;
        entries.retain(|entry| {
            let here = entry.position();
            let same = match before {
                Some(before) => before.same_key(&here),
                None => self.is_of_last_key(entry),
            };
            before = Some(here);
            left_out.distinct &= !same;
            let verdict = self.verdict(entry, same);
            left_out.shadowed += u64::from(verdict == Verdict::Shadowed);
            left_out.dropped += u64::from(verdict == Verdict::Dropped);
            verdict == Verdict::Keep
        });
        self.set_last_key(&last);
        left_out
    }

    /// Whether each of these is the only value of its key so far, older than every snapshot, and
    /// nothing was dropped: so it is with most.
    fn are_plain(&self, entries: &[Entry<'_>]) -> bool {
        let lowest = self.lines[0];
        let plain = |entry: &Entry<'_>| entry.kind == Kind::Value && entry.sequence <= lowest;
        let same = |pair: &[Entry<'_>]| pair[0].position().same_key(&pair[1].position());
        self.none_dropped
            && entries.first().is_some_and(|first| !self.is_of_last_key(first))
            && entries.iter().all(plain)
            && !entries.windows(2).any(same)
    }

    /// Whether the version judged last was of the same key.
    #[inline]
    fn is_of_last_key(&self, entry: &Entry<'_>) -> bool {
        self.last.is_some_and(|last| last.keyspace == entry.keyspace)
            && same_bytes(&self.last_key, entry.key)
    }

    #[inline]
    fn set_last_key(&mut self, entry: &Entry<'_>) {
        self.last_key.clear();
        put_few(&mut self.last_key, entry.key);
    }

    /// Judges a version; `same` says whether it is of the key judged last.
    #[inline]
    fn verdict(&mut self, entry: &Entry<'_>, same: bool) -> Verdict {
        // Nearly all of most passes: the only value of its key, older than every snapshot, and
        // nothing was dropped.
        let lowest = self.lines[0];
        let plain = entry.kind == Kind::Value && entry.sequence <= lowest && self.none_dropped;
        if plain && !same {
            let (keyspace, sequence) = (entry.keyspace, entry.sequence);
            self.last = Some(Judged { keyspace, sequence, line: Some(lowest) });
            return Verdict::Keep;
        }
        self.judge(entry, same)
    }

    /// [`Self::verdict`], by all the rules.
    #[inline(never)]
    fn judge(&mut self, entry: &Entry<'_>, same: bool) -> Verdict {
        if self.dropped.binary_search(&entry.keyspace).is_ok() {
            self.last = None;
            return Verdict::Dropped;
        }
        let newer = self.last.filter(|_| same);
        let line = self.line_above(entry.sequence);
        self.last = Some(Judged { keyspace: entry.keyspace, sequence: entry.sequence, line });
        match newer {
            None => {}
            // A second copy of one operation, where the views of two inputs overlap.
            Some(newer) if newer.sequence == entry.sequence => return Verdict::Shadowed,
            Some(newer) => {
                debug_assert!(newer.sequence > entry.sequence, "the newest version comes first");
                if line.is_some() && newer.line == line {
                    return Verdict::Shadowed;
                }
            }
        }
        if entry.kind == Kind::Tombstone && self.bottom && line == Some(self.lines[0]) {
            return Verdict::Dropped;
        }
        // For a reader of now alone, rules 2 to 4 have one line, `visible`.
        let shadowed = newer.is_some_and(|newer| newer.line.is_some());
        let bottom = entry.kind == Kind::Tombstone && self.bottom;
        let held = || self.held.binary_search(&entry.keyspace).is_ok();
        if line.is_some() && (shadowed || bottom || held()) {
            self.kept_for_snapshots += 1;
        }
        Verdict::Keep
    }

    /// The lowest line that sees `sequence`, if that is not above `visible`.
    fn line_above(&self, sequence: Sequence) -> Option<Sequence> {
        if sequence > self.visible {
            return None;
        }
        self.lines.get(self.lines.partition_point(|&line| line < sequence)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iter::testing::{OwnedEntry, Random, entry};

    /// The sequences that are kept of one key's versions: `+7` a value at 7, `-7` a tombstone.
    #[track_caller]
    fn check(snapshots: &[u64], visible: u64, bottom: bool, versions: &[i64], want: &[i64]) {
        let snapshots = snapshots.iter().copied().map(Sequence).collect();
        let mut survival = Survival::new(snapshots, Sequence(visible), bottom, &BTreeMap::new());
        let kept: Vec<_> = versions
            .iter()
            .copied()
            .filter(|&version| {
                let value = (version > 0).then_some("v");
                let entry = entry(1, "k", version.unsigned_abs(), value);
                survival.keep(&entry.borrow()) == Verdict::Keep
            })
            .collect();
        assert_eq!(kept, want, "{snapshots:?} {visible} {bottom}", snapshots = survival.lines);
    }

    #[test]
    fn versions_of_one_key() {
        // One line: the newest version wins.
        check(&[], 9, false, &[7, 5, 3], &[7]);
        check(&[], 9, true, &[7, 5, 3], &[7]);
        // Everything above `visible` stays, and the newest at or below it.
        check(&[], 5, true, &[8, 7, 5, 3], &[8, 7, 5]);
        check(&[], 2, true, &[8, -7, 5, 3], &[8, -7, 5, 3]);
        // One version for each snapshot that sees one.
        check(&[3, 6], 9, true, &[8, 7, 6, 5, 4, 3, 2], &[8, 6, 3]);
        check(&[3, 6], 9, true, &[8, 7, 2, 1], &[8, 2]);
        check(&[1], 9, true, &[8, 7], &[8]);
        // Snapshots in any order, twice, at `visible` and above it.
        check(&[6, 3, 6, 9, 12], 9, true, &[11, 10, 8, 7, 5, 2], &[11, 10, 8, 5, 2]);
        // A tombstone at the bottom goes; what it shadows does not come back.
        check(&[], 9, true, &[-7, 5, 3], &[]);
        check(&[], 9, false, &[-7, 5, 3], &[-7]);
        check(&[], 9, true, &[8, -7, 5], &[8]);
        check(&[], 5, true, &[-7, 4], &[-7, 4]);
        // A tombstone above what an older snapshot needs stays.
        check(&[5], 9, true, &[-7, 5, 3], &[-7, 5]);
        check(&[5], 9, true, &[7, -5, 3], &[7]);
        check(&[5], 9, true, &[-7, -5, 3], &[-7]);
        check(&[5], 9, false, &[-7, -5, 3], &[-7, -5]);
        // The same operation twice is one.
        check(&[], 5, true, &[8, 8, 7, 5, 5], &[8, 7, 5]);
    }

    #[test]
    fn keys_do_not_shadow_each_other() {
        let mut survival = Survival::new(vec![], Sequence(9), true, &BTreeMap::new());
        let mut verdict = |keyspace, key, sequence| {
            survival.keep(&entry(keyspace, key, sequence, Some("v")).borrow())
        };
        assert_eq!(verdict(1, "", 7), Verdict::Keep);
        assert_eq!(verdict(1, "", 6), Verdict::Shadowed);
        assert_eq!(verdict(1, "a", 5), Verdict::Keep);
        assert_eq!(verdict(1, "a\0", 4), Verdict::Keep);
        assert_eq!(verdict(2, "a\0", 3), Verdict::Keep);
        assert_eq!(verdict(2, "a\0", 2), Verdict::Shadowed);
    }

    /// I24.
    #[test]
    fn a_dropped_keyspace_goes_once_no_reader_is_below_the_drop() {
        let dropped = BTreeMap::from([(KeyspaceId(2), Sequence(6))]);
        let verdict = |snapshots: &[u64], visible, keyspace| {
            let snapshots = snapshots.iter().copied().map(Sequence).collect();
            let mut survival = Survival::new(snapshots, Sequence(visible), false, &dropped);
            survival.keep(&entry(keyspace, "k", 4, Some("v")).borrow())
        };
        assert_eq!(verdict(&[], 6, 2), Verdict::Dropped);
        assert_eq!(verdict(&[6, 8], 9, 2), Verdict::Dropped);
        assert_eq!(verdict(&[5, 8], 9, 2), Verdict::Keep);
        assert_eq!(verdict(&[], 5, 2), Verdict::Keep);
        assert_eq!(verdict(&[], 9, 1), Verdict::Keep);
        assert_eq!(verdict(&[], 9, 3), Verdict::Keep);
    }

    #[test]
    fn a_dropped_keyspace_that_a_snapshot_sees_is_kept_for_it_alone() {
        let dropped = BTreeMap::from([(KeyspaceId(2), Sequence(6))]);
        let kept = |snapshots: &[u64], visible, keyspace| {
            let snapshots = snapshots.iter().copied().map(Sequence).collect();
            let mut survival = Survival::new(snapshots, Sequence(visible), false, &dropped);
            survival.keep(&entry(keyspace, "k", 4, Some("v")).borrow());
            survival.kept_for_snapshots()
        };
        assert_eq!((kept(&[5, 8], 9, 2), kept(&[6, 8], 9, 2), kept(&[5, 8], 9, 1)), (1, 0, 0));
        assert_eq!(kept(&[], 5, 2), 0, "readers of now are below the drop");
    }

    /// The short way gives the verdicts, and counts, that all the rules give.
    #[test]
    fn the_short_way_and_many_at_a_time_judge_as_all_the_rules_do() {
        let mut random = Random::from_env(0x7368_6f72);
        let mut short = 0;
        for round in 0..2_000 {
            let drop_at = Sequence(random.below(12) as u64);
            let dropped = match round % 3 {
                0 => BTreeMap::from([(KeyspaceId(random.below(3) as u32), drop_at)]),
                _ => BTreeMap::new(),
            };
            let snapshots: Vec<_> =
                (0..random.below(3)).map(|_| Sequence(random.below(12) as u64)).collect();
            let visible = Sequence(random.below(20) as u64);
            let survival = || Survival::new(snapshots.clone(), visible, round % 2 == 0, &dropped);
            let (mut one, mut other, mut several) = (survival(), survival(), survival());
            let mut input: Vec<_> = (1..20)
                .map(|sequence| {
                    let key = ["", "a", "b", "a longer key", "another key"][random.below(5)];
                    let value = (random.below(3) > 0).then_some("v");
                    entry(random.below(3) as u32, key, sequence, value)
                })
                .collect();
            input.sort();
            let (mut kept, mut shadowed_singly) = (Vec::new(), 0);
            for entry in &input {
                let entry = entry.borrow();
                let plain = entry.kind == Kind::Value && entry.sequence <= one.lines[0];
                let same = other.is_of_last_key(&entry);
                short += usize::from(one.none_dropped && plain && !same);
                let verdict = other.judge(&entry, same);
                other.set_last_key(&entry);
                assert_eq!(one.keep(&entry), verdict, "seed {}", random.seed);
                assert_eq!(one.kept_for_snapshots(), other.kept_for_snapshots());
                kept.extend((verdict == Verdict::Keep).then_some(entry));
                shadowed_singly += u64::from(verdict == Verdict::Shadowed);
            }
            // Several at a time, cut anywhere.
            let all: Vec<_> = input.iter().map(OwnedEntry::borrow).collect();
            let (mut left, mut left_out) = (&all[..], 0);
            let (mut carried, mut shadowed) = (Vec::new(), 0);
            while !left.is_empty() {
                let (now, later) = left.split_at(1 + random.below(left.len()));
                let mut some = now.to_vec();
                let out = several.keep_of(&mut some);
                let pairs = carried.last().into_iter().chain(&some).zip(&some);
                let same = |(a, b): (&Entry<'_>, &Entry<'_>)| a.position().same_key(&b.position());
                assert!(!out.distinct || pairs.filter(|(a, b)| a != b).all(|pair| !same(pair)));
                carried.extend(some);
                left_out += out.shadowed + out.dropped;
                shadowed += out.shadowed;
                left = later;
            }
            assert_eq!(carried, kept, "seed {}", random.seed);
            assert_eq!(left_out as usize, all.len() - kept.len());
            assert_eq!(shadowed, shadowed_singly);
            assert_eq!(several.kept_for_snapshots(), one.kept_for_snapshots());
        }
        assert!(short > 2_000, "the short way was hardly taken: {short}");
    }

    /// What a reader at `at` finds under `key`.
    fn read<'a>(entries: &'a [OwnedEntry], key: &[u8], at: u64) -> Option<&'a [u8]> {
        entries
            .iter()
            .filter(|entry| entry.key == key && entry.sequence <= Sequence(at))
            .max_by_key(|entry| entry.sequence)
            .filter(|entry| entry.kind == Kind::Value)
            .map(|entry| entry.value.as_slice())
    }

    /// I7.
    #[test]
    fn every_reader_finds_the_same_before_and_after_a_pass() {
        let mut random = Random::from_env(0x7375_7276);
        let (mut left_out, mut held_back) = (0, 0);
        for round in 0..4_000 {
            let keys = ["a", "b", "c"];
            let older_count = random.below(8) as u64;
            let count = random.below(24) as u64;
            let mut all: Vec<_> = (1..=older_count + count)
                .map(|sequence| {
                    let value = sequence.to_string();
                    let value = (random.below(3) > 0).then_some(value.as_str());
                    entry(1, keys[random.below(3)], sequence, value)
                })
                .collect();
            // The older run, if there is one, holds the oldest versions and is not in the pass.
            let bottom = round % 2 == 0 || older_count == 0;
            let input_from = if bottom { 0 } else { older_count as usize };
            let mut input = all.split_off(input_from);
            let older = all;
            input.sort();
            let visible = random.below((older_count + count + 2) as usize) as u64;
            let snapshots: Vec<_> = (0..random.below(4))
                .map(|_| Sequence(random.below(visible as usize + 1) as u64))
                .collect();

            let mut survival =
                Survival::new(snapshots.clone(), Sequence(visible), bottom, &BTreeMap::new());
            let mut kept = input.clone();
            kept.retain(|entry| survival.keep(&entry.borrow()) == Verdict::Keep);
            left_out += input.len() - kept.len();
            // What a pass without snapshots leaves out, and this one has not.
            let mut alone = Survival::new(vec![], Sequence(visible), bottom, &BTreeMap::new());
            let mut needed = input.clone();
            needed.retain(|entry| alone.keep(&entry.borrow()) == Verdict::Keep);
            let extra = kept.iter().filter(|entry| !needed.contains(entry)).count() as u64;
            assert_eq!(survival.kept_for_snapshots(), extra, "seed {}", random.seed);
            assert_eq!(alone.kept_for_snapshots(), 0);
            held_back += extra;

            let (before, after) = ([input, older.clone()].concat(), [kept, older].concat());
            let readers = snapshots.iter().map(|at| at.0).chain(visible..=older_count + count + 2);
            for at in readers {
                for key in keys.map(str::as_bytes) {
                    assert_eq!(
                        read(&before, key, at),
                        read(&after, key, at),
                        "at {at}, {snapshots:?}, visible {visible}, seed {}",
                        random.seed
                    );
                }
            }
        }
        assert!(left_out > 10_000, "the filter kept nearly everything: {left_out}");
        assert!(held_back > 2_000, "snapshots held next to nothing back: {held_back}");
    }
}
