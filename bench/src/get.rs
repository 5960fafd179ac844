//! `get`: hits and misses, from memtables and from segments, in and out of the block cache; and
//! `multi_get`.

use std::path::Path;

use alluvium::{Db, Value};

use crate::Outcome;
use crate::runner::{self, Round, Rounds};
use crate::settings::Settings;
use crate::workload::{self, KEY_BYTES, Workload};

/// Gets of each thread in a round.
const GETS: u64 = 500_000;

/// Keys of one `multi_get`.
const MANY: u64 = 100;

type Keys = [[u8; KEY_BYTES]];

/// A block cache that holds everything, and one that holds next to nothing, in bytes.
const CACHE_LARGE: u64 = 8 << 30;
const CACHE_SMALL: u64 = 8 << 20;

pub(crate) fn run(settings: &Settings) -> Outcome {
    let workload = Workload::new(settings.seed);
    println!("get: 24-byte keys, 100-byte values, random order; seed {}", settings.seed);
    let dir = workload::temp_dir(&settings.dir)?;

    if settings.takes("memtables") {
        let db = open_in_memory(&dir.path().join("memtables"))?;
        load(&db, &workload, settings.memory)?;
        let stats = db.stats();
        assert_eq!(stats.runs, 0, "too many keys to stay in memory: lower memory=");
        let title = format!("{} keys in {} memtables", settings.memory, stats.memtables_sealed + 1);
        series(settings, &db, &workload, settings.memory, &title);
        db.close()?;
    }

    let path = dir.path().join("segments");
    let db = Db::open(&path)?;
    load(&db, &workload, settings.n)?;
    // One run, so that figures do not depend on how far merging has come.
    db.compact()?;
    db.close()?;
    let parts =
        [("cached", "in the cache", CACHE_LARGE), ("uncached", "out of the cache", CACHE_SMALL)];
    for (part, what, cache) in parts {
        if !settings.takes(part) {
            continue;
        }
        let db = Db::builder(&path).cache_bytes(cache).open()?;
        warm(&db, settings.n)?;
        let before = db.stats();
        let title = format!("{} keys in {} runs, {what}", settings.n, before.runs);
        series(settings, &db, &workload, settings.n, &title);
        let after = db.stats();
        let hits = after.cache_hits - before.cache_hits;
        let misses = after.cache_misses - before.cache_misses;
        let share = hits as f64 / (hits + misses).max(1) as f64 * 100.0;
        println!("  blocks: {hits} from the cache, {misses} from the file ({share:.1} %)");
        db.close()?;
    }
    Ok(())
}

/// A database that flushes nothing by itself, up to the number of memtables that it lets pile up.
pub(crate) fn open_in_memory(path: &Path) -> alluvium::Result<Db> {
    Db::builder(path).flush_bytes(1 << 30).memory_bytes(2 << 30).open()
}

pub(crate) fn load(db: &Db, workload: &Workload, n: u64) -> alluvium::Result<()> {
    (0..n).try_for_each(|i| db.put(workload.key(i), workload.value(i)).map(drop))
}

/// Reads everything once.
fn warm(db: &Db, n: u64) -> Outcome {
    let mut seen = 0;
    for kv in db.range(..) {
        kv?;
        seen += 1;
    }
    assert_eq!(seen, n, "keys that the scan found");
    Ok(())
}

fn series(settings: &Settings, db: &Db, workload: &Workload, n: u64, title: &str) {
    println!();
    Rounds::print_heading(title);
    let line = |name: &str, threads: usize, get: &(dyn Fn(usize, u64) + Sync)| {
        // The first round is not counted: it brings tables and blocks into the caches.
        runner::run(threads, GETS / 4, 16, |thread, i| get(thread, i | 1 << 63));
        let round = |round: usize| -> Round {
            let first = round as u64 * GETS;
            runner::run(threads, GETS, 16, |thread, i| get(thread, first + i))
        };
        Rounds::take(settings.rounds, round).print(name);
    };
    for threads in [1, 2] {
        line(&format!("hit, get_with, threads: {threads}"), threads, &|thread, i| {
            let i = workload.choice(thread, i, n);
            let right = db.get_with(workload.key(i), |value| value == Some(workload.value(i)));
            assert!(right.expect("a read from a healthy disk"), "key {i}");
        });
        line(&format!("hit, get, threads: {threads}"), threads, &|thread, i| {
            let i = workload.choice(thread, i, n);
            let value = db.get(workload.key(i)).expect("a read from a healthy disk");
            assert!(value.as_deref() == Some(workload.value(i)), "key {i}");
        });
        line(&format!("miss, get_with, threads: {threads}"), threads, &|thread, i| {
            let key = workload.absent_key(workload.choice(thread, i, 1 << 30));
            let found = db.get_with(key, |value| value.is_some());
            assert!(!found.expect("a read from a healthy disk"), "an absent key was found");
        });
    }
    let line = |name: &str, get: &(dyn Fn(&Keys) -> Vec<Option<Value>> + Sync)| {
        let many = |i: u64| -> Vec<u64> {
            (0..MANY).map(|key| workload.choice(0, MANY * i + key, n)).collect()
        };
        let round = |round: usize| -> Round {
            let first = round as u64 * GETS / MANY;
            runner::run(1, GETS / MANY, 1, |_, i| {
                let numbers = many(first + i);
                let keys: Vec<_> = numbers.iter().map(|&i| workload.key(i)).collect();
                for (value, i) in get(&keys).iter().zip(numbers) {
                    assert!(value.as_deref() == Some(workload.value(i)), "key {i}");
                }
            })
        };
        Rounds::take(settings.rounds, round).print(name);
    };
    line("100 keys by get", &|keys| {
        keys.iter().map(|key| db.get(key).expect("a read from a healthy disk")).collect()
    });
    line("100 keys by multi_get", &|keys| db.multi_get(keys).expect("a read from a healthy disk"));
}
