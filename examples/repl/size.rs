//! Numbers as people write them.

/// A plain decimal number.
pub(crate) fn count(text: &[u8]) -> Option<u64> {
    // `parse` alone would also take a sign.
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (text, want) in [
            ("0", Some(0)),
            ("42", Some(42)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1k", None),
        ] {
            assert_eq!(count(text.as_bytes()), want, "{text}");
        }
    }
}
