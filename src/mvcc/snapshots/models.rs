//! Models of the registry: what a snapshot reads is kept by every merge that could drop it.

use super::{ReadPoints, Snapshots};
use crate::ids::Sequence;
use crate::mvcc::models::check;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::models::thread;
use crate::sync::{Arc, lock};

#[derive(Clone, Copy, Debug, Default)]
enum Fault {
    #[default]
    None,
    /// A registration reads `visible` before it locks.
    RegistersEarlier,
    /// The registered sequences are copied, and `visible` is read after the unlock.
    ReadsVisibleLater,
    /// A release ends the registrations of all at its sequence.
    ReleasesAll,
}

struct Db {
    snapshots: Snapshots,
    visible: AtomicU64,
}

impl Db {
    fn visible(&self) -> Sequence {
        Sequence(self.visible.load(Ordering::Acquire))
    }

    fn register(&self, fault: Fault) -> Sequence {
        match fault {
            Fault::RegistersEarlier => {
                let early = self.visible();
                self.snapshots.register(0, || early)
            }
            _ => self.snapshots.register(0, || self.visible()),
        }
    }

    fn release(&self, sequence: Sequence, fault: Fault) {
        match fault {
            Fault::ReleasesAll => drop(lock(&self.snapshots.live).remove(&sequence)),
            _ => self.snapshots.release(sequence),
        }
    }

    fn read_points(&self, fault: Fault) -> ReadPoints {
        match fault {
            Fault::ReadsVisibleLater => {
                let snapshots = lock(&self.snapshots.live).keys().copied().collect();
                ReadPoints { snapshots, visible: self.visible() }
            }
            _ => self.snapshots.read_points(|| self.visible()),
        }
    }
}

/// Whether a merge keeps the version `sequence` of a key that every sequence overwrites.
fn keeps(points: &ReadPoints, sequence: Sequence) -> bool {
    sequence >= points.visible || points.snapshots.contains(&sequence)
}

/// A writer, a merge, one snapshot that stays and one, perhaps at the same sequence, that goes.
fn snapshots_survive(fault: Fault) {
    let db = Arc::new(Db { snapshots: Snapshots::new(), visible: AtomicU64::new(1) });
    let writer = {
        let db = Arc::clone(&db);
        thread::spawn(move || {
            db.visible.store(2, Ordering::Release);
            db.visible.store(3, Ordering::Release);
        })
    };
    let merge = {
        let db = Arc::clone(&db);
        thread::spawn(move || db.read_points(fault))
    };
    let passing = {
        let db = Arc::clone(&db);
        thread::spawn(move || {
            let sequence = db.register(fault);
            db.release(sequence, fault);
        })
    };
    let snapshot = db.register(fault);
    let points = merge.join().expect("no thread panics");
    assert!(keeps(&points, snapshot), "a snapshot is not kept");
    assert!(snapshot >= points.horizon(), "a snapshot is below the horizon");
    let ordered = points.snapshots.is_sorted_by(|older, newer| older < newer);
    assert!(ordered && points.snapshots.last().is_none_or(|last| *last <= points.visible));
    passing.join().expect("no thread panics");
    writer.join().expect("no thread panics");
    let left = (db.snapshots.count(), db.snapshots.oldest());
    assert_eq!(left, (1, Some((snapshot, 0))), "one snapshot is left");
    assert!(keeps(&db.read_points(fault), snapshot), "a later merge does not keep the snapshot");
    db.snapshots.release(snapshot);
    assert_eq!(db.snapshots.count(), 0);
}

/// I5.
#[test]
fn a_snapshot_survives_every_merge() {
    let faults = [
        (Fault::RegistersEarlier, "a snapshot is not kept"),
        (Fault::ReadsVisibleLater, "a snapshot is not kept"),
        (Fault::ReleasesAll, "one snapshot is left"),
    ];
    check("snapshot", snapshots_survive, &faults);
}
