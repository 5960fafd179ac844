//! Everything at once: writers, readers, scans, snapshots, batches across keyspaces, conditional
//! writes, flushes, merges, keyspaces that come and go, a full disk, and over and over a close, or
//! a death of the process, and an open.
//!
//! Each value says who wrote it, and each read knows what it may find (`ledger`), so that a stale
//! read, a lost write, a deletion undone, a torn batch or bytes of another key are seen at once.
//!
//! `ALLUVIUM_STRESS_SECONDS` makes it long; without it a few rounds of fixed length are run.
//! `ALLUVIUM_STRESS_OPERATIONS` sets the length of a round, `ALLUVIUM_SEED` the seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "how much was done is part of the result")]

mod ledger;
mod planted;
#[path = "../support/random.rs"]
mod random;
mod roles;
mod round;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, OnOverload};
use ledger::{Ledger, Turns};
use random::Random;
use round::{Longest, MEMORY_BYTES, Peaks, Place, Round, rate, resident_bytes};

fn from_environment(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

/// Has threads switch more often than by themselves, in a debug build.
fn switch_often(seed: u64) {
    #[cfg(debug_assertions)]
    alluvium::switch_threads(seed, 50);
    let _ = seed;
}

/// As small as it may be, with other choices each time.
fn open(place: &Place, random: &mut Random) -> Db {
    let builder = match place {
        Place::Disk(path) => Db::builder(path)
            .log_mapping(random.next().is_multiple_of(2))
            .mapped_reads(random.next().is_multiple_of(2)),
        Place::Simulated(fs) => Db::builder("data").fs(Arc::new(fs.clone())),
    };
    builder
        .memtable_bytes([8 << 10, 32 << 10][random.next() as usize % 2])
        .flush_bytes(64 << 10)
        .memory_bytes(MEMORY_BYTES)
        .cache_bytes([32 << 10, 1 << 20][random.next() as usize % 2])
        .segment_bytes([8 << 10, 64 << 10][random.next() as usize % 2])
        .compaction_threads(1 + random.next() as usize % 2)
        .sync_every(Duration::from_millis([0, 1, 1_000][random.next() as usize % 3]))
        .on_overload(OnOverload::Pace { stall_max: Duration::from_secs(3_600) })
        .open()
        .unwrap()
}

/// Ends a round: by a close, by dropping the last handle, or by the death of the process.
fn end(db: Db, place: &mut Place, random: &mut Random) {
    match (random.next() % 3, &mut *place) {
        (0, _) => db.close().unwrap(),
        (1, Place::Simulated(fs)) => *fs = fs.crash(CrashMode::Process, random.next()),
        _ => drop(db),
    }
}

fn stress(name: &str, mut place: Place) {
    let seed = from_environment("ALLUVIUM_SEED").unwrap_or(1);
    let seconds = from_environment("ALLUVIUM_STRESS_SECONDS").map(Duration::from_secs);
    let operations = from_environment("ALLUVIUM_STRESS_OPERATIONS").unwrap_or(1_500);
    println!("{name}: seed {seed}");
    switch_often(seed);
    let mut random = Random::new(seed);
    let ledger = Ledger::new();
    let peaks = Peaks::default();
    let longest = [Longest::default(), Longest::default()];
    let start = Instant::now();
    let mut rounds = 0;
    let mut written = 0;
    let mut reads = 0;
    let mut refused = 0;
    let mut resident = None;
    while seconds.map_or(rounds < 4, |seconds| start.elapsed() < seconds || rounds < 4) {
        let db = open(&place, &mut random);
        let round = Round::new(db.clone(), &ledger, &place, &peaks, &longest);
        round.run(operations, random.next());
        written += round.written.load(Ordering::Relaxed);
        reads += round.reads.load(Ordering::Relaxed);
        refused += round.refused.load(Ordering::Relaxed);
        drop(round);
        end(db, &mut place, &mut random);
        rounds += 1;
        // By then all that is kept has been there once.
        if rounds == 3 {
            resident = resident_bytes();
        }
    }
    println!(
        "{name}: {rounds} rounds, {written} writes, {reads} reads, {} operations a second; \
         {refused} writes refused for want of room; at most {} files, {} descriptors, \
         {} bytes in memtables",
        rate(written + reads, start),
        peaks.files.load(Ordering::Relaxed),
        peaks.descriptors.load(Ordering::Relaxed),
        peaks.memtable_bytes.load(Ordering::Relaxed),
    );
    println!("{name}: longest write {}", longest[0]);
    println!("{name}: longest get {}", longest[1]);
    if let (Some(before), Some(after)) = (resident, resident_bytes()) {
        println!("{name}: {} MiB resident, {} at the end", before >> 20, after >> 20);
        assert!(after < 2 * before + (256 << 20), "memory has grown from {before} to {after}");
    }
}

/// With a full disk now and then, and deaths of the process (G2, G3, G4, G8).
#[test]
fn everything_at_once_on_a_simulated_disk() {
    stress("simulated", Place::Simulated(SimFs::new()));
}

/// With a mapped log half the time.
#[test]
fn everything_at_once_on_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    stress("disk", Place::Disk(Path::join(directory.path(), "data")));
}

/// A check that cannot fail is a defect: what the ledger must refuse.
#[test]
fn what_is_wrong_is_told() {
    let ledger = Ledger::new();
    let cell = &ledger.cells[3];
    let value = |turn| cell.value(turn, 77);
    let refused = |value: Option<Vec<u8>>, first, last| {
        let turns = Turns { first, last };
        let check = || cell.check(value.as_deref(), turns, "a test");
        std::panic::catch_unwind(check).is_err()
    };
    assert!(!refused(Some(value(7)), 7, 7));
    assert!(!refused(Some(value(7)), 6, 8));
    assert!(!refused(None, 4, 6), "the fifth turn deletes");
    assert!(!refused(None, 0, 0));
    assert!(refused(Some(value(6)), 7, 9), "stale");
    assert!(refused(Some(value(8)), 6, 7), "not written yet");
    assert!(refused(Some(value(4)), 5, 5), "back from the dead");
    assert!(refused(None, 6, 9), "lost");
    assert!(refused(Some(ledger.cells[4].value(7, 77)), 7, 7), "another key's");
    let mut torn = value(8);
    torn.pop();
    assert!(refused(Some(torn), 8, 8), "cut short");
}
