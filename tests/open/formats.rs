//! Files of newer versions: refused as such, and never taken for damage or healed.
//!
//! They are made from this version's files by the byte tables in the source, checksums included.

use alluvium::io::{CrashMode, SimFs};
use alluvium::{Db, Error};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    assert_whole, builder, changed, closed_database, dead_database, image, newest_log, path,
    refused, refused_both, u64_at,
};

/// Sets byte `at` of a structure of `len` bytes at `start`, whose last eight are its checksum.
fn patch(fs: &SimFs, name: &str, (start, len): (usize, usize), at: usize, value: u8) {
    let mut bytes = fs.read_file(path(name)).unwrap();
    let (body, sum) = bytes[start..start + len].split_at_mut(len - 8);
    assert_eq!(sum, xxh3_64(body).to_le_bytes(), "{name} is as its table says");
    body[at] = value;
    sum.copy_from_slice(&xxh3_64(body).to_le_bytes());
    fs.write_file(path(name), &bytes);
}

fn first(fs: &SimFs, part: &str) -> String {
    fs.files(crate::DIR).into_iter().find(|name| name.contains(part)).unwrap()
}

#[track_caller]
fn newer(fs: &SimFs, name: &str) {
    let words = [name, "cannot be used by this version", "nothing was changed", "or a newer one"];
    let error = refused_both(fs, &words);
    let Error::UnsupportedFormat { file, .. } = &error else { panic!("{error:?}") };
    assert!(file.ends_with(name), "{error}");
    assert!(!error.is_corruption());
}

#[test]
fn a_newer_current_is_refused() {
    let fs = closed_database();
    patch(&fs, "CURRENT", (0, 48), 8, 2);
    newer(&fs, "CURRENT");
}

#[test]
fn a_newer_manifest_is_refused() {
    // Version, hash of the records, incompatible features: one beside that which is known, others.
    for (at, value) in [(8, 2), (12, 2), (32, 3), (39, 2)] {
        let fs = closed_database();
        let name = first(&fs, "MANIFEST");
        patch(&fs, &name, (0, 96), at, value);
        newer(&fs, &name);
    }
}

#[test]
fn features_say_whether_a_manifest_may_be_read_or_written() {
    let (fs, count) = dead_database();
    let name = first(&fs, "MANIFEST");
    // One that changes nothing.
    patch(&fs, &name, (0, 96), 16, 1);
    assert_whole(&builder(&fs).read_only(true).open().unwrap(), count);
    // One that forbids writing.
    patch(&fs, &name, (0, 96), 24, 1);
    assert_whole(&builder(&fs).read_only(true).open().unwrap(), count);
    let words = [&name[..], "forbid writing", "read_only(true)"];
    let error = refused(&fs, |builder| builder, &words);
    assert!(matches!(error, Error::UnsupportedFormat { .. }), "{error:?}");
}

#[test]
fn a_newer_segment_is_refused() {
    let name = first(&closed_database(), ".seg");
    let len = closed_database().read_file(path(&name)).unwrap().len();
    let footer = (len - 256, 256);
    // Header version; footer version, hash, incompatible feature beside those that are known.
    for (structure, at, value) in
        [((0, 64), 8, 2), (footer, 8, 2), (footer, 12, 2), (footer, 32, 6), (footer, 33, 1)]
    {
        let fs = closed_database();
        patch(&fs, &name, structure, at, value);
        newer(&fs, &name);
    }
    let fs = closed_database();
    patch(&fs, &name, footer, 16, 1);
    drop(builder(&fs).open().unwrap());
}

#[test]
fn a_newer_log_is_refused_even_if_one_copy_of_its_header_is_not() {
    for both in [true, false] {
        let (fs, _) = dead_database();
        let name = newest_log(&fs);
        patch(&fs, &name, (0, 128), 8, 2);
        if both {
            patch(&fs, &name, (4096, 128), 8, 2);
        }
        newer(&fs, &name);
    }
}

/// Offset of the first record of a log.
const FIRST_RECORD: usize = 4224;

/// Bytes in front of a record's body.
const RECORD_HEADER: usize = 40;

/// Changes a log's first record and makes its hashes right again. The two differ where the table
/// of a record says so.
fn patch_record(fs: &SimFs, name: &str, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs.read_file(path(name)).unwrap();
    let salt = u64_at(&bytes, 72);
    let place = salt ^ (FIRST_RECORD as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let record = &mut bytes[FIRST_RECORD..];
    let body_len = u32::from_le_bytes(record[12..16].try_into().unwrap()) as usize;
    let record = &mut record[..RECORD_HEADER + body_len];
    let seal = |record: &mut [u8]| {
        let check = xxh3_64_with_seed(&record[12..40], place ^ 0xd1b5_4a32_d192_ed03) as u32;
        record[8..12].copy_from_slice(&check.to_le_bytes());
        let body_hash = xxh3_64(&record[RECORD_HEADER..]).to_le_bytes();
        let hash = xxh3_64_with_seed(&[&record[8..40], &body_hash].concat(), place);
        record[..8].copy_from_slice(&hash.to_le_bytes());
    };
    let sound = record.to_vec();
    seal(record);
    assert_eq!(record, sound, "{name} is as its table says");
    change(record);
    seal(record);
    fs.write_file(path(name), &bytes);
}

/// Symptom: a log with an operation of a kind that this version only reserves was refused, and the
/// directory had been healed and given a new manifest by then. Mechanism: bodies of records were
/// decoded after the heal. Fix: everything is decoded before anything changes.
#[test]
fn operations_of_reserved_kinds_are_refused_before_anything_changes() {
    for kind in 3..=6 {
        let (fs, _) = dead_database();
        let name = newest_log(&fs);
        patch_record(&fs, &name, |record| record[RECORD_HEADER] = kind);
        newer(&fs, &name);
    }
}

/// The same for what no version writes.
#[test]
fn sound_records_without_sense_are_damage_and_nothing_changes() {
    let check = |change: &dyn Fn(&mut [u8])| {
        let (fs, _) = dead_database();
        let name = newest_log(&fs);
        patch_record(&fs, &name, change);
        let error = refused_both(&fs, &[&name, "is damaged", "at byte"]);
        assert!(error.is_corruption(), "{error:?}");
    };
    check(&|record| record[RECORD_HEADER] = 99);
    // Keyspace 5 was never made.
    check(&|record| record[RECORD_HEADER + 1] = 5);
    // A key longer than the record.
    check(&|record| record[RECORD_HEADER + 2] = 0x7f);
    // A sequence above the ceiling, and a count of none.
    check(&|record| record[16..24].fill(0xff));
    check(&|record| record[32..36].fill(0));
}

/// A database that the first version wrote before it was killed: two segments, three logs of which
/// the last two are needed, and one spare (of the four there were).
fn first_version() -> SimFs {
    let fs = SimFs::new();
    macro_rules! file {
        ($($name:literal),*) => {
            $(fs.write_file(path($name), include_bytes!(concat!("first/", $name)));)*
        };
    }
    file!("CURRENT", "MANIFEST-000002", "000001.seg", "000002.seg");
    file!("000001.log", "000003.log", "000004.log", "000005.log");
    fs.write_file(path("LOCK"), b"");
    fs
}

fn assert_first_version(db: &Db) {
    let rows = |range: alluvium::Range| -> Vec<(String, String)> {
        let text = |value: alluvium::Value| String::from_utf8(value.to_vec()).unwrap();
        range.map(|pair| pair.map(|(key, value)| (text(key), text(value))).unwrap()).collect()
    };
    let old = (1..60).map(|n| {
        (
            format!("old {n:03}"),
            match n {
                30..40 => "second".to_owned(),
                n => format!("value {n}"),
            },
        )
    });
    assert_eq!(rows(db.prefix("old")), old.collect::<Vec<_>>());
    let letter = |n: u8| char::from(b'a' + n % 26).to_string();
    let new = (0..60).map(|n| (format!("new {n:03}"), letter(n).repeat(100)));
    assert_eq!(rows(db.prefix("new")), new.collect::<Vec<_>>());
    assert_eq!(db.get("synced").unwrap().unwrap(), "yes");
    assert_eq!(db.get("buffered").unwrap().unwrap(), "yes");
    let other = db.keyspace("other").unwrap();
    let others = (0..60).map(|n| (format!("o {n:03}"), n.to_string()));
    assert_eq!(rows(other.range(..)), others.collect::<Vec<_>>());
}

/// What the manifest that counts has for incompatible features.
fn features(fs: &SimFs) -> u64 {
    let current = fs.read_file(path("CURRENT")).unwrap();
    let name = format!("MANIFEST-{:06}", u64_at(&current, 32));
    u64_at(&fs.read_file(path(&name)).unwrap(), 32)
}

/// Symptom: the first version, which sees no `*.wal`, opened a database of this one without what
/// was in its logs. Mechanism: only the names of files had changed. Fix: an incompatible feature in
/// each manifest, on the disk before the first such file is, after whatever crash.
#[test]
fn no_wal_file_stands_beside_a_manifest_without_its_feature() {
    let has_wal = |fs: &SimFs| fs.files(crate::DIR).iter().any(|name| name.ends_with(".wal"));
    let mut seen = [0, 0];
    let starts: [fn() -> SimFs; 2] = [first_version, SimFs::new];
    for (start, from) in starts.into_iter().zip([0, 1]) {
        for at in 0.. {
            let fs = start();
            fs.crash_at(fs.op_count() + at);
            let opened = builder(&fs).open().and_then(|db| db.put("k", "v"));
            let over = !fs.crashed();
            for &mode in CrashMode::ALL {
                let after = fs.crash(mode, at);
                let counts = after.read_file(path("CURRENT")).is_some();
                assert!(counts || !has_wal(&after), "at {at}, {mode:?}");
                if counts {
                    let bits = features(&after);
                    assert!(bits == 1 || (bits == from && !has_wal(&after)), "at {at}, {mode:?}");
                    seen[bits as usize] += 1;
                }
            }
            if over {
                opened.unwrap();
                break;
            }
        }
    }
    assert!(seen.iter().all(|&seen| seen > 5), "{seen:?}");
    assert_eq!(features(&closed_database()), 1);
}

#[test]
fn a_database_of_the_first_version_opens_and_goes_on() {
    let fs = first_version();
    let before = image(&fs);
    let db = builder(&fs).read_only(true).open().unwrap();
    assert_first_version(&db);
    assert!(db.verify().unwrap().is_sound());
    db.close().unwrap();
    assert_eq!(changed(&before, &image(&fs)), [""; 0]);
    for _ in 0..3 {
        let db = builder(&fs).open().unwrap();
        assert_first_version(&db);
        assert!(db.health().is_healthy(), "{}", db.health());
        db.put("more", "written").unwrap();
        db.flush().unwrap();
        db.compact().unwrap();
        assert!(db.verify().unwrap().is_sound());
        db.close().unwrap();
    }
}
