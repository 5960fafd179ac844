//! Files that an open finds beside those of the database: somebody else's are left alone, and what
//! the database itself has left over goes, but only once everything agrees.

use alluvium::Db;
use alluvium::io::{CrashMode, Fs, SimFs};

use crate::{
    Image, assert_whole, builder, changed, closed_database, dead_database, image, path, refused,
};

/// Names that are none of ours, with what is in them.
const STRAYS: &[&str] = &[
    ".DS_Store",
    "_x",
    "000001.seg.bak",
    "1.seg",
    "0000001.log",
    "000001.LOG",
    "MANIFEST",
    "MANIFEST-1",
    "current",
    "CURRENT.tmp2",
    "LOCK.old",
    "+00001.seg",
    "notes.txt",
];

#[test]
fn stray_files_are_left_alone() {
    let (fs, count) = dead_database();
    for name in STRAYS {
        fs.write_file(path(name), name.as_bytes());
    }
    for _ in 0..3 {
        let db = builder(&fs).open().unwrap();
        assert_whole(&db, count);
        db.put(crate::key(0), "again").unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    }
    let after = image(&fs);
    for name in STRAYS {
        assert_eq!(after[*name], name.as_bytes(), "{name}");
    }
}

/// The same on a disk, where a directory has more in it than files with readable names.
#[test]
fn what_is_no_file_or_has_no_readable_name_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let strays = [directory.path().join("000001.seg"), directory.path().join("sub")];
    strays.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    std::fs::write(strays[1].join("000001.log"), "mine").unwrap();
    #[cfg(unix)]
    let unreadable = {
        use std::os::unix::ffi::OsStrExt;
        directory.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.seg"))
    };
    #[cfg(unix)]
    // Some file systems take no such name.
    let made = std::fs::write(&unreadable, "mine").is_ok();
    for round in 0..3 {
        let db = Db::builder(directory.path()).open().unwrap();
        // The number 1 is taken by the directory.
        db.put(format!("{round}"), "v").unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    }
    let db = Db::builder(directory.path()).open().unwrap();
    assert_eq!(db.range(..).count(), 3);
    assert!(strays.iter().all(|path| path.is_dir()));
    assert_eq!(std::fs::read(strays[1].join("000001.log")).unwrap(), b"mine");
    #[cfg(unix)]
    assert!(!made || std::fs::read(&unreadable).unwrap() == b"mine");
}

/// What crashes leave: a copy of a segment, torn ones, an older manifest, the next `CURRENT`.
fn add_orphans(fs: &SimFs) -> Vec<&'static str> {
    let image = image(fs);
    let first = |is: fn(&str) -> bool| image.iter().find(|(name, _)| is(name)).unwrap().1;
    let segment = first(|name| name.ends_with(".seg"));
    let manifest = first(|name| name.starts_with("MANIFEST"));
    fs.write_file(path("000900.seg"), segment);
    fs.write_file(path("000901.seg"), &segment[..10]);
    fs.write_file(path("000902.seg"), &segment[..100]);
    fs.write_file(path("MANIFEST-000900"), &manifest[..60]);
    fs.write_file(path("CURRENT.tmp"), b"half");
    vec!["000900.seg", "000901.seg", "000902.seg", "CURRENT.tmp", "MANIFEST-000900"]
}

#[test]
fn orphans_go_with_a_successful_open_only() {
    let fs = closed_database();
    let orphans = add_orphans(&fs);
    // Segments of another database, and what is no segment.
    let foreign = image(&closed_database());
    let foreign = foreign.iter().find(|(name, _)| name.ends_with(".seg")).unwrap().1.clone();
    fs.write_file(path("000910.seg"), &foreign);
    let strays: [(&str, &[u8]); 4] = [
        ("000911.seg", &[7; 500]),
        ("000912.seg", &[0; 500]),
        ("000913.seg", b""),
        ("MANIFEST-000901", b"mine"),
    ];
    strays.iter().for_each(|(name, bytes)| fs.write_file(path(name), bytes));
    let segment = fs.files(crate::DIR).into_iter().find(|name| name.ends_with(".seg")).unwrap();
    // An open that fails at the last check removes nothing.
    fs.flip(path(&segment), 3, 1);
    refused(&fs, |builder| builder, &["is damaged"]);
    fs.flip(path(&segment), 3, 1);
    // Nor does one for reading.
    let before = image(&fs);
    builder(&fs).read_only(true).open().unwrap().close().unwrap();
    assert!(changed(&before, &image(&fs)).is_empty());
    let db = builder(&fs).open().unwrap();
    let after = image(&fs);
    assert!(orphans.iter().all(|name| !after.contains_key(*name)), "{:?}", after.keys());
    assert_eq!(after["000910.seg"], foreign);
    for (name, bytes) in strays {
        assert_eq!(after[name], bytes, "{name}");
    }
    // New files are numbered past them.
    db.put("k", "v").unwrap();
    db.flush().unwrap();
    assert_eq!(image(&fs)["000910.seg"], foreign);
    assert_eq!(db.range(..).count(), 21);
}

/// Symptom: a manifest that was cut short opened without a word, and the segments that only the
/// lost edits named were removed. Mechanism: an edit that is gone with its mark looks as one that
/// never was. Fix: the witness knows better; without one, no whole segment is removed (I39).
#[test]
fn segments_that_a_cut_manifest_does_not_name_are_kept() {
    let fs = closed_database();
    let manifest = fs.files(crate::DIR).into_iter().find(|name| name.starts_with("MAN")).unwrap();
    let bytes = fs.read_file(path(&manifest)).unwrap();
    let mut refused_cuts = 0;
    let mut kept = 0;
    for len in 96..bytes.len() {
        let fs = closed_database();
        let manifest =
            fs.files(crate::DIR).into_iter().find(|name| name.starts_with("MAN")).unwrap();
        let bytes = fs.read_file(path(&manifest)).unwrap();
        fs.write_file(path(&manifest), &bytes[..len]);
        match builder(&fs).open() {
            // What is cut off was the last mark.
            Ok(db) => assert_eq!(db.range(..).count(), 20, "cut to {len}"),
            Err(error) => {
                assert!(error.is_corruption(), "{error}");
                refused_cuts += 1;
            }
        }
        // The same without a witness.
        fs.remove_file(path("WITNESS"));
        fs.write_file(path(&manifest), &bytes[..len]);
        // No log is needed after a close.
        let logs = |name: &String| name.ends_with(".log") || name.ends_with(".wal");
        fs.files(crate::DIR).iter().filter(|name| logs(name)).for_each(|name| {
            fs.remove_file(path(name));
        });
        let segments = |fs: &SimFs| {
            fs.files(crate::DIR).into_iter().filter(|name| name.contains(".seg")).count()
        };
        let before = segments(&fs);
        let Ok(db) = builder(&fs).open() else { continue };
        // What a log still has may have been flushed again.
        assert!(segments(&fs) >= before, "cut to {len}");
        let health = db.health();
        let orphans = |fs: &SimFs| {
            fs.files(crate::DIR).into_iter().filter(|name| name.ends_with(".orphan")).count() as u64
        };
        assert_eq!(orphans(&fs), health.orphans_kept);
        assert_eq!(health.is_healthy(), health.orphans_kept == 0);
        if health.orphans_kept > 0 {
            assert!(health.to_string().contains("kept as *.seg.orphan"), "{health}");
            kept += 1;
        }
        db.close().unwrap();
        // They stay, and are told once.
        let db = builder(&fs).open().unwrap();
        assert!(db.health().is_healthy() && orphans(&fs) == health.orphans_kept);
    }
    println!("{refused_cuts} cuts refused; {kept} that keep segments without a witness");
    assert!(refused_cuts > 100 && kept > 50);
}

/// Symptom: after a power loss during a merge `health()` told of data that may be missing, and the
/// inputs of the merge stayed, as orphans. Mechanism: without the mark of the last edit, and the
/// witness of it, any segment that is not named may be one that a lost edit named. Fix: not one
/// that the manifest has named before, and given up (I39).
#[test]
fn the_inputs_of_a_merge_are_no_orphans_to_keep() {
    let fs = SimFs::new();
    let db = builder(&fs).compaction_threads(0).open().unwrap();
    let is_segment = |name: &String| name.ends_with(".seg");
    for round in 0..2 {
        for key in 0..20 {
            db.put(format!("{key}"), format!("{round}")).unwrap();
        }
        db.flush().unwrap();
    }
    let inputs: Vec<_> = fs.files(crate::DIR).into_iter().filter(is_segment).collect();
    let kept: Vec<_> = inputs.iter().map(|name| fs.read_file(path(name)).unwrap()).collect();
    db.compact().unwrap();
    let after = fs.crash(CrashMode::Process, 0);
    // What the power took: the mark and the witness. What it left: files that were to be removed.
    let manifest =
        after.files(crate::DIR).into_iter().find(|name| name.starts_with("MAN")).unwrap();
    let bytes = after.read_file(path(&manifest)).unwrap();
    after.write_file(path(&manifest), &bytes[..bytes.len() - 40]);
    after.remove_file(path("WITNESS"));
    inputs.iter().zip(&kept).for_each(|(name, bytes)| after.write_file(path(name), bytes));
    // What it never named may be data.
    after.write_file(path("000900.seg"), &kept[0]);
    let db = builder(&after).open().unwrap();
    assert_eq!(db.health().orphans_kept, 1, "{}", db.health());
    let mut left = after.files(crate::DIR);
    left.retain(|name| name.contains(".seg"));
    assert_eq!(left.len(), 2, "the output of the merge and what was kept: {left:?}");
    assert!(left.contains(&"000900.seg.orphan".to_owned()), "{left:?}");
    assert!((0..20).all(|key| db.get(format!("{key}")).unwrap().unwrap() == "1"));
}

#[test]
fn opening_again_and_again_changes_nothing_but_the_manifest_and_its_witness() {
    let fs = closed_database();
    let rest = |image: Image| -> Image {
        let ours =
            |name: &str| name.starts_with("MANIFEST") || name == "CURRENT" || name == "WITNESS";
        image.into_iter().filter(|(name, _)| !ours(name)).collect()
    };
    let before = rest(image(&fs));
    for _ in 0..3 {
        let db = builder(&fs).open().unwrap();
        assert_eq!(db.range(..).count(), 20);
        db.close().unwrap();
        assert!(changed(&before, &rest(image(&fs))).is_empty());
        let manifests = fs.files(crate::DIR).into_iter().filter(|name| name.starts_with("MAN"));
        assert_eq!(manifests.count(), 1);
    }
}

/// Symptom: a file with the largest number that a name can have made the open panic, and later the
/// making of files fail. Mechanism: the next number was computed by an addition that overflowed.
/// Fix: names with such numbers are somebody else's.
#[test]
fn names_with_the_largest_numbers_are_no_trap() {
    let names =
        ["18446744073709551615.log", "18446744073709551615.seg", "MANIFEST-18446744073709551615"];
    for name in names {
        let fs = closed_database();
        fs.write_file(path(name), &[7; 500]);
        let db = builder(&fs).open().unwrap();
        assert_eq!(db.range(..).count(), 20);
        db.put("k", "v").unwrap();
        db.flush().unwrap();
        db.close().unwrap();
        assert_eq!(image(&fs)[name], [7; 500]);
    }
}

#[test]
fn only_files_are_listed() {
    let fs = SimFs::new();
    fs.create_dir_all("db/sub".as_ref()).unwrap();
    fs.write_file("db/sub/000001.seg", b"mine");
    builder(&fs).open().unwrap().put("k", "v").unwrap();
    assert_eq!(builder(&fs).open().unwrap().range(..).count(), 1);
    assert_eq!(fs.read_file("db/sub/000001.seg").as_deref(), Some(&b"mine"[..]));
}
