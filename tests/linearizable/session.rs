//! One database and the histories that are recorded on it, one after the other, each with keys of
//! its own.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use alluvium::io::SimFs;
use alluvium::{Builder, Db, Keyspace, OnOverload};

use crate::Random;
use crate::history::{Clock, History, Recorded};
use crate::worker::Worker;

/// What goes wrong on the way from the engine to the record, at times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A get answers from the past.
    StaleRead,
    /// A put is acknowledged and not done.
    LostWrite,
    /// A delete is acknowledged and not done.
    LostDelete,
    /// An update reads first and writes later.
    LostUpdate,
    /// A batch is written one by one.
    TornBatch,
    /// A multi-get reads one by one.
    TornRead,
    /// A snapshot shows what came after it.
    UnstableSnapshot,
}

pub(crate) const FAULTS: [Fault; 7] = [
    Fault::StaleRead,
    Fault::LostWrite,
    Fault::LostDelete,
    Fault::LostUpdate,
    Fault::TornBatch,
    Fault::TornRead,
    Fault::UnstableSnapshot,
];

pub(crate) struct Session {
    pub(crate) db: Db,
    pub(crate) keyspaces: [Keyspace; 2],
    pub(crate) clock: Clock,
    pub(crate) fault: Option<Fault>,
}

/// Where threads wait until all are there, or one has failed.
#[derive(Default)]
struct Start {
    arrived: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Start {
    fn wait_for(&self, all: usize) {
        let mut arrived = self.arrived.lock().unwrap();
        arrived.0 += 1;
        self.changed.notify_all();
        while arrived.0 < all && !arrived.1 {
            arrived = self.changed.wait(arrived).unwrap();
        }
        assert!(!arrived.1, "another thread has failed");
    }
}

/// Lets the others go when its thread panics.
struct Failing<'a>(&'a Start);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.arrived.lock().unwrap().1 = true;
            self.0.changed.notify_all();
        }
    }
}

/// Small, so that memtables fill, flushes happen and runs are merged within a history.
fn small(builder: Builder, random: &mut Random) -> Builder {
    builder
        .memtable_bytes([4 << 10, 8 << 10][random.next() as usize % 2])
        .flush_bytes(32 << 10)
        .cache_bytes(64 << 10)
        .segment_bytes(16 << 10)
        .compaction_threads(1 + random.next() as usize % 2)
        .sync_every(Duration::from_millis([0, 1_000][random.next() as usize % 2]))
        .on_overload(OnOverload::Pace { stall_max: Duration::from_secs(3_600) })
}

/// Records `count` histories of `threads` threads, of `operations` operations each.
pub(crate) fn record(
    seed: u64,
    count: usize,
    operations: usize,
    fault: Option<Fault>,
) -> Vec<History> {
    let mut random = Random::new(seed);
    let threads = 3 + random.next() as usize % 2;
    let directory = tempfile::tempdir().unwrap();
    // Every other one on a disk, and every other one of these with a mapped log, or else mapped
    // segments.
    let builder = match random.next() % 4 {
        0 | 1 => Db::builder(Path::new("data")).fs(Arc::new(SimFs::new())),
        2 => Db::builder(directory.path()),
        _ => Db::builder(directory.path()).log_mapping(false).mapped_reads(true),
    };
    let db = small(builder, &mut random).open().unwrap();
    let keyspaces = ["a", "b"].map(|name| db.keyspace(name).unwrap());
    let session = Session { db, keyspaces, clock: Clock::default(), fault };
    let start = Start::default();
    let seeds: Vec<u64> = (0..=threads).map(|_| random.next()).collect();
    let each = |thread: usize| {
        let _failing = Failing(&start);
        let mut seeds = Random::new(seeds[thread]);
        let one = |history: usize| {
            start.wait_for((history + 1) * (threads + 1));
            let seed = seeds.next();
            if thread == threads {
                upkeep(&session, seed);
                return Vec::new();
            }
            Worker::new(&session, history, thread, seed).run(operations)
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    let each = &each;
    let by_thread: Vec<Vec<Vec<Recorded>>> = thread::scope(|scope| {
        let started = (0..=threads).map(|thread| scope.spawn(move || each(thread)));
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut histories: Vec<History> = (0..count).map(|_| History::default()).collect();
    for recorded in by_thread {
        for (history, recorded) in histories.iter_mut().zip(recorded) {
            history.0.extend(recorded);
        }
    }
    histories
}

/// What moves data about, beside what the engine does by itself.
fn upkeep(session: &Session, seed: u64) {
    match seed % 64 {
        0..=7 => session.db.flush().unwrap(),
        8 => session.db.compact().unwrap(),
        9 => session.keyspaces[0].compact_range(..).unwrap(),
        10 | 11 => session.db.sync().unwrap(),
        12 => session.db.set_memtable_bytes([4 << 10, 16 << 10][seed as usize / 64 % 2]).unwrap(),
        _ => {}
    }
}
