//! What snapshots and iterators hold back, as the statistics tell it.

use std::thread::yield_now;

use alluvium::{Db, Stats};

use crate::small;

/// Waits until the statistics are as they should be. They are taken by the flush thread, now and
/// then, so a test that never sees them would hang.
fn await_stats(db: &Db, wanted: impl Fn(&Stats) -> bool) {
    while !wanted(&db.stats()) {
        yield_now();
    }
}

#[test]
fn the_oldest_snapshot_has_an_age_in_time_and_in_operations() {
    let (db, _) = small();
    let oldest = |db: &Db| {
        let stats = db.stats();
        assert_eq!(stats.snapshot_oldest.is_some(), stats.snapshot_oldest_ms.is_some());
        (stats.snapshots, stats.snapshot_oldest, stats.snapshot_oldest_ops)
    };
    db.put("k", "1").unwrap();
    assert_eq!(oldest(&db), (0, None, 0));
    let first = db.snapshot();
    let at = first.sequence().0;
    assert_eq!(oldest(&db), (1, Some(at), 0));
    await_stats(&db, |stats| stats.snapshot_oldest_ms > Some(0));
    (0..5).for_each(|i| {
        db.put(format!("{i}"), "v").unwrap();
    });
    let second = db.snapshot();
    db.put("k", "2").unwrap();
    assert_eq!(oldest(&db), (2, Some(at), 6));
    let text = db.stats().to_string();
    assert!(
        text.contains(&format!("oldest at {at}")) && text.contains("6 operations ago"),
        "{text}"
    );
    let age = db.stats().snapshot_oldest_ms;
    drop(first);
    assert_eq!(oldest(&db), (1, Some(at + 5), 1));
    await_stats(&db, |stats| stats.snapshot_oldest_ms >= age);
    drop(second);
    assert_eq!(oldest(&db), (0, None, 0));
}

#[test]
fn versions_that_only_a_snapshot_needs_are_counted_when_they_are_written() {
    let (db, _) = small();
    let rewrite = || {
        (0..10).for_each(|i| {
            db.put(format!("{i}"), "old").unwrap();
        });
        let snapshot = db.snapshot();
        (0..5).for_each(|i| {
            db.put(format!("{i}"), "new").unwrap();
        });
        snapshot
    };
    drop(rewrite());
    db.flush().unwrap();
    assert_eq!(db.stats().snapshot_versions_kept, 0, "it was gone by then");
    let snapshot = rewrite();
    db.flush().unwrap();
    assert_eq!(db.stats().snapshot_versions_kept, 5);
    assert!(db.stats().to_string().contains("5 versions, since open"));
    assert_eq!(snapshot.get("0").unwrap().unwrap(), "old");
}

#[test]
fn an_iterator_holds_files_and_memtables_until_it_is_dropped_and_a_snapshot_neither() {
    let (db, sim) = small();
    let gone = db.keyspace("gone").unwrap();
    for i in 0..100 {
        gone.put(format!("{i:03}"), [b'v'; 100]).unwrap();
    }
    db.flush().unwrap();
    let files = || sim.files("/db").into_iter().filter(|name| name.ends_with(".seg")).count();
    let bytes = db.stats().segment_bytes;
    assert!(bytes > 10_000 && files() == 1);
    db.put("in memory", "v").unwrap();
    let mut range = gone.range(..);
    let snapshot = db.snapshot();
    db.drop_keyspace("gone").unwrap();
    db.flush().unwrap();
    // The snapshot sees the keyspace, so its segment is not given up before that goes.
    assert_eq!(snapshot.of(&gone).range(..).count(), 100);
    drop(snapshot);
    let held = |stats: &Stats| stats.views_held > 0 && stats.segment_bytes_held == bytes;
    await_stats(&db, |stats| held(stats) && stats.memtable_bytes_retired > 0);
    // Beside it there is the one with the key that was in memory.
    assert!(db.stats().segment_bytes < 1_000, "the database has it no more");
    assert_eq!(files(), 2);
    assert!(db.stats().to_string().contains("of files freed with them"));
    assert_eq!(range.next_back().unwrap().unwrap().0, "099");
    // Not even at its end does it let go.
    assert_eq!(range.by_ref().count(), 99);
    assert_eq!(files(), 2);
    drop(range);
    let free = |stats: &Stats| stats.views_held == 0 && stats.segment_bytes_held == 0;
    await_stats(&db, |stats| free(stats) && stats.memtable_bytes_retired == 0);
    assert_eq!(files(), 1);
}
