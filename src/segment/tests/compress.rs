//! Compressed segments: smaller where that pays, the same to every reader, and charged to the cache
//! as what they are in memory.

use super::*;

/// Rows that look like rows of a table, and rows that nothing makes shorter.
fn rows(count: u64, random: bool) -> Vec<Row> {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as u8
    };
    let row = |n: u64| {
        let value = match random {
            true => (0..100).map(|_| noise()).collect(),
            false => format!("{{\"id\":{n},\"name\":\"user number {n}\",\"active\":true}}").into(),
        };
        Row::new(
            0,
            format!("user:{n:08}").as_bytes(),
            1 + n,
            Some::<&Vec<u8>>(&value).map(|v| &**v),
        )
    };
    (0..count).map(row).collect()
}

fn compressed(block_bytes: usize) -> SegmentWriterOptions {
    SegmentWriterOptions { codec: Codec::Lz4, ..options(block_bytes, 10) }
}

/// The codec byte of each data block, and the length of its payload as stored and raw.
fn blocks(dir: &Path, segment: &Segment) -> Vec<(u8, u32, u32)> {
    let bytes = std::fs::read(segment_path(dir, segment.number())).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let block = |i: usize| {
        let at = segment.index().handle(i).offset as usize;
        (bytes[at + 1], number(at + 4), number(at + 8))
    };
    (0..segment.index().len()).map(block).collect()
}

#[test]
fn blocks_are_compressed_where_that_pays_and_the_footer_says_whether_any_is() {
    let dir = tempfile::tempdir().unwrap();
    let text = rows(400, false);
    let noise = rows(400, true);
    let both_kinds = [&text[..200], &noise[200..]].concat();
    let check = |number, rows: &[Row], options: SegmentWriterOptions| {
        let finished = write(dir.path(), number, rows, options);
        let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
        let blocks = blocks(dir.path(), &segment);
        let short = blocks.iter().filter(|(codec, ..)| *codec == 1).count();
        for &(codec, stored, raw) in &blocks {
            assert!(if codec == 1 { stored <= raw - raw / 8 } else { stored == raw });
        }
        let stored: u64 = (0..blocks.len()).map(|i| u64::from(segment.index().handle(i).len)).sum();
        assert_eq!(segment.properties().stored_bytes, stored);
        assert_eq!(segment.file().footer.lz4_blocks, short > 0);
        (short, blocks.len(), finished.bytes)
    };
    let (short, all, plain) = check(1, &text, options(4096, 10));
    assert_eq!(short, 0);
    let (short, same, small) = check(2, &text, compressed(4096));
    assert_eq!((short, same), (all, all), "blocks are cut by their raw size");
    assert!(small * 2 < plain, "{small} of {plain}");
    let (short, _, bytes) = check(3, &noise, compressed(4096));
    assert_eq!((short, bytes), (0, check(4, &noise, options(4096, 10)).2));
    let (short, all, _) = check(5, &both_kinds, compressed(4096));
    assert!(0 < short && short < all, "{short} of {all}");
}

#[test]
fn a_segment_is_as_long_as_it_says_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let number = FileNumber(1);
    let mut writer =
        SegmentWriter::create(&kept(&DiskFs), dir.path(), number, compressed(4096)).unwrap();
    let rows = rows(4_000, false);
    rows.iter().for_each(|row| writer.add(&row.entry()).unwrap());
    let said = writer.written_bytes();
    let finished = writer.finish().unwrap();
    // The filter and the end of the file come on top.
    let filter = 4_000 * 10 / 8;
    assert!((said..said + filter + 2_000).contains(&finished.bytes), "{said}, {finished:?}");
}

#[test]
fn the_cache_is_charged_what_a_block_takes_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(2_000, false);
    let [plain, small] = both(options(4096, 10)).map(|options| {
        let finished = write(dir.path(), options.codec as u64, &rows, options);
        let cache = BlockCache::new(1 << 30);
        let segment = open(dir.path(), &finished, &cache).unwrap();
        (0..segment.index().len()).for_each(|i| drop(segment.read_block(i).unwrap()));
        let used = cache.used();
        let blocks = segment.index().len();
        // What a block holds, two lines, and one for the counts of the Arc that holds it.
        let held = |i| segment.read_block(i).unwrap().memory_bytes();
        assert_eq!(used, (0..blocks).map(held).sum::<usize>() + 192 * blocks);
        drop(segment);
        assert_eq!(cache.used(), 0);
        (used, blocks)
    });
    // A raw block is kept with its header.
    assert_eq!(plain.0 - small.0, plain.1 * crate::format::block::BLOCK_HEADER_BYTES);
    assert_eq!(plain.1, small.1);
}

/// I20: a compressed block in another's place, and stored bytes that hold something else under a
/// checksum that was not made for them.
#[test]
fn compressed_blocks_that_changed_places_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    // Only the sequences and one digit differ, so that some blocks are of one length.
    let rows = uniform_rows(2048);
    let finished = write(dir.path(), 1, &rows, compressed(1024));
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let path = segment_path(dir.path(), finished.number);
    let sound = std::fs::read(&path).unwrap();
    let range = |i: usize| {
        let handle = segment.index().handle(i);
        handle.offset as usize..handle.end().unwrap() as usize
    };
    let first = range(1);
    let second = (2..segment.index().len()).map(range).find(|other| other.len() == first.len());
    let second = second.expect("two blocks of one length");
    assert_eq!(sound[first.start + 1], 1, "they are compressed");
    let mut swapped = sound.clone();
    swapped[first.clone()].copy_from_slice(&sound[second.clone()]);
    swapped[second].copy_from_slice(&sound[first]);
    std::fs::write(&path, swapped).unwrap();
    let error = segment.read_block(1).unwrap_err();
    assert!(error.is_corruption(), "{error}");
}
