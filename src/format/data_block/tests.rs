//! Data blocks: golden bytes, searches against a plain list, and damage.

use super::*;
use crate::format::key::{Entry, KeyWords};
use crate::ids::SEQUENCE_MAX;

type Row = (Vec<u8>, u64, Kind, Vec<u8>);

fn row(key: &[u8], sequence: u64, kind: Kind, value: &[u8]) -> Row {
    (key.to_vec(), sequence, kind, value.to_vec())
}

fn encode(rows: &[Row]) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    for (key, sequence, kind, value) in rows {
        let sequence = Sequence(*sequence);
        let entry = Entry { keyspace: KeyspaceId(3), key, sequence, kind: *kind, value };
        assert!(builder.add(&entry, usize::MAX));
        assert_eq!(builder.last(), Some(entry.position()));
    }
    let bytes = builder.bytes();
    let mut out = vec![0xee; 5];
    builder.finish(&mut out);
    assert_eq!(out.len() - 5, bytes, "the estimate is exact");
    assert!(builder.is_empty() && builder.bytes() == 0);
    out.split_off(5)
}

fn position(key: &[u8], sequence: Sequence) -> Position<'_> {
    Position { keyspace: KeyspaceId(3), key, sequence }
}

fn check_rows(rows: &[Row]) {
    let mut bytes = vec![0xaa; 7];
    bytes.extend_from_slice(&encode(rows));
    let block = Block::decode(bytes, 7).unwrap();
    assert_eq!((block.len(), block.keyspace()), (rows.len(), KeyspaceId(3)));
    for (i, (key, sequence, kind, value)) in rows.iter().enumerate() {
        assert_eq!([block.prefix(), block.key_suffix(i)].concat(), *key);
        assert_eq!((block.sequence(i), block.kind(i)), (Sequence(*sequence), *kind));
        assert_eq!(block.value(i), value);
        assert!(block.has_key(i, key));
    }
    for first in 0..rows.len() {
        check_walk(&block, &rows[first..], first);
    }
    for (key, sequence, ..) in rows {
        let longer = [key.as_slice(), b"\0"].concat();
        let shorter = &key[..key.len().saturating_sub(1)];
        for key in [key.as_slice(), &longer, shorter, b"", b"\xff\xff\xff"] {
            for sequence in [0, sequence.saturating_sub(1), *sequence, sequence + 1, u64::MAX - 1] {
                let target = position(key, Sequence(sequence));
                let want = rows.partition_point(|row| position(&row.0, Sequence(row.1)) < target);
                assert_eq!(block.search(key, Sequence(sequence)), want);
                assert_eq!(block.search_position(target), want);
            }
        }
    }
    assert_eq!(block.search_position(Position::last(KeyspaceId(2), b"zz")), 0);
    assert_eq!(block.search_position(Position::first(KeyspaceId(4), b"")), rows.len());
}

/// A walk over the rest of a block, which has these rows, comes to the same as arithmetic.
fn check_walk(block: &Block, rows: &[Row], first: usize) {
    let mut window = Window::default();
    // What is in it from before is gone.
    block.unpack(0..block.len(), &mut window);
    block.unpack(first..block.len(), &mut window);
    let mut left = rows;
    while let Some((key, sequence, kind, value)) = left.first() {
        let keyspace = block.keyspace();
        let sequence = Sequence(*sequence);
        let kind = *kind;
        let unpacked = window.unpacked(block);
        assert_eq!(unpacked.entry(0), Entry { keyspace, key, sequence, kind, value });
        assert_eq!(unpacked.words(0), KeyWords::new(keyspace, key));
        let other = unpacked.len() - 1;
        assert_eq!(unpacked.entry(other).key, left[other].0);
        left = &left[1..];
        if !window.pass(1) && !left.is_empty() {
            assert_eq!(window.next(), block.len() - left.len());
            block.unpack(window.next()..block.len(), &mut window);
        }
    }
    assert_eq!(window.next(), block.len());
}

fn small_rows() -> Vec<Row> {
    vec![
        row(b"ab", 9, Kind::Value, b"xyz"),
        row(b"abc", 12, Kind::Tombstone, b""),
        row(b"abc", 7, Kind::Value, b""),
        row(b"abd", 8, Kind::Value, b"v"),
    ]
}

#[test]
fn golden_bytes() {
    #[rustfmt::skip]
    let want = [
        3, 0, 0, 0,  4, 0, 0, 0,  2, 0,  2, 2, 1,  0, 0, 0,  7, 0, 0, 0, 0, 0, 0, 0,
        b'a', b'b',
        0, 0, 1, 0, 2, 0, 3, 0,
        3, 0, 3, 0, 3, 0, 4, 0,
        2, 5, 0, 1,
        1, 2, 1, 1,
        b'c', b'c', b'd',
        b'x', b'y', b'z', b'v',
    ];
    assert_eq!(encode(&small_rows()), want);
}

#[test]
fn every_entry_comes_back_and_searches_agree_with_a_list() {
    check_rows(&small_rows());
    check_rows(&[row(b"", 1, Kind::Value, b"")]);
    check_rows(&[row(b"", u64::MAX - 1, Kind::Tombstone, b""), row(b"", 0, Kind::Value, b"v")]);
    check_rows(&[row(&[0xff; 65_535], 5, Kind::Value, &vec![1; 70_000])]);
    check_rows(&[
        row(b"", 70_000, Kind::Value, b""),
        row(&[0; 40_000], 3, Kind::Value, b""),
        row(&[0xff; 40_000], 1 << 33, Kind::Value, b"w"),
    ]);
    check_rows(&(0..300).rev().map(|n| row(b"k", n, Kind::Value, b"")).collect::<Vec<_>>());
}

#[test]
fn a_builder_takes_any_first_entry_and_then_only_what_fits() {
    let entry = |keyspace, value| Entry {
        keyspace: KeyspaceId(keyspace),
        key: b"key",
        sequence: Sequence(1),
        kind: Kind::Value,
        value,
    };
    let mut builder = BlockBuilder::default();
    assert!(builder.last().is_none());
    assert!(builder.add(&entry(0, &[0; 5000]), 100));
    assert!(!builder.add(&entry(0, &[]), 100));
    builder.finish(&mut Vec::new());
    assert!(builder.add(&entry(0, &[0; 50]), 100));
    assert!(!builder.add(&entry(0, &[0; 60]), 100) && !builder.add(&entry(1, &[]), 1000));
    let bytes = builder.bytes();
    assert!(builder.add(&entry(0, &[0; 3]), bytes + 3 + 6));
    assert!(!builder.add(&entry(0, &[0; 3]), bytes + 2 * (3 + 6) - 1));
    assert_eq!(builder.last(), Some(entry(0, &[]).position()));
    assert_eq!(builder.bytes(), bytes + 3 + 6);
}

/// I19.
#[test]
fn no_damage_makes_a_block_panic() {
    let bytes = encode(&small_rows());
    for len in 0..bytes.len() {
        assert!(Block::decode(bytes[..len].to_vec(), 0).is_err(), "{len} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(Block::decode(longer, 0).is_err());
    assert!(Block::decode(Vec::new(), 24).is_err());
    for at in 0..bytes.len() {
        for byte in 0..=u8::MAX {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            let Ok(block) = Block::decode(damaged, 0) else { continue };
            for i in 0..block.len() {
                let key = [block.prefix(), block.key_suffix(i)].concat();
                let _ = (block.sequence(i), block.kind(i), block.value(i));
                let _ = (block.search(&key, Sequence(8)), block.has_key(i, &key));
            }
        }
    }
}

#[test]
fn reserved_kinds_are_newer_and_others_are_damage() {
    let bytes = encode(&[row(b"k", 1, Kind::Value, b"")]);
    let kind_at = 24 + 1 + 2 + 2 + 1;
    assert_eq!(bytes[kind_at], 1);
    for (byte, newer) in [(3, true), (6, true), (7, false), (0, false)] {
        let mut other = bytes.clone();
        other[kind_at] = byte;
        assert_eq!(Block::decode(other, 0).unwrap_err().newer, newer, "kind {byte}");
    }
}

/// I19.
#[test]
fn unsound_entries_are_malformed_where_they_say_so() {
    let rows = [row(b"ka", 9, Kind::Value, b"x"), row(b"kb", 12, Kind::Value, b"yz")];
    let sound = encode(&rows);
    let patched = |at: usize, patch: &[u8]| {
        let mut bytes = sound.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        Block::decode(bytes, 0)
    };
    let check = |at: usize, patch: &[u8], want: u64| {
        assert_eq!(patched(at, patch).unwrap_err().at, want, "{patch:?} at {at}");
    };
    let key_ends = 25;
    let value_ends = 29;
    let deltas = 33;
    let kinds = 35;
    check(key_ends, &[3], 25);
    check(key_ends, &[0xff, 0xff], 25);
    check(value_ends, &[4], 29);
    check(kinds + 1, &[2], 35);
    let base = |base: u64| base.to_le_bytes();
    check(16, &base(u64::MAX - 2), deltas);
    let block = patched(16, &base(u64::MAX - 3)).unwrap();
    assert_eq!((block.sequence(0), block.sequence(1)), (Sequence(u64::MAX - 3), SEQUENCE_MAX));
}
