//! Segments read where the system has their files in memory.

use super::damage::read_all;
use super::*;
use crate::format::block::BlockHandle;
use crate::io::{NamedFile, OpenMode};
use crate::segment::parts::open_mapped;

/// What a block costs beside its bytes.
const BLOCK_STRUCT_BYTES: usize = 256;

/// 40 rows of each of two keyspaces, which LZ4 makes shorter.
fn rows() -> Vec<Row> {
    let row = |n: u32| {
        let value = format!("the value and the value and the value {}", n / 3).repeat(2);
        Row::new(n / 40, format!("key {n:06}").as_bytes(), u64::from(n) + 1, Some(value.as_bytes()))
    };
    (0..80).map(row).collect()
}

#[test]
fn a_block_of_a_mapped_file_reads_the_same_and_takes_no_memory_for_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows();
    for options in both(options(1024, 10)) {
        let compressed = options.codec != Codec::None;
        let finished = write(dir.path(), options.codec as u64, &rows, options);
        let mapped = BlockCache::of_mapped(1 << 20);
        let apart = BlockCache::new(1 << 20);
        for cache in [&mapped, &apart] {
            let segment = open(dir.path(), &finished, cache).unwrap();
            assert!(!read_all(&segment, &rows));
            let blocks = segment.index().len();
            let charged = (0..blocks).map(|i| segment.read_block(i).unwrap().charged_bytes());
            let own = charged.filter(|bytes| *bytes > BLOCK_STRUCT_BYTES).count();
            let in_file = std::ptr::eq(cache, &mapped) && !compressed;
            assert_eq!(own, if in_file { 0 } else { blocks }, "{compressed}");
            assert_eq!(cache.stats().misses, blocks as u64, "each is checked once");
        }
    }
}

/// `verify` met pages behind the end of a file that was cut short, and the process was gone.
#[test]
fn a_mapped_file_that_was_cut_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let rows = uniform_rows(400);
    let finished = write(dir.path(), 1, &rows, options(1024, 10));
    let segment = open(dir.path(), &finished, &BlockCache::of_mapped(1 << 20)).unwrap();
    let path = segment_path(dir.path(), finished.number);
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
    let mut damage = 0;
    segment.verify(DATABASE, &mut |error| {
        assert!(error.is_corruption(), "{error}");
        damage += 1;
    });
    assert!(damage > 10, "{damage}");
    assert!(segment.probe(KeyspaceId(0), &rows[399].key).unwrap_err().is_corruption());
}

#[test]
fn a_value_of_a_mapped_file_outlives_segment_and_file() {
    let dir = tempfile::tempdir().unwrap();
    let long = vec![b'v'; 3_000];
    let rows = [Row::new(0, b"k", 1, Some(&long))];
    let finished = write(dir.path(), 1, &rows, options(1024, 10));
    let segment = open(dir.path(), &finished, &BlockCache::of_mapped(1 << 20)).unwrap();
    let found = get(&segment, KeyspaceId(0), b"k", Sequence(9)).unwrap().unwrap();
    drop(segment);
    std::fs::remove_file(segment_path(dir.path(), finished.number)).unwrap();
    assert_eq!(found.value, long);
}

#[test]
fn a_block_that_a_mapping_does_not_reach_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &rows(), options(1024, 10));
    let path = segment_path(dir.path(), finished.number);
    let file = NamedFile::shared(&kept(&DiskFs), path, OpenMode::Read).unwrap();
    assert!(file.mapped(finished.bytes + 1).is_none() && file.mapped(0).is_none());
    let Some(mapped) = file.mapped(finished.bytes) else { return };
    for offset in [finished.bytes - 99, finished.bytes, u64::MAX - 50] {
        let handle = BlockHandle { offset, len: 100 };
        let error = open_mapped(&file, finished.uuid, &mapped, handle).unwrap_err();
        assert!(error.is_corruption(), "{error}");
    }
}
