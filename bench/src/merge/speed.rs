//! How fast one thread merges two overlapping runs whose files are in the page cache.
//!
//! Every entry survives, which is the most that a merge has to write. Rounds as shipped and rounds
//! without syncs alternate. Processor time is that of the compactor thread, system calls included:
//! it says what wall time would be with a processor to itself.

use std::time::Instant;

use alluvium::Db;

use super::{COMPACTOR, ENTRY_BYTES, engine_threads, link_files, make_two_runs, plain, quiet};
use crate::Outcome;
use crate::count_fs::{CountFs, Syncs};
use crate::runner::{median, range};
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// What one merge took, in seconds.
struct Times {
    wall: f64,
    cpu: Option<f64>,
    syncs: f64,
}

pub(super) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;
    let runs = dir.path().join("runs");
    let keys = make_two_runs(settings, &workload, &runs)?;
    let mb = (keys * ENTRY_BYTES) as f64 / 1e6;
    let mut shipped = Vec::new();
    let mut without = Vec::new();
    for _ in 0..settings.rounds {
        for (syncs, times) in [(Syncs::Timed, &mut shipped), (Syncs::LeftOut, &mut without)] {
            let copy = dir.path().join("copy");
            link_files(&runs, &copy)?;
            times.push(one_merge(&workload, keys, &copy, syncs)?);
            std::fs::remove_dir_all(&copy)?;
        }
    }
    println!(
        "\nmerge speed: two runs, {keys} entries, {mb:.0} MB of keys and values, uncompressed, read \
         from the page cache; MB of input in a second, median of {} (range)",
        settings.rounds
    );
    let row = |name: &str, seconds: Vec<f64>| {
        let rates = || seconds.iter().map(|seconds| mb / seconds);
        let (low, high) = range(rates());
        println!("  {name:<52} {:>6.0} ({low:.0}-{high:.0})", median(rates()));
    };
    let wall = |times: &[Times]| times.iter().map(|times| times.wall).collect();
    row("as shipped, 16 MiB segments, each synced", wall(&shipped));
    let rest = |times: &Times| times.wall - times.syncs;
    row("the same, less the time in syncs", shipped.iter().map(rest).collect());
    row("syncs left out (bar: 600)", wall(&without));
    row("the same, by processor time", without.iter().filter_map(|times| times.cpu).collect());
    let share = |times: &Times| times.syncs / times.wall * 100.0;
    println!("  as shipped, {:.0} % of the time is in syncs", median(shipped.iter().map(share)));
    Ok(())
}

fn one_merge(
    workload: &Workload,
    keys: u64,
    path: &std::path::Path,
    syncs: Syncs,
) -> Result<Times, Box<dyn std::error::Error>> {
    let fs = CountFs::new(syncs);
    let db = quiet(Db::builder(path)).fs(fs.clone()).open()?;
    let cpu = || engine_threads(COMPACTOR).first().map(|thread| thread.cpu_seconds);
    let synced = fs.sync_seconds();
    let before = cpu();
    let start = Instant::now();
    db.compact()?;
    let wall = start.elapsed().as_secs_f64();
    // Before it has run it may have no name yet.
    let cpu = cpu().map(|after| after - before.unwrap_or(0.0));
    let syncs = fs.sync_seconds() - synced;
    let stats = db.stats();
    assert_eq!((stats.runs, stats.segment_entries), (1, keys), "runs and entries after a merge");
    let data = plain(&db)?;
    for i in (0..keys).step_by(997) {
        let right = data.get_with(workload.key(i), |value| value == Some(workload.value(i)))?;
        assert!(right, "key {i} after a merge");
    }
    db.close()?;
    Ok(Times { wall, cpu, syncs })
}
