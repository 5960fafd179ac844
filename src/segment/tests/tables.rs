//! Tables that are derived from the data blocks: the same as the stored ones, and enough where
//! those are damaged (I26).

use super::*;
use crate::format::block::BlockHandle;
use crate::format::hash::key_hash;

type Parts = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

fn parts(segment: &Segment) -> Parts {
    segment.tables().encode()
}

/// Keys of all lengths, long chains of versions, tombstones, three keyspaces.
fn mixed_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for keyspace in [0, 3, 900] {
        rows.push(Row::new(keyspace, b"", 5, Some(b"empty key")));
        for n in 0..120_u64 {
            let key = format!("k{:03}{}", n, "x".repeat((n * 7 % 40) as usize));
            let versions = if n % 50 == 7 { 60 } else { 1 + n % 2 };
            for version in 0..versions {
                let value = (version % 5 != 4).then(|| vec![n as u8; (n * 13 % 90) as usize]);
                let sequence = 1_000 * n + 500 - version;
                rows.push(Row::new(keyspace, key.as_bytes(), sequence, value.as_deref()));
            }
        }
        rows.push(Row::new(keyspace, &[0xff; 30], 9, None));
    }
    assert!(rows.is_sorted());
    rows
}

#[test]
fn derived_tables_are_byte_for_byte_the_stored_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mixed = mixed_rows();
    let uniform = uniform_rows(3_000);
    let check = |number: u64, rows: &[Row], block_bytes: usize, filter_bits: u8| {
        for options in both(options(block_bytes, filter_bits)) {
            let number = 2 * number + options.codec as u64;
            let finished = write(dir.path(), number, rows, options);
            let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
            let (rebuilt, keys) = segment.rebuild(DATABASE).unwrap();
            assert!(parts(&rebuilt) == parts(&segment), "{block_bytes}, {filter_bits}");
            assert_eq!(rebuilt.tables().encode().1.is_some(), filter_bits > 0);
            let mut want: Vec<_> = rows.iter().map(|row| (row.keyspace, &row.key)).collect();
            want.dedup();
            assert_eq!(keys, want.len() as u64);
            assert!(want.iter().all(|(keyspace, key)| {
                rebuilt.may_contain(key_hash(KeyspaceId(*keyspace), key))
            }));
        }
    };
    check(1, &mixed, 256, 10);
    check(2, &mixed, 1024, 0);
    check(3, &mixed, 1 << 20, 16);
    check(4, &mixed[..1], 4096, 10);
    // More than one buffer of the pass, and blocks across its edges.
    check(5, &uniform, 4096, 10);
    check(6, &uniform, 64 << 10, 10);
    check(7, &[Row::new(0, b"k", 1, Some(&vec![7; 600 << 10]))], 4096, 10);
}

#[test]
fn damaged_tables_lose_nothing() {
    both(options(512, 10)).into_iter().for_each(check_damaged_tables);
}

fn check_damaged_tables(options: SegmentWriterOptions) {
    let dir = tempfile::tempdir().unwrap();
    let rows = mixed_rows();
    let finished = write(dir.path(), 1, &rows, options);
    let path = segment_path(dir.path(), finished.number);
    let sound = std::fs::read(&path).unwrap();
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let footer = segment.file().footer;
    let wreck = |bytes: &mut Vec<u8>, part: BlockHandle, at: u32| {
        bytes[part.offset as usize + at.min(part.len - 1) as usize] ^= 0x40;
    };
    let handles = [footer.index, footer.filter.unwrap(), footer.properties];
    for which in 1..1 << handles.len() {
        for at in [0, 5, 17, 30, u32::MAX] {
            let mut damaged = sound.clone();
            let chosen = handles.iter().enumerate().filter(|(i, _)| which & 1 << i != 0);
            chosen.for_each(|(_, part)| wreck(&mut damaged, *part, at));
            std::fs::write(&path, damaged).unwrap();
            let rescued = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
            assert!(rescued.was_damaged() && !segment.was_damaged());
            assert!(parts(&rescued) == parts(&segment), "parts {which:03b}, byte {at}");
            for row in &rows {
                let want = row.entry();
                let found = get(&rescued, want.keyspace, want.key, want.sequence);
                assert_eq!(&*found.unwrap().unwrap().value, want.value);
            }
        }
    }
}

#[test]
fn damaged_tables_and_a_damaged_block_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &uniform_rows(100), options(1024, 10));
    let path = segment_path(dir.path(), finished.number);
    let sound = std::fs::read(&path).unwrap();
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let block = segment.tables().index.handle(3);
    for at in 0..40 {
        let mut damaged = sound.clone();
        damaged[segment.file().footer.index.offset as usize + 30] ^= 1;
        damaged[block.offset as usize + at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = open(dir.path(), &finished, &BlockCache::new(0)).unwrap_err();
        assert!(error.is_corruption(), "byte {at}: {error}");
    }
}

/// The planted fault: a pass that missed entries would make a segment that has lost them.
#[test]
fn a_pass_that_finds_fewer_entries_than_there_should_be_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let finished = write(dir.path(), 1, &uniform_rows(100), options(1024, 10));
    let path = segment_path(dir.path(), finished.number);
    let mut damaged = std::fs::read(&path).unwrap();
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    damaged[segment.file().footer.properties.offset as usize + 30] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let more = FinishedSegment { entries: finished.entries + 1, ..finished };
    let error = open(dir.path(), &more, &BlockCache::new(0)).unwrap_err();
    assert!(error.to_string().contains("expected 101 entries, got 100"), "{error}");
}

#[test]
fn tables_of_another_segment_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BlockCache::new(0);
    let one = write(dir.path(), 1, &uniform_rows(100), options(1024, 10));
    let two = write(dir.path(), 2, &uniform_rows(101), options(1024, 10));
    let one = open(dir.path(), &one, &cache);
    let two = open(dir.path(), &two, &cache);
    let one = one.unwrap();
    let two = two.unwrap();
    let copy = |segment: &Segment| {
        let (index, filter, properties) = parts(segment);
        Tables::decode(&index, filter.as_deref(), &properties, segment.bytes()).unwrap()
    };
    assert!(one.with_tables(copy(&one)).is_some());
    assert!(one.with_tables(copy(&two)).is_none());
}

#[test]
fn other_tables_find_the_same_blocks_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BlockCache::new(1 << 20);
    let finished = write(dir.path(), 1, &uniform_rows(400), options(1024, 10));
    let segment = open(dir.path(), &finished, &cache).unwrap();
    let blocks = segment.index().len();
    (0..blocks).for_each(|i| drop(segment.read_block(i).unwrap()));
    let before = (cache.used(), cache.stats().misses);

    let rebuilt = Arc::new(segment.rebuild(DATABASE).unwrap().0);
    for i in 0..blocks {
        assert!(Arc::ptr_eq(&segment.read_block(i).unwrap(), &rebuilt.read_block(i).unwrap()));
    }
    assert_eq!((cache.used(), cache.stats().misses), before, "nothing is read or charged twice");
    drop(segment);
    assert_eq!(cache.used(), before.0, "and nothing is lost");
    drop(rebuilt);
    assert_eq!(cache.used(), 0);
}
