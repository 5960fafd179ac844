//! A hundred random keys: a get each, and one call for all.

use crate::Result;
use crate::data::{Key, wrong};
use crate::engine::Engine;
use crate::workloads::{Bench, Done, get};

const KEYS: u64 = 100;

pub(super) fn one_by_one<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    bench.repeat(1, KEYS, |thread, i| {
        let choice = |j| bench.data.choice(thread, i * KEYS + j, bench.data.count());
        (0..KEYS).try_for_each(|j| get::one(bench, choice(j)))
    })
}

pub(super) fn together<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    bench.repeat(1, KEYS, |thread, i| {
        let choice = |j| bench.data.choice(thread, i * KEYS + j, bench.data.count());
        let keys: Vec<Key> = (0..KEYS).map(|j| bench.data.key(choice(j))).collect();
        let mut right = 0;
        let mut bad = None;
        bench.engine.multi_get(&keys, |at, value| match value {
            Some(value) if bench.data.is_right(&keys[at], value) => right += 1,
            _ => bad = Some(at),
        })?;
        match bad {
            Some(at) => wrong("another value than was put, or none", &keys[at]),
            None if right < KEYS => wrong("fewer values than keys", &keys[0]),
            None => Ok(()),
        }
    })
}
