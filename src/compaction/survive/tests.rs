//! What survives, by hand and against a model.

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
    assert_eq!(kept, want, "{snapshots:?} {visible} {bottom}", snapshots = survival.read_points);
}

#[test]
fn versions_of_one_key() {
    // One read point: the newest version wins.
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
    assert_eq!(kept(&[], 5, 2), 0, "new readers are below the drop");
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
        let mut one = survival();
        let mut other = survival();
        let mut several = survival();
        let mut input: Vec<_> = (1..20)
            .map(|sequence| {
                let key = ["", "a", "b", "a longer key", "another key"][random.below(5)];
                let value = (random.below(3) > 0).then_some("v");
                entry(random.below(3) as u32, key, sequence, value)
            })
            .collect();
        input.sort();
        let mut kept = Vec::new();
        let mut shadowed_singly = 0;
        for entry in &input {
            let entry = entry.borrow();
            let plain = entry.kind == Kind::Value && entry.sequence <= one.horizon();
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
        let mut left = &all[..];
        let mut left_out = 0;
        let mut carried = Vec::new();
        let mut shadowed = 0;
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
    let mut left_out = 0;
    let mut held_back = 0;
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

        let before = [input, older.clone()].concat();
        let after = [kept, older].concat();
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
