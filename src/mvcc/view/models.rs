//! Models of read points and of updates to the view: with rotation in the commit section, and with
//! a flush that drops versions nobody can read any more.

use super::{read_point, update};
use crate::ids::Sequence;
use crate::mvcc::commit::{Commit, CommitEnv};
use crate::mvcc::models::{holds, refuted};
use crate::mvcc::snapshots::Snapshots;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model::thread;
use crate::sync::{Arc, Published};

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
    /// A fault: the view with the next memtable is published only when the one after is made.
    publishes_late: bool,
    unpublished: Option<Memtable>,
}

impl Env {
    fn publish(&mut self, next: &Memtable) {
        update(&self.view, |view| {
            let mut sealed = vec![Arc::clone(&view.active)];
            sealed.extend(view.sealed.iter().cloned());
            View { active: Arc::clone(next), sealed, run: view.run.clone() }
        });
    }
}

impl CommitEnv for Env {
    type Write<'a> = ();
    type Receipt = ();
    type Error = ();

    fn prepare(&mut self, (): &mut ()) -> Result<(), ()> {
        if !self.active_is_full {
            return Ok(());
        }
        self.active = memtable();
        self.active_is_full = false;
        let next = Arc::clone(&self.active);
        if !self.publishes_late {
            self.publish(&next);
        } else if let Some(late) = self.unpublished.replace(next) {
            self.publish(&late);
        }
        Ok(())
    }

    fn append(&mut self, _: Sequence, (): &mut ()) -> Result<(), ()> {
        Ok(())
    }

    fn insert(&mut self, first: Sequence, (): &mut ()) {
        self.active.store(first.0, Ordering::Relaxed);
        self.active_is_full = true;
    }

    fn closed() {}
}

struct Db {
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    snapshots: Snapshots,
    /// The last sequence that was acknowledged to anyone.
    acknowledged: AtomicU64,
}

/// Sequence 1 is in a run, the active memtable is empty.
fn db(publishes_late: bool) -> Arc<Db> {
    let active = memtable();
    let first = View { active: Arc::clone(&active), sealed: vec![], run: vec![Sequence(1)] };
    let view = Arc::new(Published::new(Arc::new(first)));
    let env = Env {
        view: Arc::clone(&view),
        active,
        active_is_full: false,
        publishes_late,
        unpublished: None,
    };
    let commit = Commit::new(env, Sequence(1));
    Arc::new(Db { view, commit, snapshots: Snapshots::new(), acknowledged: AtomicU64::new(1) })
}

impl Db {
    fn put(&self) {
        let (last, ()) = self.commit.commit(&mut (), 1).expect("nothing refuses here");
        self.acknowledged.fetch_max(last.0, Ordering::AcqRel);
    }

    /// Moves the sealed memtables into the run and drops what no reader needs.
    fn flush(&self) {
        let points = self.snapshots.read_points(|| self.commit.visible());
        let horizon = points.horizon();
        update(&self.view, |view| {
            let mut run = view.run.clone();
            let sealed = view.sealed.iter().rev();
            run.extend(sealed.map(|memtable| Sequence(memtable.load(Ordering::Relaxed))));
            let newest_below = run.iter().copied().filter(|version| *version <= horizon).max();
            run.retain(|version| *version > horizon || Some(*version) == newest_below);
            View { active: Arc::clone(&view.active), sealed: vec![], run }
        });
    }
}

#[derive(Clone, Copy)]
enum Reading {
    ViewThenVisible,
    VisibleThenView,
}

impl Reading {
    fn point(self, db: &Db) -> (crate::sync::Loaded<View>, Sequence) {
        match self {
            Self::ViewThenVisible => read_point(&db.view, || db.commit.visible()),
            Self::VisibleThenView => {
                let sequence = db.commit.visible();
                (db.view.load(), sequence)
            }
        }
    }
}

/// Two writers, each of whose writes may rotate, and a reader. Nothing is dropped.
fn reads_a_prefix(publishes_late: bool) {
    let db = db(publishes_late);
    let writers = [(), ()].map(|()| {
        let db = Arc::clone(&db);
        thread::spawn(move || db.put())
    });
    let acknowledged = Sequence(db.acknowledged.load(Ordering::Acquire));
    let (view, sequence) = Reading::ViewThenVisible.point(&db);
    let versions = view.versions(sequence);
    let prefix: Vec<_> = (1..=versions.len() as u64).map(Sequence).collect();
    assert_eq!(versions, prefix, "a read is not a prefix");
    assert!(versions.last() >= Some(&acknowledged), "a read misses an acknowledged write");
    for writer in writers {
        writer.join().expect("no writer panics");
    }
}

/// I3.
#[test]
fn a_read_point_is_a_prefix_that_covers_what_is_acknowledged() {
    holds("read point", None, 100_000, || reads_a_prefix(false));
    refuted("view published late", Some(3), "misses an acknowledged write", || {
        reads_a_prefix(true);
    });
}

/// A writer that rotates, a flush that drops versions, and a reader.
fn reads_through_a_flush(reading: Reading) {
    let db = db(false);
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
    let (view, sequence) = reading.point(&db);
    let newest = view.versions(sequence).last().copied();
    assert!(newest >= Some(acknowledged), "the key vanished");
    writer.join().expect("no thread panics");
    flusher.join().expect("no thread panics");
    let (view, sequence) = reading.point(&db);
    assert_eq!(view.versions(sequence).last(), Some(&Sequence(3)), "both writes are there");
}

/// I3.
#[test]
fn a_read_point_loses_nothing_to_a_flush() {
    holds("read and flush", Some(3), 9_000, || {
        reads_through_a_flush(Reading::ViewThenVisible);
    });
    refuted("visible before view", Some(3), "the key vanished", || {
        reads_through_a_flush(Reading::VisibleThenView);
    });
}

/// A fault: publishes what was derived, whatever was published since.
fn store<V>(published: &Published<V>, derive: impl Fn(&V) -> V) -> (Arc<V>, Arc<V>) {
    let next = Arc::new(derive(&published.load_full()));
    loop {
        let current = published.load_full();
        if published.replace(&current, Arc::clone(&next)) {
            return (current, next);
        }
    }
}

/// One updater rotates twice, one publishes segments twice.
fn updates_are_kept(compares: bool) {
    let view = Arc::new(Published::new(Arc::new((0_u32, 0_u32))));
    let updater = |rotates: u32| {
        let view = Arc::clone(&view);
        move || {
            let derive =
                |(memtables, segments): &(u32, u32)| (memtables + rotates, segments + 1 - rotates);
            [(), ()].map(|()| if compares { update(&view, derive) } else { store(&view, derive) }.0)
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
    holds("update", None, 20_000, || updates_are_kept(true));
    refuted("store instead of compare-and-swap", None, "an update was lost", || {
        updates_are_kept(false);
    });
}
