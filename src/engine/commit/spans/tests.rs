//! Sets of keys against a table of what is in them.

use super::*;

const ID: KeyspaceId = KeyspaceId(3);

/// Against a table of which of 16 keys are in, for a few thousand sets.
#[test]
fn a_set_has_what_was_added_and_counts_what_it_takes() {
    let seed = 0x5EED;
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..2_000 {
        let mut spans = Spans::default();
        let mut model = [false; 16];
        for _ in 0..rng.usize(1..8) {
            let from = rng.usize(0..16);
            if rng.bool() {
                spans.add_key(ID, &[from as u8]);
                model[from] = true;
                continue;
            }
            let to = rng.usize(0..17);
            let end = [to as u8];
            spans.add_range(ID, (&[from as u8], (to < 16).then_some(&end[..])));
            (from..to).for_each(|key| model[key] = true);
        }
        for (key, &inside) in model.iter().enumerate() {
            let key = [key as u8];
            assert_eq!(spans.has_key(ID, &key), inside, "seed {seed}, round {round}: {spans:?}");
            assert!(!spans.has_key(KeyspaceId(4), &key));
        }
        let keys = spans.keys().map(|(_, key)| ENTRY_BYTES + key.len());
        let ranges = spans.ranges().map(|(_, (start, end))| range_bytes(start, end));
        assert_eq!(spans.bytes(), keys.chain(ranges).sum::<usize>(), "{spans:?}");
        let ends: Vec<_> = spans.ranges().map(|(_, span)| span).collect();
        for pair in ends.windows(2) {
            assert!(pair[0].1.is_some_and(|end| end < pair[1].0), "they touch: {spans:?}");
        }
        let mut twice = Spans::default();
        twice.add_all(&spans);
        twice.add_all(&spans);
        assert_eq!(twice.ranges().collect::<Vec<_>>(), spans.ranges().collect::<Vec<_>>());
        assert!((0..16).all(|key| twice.has_key(ID, &[key]) == model[usize::from(key)]));
    }
}
