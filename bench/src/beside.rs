//! `beside`: gets beside a writer at full speed, where the engine's own threads want the cores too.
//!
//! Niceness is set from outside, by `renice`, thread by thread: what is found here need not have an
//! option. All settings take turns, each on a freshly opened database that was merged down.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alluvium::{Builder, Db};

use crate::Outcome;
use crate::histogram::Histogram;
use crate::runner::median;
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// Less than the data, so that gets go to the files, which are in the system's page cache.
const CACHE_BYTES: u64 = 256 << 20;

/// The niceness of the flush thread and of the compactors.
#[derive(Clone, Copy)]
struct Nice {
    flush: u8,
    compactor: u8,
}

/// What one turn came to.
struct Turn {
    gets: Histogram,
    gets_per_second: f64,
    puts: Histogram,
    puts_per_second: f64,
    runs: u64,
}

pub(crate) fn run(settings: &Settings) -> Outcome {
    let threads = settings.threads;
    println!(
        "beside: {threads} reading and one writing, all random keys, of {} of 24 + 100 bytes; a \
         block cache of {} MiB; {} s a turn; seed {}",
        settings.n,
        CACHE_BYTES >> 20,
        settings.seconds,
        settings.seed
    );
    let nices = parse(&settings.nice)?;
    let dir = workload::temp_dir(&settings.dir)?;
    let path = dir.path().join("data");
    let workload = Workload::new(settings.seed);
    load(&path, settings, &workload)?;
    let mut series: Vec<Vec<Turn>> = nices.iter().map(|_| Vec::new()).collect();
    for round in 0..settings.rounds {
        for (turns, nice) in series.iter_mut().zip(&nices) {
            turns.push(turn(&path, settings, &workload, *nice, round as u64)?);
        }
    }
    println!("medians over {} rounds; times in microseconds", settings.rounds);
    println!(
        "{:<22} {:>7} {:>7} {:>8} {:>8} {:>7} {:>9} {:>9} {:>7} {:>5}",
        "flush : compactor",
        "get p50",
        "p99",
        "p99.9",
        "max",
        "K/s",
        "put p99.9",
        "max",
        "K/s",
        "runs"
    );
    for (turns, nice) in series.iter().zip(&nices) {
        print(turns, &format!("nice {} : {}", nice.flush, nice.compactor));
    }
    Ok(())
}

/// From `0:0,0:10`.
fn parse(text: &str) -> Result<Vec<Nice>, Box<dyn std::error::Error>> {
    let mut nices = Vec::new();
    for pair in text.split(',') {
        let (flush, compactor) = pair.split_once(':').ok_or("nice=FLUSH:COMPACTOR,...")?;
        nices.push(Nice { flush: flush.parse()?, compactor: compactor.parse()? });
    }
    Ok(nices)
}

fn builder(path: &Path) -> Builder {
    Db::builder(path).cache_bytes(CACHE_BYTES)
}

fn load(path: &Path, settings: &Settings, workload: &Workload) -> Outcome {
    let db = builder(path).open()?;
    for i in 0..settings.n {
        db.put(workload.key(i), workload.value(i))?;
    }
    Ok(db.close()?)
}

fn turn(
    path: &Path,
    settings: &Settings,
    workload: &Workload,
    nice: Nice,
    round: u64,
) -> Result<Turn, Box<dyn std::error::Error>> {
    let db = builder(path).open()?;
    db.compact()?;
    set_nice("alluvium-flush", nice.flush)?;
    set_nice("alluvium-compactor", nice.compactor)?;
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (mut reads, writes) = std::thread::scope(|scope| {
        let stop = &stop;
        let db = &db;
        let read = |thread: usize| {
            move || {
                timed(stop, |i| {
                    let key = workload.choice(thread, round << 40 | i, settings.n);
                    let got = db.get(workload.key(key)).expect("a healthy disk");
                    assert_eq!(got.as_deref(), Some(workload.value(key)), "key number {key}");
                })
            }
        };
        let readers: Vec<_> = (1..=settings.threads).map(|at| scope.spawn(read(at))).collect();
        let writer = scope.spawn(move || {
            timed(stop, |i| {
                let key = workload.choice(0, round << 40 | i, settings.n);
                db.put(workload.key(key), workload.value(key)).expect("a healthy disk");
            })
        });
        std::thread::sleep(Duration::from_secs(settings.seconds));
        stop.store(true, Ordering::Relaxed);
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        let reads: Vec<(Histogram, u64)> = readers.into_iter().map(join).collect();
        (reads, join(writer))
    });
    let seconds = start.elapsed().as_secs_f64();
    let runs = db.stats().runs;
    db.close()?;
    let (mut gets, mut count) = reads.pop().ok_or("nobody has read")?;
    for (more, number) in &reads {
        gets.merge(more);
        count += number;
    }
    let (puts, written) = writes;
    let [gets_per_second, puts_per_second] = [count, written].map(|n| n as f64 / seconds);
    Ok(Turn { gets, gets_per_second, puts, puts_per_second, runs })
}

/// Each operation, from the end of the one before, until told to stop; and how many there were.
fn timed(stop: &AtomicBool, op: impl Fn(u64)) -> (Histogram, u64) {
    let mut histogram = Histogram::default();
    let mut count = 0;
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        op(count);
        let now = Instant::now();
        histogram.add((now - last).as_nanos() as u64);
        last = now;
        count += 1;
    }
    (histogram, count)
}

/// Makes this process's threads of a name yield more readily. Names are cut after 15 bytes there.
fn set_nice(name: &str, nice: u8) -> Outcome {
    if nice == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let comm = std::fs::read_to_string(entry.path().join("comm"))?;
        if comm.trim_end() != &name[..name.len().min(15)] {
            continue;
        }
        let mut renice = Command::new("renice");
        renice.args(["-n", &nice.to_string(), "-p"]).arg(entry.file_name());
        if !renice.stdout(Stdio::null()).status()?.success() {
            return Err(format!("{name} keeps its niceness").into());
        }
    }
    Ok(())
}

fn print(turns: &[Turn], name: &str) {
    let of = |figure: &dyn Fn(&Turn) -> f64| median(turns.iter().map(figure));
    let us = |ns: u64| ns as f64 / 1e3;
    println!(
        "{name:<22} {:>7.1} {:>7.1} {:>8.1} {:>8.0} {:>7.1} {:>9.1} {:>9.0} {:>7.1} {:>5.0}",
        of(&|turn| us(turn.gets.quantile(0.5))),
        of(&|turn| us(turn.gets.quantile(0.99))),
        of(&|turn| us(turn.gets.quantile(0.999))),
        of(&|turn| us(turn.gets.max())),
        of(&|turn| turn.gets_per_second / 1e3),
        of(&|turn| us(turn.puts.quantile(0.999))),
        of(&|turn| us(turn.puts.max())),
        of(&|turn| turn.puts_per_second / 1e3),
        of(&|turn| turn.runs as f64),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs() {
        let pairs = parse("0:0,3:19").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|nice| (nice.flush, nice.compactor)).collect();
        assert_eq!(pairs, [(0, 0), (3, 19)]);
        for bad in ["", "1", "1:x", "0:0,"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
