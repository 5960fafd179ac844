//! Options of a keyspace: kept with it, and told.

use std::path::Path;
use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{Db, Error, KeyspaceOptions};

use crate::small;

#[test]
fn options_are_kept_with_the_keyspace_whoever_opens_it() {
    let sim = SimFs::new();
    let open = || Db::builder(Path::new("/db")).fs(Arc::new(sim.clone())).open().unwrap();
    let options = KeyspaceOptions::new().filter_bits(3).block_bytes(512);
    let db = open();
    assert_eq!(db.keyspace_with("mine", options).unwrap().options(), options);
    let plain = KeyspaceOptions::default();
    assert_eq!(db.keyspace("plain").unwrap().options(), plain);
    let other = KeyspaceOptions::new().filter_bits(0);
    assert_eq!(db.keyspace_with("mine", other).unwrap().options(), options);
    db.close().unwrap();
    drop(db);
    let db = open();
    assert_eq!(db.keyspace("mine").unwrap().options(), options);
    assert_eq!(db.keyspace_with("plain", other).unwrap().options(), plain);
    db.drop_keyspace("mine").unwrap();
    assert_eq!(db.keyspace_with("mine", other).unwrap().options(), other);
}

#[test]
fn options_decide_how_segments_are_written() {
    let reads_of_absent_keys = |filter_bits: u8, block_bytes: u32| {
        let (db, sim) = small();
        let options = KeyspaceOptions::new().filter_bits(filter_bits).block_bytes(block_bytes);
        let keyspace = db.keyspace_with("k", options).unwrap();
        for i in 0..1_000 {
            keyspace.put(format!("key{i:04}"), [b'v'; 100]).unwrap();
        }
        db.flush().unwrap();
        let before = sim.read_count();
        for i in 0..1_000 {
            assert!(!keyspace.contains_key(format!("key{i:04}.")).unwrap());
        }
        sim.read_count() - before
    };
    // Each block once, then it is cached.
    let (small_blocks, large_blocks) =
        (reads_of_absent_keys(0, 256), reads_of_absent_keys(0, 64 << 10));
    assert!(small_blocks > 300 && large_blocks < 10, "{small_blocks}, {large_blocks}");
    let filtered = reads_of_absent_keys(16, 256);
    assert!(filtered < 30, "{filtered}");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let (db, _) = small();
    for options in [
        KeyspaceOptions::new().filter_bits(33),
        KeyspaceOptions::new().block_bytes(255),
        KeyspaceOptions::new().block_bytes((1 << 20) + 1),
    ] {
        let result = db.keyspace_with("k", options);
        assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{options:?}");
    }
    assert_eq!(db.keyspaces(), ["default"]);
}
