//! Loading an empty database: ascending keys in batches, and random order one by one.
//!
//! A load that is not done in time is cut; its rate is of what was done, which is kind to it, because
//! its database is smaller than that of the others.

use crate::Result;
use crate::data::Key;
use crate::engine::Engine;
use crate::measure::Recorder;
use crate::usage::Usage;
use crate::workloads::{Bench, Done};

const BATCH_KEYS: u64 = 100;

/// Keys of a batch of what is loaded for other rows, where one batch is as good as another.
const BASE_BATCH_KEYS: u64 = 1_000;

/// Bytes of such a batch at most.
const BASE_BATCH_BYTES: u64 = 1 << 20;

pub(super) async fn batches<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    let before = Usage::now();
    let mut recorder = Recorder::start();
    let mut next = 0;
    while next < bench.data.count() && recorder.elapsed() < bench.load_max {
        let end = (next + BATCH_KEYS).min(bench.data.count());
        put_all(bench, (next..end).map(|i| bench.data.key(i))).await?;
        recorder.done(end - next);
        next = end;
    }
    let cut = next < bench.data.count();
    Ok(Done { cut, ..Done::new(before, recorder.finish()) })
}

pub(super) async fn random<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    let before = Usage::now();
    let mut recorder = Recorder::start();
    let mut next = 0;
    while next < bench.data.count() && recorder.elapsed() < bench.load_max {
        let key = bench.data.key(bench.data.shuffled(next));
        bench.engine.put(&key, bench.data.value(&key)).await?;
        recorder.done(1);
        next += 1;
    }
    let cut = next < bench.data.count();
    Ok(Done { cut, ..Done::new(before, recorder.finish()) })
}

pub(super) async fn base<E: Engine>(bench: &Bench<E>) -> Result<()> {
    let step = (BASE_BATCH_BYTES / bench.data.entry_bytes()).clamp(1, BASE_BATCH_KEYS);
    let mut next = 0;
    while next < bench.data.count() {
        let end = (next + step).min(bench.data.count());
        put_all(bench, (next..end).map(|i| bench.data.key(bench.data.shuffled(i)))).await?;
        next = end;
    }
    Ok(())
}

async fn put_all<E: Engine>(bench: &Bench<E>, keys: impl Iterator<Item = Key>) -> Result<()> {
    let pairs: Vec<_> = keys.map(|key| (key, bench.data.value(&key))).collect();
    bench.engine.put_all(&pairs).await
}
