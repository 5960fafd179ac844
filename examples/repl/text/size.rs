//! Numbers as people write and read them: counts, sizes in bytes, ages.
//!
//! Our own: `bytesize` takes `64k` for 64,000, and writes sizes otherwise. The engine's reports
//! have their own [`grouped`], which is no part of its API.

#[cfg(test)]
mod tests;

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
