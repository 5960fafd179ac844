//! Every step of everything that goes on in the background, held once: a run of syncs, flushes,
//! merges, logs used again, keyspaces made and dropped stands still at each of its operations in
//! turn, whichever thread it is that comes to it, and meanwhile reads and writes go on.
//!
//! One exception is in the guarantee itself: a writer that is held in the commit section keeps
//! other writers out of it, not readers. What is held there is a write to the log, and nothing
//! else.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alluvium::io::OpKind;
use alluvium::{Db, Durability, TryWrite, WaitFor, WriteBatch};

use crate::builder;
use crate::gates::GatedFs;

/// So many runs in a row that end before their turn comes are the end.
const ENDED_EARLY: usize = 3;

/// What is done in the background, some of it by this thread, which may wait.
fn script(db: &Db) {
    let scratch = db.keyspace("scratch").unwrap();
    for round in 0..2 {
        // Few, and a rotation: what is held in each of them is the append.
        for i in 0..4 {
            scratch.put(format!("{i:02}"), [round; 1_500]).unwrap();
            db.put(format!("script-{i:02}"), [round; 1_500]).unwrap();
        }
        db.put_with("synced", "v", Durability::Sync).unwrap();
        db.flush().unwrap();
    }
    db.sync().unwrap();
    db.compact().unwrap();
    db.drop_keyspace("scratch").unwrap();
    // One that brings a log of its own.
    db.put("big", [b'b'; 4 << 10]).unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
}

/// Reads of all kinds, of what is on disk and in memory.
fn read(db: &Db) {
    assert_eq!(db.get("on disk").unwrap().unwrap(), "v");
    assert_eq!(db.get_with("on disk", |value| value.map(<[u8]>::len)).unwrap(), Some(1));
    assert_eq!(db.get("no such key").unwrap(), None::<alluvium::Value>);
    assert_eq!(db.range("on"..="on disk").count(), 1);
    assert_eq!(db.prefix("on").rev().count(), 1);
    db.snapshot().get("script-00").unwrap();
}

/// A rotation and a half of writes of all kinds, and reads of them.
fn write(db: &Db, turn: usize) {
    for i in 0..24 {
        let key = format!("own-{i:02}");
        let value = [turn as u8; 500];
        db.put(&key, value).unwrap();
        assert_eq!(db.get(&key).unwrap().unwrap(), value);
        if i % 8 == 0 {
            let mut batch = WriteBatch::new();
            batch.put("own-batch", key.as_bytes());
            batch.delete(&key);
            db.write(&batch).unwrap();
            db.delete("no such key").unwrap();
        }
    }
    assert_eq!(db.prefix("own-").count(), 22);
}

/// Whether a writer is in the commit section and stays there.
fn is_taken(db: &Db) -> bool {
    // Others pass through it, in a look or two.
    let taken = || match db.try_put("own-try", "v").unwrap() {
        TryWrite::WouldWait(WaitFor::Writer) => true,
        tried => {
            assert!(matches!(tried, TryWrite::Written(_)), "{tried:?}");
            false
        }
    };
    let is_taken = (0..1_000).all(|_| {
        thread::yield_now();
        taken()
    });
    if !is_taken {
        db.delete("own-try").unwrap();
    }
    is_taken
}

/// `seg`, `wal`, `MANIFEST` and the like.
fn kind_of_file(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let kind = name.rsplit('.').next().unwrap_or_default();
    kind.split('-').next().unwrap_or_default()
}

#[test]
fn nothing_waits_for_anything_in_the_background_wherever_it_stands() {
    let fs = GatedFs::default();
    let db = builder(&fs).compaction_threads(1).open().unwrap();
    db.put("on disk", "v").unwrap();
    db.flush().unwrap();
    let mut steps = BTreeSet::new();
    let mut turn = 0;
    let mut in_section = 0;
    let mut early = 0;
    while early < ENDED_EARLY {
        let held = fs.freeze(turn);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                script(&db);
                ended.store(true, Ordering::SeqCst);
            });
            let ended = || ended.load(Ordering::SeqCst) || worker.is_finished();
            let op = held.await_freeze(ended);
            if let Some(op) = &op {
                read(&db);
                if is_taken(&db) {
                    assert!(op.kind == OpKind::Write && op.path.ends_with(".wal"), "{op:?}");
                    in_section += 1;
                } else {
                    write(&db, turn);
                }
                read(&db);
                steps.insert(format!("{:?} {}", op.kind, kind_of_file(&op.path)));
                early = 0;
            } else {
                early += 1;
            }
            assert!(!held.forced(), "something waited for {op:?}, operation {turn} of a run");
            held.release();
        });
        turn += 1;
    }
    let stats = db.stats();
    assert_eq!((stats.stalls, stats.stalls_log), (0, 0), "{stats}");
    let kinds = steps.len();
    let said = format!(
        "never_wait: {turn} operations held, of {kinds} kinds, {in_section} of them in the section"
    );
    // Not by `print`: it is to be seen though the test passes. A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{said}\n{steps:?}");
    for step in ["Write seg", "Sync seg", "Write MANIFEST", "Sync MANIFEST", "Sync wal"] {
        assert!(steps.contains(step), "nothing stood at {step}: {steps:?}");
    }
    assert!(turn > 60 && in_section > 0, "{said}");
    db.close().unwrap();
}
