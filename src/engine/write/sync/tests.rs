//! What a sync does about logs that go meanwhile.

use std::path::{Path, PathBuf};

use super::*;
use crate::engine::threads::background::Threads;
use crate::engine::write::{put, sync};
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::{CrashMode, Fs, SimFs};
use crate::options::{Durability, Options};

const DIR: &str = "data";

fn open(fs: &SimFs) -> (Arc<Engine>, Threads) {
    let sync_every = std::time::Duration::ZERO;
    let options = Options { sync_every, ..Options::default() };
    Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None).unwrap()
}

fn put(engine: &Engine, key: &str) -> Result<()> {
    put::write_one(engine, KEYSPACE_DEFAULT, key.as_bytes(), Some(b"v"), Durability::Buffered)
        .map(drop)
}

/// A database with a log that the open found, whose bytes are to be written again, and which the
/// bound on open files has closed.
fn recovered() -> (SimFs, Arc<Engine>, Threads, Arc<LogFile>) {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs);
    put(&engine, "k").unwrap();
    let after = fs.crash(CrashMode::Process, 0);
    let _ = engine.close();
    threads.join();
    let (engine, threads) = open(&after);
    let log = engine.core.logs.list().remove(0);
    assert!(log.was_recovered() && log.needs_sync());
    log.file.close();
    (after, engine, threads, log)
}

/// What a leader does with a log that it has listed.
fn sync_listed(engine: &Engine, log: &Arc<LogFile>, covered: LogPosition) -> Result<()> {
    let sync = |log: &Arc<LogFile>| sync::sync_log(engine, log, covered);
    engine.core.logs.sync_one(log, engine.core.group_sync.synced(), sync)
}

/// Symptom: a sync beside the flush of what an open had found stopped the writer for good.
/// Mechanism: the leader had listed a log; the flush, after which nobody needed it, removed its
/// file; and the leader opened it by its name. Fix: a log that has left the list needs no sync.
#[test]
fn a_log_that_a_flush_removes_while_it_waits_for_its_sync_needs_none() {
    let (fs, engine, threads, log) = recovered();
    let covered = engine.core.logs.appended();
    // The leader has made its list, and is about to come to this one.
    engine.flush().unwrap();
    while fs.list(Path::new(DIR)).unwrap().iter().any(|name| Path::new(name) == file_name(&log)) {
        std::thread::yield_now();
    }
    // Whoever has looked at it meanwhile has opened it.
    log.file.close();
    sync_listed(&engine, &log, covered).unwrap();
    engine.close().unwrap();
    threads.join();
}

/// One that a recovery needs, and that somebody has removed, is no such log.
#[test]
fn a_live_log_that_cannot_be_synced_is_an_error() {
    let (fs, engine, threads, log) = recovered();
    assert!(fs.remove_file(log.file.path.as_path()));
    let missing = sync_listed(&engine, &log, engine.core.logs.appended());
    assert!(matches!(missing, Err(Error::Io { op: "open", .. })), "{missing:?}");
    let _ = engine.close();
    threads.join();
}

fn file_name(log: &LogFile) -> &Path {
    Path::new(log.file.path.file_name().unwrap())
}
