//! Walks both ways against a sorted list.

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
        let mut newer = Vec::new();
        let mut older = Vec::new();
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
    let list =
        |from: u64| (0..40).map(|i| entry(0, &format!("{i:03}"), from + i, Some("v"))).collect();
    let mut two_way = two_way(list(1), list(100));
    let mut memory = Vec::with_capacity(64);
    let mut places = Vec::new();
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
