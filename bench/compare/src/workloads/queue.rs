//! A queue: each step puts at the tail, deletes at the head, and looks at the ten oldest. What was
//! deleted lies in front of what is read.

use crate::Result;
use crate::data::wrong;
use crate::engine::{Engine, Way};
use crate::measure::Recorder;
use crate::usage::Usage;
use crate::workloads::{Bench, Done};

/// How many wait in the queue.
const LIVE: u64 = 1_000;

const LOOKED_AT: u64 = 10;

pub(super) async fn run<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    for i in 0..LIVE {
        put(bench, i).await?;
    }
    let before = Usage::now();
    let mut recorder = Recorder::start();
    let mut head = 0;
    // Twice as long as other rows, so that there is something to merge.
    while recorder.elapsed() < bench.duration * 2 {
        put(bench, head + LIVE).await?;
        bench.engine.delete(&bench.data.queue_key(head)).await?;
        head += 1;
        look(bench, head)?;
        recorder.done(1);
    }
    Ok(Done::new(before, recorder.finish()))
}

async fn put<E: Engine>(bench: &Bench<E>, i: u64) -> Result<()> {
    let key = bench.data.queue_key(i);
    bench.engine.put(&key, bench.data.value(&key)).await
}

fn look<E: Engine>(bench: &Bench<E>, head: u64) -> Result<()> {
    let data = &bench.data;
    let mut seen = 0;
    let mut bad = None;
    bench.engine.scan(None, Way::Forward, LOOKED_AT, |key, value| {
        let want = data.queue_key(head + seen);
        if key != want || !data.is_right(key, value) {
            bad = bad.or(Some(want));
        }
        seen += 1;
    })?;
    match bad {
        Some(want) => wrong("the queue has another pair in the place of this", &want),
        None if seen != LOOKED_AT => wrong("the queue is too short from", &data.queue_key(head)),
        None => Ok(()),
    }
}
