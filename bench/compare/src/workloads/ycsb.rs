//! YCSB with records of 1 KB, on one thread: A and B read and update, E scans and inserts. C, which
//! only reads, is `zipf`.

use crate::Result;
use crate::data::Zipf;
use crate::engine::Engine;
use crate::measure::Recorder;
use crate::usage::Usage;
use crate::workloads::{Bench, Done, get, seek};

/// Numbers of what a choice is about.
const WHICH: u64 = 2;
const LENGTH: u64 = 3;

/// Pairs of a scan at most.
const SCAN_PAIRS_MAX: u64 = 100;

/// Of a hundred operations, this many update and the others read.
pub(super) async fn updates<E: Engine>(bench: &Bench<E>, percent: u64) -> Result<Done> {
    let zipf = Zipf::new(&bench.data);
    bench.warm()?;
    let before = Usage::now();
    let mut recorder = Recorder::start();
    let mut i = 0;
    while recorder.elapsed() < bench.duration {
        let number = zipf.draw(i);
        if bench.data.choice(WHICH, i, 100) < percent {
            let key = bench.data.key(number);
            bench.engine.put(&key, bench.data.value(&key)).await?;
        } else {
            get::one(bench, number)?;
        }
        recorder.done(1);
        i += 1;
    }
    Ok(Done::new(before, recorder.finish()))
}

/// Of a hundred operations, 5 insert and the others scan 1 to 100 pairs.
pub(super) async fn scans<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    let zipf = Zipf::new(&bench.data);
    bench.warm()?;
    let before = Usage::now();
    let mut recorder = Recorder::start();
    let mut i = 0;
    let mut inserted = 0;
    while recorder.elapsed() < bench.duration {
        if bench.data.choice(WHICH, i, 100) < 5 && inserted < bench.data.count() {
            let key = bench.data.absent_key(bench.data.shuffled(inserted));
            bench.engine.put(&key, bench.data.value(&key)).await?;
            inserted += 1;
        } else {
            let length = 1 + bench.data.choice(LENGTH, i, SCAN_PAIRS_MAX);
            seek::among_inserted(bench, zipf.draw(i), length)?;
        }
        recorder.done(1);
        i += 1;
    }
    Ok(Done::new(before, recorder.finish()))
}
