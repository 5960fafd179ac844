//! Models of the commit section: what `visible` promises, spent sequences, the close, a control
//! operation that forbids later writes.
//!
//! The memtable is a row of relaxed flags: it orders nothing, so that every edge a reader needs
//! must come from the section itself.

use super::{Commit, CommitEnv, Earlier};
use crate::ids::Sequence;
use crate::mvcc::models::{holds, refuted};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, lock};

/// The order of steps under test: the shipped one, or one with a fault planted.
#[derive(Clone, Copy)]
enum Steps {
    Shipped,
    VisibleBeforeInsert,
    TurnNotWaitedFor,
    AloneBesideOthers,
    SequencesNotSpent,
    CloseCheckedOutside,
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Closed,
    Append,
    Dropped,
    Panicked,
}

#[derive(Clone, Copy)]
struct Put {
    count: u64,
    append_fails: bool,
}

const ONE: Put = Put { count: 1, append_fails: false };

/// `found[s]`: whether a reader finds sequence `s`.
pub(super) type Memtable = Arc<Vec<AtomicBool>>;

struct Env {
    memtable: Memtable,
    /// The first sequence of each append that was tried.
    tried: Vec<Sequence>,
    failed: Vec<Sequence>,
}

impl CommitEnv for Env {
    type Write<'a> = Put;
    type Receipt = ();
    type Place = ();
    type Shared = Memtable;
    type Error = Refused;

    fn prepare(&mut self, _: &mut Put, _: &Earlier<'_>) -> Result<(), Refused> {
        Ok(())
    }

    fn append(&mut self, first: Sequence, put: &mut Put, _: &Earlier<'_>) -> Result<(), Refused> {
        assert!(!self.tried.contains(&first), "sequence {first} was issued twice");
        self.tried.push(first);
        if put.append_fails {
            self.failed.push(first);
            return Err(Refused::Append);
        }
        Ok(())
    }

    fn place(&mut self, _: Sequence, _: &mut Put) {}

    fn insert_inside(&mut self, first: Sequence, put: &mut Put) {
        Self::insert(&self.memtable, (), first, put);
    }

    fn insert(memtable: &Memtable, (): (), first: Sequence, put: &mut Put) {
        for sequence in first.0..first.0 + put.count {
            memtable[sequence as usize].store(true, Ordering::Relaxed);
        }
    }

    fn closed() -> Refused {
        Refused::Closed
    }

    fn panicked(_: &Self::Shared) -> Refused {
        Refused::Panicked
    }
}

fn section(sequences: usize) -> (Arc<Commit<Env>>, Memtable) {
    let memtable: Memtable = Arc::new((0..=sequences).map(|_| AtomicBool::new(false)).collect());
    let env = Env { memtable: Arc::clone(&memtable), tried: Vec::new(), failed: Vec::new() };
    // Some writers are alone, some are not.
    (Arc::new(Commit::new(env, Arc::clone(&memtable), Sequence(0))), memtable)
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
    let ticket = section.ticket;
    let earlier = Earlier { order: &commit.order, next: ticket };
    section.env.prepare(put, &earlier)?;
    let first = match steps {
        Steps::SequencesNotSpent => {
            let first = section.next;
            section.env.append(first, put, &earlier)?;
            section.take_sequences(put.count)
        }
        _ => {
            let first = section.take_sequences(put.count);
            section.env.append(first, put, &earlier)?;
            first
        }
    };
    let last = Sequence(section.next.0 - 1);
    if let Steps::AloneBesideOthers = steps
        && put.count == 1
    {
        section.env.insert_inside(first, put);
        commit.order.publish_alone(last);
        return Ok(last);
    }
    section.ticket = ticket.next();
    drop(section);
    if let Steps::VisibleBeforeInsert = steps {
        commit.order.finish(ticket, last);
        Env::insert(&commit.shared, (), first, put);
    } else {
        Env::insert(&commit.shared, (), first, put);
        commit.order.finish(ticket, last);
    }
    match steps {
        Steps::TurnNotWaitedFor => {}
        _ => assert_eq!(commit.order.wait_for(ticket), Ok(())),
    }
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
    holds("visible", Some(3), 1_500, || visible_is_findable(Steps::Shipped));
    let lost = "visible";
    for (name, steps, symptom) in [
        ("visible before insert", Steps::VisibleBeforeInsert, lost),
        ("alone beside others", Steps::AloneBesideOthers, lost),
        ("turn not waited for", Steps::TurnNotWaitedFor, "an acknowledged write is invisible"),
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
    holds("failed append", Some(3), 1_000, || failed_append_is_spent(Steps::Shipped));
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
    holds("close", Some(3), 100, || close_is_final(Steps::Shipped));
    refuted("close checked outside", Some(3), "acknowledged after the close", || {
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
    type Place = ();
    type Shared = ();
    type Error = Refused;

    fn prepare(&mut self, _: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        let dropped = self.dropped_at.load(Ordering::Relaxed) != 0;
        if self.checks_inside && dropped { Err(Refused::Dropped) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, op: &mut Op) {
        if *op == Op::Drop {
            self.dropped_at.store(first.0, Ordering::Relaxed);
        }
    }

    fn insert_inside(&mut self, first: Sequence, op: &mut Op) {
        self.place(first, op);
    }

    fn insert((): &(), (): (), _: Sequence, _: &mut Op) {}

    fn closed() -> Refused {
        Refused::Closed
    }

    fn panicked(_: &Self::Shared) -> Refused {
        Refused::Panicked
    }
}

/// One writer of two, a drop, and a reader.
fn drop_refuses_later_writes(checks_inside: bool) {
    let dropped_at = Arc::new(AtomicU64::new(0));
    let env = DropEnv { dropped_at: Arc::clone(&dropped_at), checks_inside };
    let section = Arc::new(Commit::side_by_side(env, (), Sequence(0)));
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
    holds("drop keyspace", Some(3), 1_000, || drop_refuses_later_writes(true));
    refuted("drop checked outside", Some(3), "ordered after the drop", || {
        drop_refuses_later_writes(false);
    });
}
