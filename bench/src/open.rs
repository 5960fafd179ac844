//! `open`: reopening after a kill, with 64 MiB of log to recover.
//!
//! A child process writes the log and is killed. Each round opens a copy of what it left, because
//! recovery and the close after it change the directory. The copy is in the page cache, as after
//! the death of a process; after a power loss the device's reading time comes on top.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Outcome;
use crate::limits::RECORD_BYTES;
use crate::runner::{median, range};
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// Bytes of records to recover.
const LOG_BYTES: u64 = 64 << 20;

const KEYS: u64 = LOG_BYTES / RECORD_BYTES as u64;

/// What the child says once everything is acknowledged.
const READY: &str = "written";

pub(crate) fn run(settings: &Settings) -> Outcome {
    let dir = workload::temp_dir(&settings.dir)?;
    let left = dir.path().join("left");
    write_and_kill(settings, &left)?;
    let workload = Workload::new(settings.seed);
    let mut times = Vec::new();
    // More rounds than elsewhere: each is short.
    for _ in 0..settings.rounds.max(3) * 3 {
        let copy = dir.path().join("copy");
        copy_files(&left, &copy)?;
        let start = Instant::now();
        let db = crate::get::open_in_memory(&copy)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(db.stats().runs, 0, "everything must come from the log");
        assert_eq!(db.len()?, KEYS, "keys that the recovery found");
        for i in (0..KEYS).step_by(97) {
            let right = db.get_with(workload.key(i), |value| value == Some(workload.value(i)))?;
            assert!(right, "key {i} was not recovered");
        }
        db.close()?;
        std::fs::remove_dir_all(&copy)?;
    }
    let (low, high) = range(times.iter().copied());
    println!("open: {KEYS} puts in {} MiB of log; seed {}", LOG_BYTES >> 20, settings.seed);
    println!(
        "  {} rounds: min {low:.1} ms, median {:.1} ms, max {high:.1} ms (bar: under 150 ms)",
        times.len(),
        median(times.iter().copied()),
    );
    Ok(())
}

fn write_and_kill(settings: &Settings, path: &Path) -> Outcome {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("open-child")
        .arg(format!("dir={}", path.display()))
        .arg(format!("seed={}", settings.seed))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().expect("it was asked for");
    BufReader::new(output).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line.trim_end() != READY {
        return Err("the writing process ended before everything was written".into());
    }
    Ok(())
}

/// Writes the log, says so, and waits to be killed.
pub(crate) fn run_child(settings: &Settings) -> Outcome {
    let db = crate::get::open_in_memory(&settings.dir)?;
    crate::get::load(&db, &Workload::new(settings.seed), KEYS)?;
    assert_eq!(db.stats().flushes, 0, "everything must be in the log");
    println!("{READY}");
    // Ends by itself only if the parent is gone.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
