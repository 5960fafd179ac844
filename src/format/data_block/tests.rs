//! Data blocks: golden bytes, searches against a plain list, and damage.

use super::*;
use crate::format::hash::key_hash;
use crate::format::key::{Entry, KeyWords};
use crate::ids::SEQUENCE_MAX;

pub(crate) type Row = (Vec<u8>, u64, Kind, Vec<u8>);

fn row(key: &[u8], sequence: u64, kind: Kind, value: &[u8]) -> Row {
    (key.to_vec(), sequence, kind, value.to_vec())
}

fn hash(key: &[u8]) -> u64 {
    key_hash(KeyspaceId(3), key)
}

fn encode(rows: &[Row]) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    for (key, sequence, kind, value) in rows {
        let sequence = Sequence(*sequence);
        let entry = Entry { keyspace: KeyspaceId(3), key, sequence, kind: *kind, value };
        assert!(builder.add(&entry, hash(key), usize::MAX));
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
    let part = 7..bytes.len();
    bytes.extend_from_slice(&[0xaa; 9]);
    check_block(&Block::decode(bytes, part).unwrap(), rows);
    check_block(&columns::decode(&encode_columns(rows)).unwrap(), rows);
}

fn check_block(block: &Block, rows: &[Row]) {
    assert_eq!((block.len(), block.keyspace()), (rows.len(), KeyspaceId(3)));
    for (i, (key, sequence, kind, value)) in rows.iter().enumerate() {
        assert_eq!([block.prefix(), block.key_suffix(i)].concat(), *key);
        assert_eq!((block.sequence(i), block.kind(i)), (Sequence(*sequence), *kind));
        assert_eq!(block.value(i), value);
        assert!(block.has_key(i, key));
    }
    for first in 0..rows.len() {
        check_walk(block, &rows[first..], first);
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
                let found = block.find(key, hash(key), Sequence(sequence));
                assert_eq!(found, block.find_sorted(key, Sequence(sequence)));
            }
        }
    }
    assert_eq!(block.search_position(Position::last(KeyspaceId(2), b"zz")), 0);
    assert_eq!(block.search_position(Position::first(KeyspaceId(4), b"")), rows.len());
}

/// The earlier layout, with the widest numbers if `rows` are many.
pub(crate) fn encode_columns(rows: &[Row]) -> Vec<u8> {
    let prefix = rows.iter().skip(1).fold(rows[0].0.len(), |prefix, row| {
        rows[0].0.iter().zip(&row.0).take(prefix).take_while(|(a, b)| a == b).count()
    });
    let base = rows.iter().map(|row| row.1).min().unwrap();
    let keys: Vec<u8> = rows.iter().flat_map(|row| row.0[prefix..].to_vec()).collect();
    let values: Vec<u8> = rows.iter().flat_map(|row| row.3.clone()).collect();
    let wide = rows.len() > 200 || keys.len() > 65_535 || values.len() > 65_535;
    let end_width = if wide { 4 } else { 2 };
    let delta_width = match rows.iter().map(|row| row.1 - base).max().unwrap() {
        0..=0xff if !wide => 1,
        0x100..=0xffff if !wide => 2,
        _ => 8,
    };
    let mut out = Vec::new();
    out.extend_from_slice(&3_u32.to_le_bytes());
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    out.extend_from_slice(&(prefix as u16).to_le_bytes());
    out.extend_from_slice(&[end_width, end_width, delta_width, 0, 0, 0]);
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&rows[0].0[..prefix]);
    let mut number = |number: u64, width: u8| {
        out.extend_from_slice(&number.to_le_bytes()[..usize::from(width)]);
    };
    let mut end = 0;
    for row in rows {
        end += row.0.len() - prefix;
        number(end as u64, end_width);
    }
    end = 0;
    for row in rows {
        end += row.3.len();
        number(end as u64, end_width);
    }
    rows.iter().for_each(|row| number(row.1 - base, delta_width));
    rows.iter().for_each(|row| number(row.2 as u64, 1));
    [out, keys, values].concat()
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
        3, 0, 0, 0,  4, 0, 0, 0,  2, 0,  8, 0, 0, 0, 0, 0,  7, 0, 0, 0, 0, 0, 0, 0,
        b'a', b'b',
        147, 249, 249, 206,  0, 0, 0, 0,
        0, 0,  3, 0,  17, 0, 0, 0,
        1, 0,  3, 0,  42, 0, 0, 0,
        2, 0,  3, 0,  1, 0, 0, 0,
        3, 0,  4, 0,  9, 0, 0, 0,
        b'c', b'c', b'd',
        b'x', b'y', b'z', b'v',
    ];
    assert_eq!(encode(&small_rows()), want);
    let wide = [row(b"k", 1 << 29, Kind::Value, b"v"), row(b"l", 0, Kind::Value, b"w")];
    #[rustfmt::skip]
    let want = [
        3, 0, 0, 0,  2, 0, 0, 0,  0, 0,  16, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        180, 200,  0, 0, 0, 0, 0, 0,
        1, 0, 0, 0,  1, 0, 0, 0,  1, 0, 0, 0, 1, 0, 0, 0,
        2, 0, 0, 0,  2, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 0,
        b'k', b'l',
        b'v', b'w',
    ];
    assert_eq!(encode(&wide), want);
}

#[test]
fn golden_bytes_of_the_earlier_layout() {
    #[rustfmt::skip]
    let bytes = [
        3, 0, 0, 0,  4, 0, 0, 0,  2, 0,  2, 2, 1,  0, 0, 0,  7, 0, 0, 0, 0, 0, 0, 0,
        b'a', b'b',
        0, 0, 1, 0, 2, 0, 3, 0,
        3, 0, 3, 0, 3, 0, 4, 0,
        2, 5, 0, 1,
        1, 2, 1, 1,
        b'c', b'c', b'd',
        b'x', b'y', b'z', b'v',
    ];
    assert_eq!(encode_columns(&small_rows()), bytes);
    let block = columns::decode(&bytes).unwrap();
    check_block(&block, &small_rows());
    assert_eq!(block.into_bytes(), encode(&small_rows()), "it becomes what would be written now");
}

#[test]
fn every_entry_comes_back_and_searches_agree_with_a_list() {
    check_rows(&small_rows());
    check_rows(&[row(b"", 1, Kind::Value, b"")]);
    check_rows(&[row(b"", SPAN_END - 1, Kind::Tombstone, b""), row(b"", 0, Kind::Value, b"v")]);
    check_rows(&[
        row(b"", u64::MAX - 1, Kind::Value, b""),
        row(b"", u64::MAX - 9, Kind::Value, b"v"),
    ]);
    check_rows(&[row(&[0xff; 65_535], 5, Kind::Value, &vec![1; 70_000])]);
    check_rows(&[
        row(b"", 70_000, Kind::Value, b""),
        row(&[0; 40_000], 3, Kind::Value, b""),
        row(&[0xff; 40_000], 1 << 33, Kind::Value, b"w"),
    ]);
    // The last numbers that narrow rows have room for, and the first that they have not.
    for more in [0, 1] {
        let key = |last: u8, len: usize| [vec![0; len - 1], vec![last]].concat();
        let keys = [key(1, 32_767), [key(1, 32_767), vec![0; 1 + more]].concat()];
        check_rows(&keys.map(|key| row(&key, 1, Kind::Value, b"v")));
        let keys = [
            [b"a".to_vec(), vec![0; 32_766]].concat(),
            [b"b".to_vec(), vec![0; 32_767 + more]].concat(),
        ];
        check_rows(&keys.map(|key| row(&key, 1, Kind::Value, b"v")));
        let values = [vec![1; 65_000], vec![2; 535 + more]];
        let rows = [b"a", b"b"].into_iter().zip(values);
        check_rows(&rows.map(|(key, value)| row(key, 1, Kind::Value, &value)).collect::<Vec<_>>());
        let span = (1 << 29) - 1 + more as u64;
        let rows = [row(b"a", 5 + span, Kind::Value, b"v"), row(b"b", 5, Kind::Tombstone, b"")];
        assert_eq!(usize::from(encode(&rows)[10]), 8 + 8 * more);
        check_rows(&rows);
    }
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
    assert!(builder.add(&entry(0, &[0; 5000]), 0, 100));
    assert!(!builder.add(&entry(0, &[]), 0, 100));
    builder.finish(&mut Vec::new());
    assert!(builder.add(&entry(0, &[0; 50]), 0, 100));
    assert!(!builder.add(&entry(0, &[0; 60]), 0, 100));
    assert!(!builder.add(&entry(1, &[]), 0, 1000));
    let bytes = builder.bytes();
    assert!(builder.add(&entry(0, &[0; 3]), 0, bytes + 3 + 8));
    assert!(!builder.add(&entry(0, &[0; 3]), 0, bytes + 2 * (3 + 8) - 1));
    assert_eq!(builder.last(), Some(entry(0, &[]).position()));
    assert_eq!(builder.bytes(), bytes + 3 + 8);
}

#[test]
fn a_builder_takes_no_sequences_that_a_row_cannot_tell_apart() {
    let entry = |sequence| Entry {
        keyspace: KeyspaceId(0),
        key: b"key",
        sequence: Sequence(sequence),
        kind: Kind::Value,
        value: b"",
    };
    for (sequence, taken) in [(2, true), (1, false)] {
        let mut builder = BlockBuilder::default();
        assert!(builder.add(&entry(SPAN_END + 1), 0, 1000));
        assert_eq!(builder.add(&entry(sequence), 0, 1000), taken);
        let mut builder = BlockBuilder::default();
        assert!(builder.add(&entry(SPAN_END + 1), 0, 1000));
        assert_eq!(builder.add_some(&[entry(sequence)], &[0], 1000), usize::from(taken));
    }
}

/// Every damage of one byte is an error, or gives a block that can be read all over.
fn check_damage(bytes: &[u8], decode: impl Fn(Vec<u8>) -> Result<Block, Malformed>) {
    for len in 0..bytes.len() {
        assert!(decode(bytes[..len].to_vec()).is_err(), "{len} bytes");
    }
    assert!(decode([bytes, &[0]].concat()).is_err());
    let mut window = Window::default();
    for at in 0..bytes.len() {
        for byte in 0..=u8::MAX {
            let mut damaged = bytes.to_vec();
            damaged[at] = byte;
            let Ok(block) = decode(damaged) else { continue };
            block.unpack(0..block.len(), &mut window);
            for i in 0..block.len() {
                let key = [block.prefix(), block.key_suffix(i)].concat();
                let _ = (block.sequence(i), block.kind(i), block.value(i));
                let _ = (block.search(&key, Sequence(8)), block.has_key(i, &key));
                let _ = block.find(&key, hash(&key), Sequence(8));
            }
        }
    }
}

/// I19.
#[test]
fn no_damage_makes_a_block_panic() {
    let rows = |bytes: Vec<u8>| {
        let whole = 0..bytes.len();
        Block::decode(bytes, whole)
    };
    assert!(Block::decode(Vec::new(), 24..30).is_err());
    let wide = [row(b"ka", 1 << 40, Kind::Value, b"v"), row(b"kab", 0, Kind::Tombstone, b"")];
    check_damage(&encode(&small_rows()), rows);
    check_damage(&encode(&wide), rows);
    check_damage(&encode_columns(&small_rows()), |bytes| columns::decode(&bytes));
    check_damage(&encode_columns(&wide), |bytes| columns::decode(&bytes));
}

/// Symptom: none was seen; on 32 bits a block of 1.4 GiB in columns may say so many entries that
/// the length of its rows overflowed. Fix: it is malformed then, as one of more than 4 GiB is.
#[test]
fn columns_of_which_the_rows_are_too_long_are_refused() {
    let check = |count, width, others, want| {
        assert_eq!(columns::bytes_in_rows(count, width, others), want, "{count} of {width}");
    };
    check(3, 8, 5, Some(24 + 8 + 24 + 5));
    check(100 << 20, 16, 7, Some(24 + (1700 << 20) + 7));
    let largest = (u32::MAX as usize).min(isize::MAX as usize);
    check(1, 16, largest - 48, Some(largest));
    check(1, 16, largest - 47, None);
    check(256 << 20, 16, 0, None);
    check(1, 16, usize::MAX - 8, None);
    for count in [usize::MAX, usize::MAX - 8, usize::MAX / 16] {
        check(count, 16, 0, None);
        check(count, 8, 100, None);
    }
}

#[test]
fn reserved_kinds_are_newer_and_others_are_damage() {
    let rows = [row(b"k", 1, Kind::Value, b"")];
    let bytes = encode(&rows);
    let kind_at = 24 + 1 + 8 + 4;
    let old = encode_columns(&rows);
    let old_kind_at = 24 + 1 + 2 + 2 + 1;
    assert_eq!((bytes[kind_at], old[old_kind_at]), (1, 1));
    for (byte, newer) in [(3, true), (6, true), (7, false), (0, false)] {
        let mut other = bytes.clone();
        other[kind_at] = byte;
        let whole = 0..other.len();
        assert_eq!(Block::decode(other, whole).unwrap_err().newer, newer, "kind {byte}");
        let mut other = old.clone();
        other[old_kind_at] = byte;
        assert_eq!(columns::decode(&other).unwrap_err().newer, newer, "kind {byte}");
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
        let whole = 0..bytes.len();
        Block::decode(bytes, whole)
    };
    let check = |at: usize, patch: &[u8], want: u64| {
        assert_eq!(patched(at, patch).unwrap_err().at, want, "{patch:?} at {at}");
    };
    let rows_at = 33;
    // Behind the next end, too long a key, behind the next value end; a tombstone with a value.
    check(rows_at, &[3], 41);
    check(rows_at, &[0xff, 0xff], rows_at as u64);
    check(rows_at + 2, &[4], 41);
    check(rows_at + 12, &[26], 41);
    let base = |base: u64| base.to_le_bytes();
    check(16, &base(u64::MAX - 2), 41);
    let block = patched(16, &base(u64::MAX - 3)).unwrap();
    assert_eq!((block.sequence(0), block.sequence(1)), (Sequence(u64::MAX - 3), SEQUENCE_MAX));
}

/// In a block of very many entries they are found by search.
#[test]
fn entries_of_a_large_block_are_found() {
    let key = |n: u32| n.to_be_bytes().to_vec();
    for count in [TAGGED_MAX as u32, TAGGED_MAX as u32 + 1, 5_000] {
        let rows: Vec<Row> = (0..count).map(|n| row(&key(2 * n), 7, Kind::Value, b"v")).collect();
        let bytes = encode(&rows);
        let whole = 0..bytes.len();
        let block = Block::decode(bytes, whole).unwrap();
        for n in 0..2 * count - 1 {
            let found = block.find(&key(n), hash(&key(n)), Sequence(8));
            let want = if n % 2 == 0 { InBlock::At(n as usize / 2) } else { InBlock::Absent };
            assert_eq!(found, want, "{n} of {count}");
            block.prefetch_entry(hash(&key(n)));
        }
        let last = key(2 * count - 2);
        assert_eq!(block.find(&last, hash(&last), Sequence(6)), InBlock::MayGoOn);
    }
}

/// Keys whose tags are the same, and versions of them, are told apart.
#[test]
fn equal_tags_are_told_apart() {
    let key = |n: u32| n.to_be_bytes().to_vec();
    let same = |n: &u32| tag(hash(&key(*n))) == tag(hash(&key(0)));
    let all: Vec<_> = (0..20_000).filter(same).collect();
    assert!(all.len() > 40, "{} keys with one tag", all.len());
    let rows = |keys: &[u32]| -> Vec<Row> {
        let versions = |&n: &u32| [9, 5].map(|at| row(&key(n), at, Kind::Value, &key(n)));
        keys.iter().flat_map(versions).collect()
    };
    let there: Vec<_> = all.iter().copied().step_by(2).collect();
    check_rows(&rows(&there));
    let bytes = encode(&rows(&there));
    let whole = 0..bytes.len();
    let block = Block::decode(bytes, whole).unwrap();
    for &n in &all {
        let found = block.find(&key(n), hash(&key(n)), Sequence(6));
        assert_eq!(matches!(found, InBlock::At(_)), there.contains(&n), "{n}");
    }
}
