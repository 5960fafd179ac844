//! Names and links that others made: followed, refused in words, or left alone; never overwritten.

use std::collections::BTreeMap;
use std::fs::{hard_link, read, write as put_file};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use alluvium::{Db, Error};

use crate::{assert_has, closed, small, write};

/// The files of a directory whose names end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    paths.sort();
    paths
}

/// Log files, whatever they are called.
fn logs(dir: &Path) -> Vec<PathBuf> {
    [files(dir, ".log"), files(dir, ".wal")].concat()
}

fn suffix(dir: &Path) -> String {
    logs(dir)[0].extension().unwrap().to_string_lossy().into_owned()
}

fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.map(|path| (path.file_name().unwrap().into(), read(&path).unwrap())).collect()
}

/// What a process leaves that was killed: some keys in segments, some in logs alone.
fn killed(dir: &Path) {
    let live = tempfile::tempdir().unwrap();
    // Nothing but prepared and dead logs comes and goes while the files are copied.
    let db = small(live.path()).compaction_threads(0).open().unwrap();
    write(&db, "flushed", 500);
    db.put("logged", "v").unwrap();
    std::fs::create_dir_all(dir).unwrap();
    for entry in std::fs::read_dir(live.path()).unwrap() {
        let path = entry.unwrap().path();
        match read(&path) {
            Ok(bytes) => put_file(dir.join(path.file_name().unwrap()), bytes).unwrap(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

fn copy_by(link: impl Fn(&Path, &Path), from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        link(&path, &to.join(path.file_name().unwrap()));
    }
}

/// Much writing, so that all that can be used again is.
fn churn(dir: &Path) {
    for round in 0..3 {
        let db = small(dir).open().unwrap();
        for number in 0..3_000 {
            db.put(format!("churn{number}"), [round; 100]).unwrap();
        }
        db.flush().unwrap();
        db.compact().unwrap();
        db.close().unwrap();
    }
}

/// Symptom: a copy by `cp -al` was ruined by using the original. Mechanism: the logs are the same
/// files, and were overwritten in place. Fix: nothing is that has a second name.
#[test]
fn a_copy_by_hard_links_stays_what_it_was() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let copy = dir.path().join("copy");
        let make = || if kill { killed(&data) } else { closed(&data, "flushed", 500) };
        make();
        copy_by(|from, to| hard_link(from, to).unwrap(), &data, &copy);
        let before = image(&copy);
        churn(&data);
        assert!(image(&copy) == before, "nothing of the copy has changed");
        let counts = [("flushed", 500), ("logged", usize::from(kill))];
        assert_has(&copy, &counts);
        let original = small(&data).open().unwrap();
        assert!(original.verify().unwrap().is_sound());
        assert_eq!(original.prefix("flushed").map(Result::unwrap).count(), 500);
    }
}

/// Symptom: a log behind a link was not seen, and its data silently missing. Mechanism: only plain
/// files were listed. Fix: links are followed, for every kind of file, and nothing is written into
/// what they lead to.
#[test]
fn links_to_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let farm = dir.path().join("farm");
    killed(&data);
    copy_by(|from, to| symlink(from, to).unwrap(), &data, &farm);
    let before = image(&data);
    let db = small(&farm).read_only(true).open().unwrap();
    assert!(db.get("logged").unwrap().is_some());
    assert_eq!(db.range(..).map(Result::unwrap).count(), 501);
    db.close().unwrap();
    churn(&farm);
    assert!(image(&data) == before, "what the links lead to is as it was");
    let db = small(&farm).open().unwrap();
    assert!(db.get("logged").unwrap().is_some() && db.verify().unwrap().is_sound());
    db.close().unwrap();
    assert_has(&data, &[("flushed", 500), ("logged", 1)]);
}

/// A disk that is not mounted: no data is missing without a word.
#[test]
fn a_link_that_leads_nowhere_is_told() {
    for read_only in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        killed(dir.path());
        for path in logs(dir.path()) {
            std::fs::remove_file(&path).unwrap();
            symlink("/no/such/disk/file", &path).unwrap();
        }
        let opened = small(dir.path()).read_only(read_only).open();
        assert!(opened.is_err(), "{opened:?}");
    }
}

/// The last eight numbers that a file of a database may have.
const LAST_NUMBERS: u64 = (1 << 63) - 8;

/// Files of others, under names that a database might give.
fn foreign(dir: &Path, ends: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let other = dir.with_extension("other");
    let long = vec![0; 20_000];
    closed(&other, "theirs", 500);
    let contents = [
        b"hello".to_vec(),
        Vec::new(),
        b"A".to_vec(),
        vec![0; 50],
        long,
        b"x".repeat(10_000),
        read(&logs(&other)[0]).unwrap(),
        read(&files(&other, ".seg")[0]).unwrap(),
    ];
    let mut made = BTreeMap::new();
    for end in ends {
        // Before those of the database, among them, and beyond.
        for (number, bytes) in contents.iter().enumerate() {
            for base in [0, 20, 999_900, LAST_NUMBERS] {
                made.insert(format!("{:06}.{end}", base + number as u64), bytes.clone());
            }
        }
    }
    for (number, bytes) in contents.into_iter().enumerate() {
        for base in [20, LAST_NUMBERS] {
            made.insert(format!("MANIFEST-{:06}", base + number as u64), bytes.clone());
        }
    }
    made.retain(|name, _| !dir.join(name).exists());
    made.iter().for_each(|(name, bytes)| put_file(dir.join(name), bytes).unwrap());
    made
}

/// Symptom: a foreign file with a number for a name was deleted, or taken for damage. Mechanism:
/// what had no header of another database was taken for a file that a crash had cut short. Fix: the
/// first bytes say whose it is from the moment that a file is made.
#[test]
fn foreign_files_are_left_alone_and_their_names_avoided() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    killed(&data);
    let foreign = foreign(&data, &["seg", &suffix(&data), "log"]);
    let db = small(&data).read_only(true).open().unwrap();
    assert_eq!(db.range(..).map(Result::unwrap).count(), 501);
    db.close().unwrap();
    churn(&data);
    let db = small(&data).open().unwrap();
    assert_eq!(db.prefix("flushed").map(Result::unwrap).count(), 500);
    assert!(db.get("logged").unwrap().is_some() && db.verify().unwrap().is_sound());
    db.close().unwrap();
    for (name, bytes) in foreign {
        assert!(read(data.join(&name)).is_ok_and(|found| found == bytes), "{name}");
    }
}

/// Also those that come while it is open, in the way of the next files.
#[test]
fn foreign_files_that_come_later_are_avoided_too() {
    let dir = tempfile::tempdir().unwrap();
    let db = small(dir.path()).open().unwrap();
    write(&db, "k", 100);
    let end = suffix(dir.path());
    let in_the_way = |name: String| {
        let path = dir.path().join(name);
        // What is there already is the database's.
        std::fs::create_dir(&path).is_ok().then_some(path)
    };
    let names = (0..200).flat_map(|n| [format!("{n:06}.{end}"), format!("{n:06}.seg")]);
    let names = names.chain((0..20).map(|n| format!("MANIFEST-{n:06}")));
    let made: Vec<_> = names.filter_map(in_the_way).collect();
    for number in 0..3_000 {
        db.put(format!("more{number:04}"), [7; 100]).unwrap();
    }
    db.flush().unwrap();
    db.close().unwrap();
    assert_has(dir.path(), &[("k", 100), ("more", 3_000)]);
    assert!(made.len() > 100 && made.iter().all(|path| path.is_dir()));
}

/// A directory of another program's logs can hold a database too.
#[test]
fn a_new_database_may_be_made_beside_foreign_files() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["000001.log", "000002.wal", "000001.seg", "MANIFEST-000001"] {
        put_file(dir.path().join(name), "mine").unwrap();
    }
    closed(dir.path(), "k", 500);
    assert_has(dir.path(), &[("k", 500)]);
    for name in ["000001.log", "000002.wal", "000001.seg", "MANIFEST-000001"] {
        assert_eq!(read(dir.path().join(name)).unwrap(), b"mine", "{name}");
    }
    // But not in the place of one that has lost its `CURRENT`.
    std::fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let opened = small(dir.path()).open();
    assert!(matches!(opened, Err(Error::Corruption { .. })), "{opened:?}");
}

/// What is no file never makes an open wait: it is told where a file is needed, and left alone
/// elsewhere.
#[test]
fn what_is_no_file_is_told_or_left_alone() {
    type Make = fn(&Path);
    let kinds: [(&str, Make); 4] = [
        ("pipe", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("directory", |path| std::fs::create_dir(path).unwrap()),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("link to a device", |path| symlink("/dev/null", path).unwrap()),
    ];
    for (what, make) in kinds {
        let dir = tempfile::tempdir().unwrap();
        killed(dir.path());
        let end = suffix(dir.path());
        let left = [format!("000500.{end}"), "000500.seg".to_owned(), "MANIFEST-000500".to_owned()];
        left.iter().for_each(|name| make(&dir.path().join(name)));
        assert_has(dir.path(), &[("flushed", 500), ("logged", 1)]);
        assert!(left.iter().all(|name| dir.path().join(name).symlink_metadata().is_ok()), "{what}");
        let is_manifest =
            |path: &PathBuf| path.is_file() && path.to_string_lossy().contains("/MANIFEST-");
        let manifest = files(dir.path(), "").into_iter().find(is_manifest).unwrap();
        let segment = files(dir.path(), ".seg").into_iter().find(|path| path.is_file()).unwrap();
        for needed in [dir.path().join("CURRENT"), manifest, segment] {
            let kept = needed.with_extension("kept");
            std::fs::rename(&needed, &kept).unwrap();
            make(&needed);
            for read_only in [true, false] {
                let opened = Db::builder(dir.path()).read_only(read_only).open();
                let told = matches!(opened, Err(Error::Io { .. } | Error::Corruption { .. }));
                assert!(told, "{what} for {}: {opened:?}", needed.display());
            }
            std::fs::remove_file(&needed).or_else(|_| std::fs::remove_dir(&needed)).unwrap();
            std::fs::rename(&kept, &needed).unwrap();
        }
        assert_has(dir.path(), &[("flushed", 500), ("logged", 1)]);
    }
}
