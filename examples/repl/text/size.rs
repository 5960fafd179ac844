//! Numbers as people write and read them: counts, sizes in bytes, ages.
//!
//! Our own: `bytesize` takes `64k` for 64,000, and writes sizes otherwise.

#[cfg(test)]
mod tests;

/// The engine's own, by its file: its reports and the shell write numbers alike, and in the API
/// they would be of no use to others.
#[allow(dead_code, reason = "the shell writes no milliseconds")]
#[path = "../../../src/engine/shared/figures.rs"]
mod figures;

pub(crate) use figures::{bytes, counted, grouped};

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

/// The verb behind a number of things.
pub(crate) fn is_or_are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}
