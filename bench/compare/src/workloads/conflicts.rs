//! Four threads that each add one to two of ten numbers, in one transaction that is run again until
//! it commits. Only engines whose transactions lose to others are asked: where one writer comes
//! after the other nobody loses. In the end the numbers have to add up.

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::data::Data;
use crate::engine::Optimistic;
use crate::measure::{Recorder, Timed};
use crate::usage::Usage;
use crate::workloads::Done;

const THREADS: u64 = 4;

/// Numbers that they meet on.
const HOT: u64 = 10;

pub(crate) fn run<O: Optimistic>(
    engine: &Arc<O>,
    data: &Arc<Data>,
    duration: Duration,
) -> Result<Done> {
    let before = Usage::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let engine = Arc::clone(engine);
            let data = Arc::clone(data);
            let adding = Arc::clone(&engine);
            std::thread::spawn(move || engine.drive(add(adding, data, thread, duration)))
        })
        .collect();
    let mut all: Option<Timed> = None;
    for thread in threads {
        let timed = thread.join().expect("the thread panicked")?;
        all = Some(all.map_or_else(|| timed.clone(), |all| all.beside(&timed)));
    }
    let timed = all.expect("there are threads");
    let mut sum = 0;
    for number in 0..HOT {
        sum += engine.number(&data.key(number))?;
    }
    if sum != 2 * timed.ops {
        return Err(format!("wrong answer: {} additions came to {sum}", 2 * timed.ops).into());
    }
    Ok(Done::new(before, timed))
}

async fn add<O: Optimistic>(
    engine: Arc<O>,
    data: Arc<Data>,
    thread: u64,
    duration: Duration,
) -> Result<Timed> {
    let mut recorder = Recorder::start();
    let mut i = 0;
    while recorder.elapsed() < duration {
        let first = data.choice(thread, 2 * i, HOT);
        let second = (first + 1 + data.choice(thread, 2 * i + 1, HOT - 1)) % HOT;
        engine.add([data.key(first), data.key(second)]).await?;
        recorder.done(1);
        i += 1;
    }
    Ok(recorder.finish())
}

/// One more than the number that a value is; no value is none.
pub(crate) fn one_more(value: Option<&[u8]>) -> [u8; 8] {
    (number(value) + 1).to_le_bytes()
}

/// The number that a value is.
pub(crate) fn number(value: Option<&[u8]>) -> u64 {
    value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes)
}
