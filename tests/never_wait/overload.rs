//! The memory bound: where waiting begins, that it ends, and what is said about it.

use std::io::ErrorKind;
use std::thread;

use alluvium::io::{FaultPlan, OpKind, SimFs};
use alluvium::{Db, Error, OnOverload, StallCause};

use crate::gates::GatedFs;
use crate::{builder, settle};

const MEMORY_BYTES: u64 = 64 << 10;

fn pace(stall_ms: u64) -> OnOverload {
    OnOverload::Pace { stall_max: std::time::Duration::from_millis(stall_ms) }
}

#[test]
fn memory_is_bounded_and_a_write_past_it_fails_when_its_time_is_up() {
    for gate in [(OpKind::Create, ".seg"), (OpKind::Sync, ".seg"), (OpKind::Sync, "MANIFEST")] {
        let fs = GatedFs::default();
        let options = builder(&fs).flush_bytes(8 << 10).on_overload(pace(1));
        let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
        db.put("before", "v").unwrap();
        db.flush().unwrap();
        db.put("first", "v").unwrap();
        settle(&db);
        let held = fs.hold(gate.0, gate.1);
        let mut count = 0;
        let error = loop {
            match db.put(format!("{count:06}"), [b'v'; 200]) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
            assert!(count * 200 < MEMORY_BYTES, "more is in memory than may be");
        };
        assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
        assert!(error.is_retryable());
        held.await_arrival();
        assert!(count > 50, "only {count} puts");
        // A refused write leaves nothing, and reads go on.
        assert_eq!(db.get(format!("{count:06}")).unwrap(), None::<alluvium::Value>);
        assert_eq!(db.get("before").unwrap().unwrap(), "v");
        assert_eq!(db.range("0".."1").count() as u64, count);
        let stats = db.stats();
        assert!(stats.stalls > 0 && stats.stalled_us > 0, "{stats}");
        assert_eq!((stats.refused_overloaded, stats.stall_last), (1, Some(StallCause::Memory)));
        let bound = MEMORY_BYTES + (16 << 10);
        assert!(stats.memtable_bytes <= bound, "{} bytes", stats.memtable_bytes);
        held.release();
        db.flush().unwrap();
        db.put("after", "v").unwrap();
        assert_eq!(db.range("0".."1").count() as u64, count);
        assert!(db.health().is_healthy());
        db.close().unwrap();
    }
}

#[test]
fn a_write_that_waits_for_memory_goes_on_when_there_is_some() {
    let fs = GatedFs::default();
    let options = builder(&fs).flush_bytes(8 << 10).on_overload(pace(u64::MAX));
    let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
    let held = fs.hold(OpKind::Sync, ".seg");
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..2_000 {
                db.put(format!("{i:06}"), [b'v'; 200]).unwrap();
            }
        });
        while db.stats().stalls == 0 {
            thread::yield_now();
        }
        assert_eq!(db.get("000000").unwrap().unwrap().len(), 200);
        assert!(!writer.is_finished());
        held.release();
        writer.join().unwrap();
    });
    assert_eq!(db.range(..).count(), 2_000);
}

/// What `count` puts of 200 bytes come to.
fn puts(db: &Db, count: usize) -> Result<(), Error> {
    (0..count).try_for_each(|i| db.put(format!("{i:06}"), [b'v'; 200]).map(drop))
}

#[test]
fn writers_are_delayed_before_they_have_to_wait_and_not_while_there_is_memory() {
    let fs = GatedFs::default();
    let options = builder(&fs).flush_bytes(8 << 10).on_overload(pace(u64::MAX));
    let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
    let held = fs.hold(OpKind::Sync, ".seg");
    // Up to half of the budget.
    for i in 0.. {
        if db.stats().memtable_bytes > MEMORY_BYTES / 2 {
            break;
        }
        db.put(format!("{i:06}"), [b'v'; 200]).unwrap();
    }
    let stats = db.stats();
    assert_eq!((stats.paced, stats.stalls, stats.paced_us), (0, 0, 0), "{stats}");
    thread::scope(|scope| {
        let writer = scope.spawn(|| puts(&db, 2_000).unwrap());
        // The budget is used up in the end, since nothing is flushed.
        while db.stats().stalls == 0 {
            thread::yield_now();
        }
        let stats = db.stats();
        assert!(stats.paced > 0 && stats.stall_last == Some(StallCause::Memory), "{stats}");
        assert!(stats.to_string().contains("last: memory"), "{stats}");
        held.release();
        writer.join().unwrap();
    });
    assert!(db.stats().paced_us > 0);
    assert_eq!(db.stats().refused_overloaded, 0);
    assert_eq!(db.range("0".."1").count(), 2_000);
}

#[test]
fn who_wants_an_error_gets_it_at_once() {
    for gate in [(OpKind::Create, ".seg"), (OpKind::Sync, "MANIFEST")] {
        let fs = GatedFs::default();
        let options = builder(&fs).flush_bytes(8 << 10).on_overload(OnOverload::Error);
        let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
        db.put("first", "v").unwrap();
        settle(&db);
        let waits = |db: &Db| {
            let stats = db.stats();
            (stats.stalls, stats.stalled_us, stats.paced, stats.paced_us)
        };
        let held = fs.hold(gate.0, gate.1);
        let result = puts(&db, 2_000);
        assert!(
            matches!(result, Err(Error::Overloaded { waited: std::time::Duration::ZERO, .. })),
            "{result:?}"
        );
        for _ in 0..100 {
            let result = db.put("k", "v");
            assert!(
                matches!(result, Err(Error::Overloaded { waited: std::time::Duration::ZERO, .. })),
                "{result:?}"
            );
        }
        let stats = db.stats();
        assert_eq!((waits(&db), stats.refused_overloaded), ((0, 0, 0, 0), 101), "{stats}");
        assert!(stats.memtable_bytes > MEMORY_BYTES * 9 / 10, "refused early: {stats}");
        assert_eq!(db.get("k").unwrap(), None::<alluvium::Value>);
        held.release();
        db.flush().unwrap();
        db.put("k", "v").unwrap();
        assert_eq!(waits(&db), (0, 0, 0, 0));
    }
}

/// A flush is asked for by the writer that is refused, or no writer would ever get any further.
#[test]
fn a_budget_no_larger_than_a_flush_refuses_only_for_a_while() {
    let fs = GatedFs::default();
    let options = builder(&fs).flush_bytes(MEMORY_BYTES).on_overload(OnOverload::Error);
    let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
    for i in 0..2_000 {
        while let Err(error) = db.put(format!("{i:06}"), [b'v'; 200]) {
            assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
            thread::yield_now();
        }
    }
    assert!(db.stats().flushes > 1);
    assert_eq!(db.range(..).count(), 2_000);
}

#[test]
fn a_wait_for_a_log_is_said_to_be_one() {
    let fs = GatedFs::default();
    // The open makes the first log; where it cannot, the first write waits for the log thread.
    fs.set_fault(Some(FaultPlan::new(OpKind::Write).on(".wal").sticky()));
    let db = builder(&fs).open().unwrap();
    let held = fs.hold(OpKind::Create, ".wal");
    // It tries again by itself.
    held.await_arrival();
    fs.set_fault(None);
    thread::scope(|scope| {
        let writer = scope.spawn(|| db.put("k", "v").unwrap());
        while db.stats().stalls_log == 0 {
            thread::yield_now();
        }
        assert!(!writer.is_finished());
        held.release();
        writer.join().unwrap();
    });
    let stats = db.stats();
    assert_eq!((stats.stalls_log, stats.stall_last), (1, Some(StallCause::Log)), "{stats}");
    assert_eq!((stats.stalls, stats.paced), (0, 0), "{stats}");
    db.put("l", "v").unwrap();
    assert_eq!(db.stats().stalls_log, 1);
}

#[test]
fn a_full_disk_is_said_to_be_the_cause() {
    let fs = SimFs::new();
    let builder =
        Db::builder("db").fs(std::sync::Arc::new(fs.clone())).sync_every(std::time::Duration::ZERO);
    let db = builder.open().unwrap();
    db.put("k", "v").unwrap();
    let full = FaultPlan::new(OpKind::Write).on(".wal").error(ErrorKind::StorageFull);
    fs.set_fault(Some(full.sticky()));
    for refused in 1..=3 {
        let error = db.put("l", "v").unwrap_err();
        assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
        let stats = db.stats();
        assert_eq!((stats.refused_full, stats.refused_overloaded), (refused, 0));
        assert_eq!(stats.stall_last, Some(StallCause::DiskFull));
    }
    fs.set_fault(None);
    db.put("l", "v").unwrap();
    assert_eq!(db.stats().refused_full, 3);
}

#[test]
fn a_close_ends_the_wait() {
    let fs = GatedFs::default();
    let options = builder(&fs).flush_bytes(8 << 10).on_overload(pace(u64::MAX));
    let db = options.memory_bytes(MEMORY_BYTES).open().unwrap();
    let held = fs.hold(OpKind::Sync, ".seg");
    thread::scope(|scope| {
        let writer = scope
            .spawn(|| (0..).find_map(|i| db.put(format!("{i:06}"), [b'v'; 200]).err()).unwrap());
        while db.stats().stalls == 0 {
            thread::yield_now();
        }
        let closer = scope.spawn(|| db.close());
        let error = writer.join().unwrap();
        assert!(matches!(error, Error::Closed), "{error:?}");
        held.release();
        closer.join().unwrap().unwrap();
    });
}
