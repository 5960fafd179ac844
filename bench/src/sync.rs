//! `sync`: puts that wait for the device, and how callers share the wait.

use alluvium::{Db, Durability};

use crate::Outcome;
use crate::runner::{self, Round, Rounds};
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// Bytes of the body of a put of 24 + 100 bytes: kind, keyspace, two lengths, key, value.
pub(crate) const BODY_BYTES: usize = 128;

/// Puts of each thread in a round.
const PUTS: u64 = 2_000;

/// Values of the puts over several logs, and how many puts there are in a round.
const LONG_BYTES: usize = 4_000;
const LONG_PUTS: u64 = 5_000;

/// Syncs in a round, and puts before each.
const SYNCS: u64 = 125;
const PUTS_TO_A_SYNC: u64 = 1_000;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    println!("sync: puts of 24 + 100 bytes, Durability::Sync; seed {}", settings.seed);
    Rounds::print_heading("each thread 2,000 puts");
    for threads in [1, 4, 16] {
        let dir = workload::temp_dir(&settings.dir)?;
        let db = Db::open(dir.path().join("data"))?;
        let mut syncs = 0;
        let rounds = Rounds::take(settings.rounds, |round| {
            let before = db.stats().log_syncs;
            let done = runner::run(threads, PUTS, 1, |thread, i| {
                let i = ((round * threads + thread) as u64) * PUTS + i;
                db.put_with(workload.key(i), workload.value(i), Durability::Sync)
                    .expect("a put to a healthy disk");
            });
            syncs += db.stats().log_syncs - before;
            done
        });
        rounds.print(&format!("put, Sync, threads: {threads}"));
        let puts = PUTS * (threads * settings.rounds) as u64;
        println!("{:<38} {:.1} puts to a sync", "", puts as f64 / syncs.max(1) as f64);
        db.close()?;
    }
    rotations(settings, &workload)
}

/// Puts and syncs while one log follows another: what the first sync of each costs shows in the
/// upper percentiles.
fn rotations(settings: &Settings, workload: &Workload) -> Outcome {
    println!(
        "\none thread; a log holds some 1,000 puts of 24 + 4,000 bytes, or 25,000 of 24 + 100"
    );
    Rounds::print_heading("each round over 5 logs");
    let mut puts = Rounds::default();
    let mut syncs = Rounds::default();
    for _ in 0..settings.rounds {
        puts.0.push(on_used_logs(settings, workload, |db| {
            runner::run(1, LONG_PUTS, 1, |_, i| {
                let value = workload.value_of(i, LONG_BYTES);
                db.put_with(workload.key(i), value, Durability::Sync)
                    .expect("a put to a healthy disk");
            })
        })?);
        syncs.0.push(on_used_logs(settings, workload, |db| {
            runner::run(1, SYNCS, 1, |_, sync| {
                for i in sync * PUTS_TO_A_SYNC..(sync + 1) * PUTS_TO_A_SYNC {
                    db.put(workload.key(i), workload.value(i)).expect("a put to a healthy disk");
                }
                db.sync().expect("a sync of a healthy disk");
            })
        })?);
    }
    puts.print("put of 24 + 4,000 bytes, Sync");
    syncs.print("1,000 puts, Buffered, and a sync()");
    Ok(())
}

/// A round on a database that has flushed, so that its log files are used again: making them takes
/// the device as well.
fn on_used_logs(
    settings: &Settings,
    workload: &Workload,
    round: impl FnOnce(&Db) -> Round,
) -> Result<Round, Box<dyn std::error::Error>> {
    let dir = workload::temp_dir(&settings.dir)?;
    let db = Db::builder(dir.path().join("data")).compaction_threads(0).open()?;
    for i in 0..LONG_PUTS + LONG_PUTS / 5 {
        db.put(workload.absent_key(i), workload.value_of(i, LONG_BYTES))?;
    }
    db.flush()?;
    let round = round(&db);
    db.close()?;
    Ok(round)
}
