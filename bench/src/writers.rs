//! `writers`: what more threads that write bring, as a ratio to one.

use alluvium::{Builder, Db, WriteBatch};

use crate::Outcome;
use crate::runner::{self, Rounds};
use crate::settings::Settings;
use crate::workload::{self, Workload};

const THREADS: [usize; 4] = [1, 2, 4, 8];

/// The most puts of a line, all threads together: what fits into the memory below.
const PUTS_MAX: u64 = 4_000_000;

const BATCH: u64 = 100;

/// What is written, in one operation of `BATCH` puts or of one.
#[derive(Clone, Copy)]
enum Load {
    Uniform,
    HotKey,
    Batches,
}

pub(crate) fn run(settings: &Settings) -> Outcome {
    let n = settings.n.min(PUTS_MAX);
    println!("writers: {n} puts of 24 + 100 bytes in all, Buffered; seed {}", settings.seed);
    println!("thousands of puts a second, and the ratio to one thread of the same round (median)");
    let heading = THREADS.map(|threads| format!("{threads} threads     ratio"));
    println!(
        "{:<36} {:>18} {:>18} {:>18} {:>18}",
        "", heading[0], heading[1], heading[2], heading[3]
    );
    for (name, load) in [
        ("random keys", Load::Uniform),
        ("one key", Load::HotKey),
        ("batches of 100", Load::Batches),
    ] {
        line(settings, n, load, &format!("{name}, nothing flushed"), &|builder| {
            builder.compaction_threads(0).flush_bytes(2 << 30).memory_bytes(3 << 30)
        })?;
        line(settings, n, load, &format!("{name}, flushed and merged"), &|builder| builder)?;
    }
    Ok(())
}

/// All numbers of threads in turns, so that what else goes on meets all alike.
fn line(
    settings: &Settings,
    n: u64,
    load: Load,
    name: &str,
    configure: &dyn Fn(Builder) -> Builder,
) -> Outcome {
    let workload = Workload::new(settings.seed);
    let mut series = THREADS.map(|_| Rounds::default());
    for _ in 0..settings.rounds {
        for (rounds, threads) in series.iter_mut().zip(THREADS) {
            let dir = workload::temp_dir(&settings.dir)?;
            let db = configure(Db::builder(dir.path().join("data"))).open()?;
            let puts = if let Load::Batches = load { BATCH } else { 1 };
            let each = n / puts / threads as u64;
            let mut round = runner::run(threads, each, u64::MAX, |thread, i| {
                write(&db, &workload, load, i * threads as u64 + thread as u64);
            });
            round.per_second *= puts as f64;
            rounds.0.push(round);
            db.close()?;
        }
    }
    print!("{name:<36}");
    let one: Vec<f64> = series[0].0.iter().map(|round| round.per_second).collect();
    for rounds in &series {
        let all = || rounds.0.iter().map(|round| round.per_second);
        let ratio = runner::median(all().zip(&one).map(|(many, one)| many / one));
        print!(" {:>12.0} {ratio:>5.2}", runner::median(all()) / 1e3);
    }
    println!();
    Ok(())
}

fn write(db: &Db, workload: &Workload, load: Load, i: u64) {
    let written = match load {
        Load::Uniform => db.put(workload.key(i), workload.value(i)),
        Load::HotKey => db.put(workload.key(0), workload.value(i)),
        Load::Batches => {
            let mut batch = WriteBatch::new();
            for i in i * BATCH..(i + 1) * BATCH {
                batch.put(workload.key(i), workload.value(i));
            }
            db.write(&batch)
        }
    };
    written.expect("a write to a healthy disk");
}
