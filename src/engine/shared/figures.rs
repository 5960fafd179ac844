//! Numbers for people: counts with separators, sizes, times. Pure, and without imports: the shell
//! has this file as a module of its own (`examples/repl/text/size.rs`).

/// A number of things for people: `1 run`, `1,234 runs`.
pub(crate) fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
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

/// Microseconds for people.
pub(crate) fn ms(us: u64) -> String {
    format!("{} ms", grouped(us / 1_000))
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (count, want) in [(0, "0 runs"), (1, "1 run"), (999, "999 runs"), (1_000, "1,000 runs")]
        {
            assert_eq!(counted(count, "run"), want);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((ms(1_999), ms(5_000_000)), ("1 ms".into(), "5,000 ms".into()));
        for (count, want) in [(1_023, "1023 B"), (1_536, "1.5 KiB"), (4 << 30, "4.0 GiB")] {
            assert_eq!(bytes(count), want);
        }
    }
}
