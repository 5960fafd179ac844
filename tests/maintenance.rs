//! What those who run a database ask of it, through the public API.

use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{Builder, Db, Error};

fn builder(fs: &SimFs) -> Builder {
    Db::builder("data").memtable_bytes(64 << 10).fs(Arc::new(fs.clone()))
}

#[test]
fn segments_are_listed_by_age_with_what_they_hold() {
    let fs = SimFs::new();
    let db = builder(&fs).segment_bytes(4 << 10).open().unwrap();
    assert_eq!(db.segments(), []);
    let users = db.keyspace("users").unwrap();
    for key in 0..200 {
        db.put(format!("{key:03}"), [7; 100]).unwrap();
    }
    db.flush().unwrap();
    users.put("ann", "1").unwrap();
    db.delete("007").unwrap();
    db.flush().unwrap();

    let segments = db.segments();
    let (newest, older) = segments.split_first().unwrap();
    assert!(older.len() > 1, "200 values of 100 bytes are cut at 4 KiB");
    assert_eq!((newest.age, newest.entries, newest.tombstones), (0, 2, 1));
    let bounds = |info: &alluvium::SegmentInfo| {
        let key = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        let first = (info.first_keyspace.clone(), key(&info.first_key));
        (first, (info.last_keyspace.clone(), key(&info.last_key)))
    };
    let pair = |keyspace: &str, key: &str| (keyspace.to_owned(), key.to_owned());
    assert_eq!(bounds(newest), (pair("default", "007"), pair("users", "ann")));
    assert_eq!(bounds(&older[0]).0, pair("default", "000"));
    assert_eq!(bounds(older.last().unwrap()).1, pair("default", "199"));
    assert!(older.iter().all(|info| info.age == 1 && info.run < newest.run));
    assert!(older.iter().all(|info| info.largest < newest.smallest));
    assert!(older.windows(2).all(|pair| pair[0].last_key < pair[1].first_key));
    assert_eq!(older.iter().map(|info| info.entries).sum::<u64>(), 200);
    for info in &segments {
        let file = fs.read_file(format!("data/{:06}.seg", info.number)).unwrap();
        assert_eq!(file.len() as u64, info.bytes);
        assert!(info.blocks > 0 && info.pinned_bytes > 0 && info.created_ms > 0);
    }
}

/// How many memtables are sealed by the same writes, after `prepare`.
fn sealed_by_writes(prepare: impl Fn(&Db)) -> usize {
    let fs = SimFs::new();
    let db = builder(&fs).memtable_bytes(16 << 10).flush_bytes(8 << 20).open().unwrap();
    db.put("first", "makes the log").unwrap();
    prepare(&db);
    for key in 0..300_u32 {
        db.put(key.to_be_bytes(), [1; 100]).unwrap();
        if key % 10 == 0 {
            // Goes through the log thread behind the request for spares: a rotation without a
            // prepared log would be put off.
            db.keyspace(&format!("barrier {key}")).unwrap();
        }
    }
    db.stats().memtables_sealed
}

#[test]
fn another_memtable_size_counts_from_the_next_rotation_on() {
    let as_opened = sealed_by_writes(|_| ());
    let smaller = sealed_by_writes(|db| db.set_memtable_bytes(8 << 10).unwrap());
    let larger = sealed_by_writes(|db| {
        db.set_memtable_bytes(1 << 20).unwrap();
        // Ends the memtable and the log that were made before.
        db.flush().unwrap();
    });
    assert!(smaller > as_opened && as_opened > larger, "{smaller}, {as_opened}, {larger}");
    assert_eq!(larger, 0);
}

#[test]
fn a_memtable_size_out_of_bounds_is_refused_with_the_bounds() {
    let fs = SimFs::new();
    let db = builder(&fs).flush_bytes(128 << 10).memory_bytes(1 << 20).open().unwrap();
    for bytes in [0, 4095, (128 << 10) + 1, usize::MAX] {
        let error = db.set_memtable_bytes(bytes).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }));
        let text = error.to_string();
        assert!(text.contains("between 4096 and 131072") && text.contains("flush_bytes"), "{text}");
    }
    db.set_memtable_bytes(4096).unwrap();
    db.set_memtable_bytes(128 << 10).unwrap();
    db.close().unwrap();
    assert!(matches!(db.set_memtable_bytes(8192), Err(Error::Closed)));
    let db = builder(&fs).read_only(true).open().unwrap();
    assert!(matches!(db.set_memtable_bytes(8192), Err(Error::ReadOnly { .. })));
}
