//! Scans of all pairs, each of which is looked at.

use crate::Result;
use crate::data::wrong;
use crate::engine::{Engine, Way};
use crate::measure::Recorder;
use crate::usage::Usage;
use crate::workloads::{Bench, Done};

/// How long a pair may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Until the next one.
    Lent,
    /// As long as the caller likes; with LMDB as long as the read transaction.
    Kept,
}

pub(super) fn run<E: Engine>(bench: &Bench<E>, way: Way, hold: Hold) -> Result<Done> {
    bench.warm()?;
    // Into the caches of the processor, and for those whose gets bring nothing into a cache.
    all(bench, way, hold, bench.data.count())?;
    let before = Usage::now();
    let mut recorder = Recorder::start();
    while recorder.elapsed() < bench.duration {
        recorder.done(all(bench, way, hold, bench.data.count())?);
    }
    Ok(Done::new(before, recorder.finish()))
}

/// Scans from an end, at most `limit` pairs, and says how many it has seen.
pub(crate) fn all<E: Engine>(bench: &Bench<E>, way: Way, hold: Hold, limit: u64) -> Result<u64> {
    let data = &bench.data;
    let mut seen = 0;
    let mut bad = None;
    let see = |key: &[u8], value: &[u8]| {
        let want = match way {
            Way::Forward => data.key(seen),
            Way::Backward => data.key(data.count() - 1 - seen.min(data.count() - 1)),
        };
        if key != want || !data.is_right(key, value) {
            bad = bad.or(Some(want));
        }
        seen += 1;
    };
    match hold {
        Hold::Lent => bench.engine.scan(None, way, limit, see)?,
        Hold::Kept => bench.engine.scan_kept(None, way, limit, see)?,
    }
    if let Some(want) = bad {
        wrong("a scan has another pair in the place of this", &want)?;
    }
    if seen != limit {
        wrong("a scan of all has too few pairs; the last is", &data.key(seen.max(1) - 1))?;
    }
    Ok(seen)
}
