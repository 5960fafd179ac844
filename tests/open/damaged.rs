//! Files of the database that are missing, cut, swapped or not what they should be: `Corruption`
//! that names the file, and nothing changed.

use alluvium::Error;
use alluvium::io::SimFs;

use crate::{
    assert_whole, builder, closed_database, dead_database, newest_log, path, refused_both,
};

/// The names that end so.
fn names(fs: &SimFs, end: &str) -> Vec<String> {
    fs.files(crate::DIR).into_iter().filter(|name| name.contains(end)).collect()
}

fn segments(fs: &SimFs) -> Vec<String> {
    let names = names(fs, ".seg");
    assert!(names.len() >= 2, "{names:?}");
    names
}

/// What every corruption says besides what it is.
const ADVICE: [&str; 4] = ["is damaged", "expected", "got", "restore the file from a backup"];

#[track_caller]
fn corrupt(fs: &SimFs, name: &str, words: &[&str]) {
    let error = refused_both(fs, &[&ADVICE[..], &[name], words].concat());
    let Error::Corruption { file, .. } = &error else { panic!("no corruption: {error:?}") };
    assert!(file.ends_with(name), "{error}");
    assert!(error.is_corruption() && !error.is_retryable());
}

#[test]
fn a_missing_current_is_no_new_database() {
    for fs in [closed_database(), dead_database().0] {
        fs.remove_file(path("CURRENT"));
        corrupt(&fs, "CURRENT", &["no such file"]);
    }
}

#[test]
fn a_damaged_current_is_told_with_its_offset() {
    let fs = closed_database();
    fs.flip(path("CURRENT"), 33, 1);
    corrupt(&fs, "CURRENT", &["at byte 40", "checksum"]);
    fs.write_file(path("CURRENT"), b"");
    corrupt(&fs, "CURRENT", &["48 bytes"]);
    fs.write_file(path("CURRENT"), &[0; 48]);
    corrupt(&fs, "CURRENT", &["ALLUVCUR"]);
    fs.write_file(path("CURRENT"), &[0; 4096]);
    corrupt(&fs, "CURRENT", &["at most 48 bytes", "4096"]);
}

#[test]
fn the_manifest_that_current_names_must_be_there_and_whole() {
    let fs = closed_database();
    let [name] = &names(&fs, "MANIFEST")[..] else { panic!("one manifest") };
    let bytes = fs.read_file(path(name)).unwrap();
    fs.remove_file(path(name));
    corrupt(&fs, name, &["the manifest that CURRENT names"]);
    fs.write_file(path(name), &bytes[..150]);
    corrupt(&fs, name, &["a valid snapshot"]);
    fs.write_file(path(name), &bytes);
    // Its header, its snapshot and its first edit, with more edits behind.
    for at in [56, 120, bytes.len() as u64 / 2] {
        fs.flip(path(name), at, 1);
        corrupt(&fs, name, &["at byte"]);
        fs.flip(path(name), at, 1);
    }
    drop(builder(&fs).open().unwrap());
}

/// Symptom: a segment that is gone was told as a file that cannot be opened, without a word on what
/// to do. Mechanism: only the length and the bytes of a segment were compared with the manifest.
/// Fix: that the file is there is compared, too.
#[test]
fn a_missing_segment_is_damage() {
    for name in segments(&closed_database()) {
        let fs = closed_database();
        fs.remove_file(path(&name));
        corrupt(&fs, &name, &["no such file"]);
    }
}

#[test]
fn any_damaged_byte_of_a_manifest_is_told_or_harmless() {
    let fs = closed_database();
    let [name] = &names(&fs, "MANIFEST")[..] else { panic!("one manifest") };
    let len = fs.read_file(path(name)).unwrap().len() as u64;
    let mut told = 0;
    for at in 0..len {
        fs.flip(path(name), at, 0x10);
        match builder(&fs).read_only(true).open() {
            Ok(db) => assert_eq!(db.range(..).count(), 20, "byte {at} of {len}"),
            Err(error) => {
                assert!(error.is_corruption(), "byte {at} of {len}: {error}");
                told += 1;
            }
        }
        fs.flip(path(name), at, 0x10);
    }
    assert!(told > len / 2, "{told} of {len}");
}

#[test]
fn segments_must_have_the_length_and_the_identity_that_the_manifest_names() {
    let fs = closed_database();
    let [a, b] = &segments(&fs)[..] else { panic!("two segments") };
    let bytes_a = fs.read_file(path(a)).unwrap();
    let bytes_b = fs.read_file(path(b)).unwrap();
    fs.write_file(path(a), &bytes_a[..bytes_a.len() - 1]);
    corrupt(&fs, a, &["segment length"]);
    fs.write_file(path(a), b"");
    corrupt(&fs, a, &["segment length", "0 bytes"]);
    fs.write_file(path(a), &[&bytes_a[..], &[0]].concat());
    corrupt(&fs, a, &["segment length"]);
    // The same length, so that only the uuid tells.
    assert_eq!(bytes_a.len(), bytes_b.len());
    fs.write_file(path(a), &bytes_b);
    fs.write_file(path(b), &bytes_a);
    // The newer run is opened first.
    corrupt(&fs, b, &["segment header", "at byte 0"]);
    // A segment of the same number out of another database.
    let other = closed_database();
    fs.write_file(path(a), &bytes_a);
    fs.write_file(path(b), &other.read_file(path(b)).unwrap());
    corrupt(&fs, b, &["of database"]);
}

#[test]
fn damage_in_what_an_open_reads_of_a_segment_is_found_by_it() {
    let fs = closed_database();
    let name = &segments(&fs)[0];
    let bytes = fs.read_file(path(name)).unwrap();
    let mut found = 0;
    let mut data = 0;
    for at in 0..bytes.len() as u64 {
        fs.flip(path(name), at, 0x40);
        match builder(&fs).read_only(true).open() {
            // A data block, read when it is needed, or what was rebuilt from the data blocks.
            Ok(db) => {
                let found: alluvium::Result<Vec<_>> = db.range(..).collect();
                let whole = found.as_ref().is_ok_and(|found| found.len() == 20);
                let told = found.is_err_and(|error| error.is_corruption());
                assert!(whole || told, "byte {at}");
                data += u64::from(told);
            }
            Err(error) => {
                assert!(error.is_corruption(), "byte {at}: {error}");
                found += 1;
            }
        }
        fs.flip(path(name), at, 0x40);
    }
    assert!(found >= 64 && data > 100, "{found} by the open, {data} by the reads");
}

#[test]
fn a_log_that_is_still_needed_must_be_there() {
    let (fs, count) = dead_database();
    let newest = newest_log(&fs);
    let mut needed = 0;
    let mut spare = 0;
    for name in names(&fs, ".wal") {
        let bytes = fs.read_file(path(&name)).unwrap();
        fs.remove_file(path(&name));
        match builder(&fs).read_only(true).open() {
            Ok(db) => {
                spare += 1;
                // The newest log is gone with everything that knew it to be synced.
                let found = db.range(..).count();
                assert!(found == count || name == newest, "{found} of {count} without {name}");
            }
            Err(_) => {
                needed += 1;
                let error = refused_both(&fs, &ADVICE);
                assert!(error.is_corruption(), "{error}");
            }
        }
        fs.write_file(path(&name), &bytes);
    }
    assert!(needed >= 1 && spare >= 1, "{needed} needed, {spare} spare");
    assert_whole(&builder(&fs).open().unwrap(), count);
}

/// Killed after a `sync()` that nothing followed.
fn synced_database() -> SimFs {
    let fs = SimFs::new();
    let db = builder(&fs).open().unwrap();
    for number in 0..10 {
        db.put(crate::key(number), "value").unwrap();
    }
    db.sync().unwrap();
    fs.crash(alluvium::io::CrashMode::Process, 1)
}

/// Symptom: one flipped bit in the last log, after a sync that nothing followed, dropped all behind
/// it without a word; so did the removal of the log. Mechanism: only what is written behind a place
/// knew that it was synced. Fix: the witness knows, and the error says what it is worth.
#[test]
fn what_was_synced_last_is_missed_and_the_rest_can_be_had() {
    let fs = synced_database();
    let name = newest_log(&fs);
    let log = fs.read_file(path(&name)).unwrap();
    let middle = log.iter().rposition(|&byte| byte != 0).unwrap() as u64 / 2 + 4_224 / 2;
    fs.flip(path(&name), middle, 1);
    corrupt(&fs, &name, &["WITNESS knew byte", "without that file the database opens"]);
    fs.remove_file(path("WITNESS"));
    let left = builder(&fs).read_only(true).open().unwrap().range(..).count();
    assert!(left > 0 && left < 10, "{left}");
    let fs = synced_database();
    fs.remove_file(path(&name));
    let error = refused_both(&fs, &["WITNESS knew of it", "opens without the log"]);
    assert!(error.is_corruption());
    fs.remove_file(path("WITNESS"));
    assert_eq!(builder(&fs).open().unwrap().range(..).count(), 0);
}
