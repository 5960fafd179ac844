//! `merge`: what merging writes, what it leaves, how fast it is, and what readers feel of it.
//!
//! One file per group of figures below this one; here are the two overlapping runs that two of them
//! merge, and the threads of the engine as the system sees them.

mod amplification;
mod latency;
mod speed;

use std::path::Path;

use alluvium::{Builder, Compression, Db, Keyspace, KeyspaceOptions};

use crate::Outcome;
use crate::settings::Settings;
use crate::workload::{KEY_BYTES, VALUE_BYTES, Workload};

/// Bytes of the key and the value of an entry.
const ENTRY_BYTES: u64 = (KEY_BYTES + VALUE_BYTES) as u64;

/// What Linux counts processor time in, on every machine that it tells programs about.
const TICKS_PER_SECOND: f64 = 100.0;

/// The names of the engine's threads, as far as the system keeps them.
const COMPACTOR: &str = "alluvium-compac";
const FLUSHER: &str = "alluvium-flush";

pub(crate) fn run(settings: &Settings) -> Outcome {
    println!("merge: 24-byte keys, 100-byte values, one compactor thread");
    let seed = settings.seed;
    let rounds = settings.rounds;
    println!("again: merge seed={seed} rounds={rounds} {}", settings.merge);
    match settings.merge.part.as_str() {
        "amplification" => amplification::run(settings),
        "speed" => speed::run(settings),
        "latency" => latency::run(settings),
        "all" => {
            amplification::run(settings)?;
            speed::run(settings)?;
            latency::run(settings)
        }
        other => Err(format!("merge has no part `{other}`").into()),
    }
}

/// A database of two runs with distinct keys that alternate in key order; returns how many keys
/// there are in all.
fn make_two_runs(settings: &Settings, workload: &Workload, path: &Path) -> alluvium::Result<u64> {
    // Few memtables, so that all of a run leaves in one flush.
    let builder = Db::builder(path).memtable_bytes(64 << 20).flush_bytes(1 << 30);
    let db = quiet(builder).open()?;
    let data = plain(&db)?;
    let keys = (settings.merge.mib << 20) / ENTRY_BYTES / 2;
    for run in 0..2 {
        for i in run * keys..(run + 1) * keys {
            data.put(workload.key(i), workload.value(i))?;
        }
        db.flush()?;
    }
    assert_eq!(db.stats().runs, 2, "too much for one flush: lower mib=");
    db.close()?;
    Ok(2 * keys)
}

/// Without merges that nobody asked for, and without syncs of the log.
fn quiet(builder: Builder) -> Builder {
    builder.compaction_threads(0).sync_every(std::time::Duration::ZERO)
}

/// The keyspace of all figures: without compression, of which the values would have little use.
fn plain(db: &Db) -> alluvium::Result<Keyspace> {
    db.keyspace_with("plain", KeyspaceOptions::new().compression(Compression::None))
}

/// A copy of a database that is closed. Segments never change, so their files are shared.
fn link_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let path = entry.path();
        let target = to.join(entry.file_name());
        if path.extension().is_some_and(|extension| extension == "seg") {
            std::fs::hard_link(path, target)?;
        } else {
            std::fs::copy(path, target)?;
        }
    }
    Ok(())
}

/// A thread of the engine, as the system sees it.
struct EngineThread {
    /// Runs, or would if a processor were free, or waits for the disk.
    is_awake: bool,
    /// Processor time so far, to a scheduler tick.
    cpu_seconds: f64,
}

/// The threads of this process whose names begin with it; none where the system does not tell.
fn engine_threads(name: &str) -> Vec<EngineThread> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let look = |dir: &Path| {
        let stat = std::fs::read_to_string(dir.join("stat")).ok()?;
        // `id (name) state ...`, the name cut to 15 bytes, of which no other field has brackets.
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<_> = after.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let thread = EngineThread {
            is_awake: *fields.first()? != "S",
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        };
        before.split_once('(')?.1.starts_with(name).then_some(thread)
    };
    tasks.filter_map(|task| look(&task.path())).collect()
}
