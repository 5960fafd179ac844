//! Links and copies, on file systems that have links and on one that has no more than it must.

use std::io::ErrorKind;

use super::*;
use crate::io::file::PIECE_BYTES;
use crate::io::{CrashMode, DiskFs, FaultPlan, FsFile, FsLock, OpKind, OpenMode, SimFs};
use crate::sync::Arc;

/// A file system that has the methods without a default, and so no links.
#[derive(Debug)]
struct Linkless(SimFs);

impl Fs for Linkless {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.0.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.0.lock(path, shared, create)
    }
}

/// Some pieces and a part of one.
fn content() -> Vec<u8> {
    (0..2 * PIECE_BYTES + 7).map(|i| i as u8).collect()
}

/// A simulated disk with a durable file `a/f` and a directory `b`.
fn simulated() -> SimFs {
    let fs = SimFs::new();
    fs.write_file("a/f", &content());
    fs.create_dir_all(Path::new("b")).unwrap();
    fs
}

fn read(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    let file = fs.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Links within a directory and into another; `same` says whether that is one file.
#[track_caller]
fn check(fs: &dyn Fs, dir: &Path, same: bool) {
    let from = dir.join("a/f");
    let to = dir.join("a/g");
    fs.hard_link(&from, &to).unwrap();
    assert_eq!(read(fs, &to), content());
    assert_eq!(fs.hard_link(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let taken = fs.hard_link(&from, &dir.join("b")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let missing = fs.hard_link(&dir.join("a/x"), &dir.join("a/y")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let elsewhere = dir.join("b/f");
    fs.hard_link(&from, &elsewhere).unwrap();
    let mut names = fs.list(&dir.join("a")).unwrap();
    names.sort();
    assert_eq!(names, ["f", "g"]);
    // The bytes outlive the name; what is written through one name shows who shares them.
    fs.remove(&to).unwrap();
    fs.open(&from, OpenMode::ReadWrite).unwrap().write_all_at(b"x", 0).unwrap();
    assert_eq!(read(fs, &elsewhere)[0] == b'x', same);
    let file = fs.open(&elsewhere, OpenMode::Read).unwrap();
    if file.names().unwrap() != 1 || same {
        assert_eq!(file.names().unwrap(), if same && !cfg!(windows) { 2 } else { 1 });
    }
    drop(file);
    fs.remove(&from).unwrap();
    assert_eq!(read(fs, &elsewhere)[1..], content()[1..]);
}

fn on_disk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("b")).unwrap();
    std::fs::write(dir.path().join("a/f"), content()).unwrap();
    dir
}

#[test]
fn a_link_is_another_name_or_a_copy() {
    check(&simulated(), Path::new(""), true);
    check(&Linkless(simulated()), Path::new(""), false);
    let dir = on_disk();
    check(&DiskFs, dir.path(), true);
    // Through the handle of the directory, which has moved meanwhile.
    let dir = on_disk();
    let inside = dir.path().join("a");
    if let Some(entered) = DiskFs.enter(&inside).unwrap() {
        let moved = dir.path().join("moved");
        std::fs::rename(&inside, &moved).unwrap();
        entered.hard_link(&inside.join("f"), &inside.join("g")).unwrap();
        entered.hard_link(&inside.join("f"), &dir.path().join("b/f")).unwrap();
        assert!(moved.join("g").exists());
        assert_eq!(std::fs::read(dir.path().join("b/f")).unwrap(), content());
    }
}

/// A link to a symbolic link would lead nowhere from another directory.
#[cfg(unix)]
#[test]
fn the_file_behind_a_symbolic_link_is_linked() {
    let dir = on_disk();
    std::os::unix::fs::symlink("f", dir.path().join("a/s")).unwrap();
    DiskFs.hard_link(&dir.path().join("a/s"), &dir.path().join("b/f")).unwrap();
    assert_eq!(std::fs::read(dir.path().join("b/f")).unwrap(), content());
}

/// Where the machine has a second file system that can be written to.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_linked_is_copied() {
    let dir = on_disk();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let from = dir.path().join("a/f");
    let to = other.path().join("f");
    DiskFs.hard_link(&from, &to).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), content());
    assert_eq!(DiskFs.hard_link(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // No file has a link to a directory, and there is no copy of one.
    DiskFs.hard_link(&dir.path().join("a"), &dir.path().join("b/g")).unwrap_err();
    assert!(!dir.path().join("b/g").exists());
}

#[test]
fn refusals_that_say_that_there_are_no_links_are_told_from_others() {
    use ErrorKind::{AlreadyExists, CrossesDevices, NotFound, PermissionDenied, StorageFull};
    let check = |kind: ErrorKind, want: bool| {
        let fs = Linkless(simulated());
        let made = or_copy(Err(kind.into()), &fs, Path::new("a/f"), Path::new("b/f"));
        assert_eq!(made.is_ok(), want, "{kind}");
        assert_eq!(fs.0.files("b").len(), usize::from(want), "{kind}");
    };
    check(CrossesDevices, true);
    check(PermissionDenied, true);
    check(ErrorKind::TooManyLinks, true);
    check(ErrorKind::Unsupported, true);
    check(AlreadyExists, false);
    check(NotFound, false);
    check(StorageFull, false);
}

/// Fails each operation of a copy in turn, then lets the disk be full in the middle of it.
#[test]
fn a_copy_that_fails_leaves_nothing() {
    let kinds = [OpKind::Open, OpKind::Create, OpKind::Read, OpKind::Write, OpKind::Sync];
    let mut failed = 0;
    for kind in kinds {
        for (nth, torn) in (0..5).flat_map(|nth| [(nth, false), (nth, true)]) {
            let fs = Linkless(simulated());
            let plan = FaultPlan::new(kind).nth(nth);
            fs.0.set_fault(Some(if torn { plan.torn() } else { plan }));
            let copied = fs.hard_link(Path::new("a/f"), Path::new("b/f"));
            assert_eq!(copied.is_err(), fs.0.fault_fired() > 0, "{kind:?} {nth}");
            assert_eq!(fs.0.files("b").is_empty(), copied.is_err(), "{kind:?} {nth}");
            assert_eq!(fs.0.read_file("a/f").unwrap(), content());
            failed += u64::from(copied.is_err());
        }
    }
    assert_eq!(failed, 2 * (1 + 1 + 4 + 3 + 1), "each operation has failed once, whole and torn");
    let fs = Linkless(simulated());
    fs.0.set_capacity(Some(fs.0.used() + PIECE_BYTES as u64 + 1));
    let full = fs.hard_link(Path::new("a/f"), Path::new("b/f")).unwrap_err();
    assert_eq!((full.kind(), fs.0.files("b").len()), (ErrorKind::StorageFull, 0));
}

/// Crashes at each operation, on both kinds of file systems and in every way.
#[test]
fn a_crash_leaves_the_file_and_what_was_synced() {
    let publish = |fs: &dyn Fs| {
        fs.hard_link(Path::new("a/f"), Path::new("b/f"))?;
        fs.sync_dir(Path::new("b"))
    };
    for links in [true, false] {
        for number in 1.. {
            let fs = simulated();
            fs.crash_at(number);
            let done = if links { publish(&fs) } else { publish(&Linkless(fs.clone())) };
            for &mode in CrashMode::ALL {
                let after = fs.crash(mode, number);
                assert_eq!(after.read_file("a/f").unwrap(), content());
                let linked = after.read_file("b/f");
                let whole = linked.as_ref().is_some_and(|bytes| *bytes == content());
                assert!(whole || done.is_err(), "{mode:?} at {number}");
                let nothing_synced = mode == CrashMode::PowerLoseAll && done.is_err();
                assert!(linked.is_none() || !nothing_synced, "{mode:?} at {number}");
                // A second name needs no second copy of the bytes.
                assert!(whole || linked.is_none() || !links, "{mode:?} at {number}");
            }
            if done.is_ok() {
                assert_eq!(number, if links { 3 } else { 7 });
                break;
            }
        }
    }
}
