//! What merging writes, and how many runs and how much space it leaves: overwriting in random
//! order, growing from nothing, ascending keys, and deleting everything.
//!
//! These are properties of which pairs are merged when, not of this machine. So the load keeps time
//! with merging, as in the simulator: for each byte flushed merges may write `bandwidth - 1`, and
//! what they have no use for by then is lost to them. Syncs are left out, because small flushes
//! and segments would sync many times as often, for the same bytes, as those of the default sizes.

use std::path::Path;
use std::time::{Duration, Instant};

use alluvium::{Db, Keyspace};

use super::{COMPACTOR, FLUSHER, engine_threads, plain};
use crate::Outcome;
use crate::count_fs::{CountFs, Syncs};
use crate::settings::{MergeSettings, Settings};
use crate::workload::{self, Workload};

/// The load keeps time with merging at this many points in each flush.
const SLICES: u64 = 16;

/// Flushes that the sizes are measured by.
const TRIAL_FLUSHES: u64 = 8;

/// What a load that grows from nothing grows to, in flushes.
const GROW_FLUSHES: u64 = 10;

/// Deleting everything has settled when the disk has not changed for this long.
const SETTLED: Duration = Duration::from_secs(8);
const SETTLE_MAX: Duration = Duration::from_secs(90);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub(super) fn run(settings: &Settings) -> Outcome {
    let options = &settings.merge;
    let workload = Workload::new(settings.seed);
    let flush_entries = entries_of_a_flush(settings, &workload)?;
    println!(
        "\nmerge amplification: flush_bytes {} KiB, segments and memtables of a quarter; about \
         {flush_entries} entries a flush; merges may write {} bytes for each flushed",
        options.flush_kib,
        options.bandwidth - 1
    );
    println!(
        "  beside it: cargo test --release --lib compaction::simulate -- --nocapture; `files` are \
         those of the runs, `disk` is with those that wait for their deletion, over a second each"
    );
    println!(
        "{:<34} {:>7} {:>7} {:>7} {:>6} {:>5} {:>7} {:>7} {:>7} {:>7}",
        "bytes written for each flushed",
        "flushes",
        "write",
        "stats",
        "runs",
        "max",
        "files",
        "max",
        "disk",
        "max"
    );
    let load = |random| Load::start(settings, &workload, flush_entries, random);
    grow(load(true)?)?;
    ascending(load(false)?, options)?;
    overwrite(load(true)?, options)
}

/// How many entries a flush of this size takes.
fn entries_of_a_flush(settings: &Settings, workload: &Workload) -> Result<u64> {
    let dir = workload::temp_dir(&settings.dir)?;
    let fs = CountFs::new(Syncs::LeftOut);
    let db = super::quiet(sized(&dir.path().join("data"), &settings.merge)).fs(fs).open()?;
    let data = plain(&db)?;
    let mut i = 0;
    while db.stats().flushes < TRIAL_FLUSHES {
        // Slowly, so that a flush finds no more than it was told to wait for.
        for _ in 0..100 {
            data.put(workload.key(i), workload.value(i))?;
            i += 1;
        }
        while is_awake(FLUSHER) {
            std::thread::yield_now();
        }
    }
    let stats = db.stats();
    db.close()?;
    Ok(stats.segment_entries / stats.flushes)
}

fn sized(path: &Path, options: &MergeSettings) -> alluvium::Builder {
    let flush_bytes = options.flush_kib << 10;
    Db::builder(path)
        .flush_bytes(flush_bytes)
        .memtable_bytes(flush_bytes / 4)
        .segment_bytes(flush_bytes / 4)
}

fn grow(mut load: Load<'_>) -> Outcome {
    load.write((0..GROW_FLUSHES * load.flush_entries).map(|i| (i, 0)))?;
    load.print(&format!("new keys, to {GROW_FLUSHES} flushes (4.5)"), &load.facts(), None);
    load.finish()
}

fn ascending(mut load: Load<'_>, options: &MergeSettings) -> Outcome {
    load.write((0..options.data * load.flush_entries).map(|i| (i, 0)))?;
    load.print("ascending keys (1.05)", &load.facts(), None);
    load.db.compact()?;
    load.print("  the same after compact()", &load.facts(), None);
    load.finish()
}

fn overwrite(mut load: Load<'_>, options: &MergeSettings) -> Outcome {
    let n = options.data * load.flush_entries;
    load.write((0..n).map(|i| (i, 0)))?;
    load.print(&format!("new keys, to {} flushes", options.data), &load.facts(), None);
    load.forget_the_past()?;
    let mut versions = vec![0_u16; n as usize];
    let workload = load.workload;
    for pass in 0..options.passes {
        load.write((0..n).map(|i| {
            let key = workload.choice(0, pass * n + i, n);
            versions[key as usize] += 1;
            (key, versions[key as usize])
        }))?;
    }
    let label = format!("any of them, {} times over (9.5)", options.passes);
    let facts = load.facts();
    load.db.compact()?;
    load.print(&label, &facts, Some(load.db.stats().segment_bytes));
    load.check(n, |key| versions[key as usize])?;
    delete_all(load, n)
}

/// Everything, in the order in which it was first written.
fn delete_all(mut load: Load<'_>, n: u64) -> Outcome {
    let peak = load.disk_peak;
    for (i, count) in (0..n).zip(1..) {
        load.data.delete(load.key(i))?;
        if u64::is_multiple_of(count, load.slice_entries()) {
            load.keep_time()?;
        }
    }
    load.db.flush()?;
    let start = Instant::now();
    let mut last = (bytes_but_logs(&load.path)?, start);
    while last.1.elapsed() < SETTLED && start.elapsed() < SETTLE_MAX {
        std::thread::sleep(Duration::from_millis(50));
        let bytes = bytes_but_logs(&load.path)?;
        if bytes != last.0 {
            last = (bytes, Instant::now());
        }
    }
    println!(
        "everything deleted: of a peak of {} MiB {} KiB are left, logs aside, {:.3} % (1), {} KiB \
         of them in segments; reached {:.1} s after the last delete was flushed, unasked",
        peak >> 20,
        last.0 >> 10,
        last.0 as f64 / peak as f64 * 100.0,
        load.db.stats().segment_bytes >> 10,
        (last.1 - start).as_secs_f64()
    );
    assert_eq!(load.data.len()?, 0, "keys left after deleting all");
    load.finish()
}

/// A database under load, and what was seen of it since the beginning or `forget_the_past`.
struct Load<'a> {
    db: Db,
    data: Keyspace,
    fs: std::sync::Arc<CountFs>,
    path: std::path::PathBuf,
    _dir: tempfile::TempDir,
    workload: &'a Workload,
    random: bool,
    flush_entries: u64,
    /// What merges may write in a slice.
    slice_budget: u64,
    /// What merges will have written, in all, when the next slice may begin.
    merged_due: u64,
    written: u64,
    before: Facts,
    samples: Samples,
    disk_peak: u64,
}

/// Figures that only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    flushes: u64,
    flushed: u64,
    segments_written: u64,
    merges_wrote: u64,
}

/// Figures of moments, each added up and at its highest.
#[derive(Debug, Default)]
struct Samples {
    runs: Sample,
    files: Sample,
    disk: Sample,
}

#[derive(Debug, Default)]
struct Sample {
    count: u64,
    sum: u64,
    max: u64,
}

impl Sample {
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }
}

impl<'a> Load<'a> {
    fn start(
        settings: &Settings,
        workload: &'a Workload,
        flush_entries: u64,
        random: bool,
    ) -> Result<Self> {
        let dir = workload::temp_dir(&settings.dir)?;
        let path = dir.path().join("data");
        let fs = CountFs::new(Syncs::LeftOut);
        let db = sized(&path, &settings.merge).fs(fs.clone()).sync_every(Duration::ZERO).open()?;
        let slice_bytes = flush_entries * super::ENTRY_BYTES / SLICES;
        Ok(Self {
            data: plain(&db)?,
            db,
            fs,
            path,
            _dir: dir,
            workload,
            random,
            flush_entries,
            slice_budget: slice_bytes * (settings.merge.bandwidth - 1),
            merged_due: 0,
            written: 0,
            before: Facts::default(),
            samples: Samples::default(),
            disk_peak: 0,
        })
    }

    fn slice_entries(&self) -> u64 {
        self.flush_entries / SLICES
    }

    fn key(&self, i: u64) -> [u8; crate::workload::KEY_BYTES] {
        let mut key = self.workload.key(i);
        if !self.random {
            key[..8].copy_from_slice(&i.to_be_bytes());
        }
        key
    }

    /// Writes versions of keys, and keeps time with merging.
    fn write(&mut self, keys: impl Iterator<Item = (u64, u16)>) -> Outcome {
        for (i, version) in keys {
            self.data.put(self.key(i), value(self.workload, i, version))?;
            self.written += 1;
            if self.written.is_multiple_of(self.slice_entries()) {
                self.keep_time()?;
                self.sample()?;
            }
        }
        Ok(())
    }

    /// Waits until merges have written what they may in a slice, or have nothing to do.
    fn keep_time(&mut self) -> Outcome {
        self.merged_due += self.slice_budget;
        let mut asleep = 0;
        loop {
            let facts = self.facts();
            let merged = facts.segments_written - facts.flushed;
            if merged >= self.merged_due {
                return Ok(());
            }
            asleep = if is_awake(FLUSHER) || is_awake(COMPACTOR) { 0 } else { asleep + 1 };
            // Once may be between two locks.
            if asleep == 3 {
                self.merged_due = merged;
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn sample(&mut self) -> Outcome {
        let stats = self.db.stats();
        self.samples.runs.add(stats.runs);
        self.samples.files.add(stats.segment_bytes);
        // Reading the directory takes longer.
        if self.written % self.flush_entries < self.slice_entries() {
            let bytes = bytes_but_logs(&self.path)?;
            self.samples.disk.add(bytes);
            self.disk_peak = self.disk_peak.max(bytes);
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let stats = self.db.stats();
        Facts {
            flushes: stats.flushes,
            flushed: stats.flush_bytes,
            segments_written: self.fs.segment_bytes(),
            merges_wrote: stats.merges.bytes_written,
        }
    }

    fn forget_the_past(&mut self) -> Outcome {
        self.before = self.facts();
        self.samples = Samples::default();
        self.sample()
    }

    /// A line of the table; space in bytes for each live one, if it is known how many are.
    fn print(&self, label: &str, now: &Facts, live: Option<u64>) {
        let flushed = (now.flushed - self.before.flushed) as f64;
        let ratio = |bytes: u64| bytes as f64 / flushed;
        let write = ratio(now.segments_written - self.before.segments_written);
        let by_stats = 1.0 + ratio(now.merges_wrote - self.before.merges_wrote);
        let Samples { runs, files, disk } = &self.samples;
        let space =
            |bytes: f64| live.map_or("-".to_owned(), |live| format!("{:.3}", bytes / live as f64));
        println!(
            "{label:<34} {:>7} {write:>7.2} {by_stats:>7.2} {:>6.1} {:>5} {:>7} {:>7} {:>7} {:>7}",
            now.flushes - self.before.flushes,
            runs.mean(),
            runs.max,
            space(files.mean()),
            space(files.max as f64),
            space(disk.mean()),
            space(disk.max as f64),
        );
    }

    /// After a compaction: that all keys are there, and some of them with what was written last, and
    /// that the engine counts what it writes as the disk does.
    fn check(&self, n: u64, version: impl Fn(u64) -> u16) -> Outcome {
        let facts = self.facts();
        assert_eq!(facts.segments_written, facts.flushed + facts.merges_wrote, "bytes written");
        assert_eq!(self.db.stats().segment_entries, n, "versions after a compaction");
        for i in (0..n).step_by(97) {
            let want = value(self.workload, i, version(i));
            let right = self.data.get_with(self.key(i), |value| value == Some(want))?;
            assert!(right, "key {i} has not what was written last");
        }
        Ok(())
    }

    fn finish(self) -> Outcome {
        let health = self.db.health();
        assert!(health.is_healthy(), "{health}");
        Ok(self.db.close()?)
    }
}

fn value(workload: &Workload, i: u64, version: u16) -> &[u8] {
    workload.value(i | u64::from(version) << 48)
}

/// Whether a thread of this name has something to do.
fn is_awake(name: &str) -> bool {
    engine_threads(name).iter().any(|thread| thread.is_awake)
}

/// Bytes of all files but the logs.
fn bytes_but_logs(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_log = entry.path().extension().is_some_and(|extension| extension == "wal");
        // A file may go while the directory is read.
        if let (false, Ok(metadata)) = (is_log, entry.metadata()) {
            total += metadata.len();
        }
    }
    Ok(total)
}
