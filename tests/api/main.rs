//! What each call of the public face does, beyond what the model compares: one file per group.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod conditional;
mod durable;
mod estimate;
mod keyspaces;
mod lookup;
mod temporary;

use std::path::Path;
use std::sync::Arc;

use alluvium::io::{Fs, SimFs};
use alluvium::{Db, Value};

/// A database in memory with the smallest memtables and blocks, and its file system.
fn small() -> (Db, SimFs) {
    let sim = SimFs::new();
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let db = Db::builder(Path::new("/db"))
        .memtable_bytes(4 << 10)
        .flush_bytes(1 << 20)
        .block_bytes(256)
        .fs(fs)
        .open()
        .unwrap();
    (db, sim)
}

fn text(value: Option<&Value>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}
