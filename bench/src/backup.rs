//! `backup`: backups of a database of `n` values of 4,000 bytes in a directory beside it: the first
//! one, then one each time that 1 % of the keys was overwritten, at random or in one stretch; what
//! each moves, and how long it takes. At last a check and a restore.

use std::time::Instant;

use alluvium::{BackupOptions, Backups, Db, DirStore};

use crate::Outcome;
use crate::runner::{median, range};
use crate::settings::Settings;
use crate::workload::{self, Workload};

const VALUE_BYTES: usize = 4_000;

/// Backups of each kind of change, in a round.
const TIMES: u64 = 5;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;
    let db = workload.filled(&dir.path().join("data"), settings.n, VALUE_BYTES)?;
    db.compact()?;
    println!("backup: {} values of {VALUE_BYTES} bytes; seed {}", settings.n, settings.seed);
    let backups = Backups::new(DirStore::new(dir.path().join("backups")));
    let (ms, first) = one(&backups, &db)?;
    let bytes = first.bytes as f64;
    println!("  the first: {} segments, {:.2} GB; {ms:.0} ms", first.segments, bytes / 1e9);
    let changed = (settings.n / 100).max(1);
    let nothing = one(&backups, &db)?;
    println!("  nothing changed: {} bytes, {:.1} ms", nothing.1.new_bytes, nothing.0);
    for (name, stretch) in [("in one stretch", true), ("at random", false)] {
        let mut times = Vec::new();
        let mut moved = Vec::new();
        for turn in 0..settings.rounds as u64 * TIMES {
            for i in 0..changed {
                let at = if stretch {
                    turn * changed + i
                } else {
                    workload.choice(turn as usize, i, settings.n)
                };
                let key = workload.key(at % settings.n);
                db.put(key, workload.value_of(settings.n + turn * changed + i, VALUE_BYTES))?;
            }
            let (ms, made) = one(&backups, &db)?;
            times.push(ms);
            moved.push(made.new_bytes as f64 / 1e6);
        }
        let print = |what: &str, values: &[f64]| {
            let (low, high) = range(values.iter().copied());
            let middle = median(values.iter().copied());
            println!("  1 % changed {name}: {what} {low:.1} / {middle:.1} / {high:.1}");
        };
        print("MB moved", &moved);
        print("ms", &times);
    }
    let newest = backups.list()?.pop().expect("there are some");
    let start = Instant::now();
    assert!(backups.verify(newest.id)?.is_sound(), "a backup on a healthy disk is damaged");
    let verified = start.elapsed();
    let start = Instant::now();
    backups.restore(None, dir.path().join("restored"))?;
    let restored = start.elapsed();
    assert!(Db::open(dir.path().join("restored"))?.first()?.is_some(), "the restored one is empty");
    println!(
        "  check of {:.2} GB: {:.2} s; restore: {:.2} s",
        newest.bytes as f64 / 1e9,
        verified.as_secs_f64(),
        restored.as_secs_f64()
    );
    Ok(())
}

/// Makes one. Returns the milliseconds that it took.
fn one(
    backups: &Backups,
    db: &Db,
) -> Result<(f64, alluvium::BackupInfo), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let made = backups.create(db, &BackupOptions::new())?;
    Ok((start.elapsed().as_secs_f64() * 1e3, made))
}
