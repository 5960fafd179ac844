//! Figures of the room that a disk has, and that they reach the engine.

use std::path::PathBuf;

use super::*;
use crate::engine::Engine;
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::{DiskFs, FaultPlan, Fs, OpKind, SimFs};
use crate::options::{Durability, Options};

fn open(fs: Arc<dyn Fs>, dir: PathBuf) -> (Arc<Engine>, Threads) {
    Engine::open(fs, dir, Options::default(), None).unwrap()
}

fn put(engine: &Engine, value: &[u8]) -> Result<(), Error> {
    put::write_one(engine, KEYSPACE_DEFAULT, b"k", Some(value), Durability::Buffered).map(drop)
}

fn close(engine: &Engine, threads: &Threads) {
    engine.close().unwrap();
    threads.join();
    engine.release_directory();
}

#[test]
fn a_budget_is_half_of_what_the_reserve_leaves() {
    let memory = 64 << 20;
    assert_eq!(budget(UNKNOWN, 0, memory), memory);
    assert_eq!(budget(memory * 2 + 10, 10, memory), memory);
    assert_eq!(budget(20 << 20, 4 << 20, memory), 8 << 20);
    assert_eq!(budget(10, 20, memory), 0);
    // A crumb is none, unless memory is no more.
    assert_eq!(budget(2 * BUDGET_BYTES_MIN - 2, 0, memory), 0);
    assert_eq!(budget(2 * BUDGET_BYTES_MIN, 0, memory), BUDGET_BYTES_MIN);
    assert_eq!(budget(2 << 20, 0, 1000), 1000);
}

/// Through all that lies between the engine and the disk.
#[test]
fn a_real_disk_says_how_much_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, threads) = open(Arc::new(DiskFs), dir.path().to_path_buf());
    let free = engine.core.space.room();
    assert!(!cfg!(unix) || free > 0 && free < UNKNOWN, "{free}");
    close(&engine, &threads);
}

#[test]
fn little_room_makes_logs_and_segments_small_and_room_large_again() {
    let fs = SimFs::new();
    let (engine, threads) = open(Arc::new(fs.clone()), PathBuf::from("db"));
    let core = &engine.core;
    core.measure_space();
    let sizes = || (core.segment_bytes(), core.log_bytes_max(), core.is_room_short());
    assert_eq!(sizes(), (16 << 20, UNKNOWN / LOG_SHARE, false));
    fs.set_capacity(Some(fs.used() + (32 << 20)));
    core.measure_space();
    let (segment, log, short) = sizes();
    assert!(short && segment <= 2 << 20 && log <= 3 << 20, "{segment} {log}");
    assert!(core.memory_budget() < core.memory_budget_to_delete());
    assert!(core.has_room_for(8 << 20) && !core.has_room_for(32 << 20));
    fs.set_capacity(Some(fs.used()));
    core.measure_space();
    assert!(core.is_room_used_up() && core.segment_bytes() == SEGMENT_BYTES_MIN);
    fs.set_capacity(None);
    core.measure_space();
    assert_eq!(sizes(), (16 << 20, UNKNOWN / LOG_SHARE, false));
    close(&engine, &threads);
}

/// Its log is not written into the room of its own flush.
#[test]
fn a_big_batch_needs_room_twice() {
    let fs = SimFs::new();
    let (engine, threads) = open(Arc::new(fs.clone()), PathBuf::from("db"));
    fs.set_capacity(Some(fs.used() + (24 << 20)));
    let refused = put(&engine, &[1; 16 << 20]);
    assert!(matches!(refused, Err(Error::StorageFull { .. })), "{refused:?}");
    put(&engine, b"small").unwrap();
    fs.set_capacity(Some(fs.used() + (48 << 20)));
    put(&engine, &[1; 16 << 20]).unwrap();
    engine.flush().unwrap();
    // Found out by failing: what was to be written is gone by then, and is no batch of deletes.
    let plan = FaultPlan::new(OpKind::Write).on(".wal").error(std::io::ErrorKind::StorageFull);
    fs.set_fault(Some(plan.sticky()));
    let refused = put(&engine, &[1; 8 << 20]);
    assert!(matches!(refused, Err(Error::StorageFull { .. })), "{refused:?}");
    fs.set_fault(None);
    close(&engine, &threads);
}
