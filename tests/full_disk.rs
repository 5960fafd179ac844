//! A disk that is full: an open for which there is no room changes nothing, and makes some of what
//! nobody needs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Builder, Db, Error};

const DIR: &str = "data";

/// Bytes of a log file before its records.
const HEADER: usize = 4224;

fn builder(fs: &SimFs) -> Builder {
    Db::builder(DIR)
        .fs(Arc::new(fs.clone()))
        .memtable_bytes(64 << 10)
        .flush_bytes(1 << 20)
        .memory_bytes(4 << 20)
        .sync_every(std::time::Duration::ZERO)
}

/// How many keys are live: a third of the disk.
const KEYS: u32 = 200;

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
