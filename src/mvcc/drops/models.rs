//! Models of a keyspace that is dropped: what merges leave out of it, and when it is forgotten.
//! Log, manifest, memtables and runs are the model's; commit section, views and snapshots are not.

use std::collections::BTreeMap;

use super::Drops;
use crate::ids::{KeyspaceId, Sequence};
use crate::mvcc::commit::{Commit, CommitEnv, Earlier};
use crate::mvcc::models::check;
use crate::mvcc::snapshots::Snapshots;
use crate::mvcc::view::{read_point_owned, update};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::models::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex, Published, lock};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// A merge leaves out what is dropped, whether the manifest knows or not.
    TakesUnsettled,
    /// A drop is settled before the log is synced and the edit written.
    SettlesFirst,
    /// A merge goes by `visible` alone.
    IgnoresSnapshots,
    /// A merge reads the snapshots before it reads what is dropped, and compares with what is
    /// visible at the end.
    ReadsPointsFirst,
    /// The section does not look whether the keyspace is dropped.
    WritesAfterDrop,
    /// The keyspace is looked for before its drop.
    LooksEarly,
    /// What is in memory is not waited for.
    MemoryNotWaited,
    /// A look that forgets loads its view before it reads what is dropped.
    ViewFirst,
}

const KEYSPACE: KeyspaceId = KeyspaceId(7);

/// The sequence of the keyspace's only version, or zero. Relaxed, so that it orders nothing.
type Memtable = Arc<AtomicU64>;

/// Where the keyspace's versions are.
#[derive(Clone)]
struct View {
    active: Memtable,
    /// Oldest first.
    sealed: Vec<Memtable>,
    run: Vec<Sequence>,
    flushed: Sequence,
}

impl View {
    fn in_memory(&self) -> impl Iterator<Item = Sequence> {
        let tables = self.sealed.iter().chain([&self.active]);
        let versions = tables.map(|table| Sequence(table.load(Ordering::Relaxed)));
        versions.filter(|version| *version != Sequence(0))
    }

    /// The newest version at or below `at`.
    fn find(&self, at: Sequence) -> Option<Sequence> {
        let all = self.in_memory().chain(self.run.iter().copied());
        all.filter(|version| *version <= at).max()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Put,
    Drop,
}

#[derive(Debug)]
struct Refused;

struct Env {
    fault: Fault,
    view: Arc<Published<View>>,
    drops: Arc<Mutex<Drops>>,
    dropped: bool,
}

impl CommitEnv for Env {
    type Write<'a> = Op;
    type Receipt = ();
    type Place = Memtable;
    type Shared = ();
    type Error = Refused;

    fn prepare(&mut self, op: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        let refuses = self.dropped && *op == Op::Put && self.fault != Fault::WritesAfterDrop;
        if refuses { Err(Refused) } else { Ok(()) }
    }

    fn append(&mut self, _: Sequence, _: &mut Op, _: &Earlier<'_>) -> Result<(), Refused> {
        Ok(())
    }

    fn place(&mut self, first: Sequence, op: &mut Op) -> Memtable {
        if *op == Op::Drop {
            lock(&self.drops).add(KEYSPACE, first, false);
            self.dropped = true;
        }
        Arc::clone(&self.view.load().active)
    }

    fn insert_inside(&mut self, first: Sequence, op: &mut Op) {
        let place = self.place(first, op);
        Self::insert(&(), place, first, op);
    }

    fn insert((): &(), place: Memtable, first: Sequence, op: &mut Op) {
        if *op == Op::Put {
            place.store(first.0, Ordering::Relaxed);
        }
    }

    fn closed() -> Refused {
        Refused
    }

    fn panicked(_: &Self::Shared) -> Refused {
        Refused
    }
}

struct Db {
    fault: Fault,
    view: Arc<Published<View>>,
    commit: Commit<Env>,
    snapshots: Snapshots,
    drops: Arc<Mutex<Drops>>,
    /// The drop's record and its edit are synced: no power loss takes it back.
    durable: AtomicBool,
    forgotten: AtomicBool,
    manifest: Mutex<Vec<&'static str>>,
}

/// Where sequence 1 is a version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    InRun,
    InMemory,
    Nowhere,
}

fn db(fault: Fault, first: First) -> Arc<Db> {
    let active = Arc::new(AtomicU64::new(u64::from(first == First::InMemory)));
    let run = if first == First::InRun { vec![Sequence(1)] } else { vec![] };
    let view = View { active, sealed: vec![], run, flushed: Sequence(0) };
    let view = Arc::new(Published::new(Arc::new(view)));
    let drops = Arc::new(Mutex::new(Drops::default()));
    let env = Env { fault, view: Arc::clone(&view), drops: Arc::clone(&drops), dropped: false };
    Arc::new(Db {
        fault,
        view,
        commit: Commit::side_by_side(env, (), Sequence(1)),
        snapshots: Snapshots::new(),
        drops,
        durable: AtomicBool::new(false),
        forgotten: AtomicBool::new(false),
        manifest: Mutex::new(Vec::new()),
    })
}

/// Starts a thread.
fn shared<R: 'static>(db: &Arc<Db>, run: impl FnOnce(&Db) -> R + 'static) -> JoinHandle<R> {
    let db = Arc::clone(db);
    thread::spawn(move || run(&db))
}

impl Db {
    fn write(&self, mut op: Op) -> Result<Sequence, Refused> {
        self.commit.commit(&mut op, 1).map(|(last, ())| last)
    }

    /// The log thread drops the keyspace.
    fn drop_keyspace(&self) {
        let early = self.place();
        self.write(Op::Drop).expect("dropped only once");
        let settle = || lock(&self.drops).settle(KEYSPACE);
        if self.fault == Fault::SettlesFirst {
            settle();
        }
        let until = if self.fault == Fault::LooksEarly { early } else { self.place() };
        let mut manifest = lock(&self.manifest);
        manifest.push("drop");
        self.durable.store(true, Ordering::Release);
        settle();
        drop(manifest);
        lock(&self.drops).note_in_memory(KEYSPACE, until);
    }

    /// The newest version in memory; zero if there is none.
    fn place(&self) -> Sequence {
        self.view.load_full().in_memory().max().unwrap_or_default()
    }

    /// What a merge may leave out.
    fn gone(&self) -> BTreeMap<KeyspaceId, Sequence> {
        let unsettled = self.fault == Fault::TakesUnsettled;
        let read = || {
            let drops = lock(&self.drops);
            if unsettled { drops.all() } else { drops.droppable() }
        };
        let visible = || self.commit.visible();
        let lowest = |snapshots: &[Sequence], visible: Sequence| {
            snapshots.first().map_or(visible, |oldest| visible.min(*oldest))
        };
        let (mut gone, horizon) = match self.fault {
            Fault::ReadsPointsFirst => {
                let points = self.snapshots.read_points(visible);
                let gone = read();
                (gone, lowest(&points.snapshots, visible()))
            }
            Fault::IgnoresSnapshots => {
                let gone = read();
                (gone, visible())
            }
            _ => {
                let gone = read();
                let points = self.snapshots.read_points(visible);
                (gone, points.horizon())
            }
        };
        gone.retain(|_, at| *at <= horizon);
        gone
    }

    /// A merge of the only run.
    fn merge(&self) {
        if !self.gone().contains_key(&KEYSPACE) {
            return;
        }
        let mut manifest = lock(&self.manifest);
        manifest.push("merge");
        assert!(
            self.durable.load(Ordering::Acquire),
            "a power loss brings the keyspace back empty"
        );
        update(&self.view, |view| View { run: vec![], ..view.clone() });
    }

    /// A writer seals the active memtable.
    fn rotate(&self) {
        let sealed = self.commit.with_earlier(|_, earlier| {
            earlier.wait().expect("no insert panics here");
            let next = Arc::new(AtomicU64::new(0));
            update(&self.view, |view| View {
                active: Arc::clone(&next),
                sealed: view.sealed.iter().chain([&view.active]).cloned().collect(),
                ..view.clone()
            });
        });
        sealed.expect("no thread panics");
    }

    /// A flush of all that is sealed, which leaves nothing out.
    fn flush(&self) {
        let tables = self.view.load_full().sealed.clone();
        let versions = tables.iter().map(|table| Sequence(table.load(Ordering::Relaxed)));
        let versions: Vec<_> = versions.filter(|version| *version != Sequence(0)).collect();
        let newest = versions.iter().copied().max().unwrap_or_default();
        let mut manifest = lock(&self.manifest);
        manifest.push("flush");
        update(&self.view, |view| View {
            sealed: view.sealed[tables.len()..].to_vec(),
            run: view.run.iter().chain(&versions).copied().collect(),
            flushed: view.flushed.max(newest),
            ..view.clone()
        });
    }

    /// The flush thread's look.
    fn forget(&self) {
        let early = self.view.load_full();
        let known = lock(&self.drops).to_forget();
        let view = if self.fault == Fault::ViewFirst { early } else { self.view.load_full() };
        let Some(&(id, until)) = known.first() else { return };
        let until = until.unwrap_or_else(|| view.in_memory().max().unwrap_or_default());
        let waited = until <= view.flushed || self.fault == Fault::MemoryNotWaited;
        if !waited || !view.run.is_empty() {
            return;
        }
        let mut manifest = lock(&self.manifest);
        manifest.push("forget");
        lock(&self.drops).forget(id);
        self.forgotten.store(true, Ordering::Release);
    }

    fn check_forgotten(&self) {
        let forgotten = self.forgotten.load(Ordering::Acquire);
        let left = self.view.load_full().find(Sequence(u64::MAX));
        assert!(!forgotten || left.is_none(), "data of a keyspace that is forgotten is left");
    }
}

/// A drop, a merge, and a snapshot that may be from before the drop.
fn merges_wait_for_the_drop(fault: Fault) {
    let db = db(fault, First::InRun);
    let dropper = shared(&db, Db::drop_keyspace);
    let merge = shared(&db, Db::merge);
    let at = db.snapshots.register(0, || db.commit.visible());
    let view = db.view.load_full();
    let found = view.find(at);
    assert!(at >= Sequence(2) || found.is_some(), "a snapshot from before the drop reads nothing");
    merge.join().expect("no thread panics");
    let (view, _) = read_point_owned(&db.view, || db.commit.visible());
    let again = view.find(at);
    assert!(at >= Sequence(2) || again == found, "a merge takes from a snapshot what it reads");
    dropper.join().expect("no thread panics");
    db.snapshots.release(at);
    db.merge();
    assert!(db.view.load_full().run.is_empty(), "the drop is durable, and nobody reads below it");
}

/// I7, I24.
#[test]
fn a_merge_leaves_out_a_dropped_keyspace_once_nobody_can_miss_it() {
    let back = "a power loss brings the keyspace back empty";
    let faults = [
        (Fault::TakesUnsettled, back),
        (Fault::SettlesFirst, back),
        (Fault::IgnoresSnapshots, "snapshot"),
        (Fault::ReadsPointsFirst, "snapshot"),
    ];
    check("drop and merge", merges_wait_for_the_drop, &faults);
}

/// A writer that rotates first, a drop, and the flush thread, which flushes, cleans up and forgets.
fn nothing_outlives_its_keyspace(fault: Fault) {
    let db = db(fault, First::InMemory);
    let dropper = shared(&db, Db::drop_keyspace);
    let writer = shared(&db, |db| {
        db.rotate();
        db.write(Op::Put).is_ok()
    });
    db.flush();
    db.merge();
    db.forget();
    db.check_forgotten();
    dropper.join().expect("no thread panics");
    writer.join().expect("no thread panics");
    db.check_forgotten();
    db.rotate();
    db.flush();
    db.merge();
    db.forget();
    db.check_forgotten();
    assert!(db.forgotten.load(Ordering::Acquire), "a keyspace without data is not forgotten");
}

/// A drop of an empty keyspace, a writer that rotates and puts, and one look of the flush thread.
fn a_look_misses_nothing(fault: Fault) {
    let db = db(fault, First::Nowhere);
    let dropper = shared(&db, Db::drop_keyspace);
    let writer = shared(&db, |db| {
        db.rotate();
        db.write(Op::Put).is_ok()
    });
    db.forget();
    db.check_forgotten();
    dropper.join().expect("no thread panics");
    writer.join().expect("no thread panics");
    db.check_forgotten();
}

/// I24.
#[test]
fn a_keyspace_is_forgotten_when_nothing_of_it_is_left() {
    let left = "data of a keyspace that is forgotten is left";
    let faults =
        [(Fault::WritesAfterDrop, left), (Fault::LooksEarly, left), (Fault::MemoryNotWaited, left)];
    check("forget keyspace", nothing_outlives_its_keyspace, &faults);
    let faults =
        [(Fault::ViewFirst, left), (Fault::MemoryNotWaited, left), (Fault::LooksEarly, left)];
    check("forget keyspace, look", a_look_misses_nothing, &faults);
}
