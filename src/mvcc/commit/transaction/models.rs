//! A model of a transaction's commit: a look outside the section, then one inside at what came
//! since. Two keys; each transaction reads both and writes one, which is write skew if both commit.

use crate::ids::Sequence;
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::check;
use crate::mvcc::view::{read_point, update};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, Published};

/// Which step is wrong, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Nothing is looked at inside.
    LooksOutsideOnly,
    /// Inside, writers that still insert are not waited for.
    LooksBesideInserts,
    /// Inside, what a flush has taken out of the memtables since is not asked about.
    FlushForgotten,
    /// Outside, only memtables are looked at.
    LooksAtMemoryOnly,
    /// Outside, the view is loaded first: a version at or below the sequence that is loaded after
    /// it may be in a memtable that it lacks.
    ViewFirst,
}

const KEYS: usize = 2;

/// The sequence of the last write of a model, at most.
const LAST: usize = 3;

/// Relaxed, so that it orders nothing.
struct Table {
    /// `versions[s]`: which key has version `s` here, by its place, if any.
    versions: [[AtomicBool; KEYS]; LAST + 1],
}

type Memtable = Arc<Table>;

fn memtable() -> Memtable {
    let none = || std::array::from_fn(|_| AtomicBool::new(false));
    Arc::new(Table { versions: std::array::from_fn(|_| none()) })
}

impl Table {
    /// The newest version of any key.
    fn newest(&self) -> Sequence {
        let is_there = |s: &usize| self.versions[*s].iter().any(|it| it.load(Ordering::Relaxed));
        Sequence((1..=LAST).rev().find(is_there).unwrap_or(0) as u64)
    }
}

struct View {
    active: Memtable,
    sealed: Vec<Memtable>,
    /// The newest version on disk, and of all that has left the memtables.
    flushed: Sequence,
}

impl View {
    fn newest_in_memory(&self) -> Sequence {
        let tables = std::iter::once(&self.active).chain(&self.sealed);
        tables.map(|table| table.newest()).max().unwrap_or_default()
    }
}

/// The key that is written, and up to where both were found to be as they were read.
type Write = (usize, Sequence);

struct Env {
    view: Arc<Published<View>>,
    fault: Fault,
}

#[derive(Debug)]
struct Changed;

impl CommitEnv for Env {
    type Write<'a> = Write;
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = Changed;

    /// As `check_reads` of the engine's section, but for the fault.
    fn prepare(
        &mut self,
        &mut (_, known): &mut Write,
        earlier: &Earlier<'_>,
    ) -> Result<(), Changed> {
        if self.fault == Fault::LooksOutsideOnly {
            return Ok(());
        }
        if self.fault != Fault::LooksBesideInserts {
            earlier.wait().expect("no insert panics here");
        }
        let view = self.view.load();
        let flushed = view.flushed > known && self.fault != Fault::FlushForgotten;
        if flushed || view.newest_in_memory() > known { Err(Changed) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Write, _: &Earlier<'_>) -> Result<(), Changed> {
        Ok(())
    }

    fn place(&mut self, _: Sequence, _: &mut Write) -> Memtable {
        Arc::clone(&self.view.load().active)
    }

    fn insert_inside(&mut self, first: Sequence, write: &mut Write) {
        let place = self.place(first, write);
        Self::insert(&(), place, first, write);
    }

    fn insert((): &(), place: Memtable, first: Sequence, (key, _): &mut Write) {
        place.versions[first.0 as usize][*key].store(true, Ordering::Relaxed);
    }

    fn closed() -> Changed {
        Changed
    }

    fn panicked(_: &Self::Shared) -> Changed {
        Changed
    }
}

struct Db {
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    fault: Fault,
}

impl Db {
    /// Reads nothing at its snapshot, and writes a key if it still would. Twice at most, as if a
    /// refusal inside were followed by another look. Returns its sequence.
    fn transact(&self, key: usize, snapshot: Sequence) -> Option<Sequence> {
        let mut known = snapshot;
        for _ in 0..2 {
            known = self.look(known)?;
            if let Ok((sequence, ())) = self.commit.commit(&mut (key, known), 1) {
                return Some(sequence);
            }
        }
        None
    }

    /// As `find_change` of the engine, but for the fault.
    fn look(&self, known: Sequence) -> Option<Sequence> {
        let (view, upto) = match self.fault {
            Fault::ViewFirst => read_point(&self.view, || self.commit.visible()),
            _ => {
                let upto = self.commit.visible();
                (self.view.load(), upto)
            }
        };
        let mut newest = view.newest_in_memory();
        if self.fault != Fault::LooksAtMemoryOnly {
            newest = newest.max(view.flushed);
        }
        (newest <= known).then_some(upto)
    }

    fn rotate(&self) {
        let next = memtable();
        let sealed = self.commit.with_earlier(|_, earlier| {
            earlier.wait().expect("no insert panics here");
            update(&self.view, |view| View {
                active: Arc::clone(&next),
                sealed: vec![Arc::clone(&view.active)],
                flushed: view.flushed,
            });
        });
        sealed.expect("no thread panics");
    }

    fn flush(&self) {
        update(&self.view, |view| {
            let newest = view.sealed.iter().map(|table| table.newest()).max();
            let active = Arc::clone(&view.active);
            let flushed = newest.unwrap_or_default().max(view.flushed);
            View { active, sealed: Vec::new(), flushed }
        });
    }
}

/// Two transactions that began at one snapshot, a rotation and a flush.
fn of_two_one_commits(fault: Fault) {
    let view = View { active: memtable(), sealed: Vec::new(), flushed: Sequence(0) };
    let view = Arc::new(Published::new(Arc::new(view)));
    let env = Env { view: Arc::clone(&view), fault };
    let commit = Commit::side_by_side(env, (), Sequence(0));
    let db = Arc::new(Db { view, commit, fault });
    let snapshot = db.commit.visible();
    let transactions = [0, 1].map(|key| {
        let db = Arc::clone(&db);
        thread::spawn(move || db.transact(key, snapshot))
    });
    db.rotate();
    db.flush();
    let committed = transactions.map(|it| it.join().expect("no transaction panics"));
    assert!(committed.iter().flatten().count() <= 1, "both have committed");
}

/// (I42)
#[test]
fn of_two_transactions_that_read_what_the_other_writes_one_commits() {
    let skew = "both have committed";
    let faults = [
        (Fault::LooksOutsideOnly, skew),
        (Fault::LooksBesideInserts, skew),
        (Fault::FlushForgotten, skew),
        (Fault::LooksAtMemoryOnly, skew),
        (Fault::ViewFirst, skew),
    ];
    check("transaction", of_two_one_commits, &faults);
}
