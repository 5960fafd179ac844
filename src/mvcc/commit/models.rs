//! Models of the commit section: what `visible` promises, spent sequences, the close, a control
//! operation that forbids later writes.
//!
//! The memtable is a row of relaxed flags: it orders nothing, so that every edge a reader needs
//! must come from the section itself.

use super::{Commit, CommitEnv, Earlier};
use crate::ids::Sequence;
use crate::mvcc::models::check;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, lock};

/// Which step is wrong, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    VisibleBeforeInsert,
    TurnNotWaitedFor,
    /// A writer inserts inside the section, and publishes at once, while others insert outside.
    AloneBesideOthers,
    SequencesNotSpent,
    InsertBeforeAppend,
    /// A writer asks whether the section is closed before it enters.
    CloseCheckedOutside,
    /// The close does not wait for those that insert.
    ClosesBesideInserts,
    /// A writer asks whether the keyspace is dropped before it enters.
    DropCheckedOutside,
    /// The drop is noted outside the section.
    DropNotedOutside,
    /// The drop is noted once it is visible.
    DropNotedLate,
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

/// One commit; with a fault, the shipped steps but for it.
fn commit(fault: Fault, commit: &Commit<Env>, mut put: Put) -> Result<Sequence, Refused> {
    let put = &mut put;
    if let Fault::None | Fault::ClosesBesideInserts = fault {
        return commit.commit(put, put.count).map(|(last, ())| last);
    }
    if fault == Fault::CloseCheckedOutside && lock(&commit.section).closed {
        return Err(Refused::Closed);
    }
    let mut section = lock(&commit.section);
    let ticket = section.ticket;
    let earlier = Earlier { order: &commit.order, next: ticket };
    section.env.prepare(put, &earlier)?;
    let first = match fault {
        Fault::SequencesNotSpent => {
            let first = section.next;
            section.env.append(first, put, &earlier)?;
            section.take_sequences(put.count)
        }
        Fault::InsertBeforeAppend => {
            let first = section.take_sequences(put.count);
            Env::insert(&commit.shared, (), first, put);
            section.env.append(first, put, &earlier)?;
            first
        }
        _ => {
            let first = section.take_sequences(put.count);
            section.env.append(first, put, &earlier)?;
            first
        }
    };
    let last = Sequence(section.next.0 - 1);
    if fault == Fault::AloneBesideOthers && put.count == 1 {
        section.env.insert_inside(first, put);
        commit.order.publish_alone(last);
        return Ok(last);
    }
    section.ticket = ticket.next();
    drop(section);
    if fault == Fault::VisibleBeforeInsert {
        commit.order.finish(ticket, last);
        Env::insert(&commit.shared, (), first, put);
    } else {
        Env::insert(&commit.shared, (), first, put);
        commit.order.finish(ticket, last);
    }
    if fault != Fault::TurnNotWaitedFor {
        assert_eq!(commit.order.wait_for(ticket), Ok(()));
    }
    Ok(last)
}

/// A batch of two, a single write and a reader.
fn visible_is_findable(fault: Fault) {
    let (section, memtable) = section(3);
    let writers = [Put { count: 2, ..ONE }, ONE].map(|put| {
        let section = Arc::clone(&section);
        thread::spawn(move || {
            let last = commit(fault, &section, put).expect("no append fails here");
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
    let lost = "visible names a write that cannot be found";
    let faults = [
        (Fault::VisibleBeforeInsert, lost),
        (Fault::AloneBesideOthers, "visible"),
        (Fault::TurnNotWaitedFor, "an acknowledged write is invisible"),
    ];
    check("visible", visible_is_findable, &faults);
}

/// One writer whose first append fails, one whose append does not, and a reader.
fn failed_append_is_spent(fault: Fault) {
    let (section, memtable) = section(3);
    let unlucky = {
        let section = Arc::clone(&section);
        thread::spawn(move || {
            let refused = commit(fault, &section, Put { append_fails: true, ..ONE });
            assert_eq!(refused, Err(Refused::Append));
            commit(fault, &section, ONE).expect("the next write is fine")
        })
    };
    let lucky = {
        let section = Arc::clone(&section);
        thread::spawn(move || commit(fault, &section, ONE).expect("its append does not fail"))
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
    let faults = [
        (Fault::SequencesNotSpent, "was issued twice"),
        (Fault::InsertBeforeAppend, "a failed write has no effect"),
    ];
    check("failed append", failed_append_is_spent, &faults);
}

/// The close; with a fault, the shipped steps but for it.
fn close(fault: Fault, commit: &Commit<Env>, note: impl FnOnce(&mut Env)) -> bool {
    if fault != Fault::ClosesBesideInserts {
        return commit.close(note);
    }
    let mut section = lock(&commit.section);
    section.closed = true;
    note(&mut section.env);
    true
}

/// Two writers and a close.
fn close_is_final(fault: Fault) {
    let (section, _) = section(2);
    let writers = [(), ()].map(|()| {
        let section = Arc::clone(&section);
        thread::spawn(move || commit(fault, &section, ONE))
    });
    let mut at_close = None;
    let note = |env: &mut Env| at_close = Some(env.tried.len());
    assert!(close(fault, &section, note), "nobody else closes");
    let visible = section.visible();
    let outcomes = writers.map(|writer| writer.join().expect("no writer panics"));
    let acknowledged = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(at_close, Some(acknowledged), "a write was acknowledged after the close");
    assert_eq!(section.visible(), visible, "a write becomes visible after the close");
    assert_eq!(commit(fault, &section, ONE), Err(Refused::Closed));
    assert!(!section.close(|_| unreachable!("a second close runs nothing")));
}

/// I23.
#[test]
fn no_write_is_acknowledged_after_the_close() {
    let faults = [
        (Fault::CloseCheckedOutside, "acknowledged after the close"),
        (Fault::ClosesBesideInserts, "a write becomes visible after the close"),
    ];
    check("close", close_is_final, &faults);
}

/// An environment in which a keyspace can be dropped.
struct DropEnv {
    dropped_at: DroppedAt,
    fault: Fault,
}

/// Zero, or the sequence of the drop. Readers look at it, so it is shared.
type DroppedAt = Arc<AtomicU64>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Put,
    Drop,
}

impl CommitEnv for DropEnv {
    type Write<'a> = Op;
    type Receipt = ();
    /// Whether the drop is still to be noted.
    type Place = bool;
    type Shared = DroppedAt;
    type Error = Refused;

    fn prepare(&mut self, _: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        let dropped = self.dropped_at.load(Ordering::Relaxed) != 0;
        let refuses = dropped && self.fault != Fault::DropCheckedOutside;
        if refuses { Err(Refused::Dropped) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, op: &mut Op) -> bool {
        match self.fault {
            Fault::DropNotedOutside => return true,
            Fault::DropNotedLate => {}
            _ if *op == Op::Drop => self.dropped_at.store(first.0, Ordering::Relaxed),
            _ => {}
        }
        false
    }

    fn insert_inside(&mut self, first: Sequence, op: &mut Op) {
        let place = self.place(first, op);
        Self::insert(&self.dropped_at, place, first, op);
    }

    fn insert(dropped_at: &DroppedAt, note: bool, first: Sequence, op: &mut Op) {
        if note && *op == Op::Drop {
            dropped_at.store(first.0, Ordering::Relaxed);
        }
    }

    fn closed() -> Refused {
        Refused::Closed
    }

    fn panicked(_: &Self::Shared) -> Refused {
        Refused::Panicked
    }
}

/// One writer of two, a drop, and a reader.
fn drop_refuses_later_writes(fault: Fault) {
    let dropped_at = DroppedAt::new(AtomicU64::new(0));
    let env = DropEnv { dropped_at: Arc::clone(&dropped_at), fault };
    let commit = Commit::side_by_side(env, Arc::clone(&dropped_at), Sequence(0));
    let section = Arc::new(commit);
    let writer = {
        let section = Arc::clone(&section);
        let dropped_at = Arc::clone(&dropped_at);
        thread::spawn(move || {
            [(), ()].map(|()| {
                let outside = fault == Fault::DropCheckedOutside;
                if outside && dropped_at.load(Ordering::Relaxed) != 0 {
                    return Err(Refused::Dropped);
                }
                section.commit(&mut Op::Put, 1).map(|(last, ())| last)
            })
        })
    };
    let dropper = {
        let section = Arc::clone(&section);
        let dropped_at = Arc::clone(&dropped_at);
        thread::spawn(move || {
            let at = section.commit(&mut Op::Drop, 1).expect("dropped only once").0;
            if fault == Fault::DropNotedLate {
                dropped_at.store(at.0, Ordering::Relaxed);
            }
            at
        })
    };
    let visible = section.visible();
    let seen_at = dropped_at.load(Ordering::Relaxed);
    let dropped = dropper.join().expect("no thread panics");
    assert!(visible < dropped || seen_at == dropped.0, "a read at or above the drop misses it");
    for put in writer.join().expect("no thread panics").into_iter().flatten() {
        assert!(put < dropped, "a write is ordered after the drop of its keyspace");
    }
    if fault != Fault::DropCheckedOutside {
        assert_eq!(section.commit(&mut Op::Put, 1), Err(Refused::Dropped));
    }
}

/// I24.
#[test]
fn no_write_follows_the_drop_of_its_keyspace() {
    let later = "a write is ordered after the drop of its keyspace";
    let faults = [
        (Fault::DropCheckedOutside, later),
        (Fault::DropNotedOutside, later),
        (Fault::DropNotedLate, "the drop"),
    ];
    check("drop keyspace", drop_refuses_later_writes, &faults);
}
