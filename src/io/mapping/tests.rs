//! A mapping reads what the file has, also when the file shrinks.

use super::*;

/// A file of `len` bytes, and its mapping where the system's temporary directory allows one.
fn mapped(len: u64) -> (std::fs::File, Option<Mapping>) {
    let file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut &file, &vec![7; len as usize]).unwrap();
    let mapping = Mapping::new(&file, len);
    (file, mapping)
}

#[test]
fn words_are_written_and_everything_else_is_left_to_the_call() {
    // None where the temporary directory is on a file system without mappings.
    let (file, Some(mapping)) = mapped(10_000) else { return };
    assert!(mapping.write(b"sixteen bytes :)", 9_984));
    assert!(mapping.write(b"", 0));
    for (len, offset) in [(8, 4), (7, 8), (16, 9_992), (8, 10_000), (8, 1 << 60), (8, u64::MAX)] {
        assert!(!mapping.write(&vec![1; len], offset), "{len} at {offset}");
    }
    drop(mapping);
    let mut want = vec![7; 10_000];
    want[9_984..].copy_from_slice(b"sixteen bytes :)");
    let mut got = vec![0; 10_000];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut got, 0).unwrap();
    assert!(got == want);
}

#[test]
fn there_is_none_beyond_the_end_or_of_nothing() {
    let (file, _) = mapped(4_096);
    assert!(Mapping::new(&file, 4_104).is_none());
    assert!(Mapping::new(&file, 7).is_none());
}

/// The system counts what of a mapping is dirty: after a sync, nothing that was named. Where it
/// does not count (no `smaps`), or no page is ever clean (tmpfs), there is nothing to see.
#[test]
fn a_sync_leaves_nothing_dirty_that_it_names() {
    const PAGE: u64 = 4 << 10;
    // Whole pages wherever this runs.
    const PIECE: u64 = 64 << 10;
    const PIECES: u64 = 8;
    // By pages: what one call wrote may be one piece of the page cache, and dirty as one.
    let file = tempfile::tempfile().unwrap();
    for _ in 0..PIECES * PIECE / PAGE {
        std::io::Write::write_all(&mut &file, &[7; PAGE as usize]).unwrap();
    }
    let Some(mapping) = Mapping::new(&file, PIECES * PIECE) else { return };
    let in_memory = fstatfs(&file).unwrap().f_type != IN_PLACE[0];
    if in_memory || std::fs::File::open("/proc/self/smaps").is_err() {
        return;
    }
    let dirty = || {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let begin = format!("{:x}-", mapping.words.as_ptr().addr());
        let of_it = smaps.lines().skip_while(|line| !line.starts_with(&begin)).take(20);
        let is_count =
            |line: &&str| line.starts_with("Shared_Dirty:") || line.starts_with("Private_Dirty:");
        let kib = of_it.filter(is_count).map(|line| line.split_whitespace().nth(1).unwrap());
        kib.map(|kib| kib.parse::<u64>().unwrap() << 10).sum::<u64>()
    };
    let mut seen = false;
    for named in [1, 3, PIECES] {
        for by_its_own in [true, false] {
            (0..PIECES * PIECE).step_by(PAGE as usize).for_each(|at| {
                assert!(mapping.write(&[named as u8; 8], at));
            });
            seen |= dirty() > 0;
            let len = named * PIECE - PAGE + 8;
            let synced = if by_its_own { mapping.sync(len) } else { sync(&file, len) };
            synced.unwrap().unwrap();
            assert!(dirty() <= (PIECES - named) * PIECE, "{named}, {by_its_own}: {}", dirty());
        }
    }
    assert!(seen, "nothing was ever dirty, so the counts say nothing");
}

/// It is refused where it would do nothing.
#[test]
fn a_part_is_synced_of_a_file_that_is_open_for_writing_only() {
    let (file, Some(mapping)) = mapped(10_000) else { return };
    for len in [1, 4_096, 9_999, 10_000, 1 << 20] {
        assert!(mapping.write(&[len as u8; 8], 0));
        assert!(sync(&file, len).is_some_and(|synced| synced.is_ok()), "{len}");
        let synced = mapping.sync(len).map(|synced| synced.is_ok());
        assert_eq!(synced, (len <= 10_000).then_some(true));
    }
    assert!(sync(&file, 0).is_none());
    assert!(sync(&file, u64::MAX).is_none());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, [7; 64]).unwrap();
    assert!(sync(std::fs::File::open(path).unwrap(), 64).is_none());
}
