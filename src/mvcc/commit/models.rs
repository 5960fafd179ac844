//! Models of the commit section: what `visible` promises, spent sequences, the close, a control
//! operation that forbids later writes, and writes that depend on what their writer has read.
//!
//! The memtable is a row of relaxed flags: it orders nothing, so that every edge a reader needs
//! must come from the section itself.

use super::{Commit, CommitEnv};
use crate::ids::Sequence;
use crate::mvcc::models::{holds, refuted};
use crate::mvcc::view::{read_point, update};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, Published, lock};

/// The order of steps under test: the shipped one, or one with a fault planted.
#[derive(Clone, Copy)]
enum Steps {
    Shipped,
    VisibleBeforeInsert,
    VisibleRelaxed,
    VisibleOutside,
    SequencesNotSpent,
    CloseCheckedOutside,
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Closed,
    Append,
    Dropped,
}

#[derive(Clone, Copy)]
struct Put {
    count: u64,
    append_fails: bool,
}

const ONE: Put = Put { count: 1, append_fails: false };

/// `found[s]`: whether a reader finds sequence `s`.
type Memtable = Arc<Vec<AtomicBool>>;

struct Env {
    memtable: Memtable,
    /// The first sequence of each append that was tried.
    tried: Vec<Sequence>,
    failed: Vec<Sequence>,
}

impl CommitEnv for Env {
    type Write<'a> = Put;
    type Receipt = ();
    type Error = Refused;

    fn prepare(&mut self, _: &mut Put) -> Result<(), Refused> {
        Ok(())
    }

    fn append(&mut self, first: Sequence, put: &mut Put) -> Result<(), Refused> {
        assert!(!self.tried.contains(&first), "sequence {first} was issued twice");
        self.tried.push(first);
        if put.append_fails {
            self.failed.push(first);
            return Err(Refused::Append);
        }
        Ok(())
    }

    fn insert(&mut self, first: Sequence, put: &mut Put) {
        for sequence in first.0..first.0 + put.count {
            self.memtable[sequence as usize].store(true, Ordering::Relaxed);
        }
    }

    fn closed() -> Refused {
        Refused::Closed
    }
}

fn section(sequences: usize) -> (Arc<Commit<Env>>, Memtable) {
    let memtable: Memtable = Arc::new((0..=sequences).map(|_| AtomicBool::new(false)).collect());
    let env = Env { memtable: Arc::clone(&memtable), tried: Vec::new(), failed: Vec::new() };
    (Arc::new(Commit::new(env, Sequence(0))), memtable)
}

/// One commit; the faulty orders repeat the shipped steps with two of them exchanged.
fn commit(steps: Steps, commit: &Commit<Env>, mut put: Put) -> Result<Sequence, Refused> {
    let put = &mut put;
    if let Steps::Shipped = steps {
        return commit.commit(put, put.count).map(|(last, ())| last);
    }
    if let Steps::CloseCheckedOutside = steps
        && lock(&commit.section).closed
    {
        return Err(Refused::Closed);
    }
    let mut section = lock(&commit.section);
    section.env.prepare(put)?;
    let first = match steps {
        Steps::SequencesNotSpent => {
            let first = section.next;
            section.env.append(first, put)?;
            section.take_sequences(put.count)
        }
        _ => {
            let first = section.take_sequences(put.count);
            section.env.append(first, put)?;
            first
        }
    };
    let last = Sequence(section.next.0 - 1);
    if let Steps::VisibleBeforeInsert = steps {
        commit.visible.store(last.0, Ordering::Release);
    }
    section.env.insert(first, put);
    let edge = match steps {
        Steps::VisibleRelaxed => Ordering::Relaxed,
        _ => Ordering::Release,
    };
    if let Steps::VisibleOutside = steps {
        drop(section);
    }
    commit.visible.store(last.0, edge);
    Ok(last)
}

/// A batch of two, a single write and a reader.
fn visible_is_findable(steps: Steps) {
    let (section, memtable) = section(3);
    let writers = [Put { count: 2, ..ONE }, ONE].map(|put| {
        let section = Arc::clone(&section);
        thread::spawn(move || {
            let last = commit(steps, &section, put).expect("no append fails here");
            assert!(section.visible() >= last, "an acknowledged write is invisible");
            last
        })
    });
    let visible = section.visible();
    for sequence in 1..=visible.0 {
        let found = memtable[sequence as usize].load(Ordering::Relaxed);
        assert!(found, "visible names a write that cannot be found");
    }
    let [batch, single] = writers.map(|writer| writer.join().expect("no writer panics"));
    assert!(visible != Sequence(batch.0 - 1) || single == visible, "half a batch is visible");
    assert_eq!(section.visible(), Sequence(3));
}

/// I2.
#[test]
fn visible_names_only_what_is_findable_and_covers_what_is_acknowledged() {
    holds("visible", None, 2_000, || visible_is_findable(Steps::Shipped));
    let lost = "visible names a write that cannot be found";
    for (name, steps, symptom) in [
        ("visible before insert", Steps::VisibleBeforeInsert, lost),
        ("visible stored relaxed", Steps::VisibleRelaxed, lost),
        (
            "visible outside the section",
            Steps::VisibleOutside,
            "an acknowledged write is invisible",
        ),
    ] {
        refuted(name, Some(3), symptom, move || visible_is_findable(steps));
    }
}

/// One writer whose first append fails, one whose append does not, and a reader.
fn failed_append_is_spent(steps: Steps) {
    let (section, memtable) = section(3);
    let unlucky = {
        let section = Arc::clone(&section);
        thread::spawn(move || {
            let refused = commit(steps, &section, Put { append_fails: true, ..ONE });
            assert_eq!(refused, Err(Refused::Append));
            commit(steps, &section, ONE).expect("the next write is fine")
        })
    };
    let lucky = {
        let section = Arc::clone(&section);
        thread::spawn(move || commit(steps, &section, ONE).expect("its append does not fail"))
    };
    let visible = section.visible();
    let is_missing = |sequence: &u64| !memtable[*sequence as usize].load(Ordering::Relaxed);
    let missing: Vec<u64> = (1..=visible.0).filter(is_missing).collect();
    let lasts = [unlucky, lucky].map(|writer| writer.join().expect("no writer panics"));
    let failed = section.with(|env, next| {
        assert_eq!(next, Sequence(4), "three writes took three sequences");
        env.failed[0]
    });
    assert!(missing.iter().all(|sequence| *sequence == failed.0), "only a failed write is missing");
    assert!(!lasts.contains(&failed) && is_missing(&failed.0), "a failed write has no effect");
    assert_eq!(Some(section.visible()), lasts.into_iter().max());
}

/// I1.
#[test]
fn sequences_of_a_failed_append_are_never_issued_again() {
    holds("failed append", None, 800, || failed_append_is_spent(Steps::Shipped));
    refuted("sequences not spent", Some(3), "was issued twice", || {
        failed_append_is_spent(Steps::SequencesNotSpent);
    });
}

/// Two writers and a close.
fn close_is_final(steps: Steps) {
    let (section, _) = section(2);
    let writers = [(), ()].map(|()| {
        let section = Arc::clone(&section);
        thread::spawn(move || commit(steps, &section, ONE))
    });
    let mut at_close = None;
    assert!(section.close(|env| at_close = Some(env.tried.len())), "nobody else closes");
    let visible = section.visible();
    let outcomes = writers.map(|writer| writer.join().expect("no writer panics"));
    let acknowledged = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(at_close, Some(acknowledged), "a write was acknowledged after the close");
    assert_eq!(section.visible(), visible);
    assert_eq!(commit(steps, &section, ONE), Err(Refused::Closed));
    assert!(!section.close(|_| unreachable!("a second close runs nothing")));
}

/// I23.
#[test]
fn no_write_is_acknowledged_after_the_close() {
    holds("close", None, 300, || close_is_final(Steps::Shipped));
    refuted("close checked outside", None, "acknowledged after the close", || {
        close_is_final(Steps::CloseCheckedOutside);
    });
}

/// An environment in which a keyspace can be dropped.
struct DropEnv {
    /// Zero, or the sequence of the drop. Readers look at it, so it is shared.
    dropped_at: Arc<AtomicU64>,
    /// Whether the drop is checked where it must be.
    checks_inside: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Put,
    Drop,
}

impl CommitEnv for DropEnv {
    type Write<'a> = Op;
    type Receipt = ();
    type Error = Refused;

    fn prepare(&mut self, _: &mut Op) -> Result<(), Refused> {
        let dropped = self.dropped_at.load(Ordering::Relaxed) != 0;
        if self.checks_inside && dropped { Err(Refused::Dropped) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Op) -> Result<(), Refused> {
        Ok(())
    }

    fn insert(&mut self, first: Sequence, op: &mut Op) {
        if *op == Op::Drop {
            self.dropped_at.store(first.0, Ordering::Relaxed);
        }
    }

    fn closed() -> Refused {
        Refused::Closed
    }
}

/// One writer of two, a drop, and a reader.
fn drop_refuses_later_writes(checks_inside: bool) {
    let dropped_at = Arc::new(AtomicU64::new(0));
    let env = DropEnv { dropped_at: Arc::clone(&dropped_at), checks_inside };
    let section = Arc::new(Commit::new(env, Sequence(0)));
    let writer = {
        let section = Arc::clone(&section);
        let dropped_at = Arc::clone(&dropped_at);
        thread::spawn(move || {
            [(), ()].map(|()| {
                if !checks_inside && dropped_at.load(Ordering::Relaxed) != 0 {
                    return Err(Refused::Dropped);
                }
                section.commit(&mut Op::Put, 1).map(|(last, ())| last)
            })
        })
    };
    let dropper = {
        let section = Arc::clone(&section);
        thread::spawn(move || section.commit(&mut Op::Drop, 1).expect("dropped only once").0)
    };
    let visible = section.visible();
    let seen_at = dropped_at.load(Ordering::Relaxed);
    let dropped = dropper.join().expect("no thread panics");
    assert!(visible < dropped || seen_at == dropped.0, "a read at or above the drop misses it");
    for put in writer.join().expect("no thread panics").into_iter().flatten() {
        assert!(put < dropped, "a write is ordered after the drop of its keyspace");
    }
    if checks_inside {
        assert_eq!(section.commit(&mut Op::Put, 1), Err(Refused::Dropped));
    }
}

/// I24.
#[test]
fn no_write_follows_the_drop_of_its_keyspace() {
    holds("drop keyspace", None, 2_500, || drop_refuses_later_writes(true));
    refuted("drop checked outside", Some(3), "ordered after the drop", || {
        drop_refuses_later_writes(false);
    });
}

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
    type Error = Changed;

    fn prepare(&mut self, seen: &mut Sequence) -> Result<(), Changed> {
        let view = self.view.load();
        let last = Sequence(u64::MAX);
        let sealed = view.sealed.iter().filter(|_| self.looks != Looks::AtActiveOnly);
        let in_memory = sealed.chain([&view.active]).any(|table| newest(table, last) > *seen);
        let flushed = view.flushed > *seen;
        let changed = match self.looks {
            Looks::Shipped => flushed || in_memory,
            Looks::AtNothing => false,
            Looks::AtMemtablesOnly => in_memory,
            Looks::AtActiveOnly | Looks::AboveTheReadsSequence => flushed || in_memory,
        };
        if changed { Err(Changed) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Sequence) -> Result<(), Changed> {
        Ok(())
    }

    fn insert(&mut self, first: Sequence, _: &mut Sequence) {
        self.view.load().active[first.0 as usize].store(true, Ordering::Relaxed);
    }

    fn closed() -> Changed {
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
    let section = Arc::new(Commit::new(env, Sequence(0)));
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
    section.with(|_, _| {
        update(&view, |view| {
            let active = Arc::clone(&next);
            let sealed = Some(Arc::clone(&view.active));
            KeyView { active, sealed, run: view.run, flushed: view.flushed }
        });
    });
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
    type Error = Changed;

    fn prepare(&mut self, seen: &mut Option<Sequence>) -> Result<(), Changed> {
        match seen {
            None => Ok(()),
            Some(_) if self.held && !self.ignored => Err(Changed),
            Some(seen) => self.key.prepare(seen),
        }
    }

    fn append(&mut self, _: Sequence, _: &mut Option<Sequence>) -> Result<(), Changed> {
        Ok(())
    }

    fn insert(&mut self, first: Sequence, _: &mut Option<Sequence>) {
        self.key.insert(first, &mut Sequence(0));
    }

    fn closed() -> Changed {
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
    let section = Arc::new(Commit::new(env, Sequence(0)));
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
            section.with(|env, _| env.held = true);
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
    section.with(|_, _| {
        update(&view, |view| {
            let active = Arc::clone(&next);
            let sealed = Some(Arc::clone(&view.active));
            KeyView { active, sealed, run: view.run, flushed: view.flushed }
        });
    });
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
    for (name, hold) in
        [("hold ignored", Hold::IsIgnored), ("held after the read", Hold::ComesAfterTheRead)]
    {
        refuted(name, Some(3), "an update was lost", move || a_holder_commits_at_once(hold));
    }
}
