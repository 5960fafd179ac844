//! Gets where few keys take most; with the larger values it is YCSB C.

use crate::Result;
use crate::data::Zipf;
use crate::engine::Engine;
use crate::workloads::{Bench, Done, get};

pub(super) fn run<E: Engine>(bench: &Bench<E>) -> Result<Done> {
    let zipf = Zipf::new(&bench.data);
    bench.repeat(1, 1, |_, i| get::one(bench, zipf.draw(i)))
}
