//! Tests of looking ahead, by an iterator whose sources lie in blocks.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Bound;

use super::super::merge::MergeCursor;
use super::super::testing::{BlockCursor, OwnedEntry, Random, cut, entry};
use super::super::visible::VisibleIter;
use super::*;
use crate::error::Result;
use crate::format::key::Kind;
use crate::value::Value;

type Pair = (Vec<u8>, Vec<u8>);

/// Sources that take turns seldom or often, with keys that have few versions or many.
fn sources(random: &mut Random) -> Vec<Vec<OwnedEntry>> {
    let mut sources = vec![Vec::new(); 1 + random.below(3)];
    let count = sources.len();
    let stretch = 1 + random.below(40);
    let versions = 1 + random.below(12);
    let dead = random.below(4);
    let mut sequence = 0;
    for number in 0..random.below(300) {
        let key = format!("{:0width$}", 3 * number, width = 3 + number / 200);
        for version in 0..1 + random.below(versions) / 4 {
            sequence += 1;
            let value = "v".repeat(random.below(4) * number) + &sequence.to_string();
            let value = (random.below(12) >= dead).then_some(value.as_str());
            let keyspace = 1 + u32::from(random.below(100) == 0);
            let source = (number / stretch + version) % count;
            sources[source].push(entry(keyspace, &key, sequence, value));
        }
    }
    sources.iter_mut().for_each(|source| source.sort());
    sources
}

/// What a reader at `at` sees of keyspace 1 within bounds.
fn seen(sources: &[Vec<OwnedEntry>], at: Sequence, bounds: &[Bound<Vec<u8>>; 2]) -> VecDeque<Pair> {
    let mut all: Vec<_> = sources.iter().flatten().filter(|it| it.sequence <= at).collect();
    all.sort();
    all.dedup_by(|a, b| (a.keyspace, &a.key) == (b.keyspace, &b.key));
    let [start, end] = bounds;
    let inside = |key: &Vec<u8>| {
        (match start {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        }) && match end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        }
    };
    all.into_iter()
        .filter(|it| it.keyspace == KeyspaceId(1) && it.kind == Kind::Value && inside(&it.key))
        .map(|it| (it.key.clone(), it.value.clone()))
        .collect()
}

fn bound(random: &mut Random) -> Bound<Vec<u8>> {
    let key = format!("{:03}", random.below(900)).into_bytes();
    [Bound::Included(key.clone()), Bound::Excluded(key), Bound::Unbounded][random.below(3)].clone()
}

fn owned<T: AsRef<[u8]>>((key, value): (T, T)) -> Pair {
    (key.as_ref().to_vec(), value.as_ref().to_vec())
}

fn lend<C: Cursor, F: Fn() -> C>(
    iter: &mut VisibleIter<C, F>,
    front: bool,
) -> Option<Result<Pair>> {
    let drawn = match front {
        true if iter.draws_ahead(Way::Forward) => Some(Ok(())),
        true => iter.draw_front(),
        false if iter.draws_ahead(Way::Backward) => Some(Ok(())),
        false => iter.draw_back(),
    };
    drawn.map(|drawn| {
        drawn.map(|()| owned(if front { iter.lent_front() } else { iter.lent_back() }))
    })
}

/// Draws in a row from either end, lent or to keep, with seeks between them.
#[test]
fn blocks_read_as_the_map_does_from_both_ends() {
    let mut random = Random::from_env(0x6168_6561);
    let drawn_ahead = Cell::new(0);
    for _ in 0..1_500 {
        let sources = sources(&mut random);
        let blocks: Vec<_> =
            sources.iter().map(|source| cut(source, || 1 + random.below(60))).collect();
        let at = Sequence([u64::MAX >> 8, random.below(400) as u64][random.below(4) / 3]);
        let bounds = [bound(&mut random), bound(&mut random)];
        let mut left = seen(&sources, at, &bounds);
        let make = || {
            let both = sources.iter().zip(&blocks);
            MergeCursor::new(both.map(|(all, cut)| BlockCursor::new(all.clone(), cut)).collect())
        };
        let [start, end] = bounds.clone();
        let mut iter = VisibleIter::new(&make, KeyspaceId(1), at, (start, end));
        let seed = random.seed;
        let row_max = 1 + random.below(60);
        while !left.is_empty() || random.below(4) > 0 {
            let key = format!("{:03}", random.below(900)).into_bytes();
            match random.below(20) {
                0 => {
                    iter.seek(&key);
                    left.retain(|pair| pair.0 >= key);
                }
                1 => {
                    iter.seek_back(&key);
                    left.retain(|pair| pair.0 <= key);
                }
                2 => iter.remake(&make),
                _ => {}
            }
            let way = random.below(8);
            for _ in 0..1 + random.below(row_max) {
                let (got, want) = match way {
                    0..2 => (
                        iter.next_front(Value::copy, Cursor::value).map(|it| it.map(owned)),
                        left.pop_front(),
                    ),
                    2..4 => (lend(&mut iter, true), left.pop_front()),
                    4..6 => (
                        iter.next_back(Value::copy, Cursor::value).map(|it| it.map(owned)),
                        left.pop_back(),
                    ),
                    _ => (lend(&mut iter, false), left.pop_back()),
                };
                assert_eq!(got.transpose().unwrap(), want, "seed {seed}, {bounds:?} at {at}");
                drawn_ahead.set(drawn_ahead.get() + iter.drawn_ahead());
            }
        }
    }
    assert!(drawn_ahead.get() > 10_000, "{} keys drawn from what was looked at", drawn_ahead.get());
}
