//! A disk that is full, or small: an open for which there is no room changes nothing, and makes
//! some of what nobody needs; writing never fills the disk so far that flushes, merges and deletes
//! do not go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "it is for files, too")]
#[path = "../src/io/testing.rs"]
mod layers;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alluvium::io::{CrashMode, FaultPlan, Fs, FsFile, FsLock, OpKind, OpenMode, SimFs};
use alluvium::{Builder, Db, Error, OnOverload};
use layers::{FsLayer, Layered};

const DIR: &str = "data";

/// Bytes of a log file before its records.
const HEADER: usize = 4224;

fn builder(fs: &SimFs) -> Builder {
    Db::builder(DIR)
        .fs(Arc::new(fs.clone()))
        .memtable_bytes(256 << 10)
        .flush_bytes(8 << 20)
        .memory_bytes(32 << 20)
        .sync_every(Duration::ZERO)
        .on_overload(OnOverload::Pace { stall_max: Duration::from_secs(120) })
}

/// How many keys are live: a third of the disk.
const KEYS: u32 = 2_000;

fn key(number: u32) -> String {
    format!("key {:05}", number.wrapping_mul(2_654_435_761) % KEYS)
}

/// Bytes that no codec makes shorter, other ones for each number.
fn value(number: u32) -> Vec<u8> {
    let mut x = u64::from(number) + 1;
    let next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    std::iter::repeat_with(next).take(1_200).collect()
}

/// All files with their bytes.
fn files(fs: &SimFs) -> BTreeMap<String, Vec<u8>> {
    let names = fs.files(DIR).into_iter();
    names.map(|name| (name.clone(), fs.read_file(format!("{DIR}/{name}")).unwrap())).collect()
}

/// A disk three times as large as what is live.
const DISK: u64 = 3 * KEYS as u64 * 1_200;

/// A killed database on a disk without a byte left, with or without the logs that were prepared and
/// not used.
fn full(with_spares: bool) -> SimFs {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    for number in 0..20 {
        db.put(key(number), value(number)).unwrap();
    }
    let fs = fs.crash(CrashMode::Process, 0);
    drop(db);
    let mut spares = 0;
    for (name, bytes) in files(&fs) {
        // Behind a header that says that it is unused, a prepared log is empty.
        if bytes.len() > HEADER && bytes[HEADER..].iter().all(|byte| *byte == 0) {
            spares += 1;
            assert!(with_spares || fs.remove_file(format!("{DIR}/{name}")));
        }
    }
    if with_spares && spares == 0 {
        let name = fs.files(DIR).into_iter().find(|name| name.starts_with("00000")).unwrap();
        let (_, suffix) = name.split_once('.').unwrap();
        // The length of one of 64 KiB, as an earlier build prepared it.
        fs.write_file(format!("{DIR}/000099.{suffix}"), &[0; HEADER + 64 * 1088]);
    }
    fs.set_capacity(Some(fs.used()));
    fs
}

fn check_whole(db: &Db) {
    for number in 0..20 {
        assert_eq!(db.get(key(number)).unwrap().as_deref(), Some(&value(number)[..]));
    }
}

/// Symptom: an open failed for want of some hundred bytes, and had changed the last log by then.
/// Mechanism: it wrote the log's end first, and the manifest, which needs room, after that. Fix: it
/// sees whether there is room before it changes anything.
#[test]
fn an_open_without_room_changes_nothing() {
    let fs = full(false);
    let before = files(&fs);
    for _ in 0..2 {
        let opened = builder(&fs).open();
        assert!(matches!(opened, Err(Error::StorageFull { .. })), "{opened:?}");
        assert_eq!(files(&fs), before);
    }
    check_whole(&builder(&fs).read_only(true).open().unwrap());
    fs.set_capacity(Some(fs.used() + (1 << 20)));
    let db = builder(&fs).open().unwrap();
    check_whole(&db);
    db.put("k", "v").unwrap();
}

#[test]
fn an_open_without_room_makes_some_of_logs_that_nobody_needs() {
    let fs = full(true);
    let db = builder(&fs).open().unwrap();
    check_whole(&db);
}

/// The name of the manifest that needs none of them may be the system's alone: until it is durable
/// a power loss brings back an older one, which needs them.
#[test]
fn logs_that_nobody_needs_go_after_the_directory_is_synced() {
    let fs = full(true);
    let before = files(&fs);
    fs.set_fault(Some(FaultPlan::new(OpKind::SyncDir).sticky()));
    let opened = builder(&fs).open();
    assert!(matches!(opened, Err(Error::Io { op: "sync", .. })), "{opened:?}");
    assert!(files(&fs) == before && fs.fault_fired() == 1);
    fs.set_fault(None);
    check_whole(&builder(&fs).open().unwrap());
}

/// What should be there, by key.
type Model = BTreeMap<String, Option<u32>>;

fn check(db: &Db, model: &Model) {
    for (key, number) in model {
        assert_eq!(db.get(key).unwrap().as_deref(), number.map(value).as_deref(), "{key}");
    }
    assert_eq!(db.range(..).count(), model.values().flatten().count());
}

/// Deletes everything, after which all else works too.
fn empty(db: Db, fs: &SimFs, builder: Builder) {
    // Not while an iterator goes over them, which would hold what merges give up.
    let keys: Vec<_> = db.range(..).keys().map(|key| key.unwrap()).collect();
    for key in keys {
        until_there_is_room(|| db.delete(&key));
    }
    until_there_is_room(|| db.flush());
    until_there_is_room(|| db.compact());
    assert!(db.health().background_error.is_none(), "{:?}", db.health());
    db.put("k", "v").unwrap();
    db.close().unwrap();
    drop(db);
    let db = builder.open().unwrap();
    assert_eq!(db.range(..).map(|entry| entry.unwrap().0).collect::<Vec<_>>(), ["k"]);
    drop(db);
    assert!(fs.used() < DISK / 4, "{}", fs.used());
}

/// Symptom: on a disk of 48 MiB, with 15 MiB live, neither writes nor deletes, flushes nor an open
/// went on after a second. Mechanism: logs filled the disk before the first flush was due, and a
/// flush wanted room for all of them at once. Fix: the room of the disk bounds memtables too.
#[test]
fn logs_do_not_fill_the_disk() {
    let fs = SimFs::new();
    fs.set_capacity(Some(DISK));
    let db = builder(&fs).open().unwrap();
    let mut model = Model::new();
    for number in 0..8_000 {
        until_there_is_room(|| db.put(key(number), value(number)));
        model.insert(key(number), Some(number));
    }
    check(&db, &model);
    empty(db, &fs, builder(&fs));
}

/// The same where data that nobody deletes is what fills the disk: puts are refused, and all else
/// goes on.
#[test]
fn a_disk_full_of_live_data_takes_deletes() {
    let fs = SimFs::new();
    fs.set_capacity(Some(DISK));
    let db = builder(&fs).open().unwrap();
    let name = |number: u32| format!("live {number:05}");
    let mut model = Model::new();
    for round in 0..2_u32 {
        let refused = (round * 1_000..).find_map(|number| {
            let put = db.put(name(number), value(number));
            model.extend(put.is_ok().then(|| (name(number), Some(number))));
            put.err()
        });
        assert!(matches!(refused, Some(Error::StorageFull { .. })), "{refused:?}");
        let there: Vec<_> = model.iter().filter(|(_, number)| number.is_some()).collect();
        assert!(there.len() as u64 * 1_200 > DISK / 2, "{}", there.len());
        let half: Vec<_> = there.into_iter().step_by(2).map(|(key, _)| key.clone()).collect();
        for key in half {
            until_there_is_room(|| db.delete(&key));
            model.insert(key, None);
        }
        // What they have freed is found when it is needed.
        until_there_is_room(|| db.flush());
        until_there_is_room(|| db.compact());
        check(&db, &model);
    }
    db.close().unwrap();
    check(&builder(&fs).open().unwrap(), &model);
}

/// A file system that does not say how much room it has.
#[derive(Debug)]
struct Silent(SimFs);

impl FsLayer for Silent {
    fn inner(&self) -> &dyn Fs {
        &self.0
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// Calls until the disk is not full any more: what waits for that in the background is not done at
/// once.
#[track_caller]
fn until_there_is_room<T>(mut call: impl FnMut() -> alluvium::Result<T>) -> T {
    for _ in 0..60_000 {
        match call() {
            Err(Error::StorageFull { .. }) => std::thread::sleep(Duration::from_millis(1)),
            other => return other.unwrap(),
        }
    }
    panic!("the disk stays full");
}

/// A prepared log is as long as others, and has no record.
fn until_two_logs_are_prepared(fs: &SimFs) {
    let prepared = |name: &String| {
        let bytes = fs.read_file(Path::new(DIR).join(name)).unwrap_or_default();
        bytes.len() > 100_000 && bytes[HEADER..].iter().all(|&byte| byte == 0)
    };
    for _ in 0..60_000 {
        let logs = fs.files(DIR).into_iter().filter(|name| name.ends_with(".wal"));
        if logs.filter(prepared).count() >= 2 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no logs are prepared");
}

/// Room that is not known of, or that somebody else takes: the spare logs are given up for a flush,
/// which takes one memtable at a time.
#[test]
fn a_flush_gets_room_from_spare_logs() {
    let fs = SimFs::new();
    let silent = || builder(&fs).fs(Arc::new(Layered(Silent(fs.clone()))));
    let db = silent().open().unwrap();
    let mut model = Model::new();
    for number in 0..3_000 {
        db.put(key(number), value(number)).unwrap();
        model.insert(key(number), Some(number));
        // Puts do not wait for the log thread: without a spare they would go on in one log, which
        // is more than the spares have room for.
        if number % 100 == 99 {
            until_two_logs_are_prepared(&fs);
        }
    }
    assert_eq!(db.stats().flushes, 0, "all of it is in logs");
    fs.set_capacity(Some(fs.used()));
    until_there_is_room(|| db.flush());
    check(&db, &model);
    let refused = (3_000..40_000).find_map(|number| {
        let put = db.put(key(number), value(number));
        model.extend(put.is_ok().then(|| (key(number), Some(number))));
        put.err()
    });
    assert!(matches!(refused, Some(Error::StorageFull { .. })), "{refused:?}");
    check(&db, &model);
    fs.set_capacity(None);
    db.put("k", "v").unwrap();
    db.delete("k").unwrap();
    check(&db, &model);
    empty(db, &fs, silent());
}

/// Symptom: puts were refused for seconds after there was room again. Mechanism: they were told
/// why the last flush had failed, and the next was put off. Fix: who finds room has all of it
/// forgotten.
#[test]
fn the_first_write_finds_that_there_is_room_again() {
    let fs = SimFs::new();
    fs.set_capacity(Some(DISK));
    let db = builder(&fs).open().unwrap();
    let mut model = Model::new();
    for number in 0..1_000 {
        db.put(key(number), value(number)).unwrap();
        model.insert(key(number), Some(number));
    }
    for round in 0..5 {
        // Even what is removed is taken by others.
        fs.set_capacity(Some(0));
        for number in 0..8_000 {
            let put = db.put(key(number), value(number));
            model.extend(put.is_ok().then(|| (key(number), Some(number))));
            if put.is_err() {
                break;
            }
        }
        // So often that the next try by itself is far away.
        (0..8).for_each(|_| drop(db.flush()));
        fs.set_capacity(Some(2 * DISK));
        // A try takes a millisecond at least, and the next flush was four seconds away.
        let mut tries = 0;
        for number in 0..1_000 {
            until_there_is_room(|| {
                tries += 1;
                db.put(key(number), value(round))
            });
            model.insert(key(number), Some(round));
        }
        assert!(tries < 3_000, "{tries}");
        check(&db, &model);
    }
}

/// Values that are worth a flush each, put by somebody who does not take no for an answer.
#[test]
fn puts_do_not_use_up_what_deletes_need() {
    let fs = SimFs::new();
    fs.set_capacity(Some(DISK));
    let db = builder(&fs).open().unwrap();
    let large =
        |number: u32| (0..50).flat_map(|part| value(number * 50 + part)).collect::<Vec<_>>();
    let mut keys = Vec::new();
    for number in 0..600 {
        if db.put(format!("large {number}"), large(number)).is_ok() {
            keys.push(number);
        }
    }
    assert!(keys.len() < 400, "{}", keys.len());
    for number in &keys {
        until_there_is_room(|| db.delete(format!("large {number}")));
    }
    until_there_is_room(|| db.flush());
    until_there_is_room(|| db.compact());
    assert_eq!(db.range(..).count(), 0);
    until_there_is_room(|| db.put("k", large(0)));
}
