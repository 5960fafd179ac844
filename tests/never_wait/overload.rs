//! The memory bound: where waiting begins, and that it ends.

use std::thread;

use alluvium::io::OpKind;
use alluvium::{Error, OnOverload};

use crate::gates::GatedFs;
use crate::{builder, settle};

const MEMORY_BYTES: usize = 64 << 10;

fn pace(stall_ms_max: u64) -> OnOverload {
    OnOverload::Pace { stall_ms_max }
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
                Ok(()) => count += 1,
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
        assert_eq!(db.range("0".."1").count(), count);
        let stats = db.stats();
        assert!(stats.stalls > 0 && stats.stalled_us > 0, "{stats}");
        let bound = (MEMORY_BYTES + (16 << 10)) as u64;
        assert!(stats.memtable_bytes <= bound, "{} bytes", stats.memtable_bytes);
        held.release();
        db.flush().unwrap();
        db.put("after", "v").unwrap();
        assert_eq!(db.range("0".."1").count(), count);
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
