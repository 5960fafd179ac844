//! The grace period of the published cells: what a reader holds is not dropped, and what nobody
//! holds is. `.ci/run miri` runs this, too, and sees what is freed too early.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc as Shared, OnceLock};
use std::thread;

use super::{Loaded, Published, Slot};

/// Readers and publishers in a test, and how often each does what it does.
const THREADS: usize = 2;
const TIMES: usize = if cfg!(miri) { 30 } else { 3_000 };

/// More than the cell has places for in a thread, after which a guard is a counted reference.
const GUARDS_MAX: usize = 12;

/// A value that knows who looks at it, and is counted when it goes.
struct Watched {
    number: Box<usize>,
    same: Box<usize>,
    looked_at: AtomicUsize,
    dropped: Shared<AtomicUsize>,
}

impl Watched {
    fn new(number: usize, dropped: &Shared<AtomicUsize>) -> Shared<Self> {
        let dropped = Shared::clone(dropped);
        let same = Box::new(number);
        let number = Box::new(number);
        Shared::new(Self { number, same, looked_at: AtomicUsize::new(0), dropped })
    }

    fn look(&self) {
        self.looked_at.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.number, self.same);
    }

    fn look_away(&self) {
        assert_eq!(self.number, self.same);
        self.looked_at.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        assert_eq!(*self.looked_at.get_mut(), 0, "dropped while somebody looked at it");
        *self.number = usize::MAX;
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// The cell, or one with a fault.
trait Cell: Sync {
    fn load(&self) -> Loaded<Watched>;
    fn load_full(&self) -> Shared<Watched>;
    fn replace(&self, current: &Shared<Watched>, next: Shared<Watched>) -> bool;
}

impl Cell for Published<Watched> {
    fn load(&self) -> Loaded<Watched> {
        Published::load(self)
    }

    fn load_full(&self) -> Shared<Watched> {
        Published::load_full(self)
    }

    fn replace(&self, current: &Shared<Watched>, next: Shared<Watched>) -> bool {
        Published::replace(self, current, next)
    }
}

/// Forgets to let go of the first value that it replaces.
struct Keeps(Published<Watched>, OnceLock<Shared<Watched>>);

impl Cell for Keeps {
    fn load(&self) -> Loaded<Watched> {
        self.0.load()
    }

    fn load_full(&self) -> Shared<Watched> {
        self.0.load_full()
    }

    fn replace(&self, current: &Shared<Watched>, next: Shared<Watched>) -> bool {
        let replaced = self.0.replace(current, next);
        if replaced {
            self.1.get_or_init(|| Shared::clone(current));
        }
        replaced
    }
}

/// Readers with guards, few and many, beside publishers that replace what they look at. Returns
/// how many values were made, and how many were gone when only the last was to be seen.
fn made_and_gone(cell: impl Cell, dropped: &Shared<AtomicUsize>) -> (usize, usize) {
    let made = AtomicUsize::new(1);
    thread::scope(|scope| {
        for reader in 0..THREADS {
            let cell = &cell;
            scope.spawn(move || {
                for time in 0..TIMES {
                    let count = (time + reader) % GUARDS_MAX + 1;
                    let guards: Vec<_> = (0..count).map(|_| cell.load()).collect();
                    let owned = cell.load_full();
                    guards.iter().for_each(|guard| guard.look());
                    owned.look();
                    thread::yield_now();
                    guards.iter().for_each(|guard| guard.look_away());
                    drop(guards);
                    owned.look_away();
                }
            });
        }
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    let current = cell.load_full();
                    made.fetch_add(1, Ordering::SeqCst);
                    // One that loses is dropped at once; the other stays until nobody has it.
                    let _ = cell.replace(&current, Watched::new(*current.number + 1, dropped));
                }
            });
        }
    });
    let last = cell.load_full();
    let gone = dropped.load(Ordering::SeqCst);
    drop(cell);
    last.look();
    last.look_away();
    (made.into_inner(), gone)
}

#[test]
fn a_published_value_lives_as_long_as_its_last_guard_and_no_longer() {
    let dropped = Shared::new(AtomicUsize::new(0));
    let cell = Published::new(Watched::new(0, &dropped));
    let (made, gone) = made_and_gone(cell, &dropped);
    assert_eq!(gone, made - 1, "all but the last are gone");
    assert_eq!(dropped.load(Ordering::SeqCst), made);
}

/// A check that cannot fail is a defect.
#[test]
fn a_cell_that_keeps_a_value_is_found_out() {
    let dropped = Shared::new(AtomicUsize::new(0));
    let cell = Keeps(Published::new(Watched::new(0, &dropped)), OnceLock::new());
    let (made, gone) = made_and_gone(cell, &dropped);
    assert_eq!(gone, made - 2, "the last and the one that is kept are there");
}

#[test]
fn what_is_taken_out_of_a_slot_lives_as_long_as_its_last_guard() {
    let dropped = Shared::new(AtomicUsize::new(0));
    let slot = Slot::empty();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for time in 0..TIMES {
                    slot.fill(Watched::new(time, &dropped));
                    let guard = slot.load();
                    if let Some(value) = &*guard {
                        value.look();
                        thread::yield_now();
                        value.look_away();
                    }
                }
            });
        }
        scope.spawn(|| (0..TIMES).for_each(|_| drop(slot.take())));
    });
    drop(slot.take());
    assert_eq!(dropped.load(Ordering::SeqCst), THREADS * TIMES);
}
