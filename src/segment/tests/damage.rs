//! Damaged, cut, swapped and foreign files: the right answer or a typed error, and somebody who
//! notices every damaged byte (I26).

use super::*;
use crate::error::Error;
use crate::iter::Cursor;

fn typed(error: &Error) -> bool {
    error.is_corruption() || matches!(error, Error::UnsupportedFormat { .. })
}

/// Reads everything in every way. Wrong data panics; returns whether any read failed.
pub(super) fn read_all(segment: &Arc<Segment>, rows: &[Row]) -> bool {
    let mut failed = false;
    for row in rows {
        let want = row.entry();
        match get(segment, want.keyspace, want.key, want.sequence) {
            Ok(found) => {
                let found = found.expect("the row is there, or its block is damaged");
                let got = (found.kind, found.sequence, &*found.value);
                assert_eq!(got, (want.kind, want.sequence, want.value));
            }
            Err(error) => {
                assert!(typed(&error), "{error}");
                failed = true;
            }
        }
    }
    let mut cursor = SegmentCursor::new(Arc::clone(segment), None);
    let mut step = cursor.seek(Position::first(KeyspaceId(0), b""));
    let mut rows = rows.iter();
    while step.is_ok() {
        assert_eq!(cursor.entry(), rows.next().map(Row::entry));
        if cursor.entry().is_none() {
            return failed;
        }
        step = cursor.next();
    }
    assert!(cursor.entry().is_none(), "a failed cursor stands nowhere");
    assert!(typed(&step.unwrap_err()));
    true
}

fn small_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = (0..9)
        .map(|n| Row::new(n / 6, format!("key{n}").as_bytes(), 10 + n as u64, Some(&[1; 40])))
        .collect();
    rows.push(Row::new(1, b"key8", 3, None));
    rows.push(Row::new(2, b"", 400, Some(b"")));
    rows
}

/// Whether a file of these bytes shows a typed error when opened or read, or says that its tables
/// are damaged. Panics on wrong data.
fn shows_an_error(dir: &Path, finished: &FinishedSegment, bytes: &[u8], rows: &[Row]) -> bool {
    std::fs::write(segment_path(dir, finished.number), bytes).unwrap();
    let shows = |cache: Arc<BlockCache>| match open(dir, finished, &cache) {
        Ok(segment) => read_all(&segment, rows) || segment.was_damaged(),
        Err(error) => {
            assert!(typed(&error), "{error}");
            true
        }
    };
    let shown = shows(BlockCache::new(1 << 20));
    assert_eq!(shows(BlockCache::of_mapped(1 << 20)), shown, "where the file is mapped");
    shown
}

#[test]
fn every_flipped_byte_is_noticed_and_never_wrong_data() {
    let dir = tempfile::tempdir().unwrap();
    let rows = small_rows();
    for options in both(options(256, 10)) {
        let finished = write(dir.path(), options.codec as u64, &rows, options);
        let sound = std::fs::read(segment_path(dir.path(), finished.number)).unwrap();
        assert!(!shows_an_error(dir.path(), &finished, &sound, &rows));
        for at in 0..sound.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = sound.clone();
                damaged[at] ^= flip;
                assert!(
                    shows_an_error(dir.path(), &finished, &damaged, &rows),
                    "byte {at} of {} has no keeper",
                    sound.len()
                );
            }
        }
    }
}

#[test]
fn every_cut_and_every_longer_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for options in both(options(256, 10)) {
        check_cuts(dir.path(), &small_rows(), options);
    }
}

fn check_cuts(dir: &Path, rows: &[Row], options: SegmentWriterOptions) {
    let finished = write(dir, options.codec as u64, rows, options);
    let sound = std::fs::read(segment_path(dir, finished.number)).unwrap();
    for len in 0..sound.len() {
        assert!(shows_an_error(dir, &finished, &sound[..len], rows));
        // Also where the manifest would agree with the cut.
        let agreeing = FinishedSegment { bytes: len as u64, ..finished.clone() };
        assert!(shows_an_error(dir, &agreeing, &sound[..len], rows), "{len} bytes");
    }
    let longer = [sound.as_slice(), &[0; 8]].concat();
    let agreeing = FinishedSegment { bytes: longer.len() as u64, ..finished.clone() };
    assert!(shows_an_error(dir, &finished, &longer, rows));
    assert!(shows_an_error(dir, &agreeing, &longer, rows));
}

#[test]
fn a_file_cut_while_it_is_open_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let rows = uniform_rows(100);
    let finished = write(dir.path(), 1, &rows, options(1024, 10));
    let segment = open(dir.path(), &finished, &BlockCache::new(1 << 20)).unwrap();
    let path = segment_path(dir.path(), finished.number);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let error = get(&segment, KeyspaceId(0), &rows[50].key, Sequence(9999)).unwrap_err();
    assert!(error.is_corruption(), "{error}");
}

/// I20.
#[test]
fn blocks_that_changed_places_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let rows = uniform_rows(64);
    let finished = write(dir.path(), 1, &rows, options(1024, 10));
    let other = write(dir.path(), 2, &rows, options(1024, 10));
    assert_eq!(finished.bytes, other.bytes);
    let segment = open(dir.path(), &finished, &BlockCache::new(0)).unwrap();
    let range = |i: usize| {
        let handle = segment.index().handle(i);
        handle.offset as usize..handle.end().unwrap() as usize
    };
    let first = range(0);
    let second = (1..segment.index().len()).map(range).find(|other| other.len() == first.len());
    let second = second.expect("keys and values are of one length");
    let path = segment_path(dir.path(), finished.number);
    let sound = std::fs::read(&path).unwrap();

    let mut swapped = sound.clone();
    swapped[first.clone()].copy_from_slice(&sound[second.clone()]);
    swapped[second].copy_from_slice(&sound[first.clone()]);
    assert!(shows_an_error(dir.path(), &finished, &swapped, &rows));

    let foreign = std::fs::read(segment_path(dir.path(), other.number)).unwrap();
    let mut mixed = sound.clone();
    mixed[first.clone()].copy_from_slice(&foreign[first]);
    assert!(shows_an_error(dir.path(), &finished, &mixed, &rows));
}

#[test]
fn a_file_in_the_place_of_another_is_corruption_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let rows = uniform_rows(10);
    let one = write(dir.path(), 1, &rows, options(1024, 10));
    let two = write(dir.path(), 2, &rows, options(1024, 10));
    let cache = BlockCache::new(0);
    let swapped = FinishedSegment { number: two.number, ..one.clone() };
    assert!(open(dir.path(), &swapped, &cache).unwrap_err().is_corruption());
    let expect = one.expect(Uuid([1; 16]));
    let foreign =
        Segment::open(&kept(&DiskFs), dir.path(), one.number, &expect, None, Arc::clone(&cache));
    assert!(foreign.unwrap_err().is_corruption());
    // Header and footer of two segments in one file.
    let path = |number| segment_path(dir.path(), number);
    let a = std::fs::read(path(one.number));
    let b = std::fs::read(path(two.number));
    let a = a.unwrap();
    let b = b.unwrap();
    let spliced = [&a[..a.len() - 256], &b[b.len() - 256..]].concat();
    assert!(shows_an_error(dir.path(), &one, &spliced, &rows));
    assert!(matches!(open(dir.path(), &one, &cache), Err(Error::Corruption { .. })));
}
