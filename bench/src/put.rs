//! `put`: what a buffered put takes in its caller, and where it goes.
//!
//! The breakdown runs three kinds of round in turns, so that other processes slow all alike: as
//! shipped; with the appends timed from inside; with the appends left out.
//! Encoding and hashing are timed alone. What remains is the commit section without its append: the
//! lock, the memtable insert, and what the flush thread takes away from it.

use std::sync::Arc;

use alluvium::{Builder, Db, WriteBatch};

use crate::Outcome;
use crate::limits;
use crate::probe_fs::{Appends, ProbeFs};
use crate::runner::{self, Round, Rounds, median};
use crate::settings::Settings;
use crate::workload::{self, Workload, bytes_on_disk};

/// One put in this many is timed by itself: a clock reading takes some 40 ns.
const TIMED_EVERY: u64 = 16;

/// Keys in a round of the breakdown: enough for several flushes.
const BREAKDOWN_KEYS: u64 = 1_000_000;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let n = settings.n;
    let threads = settings.threads;
    let workload = Workload::new(settings.seed);
    println!("put: {n} random 24-byte keys, 100-byte values, Buffered; seed {}", settings.seed);
    let mut after = Vec::new();
    let mut rounds = Rounds::default();
    let mut alone = Rounds::default();
    for _ in 0..settings.rounds {
        runner::reset_peak();
        let (round, facts) = one_round(settings, &workload, n, |builder| builder)?;
        rounds.0.push(round);
        after.push(facts);
        // In turns, so that other processes slow both alike.
        alone.0.push(one_round(settings, &workload, n, |builder| builder.compaction_threads(0))?.0);
    }
    Rounds::print_heading(&format!("threads: {threads}, one put in 16 timed for the percentiles"));
    rounds.print("put");
    alone.print("put, runs left unmerged");
    println!("\nafter each round:");
    after.iter().for_each(|facts| println!("  {facts}"));
    if threads == 1 && settings.breakdown {
        breakdown(settings, &workload)?;
    }
    Ok(())
}

/// Writes `n` keys to a new database, looks some of them up, and says how it was left.
fn one_round(
    settings: &Settings,
    workload: &Workload,
    n: u64,
    configure: impl FnOnce(Builder) -> Builder,
) -> Result<(Round, String), Box<dyn std::error::Error>> {
    let dir = workload::temp_dir(&settings.dir)?;
    let db = configure(Db::builder(dir.path().join("data"))).open()?;
    let threads = settings.threads as u64;
    let round = runner::run(settings.threads, n / threads, TIMED_EVERY, |thread, i| {
        let i = i * threads + thread as u64;
        db.put(workload.key(i), workload.value(i)).expect("a put to a healthy disk");
    });
    let stats = db.stats();
    let mut facts = format!(
        "{} flushes ({} MiB), {} runs, {} stalls ({} ms)",
        stats.flushes,
        stats.flush_bytes >> 20,
        stats.runs,
        stats.stalls,
        stats.stalled_us / 1_000,
    );
    let peak = runner::peak_memory().map_or("-".to_owned(), |bytes| (bytes >> 20).to_string());
    let disk = bytes_on_disk(&dir.path().join("data"))? >> 20;
    facts += &format!(", peak memory {peak} MiB, on disk {disk} MiB");
    let written = n / threads * threads;
    for i in (0..written).step_by((written / 1_000).max(1) as usize) {
        let found = db.get_with(workload.key(i), |value| value == Some(workload.value(i)))?;
        assert!(found, "key {i} of seed {} was not read back", settings.seed);
    }
    db.close()?;
    Ok((round, facts))
}

fn breakdown(settings: &Settings, workload: &Workload) -> Outcome {
    let n = settings.n.min(BREAKDOWN_KEYS);
    let [mut plain, mut timed, mut without] = [const { Vec::new() }; 3];
    let mut append = Vec::new();
    for _ in 0..settings.rounds.max(3) {
        plain.push(cpu(one_round(settings, workload, n, |builder| builder)?.0));
        let probe = Arc::new(ProbeFs::new(Appends::Timed));
        let fs = Arc::clone(&probe);
        timed.push(cpu(one_round(settings, workload, n, |builder| builder.fs(fs))?.0));
        assert!(probe.count() >= n, "the probe saw {} appends of {n}", probe.count());
        append.push(probe.times().quantile(0.5) as f64 - limits::clock_ns());
        let fs = Arc::new(ProbeFs::new(Appends::LeftOut));
        without.push(cpu(one_round(settings, workload, n, |builder| builder.fs(fs))?.0));
    }
    let mid = |values: &[f64]| median(values.iter().copied());
    let plain = mid(&plain);
    let without = mid(&without);
    let append = mid(&append);
    let parts = [
        ("the loop: key, clock", loop_ns(workload)),
        ("encode the record", encode_ns(workload)),
        ("checksum of its body", limits::checksum_ns(crate::sync::BODY_BYTES)),
        ("append, timed from inside", append),
    ];
    println!("\nbreakdown: medians of {n} puts, processor time in ns (appends: wall time, median)");
    let row = |name: &str, ns: f64| println!("  {name:<44} {ns:>8.0}");
    row("put as shipped", plain);
    row("put with the append left out", without);
    for (name, ns) in parts {
        row(name, ns);
    }
    let rest = plain - parts.iter().map(|(_, ns)| ns).sum::<f64>();
    row("the rest: section, insert, cache misses", rest);
    row("(put with the append timed)", mid(&timed));
    row("(pwrite of a record, alone; see limits)", limits::pwrite_ns(settings)?);
    Ok(())
}

/// Processor time of a put, which other processes touch less than wall time.
fn cpu(round: Round) -> f64 {
    round.cpu_ns.unwrap_or(round.ns)
}

/// What the measuring loop takes without a put.
fn loop_ns(workload: &Workload) -> f64 {
    limits::each(1_000_000, 1, |i| {
        std::hint::black_box((workload.key(i), workload.value(i)));
    })
}

/// Encoding a put into a buffer that is used again, through the public batch.
fn encode_ns(workload: &Workload) -> f64 {
    let batch = std::cell::RefCell::new(WriteBatch::new());
    let key = workload.key(0);
    limits::each(1_000_000, 1 << 40, |i| {
        let mut batch = batch.borrow_mut();
        batch.clear();
        batch.put(key, workload.value(i & 0xff));
        std::hint::black_box(&mut *batch);
    })
}
