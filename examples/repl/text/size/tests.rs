//! Sizes and counts, as they are read and shown.

use super::*;

#[test]
fn numbers_are_read() {
    for (text, want) in [
        ("0", Some(0)),
        ("42", Some(42)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-1", None),
        ("+1", None),
        ("1k", None),
    ] {
        assert_eq!(count(text.as_bytes()), want, "{text}");
    }
    for (text, want) in [
        ("17", Some(17)),
        ("17b", Some(17)),
        ("4MiB", Some(4 << 20)),
        ("4 mib", Some(4 << 20)),
        ("4M", Some(4 << 20)),
        ("4MB", Some(4_000_000)),
        ("64k", Some(64 << 10)),
        ("2GiB", Some(2 << 30)),
        ("1T", Some(1 << 40)),
        ("99999999TiB", None),
        ("MiB", None),
        ("", None),
        ("4XiB", None),
        ("4ib", None),
        ("4MiBs", None),
        ("4.5M", None),
        ("-4M", None),
    ] {
        assert_eq!(size(text.as_bytes()), want, "{text}");
    }
}

#[test]
fn numbers_are_written() {
    for (number, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), want);
    }
    for (number, want) in [(0, "0 runs"), (1, "1 run"), (2_000, "2,000 runs")] {
        assert_eq!(counted(number, "run"), want);
    }
    for (number, want) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_536, "1.5 KiB"),
        (4 << 20, "4.0 MiB"),
        (9 << 50, "9216.0 TiB"),
    ] {
        assert_eq!(bytes(number), want);
    }
    for (ms, want) in [
        (999, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (7_200_000, "2 h"),
        (200_000_000, "2 d"),
    ] {
        assert_eq!(age(ms), want);
    }
}
