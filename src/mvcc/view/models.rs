//! Models of read points and of updates to the view: with rotation in the commit section, and with
//! a flush that drops versions nobody can read any more.

use super::{read_point, update};
use crate::ids::Sequence;
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::check;
use crate::mvcc::snapshots::Snapshots;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, Loaded, Published};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The view with the next memtable is published only when the one after is made.
    PublishesLate,
    /// The view with the next memtable is published once the first write to it is visible.
    PublishesAfterVisible,
    /// The view with the next memtable has none of those that were sealed before.
    ForgetsSealed,
    /// The sealed memtables are listed oldest first.
    ListsOldestFirst,
    /// A reader keeps the view that it has read in before.
    KeepsView,
    /// A reader loads `visible`, then the view.
    VisibleFirst,
    /// A memtable is sealed while a writer inserts into it.
    SealsEarly,
    /// A flush takes the active memtable with it.
    FlushesActive,
    /// A flush takes the memtables out of the view, and puts its run in by another update.
    RemovesFirst,
    /// An updater publishes what it has derived, whatever was published since.
    Stores,
    /// An updater whose view was replaced meanwhile gives up.
    TriesOnce,
}

/// A memtable of one write: its sequence, or zero. Relaxed, so that it orders nothing.
type Memtable = Arc<AtomicU64>;

fn memtable() -> Memtable {
    Arc::new(AtomicU64::new(0))
}

/// Every write overwrites the same key, so its versions are the sequences.
#[derive(Clone)]
struct View {
    active: Memtable,
    /// Newest first.
    sealed: Vec<Memtable>,
    run: Vec<Sequence>,
}

impl View {
    /// The versions at or below `sequence`, ascending.
    fn versions(&self, sequence: Sequence) -> Vec<Sequence> {
        let load = |memtable: &Memtable| Sequence(memtable.load(Ordering::Relaxed));
        let sealed = self.sealed.iter().rev().map(load);
        let all = self.run.iter().copied().chain(sealed).chain([load(&self.active)]);
        all.filter(|version| *version != Sequence(0) && *version <= sequence).collect()
    }
}

/// The log is not of interest here.
struct Env {
    view: Arc<Published<View>>,
    active: Memtable,
    active_is_full: bool,
    fault: Fault,
    unpublished: Option<Memtable>,
}

impl Env {
    fn publish(&mut self, next: &Memtable) {
        update(&self.view, |view| {
            let mut sealed = vec![Arc::clone(&view.active)];
            if self.fault != Fault::ForgetsSealed {
                sealed.extend(view.sealed.iter().cloned());
            }
            if self.fault == Fault::ListsOldestFirst {
                sealed.reverse();
            }
            View { active: Arc::clone(next), sealed, run: view.run.clone() }
        });
    }
}

impl CommitEnv for Env {
    type Write<'a> = ();
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = ();

    fn prepare(&mut self, (): &mut (), earlier: &Earlier<'_>) -> Result<(), ()> {
        if !self.active_is_full {
            return Ok(());
        }
        if self.fault != Fault::SealsEarly {
            earlier.wait().expect("no insert panics here");
        }
        self.active = memtable();
        self.active_is_full = false;
        let next = Arc::clone(&self.active);
        match self.fault {
            Fault::PublishesLate => {
                if let Some(late) = self.unpublished.replace(next) {
                    self.publish(&late);
                }
            }
            Fault::PublishesAfterVisible => self.unpublished = Some(next),
            _ => self.publish(&next),
        }
        Ok(())
    }

    fn append(&mut self, _: Sequence, (): &mut (), _: &Earlier<'_>) -> Result<(), ()> {
        Ok(())
    }

    fn place(&mut self, _: Sequence, (): &mut ()) -> Memtable {
        self.active_is_full = true;
        Arc::clone(&self.active)
    }

    fn insert_inside(&mut self, first: Sequence, (): &mut ()) {
        let place = self.place(first, &mut ());
        Self::insert(&(), place, first, &mut ());
    }

    fn insert((): &(), place: Memtable, first: Sequence, (): &mut ()) {
        place.store(first.0, Ordering::Relaxed);
    }

    fn closed() {}

    fn panicked(_: &Self::Shared) {}
}

struct Db {
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    snapshots: Snapshots,
    /// The last sequence that was acknowledged to anyone.
    acknowledged: AtomicU64,
    fault: Fault,
}

/// Sequence 1 is in a run, the active memtable is empty.
fn db(fault: Fault) -> Arc<Db> {
    let active = memtable();
    let first = View { active: Arc::clone(&active), sealed: vec![], run: vec![Sequence(1)] };
    let view = Arc::new(Published::new(Arc::new(first)));
    let env =
        Env { view: Arc::clone(&view), active, active_is_full: false, fault, unpublished: None };
    let commit = Commit::side_by_side(env, (), Sequence(1));
    let acknowledged = AtomicU64::new(1);
    Arc::new(Db { view, commit, snapshots: Snapshots::new(), acknowledged, fault })
}

impl Db {
    fn put(&self) {
        let (last, ()) = self.commit.commit(&mut (), 1).expect("nothing refuses here");
        if self.fault == Fault::PublishesAfterVisible {
            self.commit.with(|env, _| {
                if let Some(late) = env.unpublished.take() {
                    env.publish(&late);
                }
            });
        }
        self.acknowledged.fetch_max(last.0, Ordering::AcqRel);
    }

    /// Moves the sealed memtables into the run and drops what no reader needs.
    fn flush(&self) {
        let points = self.snapshots.read_points(|| self.commit.visible());
        let horizon = points.horizon();
        if self.fault == Fault::RemovesFirst {
            let (old, _) = update(&self.view, |view| View { sealed: vec![], ..view.clone() });
            update(&self.view, |view| {
                let sealed = old.sealed.iter().rev();
                let mut run = view.run.clone();
                run.extend(sealed.map(|memtable| Sequence(memtable.load(Ordering::Relaxed))));
                View { run, ..view.clone() }
            });
            return;
        }
        update(&self.view, |view| {
            let mut run = view.run.clone();
            let active = (self.fault == Fault::FlushesActive).then_some(&view.active);
            run.extend(view.sealed.iter().rev().chain(active).map(|memtable| {
                let version = Sequence(memtable.load(Ordering::Relaxed));
                assert!(version > Sequence(0), "a memtable was flushed before it was complete");
                version
            }));
            let newest_below = run.iter().copied().filter(|version| *version <= horizon).max();
            run.retain(|version| *version > horizon || Some(*version) == newest_below);
            View { active: Arc::clone(&view.active), sealed: vec![], run }
        });
    }

    fn read_point(&self) -> (Loaded<View>, Sequence) {
        if self.fault == Fault::VisibleFirst {
            let sequence = self.commit.visible();
            return (self.view.load(), sequence);
        }
        read_point(&self.view, || self.commit.visible())
    }
}

/// Two writers, each of whose writes may rotate, and a reader. Nothing is dropped.
fn reads_a_prefix(fault: Fault) {
    let db = db(fault);
    let writers = [(), ()].map(|()| {
        let db = Arc::clone(&db);
        thread::spawn(move || db.put())
    });
    let kept = (fault == Fault::KeepsView).then(|| db.view.load());
    let acknowledged = Sequence(db.acknowledged.load(Ordering::Acquire));
    let (view, sequence) = db.read_point();
    let view = kept.unwrap_or(view);
    check_prefix(&view, sequence, acknowledged);
    for writer in writers {
        writer.join().expect("no writer panics");
    }
}

fn check_prefix(view: &View, sequence: Sequence, acknowledged: Sequence) {
    let versions = view.versions(sequence);
    let prefix: Vec<_> = (1..=versions.len() as u64).map(Sequence).collect();
    assert_eq!(versions, prefix, "a read is not a prefix");
    assert!(versions.last() >= Some(&acknowledged), "a read misses an acknowledged write");
}

/// I3.
#[test]
fn a_read_point_is_a_prefix_that_covers_what_is_acknowledged() {
    let faults = [
        (Fault::PublishesLate, "misses an acknowledged write"),
        (Fault::KeepsView, "misses an acknowledged write"),
    ];
    check("read point", reads_a_prefix, &faults);
}

/// A writer that rotates twice, and a reader that comes back to the sequence it has read at: in
/// any later view it finds all up to that.
fn rotations_hide_nothing(fault: Fault) {
    let db = db(fault);
    let writer = {
        let db = Arc::clone(&db);
        thread::spawn(move || [(), (), ()].map(|()| db.put()))
    };
    let acknowledged = Sequence(db.acknowledged.load(Ordering::Acquire));
    let (view, sequence) = db.read_point();
    check_prefix(&view, sequence, acknowledged);
    let last = db.view.load().versions(sequence).last().copied();
    assert_eq!(last, Some(sequence), "a read at the same sequence misses a write");
    writer.join().expect("no writer panics");
    let (view, sequence) = db.read_point();
    check_prefix(&view, sequence, Sequence(4));
}

/// I3, I6.
#[test]
fn what_is_visible_is_in_every_later_view() {
    let faults = [
        (Fault::PublishesLate, "misses"),
        (Fault::PublishesAfterVisible, "a read at the same sequence misses a write"),
        (Fault::ForgetsSealed, "a read is not a prefix"),
        (Fault::ListsOldestFirst, "a read is not a prefix"),
    ];
    check("rotation", rotations_hide_nothing, &faults);
}

/// A writer that rotates, a flush that drops versions, and a reader.
fn reads_through_a_flush(fault: Fault) {
    let db = db(fault);
    let writer = {
        let db = Arc::clone(&db);
        thread::spawn(move || {
            db.put();
            db.put();
        })
    };
    let flusher = {
        let db = Arc::clone(&db);
        thread::spawn(move || db.flush())
    };
    let acknowledged = Sequence(db.acknowledged.load(Ordering::Acquire));
    let (view, sequence) = db.read_point();
    let newest = view.versions(sequence).last().copied();
    assert!(newest >= Some(acknowledged), "the key vanished");
    writer.join().expect("no thread panics");
    flusher.join().expect("no thread panics");
    let (view, sequence) = db.read_point();
    assert_eq!(view.versions(sequence).last(), Some(&Sequence(3)), "both writes are there");
}

/// I3.
#[test]
fn a_read_point_loses_nothing_to_a_flush() {
    let faults =
        [(Fault::VisibleFirst, "the key vanished"), (Fault::RemovesFirst, "the key vanished")];
    check("read and flush", reads_through_a_flush, &faults);
}

/// Two writers, one of which rotates, and a flush of what is sealed.
fn flushes_whole_memtables(fault: Fault) {
    let db = db(fault);
    let writers = [(), ()].map(|()| {
        let db = Arc::clone(&db);
        thread::spawn(move || db.put())
    });
    db.flush();
    for writer in writers {
        writer.join().expect("no writer panics");
    }
}

/// I18.
#[test]
fn what_is_sealed_is_complete() {
    let symptom = "flushed before it was complete";
    let faults = [(Fault::SealsEarly, symptom), (Fault::FlushesActive, symptom)];
    check("sealing", flushes_whole_memtables, &faults);
}

/// [`update`], or what a fault makes of it.
fn update_with<V>(fault: Fault, published: &Published<V>, derive: impl Fn(&V) -> V) -> Arc<V> {
    if fault == Fault::None {
        return update(published, derive).0;
    }
    let mut current = published.load_full();
    let next = Arc::new(derive(&current));
    while !published.replace(&current, Arc::clone(&next)) && fault == Fault::Stores {
        current = published.load_full();
    }
    current
}

/// One updater rotates twice, one publishes segments twice.
fn updates_are_kept(fault: Fault) {
    let view = Arc::new(Published::new(Arc::new((0_u32, 0_u32))));
    let updater = |rotates: u32| {
        let view = Arc::clone(&view);
        move || {
            let derive =
                |(memtables, segments): &(u32, u32)| (memtables + rotates, segments + 1 - rotates);
            [(), ()].map(|()| update_with(fault, &view, derive))
        }
    };
    let rotates = thread::spawn(updater(1));
    let publishes = updater(0)();
    let rotated = rotates.join().expect("no updater panics");
    assert_eq!(*view.load_full(), (2, 2), "an update was lost");
    let mut superseded: Vec<_> = rotated.iter().chain(&publishes).map(|view| **view).collect();
    superseded.sort_unstable();
    superseded.dedup();
    assert_eq!(superseded.len(), 4, "each superseded view is handed to one updater");
}

/// I4.
#[test]
fn no_update_of_the_view_is_lost() {
    let faults = [(Fault::Stores, "an update was lost"), (Fault::TriesOnce, "an update was lost")];
    check("update", updates_are_kept, &faults);
}
