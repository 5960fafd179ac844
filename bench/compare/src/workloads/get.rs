//! Gets of keys that are there, each as likely as another.

use crate::Result;
use crate::data::wrong;
use crate::engine::Engine;
use crate::workloads::{Bench, Done};

pub(super) fn run<E: Engine>(bench: &Bench<E>, threads: u64) -> Result<Done> {
    bench.repeat(threads, 1, |thread, i| {
        one(bench, bench.data.choice(thread, i, bench.data.count()))
    })
}

/// Gets key number `i`, and looks whether the value is right.
#[inline]
pub(crate) fn one<E: Engine>(bench: &Bench<E>, i: u64) -> Result<()> {
    let key = bench.data.key(i);
    let right = |value: Option<&[u8]>| value.map(|value| bench.data.is_right(&key, value));
    match bench.engine.get(&key, right)? {
        Some(true) => Ok(()),
        Some(false) => wrong("another value than was put", &key),
        None => wrong("a key that was put is not found", &key),
    }
}
