//! Models of writes that depend on what their writer has read: compared in the section, or held.

use crate::ids::Sequence;
use crate::mvcc::commit::models::Memtable;
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::{holds, refuted};
use crate::mvcc::view::{read_point, update};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, Published};

/// One key as a view shows it: `found[s]` of a memtable says that version `s` is in it.
struct KeyView {
    active: Memtable,
    sealed: Option<Memtable>,
    /// The newest version on disk.
    run: Sequence,
    /// Nothing above it has left the memtables.
    flushed: Sequence,
}

/// What a conditional write looks at inside the section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Shipped,
    AtNothing,
    AtMemtablesOnly,
    AtActiveOnly,
    /// Writers that still insert are not waited for.
    BesideInserts,
    /// As shipped, for versions above the sequence that was loaded after the view. A version in a
    /// memtable that this view has not yet is missed by the read, and may be at or below it.
    AboveTheReadsSequence,
}

struct KeyEnv {
    view: Arc<Published<KeyView>>,
    looks: Looks,
}

#[derive(Debug)]
struct Changed;

/// The newest version in a memtable, up to `at`.
fn newest(memtable: &Memtable, at: Sequence) -> Sequence {
    let is_there = |s: &u64| memtable[*s as usize].load(Ordering::Relaxed);
    let up_to = at.0.min(memtable.len() as u64 - 1);
    Sequence((1..=up_to).rev().find(is_there).unwrap_or(0))
}

impl CommitEnv for KeyEnv {
    /// The sequence that its writer has read at.
    type Write<'a> = Sequence;
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = Changed;

    fn prepare(&mut self, seen: &mut Sequence, earlier: &Earlier<'_>) -> Result<(), Changed> {
        if self.looks != Looks::BesideInserts {
            earlier.wait().expect("no insert panics here");
        }
        let view = self.view.load();
        let last = Sequence(u64::MAX);
        let sealed = view.sealed.iter().filter(|_| self.looks != Looks::AtActiveOnly);
        let in_memory = sealed.chain([&view.active]).any(|table| newest(table, last) > *seen);
        let flushed = view.flushed > *seen;
        let changed = match self.looks {
            Looks::Shipped => flushed || in_memory,
            Looks::AtNothing => false,
            Looks::AtMemtablesOnly => in_memory,
            Looks::AtActiveOnly | Looks::AboveTheReadsSequence | Looks::BesideInserts => {
                flushed || in_memory
            }
        };
        if changed { Err(Changed) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Sequence, _: &Earlier<'_>) -> Result<(), Changed> {
        Ok(())
    }

    fn place(&mut self, _: Sequence, _: &mut Sequence) -> Memtable {
        Arc::clone(&self.view.load().active)
    }

    fn insert_inside(&mut self, first: Sequence, seen: &mut Sequence) {
        let place = self.place(first, seen);
        Self::insert(&(), place, first, seen);
    }

    fn insert((): &(), place: Memtable, first: Sequence, _: &mut Sequence) {
        place[first.0 as usize].store(true, Ordering::Relaxed);
    }

    fn closed() -> Changed {
        Changed
    }

    fn panicked(_: &Self::Shared) -> Changed {
        Changed
    }
}

/// Two writers that each replace the version they read by the next one, a rotation, a flush.
fn conditional_writes_form_a_chain(looks: Looks) {
    let memtable = || -> Memtable { Arc::new((0..3).map(|_| AtomicBool::new(false)).collect()) };
    let run = Sequence(0);
    let flushed = Sequence(0);
    let first = KeyView { active: memtable(), sealed: None, run, flushed };
    let view = Arc::new(Published::new(Arc::new(first)));
    let env = KeyEnv { view: Arc::clone(&view), looks };
    let section = Arc::new(Commit::side_by_side(env, (), Sequence(0)));
    let writers = [(), ()].map(|()| {
        let section = Arc::clone(&section);
        let view = Arc::clone(&view);
        thread::spawn(move || {
            loop {
                let mut seen = section.visible();
                let (view, at) = read_point(&view, || section.visible());
                let memory = view.sealed.iter().chain([&view.active]);
                let base = memory.map(|table| newest(table, at)).max().max(Some(view.run));
                if looks == Looks::AboveTheReadsSequence {
                    seen = at;
                }
                let base = base.expect("there is an active memtable");
                if let Ok((version, ())) = section.commit(&mut seen, 1) {
                    return (base, version);
                }
            }
        })
    });
    let next = memtable();
    let sealed = section.with_earlier(|_, earlier| {
        earlier.wait().expect("no insert panics here");
        update(&view, |view| {
            let active = Arc::clone(&next);
            let sealed = Some(Arc::clone(&view.active));
            KeyView { active, sealed, run: view.run, flushed: view.flushed }
        });
    });
    sealed.expect("no thread panics");
    update(&view, |view| {
        let sealed = view.sealed.as_ref().expect("sealed above");
        let newest = newest(sealed, Sequence(u64::MAX));
        let active = Arc::clone(&view.active);
        KeyView { active, sealed: None, run: newest, flushed: newest }
    });
    let mut steps = writers.map(|writer| writer.join().expect("no writer panics"));
    steps.sort_by_key(|(_, version)| *version);
    let chain = [(Sequence(0), Sequence(1)), (Sequence(1), Sequence(2))];
    assert_eq!(steps, chain, "an update was lost");
}

/// (I27)
#[test]
fn a_conditional_write_replaces_the_version_that_it_has_read() {
    holds("conditional", Some(2), 500, || conditional_writes_form_a_chain(Looks::Shipped));
    for (name, looks) in [
        ("nothing looked at", Looks::AtNothing),
        ("flushes not looked at", Looks::AtMemtablesOnly),
        ("sealed memtables not looked at", Looks::AtActiveOnly),
        ("the read's own sequence trusted", Looks::AboveTheReadsSequence),
        ("looked beside inserts", Looks::BesideInserts),
    ] {
        refuted(name, Some(3), "an update was lost", move || {
            conditional_writes_form_a_chain(looks)
        });
    }
}

/// What may go wrong with a held key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Shipped,
    /// Another writer commits all the same.
    IsIgnored,
    /// The holder goes by what it has read before.
    ComesAfterTheRead,
    /// It reads while an earlier writer still inserts.
    ReadsBesideInserts,
}

/// The key's section when it may be held; the rest is as for [`KeyEnv`].
struct HeldEnv {
    key: KeyEnv,
    held: bool,
    ignored: bool,
}

impl CommitEnv for HeldEnv {
    /// What its writer has seen; nothing for the holder, who needs no look.
    type Write<'a> = Option<Sequence>;
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = Changed;

    fn prepare(
        &mut self,
        seen: &mut Option<Sequence>,
        earlier: &Earlier<'_>,
    ) -> Result<(), Changed> {
        match seen {
            None => Ok(()),
            Some(_) if self.held && !self.ignored => Err(Changed),
            Some(seen) => self.key.prepare(seen, earlier),
        }
    }

    fn append(
        &mut self,
        _: Sequence,
        _: &mut Option<Sequence>,
        _: &Earlier<'_>,
    ) -> Result<(), Changed> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, _: &mut Option<Sequence>) -> Memtable {
        self.key.place(first, &mut Sequence(0))
    }

    fn insert_inside(&mut self, first: Sequence, _: &mut Option<Sequence>) {
        self.key.insert_inside(first, &mut Sequence(0));
    }

    fn insert((): &(), place: Memtable, first: Sequence, _: &mut Option<Sequence>) {
        KeyEnv::insert(&(), place, first, &mut Sequence(0));
    }

    fn closed() -> Changed {
        Changed
    }

    fn panicked(_: &Self::Shared) -> Changed {
        Changed
    }
}

/// One writer holds the key, reads and commits; another tries once; a rotation, a flush.
fn a_holder_commits_at_once(hold: Hold) {
    let memtable = || -> Memtable { Arc::new((0..3).map(|_| AtomicBool::new(false)).collect()) };
    let run = Sequence(0);
    let flushed = Sequence(0);
    let first = KeyView { active: memtable(), sealed: None, run, flushed };
    let view = Arc::new(Published::new(Arc::new(first)));
    let key = KeyEnv { view: Arc::clone(&view), looks: Looks::Shipped };
    let env = HeldEnv { key, held: false, ignored: hold == Hold::IsIgnored };
    let section = Arc::new(Commit::side_by_side(env, (), Sequence(0)));
    let read = |section: &Commit<HeldEnv>, view: &Published<KeyView>| {
        let (view, at) = read_point(view, || section.visible());
        let memory = view.sealed.iter().chain([&view.active]);
        let base = memory.map(|table| newest(table, at)).max().max(Some(view.run));
        base.expect("there is an active memtable")
    };
    let holder = {
        let section = Arc::clone(&section);
        let view = Arc::clone(&view);
        thread::spawn(move || {
            let early = read(&section, &view);
            let held = section.with_earlier(|env, earlier| {
                if hold != Hold::ReadsBesideInserts {
                    earlier.wait().expect("no insert panics here");
                }
                env.held = true;
            });
            held.expect("no thread panics");
            let base = if hold == Hold::ComesAfterTheRead { early } else { read(&section, &view) };
            let (version, ()) = section.commit(&mut None, 1).expect("a holder is not refused");
            section.with(|env, _| env.held = false);
            (base, version)
        })
    };
    let other = {
        let section = Arc::clone(&section);
        let view = Arc::clone(&view);
        thread::spawn(move || {
            let seen = section.visible();
            let base = read(&section, &view);
            section.commit(&mut Some(seen), 1).ok().map(|(version, ())| (base, version))
        })
    };
    let next = memtable();
    let sealed = section.with_earlier(|_, earlier| {
        earlier.wait().expect("no insert panics here");
        update(&view, |view| {
            let active = Arc::clone(&next);
            let sealed = Some(Arc::clone(&view.active));
            KeyView { active, sealed, run: view.run, flushed: view.flushed }
        });
    });
    sealed.expect("no thread panics");
    update(&view, |view| {
        let newest = newest(view.sealed.as_ref().expect("sealed above"), Sequence(u64::MAX));
        let active = Arc::clone(&view.active);
        KeyView { active, sealed: None, run: newest, flushed: newest }
    });
    let mut steps = vec![holder.join().expect("no holder panics")];
    steps.extend(other.join().expect("no writer panics"));
    steps.sort_by_key(|(_, version)| *version);
    let chain = [(Sequence(0), Sequence(1)), (Sequence(1), Sequence(2))];
    assert_eq!(steps, chain[..steps.len()], "an update was lost");
}

/// (I40)
#[test]
fn a_held_key_gets_no_version_but_its_holders() {
    holds("held key", Some(2), 300, || a_holder_commits_at_once(Hold::Shipped));
    for (name, hold) in [
        ("hold ignored", Hold::IsIgnored),
        ("held after the read", Hold::ComesAfterTheRead),
        ("read beside inserts", Hold::ReadsBesideInserts),
    ] {
        refuted(name, Some(3), "an update was lost", move || a_holder_commits_at_once(hold));
    }
}
