//! `sync`: puts that wait for the device, and how callers share the wait.

use alluvium::{Db, Durability};

use crate::Outcome;
use crate::runner::{self, Rounds};
use crate::settings::Settings;
use crate::workload::{TempDir, Workload};

/// Bytes of the body of a put of 24 + 100 bytes: kind, keyspace, two lengths, key, value.
pub(crate) const BODY_BYTES: usize = 128;

/// Puts of each thread in a round.
const PUTS: u64 = 2_000;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    println!("sync: puts of 24 + 100 bytes, Durability::Sync; seed {}", settings.seed);
    Rounds::print_heading("each thread 2,000 puts");
    for threads in [1, 4, 16] {
        let dir = TempDir::new(&settings.dir)?;
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
    Ok(())
}
