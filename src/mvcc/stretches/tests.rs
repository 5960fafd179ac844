//! What a list of stretches looks like after each change, one thread.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys(u32, u32);

impl Span for Keys {
    type Point<'a> = u32;

    fn covers(&self, key: u32) -> bool {
        self.0 <= key && key < self.1
    }

    fn contains(&self, other: &Self) -> bool {
        self.0 <= other.0 && other.1 <= self.1
    }

    fn join(&self, other: &Self) -> Option<Self> {
        let touch = self.0 <= other.1 && other.0 <= self.1;
        touch.then(|| Self(self.0.min(other.0), self.1.max(other.1)))
    }

    fn split(&self, key: u32) -> [Option<Self>; 2] {
        let part = |from, to| (from < to).then_some(Self(from, to));
        [part(self.0, key), part(key + 1, self.1)]
    }
}

struct Layer {
    stretches: Stretches<Keys>,
    book: Book<Keys>,
}

impl Layer {
    fn new() -> Self {
        let stretches = Stretches::new();
        let book = Book::new(&stretches);
        Self { stretches, book }
    }

    fn add(&mut self, span: Keys, since: u64) -> &mut Self {
        self.book.add(&self.stretches, Arc::new(span), Sequence(since));
        self
    }

    fn put(&mut self, key: u32) -> &mut Self {
        self.book.written(&self.stretches, key);
        self
    }

    /// What a reader at `at` finds, the last remembered first.
    #[track_caller]
    fn check(&self, at: u64, want: &[Keys]) {
        let mut got = Vec::new();
        let none: Option<()> = self.stretches.find(Sequence(at), |span| {
            got.push(*span);
            None
        });
        assert_eq!((none, got.as_slice()), (None, want));
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
}

#[test]
fn what_older_readers_remembered_stays_apart() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 50), 100).add(Keys(0, 10), 20).add(Keys(50, 60), 110);
    layer.check(20, &[Keys(0, 10)]);
    layer.check(110, &[Keys(0, 60), Keys(0, 10)]);
    layer.add(Keys(0, 70), 20);
    layer.check(110, &[Keys(0, 70)]);
}

/// I28.
#[test]
fn a_value_cuts_what_covers_it() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5).add(Keys(20, 30), 5).put(15);
    layer.check(5, &[Keys(20, 30), Keys(0, 10)]);
    layer.put(0).put(25);
    layer.check(5, &[Keys(26, 30), Keys(20, 25), Keys(1, 10)]);
    (20..30).for_each(|key| {
        layer.put(key);
    });
    layer.check(5, &[Keys(1, 10)]);
    (1..10).for_each(|key| {
        layer.put(key);
    });
    assert!(!layer.stretches.some.load(Ordering::Relaxed));
}

#[test]
fn the_number_of_stretches_is_bounded() {
    let mut layer = Layer::new();
    for i in 0..100 {
        layer.add(Keys(10 * i, 10 * i + 9), 5);
    }
    let all = |from: u32| (from..100).rev().map(|i| Keys(10 * i, 10 * i + 9)).collect::<Vec<_>>();
    layer.check(5, &all(100 - STRETCHES_MAX as u32));
    layer.put(995);
    assert_eq!(layer.book.list.len(), STRETCHES_MAX);
    assert!(layer.book.retired.iter().count() <= GRACE_LISTS as usize + 1);
}

/// I28.
#[test]
fn rotation_hands_the_list_on_and_the_old_memtable_keeps_its_own() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5);
    let next = Stretches::new();
    layer.book.hand_over(&next);
    let old = std::mem::replace(&mut layer.stretches, next);
    layer.put(4).check(5, &[Keys(5, 10), Keys(0, 4)]);
    assert_eq!(old.find(Sequence(5), |span| Some(*span)), Some(Keys(0, 10)));
    let fresh = Stretches::new();
    layer.book.begin(&fresh);
    layer.stretches = fresh;
    layer.put(7).check(5, &[]);
}

#[test]
fn a_stretch_that_does_not_grow_is_forgotten_after_some_rotations() {
    let mut layer = Layer::new();
    layer.add(Keys(0, 10), 5).add(Keys(50, 60), 5);
    for rotation in 1..=ROTATIONS_MAX + 1 {
        let (grown, other) = (Keys(0, 10 + rotation), Keys(50, 60));
        layer.add(grown, 5 + u64::from(rotation));
        let next = Stretches::new();
        layer.book.hand_over(&next);
        layer.stretches = next;
        let left = 1 + usize::from(rotation <= ROTATIONS_MAX);
        layer.check(99, &[grown, other][..left]);
    }
}

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
        assert_eq!(remember(&env, Keys(2, 9), Sequence(5)), want);
        let layer = env.layer.into_inner();
        layer.check(5, if want { &[Keys(2, 9)] } else { &[] });
        layer.check(4, &[]);
    }
    let nothing = |_: &mut Layer| {};
    check(5, true, nothing, true);
    check(6, false, nothing, true);
    check(6, true, nothing, false);
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
    let other = |layer: &mut Layer| assert_ne!(layer.book.watch(&Arc::new(Keys(0, 1))), Ticket(0));
    check(6, false, other, false);
}
