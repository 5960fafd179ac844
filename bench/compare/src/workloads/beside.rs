//! Gets beside a writer that overwrites random keys as fast as it can. Both are counted: who slows
//! the writer down reads in peace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::measure::{Recorder, Timed};
use crate::usage::Usage;
use crate::workloads::{Bench, Done, get};

pub(super) async fn run<E: Engine>(bench: Arc<Bench<E>>) -> Result<Done> {
    bench.warm()?;
    let before = Usage::now();
    let stop = Arc::new(AtomicBool::new(false));
    // Twice as long as other rows, because what happens seldom is of interest.
    let reader = std::thread::spawn({
        let bench = Arc::clone(&bench);
        let stop = Arc::clone(&stop);
        move || {
            let read = read(&bench, bench.duration * 2);
            // It is a flag alone.
            stop.store(true, Ordering::Relaxed);
            read
        }
    });
    let writer = write(&bench, &stop).await?;
    let timed = reader.join().expect("the reader panicked")?;
    Ok(Done { writer: Some(writer), ..Done::new(before, timed) })
}

fn read<E: Engine>(bench: &Bench<E>, duration: Duration) -> Result<Timed> {
    let mut recorder = Recorder::start();
    let mut i = 0;
    while recorder.elapsed() < duration {
        get::one(bench, bench.data.choice(0, i, bench.data.count()))?;
        recorder.done(1);
        i += 1;
    }
    Ok(recorder.finish())
}

async fn write<E: Engine>(bench: &Bench<E>, stop: &AtomicBool) -> Result<Timed> {
    let mut recorder = Recorder::start();
    let mut i = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = bench.data.key(bench.data.choice(1, i, bench.data.count()));
        bench.engine.put(&key, bench.data.value(&key)).await?;
        recorder.done(1);
        i += 1;
    }
    Ok(recorder.finish())
}
