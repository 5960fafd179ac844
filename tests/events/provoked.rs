//! What provokes each event: a simulated disk that fails here and there.

use std::io::ErrorKind;
use std::sync::Arc;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{BackupOptions, Backups, Builder, Db, DirStore};

use crate::subscriber::Calls;

const DIR: &str = "data";

type Scene = fn(&'static Calls);

/// Provokes everything, one disk after the other.
pub(crate) fn all(calls: &'static Calls) {
    let scenes: &[(&str, Scene)] = &[
        ("failing flushes", failing_flushes),
        ("failing merges", failing_merges),
        ("failing spares", failing_spares),
        ("a failing sync", failing_sync),
        ("a failing periodic sync", failing_periodic_sync),
        ("a failing clean-up", failing_cleanup),
        ("a drop that the manifest does not take", untold_drop),
        ("files that cannot be removed", removals),
        ("no witness", no_witness),
        ("damage", damage),
        ("copies", copies),
        ("a temporary directory", temporary),
        ("the last handle", last_handle),
    ];
    for (name, scene) in scenes {
        calls.begin(name);
        scene(calls);
        calls.answer_no_more();
        calls.await_silence();
    }
}

fn builder(fs: &SimFs) -> Builder {
    Db::builder(DIR)
        .fs(Arc::new(fs.clone()))
        .memtable_bytes(64 << 10)
        .flush_bytes(128 << 10)
        .memory_bytes(1 << 20)
        .sync_every(std::time::Duration::ZERO)
}

fn open(fs: &SimFs, calls: &Calls) -> Db {
    let db = builder(fs).open().unwrap();
    calls.answer_with(&db);
    db
}

fn fail(fs: &SimFs, kind: OpKind, on: &str) {
    let plan = FaultPlan::new(kind).on(on).error(ErrorKind::PermissionDenied).sticky();
    fs.set_fault(Some(plan));
}

/// Writes until there is nothing left to wait for, or it fails.
fn fill(db: &Db, bytes: usize) {
    for i in 0..bytes / 1_000 {
        if db.put(format!("k {i}"), [7; 1_000]).is_err() {
            return;
        }
    }
}

/// Waits until an event was sent; the test's patience ends a wait in vain.
fn await_event(calls: &Calls, message: &str) {
    while !calls.seen().contains(message) {
        std::thread::yield_now();
    }
}

fn failing_flushes(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    fill(&db, 100_000);
    fail(&fs, OpKind::Create, ".seg");
    db.flush().unwrap_err();
    fail(&fs, OpKind::Sync, ".seg");
    db.flush().unwrap_err();
    fail(&fs, OpKind::Write, ".seg");
    db.flush().unwrap_err();
    // Behind the header, which the first write is; and on their own account, too.
    let plan = FaultPlan::new(OpKind::Write).on(".seg").nth(2).error(ErrorKind::PermissionDenied);
    fs.set_fault(Some(plan.sticky()));
    fill(&db, 900_000);
    fail(&fs, OpKind::Create, ".wal");
    for i in 0..20 {
        db.put(format!("k {i}"), "until no spare is left").unwrap();
        db.flush().unwrap();
    }
    fail(&fs, OpKind::Create, ".seg");
    let _ = db.put("k", "v");
    calls.answer_no_more();
    calls.await_silence();
    drop(db);
}

fn failing_merges(calls: &'static Calls) {
    let fs = SimFs::new();
    // What is to be merged is still there when it is asked for.
    let db = builder(&fs).compaction_threads(0).open().unwrap();
    calls.answer_with(&db);
    for _ in 0..2 {
        fill(&db, 20_000);
        db.flush().unwrap();
    }
    for kind in [OpKind::Create, OpKind::Write, OpKind::Sync] {
        fail(&fs, kind, ".seg");
        db.compact().unwrap_err();
    }
    fs.set_fault(None);
    db.compact().unwrap();
    db.rebuild_index().unwrap();
    db.close().unwrap();
}

fn failing_spares(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    fail(&fs, OpKind::Create, "");
    fill(&db, 4_000_000);
    fs.set_fault(None);
    let _ = db.close();
}

fn failing_sync(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    db.put("k 1", "v").unwrap();
    fail(&fs, OpKind::Sync, "");
    fill(&db, 4_000_000);
    await_event(calls, "a sealed log could not be synced");
    assert!(db.health().writer_stopped.is_some());
    let _ = db.close();
}

fn failing_periodic_sync(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = builder(&fs).sync_every(std::time::Duration::from_millis(10)).open().unwrap();
    calls.answer_with(&db);
    db.put("k 1", "into a log that is there by then").unwrap();
    fail(&fs, OpKind::Sync, "");
    db.put("k 1", "v").unwrap();
    await_event(calls, "the log could not be synced");
    let _ = db.close();
}

fn failing_cleanup(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    let keyspace = db.keyspace("dropped").unwrap();
    keyspace.put("k", "v").unwrap();
    db.flush().unwrap();
    let snapshot = db.snapshot();
    db.drop_keyspace("dropped").unwrap();
    fail(&fs, OpKind::Write, "MANIFEST");
    drop(snapshot);
    while db.health().background_error.is_none() {
        std::thread::yield_now();
    }
    fs.set_fault(None);
    let _ = db.close();
}

fn untold_drop(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    db.keyspace("dropped").unwrap();
    fail(&fs, OpKind::Write, "MANIFEST");
    db.drop_keyspace("dropped").unwrap();
    fs.set_fault(None);
    let _ = db.close();
}

/// Orphans and dead logs stay, at an open and later.
fn removals(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    fill(&db, 100_000);
    db.flush().unwrap();
    fill(&db, 100_000);
    let fs = fs.crash(CrashMode::Process, 0);
    calls.answer_no_more();
    calls.await_silence();
    drop(db);
    fail(&fs, OpKind::Remove, "MANIFEST");
    let db = open(&fs, calls);
    fail(&fs, OpKind::Remove, "");
    db.flush().unwrap();
    db.compact().unwrap();
    await_event(calls, "an orphan was left behind");
    await_event(calls, "a dead log was left behind");
    db.close().unwrap();
}

/// The witness cannot be made.
fn no_witness(calls: &'static Calls) {
    let fs = SimFs::new();
    fail(&fs, OpKind::Create, "WITNESS");
    let db = open(&fs, calls);
    db.put("k", "v").unwrap();
    db.close().unwrap();
}

/// What was stored is no more what was written.
fn damage(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    fill(&db, 100_000);
    db.close().unwrap();
    calls.answer_no_more();
    calls.await_silence();
    let name = fs.files(DIR).into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let path = format!("{DIR}/{name}");
    let len = fs.read_file(&path).unwrap().len() as u64;
    // Not the footer, and not the data: one of the tables.
    for back in (300..2_000).step_by(16) {
        fs.flip(&path, len - back, 1);
        let opened = builder(&fs).open();
        fs.flip(&path, len - back, 1);
        if opened.is_ok_and(|db| db.health().indexes_rebuilt > 0) {
            break;
        }
    }
    let db = open(&fs, calls);
    fs.flip(&path, 5_000, 1);
    assert!(!db.verify().unwrap().is_sound());
    let mut range = db.range(..).skip_damaged();
    range.by_ref().for_each(drop);
    assert!(!range.skipped().is_empty());
    drop(range);
    let _ = db.compact();
    calls.answer_no_more();
    calls.await_silence();
    drop(db);
}

/// A checkpoint, and a backup that is damaged.
fn copies(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    db.put("k", "v").unwrap();
    db.checkpoint("copy").unwrap();
    let backups = Backups::new(DirStore::with_fs(Arc::new(fs.clone()), "backups"));
    let made = backups.create(&db, &BackupOptions::new()).unwrap();
    let name = fs.files("backups/segments").pop().unwrap();
    assert!(fs.flip(format!("backups/segments/{name}"), 0, 1));
    assert_eq!(backups.verify(made.id).unwrap().errors.len(), 1);
}

/// Removed by somebody else, while it is open.
fn temporary(calls: &'static Calls) {
    let db = Db::temporary().unwrap();
    calls.answer_with(&db);
    db.put("k", "v").unwrap();
    // Files may still be made in it.
    while std::fs::remove_dir_all(db.path()).is_err() {}
    calls.answer_no_more();
    calls.await_silence();
    drop(db);
}

/// A handler has the last handle, on a thread that the close waits for.
fn last_handle(calls: &'static Calls) {
    let fs = SimFs::new();
    let db = open(&fs, calls);
    calls.hold_next();
    fill(&db, 20_000);
    let flushes = {
        let db = db.clone();
        std::thread::spawn(move || db.flush())
    };
    calls.await_held();
    calls.answer_no_more();
    drop(db);
    calls.release();
    flushes.join().unwrap().unwrap();
    // Closed by then or soon.
    let db = loop {
        match builder(&fs).open() {
            Err(alluvium::Error::Locked { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(db.get("k 1").unwrap().as_deref(), Some(&[7; 1_000][..]));
    db.close().unwrap();
}
