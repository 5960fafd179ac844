//! What each call of the public face does, beyond what the model compares: one file per group.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
#![allow(clippy::print_stdout, reason = "counts are what a run is judged by")]

mod conditional;
mod destructors;
mod durable;
mod estimate;
mod explain;
mod held;
mod iterators;
mod keyspaces;
mod lookup;
mod reader;
mod salvage;
mod temporary;
mod told;
mod unwind;

use std::path::Path;
use std::sync::Arc;

use alluvium::io::{Fs, SimFs};
use alluvium::{Db, Keyspace, KeyspaceOptions, Value};

/// A database in memory, which flushes when it is told to, and its file system.
fn small() -> (Db, SimFs) {
    open(1 << 20)
}

/// One whose memtables are the smallest, too: few operations seal one. (Seventeen are flushed.)
fn tiny() -> (Db, SimFs) {
    open(4 << 10)
}

fn open(memtable_bytes: u64) -> (Db, SimFs) {
    let sim = SimFs::new();
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let builder =
        Db::builder(Path::new("/db")).memtable_bytes(memtable_bytes).compaction_threads(0);
    let db = builder.flush_bytes(8 << 20).fs(fs).open().unwrap();
    (db, sim)
}

/// A keyspace with the smallest blocks, so that few keys take several.
fn small_blocks(db: &Db, name: &str) -> Keyspace {
    db.keyspace_with(name, KeyspaceOptions::new().block_bytes(256)).unwrap()
}

fn text(value: Option<&Value>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}
