//! Gets of keys that were never put, and lie among those that were.

use crate::Result;
use crate::data::wrong;
use crate::engine::Engine;
use crate::workloads::{Bench, Done};

pub(super) fn run<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    bench.repeat(1, 1, |thread, i| {
        let key = bench.data.absent_key(bench.data.choice(thread, i, bench.data.count()));
        if bench.engine.get(&key, |value| value.is_some())? {
            return wrong("a key that was never put is found", &key);
        }
        Ok(())
    })
}
