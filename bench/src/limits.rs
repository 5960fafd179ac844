//! `limits`: what the machine itself takes for the steps that the engine cannot avoid.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::Outcome;
use crate::runner::{self, Rounds, median};
use crate::settings::Settings;
use crate::workload;

/// Bytes of a record of one put of 24 + 100 bytes: a header of 40, the body, padding.
pub(crate) const RECORD_BYTES: usize = 40 + crate::sync::BODY_BYTES;

/// As large as the engine makes a log for memtables of 8 MiB.
const FILE_BYTES: u64 = 12 << 20;

/// What the engine writes at a time when it makes one.
const CHUNK_BYTES: usize = 4 << 10;

pub(crate) fn run(settings: &Settings) -> Outcome {
    Rounds::print_heading("limits of this machine");
    let rounds = settings.rounds;
    let simple = |name: &str, ops: u64, op: &(dyn Fn(u64) + Sync)| {
        Rounds::take(rounds, |_| runner::run(1, ops, 16, |_, i| op(i))).print(name);
    };
    simple("clock reading", 1_000_000, &|_| {
        std::hint::black_box(Instant::now());
    });
    let body = vec![7; crate::sync::BODY_BYTES];
    simple("checksum of 128 B (XXH3)", 1_000_000, &|_| {
        std::hint::black_box(twox_hash::XxHash3_64::oneshot(std::hint::black_box(&body)));
    });
    memcpy(rounds);
    let dir = workload::temp_dir(&settings.dir)?;
    for kib in [4, 256] {
        let file = prepared(&workload::temp_dir(&settings.dir)?, kib << 10)?;
        simple(&format!("pwrite of 168 B, file made by {kib} KiB"), 500_000, &|i| {
            file.write_all_at(&[1; RECORD_BYTES], record_at(i)).expect("a write to a healthy disk");
        });
    }
    let file = prepared(&dir, CHUNK_BYTES)?;
    simple("pread of 4 KiB from the page cache", 300_000, &|i| {
        let mut block = [0; 4096];
        let at = crate::workload::mix(i) % (FILE_BYTES / 4096) * 4096;
        file.read_exact_at(&mut block, at).expect("a read from a healthy disk");
        std::hint::black_box(&block);
    });
    simple("pwrite of 168 B and fdatasync", 1_000, &|i| {
        file.write_all_at(&[2; RECORD_BYTES], record_at(i)).expect("a write to a healthy disk");
        file.sync_data().expect("a sync of a healthy disk");
    });
    Ok(())
}

/// Copies of records to where no cache has them: the arena's case.
fn memcpy(rounds: usize) {
    let source = vec![3_u8; RECORD_BYTES];
    let target = RefCell::new(vec![0_u8; 64 << 20]);
    let records = target.borrow().len() / RECORD_BYTES;
    let round = |_| {
        let ns = each(1_000_000, 1 << 40, |i| {
            let at = i as usize % records * RECORD_BYTES;
            target.borrow_mut()[at..at + RECORD_BYTES].copy_from_slice(&source);
        });
        runner::Round { ns, per_second: 1e9 / ns, ..runner::Round::default() }
    };
    Rounds::take(rounds, round).print("copy of 168 B to memory");
}

/// Nanoseconds of a call of `op` on this thread; with `every` of 1 a clock reading is in each.
pub(crate) fn each(ops: u64, every: u64, op: impl Fn(u64)) -> f64 {
    let start = Instant::now();
    for i in 0..ops {
        op(i);
        if every == 1 {
            std::hint::black_box(Instant::now());
        }
    }
    start.elapsed().as_nanos() as f64 / ops as f64
}

/// A reading of the clock, which each timed operation has in it.
pub(crate) fn clock_ns() -> f64 {
    each(100_000, 1, |_| {})
}

pub(crate) fn checksum_ns(bytes: usize) -> f64 {
    let body = vec![7; bytes];
    each(1_000_000, 1 << 40, |_| {
        std::hint::black_box(twox_hash::XxHash3_64::oneshot(std::hint::black_box(&body)));
    })
}

/// An append as the engine makes it, with nothing around it.
pub(crate) fn pwrite_ns(settings: &Settings) -> std::io::Result<f64> {
    let dir = workload::temp_dir(&settings.dir)?;
    let file = prepared(&dir, CHUNK_BYTES)?;
    let round = |_| {
        each(300_000, 1 << 40, |i| {
            file.write_all_at(&[1; RECORD_BYTES], record_at(i)).expect("a write to a healthy disk");
        })
    };
    Ok(median((0..settings.rounds).map(round)))
}

/// A file that is written, `chunk` bytes at a time, and synced to its full length, as the engine's
/// spare logs are. The system keeps what was written at once in one piece of its cache, as far as
/// it can, and a later write into a large piece may cost more: hence the chunks.
fn prepared(dir: &tempfile::TempDir, chunk: usize) -> std::io::Result<File> {
    let path = dir.path().join("prepared");
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    let zeros = vec![0; chunk];
    for at in (0..FILE_BYTES).step_by(chunk) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_data()?;
    Ok(file)
}

fn record_at(i: u64) -> u64 {
    i * RECORD_BYTES as u64 % (FILE_BYTES - RECORD_BYTES as u64)
}
