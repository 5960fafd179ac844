//! Names round trip, and others are not taken for ours.

use super::*;

#[test]
fn names_are_golden_and_read_back() {
    let check = |file: FileName, want: &str| {
        assert_eq!(file.name(), want);
        assert_eq!(FileName::parse(want), Some(file));
    };
    check(FileName::Lock, "LOCK");
    check(FileName::Current, "CURRENT");
    check(FileName::CurrentTmp, "CURRENT.tmp");
    check(FileName::Witness, "WITNESS");
    check(FileName::Manifest(FileNumber(1)), "MANIFEST-000001");
    check(FileName::Segment(FileNumber(0)), "000000.seg");
    check(FileName::Segment(FileNumber(999_999)), "999999.seg");
    check(FileName::Segment(FileNumber(1_000_000)), "1000000.seg");
    check(FileName::LogSlot(NUMBER_END - 1), "9223372036854775807.wal");
    check(FileName::OldLogSlot(7), "000007.log");
}

#[test]
fn stray_names_are_not_ours() {
    for name in [
        "",
        "lock",
        "LOCK ",
        "CURRENT.tmp2",
        "MANIFEST-",
        "MANIFEST-1",
        "MANIFEST-+00001",
        "MANIFEST-0000001",
        "MANIFEST-00000x",
        "1.seg",
        "0000001.seg",
        "+00001.seg",
        "-00001.log",
        "-00001.wal",
        ".log",
        ".wal",
        "000001.log.bak",
        "000001.LOG",
        "000001",
        "9223372036854775808.log",
        "18446744073709551615.log",
        "18446744073709551616.log",
        "é00001.seg",
    ] {
        assert_eq!(FileName::parse(name), None, "{name:?}");
    }
}
