//! What one reader feels of merges: random hits while a merge runs from end to end, and, right
//! before on the same files, while merging is paused; with a cache that holds everything and one
//! that holds next to nothing, without writes and with some at a fixed rate beside.
//!
//! The files are in the page cache. Each get and put is timed from the end of the one before, so
//! that no pause is missed, a thread's wait for a processor included: on a busy machine that is
//! most of the last quantiles.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alluvium::{Db, Keyspace};

use super::{link_files, make_two_runs, plain, quiet};
use crate::Outcome;
use crate::histogram::Histogram;
use crate::runner::{Round, Rounds, median};
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// How long a round without merges takes.
const PAUSED: Duration = Duration::from_secs(2);

/// A writer that is behind its rate by more than this was held up.
const BEHIND_MAX: Duration = Duration::from_millis(100);

const CACHES: [(&str, u64); 2] = [("hot", 8 << 30), ("cold", 8 << 20)];

/// What one round gave.
#[derive(Default)]
struct Seen {
    gets: Round,
    puts: Round,
    stalls: u64,
    late: u64,
}

pub(super) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;
    let runs = dir.path().join("runs");
    let keys = make_two_runs(settings, &workload, &runs)?;
    println!();
    Rounds::print_heading(&format!("merge latency: {keys} keys, 2 runs"));
    for puts_per_second in [0, settings.merge.puts] {
        for (name, cache_bytes) in CACHES {
            let [mut paused, mut merging] = [const { Vec::new() }; 2];
            for _ in 0..settings.rounds {
                let copy = dir.path().join("copy");
                link_files(&runs, &copy)?;
                let db = quiet(Db::builder(&copy)).cache_bytes(cache_bytes).open()?;
                let data = plain(&db)?;
                assert_eq!(data.len()?, keys, "keys that the scan found");
                let reads =
                    Reads { db: &db, data: &data, workload: &workload, keys, puts_per_second };
                paused.push(reads.paused()?);
                merging.push(reads.merging()?);
                db.close()?;
                drop(db);
                std::fs::remove_dir_all(&copy)?;
            }
            let with = match puts_per_second {
                0 => String::new(),
                rate => format!(", {rate} puts/s"),
            };
            print(&format!("{name}{with}"), paused, merging);
        }
    }
    Ok(())
}

fn print(name: &str, paused: Vec<Seen>, merging: Vec<Seen>) {
    let tail = |seen: &Seen| seen.gets.histogram.quantile(0.999) as f64;
    let ratios: Vec<_> = paused.iter().zip(&merging).map(|(a, b)| tail(b) / tail(a)).collect();
    for (what, seen) in [("paused", paused), ("merging", merging)] {
        let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
        let stalls = sum(|seen| seen.stalls);
        let late = sum(|seen| seen.late);
        let rounds = |of: fn(&Seen) -> &Round| Rounds(seen.iter().map(of).cloned().collect());
        rounds(|seen| &seen.gets).print(&format!("get, {name}, {what}"));
        if seen.iter().any(|seen| seen.puts.ns > 0.0) {
            rounds(|seen| &seen.puts).print(&format!("put, {name}, {what}"));
        }
        println!("{:<38} {stalls} stalls; the writer was late {late} times", "");
    }
    let ratio = median(ratios.iter().copied());
    let all: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("{:<38} p99.9 of get, merging over paused: {ratio:.2} (2); {}", "", all.join(" "));
}

struct Reads<'a> {
    db: &'a Db,
    data: &'a Keyspace,
    workload: &'a Workload,
    keys: u64,
    puts_per_second: u64,
}

impl Reads<'_> {
    /// Reads while no merge runs. Flushes as often as the merging round does.
    fn paused(&self) -> Result<Seen, Box<dyn std::error::Error>> {
        self.db.pause_compaction();
        let seen = self.during(|| {
            self.db.flush()?;
            std::thread::sleep(PAUSED);
            Ok(())
        });
        self.db.resume_compaction();
        seen
    }

    /// Reads while both runs are merged into one.
    fn merging(&self) -> Result<Seen, Box<dyn std::error::Error>> {
        let before = self.db.stats().merges.entries_read;
        let seen = self.during(|| self.db.compact())?;
        let merged = self.db.stats().merges.entries_read - before;
        assert!(merged >= self.keys, "{merged} entries were merged");
        Ok(seen)
    }

    /// Reads, and writes if asked to, for as long as `work` takes.
    fn during(
        &self,
        work: impl FnOnce() -> alluvium::Result<()>,
    ) -> Result<Seen, Box<dyn std::error::Error>> {
        let over = AtomicBool::new(false);
        let stalls = self.db.stats().stalls;
        let mut seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.read(&over));
            let writer = scope.spawn(|| self.write(&over));
            let worked = work();
            over.store(true, Ordering::Relaxed);
            let gets = reader.join().expect("the reader panicked");
            let (puts, late) = writer.join().expect("the writer panicked");
            worked.map(|()| Seen { gets, puts, late, stalls: 0 })
        })?;
        seen.stalls = self.db.stats().stalls - stalls;
        Ok(seen)
    }

    fn read(&self, over: &AtomicBool) -> Round {
        let mut histogram = Histogram::default();
        let start = Instant::now();
        let mut last = start;
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            let i = self.workload.choice(0, count, self.keys);
            let want = Some(self.workload.value(i));
            let right = self.data.get_with(self.workload.key(i), |value| value == want);
            assert!(right.expect("a read from a healthy disk"), "key {i}");
            let now = Instant::now();
            histogram.add((now - last).as_nanos() as u64);
            (last, count) = (now, count + 1);
        }
        round(histogram, start, count)
    }

    /// Writes values over themselves at a fixed rate, a thousandth of a second's worth at a time;
    /// says how often it was behind.
    fn write(&self, over: &AtomicBool) -> (Round, u64) {
        let mut histogram = Histogram::default();
        let start = Instant::now();
        let mut count = 0;
        let mut late = 0;
        while self.puts_per_second > 0 && !over.load(Ordering::Relaxed) {
            let due = start + Duration::from_secs_f64(count as f64 / self.puts_per_second as f64);
            match due.checked_duration_since(Instant::now()) {
                Some(wait) => std::thread::sleep(wait),
                None => late += u64::from(due.elapsed() > BEHIND_MAX),
            }
            let mut last = Instant::now();
            for _ in 0..self.puts_per_second.div_ceil(1_000) {
                let i = self.workload.choice(1, count, self.keys);
                let put = self.data.put(self.workload.key(i), self.workload.value(i));
                put.expect("a put to a healthy disk");
                let now = Instant::now();
                histogram.add((now - last).as_nanos() as u64);
                (last, count) = (now, count + 1);
            }
        }
        (round(histogram, start, count), late)
    }
}

fn round(histogram: Histogram, start: Instant, count: u64) -> Round {
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    let ns = if count == 0 { 0.0 } else { 1e9 / per_second };
    Round { ns, cpu_ns: None, per_second, histogram }
}
