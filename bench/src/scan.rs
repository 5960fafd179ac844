//! `scan`: all keys forward and backward, and short scans from random places.

use alluvium::{Db, Range};

use crate::Outcome;
use crate::get::{load, open_in_memory};
use crate::runner::{self, Rounds};
use crate::settings::Settings;
use crate::workload::{self, Workload};

/// Short scans in a round.
const SEEKS: u64 = 50_000;

/// Keys of one timed step of a long scan.
const STEP_KEYS: u64 = 100;

/// Keys that a short scan reads.
const SEEK_KEYS: usize = 10;

/// Longer scans are cut here, so that one direction does not take all day.
const SCAN_KEYS_MAX: u64 = 2_000_000;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    println!("scan: 24-byte keys, 100-byte values; seed {}", settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;

    let db = open_in_memory(&dir.path().join("memtables"))?;
    load(&db, &workload, settings.memory)?;
    let tables = db.stats().memtables_sealed + 1;
    assert_eq!(db.stats().runs, 0, "too many keys to stay in memory: lower memory=");
    let title = format!("{} keys in {tables} memtables", settings.memory);
    series(settings, &db, &workload, settings.memory, &title);
    db.close()?;

    let db = Db::open(dir.path().join("segments"))?;
    load(&db, &workload, settings.n)?;
    db.flush()?;
    let title = format!("{} keys in {} runs", settings.n, db.stats().runs);
    series(settings, &db, &workload, settings.n, &title);
    db.close()?;
    Ok(())
}

fn series(settings: &Settings, db: &Db, workload: &Workload, n: u64, title: &str) {
    println!();
    Rounds::print_heading(title);
    let keys = n.min(SCAN_KEYS_MAX);
    let all = |name: &str, step: &(dyn Fn(&mut Range, &mut Vec<u8>) + Sync)| {
        let round = |_| {
            let range = std::sync::Mutex::new((db.range(..), Vec::new()));
            runner::run(1, keys / STEP_KEYS, 16, |_, _| {
                // One thread: the lock is a formality.
                let (range, last) = &mut *range.lock().expect("no step panics");
                (0..STEP_KEYS).for_each(|_| step(range, last));
            })
        };
        Rounds::take(settings.rounds, round).print(name);
    };
    all("100 keys forward, to keep", &|range, last| {
        check(range.next().map(|pair| pair.map(|(key, value)| note(last, &key, &value))));
    });
    all("100 keys backward, to keep", &|range, last| {
        check(range.next_back().map(|pair| pair.map(|(key, value)| note(last, &key, &value))));
    });
    all("100 keys forward, lent", &|range, last| {
        check(range.lend().map(|pair| pair.map(|(key, value)| note(last, key, value))));
    });
    all("100 keys backward, lent", &|range, last| {
        check(range.lend_back().map(|pair| pair.map(|(key, value)| note(last, key, value))));
    });
    let short = |name: &str, take: &(dyn Fn([u8; 24]) -> usize + Sync)| {
        let round = |round: usize| {
            let first = round as u64 * SEEKS;
            runner::run(1, SEEKS, 16, |thread, i| {
                let at = workload.key(workload.choice(thread, first + i, n));
                assert!(take(at) <= SEEK_KEYS, "a short scan is short");
            })
        };
        Rounds::take(settings.rounds, round).print(name);
    };
    short("seek and 10 forward, a scan", &|at| read_all(db.range(at..).take(SEEK_KEYS)));
    short("seek and 10 backward, a scan", &|at| read_all(db.range(..=at).rev().take(SEEK_KEYS)));
}

fn check(step: Option<alluvium::Result<()>>) {
    step.expect("as many keys as were written").expect("healthy");
}

/// Looks at a pair, and keeps its key to tell whether it comes twice.
fn note(last: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    assert!(last != key && !value.is_empty(), "a key came twice");
    last.clear();
    last.extend_from_slice(key);
}

/// How many pairs there are, each read.
fn read_all(pairs: impl Iterator<Item = alluvium::Result<Pair>>) -> usize {
    pairs.inspect(|pair| assert!(pair.is_ok(), "healthy")).count()
}

type Pair = (alluvium::Value, alluvium::Value);
