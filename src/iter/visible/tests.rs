//! Tests of [`super::VisibleIter`] against a map, from both ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::super::merge::MergeCursor;
use super::super::range::{KeyRange, prefix_bounds};
use super::super::stretch::KeySpan;
use super::super::testing::{ListCursor, OwnedEntry, Random, entry};
use super::*;
use crate::value::Value;

type Pair = (Vec<u8>, Vec<u8>);

/// The next pair from the front, copied.
fn draw_front<C: Cursor, F: Fn() -> C>(
    iter: &mut VisibleIter<C, F>,
) -> Option<Result<(Value, Value)>> {
    iter.next_front(Value::copy, C::value)
}

fn draw_back<C: Cursor, F: Fn() -> C>(
    iter: &mut VisibleIter<C, F>,
) -> Option<Result<(Value, Value)>> {
    iter.next_back(Value::copy, C::value)
}

/// Which end each draw is from.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Front,
    Back,
    Mixed,
}

/// Everything the iterator yields, put in ascending order; checks that it is over for good.
fn drain<C: Cursor, F: Fn() -> C>(
    iter: &mut VisibleIter<C, F>,
    draw: Draw,
    random: &mut Random,
) -> Vec<Pair> {
    let mut front = Vec::new();
    let mut back = Vec::new();
    loop {
        let from_front = match draw {
            Draw::Front => true,
            Draw::Back => false,
            Draw::Mixed => random.below(2) == 0,
        };
        let found = if from_front { draw_front(iter) } else { draw_back(iter) };
        let Some(pair) = found else { break };
        let (key, value) = pair.unwrap();
        if from_front { &mut front } else { &mut back }.push((key.to_vec(), value.to_vec()));
    }
    for _ in 0..2 {
        assert!(draw_front(iter).is_none());
        assert!(draw_back(iter).is_none());
    }
    back.reverse();
    front.extend(back);
    front
}

/// The same by the book.
fn want(entries: &[OwnedEntry], at: Sequence, bounds: &Bounds) -> Vec<Pair> {
    let mut map = BTreeMap::new();
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.sequence);
    for entry in entries {
        if entry.keyspace == KeyspaceId(1) && entry.sequence <= at {
            map.insert(entry.key.clone(), (entry.kind, entry.value.clone()));
        }
    }
    let after = |key: &Vec<u8>| match &bounds.0 {
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
        Bound::Unbounded => true,
    };
    let before = |key: &Vec<u8>| match &bounds.1 {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    map.into_iter()
        .filter(|(key, (kind, _))| *kind == Kind::Value && after(key) && before(key))
        .map(|(key, (_, value))| (key, value))
        .collect()
}

fn random_bound(random: &mut Random) -> Bound<Vec<u8>> {
    let key = random_key(random);
    match random.below(3) {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

/// Few enough keys that they have many versions, among them the ends of the order.
fn random_key(random: &mut Random) -> Vec<u8> {
    let keys: [&[u8]; 8] =
        [b"", b"\0", b"a", b"a\0", b"aa", b"b", b"\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"];
    keys[random.below(keys.len())].to_vec()
}

#[test]
fn random_versions_read_as_the_map_does_from_both_ends() {
    let mut random = Random::from_env(0x7669_7369);
    for _ in 0..300 {
        let mut sources = vec![Vec::new(); 3];
        let operations = random.below(120) as u64;
        let tombstones = random.below(4);
        for sequence in 1..=operations {
            let hidden = random.below(4) < tombstones;
            let value = sequence.to_string();
            let mut entry =
                entry(random.below(3) as u32, "", sequence, (!hidden).then_some(value.as_str()));
            entry.key = random_key(&mut random);
            sources[random.below(3)].push(entry);
        }
        let all = sources.concat();
        for _ in 0..6 {
            let at = Sequence(random.below(operations as usize + 2) as u64);
            let bounds = (random_bound(&mut random), random_bound(&mut random));
            for draw in [Draw::Front, Draw::Back, Draw::Mixed] {
                let make =
                    || MergeCursor::new(sources.iter().cloned().map(ListCursor::new).collect());
                let mut iter = VisibleIter::new(make, KeyspaceId(1), at, bounds.clone());
                let got = drain(&mut iter, draw, &mut random);
                let want = want(&all, at, &bounds);
                assert_eq!(got, want, "{draw:?} {bounds:?} at {at}, seed {}", random.seed);
            }
        }
    }
}

/// Seeks between draws, from both ends, against a double-ended row of what is left.
#[test]
fn seeks_pass_over_keys_and_never_bring_one_back() {
    let mut random = Random::from_env(0x7365_656b);
    for _ in 0..500 {
        let mut sources = vec![Vec::new(); 2];
        for sequence in 1..=random.below(60) as u64 {
            let value = sequence.to_string();
            let value = (random.below(4) > 0).then_some(value.as_str());
            let mut entry = entry(1, "", sequence, value);
            // Two bytes, so that a seek has farther to go than it steps.
            entry.key = vec![b'a' + random.below(4) as u8; 1 + random.below(3)];
            sources[random.below(2)].push(entry);
        }
        let bounds = (random_bound(&mut random), random_bound(&mut random));
        let mut left = want(&sources.concat(), Sequence(50), &bounds);
        let make = || MergeCursor::new(sources.iter().cloned().map(ListCursor::new).collect());
        let mut iter = VisibleIter::new(make, KeyspaceId(1), Sequence(50), bounds);
        for _ in 0..12 {
            let key = vec![b'a' + random.below(4) as u8; random.below(4)];
            let owned = |(key, value): (Value, Value)| (key.to_vec(), value.to_vec());
            let seed = random.seed;
            match random.below(4) {
                0 => {
                    iter.seek(&key);
                    left.retain(|pair| pair.0 >= key);
                }
                1 => {
                    iter.seek_back(&key);
                    left.retain(|pair| pair.0 <= key);
                }
                2 => {
                    let want = (!left.is_empty()).then(|| left.remove(0));
                    let got = draw_front(&mut iter).transpose().unwrap().map(owned);
                    assert_eq!(got, want, "seed {seed}");
                }
                _ => {
                    let got = draw_back(&mut iter).transpose().unwrap().map(owned);
                    assert_eq!(got, left.pop(), "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn inverted_and_empty_bounds_hold_nothing() {
    let entries = vec![entry(1, "a", 1, Some("1")), entry(1, "b", 2, Some("2"))];
    let make = || ListCursor::new(entries.clone());
    let mut random = Random::from_env(1);
    let ranges = [
        ("b".."a").into_bounds(),
        ("b"..="a").into_bounds(),
        ("a".."a").into_bounds(),
        (Bound::Excluded("a"), Bound::Excluded("a")).into_bounds(),
        (Bound::Excluded("a"), Bound::Included("a")).into_bounds(),
        (Bound::Included("a"), Bound::Excluded("a")).into_bounds(),
        prefix_bounds(b"ab"),
    ];
    for bounds in ranges {
        for draw in [Draw::Front, Draw::Back, Draw::Mixed] {
            let mut iter = VisibleIter::new(make, KeyspaceId(1), Sequence(9), bounds.clone());
            assert_eq!(drain(&mut iter, draw, &mut random), [], "{bounds:?}");
        }
    }
}

#[test]
fn the_last_possible_key_of_the_last_possible_keyspace_is_reached_from_behind() {
    let mut last = entry(u32::MAX, "", 1, Some("v"));
    last.key = KEY_LAST.to_vec();
    let keyspace = last.keyspace;
    let make = || ListCursor::new(vec![last.clone()]);
    let mut iter = VisibleIter::new(make, keyspace, Sequence(1), (..).into_bounds());
    let (key, _) = draw_back(&mut iter).unwrap().unwrap();
    assert_eq!(key, KEY_LAST);
    assert!(draw_front(&mut iter).is_none());
}

#[test]
fn a_key_with_many_versions_costs_a_few_seeks_and_not_a_walk() {
    let mut entries: Vec<_> =
        (1..=1000).map(|sequence| entry(1, "b", sequence, Some("v"))).collect();
    entries.push(entry(1, "a", 1001, Some("a")));
    entries.push(entry(1, "c", 1002, Some("c")));
    let make = || ListCursor::new(entries.clone());
    let iter = || VisibleIter::new(make, KeyspaceId(1), Sequence(500), prefix_bounds(b""));
    let moves = |cursor: &Option<ListCursor>| {
        cursor.as_ref().map(|cursor| (cursor.seeks, cursor.steps)).unwrap()
    };

    let mut forward = iter();
    assert_eq!(draw_front(&mut forward).unwrap().unwrap().0, "b");
    let (seeks, steps) = moves(&forward.front);
    assert!(seeks <= 2 && steps <= 10, "{seeks} seeks, {steps} steps");

    let mut backward = VisibleIter { at: Sequence(2000), ..iter() };
    assert_eq!(draw_back(&mut backward).unwrap().unwrap().0, "c");
    assert_eq!(draw_back(&mut backward).unwrap().unwrap().0, "b");
    let (seeks, steps) = moves(&backward.back);
    assert!(seeks <= 3 && steps <= 9, "{seeks} seeks, {steps} steps");
    assert_eq!(draw_back(&mut backward).unwrap().unwrap().0, "a");
}

#[test]
fn an_error_comes_once_and_a_seek_begins_anew() {
    let entries: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .zip(1..)
        .map(|(key, sequence)| entry(1, key, sequence, Some("v")))
        .collect();
    let mut seen = 0;
    for calls_before_failure in 0..5 {
        let make = || ListCursor::new(entries.clone()).failing_after(calls_before_failure);
        for front_first in [true, false] {
            let mut iter = VisibleIter::new(make, KeyspaceId(1), Sequence(9), (..).into_bounds());
            let mut next = |front| if front { draw_front(&mut iter) } else { draw_back(&mut iter) };
            let mut good = 0;
            let failed = loop {
                match next(front_first) {
                    Some(Ok(_)) => good += 1,
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            if !failed {
                continue;
            }
            seen += 1;
            assert!(good <= calls_before_failure);
            for front in [!front_first, front_first, !front_first, front_first] {
                assert!(next(front).is_none());
            }
            // A seek to where an end stands already is enough to draw again.
            iter.seek(b"");
            let again = if front_first { draw_back(&mut iter) } else { draw_front(&mut iter) };
            assert!(again.is_some() || good == entries.len());
        }
    }
    assert_eq!(seen, 10);
}

/// A key that was being looked at when the error came was neither yielded nor passed over: drawn
/// again, after a seek, every key comes once.
#[test]
fn no_key_is_lost_to_an_error_that_goes_away() {
    let mut entries = Vec::new();
    for key in ["a", "b", "c", "d"] {
        let version = |sequence| entry(1, key, sequence, (sequence != 3).then_some("v"));
        entries.extend((1..=12).rev().map(version));
    }
    for at in [3, 5] {
        let want = if at == 3 { vec![] } else { vec!["a", "b", "c", "d"] };
        for (calls, front) in (0..60).flat_map(|calls| [(calls, true), (calls, false)]) {
            // The first cursor fails, and those that are made later do not.
            let first = Cell::new(true);
            let make = || match first.replace(false) {
                true => ListCursor::new(entries.clone()).failing_after(calls),
                false => ListCursor::new(entries.clone()),
            };
            let mut iter = VisibleIter::new(make, KeyspaceId(1), Sequence(at), (..).into_bounds());
            let mut got = Vec::new();
            loop {
                match if front { draw_front(&mut iter) } else { draw_back(&mut iter) } {
                    Some(Ok((key, _))) => got.push(key),
                    Some(Err(_)) => iter.seek(b""),
                    None => break,
                }
            }
            if !front {
                got.reverse();
            }
            assert_eq!(got, want, "at {at}, failing after {calls}, front {front}");
        }
    }
}

/// A list on which a stretch is remembered, and where the jumps over it have gone.
struct Remembering<'a> {
    list: ListCursor,
    span: &'a KeySpan,
    /// The next seek is a jump.
    jumps: Cell<bool>,
    landed: &'a RefCell<Vec<Vec<u8>>>,
}

impl Remembering<'_> {
    fn note(&self, target: Position<'_>) {
        if self.jumps.take() {
            self.landed.borrow_mut().push(target.key.to_vec());
        }
    }
}

impl Cursor for Remembering<'_> {
    fn seek(&mut self, target: Position<'_>) -> Result<()> {
        self.note(target);
        self.list.seek(target)
    }

    fn seek_before(&mut self, target: Position<'_>) -> Result<()> {
        self.note(target);
        self.list.seek_before(target)
    }

    fn next(&mut self) -> Result<()> {
        self.list.next()
    }

    fn prev(&mut self) -> Result<()> {
        self.list.prev()
    }

    fn entry(&self) -> Option<crate::format::key::Entry<'_>> {
        self.list.entry()
    }

    fn value(&self) -> Value {
        self.list.value()
    }

    fn stretch(&self, way: Way, edge: Edge<'_>, _: Sequence, to: &mut Vec<u8>) -> bool {
        let begins = self.span.begins_by_edge(way, edge);
        let far = begins.then(|| self.span.far_end(way, edge)).flatten();
        far.inspect(|far| {
            to.clear();
            to.extend_from_slice(far);
            self.jumps.set(true);
        })
        .is_some()
    }
}

/// A key of two digits, or the one right after it.
fn number(random: &mut Random, from: usize, to: usize) -> Vec<u8> {
    let mut key = format!("{:02}", from + random.below(to - from)).into_bytes();
    if random.below(4) == 0 {
        key.push(0);
    }
    key
}

/// Whether a walk has keys left from where a jump has landed: on the end of the span going
/// `forward`, else before its start.
fn in_sight(landed: &Vec<u8>, forward: bool, bounds: &Bounds) -> bool {
    match (forward, bounds) {
        (true, (_, Bound::Included(end))) => landed <= end,
        (true, (_, Bound::Excluded(end))) => landed < end,
        (true, (_, Bound::Unbounded)) => true,
        (false, (Bound::Included(start), _)) => landed > start,
        (false, (Bound::Excluded(start), _)) => *landed > [start.as_slice(), &[0]].concat(),
        (false, (Bound::Unbounded, _)) => !landed.is_empty(),
    }
}

/// A jump that lands behind the end of a walk has each layer read a block in vain.
#[test]
fn jumps_in_bounded_walks_read_as_the_map_does_and_land_inside() {
    let mut random = Random::from_env(0x6a75_6d70);
    let mut over = 0;
    let mut landed_ever = 0;
    for _ in 0..4_000 {
        // Dead from `first` to before `last`; what is remembered may be less.
        let first = random.below(40);
        let last = 50 + random.below(50);
        let mut entries = Vec::new();
        for key in (0..100).filter(|_| random.below(4) > 0) {
            let dead = first <= key && key < last;
            entries.push(entry(1, &format!("{key:02}"), 1, (!dead).then_some("v")));
        }
        let mut from = number(&mut random, first, first + 10);
        let mut to = number(&mut random, last - 10, last);
        match random.below(4) {
            0 if first == 0 => from.clear(),
            1 => (from, to) = (format!("{first:02}").into(), format!("{last:02}").into()),
            _ => {}
        }
        let span = KeySpan { keyspace: KeyspaceId(1), from, to };
        let bound = |random: &mut Random, edge: &[u8]| {
            let key = match random.below(4) {
                0 => edge.to_vec(),
                1 => edge.strip_suffix(&[0]).map_or([edge, &[0][..]].concat(), <[u8]>::to_vec),
                2 => number(random, first, last),
                _ => number(random, 0, 100),
            };
            [Bound::Included(key.clone()), Bound::Excluded(key), Bound::Unbounded]
                [random.below(9).min(4) / 2]
                .clone()
        };
        let start = if random.below(4) == 0 { &span.to } else { &span.from };
        let bounds = (bound(&mut random, start), bound(&mut random, &span.to));
        let want = want(&entries, Sequence(1), &bounds);
        for draw in [Draw::Front, Draw::Back, Draw::Mixed] {
            let landed = RefCell::new(Vec::new());
            let list = ListCursor::new(entries.clone());
            let make = || Remembering {
                list: list.clone(),
                span: &span,
                jumps: Cell::new(false),
                landed: &landed,
            };
            let mut iter = VisibleIter::new(make, KeyspaceId(1), Sequence(1), bounds.clone());
            let got = drain(&mut iter, draw, &mut random);
            let seed = random.seed;
            assert_eq!(got, want, "{draw:?} {bounds:?} {span:?} seed {seed}");
            let jumps = iter.jumps() as usize;
            let landed = landed.take();
            landed_ever += landed.len();
            over += jumps - landed.len();
            let inside = landed.iter().all(|landed| in_sight(landed, *landed == span.to, &bounds));
            assert!(inside, "{draw:?} {bounds:?} {span:?} {landed:?} seed {seed}");
        }
    }
    assert!(over > 1_000 && landed_ever > 1_000, "{over} over, {landed_ever} landed");
}
