//! Merged cursors against a sorted list.

use super::super::testing::{ListCursor, OwnedEntry, Random, entry};
use super::*;
use crate::ids::KeyspaceId;

/// What a cursor yields from `seek` to the end.
fn forward<C: Cursor>(cursor: &mut C, target: Position<'_>) -> Vec<OwnedEntry> {
    let mut got = Vec::new();
    cursor.seek(target).unwrap();
    while let Some(entry) = cursor.entry() {
        got.push(OwnedEntry::from(entry));
        assert_eq!(cursor.value(), entry.value);
        cursor.next().unwrap();
    }
    got
}

/// What a cursor yields from `seek_before` to the beginning.
fn backward<C: Cursor>(cursor: &mut C, target: Position<'_>) -> Vec<OwnedEntry> {
    let mut got = Vec::new();
    cursor.seek_before(target).unwrap();
    while let Some(entry) = cursor.entry() {
        got.push(OwnedEntry::from(entry));
        cursor.prev().unwrap();
    }
    got
}

#[test]
fn nothing_comes_out_of_nothing() {
    let start = Position::first(KeyspaceId(0), b"");
    for sources in [0, 1, 3] {
        let mut cursor =
            MergeCursor::new((0..sources).map(|_| ListCursor::new(Vec::new())).collect());
        assert!(cursor.entry().is_none());
        assert!(cursor.value().is_empty());
        assert!(forward(&mut cursor, start).is_empty());
        assert!(backward(&mut cursor, start).is_empty());
    }
}

#[test]
fn a_position_in_two_sources_is_yielded_from_the_newer_first() {
    let newer = vec![entry(0, "k", 7, Some("newer"))];
    let older = vec![entry(0, "k", 7, Some("older")), entry(0, "k", 3, None)];
    let mut cursor = MergeCursor::new(vec![ListCursor::new(newer), ListCursor::new(older)]);
    let values = |entries: Vec<OwnedEntry>| -> Vec<Vec<u8>> {
        entries.into_iter().map(|entry| entry.value).collect()
    };
    let got = values(forward(&mut cursor, Position::first(KeyspaceId(0), b"")));
    assert_eq!(got, [b"newer".as_slice(), b"older", b""]);
    let got = values(backward(&mut cursor, Position::first(KeyspaceId(1), b"")));
    assert_eq!(got, [b"".as_slice(), b"older", b"newer"]);
}

/// A key of up to 24 bytes, one of few: keys that agree in a word or two of eight bytes, or
/// differ in zeros at their end, which words do not tell apart.
fn key(random: &mut Random) -> String {
    let parts = ["prefix 1", "prefix\0\0", "\0\0\0\0\0\0\0\0"];
    let parts: String = (0..3).map(|_| parts[random.below(8).saturating_sub(5)]).collect();
    let len = [0, 1, 7, 8, 9, 15, 16, 17, 23, 24][random.below(10)];
    let end = ["", "", "\0", "a", "\u{7f}"][random.below(5)];
    format!("{}{}", &parts[..len - end.len().min(len)], &end[..end.len().min(len)])
}

#[test]
fn random_sources_come_out_sorted_from_every_seek_both_ways() {
    let mut random = Random::from_env(0x6d65_7267);
    // Neighbours in the order with different keys that start with the same words.
    let mut ties = 0;
    for round in 0..200 {
        let count = random.below(7) + 1;
        let mut sources = vec![Vec::new(); count];
        let mut all = Vec::new();
        for sequence in 1..=random.below(60) as u64 {
            let entry = entry(random.below(2) as u32, &key(&mut random), sequence, Some("v"));
            // Long stretches in one source as well as a fine mix.
            let source = if round % 2 == 0 { random.below(count) } else { entry.key.len() };
            sources[source % count].push(entry.clone());
            all.push(entry);
        }
        all.sort();
        let words = |entry: &OwnedEntry| KeyWords::new(entry.keyspace, &entry.key);
        let tie =
            |pair: &&[OwnedEntry]| words(&pair[0]) == words(&pair[1]) && pair[0].key != pair[1].key;
        ties += all.windows(2).filter(tie).count();
        let mut cursor = MergeCursor::new(sources.into_iter().map(ListCursor::new).collect());
        let ends = [
            Position::first(KeyspaceId(0), b""),
            Position::first(KeyspaceId(2), b""),
            Position::last(KeyspaceId(0), b"prefix 1"),
            Position::last(KeyspaceId(0), b"prefix 1prefix 1"),
        ];
        for target in all.iter().map(OwnedEntry::position).chain(ends) {
            let (before, after) =
                all.split_at(all.partition_point(|entry| entry.position() < target));
            assert_eq!(forward(&mut cursor, target), after, "seed {}", random.seed);
            let mut got = backward(&mut cursor, target);
            got.reverse();
            assert_eq!(got, before, "seed {}", random.seed);
        }
    }
    assert!(ties > 500, "words decide nearly everything: {ties}");
}

#[test]
fn an_error_leaves_no_entry_until_the_next_seek() {
    let start = Position::first(KeyspaceId(0), b"");
    let entries = |from: u64| (0..4).map(|i| entry(0, "k", from + 2 * i, Some("v"))).collect();
    for calls_before_failure in 0..5 {
        let failing = ListCursor::new(entries(1)).failing_after(calls_before_failure);
        let mut cursor = MergeCursor::new(vec![ListCursor::new(entries(2)), failing]);
        let mut result = cursor.seek(start);
        while result.is_ok() && cursor.entry().is_some() {
            result = cursor.next();
        }
        assert!(result.is_err());
        assert!(cursor.entry().is_none());
        // The source fails once, so that the cursor can be seen to recover.
        assert_eq!(forward(&mut cursor, start).len(), 8);
    }
}
