//! Models of writes that depend on what their writer has read: compared in the section, or held.

use crate::ids::Sequence;
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::check;
use crate::mvcc::view::{read_point, update};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread::{self, JoinHandle};
use crate::sync::{Arc, Published};

/// Which step is wrong, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    LooksAtNothing,
    LooksAtMemtablesOnly,
    LooksAtActiveOnly,
    /// Writers that still insert are not waited for.
    LooksBesideInserts,
    /// The look is for versions above the sequence that was loaded after the view. A version in a
    /// memtable that this view has not yet is missed by the read, and may be at or below it.
    TrustsItsRead,
    /// The look ends before a memtable that has anything the writer has seen, not behind it.
    EndsBefore,
    /// The look ends at the first memtable that has anything.
    EndsAtFirst,
    /// Another writer commits while the key is held.
    HoldIgnored,
    /// The holder goes by what it has read before.
    HeldAfterRead,
    /// The holder reads while an earlier writer still inserts.
    HolderReadsBesideInserts,
}

/// The sequence of the last write of a model, at most.
const LAST: usize = 4;

/// Relaxed, so that it orders nothing.
struct Table {
    /// `versions[s]`: whether version `s` of the key is here.
    versions: [AtomicBool; LAST + 1],
    /// Of all that is here, of any key.
    smallest: AtomicU64,
}

type Memtable = Arc<Table>;

fn memtable() -> Memtable {
    let versions = std::array::from_fn(|_| AtomicBool::new(false));
    Arc::new(Table { versions, smallest: AtomicU64::new(u64::MAX) })
}

impl Table {
    /// The newest version of the key, up to `at`.
    fn newest(&self, at: Sequence) -> Sequence {
        let is_there = |s: &u64| self.versions[*s as usize].load(Ordering::Relaxed);
        Sequence((1..=at.0.min(LAST as u64)).rev().find(is_there).unwrap_or(0))
    }

    /// Whether it has anything at or below `seen`.
    fn reaches(&self, seen: Sequence) -> bool {
        self.smallest.load(Ordering::Relaxed) <= seen.0
    }
}

/// One key as a view shows it.
struct View {
    active: Memtable,
    /// Newest first.
    sealed: Vec<Memtable>,
    /// The newest version on disk.
    run: Sequence,
    /// Nothing above it has left the memtables.
    flushed: Sequence,
}

impl View {
    fn tables(&self) -> impl Iterator<Item = &Memtable> {
        std::iter::once(&self.active).chain(&self.sealed)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// A version of the key, by who has seen all up to this sequence.
    IfUnchanged(Sequence),
    /// A version of the key, by who holds it.
    Held,
    /// Of another key.
    Other,
}

struct Env {
    view: Arc<Published<View>>,
    fault: Fault,
    held: bool,
}

#[derive(Debug)]
struct Changed;

impl CommitEnv for Env {
    type Write<'a> = Write;
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = Changed;

    fn prepare(&mut self, write: &mut Write, earlier: &Earlier<'_>) -> Result<(), Changed> {
        let &mut Write::IfUnchanged(seen) = write else { return Ok(()) };
        if self.held && self.fault != Fault::HoldIgnored {
            return Err(Changed);
        }
        if self.fault != Fault::LooksBesideInserts {
            earlier.wait().expect("no insert panics here");
        }
        self.check_unchanged(seen)
    }

    fn append(&mut self, _: Sequence, _: &mut Write, _: &Earlier<'_>) -> Result<(), Changed> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, _: &mut Write) -> Memtable {
        let active = Arc::clone(&self.view.load().active);
        if first.0 < active.smallest.load(Ordering::Relaxed) {
            active.smallest.store(first.0, Ordering::Relaxed);
        }
        active
    }

    fn insert_inside(&mut self, first: Sequence, write: &mut Write) {
        let place = self.place(first, write);
        Self::insert(&(), place, first, write);
    }

    fn insert((): &(), place: Memtable, first: Sequence, write: &mut Write) {
        if *write != Write::Other {
            place.versions[first.0 as usize].store(true, Ordering::Relaxed);
        }
    }

    fn closed() -> Changed {
        Changed
    }

    fn panicked(_: &Self::Shared) -> Changed {
        Changed
    }
}

impl Env {
    /// As `check_unchanged` of the engine's section, but for the fault.
    fn check_unchanged(&self, seen: Sequence) -> Result<(), Changed> {
        let view = self.view.load();
        if self.fault == Fault::LooksAtNothing {
            return Ok(());
        }
        if view.flushed > seen && self.fault != Fault::LooksAtMemtablesOnly {
            return Err(Changed);
        }
        for table in view.tables() {
            if self.fault == Fault::EndsBefore && table.reaches(seen) {
                break;
            }
            if table.newest(Sequence(LAST as u64)) > seen {
                return Err(Changed);
            }
            let ends = match self.fault {
                Fault::LooksAtActiveOnly => true,
                Fault::EndsAtFirst => table.reaches(Sequence(LAST as u64)),
                _ => table.reaches(seen),
            };
            if ends {
                break;
            }
        }
        Ok(())
    }
}

struct Db {
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    fault: Fault,
}

/// The first version of the key is in the active memtable.
fn db(fault: Fault) -> Arc<Db> {
    let active = memtable();
    active.versions[1].store(true, Ordering::Relaxed);
    active.smallest.store(1, Ordering::Relaxed);
    let view = View { active, sealed: Vec::new(), run: Sequence(0), flushed: Sequence(0) };
    let view = Arc::new(Published::new(Arc::new(view)));
    let env = Env { view: Arc::clone(&view), fault, held: false };
    let commit = Commit::side_by_side(env, (), Sequence(1));
    Arc::new(Db { view, commit, fault })
}

/// Starts a thread.
fn shared<R: 'static>(db: &Arc<Db>, run: impl FnOnce(&Db) -> R + 'static) -> JoinHandle<R> {
    let db = Arc::clone(db);
    thread::spawn(move || run(&db))
}

/// Which version a write has replaced, and its own.
type Step = (Sequence, Sequence);

impl Db {
    /// The newest version, and the sequence that it was read at.
    fn read(&self) -> (Sequence, Sequence) {
        let (view, at) = read_point(&self.view, || self.commit.visible());
        let in_memory = view.tables().map(|table| table.newest(at)).max();
        (in_memory.unwrap_or_default().max(view.run), at)
    }

    /// Replaces the newest version, if nobody else does.
    fn try_replace(&self) -> Option<Step> {
        let seen = self.commit.visible();
        let (base, at) = self.read();
        let seen = if self.fault == Fault::TrustsItsRead { at } else { seen };
        let committed = self.commit.commit(&mut Write::IfUnchanged(seen), 1).ok();
        committed.map(|(version, ())| (base, version))
    }

    /// Holds the key, reads, and replaces what it has read.
    fn hold_and_replace(&self) -> Step {
        let early = self.read().0;
        let held = self.commit.with_earlier(|env, earlier| {
            if self.fault != Fault::HolderReadsBesideInserts {
                earlier.wait().expect("no insert panics here");
            }
            env.held = true;
        });
        held.expect("no thread panics");
        let base = if self.fault == Fault::HeldAfterRead { early } else { self.read().0 };
        let (version, ()) = self.commit.commit(&mut Write::Held, 1).expect("nothing refuses it");
        self.commit.with(|env, _| env.held = false);
        (base, version)
    }

    fn rotate(&self) {
        let next = memtable();
        let sealed = self.commit.with_earlier(|_, earlier| {
            earlier.wait().expect("no insert panics here");
            update(&self.view, |view| {
                let sealed = view.tables().cloned().collect();
                View { active: Arc::clone(&next), sealed, ..*view }
            });
        });
        sealed.expect("no thread panics");
    }

    /// Writes what is sealed into the run.
    fn flush(&self) {
        update(&self.view, |view| {
            let sealed = view.sealed.iter().map(|table| table.newest(Sequence(LAST as u64)));
            let newest = sealed.max().expect("a memtable is sealed");
            let active = Arc::clone(&view.active);
            View { active, sealed: Vec::new(), run: newest, flushed: newest }
        });
    }
}

/// Each step replaces the version of the one before.
fn check_chain(mut steps: Vec<Step>) {
    steps.sort_by_key(|(_, version)| *version);
    let mut newest = Sequence(1);
    for (base, version) in steps {
        assert_eq!(base, newest, "an update was lost");
        newest = version;
    }
}

/// Two writers that each replace the version they read by the next one, a rotation, a flush.
fn replaced_through_a_flush(fault: Fault) {
    let db = db(fault);
    let writers = [(), ()].map(|()| {
        shared(&db, |db| {
            loop {
                if let Some(step) = db.try_replace() {
                    return step;
                }
            }
        })
    });
    db.rotate();
    db.flush();
    check_chain(writers.map(|writer| writer.join().expect("no writer panics")).into());
}

/// Two writers that each try to replace the version they read; one of them rotates then, and writes
/// another key.
fn replaced_beside_another_key(fault: Fault) {
    let db = db(fault);
    let other = shared(&db, Db::try_replace);
    let first = db.try_replace();
    db.rotate();
    db.commit.commit(&mut Write::Other, 1).expect("nothing refuses it");
    let other = other.join().expect("no writer panics");
    check_chain(first.into_iter().chain(other).collect());
}

/// (I27)
#[test]
fn a_conditional_write_replaces_the_version_that_it_has_read() {
    let lost = "an update was lost";
    let faults = [
        (Fault::LooksAtNothing, lost),
        (Fault::LooksAtMemtablesOnly, lost),
        (Fault::TrustsItsRead, lost),
        (Fault::LooksBesideInserts, lost),
    ];
    check("conditional", replaced_through_a_flush, &faults);
    let faults = [
        (Fault::EndsBefore, lost),
        (Fault::EndsAtFirst, lost),
        (Fault::LooksAtActiveOnly, lost),
        (Fault::LooksBesideInserts, lost),
    ];
    check("conditional, early end", replaced_beside_another_key, &faults);
}

/// One writer holds the key, reads and commits; another tries once; a rotation, a flush.
fn a_holder_commits_at_once(fault: Fault) {
    let db = db(fault);
    let holder = shared(&db, Db::hold_and_replace);
    let other = shared(&db, Db::try_replace);
    db.rotate();
    db.flush();
    let mut steps = vec![holder.join().expect("no holder panics")];
    steps.extend(other.join().expect("no writer panics"));
    check_chain(steps);
}

/// (I40)
#[test]
fn a_held_key_gets_no_version_but_its_holders() {
    let lost = "an update was lost";
    let faults = [
        (Fault::HoldIgnored, lost),
        (Fault::HeldAfterRead, lost),
        (Fault::HolderReadsBesideInserts, lost),
    ];
    check("held key", a_holder_commits_at_once, &faults);
}
