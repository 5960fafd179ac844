//! `checkpoint`: copies of a database of `n` values of 4,000 bytes, at rest and beside a writer,
//! and what that writer feels of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use alluvium::Db;

use crate::Outcome;
use crate::histogram::Histogram;
use crate::runner::{median, range};
use crate::settings::Settings;
use crate::workload::{self, Workload};

const VALUE_BYTES: usize = 4_000;

/// Copies in a round.
const COPIES: usize = 5;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;
    let db = workload.filled(&dir.path().join("data"), settings.n, VALUE_BYTES)?;
    db.flush()?;
    println!("checkpoint: {} values of {VALUE_BYTES} bytes; seed {}", settings.n, settings.seed);
    let made = take(&db, dir.path(), settings.rounds, "at rest, flushed")?;
    println!(
        "  {} segments, {:.2} GB; bytes copied: {}",
        made.segments,
        made.segment_bytes as f64 / 1e9,
        made.log_bytes
    );
    let over = AtomicBool::new(false);
    let copying = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| overwrite(&db, &workload, settings.n, &copying, &over));
        let made = take_marked(&db, dir.path(), settings.rounds, &copying);
        over.store(true, Ordering::Relaxed);
        let [beside, between] = writer.join().expect("the writer panicked");
        for (name, puts) in [("while one is made", beside), ("in between", between)] {
            println!(
                "  puts {name:<18} p50 {:.2} us, p99.9 {:.0} us, longest {:.2} ms",
                puts.quantile(0.5) as f64 / 1e3,
                puts.quantile(0.999) as f64 / 1e3,
                puts.max() as f64 / 1e6,
            );
        }
        made
    })
}

/// Overwrites with small values until it is over. Returns the puts beside copies, and the others.
fn overwrite(
    db: &Db,
    workload: &Workload,
    n: u64,
    copying: &AtomicBool,
    over: &AtomicBool,
) -> [Histogram; 2] {
    let [mut beside, mut between] = [Histogram::default(), Histogram::default()];
    for i in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let key = workload.key(workload.choice(0, i, n));
        let copied = copying.load(Ordering::Relaxed);
        let start = Instant::now();
        db.put(key, workload.value(i)).expect("a put to a healthy disk");
        let took = start.elapsed().as_nanos() as u64;
        if copied { beside.add(took) } else { between.add(took) }
    }
    [beside, between]
}

fn take_marked(db: &Db, dir: &Path, rounds: usize, copying: &AtomicBool) -> Outcome {
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut times = Vec::new();
    let mut log_bytes = Vec::new();
    for number in 0..rounds * COPIES {
        copying.store(true, Ordering::Relaxed);
        let (ms, made) = one(db, dir, number)?;
        copying.store(false, Ordering::Relaxed);
        times.push(ms);
        log_bytes.push(made.log_bytes as f64);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    print("beside a writer", &times);
    let (low, high) = range(log_bytes.iter().copied());
    println!("  bytes of logs copied: {:.1} to {:.1} MB", low / 1e6, high / 1e6);
    Ok(())
}

fn take(
    db: &Db,
    dir: &Path,
    rounds: usize,
    name: &str,
) -> Result<alluvium::Checkpoint, Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    let mut last = None;
    for number in 0..rounds * COPIES {
        let (ms, made) = one(db, dir, number)?;
        times.push(ms);
        last = Some(made);
    }
    print(name, &times);
    Ok(last.expect("there is a round"))
}

/// Makes a copy, looks whether it opens, and removes it. Returns the milliseconds that making it
/// took.
fn one(
    db: &Db,
    dir: &Path,
    number: usize,
) -> Result<(f64, alluvium::Checkpoint), Box<dyn std::error::Error>> {
    let path = dir.join(format!("copy {number}"));
    let start = Instant::now();
    let made = db.checkpoint(&path)?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    if number == 0 {
        let copy = Db::builder(&path).read_only(true).open()?;
        assert!(copy.first()?.is_some(), "the copy is empty");
    }
    std::fs::remove_dir_all(&path)?;
    Ok((ms, made))
}

fn print(name: &str, times: &[f64]) {
    let (low, high) = range(times.iter().copied());
    let median = median(times.iter().copied());
    println!("  {name}: {} copies, {low:.1} / {median:.1} / {high:.1} ms", times.len());
}
