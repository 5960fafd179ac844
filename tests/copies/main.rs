//! Copies of an open database: what is in them, what they share with it, and what is left of one
//! that failed or was cut off by a crash.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "counts are what a run is judged by")]
#![allow(unreachable_pub, reason = "the files of one test know each other")]

mod backups;
mod backups_cut_off;
mod backups_places;
mod checkpoint;
mod cut_off;
#[allow(dead_code, reason = "it is for files, too")]
#[path = "../../src/io/testing.rs"]
mod layers;

// `layers` has them from here.
use std::sync::Arc;
use std::time::Duration;

use alluvium::io::{Fs, FsFile, FsLock, OpenMode, SimFs};
use alluvium::{Backups, Builder, Db, DirStore, Reader};

/// A small database, whose merges are asked for.
fn builder(fs: &SimFs, dir: &str) -> Builder {
    let builder = Db::builder(dir).fs(Arc::new(fs.clone())).sync_every(Duration::ZERO);
    builder.memtable_bytes(16 << 10).compaction_threads(0)
}

/// Those in the directory `backups` of a file system, restored to the same.
fn backups(fs: &SimFs) -> Backups {
    let fs = Arc::new(fs.clone());
    Backups::new(DirStore::with_fs(fs.clone(), "backups")).fs(fs)
}

/// All pairs, as text.
fn pairs(reader: &Reader) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pair = |pair: alluvium::Result<(alluvium::Value, alluvium::Value)>| {
        let (key, value) = pair.unwrap();
        (text(&key), text(&value))
    };
    reader.range(..).map(pair).collect()
}

/// Three runs, a sealed log or more, and an open one, in two keyspaces.
fn fill(db: &Db) {
    let other = db.keyspace("other").unwrap();
    for round in 0..4 {
        for number in 0..60 {
            db.put(format!("key {number:03}"), format!("{round} {}", "x".repeat(200))).unwrap();
        }
        other.put(format!("round {round}"), "done").unwrap();
        db.delete(format!("key {round:03}")).unwrap();
        if round < 3 {
            db.flush().unwrap();
        }
    }
}
