//! Durations in logarithmic buckets: 32 to each doubling, so that a quantile is off by 3 % at most.
//!
//! Our own: it is filled inside the timed loops, where a record takes 2 to 3 ns, and one of
//! `hdrhistogram`, at the same width, 4 to 5. Figures of before and after would not compare.

const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;

/// Counts of durations, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = bucket_of(u64::MAX) + 1;
        Self { counts: vec![0; buckets], total: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn add(&mut self, ns: u64) {
        self.counts[bucket_of(ns)] += 1;
        self.total += 1;
        self.sum_ns += ns;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The duration that `share` of all are not above, in nanoseconds; 0 if there is none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    #[cfg(test)]
    pub(crate) fn mean(&self) -> f64 {
        self.sum_ns as f64 / self.total.max(1) as f64
    }

    pub(crate) fn max(&self) -> u64 {
        self.max_ns
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.total
    }
}

/// Below `SUB` one bucket per nanosecond, then `SUB` buckets for each doubling.
#[inline]
fn bucket_of(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let shift = ns.ilog2() - SUB_BITS;
    (u64::from(shift) * SUB + (ns >> shift)) as usize
}

/// The largest duration of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let shift = bucket / SUB - 1;
    let top = bucket - shift * SUB;
    (((u128::from(top) + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_in_order_and_are_narrow() {
        let around = |bit: u32| [(1_u64 << bit) - 1, 1_u64 << bit, (1_u64 << bit) + 1];
        let mut edges: Vec<u64> = (0..64).flat_map(around).chain([u64::MAX]).collect();
        edges.sort_unstable();
        let mut last = 0;
        for ns in edges {
            let bucket = bucket_of(ns);
            assert!(bucket >= last, "{ns}");
            last = bucket;
            let upper = upper_bound(bucket);
            assert!(upper >= ns && upper as f64 <= ns as f64 * 1.04 + 1.0, "{ns}: {upper}");
            assert!(upper == u64::MAX || bucket_of(upper + 1) == bucket + 1, "{ns}");
        }
    }

    #[test]
    fn quantiles_match_sorted_values() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.max()), (0, 0));
        (1..=1000).for_each(|ns| histogram.add(ns));
        for (share, want) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let got = histogram.quantile(share) as f64;
            assert!((want..=want * 1.04).contains(&got), "{share}: {got}");
        }
        let mut both = histogram.clone();
        both.merge(&histogram);
        assert_eq!((both.count(), both.max()), (2000, 1000));
        assert!((both.mean() - 500.5).abs() < 1e-9);
    }
}
