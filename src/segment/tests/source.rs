//! The sequential source: the same entries as a list between any bounds, few reads past the cache,
//! and the error that a read of the block would give.

use super::model::Random;
use super::*;
use crate::error::Error;
use crate::format::meta::BoundKey;
use crate::io::files::kept;
use crate::io::{FaultPlan, OpKind, SimFs};
use crate::iter::Source;

fn segment(fs: &SimFs, rows: &[Row], options: SegmentWriterOptions) -> Arc<Segment> {
    let dir = Path::new("");
    let mut writer = SegmentWriter::create(&kept(fs), dir, FileNumber(1), options).unwrap();
    rows.iter().for_each(|row| writer.add(&row.entry()).unwrap());
    let finished = writer.finish().unwrap();
    let expect = finished.expect(DATABASE);
    let cache = BlockCache::new(1 << 30);
    Arc::new(Segment::open(&kept(fs), dir, FileNumber(1), &expect, None, cache).unwrap())
}

/// Checks that exactly these rows come, and then the end, or an error and then the end.
#[track_caller]
fn check(source: Result<SegmentSource>, rows: &[Row], context: &str) -> Option<Error> {
    let mut source = match source {
        Ok(source) => source,
        Err(error) => {
            assert!(rows.is_empty(), "{context}");
            return Some(error);
        }
    };
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(source.entry(), Some(row.entry()), "{context}");
        if let Err(error) = source.pass(1) {
            assert_eq!(i + 1, rows.len(), "{context}: {error}");
            assert!(source.entry().is_none());
            source.pass(1).unwrap();
            assert!(source.entry().is_none());
            return Some(error);
        }
    }
    assert_eq!(source.entry(), None, "{context}");
    source.pass(1).unwrap();
    assert_eq!(source.entry(), None, "{context}");
    None
}

/// Nothing, a key of the rows, or a key near one.
fn random_bound(random: &mut Random, rows: &[Row]) -> Option<BoundKey> {
    let row = &rows[random.below(rows.len() as u64) as usize];
    let mut bound = BoundKey { keyspace: KeyspaceId(row.keyspace), key: row.key.clone() };
    match random.below(8) {
        0 => return None,
        1 => bound.key.push(0),
        2 => drop(bound.key.pop()),
        3 => bound.key.clear(),
        4 => bound.keyspace.0 += 1,
        5 => bound.key = random.key(),
        _ => {}
    }
    Some(bound)
}

#[test]
fn any_part_of_a_segment_comes_as_from_a_list() {
    let seed = std::env::var("ALLUVIUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x50_7263);
    eprintln!("ALLUVIUM_SEED={seed}");
    let mut random = Random::new(seed);
    for (keys, block_bytes) in [(1, 256), (6, 256), (80, 256), (300, 4096), (100, 300), (500, 900)]
    {
        let mut rows = random.rows(keys);
        if keys == 300 {
            // A block that is larger than a piece.
            rows[keys as usize / 2].value = Some(vec![7; 600 << 10]);
        }
        let segments =
            both(options(block_bytes, 10)).map(|options| segment(&SimFs::new(), &rows, options));
        let bounded = |from: Option<&BoundKey>, to: Option<&BoundKey>| {
            let wanted = rows.iter().filter(|row| {
                let key = BoundKey { keyspace: KeyspaceId(row.keyspace), key: row.key.clone() };
                from.is_none_or(|from| key >= *from) && to.is_none_or(|to| key < *to)
            });
            let wanted: Vec<_> = wanted.cloned().collect();
            for segment in &segments {
                let source = SegmentSource::new(Arc::clone(segment), from, to);
                assert!(check(source, &wanted, &format!("{from:?} to {to:?}")).is_none());
            }
        };
        bounded(None, None);
        for _ in 0..300 {
            let from = random_bound(&mut random, &rows);
            let to = random_bound(&mut random, &rows);
            bounded(from.as_ref(), to.as_ref());
        }
    }
}

#[test]
fn versions_of_one_key_come_from_all_their_blocks_or_from_none() {
    let mut rows = vec![Row::new(1, b"a", 1, Some(b"before"))];
    rows.extend((2..400).rev().map(|n| Row::new(1, b"hot", n, Some(&[n as u8; 20]))));
    rows.push(Row::new(1, b"hot\0", 1000, Some(b"after")));
    let segment = segment(&SimFs::new(), &rows, options(256, 10));
    assert!(segment.index().len() > 40);
    let hot = BoundKey { keyspace: KeyspaceId(1), key: b"hot".to_vec() };
    let source = |from, to| SegmentSource::new(Arc::clone(&segment), from, to);
    assert!(check(source(Some(&hot), None), &rows[1..], "from").is_none());
    assert!(check(source(None, Some(&hot)), &rows[..1], "to").is_none());
    assert!(check(source(Some(&hot), Some(&hot)), &[], "neither").is_none());
}

#[test]
fn a_walk_reads_large_pieces_past_the_cache_into_the_same_memory() {
    let rows = uniform_rows(10_000);
    let fs = SimFs::new();
    let segment = segment(&fs, &rows, options(4096, 10));
    let cache_used = || (0..segment.index().len()).any(|i| segment.is_resident(i));

    let before = fs.read_count();
    let mut source = SegmentSource::new(Arc::clone(&segment), None, None).unwrap();
    let mut memory = source.memory();
    let mut moves = 0;
    for row in &rows[..rows.len() - 1] {
        assert_eq!(source.entry(), Some(row.entry()));
        source.pass(1).unwrap();
        let now = source.memory();
        moves += u64::from(std::mem::replace(&mut memory, now) != now);
    }
    let pieces = segment.bytes().div_ceil(256 << 10);
    // Blocks and pieces differ by a few bytes, so that a later one may still need more room.
    let blocks = segment.index().len() as u64;
    assert!(moves <= 2 * pieces && 4 * pieces < blocks, "{moves} moves for {blocks} blocks");
    let reads = fs.read_count() - before;
    assert!((pieces..=pieces + 1).contains(&reads), "{reads} reads of {} bytes", segment.bytes());

    // Bounds are known before anything is read.
    let bound = |row: &Row| BoundKey { keyspace: KeyspaceId(0), key: row.key.clone() };
    let from = bound(&rows[5_000]);
    let to = bound(&rows[5_010]);
    let before = fs.read_count();
    let source = SegmentSource::new(Arc::clone(&segment), Some(&from), Some(&to));
    assert!(check(source, &rows[5_000..5_010], "a few").is_none());
    assert_eq!(fs.read_count() - before, 1);
    assert!(!cache_used());
}

/// I20.
#[test]
fn damage_is_corruption_at_its_block_after_everything_before() {
    both(options(1024, 10)).into_iter().for_each(check_damage);
}

fn check_damage(options: SegmentWriterOptions) {
    let rows = uniform_rows(60);
    let fs = SimFs::new();
    let segment = segment(&fs, &rows, options);
    let index = segment.index();
    let mut begin = 0;
    for i in 0..index.len() {
        let handle = index.handle(i);
        for at in 0..u64::from(handle.len) {
            assert!(fs.flip("000001.seg", handle.offset + at, 0x10));
            let source = SegmentSource::new(Arc::clone(&segment), None, None);
            let error = check(source, &rows[..begin], &format!("byte {at} of block {i}"));
            let error = error.expect("a damaged block is noticed");
            assert!(
                matches!(error, Error::Corruption { offset, .. }
                    if (handle.offset..handle.offset + 24).contains(&offset)),
                "{error}"
            );
            // It says just what a read of the block says.
            let read = segment.file().read_from_file(index, i).unwrap_err();
            assert_eq!(error.to_string(), read.to_string());
            assert!(fs.flip("000001.seg", handle.offset + at, 0x10));
        }
        begin += segment.read_block(i).unwrap().len();
    }
    assert_eq!(begin, rows.len());
}

#[test]
fn a_file_cut_while_it_is_open_is_corruption_where_the_cut_is() {
    let rows = uniform_rows(60);
    let fs = SimFs::new();
    let segment = segment(&fs, &rows, options(1024, 10));
    let whole = fs.read_file("000001.seg").unwrap();
    let mut begin = 0;
    for i in 0..segment.index().len() {
        let handle = segment.index().handle(i);
        let next = segment.read_block(i).unwrap().len();
        for len in [0, 1, handle.len - 1] {
            fs.write_file("000001.seg", &whole[..handle.offset as usize + len as usize]);
            let source = SegmentSource::new(Arc::clone(&segment), None, None);
            let error = check(source, &rows[..begin], "cut").expect("a cut is noticed");
            let at = handle.offset;
            assert!(matches!(error, Error::Corruption { offset, .. } if offset == at), "{error}");
        }
        fs.write_file("000001.seg", &whole);
        begin += next;
    }
}

#[test]
fn a_read_that_fails_is_its_error_and_the_end() {
    let rows = uniform_rows(10_000);
    let fs = SimFs::new();
    let segment = segment(&fs, &rows, options(4096, 10));
    let source = || SegmentSource::new(Arc::clone(&segment), None, None);
    for failing in 0..3 {
        fs.set_fault(Some(FaultPlan::new(OpKind::Read).nth(failing)));
        let mut came = 0;
        let error = match source() {
            Err(error) => error,
            Ok(mut source) => loop {
                came += usize::from(source.entry().is_some());
                if let Err(error) = source.pass(1) {
                    assert!(source.entry().is_none());
                    break error;
                }
            },
        };
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!((failing as usize * 2_000..rows.len()).contains(&came) || came == 0, "{came}");
        assert_eq!(came == 0, failing == 0);
    }
    fs.set_fault(None);
    assert!(check(source(), &rows, "sound").is_none());
}
