//! The smallest and the largest of everything that is accepted, and the sentence for the rest.

use alluvium::{Builder, Db, Durability, Error, WriteBatch};

use crate::assert_words;

pub(crate) const MIB: u64 = 1 << 20;

#[track_caller]
fn invalid<T: std::fmt::Debug>(result: alluvium::Result<T>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    assert!(!error.is_retryable() && !error.is_corruption());
    assert_words(&error, words);
}

#[test]
fn keys_of_every_length_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let keys = [0, 1, 7, 8, 9, 127, 128, 255, 256, 16_383, 16_384, 65_534, 65_535];
    let keys: Vec<_> =
        keys.into_iter().flat_map(|len| [vec![0xff; len], vec![0; len.min(200)]]).collect();
    let db = Db::open(directory.path()).unwrap();
    for (i, key) in keys.iter().enumerate() {
        db.put(key, i.to_string()).unwrap();
    }
    let check = |db: &Db| {
        for key in &keys {
            let last = keys.iter().rposition(|other| other == key).unwrap();
            assert_eq!(db.get(key).unwrap().unwrap(), last.to_string(), "{} bytes", key.len());
        }
        let mut want = keys.clone();
        want.sort();
        want.dedup();
        assert!(db.range(..).map(|pair| pair.unwrap().0).eq(want.iter()));
        assert!(db.range(..).rev().map(|pair| pair.unwrap().0).eq(want.iter().rev()));
    };
    check(&db);
    db.flush().unwrap();
    check(&db);
    db.close().unwrap();
    check(&Db::open(directory.path()).unwrap());
}

#[test]
fn values_up_to_a_gibibyte_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut lens = vec![0, 1, 22, 23, 256, 257, 4 << 10, 64 << 10, (2 << 20) + 1, 64 << 20];
    if std::env::var_os("ALLUVIUM_BIG").is_some() {
        lens.push(1 << 30);
    }
    let value = |len: usize| -> Vec<u8> {
        let mut bytes =
            (len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(len / 8 + 1);
        bytes.truncate(len);
        bytes
    };
    let check = |db: &Db, lens: &[usize]| {
        for &len in lens {
            let found = db.get(format!("{len}")).unwrap().expect("it was written");
            assert!(*found == *value(len), "{len} bytes");
        }
    };
    let open = || Db::builder(directory.path()).memory_bytes(4 << 30).open().unwrap();
    let db = open();
    for &len in &lens {
        db.put(format!("{len}"), value(len)).unwrap();
    }
    check(&db, &lens);
    db.flush().unwrap();
    check(&db, &lens);
    db.close().unwrap();
    check(&open(), &lens);
}

#[test]
fn what_is_too_long_is_refused_with_bound_and_length() {
    let db = Db::in_memory().unwrap();
    let key = vec![1; 65_536];
    let words = ["a key has at most 65535 bytes", "65536"];
    invalid(db.put(&key, ""), &words);
    invalid(db.delete(&key), &words);
    invalid(db.keyspace("k").unwrap().put(&key, ""), &words);
    // Never touched, so never in memory.
    let value = vec![0; (1 << 30) + 1];
    let words = ["a value has at most 1073741824 bytes", "1073741825"];
    invalid(db.put("k", &value), &words);
    invalid(db.put_with("k", &value, Durability::Sync), &words);
    // A batch is refused whole, for the first of its operations that is.
    let mut batch = WriteBatch::new();
    batch.put("good", "1");
    batch.put("k", &value);
    batch.delete(&key);
    invalid(db.write(&batch), &words);
    assert_eq!(db.range(..).count(), 0);
    // Looking for what cannot be there is no mistake.
    assert_eq!(db.get(&key).unwrap(), None::<alluvium::Value>);
}

#[test]
fn keyspace_names_are_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let names = ["a", "default", "Ünïcode 名", "with space", "a/b", "..", &"n".repeat(255)];
    for name in names {
        db.keyspace(name).unwrap().put("k", name).unwrap();
    }
    let words = ["1 to 255 bytes", "no control characters"];
    for name in ["", &"n".repeat(256), &"ü".repeat(128), "a\nb", "\0", "\u{7f}", "\u{85}"] {
        invalid(db.keyspace(name), &words);
        invalid(db.drop_keyspace(name), &words);
    }
    invalid(db.drop_keyspace("default"), &["default", "cannot be dropped"]);
    invalid(db.drop_keyspace("nobody's"), &["there is no keyspace", "nobody's"]);
    db.close().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(db.keyspaces(), sorted);
    for name in names {
        assert_eq!(db.keyspace(name).unwrap().get("k").unwrap().unwrap(), name);
    }
}

#[test]
fn a_keyspace_of_another_database_is_no_use() {
    let db = Db::in_memory().unwrap();
    let other = Db::in_memory().unwrap();
    let mine = db.keyspace("same").unwrap();
    let foreign = other.keyspace("same").unwrap();
    let mut batch = WriteBatch::new();
    batch.put_in(&foreign, "k", "v");
    invalid(db.write(&batch), &["of another database"]);
    let mut batch = WriteBatch::new();
    batch.put_in(&mine, "k", "v");
    batch.put_in(&foreign, "k", "v");
    invalid(db.write(&batch), &["two databases"]);
    let snapshot = db.snapshot();
    invalid(snapshot.of(&foreign).get("k"), &["another database"]);
    invalid(snapshot.of(&foreign).range(..).next().unwrap(), &["another database"]);
    assert_eq!(mine.range(..).count(), 0);
}

/// Symptom: an absurd size panicked in the builder. Mechanism: the bounds that follow a size were
/// computed by a multiplication that overflowed. Fix: they stop at the largest number, which the
/// check refuses.
#[test]
fn options_that_cannot_work_are_refused_with_their_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let check = |set: fn(Builder, u64) -> Builder, name: &str, value: u64| {
        let words = [name, "must be between", "bytes, and is", &value.to_string()];
        invalid(set(Db::builder(&path), value).open(), &words);
        assert!(!path.exists(), "nothing was made");
    };
    for value in [0, (4 << 10) - 1, (1 << 30) + 1, u64::MAX] {
        check(Builder::memtable_bytes, "memtable_bytes", value);
        check(Builder::segment_bytes, "segment_bytes", value);
    }
    for value in [0, (4 << 20) - 1, (1 << 34) + 1, u64::MAX] {
        check(Builder::flush_bytes, "flush_bytes", value);
    }
    for value in [0, (8 << 20) - 1, (64 << 20) - 1, (1 << 40) + 1, u64::MAX] {
        check(Builder::memory_bytes, "memory_bytes", value);
    }
}

#[test]
fn options_of_merging_that_cannot_work_are_refused_with_their_bounds() {
    let builder = Builder::temporary;
    for threads in [65, usize::MAX] {
        let words = ["compaction_threads", "at most 64, and is", &threads.to_string()];
        invalid(builder().compaction_threads(threads).open(), &words);
    }
    for rate in [1, (64 << 10) - 1] {
        let words = ["merge_bytes_per_second", "at least 65536, and is", &rate.to_string()];
        invalid(builder().merge_bytes_per_second(rate).open(), &words);
    }
    for ratio in [1.0, 1.049, 4.001, -1.25, f64::INFINITY, f64::NAN] {
        let words = ["space_amp_target", "between 1.05 and 4.0, and is", &ratio.to_string()];
        invalid(builder().space_amp_target(ratio).open(), &words);
    }
    for (threads, rate, ratio) in [(0, 0, 1.05), (64, 64 << 10, 4.0), (1, u64::MAX, 1.25)] {
        let builder = builder().compaction_threads(threads).merge_bytes_per_second(rate);
        builder.space_amp_target(ratio).open().unwrap();
    }
}

#[test]
fn the_block_cache_follows_the_machine_on_a_disk_alone() {
    let max = |db: &Db| db.stats().cache_bytes_max;
    assert_eq!(max(&Db::in_memory().unwrap()), 256 * MIB);
    let on_disk = max(&Db::temporary().unwrap());
    assert!((16 * MIB..=4096 * MIB).contains(&on_disk), "{on_disk}");
    assert_eq!(max(&Builder::temporary().cache_bytes(5).open().unwrap()), 5);
    let own = Db::builder("data").fs(std::sync::Arc::new(alluvium::io::SimFs::new()));
    assert_eq!(max(&own.clone().open().unwrap()), 256 * MIB);
    assert_eq!(max(&own.cache_bytes(7).open().unwrap()), 7);
}

/// Linux: the threads that flush and merge are nicer than this one, and the log thread is not.
#[cfg(target_os = "linux")]
#[test]
fn background_threads_are_as_nice_as_asked_for() {
    /// Names and niceness of this process's threads; that is the 17th number behind the name.
    fn threads() -> Vec<(String, i64)> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let stats =
            tasks.flat_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
        let parse = |stat: String| {
            let (before, after) = stat.rsplit_once(") ").unwrap();
            let nice = after.split(' ').nth(16).unwrap().parse().unwrap();
            (before.split_once('(').unwrap().1.to_owned(), nice)
        };
        stats.map(parse).collect()
    }
    // Threads of other tests have the niceness of this one, which may be any.
    let me = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let mine: i64 = me.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap();
    let want = (mine + 7).min(19);
    let open = || Builder::temporary().background_nice(7).open().unwrap();
    // Known at once: it was 0 until the threads had run.
    for _ in 0..8 {
        assert_eq!(i64::try_from(open().stats().background_nice).unwrap(), want - mine);
    }
    let db = open();
    // Each sets it when it begins, and has begun when it has done something.
    db.put("k", "v").unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    assert_eq!(i64::try_from(db.stats().background_nice).unwrap(), want - mine);
    if want > mine {
        let nice: Vec<_> = threads().into_iter().filter(|(_, nice)| *nice == want).collect();
        let of = |name: &str| nice.iter().filter(|(thread, _)| thread.starts_with(name)).count();
        let counts = ["alluvium-flush", "alluvium-compac", "alluvium-log"].map(of);
        assert_eq!(counts, [1, 1, 0], "{nice:?}");
    }
    assert_eq!(Db::temporary().unwrap().stats().background_nice, 0);
    invalid(Builder::temporary().background_nice(20).open().map(drop), &["background_nice", "19"]);
}

#[test]
fn the_smallest_options_work() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Db::builder(directory.path()).memtable_bytes(4 << 10).flush_bytes(4 << 10);
    let builder = builder.memory_bytes(8 << 10).segment_bytes(4 << 10);
    let db = builder.cache_bytes(0).sync_every(std::time::Duration::ZERO).open().unwrap();
    for i in 0..500 {
        db.put(format!("{i:05}"), [b'v'; 100]).unwrap();
    }
    assert_eq!(db.range(..).count(), 500);
    db.close().unwrap();
    assert_eq!(Db::open(directory.path()).unwrap().range(..).count(), 500);
}
