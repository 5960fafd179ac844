//! Numbers as people write and read them: counts, sizes in bytes, ages.

/// Units of a size, each 1,024 of the one before.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// A plain decimal number.
pub(crate) fn count(text: &[u8]) -> Option<u64> {
    // `parse` alone would also take a sign.
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A size in bytes: a number, and a unit if need be, as in `4MiB`, `64k` or `1 GB`. Letters without
/// an `i` and a `B` mean the same as with both, as people use them for memory; `kB`, `MB`, `GB`
/// and `TB` count in thousands.
pub(crate) fn size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = std::str::from_utf8(unit).ok()?.trim().to_ascii_lowercase();
    let power = |letter: &str| Some(["k", "m", "g", "t"].iter().position(|l| *l == letter)? + 1);
    let factor = match unit.as_str() {
        "" | "b" => 1,
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(letter), _) => 1024_u64.pow(power(letter)? as u32),
            (None, Some(letter)) => 1000_u64.pow(power(letter)? as u32),
            (None, None) => 1024_u64.pow(power(unit)? as u32),
        },
    };
    count(number).filter(|_| digits > 0)?.checked_mul(factor)
}

/// A size for people: `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// How long ago something was, roughly: `3 min`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 run`, `1,234 runs`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// The verb behind a number of things.
pub(crate) fn is_or_are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `1234` as `1,234`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
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
}
