//! What a workload took: operations, their times, and the same over time.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// A stretch of time that a line over time has a point for.
const SLOT: Duration = Duration::from_millis(50);

/// Points of a line at most: more are put together.
const POINTS_MAX: usize = 60;

/// Times operations, each from the end of the one before, so that nothing is missed.
pub(crate) struct Recorder {
    start: Instant,
    last: Instant,
    slot_end: Instant,
    slot: Histogram,
    slot_ops: u64,
    all: Histogram,
    ops: u64,
    points: Vec<Point>,
}

/// Operations of a stretch of time: where it ends in seconds, how many, and their p99 in ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point(pub(crate) f64, pub(crate) u64, pub(crate) u64);

impl Recorder {
    pub(crate) fn start() -> Self {
        let start = Instant::now();
        Self {
            start,
            last: start,
            slot_end: start + SLOT,
            slot: Histogram::default(),
            slot_ops: 0,
            all: Histogram::default(),
            ops: 0,
            points: Vec::new(),
        }
    }

    /// An operation has ended, or `ops` of them that are timed as one.
    #[inline]
    pub(crate) fn done(&mut self, ops: u64) {
        let now = Instant::now();
        self.slot.add((now - self.last).as_nanos() as u64);
        self.slot_ops += ops;
        self.last = now;
        if now >= self.slot_end {
            self.end_slot();
        }
    }

    /// How long it has been going on, at the end of the last operation.
    #[inline]
    pub(crate) fn elapsed(&self) -> Duration {
        self.last - self.start
    }

    pub(crate) fn finish(mut self) -> Timed {
        self.end_slot();
        let seconds = self.elapsed().as_secs_f64();
        Timed { ops: self.ops, seconds, histogram: self.all, points: coalesce(self.points) }
    }

    fn end_slot(&mut self) {
        if self.slot_ops > 0 {
            let at = self.elapsed().as_secs_f64();
            self.points.push(Point(at, self.slot_ops, self.slot.quantile(0.99)));
            self.all.merge(&self.slot);
            self.ops += self.slot_ops;
            self.slot = Histogram::default();
            self.slot_ops = 0;
        }
        self.slot_end = self.last + SLOT;
    }
}

/// Neighbours put together until there are few. Of their p99 the largest is kept.
fn coalesce(mut points: Vec<Point>) -> Vec<Point> {
    while points.len() > POINTS_MAX {
        let join = |pair: &[Point]| {
            let last = pair[pair.len() - 1];
            let ops = pair.iter().map(|point| point.1).sum();
            Point(last.0, ops, pair.iter().map(|point| point.2).max().unwrap_or(0))
        };
        points = points.chunks(2).map(join).collect();
    }
    points
}

/// Operations of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timed {
    pub(crate) ops: u64,
    pub(crate) seconds: f64,
    pub(crate) histogram: Histogram,
    pub(crate) points: Vec<Point>,
}

impl Timed {
    /// What several threads did side by side.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.ops += other.ops;
        self.seconds = self.seconds.max(other.seconds);
        self.histogram.merge(&other.histogram);
        self.points.clear();
        self
    }

    pub(crate) fn rate(&self) -> Rate {
        let quantile = |share| self.histogram.quantile(share);
        Rate {
            ops: self.ops,
            seconds: self.seconds,
            latency: Latency {
                p50: quantile(0.5),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: self.histogram.max(),
            },
            points: self.points.clone(),
        }
    }
}

/// The same in a few figures, as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) ops: u64,
    pub(crate) seconds: f64,
    /// Of an operation, or of as many as are timed as one.
    pub(crate) latency: Latency,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) points: Vec<Point>,
}

impl Rate {
    pub(crate) fn per_second(&self) -> f64 {
        self.ops as f64 / self.seconds.max(1e-9)
    }
}

/// In nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// One workload on one engine, in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) rate: Rate,
    /// Of a writer beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer: Option<Rate>,
    /// It was stopped by the clock, and its database is smaller than that of the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cut: bool,
    /// The longest time for which the process did not run at all, for reasons of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_seconds: Option<f64>,
    /// Of the measured part and of settling after it; `None` where the system does not tell.
    pub(crate) written_bytes: Option<u64>,
    pub(crate) cpu_seconds: f64,
    /// From the end of the measured part until nothing was going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settle_seconds: Option<f64>,
    pub(crate) disk_bytes: u64,
    /// The most memory that the process held; mapped files count.
    pub(crate) peak_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_once_and_over_time() {
        let mut recorder = Recorder::start();
        while recorder.elapsed() < 3 * SLOT {
            recorder.done(2);
        }
        let timed = recorder.finish();
        assert_eq!(timed.ops, timed.histogram_count() * 2);
        assert_eq!(timed.points.iter().map(|point| point.1).sum::<u64>(), timed.ops);
        assert!(timed.seconds >= 3.0 * SLOT.as_secs_f64());
    }

    #[test]
    fn many_points_become_few_and_none_is_lost() {
        let points: Vec<_> = (0..1_001).map(|i| Point(i as f64, 3, i)).collect();
        let few = coalesce(points);
        assert!(few.len() <= POINTS_MAX);
        assert_eq!(few.iter().map(|point| point.1).sum::<u64>(), 3_003);
        assert_eq!(few.last(), Some(&Point(1_000.0, few[few.len() - 1].1, 1_000)));
    }

    impl Timed {
        fn histogram_count(&self) -> u64 {
            self.histogram.count()
        }
    }
}
