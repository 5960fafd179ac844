//! Opening, by the public API: what is refused, in which words and with nothing changed; what is
//! left alone and what is cleared away; which sizes are accepted; what a handle answers after its
//! close.
//!
//! `refused` is what stands in the way of a sound database, `damaged` and `formats` one that is
//! not sound or newer, `strays` files that do not belong to it, `limits` sizes, names and options,
//! `cache_default` a size that follows the machine, `logs` log files, `closed` the end of handles.
//! Files are compared byte by byte, so nothing else changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "a child says on its standard output how it went")]

#[cfg(target_os = "linux")]
mod cache_default;
mod closed;
mod damaged;
mod formats;
mod limits;
mod logs;
mod refused;
mod strays;

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Builder, Db, Error};

const DIR: &str = "db";

/// Every file of the directory.
type Image = BTreeMap<String, Vec<u8>>;

fn path(name: &str) -> String {
    format!("{DIR}/{name}")
}

fn image(fs: &SimFs) -> Image {
    let bytes = |name: &String| fs.read_file(path(name)).expect("it was listed");
    fs.files(DIR).into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}

/// The names that differ between two images.
fn changed(before: &Image, after: &Image) -> Vec<String> {
    let names = before.keys().chain(after.keys());
    let mut names: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
    names.sort();
    names.dedup();
    names.into_iter().cloned().collect()
}

/// Small memtables, and no sync but the ones that are asked for.
fn builder(fs: &SimFs) -> Builder {
    let builder = Db::builder(DIR).compaction_threads(0).fs(Arc::new(fs.clone()));
    builder.memtable_bytes(4 << 10).flush_bytes(4 << 10).sync_every(std::time::Duration::ZERO)
}

fn key(number: usize) -> String {
    format!("key-{number:04}")
}

/// What a process leaves that died while it wrote: two segments or more, a log that the manifest
/// says must be there, and a record at its end that knows everything before it synced.
fn dead_database() -> (SimFs, usize) {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    let mut count = 0;
    while db.stats().segments < 2 {
        // Three of them are due for a flush, which makes a segment.
        if db.stats().memtables_sealed < 3 {
            db.put(key(count), [b'v'; 200]).unwrap();
            count += 1;
        } else {
            std::thread::yield_now();
        }
    }
    db.sync().unwrap();
    db.put(key(count), "the last one").unwrap();
    let fs = fs.crash(CrashMode::Process, 1);
    (fs, count + 1)
}

/// A database with two segments that was closed.
fn closed_database() -> SimFs {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    for segment in ["a", "b"] {
        for i in 0..10 {
            db.put(format!("{segment}{i}"), segment).unwrap();
        }
        db.flush().unwrap();
    }
    db.close().unwrap();
    fs
}

/// The name of the log with the highest number. A process may have died over a log that it had
/// only just made: that one has no header, perhaps not a byte.
fn newest_log(fs: &SimFs) -> String {
    let logs = fs.files(DIR).into_iter().filter(|name| name.ends_with(".wal"));
    let number = |name: &String| {
        let bytes = fs.read_file(path(name))?;
        let has_header = bytes.len() >= 40 && bytes.starts_with(b"ALLUVLOG");
        has_header.then(|| u64_at(&bytes, 32))
    };
    logs.max_by_key(number).expect("there is a log")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the number is there"))
}

/// Asserts that nothing of the first `count` keys is missing.
fn assert_whole(db: &Db, count: usize) {
    let keys = db.range(..).map(|pair| pair.unwrap().0);
    let found = keys.zip(0..).take_while(|(found, number)| *found == key(*number)).count();
    assert_eq!((found, db.range(..).count()), (count, count));
}

/// Asserts that an open is refused in a sentence with all these words, and changes nothing.
#[track_caller]
fn refused(fs: &SimFs, options: impl FnOnce(Builder) -> Builder, words: &[&str]) -> Error {
    let before = image(fs);
    let error = options(builder(fs)).open().expect_err("this open is to be refused");
    assert_words(&error, words);
    let changed = changed(&before, &image(fs));
    assert!(changed.is_empty(), "{error}, and yet {changed:?} changed");
    error
}

/// [`refused`], for writing and for reading only.
#[track_caller]
fn refused_both(fs: &SimFs, words: &[&str]) -> Error {
    refused(fs, |builder| builder.read_only(true), words);
    refused(fs, |builder| builder, words)
}

#[track_caller]
fn assert_words(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "nothing of {word:?} in: {text}");
    }
}

#[test]
fn the_checks_of_this_file_can_fail() {
    let fails = |check: &dyn Fn()| {
        let check = std::panic::AssertUnwindSafe(check);
        assert!(std::panic::catch_unwind(check).is_err());
    };
    let fs = closed_database();
    fails(&|| drop(refused(&fs, |builder| builder, &[])));
    let error = Error::Closed;
    fails(&|| assert_words(&error, &["closed", "nonsense"]));
    fails(&|| assert_whole(&builder(&fs).open().unwrap(), 1));
    let before = image(&fs);
    fs.flip(path("CURRENT"), 0, 1);
    assert_eq!(changed(&before, &image(&fs)), ["CURRENT"]);
}
