//! Puts and gets: what they do themselves, and that they wait for nothing that others do.

use std::collections::BTreeSet;

use alluvium::io::OpKind;
use alluvium::{Db, Durability, WriteBatch};

use crate::gates::GatedFs;
use crate::{builder, open, use_foreground, while_held};

#[test]
fn a_get_of_what_is_in_memory_makes_no_call() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let users = db.keyspace("users").unwrap();
    users.put("ann", "1").unwrap();
    let snapshot = db.snapshot();
    let read = |db: &Db| {
        // In the memtable, in a block that was read before, deleted, nowhere.
        assert_eq!(db.get("in memory").unwrap().unwrap(), "v");
        assert_eq!(db.get("on disk").unwrap().unwrap(), "v");
        assert_eq!(db.get("absent").unwrap(), None::<alluvium::Value>);
        assert_eq!(db.get_with("on disk", |value| value.map(<[u8]>::len)).unwrap(), Some(1));
        assert_eq!(users.get("ann").unwrap().unwrap(), "1");
        assert_eq!(snapshot.get("on disk").unwrap().unwrap(), "v");
        assert_eq!(snapshot.of(&users).get("ann").unwrap().unwrap(), "1");
        assert_eq!(db.range(..).count(), 2);
    };
    let (_, done) = fs.done_by(|| read(&db));
    assert!(done.is_empty(), "{done:?}");
    // In sealed memtables, whose flush is held.
    let held = fs.hold(OpKind::Create, ".seg");
    std::thread::scope(|scope| {
        scope.spawn(|| db.flush().unwrap());
        held.await_arrival();
        assert!(db.stats().memtables_sealed > 0);
        let (_, done) = fs.done_by(|| read(&db));
        assert!(done.is_empty(), "{done:?}");
        held.release();
    });
    // In a segment that nobody has read yet: one block is read, once.
    let (_, done) = fs.done_by(|| db.get("in memory").unwrap().unwrap());
    assert!(done.iter().all(|op| op.kind == OpKind::Read && op.path.ends_with(".seg")));
    assert!(!done.is_empty());
    read(&db);
    let (_, done) = fs.done_by(|| read(&db));
    assert!(done.is_empty(), "{done:?}");
}

#[test]
fn a_put_makes_one_write() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let check = |work: &dyn Fn()| {
        let ((), done) = fs.done_by(work);
        assert!(matches!(&done[..], [op] if op.kind == OpKind::Write), "{done:?}");
        assert!(done[0].path.ends_with(".wal"), "{done:?}");
    };
    check(&|| {
        db.put("k", "v").unwrap();
    });
    check(&|| {
        db.delete("k").unwrap();
    });
    check(&|| {
        let mut batch = WriteBatch::new();
        (0..20).for_each(|i| batch.put(format!("{i}"), "v"));
        db.write(&batch).unwrap();
    });
}

/// Symptom: an `update` to a big value did not end while the rest of the load kept flushes going.
/// Mechanism: a flush that ends between its read and its write refuses it; each try wrote the log
/// file of the value again, and that took as long as a flush takes to come. Fix: one file for all
/// tries, so that from the second on nothing but the read lies between.
#[test]
fn a_big_value_is_written_once_though_a_flush_refuses_it() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let before = db.stats().flushes;
    let (new, done) = fs.done_by(|| {
        let change = |_: Option<&[u8]>| {
            db.put("other", "v").unwrap();
            db.flush().unwrap();
            Some(vec![b'v'; 100_000])
        };
        db.update("k", change).unwrap().value.unwrap()
    });
    assert_eq!((new.len(), db.get("k").unwrap().unwrap().len()), (100_000, 100_000));
    assert_eq!(
        db.stats().flushes,
        before + 1,
        "`change` ran once, and its flush refused the write"
    );
    let files = done.iter().filter(|op| op.kind == OpKind::Create);
    assert_eq!(files.count(), 1, "{done:?}");
    assert!(!done.iter().any(|op| op.kind == OpKind::Remove), "{done:?}");
    // A decision about another value is another value to write, and the file of the first goes.
    let mut runs = 0;
    let (_, done) = fs.done_by(|| {
        let change = |_: Option<&[u8]>| {
            runs += 1;
            if runs == 1 {
                db.put("k", "newer").unwrap();
            }
            Some(vec![b'w'; 100_000])
        };
        db.update("k", change).unwrap().value.unwrap()
    });
    let count = |kind| done.iter().filter(|op| op.kind == kind).count();
    assert_eq!((runs, count(OpKind::Create), count(OpKind::Remove)), (2, 2, 1), "{done:?}");
}

#[test]
fn a_rotation_adds_one_write_and_nothing_else() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let puts = 500;
    let ((), done) = fs.done_by(|| {
        (0..puts).for_each(|i| {
            db.put(format!("{i}"), [b'v'; 300]).unwrap();
        });
    });
    assert!(done.iter().all(|op| op.kind == OpKind::Write), "{done:?}");
    // One more for the header of each log that was taken into use.
    let logs: BTreeSet<_> = done.iter().map(|op| &op.path).collect();
    assert!(logs.len() > 2, "{logs:?}");
    // A file may serve as several logs, one after the other.
    assert!(done.len() >= puts + logs.len() - 1, "{} writes", done.len());
    assert!(done.len() <= puts + 2 * puts * 400 / (8 << 10), "{} writes", done.len());
}

#[test]
fn nothing_waits_for_a_flush_wherever_it_stands() {
    let gates = [
        (OpKind::Create, ".seg"),
        (OpKind::Write, ".seg"),
        (OpKind::Sync, ".seg"),
        (OpKind::SyncDir, "db"),
        (OpKind::Write, "MANIFEST"),
        (OpKind::Sync, "MANIFEST"),
    ];
    for gate in gates {
        let fs = GatedFs::default();
        let db = open(&fs);
        while_held(&fs, &db, gate, || db.flush().unwrap());
        db.close().unwrap();
    }
}

#[test]
fn nothing_waits_for_a_sync_of_the_log() {
    let fs = GatedFs::default();
    let db = open(&fs);
    db.put("unsynced", "v").unwrap();
    while_held(&fs, &db, (OpKind::Sync, ".wal"), || db.sync().unwrap());
    let fs = GatedFs::default();
    let db = open(&fs);
    let synced = || {
        db.put_with("synced", "v", Durability::Sync).unwrap();
    };
    while_held(&fs, &db, (OpKind::Sync, ".wal"), synced);
}

#[test]
fn nothing_waits_for_a_keyspace_that_is_made_or_dropped() {
    for gate in [(OpKind::Write, "MANIFEST"), (OpKind::Sync, "MANIFEST")] {
        let fs = GatedFs::default();
        let db = open(&fs);
        while_held(&fs, &db, gate, || drop(db.keyspace("new").unwrap()));
        while_held(&fs, &db, gate, || db.drop_keyspace("new").unwrap());
    }
    let fs = GatedFs::default();
    let db = open(&fs);
    db.keyspace("new").unwrap();
    while_held(&fs, &db, (OpKind::Sync, ".wal"), || db.drop_keyspace("new").unwrap());
}

#[test]
fn nothing_waits_for_a_log_that_is_prepared() {
    for kind in [OpKind::Create, OpKind::Write, OpKind::Sync] {
        let fs = GatedFs::default();
        let db = open(&fs);
        // Slots are numbered from 1, so this is the next file that is made.
        let paths = fs.done().into_iter().map(|op| op.path).filter(|path| path.ends_with(".wal"));
        let number = paths.collect::<BTreeSet<_>>().len() + 1;
        let held = fs.hold(kind, &format!("{number:06}.wal"));
        use_foreground(&db);
        held.await_arrival();
        use_foreground(&db);
        held.release();
    }
}

/// Symptom: puts waited for the device while somebody called `flush` again and again. Mechanism: a
/// flush ends the open log, and the put after it takes a spare; with none left it waited for the
/// log thread, which may be in a sync. The same behind batches with logs of their own. Fix: who
/// ends the open log sees to it that there is a spare, and does the waiting.
#[test]
fn who_ends_the_open_log_leaves_one_to_go_on_with() {
    let flush = |db: &Db| db.flush().unwrap();
    let big = |db: &Db| {
        db.put("big", vec![b'b'; 4 << 10]).unwrap();
    };
    let works: [&(dyn Fn(&Db) + Sync); 2] = [&flush, &big];
    for work in works {
        let fs = GatedFs::default();
        let db = open(&fs);
        db.put("unsynced", "v").unwrap();
        let held = fs.hold(OpKind::Sync, ".wal");
        std::thread::scope(|scope| {
            scope.spawn(|| db.sync().unwrap());
            held.await_arrival();
            for i in 0..6 {
                let worker = scope.spawn(|| work(&db));
                // It may be one that waits; if not, the next put comes after it.
                let turns = (0..10_000).take_while(|_| !worker.is_finished());
                turns.for_each(|_| std::thread::yield_now());
                db.put(format!("{i}"), "v").unwrap();
            }
            held.release();
        });
        assert_eq!(db.prefix("5").count(), 1);
    }
}

#[test]
fn no_reader_holds_up_a_writer_or_a_flush() {
    let fs = GatedFs::default();
    let db = open(&fs);
    let snapshot = db.snapshot();
    let mut range = db.range(..);
    range.next().unwrap().unwrap();
    // All on this thread: a wait would be for itself.
    db.get_with("in memory", |value| {
        assert_eq!(value, Some(&b"v"[..]));
        use_foreground(&db);
        db.flush().unwrap();
        use_foreground(&db);
        db.sync().unwrap();
        assert_eq!(value, Some(&b"v"[..]));
    })
    .unwrap();
    assert_eq!(range.filter(|pair| pair.is_ok()).count(), 1);
    assert_eq!(snapshot.get("in memory").unwrap().unwrap(), "v");
    assert!(db.stats().flushes >= 2);
}

#[test]
fn a_reader_of_the_disk_holds_up_nobody() {
    let fs = GatedFs::default();
    drop(open(&fs));
    // Opened again, so that no block is in memory.
    let db = builder(&fs).open().unwrap();
    db.put("in memory", "w").unwrap();
    let held = fs.hold(OpKind::Read, ".seg");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| db.get("on disk").unwrap().unwrap());
        held.await_arrival();
        for i in 0..200 {
            db.put(format!("{i}"), [b'v'; 500]).unwrap();
            assert_eq!(db.get("in memory").unwrap().unwrap(), "w");
            assert_eq!(db.get(format!("{i}")).unwrap().unwrap().len(), 500);
        }
        db.sync().unwrap();
        assert!(!reader.is_finished());
        held.release();
        assert_eq!(reader.join().unwrap(), "v");
    });
}
