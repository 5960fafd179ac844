//! The middle of several rounds, and figures as people read them.

/// The middle value; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(lower.midpoint(upper))
}

/// Three digits and a thousand's letter.
pub(crate) fn short(value: f64) -> String {
    let (value, letter) = match value {
        value if value >= 999.5e6 => (value / 1e9, " G"),
        value if value >= 999.5e3 => (value / 1e6, " M"),
        value if value >= 9_995.0 => (value / 1e3, " K"),
        value => (value, ""),
    };
    match value {
        value if value >= 99.95 => format!("{value:.0}{letter}"),
        value if value >= 9.995 => format!("{value:.1}{letter}"),
        value => format!("{value:.2}{letter}"),
    }
}

/// A duration that is given in nanoseconds.
pub(crate) fn duration(ns: f64) -> String {
    match ns {
        ns if ns >= 999.5e6 => format!("{} s", short(ns / 1e9)),
        ns if ns >= 999.5e3 => format!("{} ms", short(ns / 1e6)),
        ns if ns >= 999.5 => format!("{} µs", short(ns / 1e3)),
        ns => format!("{} ns", short(ns)),
    }
}

/// How often one value is in another.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 9.995 => format!("{ratio:.0}×"),
        ratio if ratio >= 0.0995 => format!("{ratio:.2}×"),
        ratio => format!("{ratio:.3}×"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (0.5, "0.50"),
            (999.0, "999"),
            (9_990.0, "9990"),
            (10_000.0, "10.0 K"),
            (999_400.0, "999 K"),
            (999_600.0, "1.00 M"),
            (15_400_000.0, "15.4 M"),
        ];
        for (value, want) in cases {
            assert_eq!(short(value), want);
        }
        assert_eq!(duration(66_000.0), "66.0 µs");
        assert_eq!(duration(999_900.0), "1.00 ms");
        assert_eq!(
            (times(1.5), times(12.3), times(0.01)),
            ("1.50×".into(), "12×".into(), "0.010×".into())
        );
    }
}
