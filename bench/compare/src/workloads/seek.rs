//! Short scans: from a key that is there, ten pairs in either direction.

use crate::Result;
use crate::data::{Key, wrong};
use crate::engine::{Engine, Way};
use crate::workloads::{Bench, Done};

const PAIRS: u64 = 10;

pub(super) fn run<E: Engine>(bench: &Bench<E>, way: Way) -> Result<Done> {
    bench
        .repeat(1, 1, |thread, i| one(bench, way, bench.data.choice(thread, i, bench.data.count())))
}

/// Seeks key number `from`, and looks whether ten pairs from there are right.
#[inline]
pub(crate) fn one<E: Engine>(bench: &Bench<E>, way: Way, from: u64) -> Result<()> {
    let data = &bench.data;
    let start = data.key(from);
    let there = match way {
        Way::Forward => data.count() - from,
        Way::Backward => from + 1,
    };
    let mut seen = 0;
    let mut bad: Option<Key> = None;
    bench.engine.scan(Some(&start), way, PAIRS, |key, value| {
        let want = match way {
            Way::Forward => data.key(from + seen),
            Way::Backward => data.key(from - seen),
        };
        if key != want || !data.is_right(key, value) {
            bad = bad.or(Some(want));
        }
        seen += 1;
    })?;
    match bad {
        Some(want) => wrong("a scan has another pair in the place of this", &want),
        None if seen != there.min(PAIRS) => wrong("a scan has too few pairs from here", &start),
        None => Ok(()),
    }
}

/// Scans forward from key number `from`, where others were inserted: looks whether the first is
/// that one, all are in order, and each has its value.
pub(super) fn among_inserted<E: Engine>(bench: &Bench<E>, from: u64, limit: u64) -> Result<()> {
    let data = &bench.data;
    let start = data.key(from);
    let mut last: Option<Key> = None;
    let mut seen = 0;
    let mut bad = false;
    bench.engine.scan(Some(&start), Way::Forward, limit, |key, value| {
        let first_or_later = last.map_or(key == start, |last| key > &last[..]);
        bad |= !first_or_later || !data.is_right(key, value);
        last = key.try_into().ok();
        seen += 1;
    })?;
    if bad || seen < limit.min(data.count() - from) || seen > limit {
        return wrong("a scan has wrong pairs, or too few, from here", &start);
    }
    Ok(())
}
