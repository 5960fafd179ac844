//! `transactions`: what one of four reads and two writes costs beside the same without; how many
//! that meet on ten keys get through; and how long one waits for its turn beside a writer of its
//! key at full speed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alluvium::{Db, Error, Isolation, Stats, TransactionOptions, WriteBatch};

use crate::Outcome;
use crate::histogram::Histogram;
use crate::runner::{self, Rounds, median, range};
use crate::settings::Settings;
use crate::workload::{self, Workload};

const READS: u64 = 4;

/// Of the keys that were read, those that are written.
const WRITES: u64 = 2;

/// Keys that all meet on, and those that do.
const HOT: u64 = 10;
const THREADS: usize = 4;

/// How the calls of the first table are made.
#[derive(Clone, Copy)]
enum By {
    Batch,
    Hand(Isolation),
    Transact,
}

pub(crate) fn run(settings: &Settings) -> Outcome {
    let dir = workload::temp_dir(&settings.dir)?;
    alone(settings, &dir.path().join("alone"))?;
    println!("\n{THREADS} threads, two of {HOT} numbers raised in a `transact`, {} s a round", {
        settings.seconds
    });
    let mut lines = [const { Vec::new() }; 3];
    for number in 0..settings.rounds {
        let db = Db::open(dir.path().join(format!("hot {number}")))?;
        let (commits, stats) = meet(&db, settings)?;
        let seconds = settings.seconds as f64;
        let figures = [commits, stats.transaction_conflicts, stats.transaction_holds];
        for (line, figure) in lines.iter_mut().zip(figures) {
            line.push(figure as f64 / seconds);
        }
        db.close()?;
    }
    for (name, line) in ["commits", "conflicts", "turns by a hold"].iter().zip(&lines) {
        let (low, high) = range(line.iter().copied());
        let median = median(line.iter().copied());
        println!("  {name:<18} {low:>9.0} / {median:>9.0} / {high:>9.0} a second");
    }
    println!("\none `transact` of a key beside a writer of it at full speed, {} s a round", {
        settings.seconds
    });
    for number in 0..settings.rounds {
        let db = Db::open(dir.path().join(format!("turn {number}")))?;
        turns(&db, settings)?;
        db.close()?;
    }
    Ok(())
}

/// The first table: nobody else is there.
fn alone(settings: &Settings, path: &std::path::Path) -> Outcome {
    let keys = settings.memory;
    let workload = Workload::new(settings.seed);
    let db = Db::builder(path).compaction_threads(0).flush_bytes(2 << 30).memory_bytes(3 << 30);
    let db = db.open()?;
    (0..keys).try_for_each(|i| db.put(workload.key(i), workload.value(i)).map(drop))?;
    println!("transactions: {READS} gets and {WRITES} puts, of {keys} keys of 24 + 100 bytes");
    Rounds::print_heading("one thread, in memory");
    let kinds = [
        ("gets, and a batch", By::Batch),
        ("a transaction, Isolation::Snapshot", By::Hand(Isolation::Snapshot)),
        ("a transaction, Serializable", By::Hand(Isolation::Serializable)),
        ("Db::transact", By::Transact),
    ];
    let mut series = kinds.map(|_| Rounds::default());
    let ops = settings.n.min(200_000);
    for number in 0..settings.rounds as u64 {
        for ((_, by), rounds) in kinds.iter().zip(&mut series) {
            rounds.0.push(runner::run(1, ops, 1, |_, i| {
                let choice = |read| workload.choice(0, (number * ops + i) * READS + read, keys);
                once(&db, &workload, *by, choice).expect("nobody else is there");
            }));
        }
    }
    for ((name, _), rounds) in kinds.iter().zip(&series) {
        rounds.print(name);
    }
    Ok(db.close()?)
}

/// Reads the keys of these numbers and writes some of them.
fn once(db: &Db, workload: &Workload, by: By, choice: impl Fn(u64) -> u64) -> Result<(), Error> {
    let there = |value: Option<&[u8]>| assert!(value.is_some(), "a key is missing");
    let through = |tx: &alluvium::Transaction| {
        (0..READS).try_for_each(|read| tx.get_with(workload.key(choice(read)), there))?;
        (0..WRITES)
            .map(choice_of(&choice))
            .try_for_each(|i| tx.put(workload.key(i), workload.value(i + 1)))
    };
    match by {
        By::Batch => {
            (0..READS).try_for_each(|read| db.get_with(workload.key(choice(read)), there))?;
            let mut batch = WriteBatch::new();
            for i in (0..WRITES).map(choice_of(&choice)) {
                batch.put(workload.key(i), workload.value(i + 1));
            }
            db.write(&batch).map(drop)
        }
        By::Hand(isolation) => {
            let tx = db.transaction_with(TransactionOptions::new().isolation(isolation));
            through(&tx)?;
            tx.commit().map(drop)
        }
        By::Transact => db.transact(through).map(drop),
    }
}

fn choice_of(choice: &impl Fn(u64) -> u64) -> impl Fn(u64) -> u64 + '_ {
    move |write| choice(write)
}

/// Raises numbers for a while. How many transactions that took, which the sum has to agree with.
fn meet(db: &Db, settings: &Settings) -> Result<(u64, Stats), Box<dyn std::error::Error>> {
    let workload = &Workload::new(settings.seed);
    let over = Duration::from_secs(settings.seconds);
    let raise = |thread: usize| -> Result<u64, Error> {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < over {
            let first = workload.choice(thread, 2 * done, HOT);
            let second = (first + 1 + workload.choice(thread, 2 * done + 1, HOT - 1)) % HOT;
            db.transact(|tx| {
                for i in [first, second] {
                    let key = workload.key(i);
                    let raised = tx.get_with(key, number)? + 1;
                    tx.put(key, raised.to_le_bytes())?;
                }
                Ok::<_, Error>(())
            })?;
            done += 1;
        }
        Ok(done)
    };
    let commits = std::thread::scope(|scope| {
        let raise = &raise;
        let spawn = |thread| scope.spawn(move || raise(thread));
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        let done = threads.into_iter().map(|thread| thread.join().expect("a thread panicked"));
        done.sum::<Result<u64, Error>>()
    })?;
    let sum =
        (0..HOT).try_fold(0, |sum, i| Ok::<_, Error>(sum + db.get_with(workload.key(i), number)?));
    assert_eq!(sum?, 2 * commits, "what was raised got lost");
    Ok((commits, db.stats()))
}

fn number(value: Option<&[u8]>) -> u64 {
    value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Raises a number that another thread overwrites all the time.
fn turns(db: &Db, settings: &Settings) -> Outcome {
    let over = AtomicBool::new(false);
    let mut waits = Histogram::default();
    let mut lost_most = 0;
    let mut done = 0_u64;
    let (put, puts) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut puts = Histogram::default();
            let mut put = 0_u64;
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                db.put("k", [0; 8]).expect("it waits its turn");
                puts.add(start.elapsed().as_nanos() as u64);
                put += 1;
            }
            (put, puts)
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(settings.seconds) {
            let begun = Instant::now();
            let mut runs = 0_u64;
            let turn = db.transact(|tx| {
                runs += 1;
                let raised = tx.get_with("k", number)? + 1;
                tx.put("k", raised.to_le_bytes())
            });
            turn.expect("it gets its turn");
            done += 1;
            waits.add(begun.elapsed().as_nanos() as u64);
            lost_most = lost_most.max(runs - 1);
        }
        over.store(true, Ordering::Relaxed);
        writer.join().expect("the writer panicked")
    });
    let stats = db.stats();
    println!(
        "  {} transactions: p50 {:.1} us, p99 {:.0} us, longest {:.2} ms; {} lost runs, {} of one \
         at most, {} holds; {} puts beside, longest {:.2} ms",
        done,
        waits.quantile(0.5) as f64 / 1e3,
        waits.quantile(0.99) as f64 / 1e3,
        waits.max() as f64 / 1e6,
        stats.transaction_conflicts,
        lost_most,
        stats.transaction_holds,
        put,
        puts.max() as f64 / 1e6,
    );
    Ok(())
}
