//! The simulated file system against hand-made scenarios, one per promise of its documentation,
//! and a random workload that checks what holds for every crash.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::*;

fn create(fs: &SimFs, path: &str) -> Arc<dyn FsFile> {
    fs.open(Path::new(path), OpenMode::CreateNew).unwrap()
}

type Step = fn(&SimFs, &dyn FsFile) -> io::Result<()>;

/// A durable directory `d` with a durable file `d/f` of `bytes`, and the open file.
fn with_file(bytes: &[u8]) -> (SimFs, Arc<dyn FsFile>) {
    let fs = SimFs::new();
    fs.write_file("d/f", bytes);
    let file = fs.open(Path::new("d/f"), OpenMode::ReadWrite).unwrap();
    (fs, file)
}

fn read(fs: &SimFs, path: &str) -> Option<Vec<u8>> {
    fs.read_file(path)
}

/// What each mode leaves of `path`, in the order of `CrashMode::ALL`, for one seed.
fn after_all(fs: &SimFs, path: &str, seed: u64) -> Vec<Option<Vec<u8>>> {
    CrashMode::ALL.iter().map(|&mode| read(&fs.crash(mode, seed), path)).collect()
}

fn kind<T: fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn files_behave_like_files() {
    let fs = SimFs::new();
    let dir = Path::new("./a/b");
    assert_eq!(kind(fs.list(dir)), ErrorKind::NotFound);
    assert_eq!(kind(fs.open(&dir.join("f"), OpenMode::CreateNew)), ErrorKind::NotFound);
    fs.create_dir_all(dir).unwrap();
    fs.create_dir_all(dir).unwrap();
    assert_eq!(kind(fs.open(dir, OpenMode::Read)), ErrorKind::IsADirectory);
    assert_eq!(kind(fs.open(&dir.join("f"), OpenMode::ReadWrite)), ErrorKind::NotFound);
    let file = create(&fs, "a/b/f");
    assert_eq!(kind(fs.open(&dir.join("f"), OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(kind(fs.create_dir_all(&dir.join("f/g"))), ErrorKind::NotADirectory);
    assert_eq!(kind(fs.list(&dir.join("f"))), ErrorKind::NotADirectory);

    file.write_all_at(b"xyz", 2).unwrap();
    file.write_at(b"", 100).unwrap();
    assert_eq!(file.len().unwrap(), 5);
    let mut buf = [9; 8];
    assert_eq!(file.read_at(&mut buf, 1).unwrap(), 4);
    assert_eq!(&buf, b"\0xyz\x09\x09\x09\x09");
    assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap(), 0);
    file.set_len(3).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(read(&fs, "a/c/../b/f").unwrap(), b"\0\0x\0");

    let reader = fs.open(&dir.join("f"), OpenMode::Read).unwrap();
    assert_eq!(kind(reader.write_at(b"x", 0)), ErrorKind::PermissionDenied);
    assert_eq!(kind(file.write_at(b"x", u64::MAX)), ErrorKind::FileTooLarge);
    assert_eq!(kind(file.write_at(b"x", 1 << 31)), ErrorKind::FileTooLarge);
    assert_eq!(kind(file.set_len(u64::MAX)), ErrorKind::FileTooLarge);

    fs.create_dir_all(Path::new("a/b/c")).unwrap();
    create(&fs, "a/b/c/deep");
    create(&fs, "a/b/z");
    assert_eq!(fs.files("a/b"), ["f", "z"]);
    assert_eq!(kind(fs.rename(Path::new("a/b/z"), Path::new("a/b/c"))), ErrorKind::IsADirectory);
    fs.rename(Path::new("a/b/z"), Path::new("a/b/f")).unwrap();
    assert_eq!(fs.list(dir).unwrap(), ["f"]);
    assert_eq!(read(&fs, "a/b/f").unwrap(), b"");
    assert_eq!(file.len().unwrap(), 4, "a replaced file stays readable through its handle");
    fs.remove(Path::new("a/b/f")).unwrap();
    assert_eq!(kind(fs.remove(Path::new("a/b/f"))), ErrorKind::NotFound);
}

/// POSIX: to move one name of a file over another does nothing, and both stay.
#[test]
fn names_of_one_file_are_counted_and_not_merged() {
    let (fs, file) = with_file(b"abc");
    assert_eq!(file.names().unwrap(), 1);
    fs.hard_link(Path::new("d/f"), Path::new("d/g")).unwrap();
    fs.rename(Path::new("d/f"), Path::new("d/g")).unwrap();
    assert_eq!((fs.files("d"), fs.used()), (vec!["f".into(), "g".into()], 3));
    assert_eq!(file.names().unwrap(), 2);
    file.sync_data().unwrap();
    assert_eq!(fs.crash(CrashMode::PowerLoseAll, 0).files("d"), ["f"]);
    fs.remove(Path::new("d/f")).unwrap_err();
    let (fs, file) = with_file(b"abc");
    fs.remove(Path::new("d/f")).unwrap();
    assert_eq!(file.names().unwrap(), 0);
    fs.set_fault(Some(FaultPlan::new(OpKind::Link).on("new")));
    fs.write_file("d/h", b"");
    assert_eq!(kind(fs.hard_link(Path::new("d/h"), Path::new("d/new"))), ErrorKind::Other);
    assert_eq!(fs.files("d"), ["h"]);
}

#[test]
fn synced_bytes_without_a_synced_name_are_lost() {
    let fs = SimFs::new();
    let file = create(&fs, "f");
    file.write_all_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(CrashMode::PowerLoseAll, 0), "f"), None);
    assert_eq!(read(&fs.crash(CrashMode::PowerKeepAll, 0), "f").unwrap(), b"abc");
    assert_eq!(read(&fs.crash(CrashMode::Process, 0), "f").unwrap(), b"abc");
}

#[test]
fn a_synced_name_without_synced_bytes_is_an_empty_file() {
    let fs = SimFs::new();
    create(&fs, "f").write_all_at(b"abc", 0).unwrap();
    fs.sync_dir(Path::new("")).unwrap();
    let want: [(CrashMode, &[u8]); 4] = [
        (CrashMode::PowerLoseAll, b""),
        (CrashMode::PowerKeepAll, b"abc"),
        (CrashMode::PowerZeros, b"\0\0\0"),
        (CrashMode::Process, b"abc"),
    ];
    for (mode, bytes) in want {
        assert_eq!(read(&fs.crash(mode, 0), "f").unwrap(), bytes, "{mode:?}");
    }
    let garbage = read(&fs.crash(CrashMode::PowerGarbage, 0), "f").unwrap();
    assert!(garbage.len() == 3 && garbage != b"abc");
}

/// Symptom: rewriting recovered bytes in place, to make sure of them, lost them in a crash.
/// Mechanism: the modes that fill pending writes filled bytes that were durable with the same
/// values. Fix: a byte that a write repeats is the same whether the write comes to pass or not.
#[test]
fn rewriting_durable_bytes_with_themselves_is_safe() {
    let fs = SimFs::new();
    let file = fs.open(Path::new("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"durable", 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("")).unwrap();
    file.write_all_at(b"durable, pending", 0).unwrap();
    for &mode in CrashMode::ALL {
        for seed in 0..20 {
            let bytes = read(&fs.crash(mode, seed), "f").unwrap();
            assert!(bytes.starts_with(b"durable"), "{mode:?}: {}", bytes.escape_ascii());
        }
    }
    let zeros = read(&fs.crash(CrashMode::PowerZeros, 0), "f").unwrap();
    assert_eq!(zeros, b"durable\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_sync_of_a_part_makes_no_more_durable_than_that() {
    let check = |below: u64, want: &[u8]| {
        let (fs, file) = with_file(b"......");
        file.write_all_at(b"ab", 0).unwrap();
        file.write_all_at(b"XYZ", 1).unwrap();
        file.write_all_at(b"+++", 5).unwrap();
        file.sync_below(below).unwrap();
        let after = read(&fs.crash(CrashMode::PowerLoseAll, 0), "d/f").unwrap();
        assert_eq!(after.escape_ascii().to_string(), want.escape_ascii().to_string(), "{below}");
        assert_eq!(read(&fs.crash(CrashMode::PowerKeepAll, 0), "d/f").unwrap(), b"aXYZ.+++");
    };
    check(0, b"......");
    check(1, b"a.....");
    check(3, b"aXY...");
    check(5, b"aXYZ..");
    check(7, b"aXYZ.++");
    check(u64::MAX, b"aXYZ.+++");
}

/// What was written before a length changed cannot be told from what the change made.
#[test]
fn a_sync_of_a_part_takes_along_what_a_change_of_length_follows() {
    let (fs, file) = with_file(b"......");
    file.write_all_at(b"abcdef", 0).unwrap();
    file.set_len(5).unwrap();
    file.write_all_at(b"XYZ", 1).unwrap();
    file.sync_below(2).unwrap();
    assert_eq!(read(&fs.crash(CrashMode::PowerLoseAll, 0), "d/f").unwrap(), b"aXcde");
}

#[test]
fn renames_and_removals_last_after_a_directory_sync_only() {
    let (fs, _file) = with_file(b"old");
    fs.write_file("d/new", b"new");
    fs.write_file("d/gone", b"gone");
    fs.rename(Path::new("d/new"), Path::new("d/f")).unwrap();
    fs.remove(Path::new("d/gone")).unwrap();
    let live = fs.clone();
    let lost = fs.crash(CrashMode::PowerLoseAll, 0);
    assert_eq!(lost.files("d"), ["f", "gone", "new"]);
    assert_eq!(read(&lost, "d/f").unwrap(), b"old");
    assert_eq!(read(&lost, "d/gone").unwrap(), b"gone");
    let kept = live.crash(CrashMode::Process, 0);
    assert_eq!(kept.files("d"), ["f"]);
    kept.sync_dir(Path::new("d")).unwrap();
    let kept = kept.crash(CrashMode::PowerLoseAll, 0);
    assert_eq!(kept.files("d"), ["f"]);
    assert_eq!(read(&kept, "d/f").unwrap(), b"new");
}

#[test]
fn a_rename_between_directories_is_one_change() {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("a")).unwrap();
    fs.create_dir_all(Path::new("b")).unwrap();
    create(&fs, "a/x");
    create(&fs, "a/y");
    fs.rename(Path::new("a/x"), Path::new("b/x")).unwrap();
    create(&fs, "a/late");
    fs.sync_dir(Path::new("b")).unwrap();
    let after = fs.crash(CrashMode::PowerLoseAll, 0);
    assert_eq!((after.files("a"), after.files("b")), (vec!["y".into()], vec!["x".into()]));
}

#[test]
fn a_process_death_leaves_pending_what_was_pending() {
    let (fs, file) = with_file(b"old");
    file.write_all_at(b"new", 0).unwrap();
    let after = fs.crash(CrashMode::Process, 0);
    assert_eq!(read(&after, "d/f").unwrap(), b"new");
    assert_eq!(read(&after.crash(CrashMode::PowerLoseAll, 0), "d/f").unwrap(), b"old");
    assert_eq!(kind(file.read_at(&mut [0], 0)), ErrorKind::Other);
}

#[test]
fn a_prefix_respects_the_order_across_files() {
    // The file written first is neither the one made first nor the first by name.
    let (fs, second) = with_file(b"");
    fs.write_file("d/g", b"");
    let first = fs.open(Path::new("d/g"), OpenMode::ReadWrite).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    first.write_all_at(b"aaaa", 0).unwrap();
    second.write_all_at(b"bbbb", 0).unwrap();
    for seed in 0..200 {
        let after = fs.crash(CrashMode::PowerPrefix, seed);
        let lens = ["d/g", "d/f"].map(|path| read(&after, path).unwrap().len());
        assert!(lens[1] == 0 || lens[0] == 4, "seed {seed}: {lens:?}");
        seen.insert(lens);
    }
    let want: Vec<_> = (0..=4).map(|n| [n, 0]).chain((1..=4).map(|n| [4, n])).collect();
    assert_eq!(Vec::from_iter(seen), want);
}

#[test]
fn a_subset_keeps_and_loses_sectors() {
    let (fs, file) = with_file(&[1; 2_000]);
    file.write_all_at(&[2; 1_900], 100).unwrap();
    let bounds = [0, 100, 512, 1_024, 1_536, 2_000];
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let bytes = read(&fs.crash(CrashMode::PowerSubset, seed), "d/f").unwrap();
        let sectors = bounds.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        assert!(sectors.clone().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        seen.insert(sectors.map(|sector| sector[0]).collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 16, "every selection of the four sectors occurs");
    assert!(seen.iter().all(|kept| kept[0] == 1));
}

#[test]
fn a_subset_of_names_is_well_formed() {
    let (fs, _file) = with_file(b"old");
    create(&fs, "d/tmp");
    fs.rename(Path::new("d/tmp"), Path::new("d/f")).unwrap();
    let later = create(&fs, "d/tmp");
    later.write_all_at(b"later", 0).unwrap();
    later.sync_data().unwrap();
    create(&fs, "d/other");
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let after = fs.crash(CrashMode::PowerSubset, seed);
        let len = |path| read(&after, path).map(|bytes| bytes.len());
        seen.insert((len("d/f"), len("d/tmp"), len("d/other")));
    }
    // The later `tmp` never without the rename before it, the rename never without the first
    // `tmp`; `other` hangs on nothing.
    let chain = [(3, None), (3, Some(0)), (0, None), (0, Some(5))];
    let want = chain.map(|(f, tmp)| [None, Some(0)].map(|other| (Some(f), tmp, other)));
    assert_eq!(seen, want.into_iter().flatten().collect());
}

#[test]
fn the_interrupted_write_may_be_torn_and_nothing_after_it_happens() {
    let (fs, file) = with_file(b"");
    let start = fs.op_count();
    fs.crash_at(start + 1);
    file.write_all_at(b"one", 0).unwrap();
    assert_eq!(kind(file.write_at(b"two", 3)), ErrorKind::Other);
    assert!(fs.crashed());
    assert_eq!(fs.op_count(), start + 1);
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    assert_eq!(kind(fs.list(Path::new("d"))), ErrorKind::Other);
    assert_eq!(kind(fs.create_dir_all(Path::new("d"))), ErrorKind::Other);
    assert_eq!(read(&fs, "d/f").unwrap(), b"one");
    drop(file);

    let mut lens = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let after = after_all(&fs, "d/f", seed);
        let [process, lost, kept, ..] = &after[..] else { panic!("fewer than three modes") };
        let process = process.as_deref().unwrap();
        assert!(b"onetwo".starts_with(process), "seed {seed}: {process:?}");
        lens.insert(process.len());
        assert_eq!(lost.as_deref().unwrap(), b"");
        assert_eq!(kept.as_deref().unwrap(), b"onetwo");
        assert_eq!(after, after_all(&fs, "d/f", seed), "a seed does not replay");
    }
    assert_eq!(Vec::from_iter(lens), [3, 4, 5, 6]);
}

#[test]
fn an_interrupted_write_to_a_removed_file_leaves_nothing() {
    let fs = SimFs::new();
    let file = create(&fs, "f");
    fs.remove(Path::new("f")).unwrap();
    fs.sync_dir(Path::new("")).unwrap();
    fs.crash_at(0);
    assert!(file.write_at(b"x", 0).is_err());
    drop(file);
    assert_eq!(after_all(&fs, "f", 0), vec![None; CrashMode::ALL.len()]);
}

#[test]
fn every_interrupted_operation_but_a_write_has_no_effect() {
    let steps: [Step; 7] = [
        |fs, _| fs.open(Path::new("d/g"), OpenMode::CreateNew).map(drop),
        |_, file| file.set_len(1),
        |_, file| file.sync_data(),
        |fs, _| fs.rename(Path::new("d/f"), Path::new("d/g")),
        |fs, _| fs.remove(Path::new("d/f")),
        |fs, _| fs.sync_dir(Path::new("d")),
        |fs, _| fs.create_dir_all(Path::new("d/e")),
    ];
    for (index, step) in steps.iter().enumerate() {
        let (fs, file) = with_file(b"old");
        file.write_all_at(b"new", 0).unwrap();
        create(&fs, "d/pending");
        fs.crash_at(0);
        assert_eq!(kind(step(&fs, &*file)), ErrorKind::Other, "step {index}");
        let lost = fs.crash(CrashMode::PowerLoseAll, 0);
        assert_eq!(read(&lost, "d/f").unwrap(), b"old", "step {index}");
        assert_eq!(lost.files("d"), ["f"], "step {index}");
        assert_eq!(kind(lost.list(Path::new("d/e"))), ErrorKind::NotFound);
        let kept = fs.crash(CrashMode::PowerKeepAll, 0);
        assert_eq!(read(&kept, "d/f").unwrap(), b"new", "step {index}");
        assert_eq!(kept.files("d"), ["f", "pending"], "step {index}");
    }
}

#[test]
fn zeros_and_garbage_spare_what_was_synced() {
    let (fs, file) = with_file(b"synced");
    file.write_all_at(b"pending", 8).unwrap();
    file.set_len(20).unwrap();
    let zeros = read(&fs.crash(CrashMode::PowerZeros, 1), "d/f").unwrap();
    assert_eq!(zeros, [b"synced".as_slice(), &[0; 14]].concat());
    let garbage = read(&fs.crash(CrashMode::PowerGarbage, 1), "d/f").unwrap();
    assert_eq!((&garbage[..8], &garbage[15..]), (&b"synced\0\0"[..], &[0; 5][..]));
    assert!(&garbage[8..15] != b"pending" && garbage[8..15] != [0; 7]);
}

#[test]
fn a_plan_fails_the_operation_it_names() {
    let (fs, file) = with_file(b"");
    let plan = FaultPlan::new(OpKind::Write).on("d/f").nth(1).error(ErrorKind::StorageFull);
    fs.set_fault(Some(plan.clone()));
    create(&fs, "d/other").write_all_at(b"other", 0).unwrap();
    file.write_all_at(b"a", 0).unwrap();
    assert_eq!(kind(file.write_at(b"bb", 1)), ErrorKind::StorageFull);
    assert_eq!(read(&fs, "d/f").unwrap(), b"a");
    file.write_all_at(b"c", 1).unwrap();
    assert_eq!(fs.fault_fired(), 1);

    fs.set_fault(Some(plan.sticky().torn()));
    assert_eq!(fs.fault_fired(), 0);
    file.write_all_at(b"d", 2).unwrap();
    assert!(file.write_at(b"eeee", 3).is_err());
    assert!(file.write_at(b"ffff", 5).is_err());
    fs.set_fault(None);
    assert_eq!(fs.fault_fired(), 2);
    assert_eq!(read(&fs, "d/f").unwrap(), b"acdeeff");
}

#[test]
fn each_kind_of_operation_can_fail() {
    let check = |fail: OpKind, step: Step| {
        let (fs, file) = with_file(b"x");
        for plan in [fail, OpKind::Any] {
            fs.set_fault(Some(FaultPlan::new(plan).error(ErrorKind::TimedOut)));
            assert_eq!(kind(step(&fs, &*file)), ErrorKind::TimedOut, "{fail:?}");
        }
        fs.set_fault(Some(FaultPlan::new(OpKind::AnyMutating)));
        let before = fs.op_count();
        let failed = step(&fs, &*file).is_err();
        assert_eq!(failed, fs.op_count() > before, "{fail:?}");
    };
    check(OpKind::Create, |fs, _| fs.open(Path::new("d/g"), OpenMode::CreateNew).map(drop));
    check(OpKind::Create, |fs, _| fs.create_dir_all(Path::new("e")));
    check(OpKind::Create, |fs, _| fs.lock(Path::new("d/l"), false, true).map(drop));
    check(OpKind::Open, |fs, _| fs.open(Path::new("d/f"), OpenMode::Read).map(drop));
    check(OpKind::Read, |_, file| file.read_at(&mut [0], 0).map(drop));
    check(OpKind::Read, |_, file| file.len().map(drop));
    check(OpKind::Write, |_, file| file.write_at(b"x", 0).map(drop));
    check(OpKind::SetLen, |_, file| file.set_len(0));
    check(OpKind::Sync, |_, file| file.sync_data());
    check(OpKind::Rename, |fs, _| fs.rename(Path::new("d/f"), Path::new("d/g")));
    check(OpKind::Remove, |fs, _| fs.remove(Path::new("d/f")));
    check(OpKind::SyncDir, |fs, _| fs.sync_dir(Path::new("d")));
    check(OpKind::List, |fs, _| fs.list(Path::new("d")).map(drop));
    check(OpKind::Lock, |fs, _| fs.lock(Path::new("d/f"), false, false).map(drop));
}

#[test]
fn a_failed_sync_may_lose_its_writes_for_good() {
    for (loss, want) in [(false, &b"onetwo"[..]), (true, b"\0\0\0two")] {
        let (fs, file) = with_file(b"");
        file.write_all_at(b"one", 0).unwrap();
        let plan = FaultPlan::new(OpKind::Sync);
        fs.set_fault(Some(if loss { plan.sync_loss() } else { plan }));
        assert!(file.sync_data().is_err());
        file.write_all_at(b"two", 3).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read(&fs, "d/f").unwrap(), b"onetwo", "reads still show it");
        let process = fs.crash(CrashMode::Process, 0);
        assert_eq!(read(&process, "d/f").unwrap(), b"onetwo", "and so do reads of a new process");
        for &mode in &CrashMode::ALL[1..] {
            assert_eq!(read(&process.crash(mode, 0), "d/f").unwrap(), want, "{mode:?}");
        }
        let process = fs.crash(CrashMode::Process, 0);
        let file = process.open(Path::new("d/f"), OpenMode::ReadWrite).unwrap();
        file.write_all_at(b"one", 0).unwrap();
        file.sync_data().unwrap();
        let again = process.crash(CrashMode::PowerLoseAll, 0);
        assert_eq!(read(&again, "d/f").unwrap(), b"onetwo", "written again, it is durable");
    }
}

#[test]
fn a_full_disk_refuses_growth_only() {
    let (fs, file) = with_file(b"12345");
    fs.set_capacity(Some(8));
    assert_eq!(kind(file.write_at(b"6789", 5)), ErrorKind::StorageFull);
    assert_eq!(kind(file.set_len(9)), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 5);
    file.write_all_at(b"45678", 3).unwrap();
    file.write_all_at(b"again", 0).unwrap();
    fs.remove(Path::new("d/f")).unwrap();
    let other = create(&fs, "d/other");
    assert_eq!(kind(other.write_at(b"x", 0)), ErrorKind::StorageFull, "the file is still open");
    drop(file);
    other.write_all_at(b"x", 0).unwrap();
    assert_eq!(fs.used(), 1);
    let after = fs.crash(CrashMode::Process, 0);
    let other = after.open(Path::new("d/other"), OpenMode::ReadWrite).unwrap();
    assert_eq!(kind(other.set_len(9)), ErrorKind::StorageFull, "a crash does not grow the disk");
}

#[test]
fn locks_exclude_and_end() {
    let fs = SimFs::new();
    let path = Path::new("LOCK");
    assert_eq!(kind(fs.lock(path, true, false)), ErrorKind::NotFound);
    let held = fs.lock(path, false, true).unwrap();
    assert_eq!(kind(fs.lock(path, false, true)), ErrorKind::WouldBlock);
    assert_eq!(kind(fs.lock(path, true, false)), ErrorKind::WouldBlock);
    drop(held);
    let shared = [fs.lock(path, true, false).unwrap(), fs.lock(path, true, false).unwrap()];
    assert_eq!(kind(fs.lock(path, false, false)), ErrorKind::WouldBlock);
    let after = fs.crash(CrashMode::PowerKeepAll, 0);
    let held = after.lock(path, false, false).unwrap();
    drop(shared);
    assert_eq!(kind(after.lock(path, true, false)), ErrorKind::WouldBlock);
    assert!(after.crash(CrashMode::Process, 0).lock(path, false, false).is_ok());
    drop(held);
}

#[test]
fn the_helpers_go_past_the_rules() {
    let (fs, file) = with_file(b"abc");
    file.write_all_at(b"def", 3).unwrap();
    assert!(fs.flip("d/f", 1, 0x20) && fs.flip("d/f", 4, 0x20));
    assert!(!fs.flip("d/f", 6, 1) && !fs.flip("d/f", u64::MAX, 1) && !fs.flip("d/none", 0, 1));
    assert_eq!(read(&fs, "d/f").unwrap(), b"aBcdEf");
    fs.write_file("e/g", b"durable");
    assert!(!fs.remove_file("e/none"));
    assert_eq!(read(&fs.crash(CrashMode::PowerLoseAll, 0), "d/f").unwrap(), b"aBc");
    assert_eq!(read(&fs.crash(CrashMode::PowerKeepAll, 0), "d/f").unwrap(), b"aBcdEf");
    assert!(fs.remove_file("d/f"));
    let after = fs.crash(CrashMode::PowerLoseAll, 0);
    assert_eq!((read(&after, "d/f"), read(&after, "e/g").unwrap()), (None, b"durable".to_vec()));
    assert_eq!(fs.op_count(), 1);
    assert_eq!(fs.read_count(), 1);
}

#[test]
fn the_trace_tells_what_happened() {
    let fs = SimFs::new();
    fs.set_trace(true);
    let file = create(&fs, "f");
    fs.set_fault(Some(FaultPlan::new(OpKind::Read)));
    assert!(file.read_at(&mut [0; 4], 8).is_err());
    fs.crash_at(2);
    file.write_all_at(b"ab", 3).unwrap();
    assert!(fs.rename(Path::new("f"), Path::new("g")).is_err());
    assert!(fs.list(Path::new("")).is_err());
    let want = [
        "#0 Create f",
        "r0 Read f @8+4 -> injected fault",
        "#1 Write f @3+2",
        "#2 Rename f -> g -> simulated crash",
    ];
    assert_eq!(fs.trace(), want);
    assert!(fs.crash(CrashMode::Process, 0).trace().is_empty());
    fs.set_trace(false);
    assert!(fs.trace().is_empty());
}

#[test]
fn threads_share_one_file_system() {
    let (fs, file) = with_file(b"");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let fs = fs.clone();
            let file = &file;
            scope.spawn(move || {
                for index in 0..100_u64 {
                    file.write_all_at(&[thread], index * 4 + u64::from(thread)).unwrap();
                    file.sync_data().unwrap();
                }
                create(&fs, &format!("d/{thread}"));
            });
        }
    });
    assert_eq!(fs.op_count(), 4 * 201);
    let bytes = read(&fs.crash(CrashMode::PowerLoseAll, 0), "d/f").unwrap();
    assert!(bytes.chunks(4).all(|chunk| chunk == [0, 1, 2, 3]) && bytes.len() == 400);
}

mod random;
