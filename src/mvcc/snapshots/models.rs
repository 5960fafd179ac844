//! Models of the registry: what a snapshot reads is kept by every merge that could drop it.

use super::{ReadPoints, Snapshots};
use crate::ids::Sequence;
use crate::mvcc::models::{holds, refuted};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model::thread;
use crate::sync::{Arc, lock};

#[derive(Clone, Copy)]
enum Steps {
    Shipped,
    RegisterReadsBeforeLock,
    PointsReadAfterUnlock,
}

struct Db {
    snapshots: Snapshots,
    visible: AtomicU64,
}

impl Db {
    fn visible(&self) -> Sequence {
        Sequence(self.visible.load(Ordering::Acquire))
    }

    fn register(&self, steps: Steps) -> Sequence {
        match steps {
            Steps::RegisterReadsBeforeLock => {
                let early = self.visible();
                self.snapshots.register(0, || early)
            }
            _ => self.snapshots.register(0, || self.visible()),
        }
    }

    fn read_points(&self, steps: Steps) -> ReadPoints {
        match steps {
            Steps::PointsReadAfterUnlock => {
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
fn snapshots_survive(steps: Steps) {
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
        thread::spawn(move || db.read_points(steps))
    };
    let passing = {
        let db = Arc::clone(&db);
        thread::spawn(move || {
            let sequence = db.register(steps);
            db.snapshots.release(sequence);
        })
    };
    let snapshot = db.register(steps);
    let points = merge.join().expect("no thread panics");
    assert!(keeps(&points, snapshot), "a snapshot is not kept");
    assert!(snapshot >= points.horizon(), "a snapshot is below the horizon");
    let ordered = points.snapshots.is_sorted_by(|older, newer| older < newer);
    assert!(ordered && points.snapshots.last().is_none_or(|last| *last <= points.visible));
    passing.join().expect("no thread panics");
    writer.join().expect("no thread panics");
    assert_eq!((db.snapshots.count(), db.snapshots.oldest()), (1, Some((snapshot, 0))));
    assert!(keeps(&db.read_points(steps), snapshot), "a later merge does not keep the snapshot");
    db.snapshots.release(snapshot);
    assert_eq!(db.snapshots.count(), 0);
}

/// I5.
#[test]
fn a_snapshot_survives_every_merge() {
    holds("snapshot", Some(3), 30_000, || snapshots_survive(Steps::Shipped));
    for (name, steps) in [
        ("register reads visible before the lock", Steps::RegisterReadsBeforeLock),
        ("the points are read, visible after the unlock", Steps::PointsReadAfterUnlock),
    ] {
        refuted(name, Some(3), "a snapshot is not kept", move || snapshots_survive(steps));
    }
}
