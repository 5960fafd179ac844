//! What a list of stretches looks like after each change, one thread.

use super::list::{CHUNK_MAX, OLDER_MAX};
use super::*;
use crate::ids::SEQUENCE_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys(u32, u32);

impl Span for Keys {
    type Point<'a> = u32;

    fn begins_by(&self, key: u32) -> bool {
        self.0 <= key
    }

    fn ends_by(&self, key: u32) -> bool {
        self.1 <= key
    }

    fn contains(&self, other: &Self) -> bool {
        self.0 <= other.0 && other.1 <= self.1
    }

    fn ends_before(&self, other: &Self) -> bool {
        self.1 < other.0
    }

    fn join(&self, other: &Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }

    fn split(&self, key: u32) -> [Option<Self>; 2] {
        let part = |from, to| (from < to).then_some(Self(from, to));
        [part(self.0, key), part(key + 1, self.1)]
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// What most walks here have walked over: enough for some cuts.
const KEYS: u64 = 10 * KEYS_PER_CUT;

struct Layer {
    stretches: Stretches<Keys>,
    book: Book<Keys>,
}

impl Layer {
    fn new() -> Self {
        Self::with_room(1 << 30)
    }

    fn with_room(bytes_max: usize) -> Self {
        let stretches = Stretches::new();
        let book = Book::new(&stretches, bytes_max);
        Self { stretches, book }
    }

    /// With room for that many stretches that have nothing of older readers.
    fn with_room_for(count: usize) -> Self {
        let mut one = Self::new();
        one.add(Keys(0, 1), 1);
        Self::with_room(count * one.book.list.bytes())
    }

    fn add(&mut self, span: Keys, since: u64) -> &mut Self {
        self.add_keys(span, since, KEYS)
    }

    fn add_keys(&mut self, span: Keys, since: u64, keys: u64) -> &mut Self {
        self.book.add(&self.stretches, &span, keys, Sequence(since));
        self
    }

    fn put(&mut self, key: u32) -> &mut Self {
        self.book.written(&self.stretches, key);
        self
    }

    fn rotate(&mut self) -> &mut Self {
        let next = Stretches::new();
        self.book.hand_over(&next);
        self.stretches = next;
        self
    }

    /// Where a reader at `at` jumps from a key.
    fn find(&self, at: Sequence, key: u32) -> Option<Keys> {
        let take = |span: &Keys| (!span.ends_by(key)).then_some(*span);
        self.stretches.find(at, |span| span.begins_by(key), take)
    }

    /// What holds for a reader at `at`, each stretch before what it has of older readers.
    #[track_caller]
    fn check(&self, at: u64, want: &[Keys]) {
        assert_eq!(self.stretches.all(Sequence(at)), want);
        for span in want {
            assert!(self.find(Sequence(at), span.0).is_some(), "{span:?}");
        }
        self.check_list();
    }

    /// The order of the list, and its numbers.
    fn check_list(&self) {
        let list = &self.book.list;
        assert!(list.chunks.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.len())));
        let all: Vec<_> = list.chunks.iter().flat_map(|chunk| chunk.iter()).collect();
        assert!(all.windows(2).all(|pair| pair[0].span.ends_before(&pair[1].span)));
        let bytes: usize = all.iter().map(|stretch| stretch.bytes()).sum();
        assert_eq!((list.len(), list.bytes()), (all.len(), bytes));
        assert_eq!(self.stretches.some.load(Ordering::Relaxed), !list.is_empty());
        for stretch in all {
            let since = stretch.older.iter().map(|(_, since)| *since);
            let since: Vec<_> = std::iter::once(stretch.since).chain(since).collect();
            assert!(since.is_sorted_by(|newer, older| newer >= older), "{stretch:?}");
            assert!(stretch.older.iter().all(|(span, _)| stretch.span.contains(span)));
            assert!(stretch.older.len() <= OLDER_MAX);
        }
    }
}

/// I28.
#[test]
fn a_stretch_holds_from_its_sequence_on() {
    let mut layer = Layer::new();
    layer.check(9, &[]);
    layer.add(Keys(2, 5), 7);
    layer.check(6, &[]);
    layer.check(7, &[Keys(2, 5)]);
    let found = |key| layer.find(Sequence(7), key).is_some();
    assert_eq!([1, 2, 4, 5].map(found), [false, true, true, false]);
}

#[test]
fn a_stretch_that_grows_stays_one() {
    let mut layer = Layer::new();
    for end in 1..100 {
        layer.add(Keys(0, end), u64::from(end));
    }
    layer.check(99, &[Keys(0, 99)]);
    layer.add(Keys(99, 120), 120);
    layer.check(120, &[Keys(0, 120)]);
    // Nothing new in it.
    layer.add(Keys(3, 50), 130);
    layer.check(130, &[Keys(0, 120)]);
    layer.add(Keys(200, 210), 130).add(Keys(140, 150), 130).add(Keys(110, 205), 130);
    layer.check(130, &[Keys(0, 210)]);
}

#[test]
fn what_older_readers_remembered_stays_apart() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 50), 100).add(Keys(0, 10), 20).add(Keys(50, 60), 110);
    layer.check(20, &[Keys(0, 10)]);
    layer.check(110, &[Keys(0, 60), Keys(0, 10)]);
    // One that goes on where it was, and one that says all that the others do.
    layer.add(Keys(10, 30), 20).add(Keys(5, 20), 40).add(Keys(25, 35), 40);
    layer.check(109, &[Keys(25, 35), Keys(0, 30)]);
    layer.add(Keys(0, 70), 10);
    layer.check(109, &[Keys(0, 70)]);
    layer.check(110, &[Keys(0, 70), Keys(0, 70)]);
    // What it touches is one with it, for those who read at the newer sequence.
    layer.add(Keys(70, 80), 5);
    layer.check(110, &[Keys(0, 80), Keys(0, 70), Keys(70, 80)]);
}

/// An old snapshot and new readers, in turn: neither has to walk again because of the other.
#[test]
fn readers_of_different_ages_do_not_forget_for_each_other() {
    let mut layer = Layer::new();
    let mut walks = 0;
    let mut old_walks = 0;
    for now in 100..200 {
        if layer.find(Sequence(20), 0) != Some(Keys(0, 60)) {
            old_walks += 1;
            layer.add(Keys(0, 60), 20);
        }
        if layer.find(Sequence(u64::from(now)), 0) != Some(Keys(0, now)) {
            walks += 1;
            layer.add(Keys(0, now), u64::from(now));
        }
    }
    // Once before there was a newer one, once after.
    assert_eq!((old_walks, walks), (2, 100));
    // More snapshots than are kept: the oldest walks, the others need not.
    let mut walks = vec![0; OLDER_MAX + 1];
    for _ in 0..10 {
        for (i, walks) in walks.iter_mut().enumerate() {
            let span = Keys(0, 60 + i as u32);
            let since = 20 + i as u64;
            if layer.find(Sequence(since), 0) != Some(span) {
                *walks += 1;
                layer.add(span, since);
            }
        }
    }
    assert!(walks[0] >= 9 && walks[1..].iter().all(|&walks| walks <= 1), "{walks:?}");
    layer.check_list();
}

/// I28.
#[test]
fn a_value_cuts_what_covers_it() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5).add(Keys(20, 30), 5).put(15);
    layer.check(5, &[Keys(0, 10), Keys(20, 30)]);
    layer.put(0).put(25);
    layer.check(5, &[Keys(1, 10), Keys(20, 25), Keys(26, 30)]);
    (20..30).for_each(|key| {
        layer.put(key);
    });
    layer.check(5, &[Keys(1, 10)]);
    (1..10).for_each(|key| {
        layer.put(key);
    });
    assert!(!layer.stretches.some.load(Ordering::Relaxed));
    layer.add(Keys(0, 9), 9).add(Keys(1, 8), 7).add(Keys(2, 4), 6).put(5);
    layer.check(9, &[Keys(0, 5), Keys(1, 5), Keys(2, 4), Keys(6, 9), Keys(6, 8)]);
    layer.check(7, &[Keys(1, 5), Keys(2, 4), Keys(6, 8)]);
}

/// Values in any order into a dead span: cuts must not cost more than the walk has.
#[test]
fn cuts_are_paid_for_by_walks_or_by_jumps() {
    let published = |jumps: bool| {
        let mut layer = Layer::new();
        layer.add_keys(Keys(0, 1 << 20), 5, 10 * KEYS_PER_CUT);
        let before = layer.book.lists;
        for i in 0_u32..1 << 12 {
            let key = i.wrapping_mul(0x9e37_79b1) >> 12;
            if jumps {
                layer.find(Sequence(5), key);
            }
            layer.put(key);
        }
        layer.book.lists - before
    };
    // Ten cuts, of which the first leaves one part, and what is left of them goes at the next.
    assert_eq!(published(false), 20);
    assert!(published(true) > 3_000);
}

/// From `ALLUVIUM_SEED` if that is set.
fn seeds() -> Vec<u64> {
    let seed = std::env::var("ALLUVIUM_SEED").ok();
    let seed = seed.map(|text| text.parse().expect("ALLUVIUM_SEED is a decimal number"));
    seed.map_or((1..5).collect(), |seed| vec![seed])
}

/// The naive list: of each key, the sequence from which on it is known to be dead.
#[test]
fn random_changes_agree_with_a_list_of_keys() {
    const COUNT: u32 = 4_000;
    for seed in seeds() {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut below = |bound: u32| rng.u32(..bound);
        let mut layer = Layer::new();
        let mut dead = vec![SEQUENCE_MAX; COUNT as usize];
        let mut chunks = 0;
        for step in 0..6_000 {
            let key = below(COUNT);
            match below(8) {
                0..=2 => {
                    let length = [4, 20, 20, 20, 300][below(5) as usize];
                    let span = Keys(key, COUNT.min(key + 1 + below(length)));
                    // Mostly of the newest sequence, sometimes of an older one.
                    let age = if below(4) == 0 { below(400) } else { 0 };
                    let since = Sequence(u64::from(1_000 + step - age));
                    layer.book.add(&layer.stretches, &span, KEYS, since);
                    for at in &mut dead[span.0 as usize..span.1 as usize] {
                        *at = since.min(*at);
                    }
                }
                3 if below(40) == 0 => drop(layer.rotate()),
                _ => {
                    layer.put(key);
                    dead[key as usize] = SEQUENCE_MAX;
                }
            }
            chunks = chunks.max(layer.book.list.chunks.len());
            if step % 50 == 0 {
                layer.check_list();
            }
            let key = below(COUNT);
            let is_dead = |key: &u32| dead[*key as usize] < SEQUENCE_MAX;
            let found = layer.find(Sequence(SEQUENCE_MAX.0 - 1), key);
            let want = is_dead(&key).then(|| {
                let from = (0..key).rev().take_while(is_dead).last().unwrap_or(key);
                Keys(from, (key..COUNT).find(|key| !is_dead(key)).unwrap_or(COUNT))
            });
            assert_eq!(found, want, "step {step}, key {key}, seed {seed}");
            let at = Sequence(u64::from(1_000 + step - below(500)));
            if let Some(Keys(from, to)) = layer.find(at, key) {
                let dead = dead[from as usize..to as usize].iter().max();
                assert!(dead <= Some(&at), "step {step}, key {key}, at {at:?}, seed {seed}");
            }
        }
        assert!(chunks > 3, "{chunks} chunks, seed {seed}");
    }
}

/// Reads queue after queue, and remembers those that had to be walked. Returns their number.
fn walks(layer: &mut Layer, queues: impl Iterator<Item = u32>, keys: u64) -> usize {
    let walked = queues.filter(|queue| {
        let walks = layer.find(Sequence(9), 10 * queue).is_none();
        if walks {
            layer.add_keys(Keys(10 * queue, 10 * queue + 8), 5, keys);
            layer.check_list();
        }
        walks
    });
    walked.count()
}

#[test]
fn of_more_than_there_is_room_for_as_many_as_there_is_room_for_stay() {
    let mut layer = Layer::with_room_for(100);
    assert_eq!(walks(&mut layer, 0..101, 50), 101);
    assert_eq!(layer.book.list.len(), 100);
    for _ in 0..10 {
        assert_eq!(walks(&mut layer, 0..101, 50), 1);
        assert_eq!(walks(&mut layer, (0..101).rev(), 50), 1);
        assert_eq!(walks(&mut layer, 0..200, 50), 100);
    }
    assert!(layer.book.retired.iter().count() <= GRACE_LISTS as usize + 1);
    // One that grows stays, without more room.
    layer.add_keys(Keys(0, 9), 6, 8);
    assert_eq!(layer.find(Sequence(9), 0), Some(Keys(0, 9)));
    assert_eq!(layer.book.list.len(), 100);
    // A cut makes two of one where there is room only.
    layer.put(14);
    assert_eq!((layer.book.list.len(), layer.find(Sequence(9), 17)), (99, None));
    layer.put(24);
    assert_eq!((layer.book.list.len(), layer.find(Sequence(9), 27)), (100, Some(Keys(25, 28))));
}

#[test]
fn what_spares_more_pushes_out_what_spares_less() {
    let mut layer = Layer::with_room_for(100);
    walks(&mut layer, 0..100, 50);
    walks(&mut layer, 100..150, 5_000);
    assert_eq!(walks(&mut layer, 100..150, 0), 0);
    walks(&mut layer, 200..2_000, 50);
    assert_eq!(walks(&mut layer, 100..150, 0), 0);
    assert!(layer.book.list.bytes() <= layer.book.bytes_max);
    // One that has no room in an empty list either.
    let mut small = Layer::with_room(10);
    small.add(Keys(0, 9), 5).check(9, &[]);
}

/// What nobody jumps over makes room in time, also for what spares less.
#[test]
fn what_is_not_used_makes_room() {
    let mut layer = Layer::with_room_for(100);
    walks(&mut layer, 0..100, 50);
    for _ in 0..8 {
        layer.rotate();
        walks(&mut layer, 0..20, 50);
    }
    walks(&mut layer, 200..300, 40);
    assert_eq!(walks(&mut layer, 0..20, 50), 0);
    let left = (0..100).filter(|queue| layer.find(Sequence(9), 10 * queue).is_some());
    assert!(left.count() < 60);
}

/// I28.
#[test]
fn rotation_hands_the_list_on_and_the_old_memtable_keeps_its_own() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5);
    let next = Stretches::new();
    layer.book.hand_over(&next);
    let old = std::mem::replace(&mut layer.stretches, next);
    layer.put(4).check(5, &[Keys(0, 4), Keys(5, 10)]);
    assert_eq!(old.all(Sequence(5)), [Keys(0, 10)]);
    let fresh = Stretches::new();
    layer.book.begin(&fresh);
    layer.stretches = fresh;
    layer.put(7).check(5, &[]);
}

#[test]
fn a_stretch_that_nobody_jumps_over_is_forgotten_after_some_rotations() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5).add(Keys(50, 60), 5).add(Keys(80, 90), 5);
    for rotation in 1..=ROTATIONS_MAX + 1 {
        let grown = Keys(0, 10 + rotation);
        layer.add(grown, 5 + u64::from(rotation));
        assert!(layer.find(SEQUENCE_MAX, 50).is_some());
        layer.rotate();
        let all = [grown, Keys(50, 60), Keys(80, 90)];
        let left = if rotation < ROTATIONS_MAX + 1 { &all[..] } else { &all[..2] };
        assert_eq!(layer.stretches.all(SEQUENCE_MAX), left, "{rotation}");
    }
}

/// A write that is not visible for long.
const STUCK: Sequence = Sequence(99);

/// The steps of [`remember`] with something between them.
struct Between<F> {
    layer: std::cell::RefCell<Layer>,
    last: u64,
    written: bool,
    /// Done while the reader looks for later writes.
    meanwhile: F,
}

impl<F: Fn(&mut Layer)> RememberEnv<Keys> for Between<F> {
    fn try_enter<R>(
        &self,
        f: impl FnOnce(&mut Book<Keys>, &Stretches<Keys>, Sequence) -> R,
    ) -> Option<R> {
        let Layer { stretches, book } = &mut *self.layer.borrow_mut();
        Some(f(book, stretches, Sequence(self.last)))
    }

    fn is_visible(&self, last: Sequence) -> bool {
        last != STUCK
    }

    fn written_since(&self, _: &Keys, _: Sequence) -> bool {
        (self.meanwhile)(&mut self.layer.borrow_mut());
        self.written
    }
}

/// I28.
#[test]
fn remembering_gives_up_where_something_was_written() {
    #[track_caller]
    fn check(last: u64, written: bool, meanwhile: impl Fn(&mut Layer), want: bool) {
        let layer = std::cell::RefCell::new(Layer::new());
        let env = Between { layer, last, written, meanwhile };
        assert_eq!(remember(&env, &Keys(2, 9), 7, Sequence(5)), want);
        let layer = env.layer.into_inner();
        layer.check(5, if want { &[Keys(2, 9)] } else { &[] });
        layer.check(4, &[]);
    }
    let nothing = |_: &mut Layer| {};
    check(5, true, nothing, true);
    check(6, false, nothing, true);
    check(6, true, nothing, false);
    check(STUCK.0, false, nothing, false);
    check(
        6,
        false,
        |layer| {
            layer.put(2);
        },
        false,
    );
    check(
        6,
        false,
        |layer| {
            layer.put(9);
        },
        true,
    );
    let next = |layer: &mut Layer| layer.book.hand_over(&Stretches::new());
    check(6, false, next, false);
    let other = |layer: &mut Layer| assert_ne!(layer.book.watch(&Keys(0, 1)), Ticket(0));
    check(6, false, other, false);
}
