//! Models of stretches: writers that put and delete under a walk that remembers, with rotation
//! between, and readers that jump.

use super::{Book, RememberEnv, Span, Stretches, remember};
use crate::ids::{SEQUENCE_MAX, Sequence};
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::check;
use crate::mvcc::view::{read_point_owned, update};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, Published};

/// Keys are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys(u64, u64);

impl Span for Keys {
    type Point<'a> = u64;

    fn begins_by(&self, key: u64) -> bool {
        self.0 <= key
    }

    fn ends_by(&self, key: u64) -> bool {
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

    fn split(&self, key: u64) -> [Option<Self>; 2] {
        let part = |from, to| (from < to).then_some(Self(from, to));
        [part(self.0, key), part(key + 1, self.1)]
    }

    fn bytes(&self) -> usize {
        0
    }
}

const ALL: Keys = Keys(0, 2);

/// What the walk has walked over: enough for the cuts here.
const KEYS: u64 = 1_000;

/// Which step is wrong, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    NothingCut,
    CutAfterVisible,
    NotLookedAgain,
    LookedBeforeTheWatch,
    AnyMemtable,
    PutUnderneath,
    SinceIgnored,
    /// What is remembered is said to hold for all readers.
    SinceForgotten,
    ListBeforeVisible,
    /// The look for later writes misses what is being inserted.
    LookedTooEarly,
}

/// The most operations of one model.
const OPERATIONS: usize = 4;

/// `at[s]` is the operation at sequence `s`: twice the key plus two for a tombstone, one more for a
/// value. Relaxed, so that it orders nothing.
struct Table {
    at: Vec<AtomicU64>,
    stretches: Stretches<Keys>,
}

fn operation(key: u64, value: bool) -> u64 {
    2 * key + 2 + u64::from(value)
}

fn table() -> Arc<Table> {
    let at = (0..OPERATIONS).map(|_| AtomicU64::new(0)).collect();
    Arc::new(Table { at, stretches: Stretches::new() })
}

impl Table {
    /// The last span that holds for readers at `at`.
    fn find(&self, at: Sequence) -> Option<Keys> {
        self.stretches.find(at, |_| true, |span| Some(*span))
    }

    /// Sequence, key, and whether it is a value.
    fn operations(&self) -> impl Iterator<Item = (Sequence, u64, bool)> {
        let load = |(at, operation): (usize, &AtomicU64)| {
            let operation = operation.load(Ordering::Relaxed);
            (operation > 0).then(|| (Sequence(at as u64), operation / 2 - 1, operation % 2 == 1))
        };
        self.at.iter().enumerate().filter_map(load)
    }
}

#[derive(Clone)]
struct View {
    /// Oldest first.
    tables: Vec<Arc<Table>>,
}

impl View {
    fn newest(&self) -> &Arc<Table> {
        self.tables.last().expect("a view has a table")
    }

    /// Whether a key of the span is live at `at`, and whether it has a version above.
    fn look(&self, keys: Keys, at: Sequence) -> (bool, bool) {
        let mut live = [false; 2];
        let mut newer = false;
        for (sequence, key, value) in self.tables.iter().flat_map(|table| table.operations()) {
            if !keys.covers(key) {
                continue;
            }
            if sequence <= at {
                live[key as usize] = value;
            } else {
                newer = true;
            }
        }
        (live.contains(&true), newer)
    }
}

/// What is written: a key, whether with a value, and into which memtable.
#[derive(Clone, Copy)]
enum Write {
    Put(u64),
    Delete(u64),
    /// A value, into the memtable after the active one.
    PutNext(u64),
    /// A value, into a memtable of its own under the active one.
    PutUnder(u64),
}

struct Env {
    view: Arc<Published<View>>,
    table: Arc<Table>,
    book: Book<Keys>,
    fault: Fault,
}

impl CommitEnv for Env {
    type Write<'a> = Write;
    type Receipt = ();
    type Place = Option<Arc<Table>>;
    type Shared = ();
    type Error = ();

    fn prepare(&mut self, write: &mut Write, earlier: &Earlier<'_>) -> Result<(), ()> {
        if let Write::PutNext(_) = write {
            earlier.wait().expect("no insert panics here");
            self.table = table();
            self.book.hand_over(&self.table.stretches);
            update(&self.view, |view| View {
                tables: view.tables.iter().chain([&self.table]).cloned().collect(),
            });
        }
        Ok(())
    }

    fn append(&mut self, _: Sequence, _: &mut Write, _: &Earlier<'_>) -> Result<(), ()> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, write: &mut Write) -> Option<Arc<Table>> {
        let (key, value) = match *write {
            Write::Put(key) | Write::PutNext(key) => (key, true),
            Write::Delete(key) => (key, false),
            Write::PutUnder(key) => {
                self.put_under(first, key);
                return None;
            }
        };
        let cuts = !matches!(self.fault, Fault::NothingCut | Fault::CutAfterVisible);
        if value && cuts {
            self.book.written(&self.table.stretches, key);
        }
        Some(Arc::clone(&self.table))
    }

    fn insert_inside(&mut self, first: Sequence, write: &mut Write) {
        let place = self.place(first, write);
        Self::insert(&(), place, first, write);
    }

    fn insert((): &(), place: Option<Arc<Table>>, first: Sequence, write: &mut Write) {
        let operation = match *write {
            Write::Put(key) | Write::PutNext(key) | Write::PutUnder(key) => operation(key, true),
            Write::Delete(key) => operation(key, false),
        };
        if let Some(table) = place {
            table.at[first.0 as usize].store(operation, Ordering::Relaxed);
        }
    }

    fn closed() {}

    fn panicked(_: &Self::Shared) {}
}

impl Env {
    fn put_under(&mut self, first: Sequence, key: u64) {
        let under = table();
        under.at[first.0 as usize].store(operation(key, true), Ordering::Relaxed);
        if self.fault != Fault::PutUnderneath {
            self.table = table();
            self.book.begin(&self.table.stretches);
        }
        update(&self.view, |view| View {
            tables: view.tables[..view.tables.len() - 1]
                .iter()
                .chain([&under, &self.table])
                .cloned()
                .collect(),
        });
    }
}

struct Db {
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    fault: Fault,
}

/// Key 1 is live at sequence 1; the active memtable is empty if `sealed`.
fn db(fault: Fault, sealed: bool) -> Arc<Db> {
    let first = table();
    first.at[1].store(operation(1, true), Ordering::Relaxed);
    let tables = if sealed { vec![first, table()] } else { vec![first] };
    let active = Arc::clone(tables.last().expect("made above"));
    let view = Arc::new(Published::new(Arc::new(View { tables })));
    let book = Book::new(&active.stretches, 1 << 20);
    let env = Env { view: Arc::clone(&view), table: active, book, fault };
    Arc::new(Db { view, commit: Commit::side_by_side(env, (), Sequence(1)), fault })
}

struct Walked<'a> {
    db: &'a Db,
    view: &'a View,
}

impl RememberEnv<Keys> for Walked<'_> {
    fn try_enter<R>(
        &self,
        f: impl FnOnce(&mut Book<Keys>, &Stretches<Keys>, Sequence) -> R,
    ) -> Option<R> {
        let entered = self.db.commit.try_enter(|env, next| {
            let active = Arc::ptr_eq(&env.table, self.view.newest());
            if !active && self.db.fault != Fault::AnyMemtable {
                return None;
            }
            let on = Arc::clone(&env.table);
            Some(f(&mut env.book, &on.stretches, Sequence(next.0 - 1)))
        });
        entered.flatten()
    }

    fn is_visible(&self, last: Sequence) -> bool {
        self.db.fault == Fault::LookedTooEarly || self.db.commit.visible() >= last
    }

    fn written_since(&self, span: &Keys, since: Sequence) -> bool {
        let newer =
            |(at, key, value): (Sequence, u64, bool)| value && at > since && span.covers(key);
        self.db.fault != Fault::NotLookedAgain && self.view.newest().operations().any(newer)
    }
}

impl Db {
    fn write(&self, mut write: Write) {
        self.commit.commit(&mut write, 1).expect("nothing refuses here");
        if let (Write::Put(key), Fault::CutAfterVisible) = (write, self.fault) {
            self.commit.with(|env, _| env.book.written(&env.table.stretches, key));
        }
    }

    fn read_point(&self) -> (Arc<View>, Sequence) {
        read_point_owned(&self.view, || self.commit.visible())
    }

    /// Walks over all keys, and remembers if they are dead.
    fn walk(&self) {
        let (view, at) = self.read_point();
        if let (false, false) = view.look(ALL, at) {
            let env = Walked { db: self, view: &view };
            if self.fault == Fault::LookedBeforeTheWatch {
                if !env.written_since(&ALL, at) {
                    env.try_enter(|book, on, _| book.add(on, &ALL, KEYS, at));
                }
                return;
            }
            let since = if self.fault == Fault::SinceForgotten { Sequence(1) } else { at };
            remember(&env, &ALL, KEYS, since);
        }
    }

    /// Jumps over what is remembered, and checks that nothing live is in it.
    fn jump(&self) {
        let newest = self.view.load_full();
        let early = newest.newest().find(SEQUENCE_MAX);
        let (view, at) = self.read_point();
        let limit = if self.fault == Fault::SinceIgnored { SEQUENCE_MAX } else { at };
        let found = view.newest().find(limit);
        let found = if self.fault == Fault::ListBeforeVisible { early } else { found };
        if let Some(span) = found {
            assert!(!view.look(span, at).0, "a live key was jumped over");
        }
    }

    /// Everything that is remembered in the end, for readers then and for snapshots before.
    fn check(&self) {
        let (view, visible) = self.read_point();
        for at in (1..=visible.0).map(Sequence) {
            for span in view.newest().stretches.all(at) {
                assert!(!view.look(span, at).0, "a live key was jumped over");
            }
        }
    }
}

/// One thread writes, one walks and remembers, and this one reads.
fn jumps_miss_nothing(fault: Fault, sealed: bool, writes: &'static [Write]) {
    let db = db(fault, sealed);
    let writer = {
        let db = Arc::clone(&db);
        thread::spawn(move || writes.iter().for_each(|write| db.write(*write)))
    };
    let walker = {
        let db = Arc::clone(&db);
        thread::spawn(move || db.walk())
    };
    db.jump();
    writer.join().expect("no thread panics");
    walker.join().expect("no thread panics");
    db.check();
    db.jump();
}

const DELETE_PUT: &[Write] = &[Write::Delete(1), Write::Put(1)];
const DELETE_PUT_OTHER: &[Write] = &[Write::Delete(1), Write::Put(0)];
const DELETE_PUT_NEXT: &[Write] = &[Write::Delete(1), Write::PutNext(1)];
const DELETE: &[Write] = &[Write::Delete(1)];

/// I28.
#[test]
fn a_jump_misses_no_live_key() {
    let run = |name, writes, faults: &[Fault]| {
        let faults: Vec<_> =
            faults.iter().map(|fault| (*fault, "a live key was jumped over")).collect();
        check(name, move |fault| jumps_miss_nothing(fault, false, writes), &faults);
    };
    run(
        "stretches",
        DELETE_PUT,
        &[
            Fault::NothingCut,
            Fault::CutAfterVisible,
            Fault::NotLookedAgain,
            Fault::LookedBeforeTheWatch,
            Fault::ListBeforeVisible,
            Fault::LookedTooEarly,
        ],
    );
    run("stretches, since", DELETE, &[Fault::SinceIgnored, Fault::SinceForgotten]);
    run("stretches, cut", DELETE_PUT_OTHER, &[Fault::NothingCut, Fault::NotLookedAgain]);
    run("stretches, rotation", DELETE_PUT_NEXT, &[Fault::AnyMemtable, Fault::ListBeforeVisible]);
}

/// The walk sees an empty active memtable and nothing live; then a value is put between.
fn a_memtable_goes_under(fault: Fault) {
    let db = db(fault, false);
    db.write(Write::Delete(1));
    let entered = db.commit.with_earlier(|env, earlier| {
        env.prepare(&mut Write::PutNext(1), earlier).expect("rotates");
    });
    entered.expect("no thread panics");
    let writer = {
        let db = Arc::clone(&db);
        thread::spawn(move || db.write(Write::PutUnder(1)))
    };
    db.walk();
    db.jump();
    writer.join().expect("no thread panics");
    db.check();
}

/// I28.
#[test]
fn what_is_put_under_the_active_memtable_is_not_jumped_over() {
    let faults = [
        (Fault::PutUnderneath, "a live key was jumped over"),
        (Fault::AnyMemtable, "a live key was jumped over"),
    ];
    check("stretches, put under", a_memtable_goes_under, &faults);
}
