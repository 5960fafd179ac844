//! Merging in public: against everything else at once, against iterators that live on, and what it
//! gives back. Bounded by operations; where a test waits for the background it waits until that has
//! come to pass, and fails only when it never does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alluvium::io::SimFs;
use alluvium::{Builder, Db, Error, KeyspaceOptions, Snapshot, WriteBatch};

/// How long something may take that nothing says the time of. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

fn builder(fs: &SimFs) -> Builder {
    let builder = Db::builder("db").fs(Arc::new(fs.clone())).sync_every(Duration::ZERO);
    builder.memtable_bytes(16 << 10).flush_bytes(64 << 10).segment_bytes(8 << 10)
}

#[track_caller]
fn wait_until(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !come() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The segment files on the disk.
fn segments(fs: &SimFs) -> BTreeSet<String> {
    fs.files("db").into_iter().filter(|name| name.ends_with(".seg")).collect()
}

/// Bytes of the segment files on the disk.
fn segment_bytes(fs: &SimFs) -> usize {
    let read = |name: String| fs.read_file(format!("db/{name}")).map_or(0, |bytes| bytes.len());
    segments(fs).into_iter().map(read).sum()
}

/// Bytes that do not compress, different for each number.
fn noise(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

fn rows(iter: alluvium::Range) -> Vec<(Vec<u8>, Vec<u8>)> {
    iter.map(|row| row.unwrap()).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Both walks through a snapshot, which agree.
fn contents(snapshot: &Snapshot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let forward = rows(snapshot.range(..));
    let mut backward: Vec<_> = snapshot.range(..).rev().map(|row| row.unwrap()).collect();
    backward.reverse();
    assert!(forward.iter().map(|(key, _)| &key[..]).eq(backward.iter().map(|(key, _)| &key[..])));
    forward
}

const KEYS: u64 = 60;
const ROUNDS: u64 = 250;

/// The values of a batch begin alike.
fn value(round: u64, key: u64) -> Vec<u8> {
    [noise(round, 8), noise(round * KEYS + key, 150)].concat()
}

/// Writes every third key, over and over, all of them in one batch.
fn write_group(db: &Db, group: u64) {
    for round in 0..ROUNDS {
        let mut batch = WriteBatch::new();
        for key in (group..KEYS).step_by(3) {
            match round % 7 {
                3 => batch.delete(format!("{key:03}")),
                _ => batch.put(format!("{key:03}"), value(round, key)),
            }
        }
        db.write(&batch).unwrap();
        if round % 20 == group {
            db.flush().unwrap();
        }
    }
}

/// Each batch is there whole or not at all.
fn assert_whole(found: &[(Vec<u8>, Vec<u8>)]) {
    for group in 0..3 {
        let of_group = |key: &[u8]| {
            std::str::from_utf8(key).unwrap().parse::<u64>().is_ok_and(|key| key % 3 == group)
        };
        let values: Vec<_> = found.iter().filter(|(key, _)| of_group(key)).collect();
        let alike = values.windows(2).all(|pair| pair[0].1[..8] == pair[1].1[..8]);
        let count = values.len() as u64;
        assert!(alike && (count == 0 || count == KEYS / 3), "a batch was seen in part");
    }
}

fn read_everything(db: &Db) {
    let snapshot = db.snapshot();
    let first = contents(&snapshot);
    assert_whole(&first);
    assert_whole(&rows(db.range(..)));
    let iter = db.range(..);
    db.flush().unwrap();
    assert_whole(&rows(iter));
    assert_eq!(contents(&snapshot), first, "a snapshot has changed");
    for (key, value) in first.iter().step_by(7) {
        assert_eq!(snapshot.get(key).unwrap().as_deref(), Some(&value[..]));
    }
}

/// Whatever else changes runs, or stands in the way of a merge.
fn disturb(db: &Db) {
    let keyspace = db.keyspace("goes").unwrap();
    (0..40).for_each(|key| {
        keyspace.put(format!("{key}"), noise(key, 200)).unwrap();
    });
    db.flush().unwrap();
    db.rebuild_index().unwrap();
    db.set_memtable_bytes(8 << 10).unwrap();
    db.compact_range("010".."030").unwrap();
    db.drop_keyspace("goes").unwrap();
    let compaction = db.start_compaction_of_all().unwrap();
    db.pause_compaction();
    db.set_memtable_bytes(16 << 10).unwrap();
    db.resume_compaction();
    compaction.wait().unwrap();
    let compaction = db.start_compaction_of_all().unwrap();
    compaction.cancel();
    compaction.wait().unwrap();
}

/// Everything at once against merges on three threads: batches stay whole, snapshots stay as they
/// are, iterators see one moment, and in the end everything is there.
#[test]
fn merges_go_unnoticed_by_everything_else() {
    let fs = SimFs::new();
    let open = || builder(&fs).compaction_threads(3).cache_bytes(64 << 10).open().unwrap();
    let db = open();
    let done = AtomicBool::new(false);
    let until_done = |work: fn(&Db)| {
        while !done.load(Ordering::SeqCst) {
            work(&db);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| until_done(read_everything));
        scope.spawn(|| until_done(disturb));
        let db = &db;
        let write = |group| scope.spawn(move || write_group(db, group));
        let writers: Vec<_> = (0..3).map(write).collect();
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // However slow the compactors are, what reads and disturbs goes on for so long.
        let deadline = Instant::now() + PATIENCE;
        while db.stats().merges.jobs <= 10 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        done.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    assert!(db.stats().merges.jobs > 10, "{}", db.stats());
    let want: Vec<_> =
        (0..KEYS).map(|key| (format!("{key:03}").into_bytes(), value(ROUNDS - 1, key))).collect();
    assert_eq!(rows(db.range(..)), want);
    // Against whatever is still going on.
    let compaction = db.start_compaction_of_all().unwrap();
    db.close().unwrap();
    assert!(matches!(compaction.wait(), Ok(()) | Err(Error::Closed)));
    drop(db);
    let db = open();
    assert_eq!(rows(db.range(..)), want);
    assert_eq!(db.verify().unwrap().damages, 0);
}

/// A commit now and then is no reason to leave what is read in several runs.
#[test]
fn a_store_that_is_read_and_hardly_written_is_soon_one_run() {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    let write = |keys: std::ops::Range<u64>| {
        keys.for_each(|key| {
            db.put(key.to_be_bytes(), noise(key, 200)).unwrap();
        });
        db.flush().unwrap();
    };
    write(0..2_000);
    db.compact().unwrap();
    // Too little to be merged for its own sake.
    write(0..300);
    let mut commits = 0_u64;
    wait_until("one run", || {
        commits += 1;
        db.put("counter", commits.to_be_bytes()).unwrap();
        for key in 0..100_u64 {
            assert_eq!(*db.get(key.to_be_bytes()).unwrap().unwrap(), *noise(key, 200));
        }
        db.stats().runs == 1
    });
    assert_eq!(db.get("counter").unwrap().as_deref(), Some(&commits.to_be_bytes()[..]));
}

/// I33.
#[test]
fn a_file_lives_as_long_as_an_iterator_over_it() {
    let fs = SimFs::new();
    let db = builder(&fs).compaction_threads(0).open().unwrap();
    let add_run = |round: u64| {
        (0..50).for_each(|key| {
            db.put(format!("{key:03}"), noise(round + key, 300)).unwrap();
        });
        db.flush().unwrap();
    };
    (0..2).for_each(add_run);
    let held = segments(&fs);
    let want = rows(db.range(..));
    let mut iter = db.range(..);
    let first = iter.next().unwrap().unwrap();
    db.compact().unwrap();
    // What nobody holds goes by the same way, after it.
    add_run(2);
    let free: BTreeSet<_> = segments(&fs).difference(&held).cloned().collect();
    assert!(!free.is_empty());
    db.compact().unwrap();
    wait_until("files that nobody uses go", || segments(&fs).is_disjoint(&free));
    assert!(segments(&fs).is_superset(&held), "{:?} of {held:?}", segments(&fs));
    assert_eq!((&first.0[..], &first.1[..]), (&want[0].0[..], &want[0].1[..]));
    assert_eq!(rows(iter), want[1..]);
    wait_until("files go after the iterator", || segments(&fs).is_disjoint(&held));
}

/// So many entries, or a few more: in parts of files that no run refers to.
fn about(want: u64, entries: u64) -> bool {
    (want..want + want / 10).contains(&entries)
}

/// A database with some megabytes in a keyspace, in several runs.
fn filled(fs: &SimFs, threads: usize) -> (Db, usize) {
    let db = builder(fs).compaction_threads(threads).open().unwrap();
    for key in 0..4_000_u64 {
        db.put(format!("{:05}", key * 7 % 4_000), noise(key, 250)).unwrap();
    }
    db.flush().unwrap();
    (db, segment_bytes(fs))
}

#[test]
fn everything_deleted_comes_back() {
    let fs = SimFs::new();
    let (db, peak) = filled(&fs, 0);
    (0..4_000).for_each(|key| {
        db.delete(format!("{key:05}")).unwrap();
    });
    db.compact().unwrap();
    assert_eq!(db.stats().segments, 0);
    wait_until("the files go", || segment_bytes(&fs) < peak / 100);
}

#[test]
fn what_was_overwritten_comes_back() {
    let fs = SimFs::new();
    let (db, once) = filled(&fs, 0);
    db.compact().unwrap();
    for round in 1..4 {
        (0..4_000).for_each(|key| {
            db.put(format!("{key:05}"), noise(round * key, 250)).unwrap();
        });
    }
    db.compact().unwrap();
    assert!(db.stats().runs == 1 && about(4_000, db.stats().segment_entries));
    wait_until("the files go", || segment_bytes(&fs) < once + once / 10);
}

#[test]
fn a_dropped_keyspace_comes_back() {
    let fs = SimFs::new();
    let (db, _) = filled(&fs, 1);
    let gone = db.keyspace("gone").unwrap();
    (0..4_000).for_each(|key| {
        gone.put(format!("{key:05}"), noise(key, 250)).unwrap();
    });
    db.flush().unwrap();
    let snapshot = db.snapshot();
    db.drop_keyspace("gone").unwrap();
    db.compact().unwrap();
    assert_eq!(snapshot.of(&gone).range(..).count(), 4_000);
    drop(snapshot);
    let of_gone = |name: &str| db.segments().iter().any(|info| info.last_keyspace.contains(name));
    wait_until("its segments go", || !of_gone("gone") && about(4_000, db.stats().segment_entries));
}

/// Versions that only a snapshot needed go once it has gone: when asked for, and by themselves.
#[test]
fn what_a_snapshot_held_comes_back() {
    for threads in [0, 1] {
        let fs = SimFs::new();
        let (db, once) = filled(&fs, threads);
        let snapshot = db.snapshot();
        (0..4_000).for_each(|key| {
            db.put(format!("{key:05}"), noise(key + 1, 250)).unwrap();
        });
        db.compact().unwrap();
        assert!(db.stats().runs == 1 && about(8_000, db.stats().segment_entries));
        assert_eq!(snapshot.range(..).count(), 4_000);
        drop(snapshot);
        if threads == 0 {
            db.compact().unwrap();
        }
        wait_until("old versions go", || about(4_000, db.stats().segment_entries));
        wait_until("the files go", || segment_bytes(&fs) < once + once / 10);
    }
}

/// Symptom: `segment_bytes_held` counted a file for as long as a run had a part of it. Mechanism: a
/// merge gives up what neither of its runs refers to any more, and another one did. Fix: what any
/// run refers to is not held.
#[test]
fn a_file_that_another_run_has_a_part_of_is_not_held() {
    let fs = SimFs::new();
    let db = builder(&fs).compaction_threads(0).open().unwrap();
    for keys in [20..40, 100..110, 0..60] {
        keys.for_each(|key| {
            db.put(format!("{key:03}"), noise(key, 100)).unwrap();
        });
        db.flush().unwrap();
    }
    let [newest, _, oldest] = &db.segments()[..] else { panic!("{:?}", db.segments()) };
    let newest = newest.number;
    let oldest = oldest.number;
    // What the newest run has there goes into the middle one as it is, and is written into the
    // oldest from there.
    db.compact_range("020".."040").unwrap();
    assert!(db.stats().merges.segments_moved > 0);
    let parts = db.segments().into_iter().filter(|part| part.number == newest);
    assert!(
        parts.clone().count() == 2 && parts.map(|part| part.run).max() == Some(db.runs()[0].id)
    );
    let oldest = format!("{oldest:06}.seg");
    wait_until("the file goes that no run has", || !segments(&fs).contains(&oldest));
    wait_until("nothing is held", || db.stats().segment_bytes_held == 0);
    assert!(db.stats().segment_bytes > 0);
}

/// Symptom: small segments of keyspaces with options of their own were rewritten by each merge.
/// Mechanism: the plan joined what the writer had to cut apart again. Fix: the plan knows the
/// options, and they are moved.
#[test]
fn small_segments_of_keyspaces_that_differ_are_moved() {
    let fs = SimFs::new();
    let db = builder(&fs).compaction_threads(0).open().unwrap();
    let make = |number: u8| {
        let options = KeyspaceOptions::new().filter_bits(8 + number % 2);
        db.keyspace_with(&format!("{number}"), options).unwrap()
    };
    let keyspaces: Vec<_> = (0..8).map(make).collect();
    for turn in 0..2 {
        // Neighbours in the order of keys come into different runs, or into the same.
        for keyspace in keyspaces.iter().enumerate().filter(|(at, _)| at / 2 % 2 == turn) {
            keyspace.1.put("k", noise(turn as u64, 100)).unwrap();
        }
        db.flush().unwrap();
    }
    db.compact().unwrap();
    let merges = db.stats().merges;
    assert_eq!((db.stats().runs, merges.segments_moved, merges.bytes_read), (1, 8, 0));
}
