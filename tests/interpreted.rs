//! The whole engine in so few operations that an interpreter gets through them (`.ci/run miri`):
//! two writers and a reader, rotation, flush, merge, a snapshot, a dropped keyspace, a crash and
//! an open.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Durability, WriteBatch};

const WRITERS: u64 = 2;
const KEYS: u64 = 6;
const TIMES: u64 = 2;

fn open(fs: &SimFs) -> Db {
    Db::builder("data")
        .fs(Arc::new(fs.clone()))
        .memtable_bytes(8 << 10)
        .flush_bytes(16 << 10)
        .cache_bytes(64 << 10)
        .segment_bytes(8 << 10)
        .compaction_threads(1)
        .sync_every(Duration::ZERO)
        .open()
        .unwrap()
}

fn key(writer: u64, key: u64) -> [u8; 2] {
    [writer as u8, key as u8]
}

fn value(time: u64) -> [u8; 300] {
    [time as u8; 300]
}

/// Each key has been put `time` times; every third is deleted then.
fn write(db: &Db, writer: u64, time: u64) {
    let mut batch = WriteBatch::new();
    for number in 0..KEYS {
        let key = key(writer, number);
        match number % 3 {
            0 if time == TIMES => batch.delete(key),
            1 => batch.put(key, value(time)),
            _ => drop(db.put(key, value(time)).unwrap()),
        }
    }
    db.write_with(&batch, Durability::Sync).unwrap();
}

/// What there is when all has been written.
fn check(db: &Db) {
    let mut found = db.range(..).map(Result::unwrap);
    for writer in 0..WRITERS {
        for number in 0..KEYS {
            let got = db.get(key(writer, number)).unwrap();
            if number.is_multiple_of(3) {
                assert_eq!(got, None);
                continue;
            }
            assert_eq!(got.as_deref(), Some(&value(TIMES)[..]));
            assert_eq!(found.next().unwrap().0, key(writer, number)[..]);
        }
    }
    assert!(found.next().is_none());
}

#[test]
fn a_few_operations_of_every_kind_end_as_they_should() {
    let fs = SimFs::new();
    let db = open(&fs);
    db.put(key(0, 1), value(0)).unwrap();
    let snapshot = db.snapshot();
    let kept = db.get(key(0, 1)).unwrap().unwrap();
    let passing = db.keyspace("passing").unwrap();
    passing.put("key", "value").unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let db = &db;
            scope.spawn(move || (1..=TIMES).for_each(|time| write(db, writer, time)));
        }
        scope.spawn(|| {
            for number in 0..KEYS {
                let got = db.get(key(1, number)).unwrap();
                assert!(got.is_none_or(|got| (1..=TIMES).any(|time| *got == value(time))));
            }
            assert!(db.range(..).map(Result::unwrap).is_sorted_by(|a, b| a.0 < b.0));
        });
    });
    db.drop_keyspace("passing").unwrap();
    db.flush().unwrap();
    check(&db);
    db.compact().unwrap();
    check(&db);
    assert_eq!(snapshot.get(key(0, 1)).unwrap().as_deref(), Some(&value(0)[..]));
    drop(snapshot);
    drop(passing);
    drop(db);
    assert_eq!(*kept, value(0));

    let fs = fs.crash(CrashMode::Process, 1);
    let db = open(&fs);
    check(&db);
    assert_eq!(db.keyspaces(), ["default"]);
    db.close().unwrap();
}
