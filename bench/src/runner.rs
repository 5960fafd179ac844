//! Runs an operation many times on some threads, and prints tables of what it took.

use std::sync::Barrier;
use std::time::Instant;

use crate::histogram::Histogram;

/// One round of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// Wall time of an operation in its caller, mean over all.
    pub(crate) ns: f64,
    /// Processor time of an operation in its caller; `None` where the system does not tell.
    pub(crate) cpu_ns: Option<f64>,
    /// Operations of all threads together in a second.
    pub(crate) per_second: f64,
    pub(crate) histogram: Histogram,
}

/// Calls `op(thread, i)` for each `i` in `0..ops` on each thread, all starting at once.
///
/// With `every` of 1 each operation is timed from the end of the one before, so that nothing is
/// missed and one clock reading (see `limits`) is in each; otherwise one in `every` is timed.
pub(crate) fn run(threads: usize, ops: u64, every: u64, op: impl Fn(usize, u64) + Sync) -> Round {
    let barrier = Barrier::new(threads);
    let op = &op;
    let barrier = &barrier;
    let parts: Vec<_> = std::thread::scope(|scope| {
        let spawn =
            |thread| scope.spawn(move || run_thread(barrier, ops, every, |i| op(thread, i)));
        let running: Vec<_> = (0..threads).map(spawn).collect();
        running.into_iter().map(|thread| thread.join().expect("the operation panicked")).collect()
    });
    let mut round = Round::default();
    let all = ops as f64 * threads as f64;
    for (part, wall_ns) in &parts {
        round.histogram.merge(&part.histogram);
        round.ns += wall_ns / all;
    }
    let cpu: Option<f64> = parts.iter().map(|(part, _)| part.cpu_ns).sum();
    round.cpu_ns = cpu.map(|cpu| cpu / all);
    let slowest = parts.iter().map(|(_, wall_ns)| *wall_ns).fold(0.0, f64::max);
    round.per_second = all / slowest * 1e9;
    round
}

fn run_thread(barrier: &Barrier, ops: u64, every: u64, op: impl Fn(u64)) -> (Round, f64) {
    let mut histogram = Histogram::default();
    barrier.wait();
    let cpu = cpu_ns();
    let start = Instant::now();
    if every == 1 {
        let mut last = start;
        for i in 0..ops {
            op(i);
            let now = Instant::now();
            histogram.add((now - last).as_nanos() as u64);
            last = now;
        }
    } else {
        for i in 0..ops {
            if i % every == 0 {
                let start = Instant::now();
                op(i);
                histogram.add(start.elapsed().as_nanos() as u64);
            } else {
                op(i);
            }
        }
    }
    let wall_ns = start.elapsed().as_nanos() as f64;
    let cpu_ns = cpu.zip(cpu_ns()).map(|(before, after)| (after - before) as f64);
    (Round { histogram, cpu_ns, ..Round::default() }, wall_ns)
}

/// Processor time of this thread, up to date to a scheduler tick.
fn cpu_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// The most memory that the process held since `reset_peak`, in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Forgets the peak so far, where the system lets it.
pub(crate) fn reset_peak() {
    // Without it the peak is that of the process since its start.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The rounds of one line of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<Round>);

impl Rounds {
    /// Takes `count` rounds.
    pub(crate) fn take(count: usize, round: impl FnMut(usize) -> Round) -> Self {
        Self((0..count).map(round).collect())
    }

    pub(crate) fn median_ns(&self) -> f64 {
        median(self.0.iter().map(|round| round.ns))
    }

    fn merged(&self) -> Histogram {
        let mut all = Histogram::default();
        self.0.iter().for_each(|round| all.merge(&round.histogram));
        all
    }

    /// The heading of the lines that [`Self::print`] makes.
    pub(crate) fn print_heading(title: &str) {
        println!(
            "{title:<38} {:>8} {:>15} {:>8} {:>8} {:>8} {:>9} {:>10} {:>9}",
            "ns/op", "(range)", "cpu", "p50", "p99", "p99.9", "max us", "kops/s"
        );
    }

    /// Medians of means, with their range; quantiles and the maximum over all rounds.
    pub(crate) fn print(&self, name: &str) {
        let all = self.merged();
        let (low, high) = range(self.0.iter().map(|round| round.ns));
        let cpu: Option<Vec<_>> = self.0.iter().map(|round| round.cpu_ns).collect();
        let cpu = cpu.map_or("-".to_owned(), |cpu| format!("{:.0}", median(cpu.into_iter())));
        println!(
            "{name:<38} {:>8.0} {:>15} {cpu:>8} {:>8} {:>8} {:>9} {:>10.1} {:>9.1}",
            self.median_ns(),
            format!("({low:.0}-{high:.0})"),
            all.quantile(0.5),
            all.quantile(0.99),
            all.quantile(0.999),
            all.max() as f64 / 1e3,
            median(self.0.iter().map(|round| round.per_second)) / 1e3,
        );
    }
}

/// The middle value; of an even number, the upper one of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The smallest and the largest value.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_operation_runs_once_and_is_timed_as_asked() {
        for (every, timed) in [(1, 300), (16, 3 * 7)] {
            let ran = AtomicU64::new(0);
            let round = run(3, 100, every, |thread, i| {
                ran.fetch_add(1 + i + 1_000 * thread as u64, Ordering::Relaxed);
            });
            assert_eq!(ran.into_inner(), 3 * 4950 + 300 + 100 * 3_000);
            assert_eq!(round.histogram.count(), timed);
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert_eq!(range([3.0, 1.0, 2.0].into_iter()), (1.0, 3.0));
    }
}
