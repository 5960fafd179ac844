//! How far an import is, on standard error: a bar at a terminal, lines elsewhere.
//!
//! Called after each batch; draws at most ten times a second, and lines once a second. What cannot
//! be written is dropped: progress is no reason for an import to fail.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::Look;

/// Cells of the bar.
const CELLS: u64 = 24;

/// Where the progress goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Redrawn in place.
    Bar,
    /// One line after the other.
    Lines,
    /// Nowhere.
    Silent,
}

impl Style {
    /// A bar where a person sees it, and otherwise nothing.
    pub(crate) fn at_terminal(look: Look) -> Self {
        if io::stderr().is_terminal() && !look.json { Self::Bar } else { Self::Silent }
    }
}

pub(crate) struct Progress {
    style: Style,
    /// Size of the file in bytes, where it has one.
    total: Option<u64>,
    started: Instant,
    drawn: Instant,
}

impl Progress {
    pub(crate) fn new(style: Style, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { style, total, started: now, drawn: now }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows that `rows` rows, out of `bytes` bytes of the file, are stored.
    pub(crate) fn show(&mut self, rows: u64, bytes: u64) {
        let pause_ms = match self.style {
            Style::Bar => 100,
            Style::Lines => 1_000,
            Style::Silent => return,
        };
        if self.drawn.elapsed() < Duration::from_millis(pause_ms) {
            return;
        }
        self.drawn = Instant::now();
        let text = describe(rows, bytes, self.total, self.started.elapsed());
        let mut err = io::stderr().lock();
        let _ = match self.style {
            Style::Bar => write!(err, "\r{} {text}\x1b[K", bar(bytes, self.total)),
            Style::Lines | Style::Silent => writeln!(err, "{text}"),
        };
        let _ = err.flush();
    }
}

impl Drop for Progress {
    /// Wipes the bar, so that whatever is printed next begins on an empty line.
    fn drop(&mut self) {
        if self.style == Style::Bar {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Rows per second; what took no measurable time took a nanosecond.
pub(crate) fn rate(rows: u64, elapsed: Duration) -> f64 {
    rows as f64 / elapsed.max(Duration::from_nanos(1)).as_secs_f64()
}

fn describe(rows: u64, bytes: u64, total: Option<u64>, elapsed: Duration) -> String {
    let mib = bytes as f64 / (1 << 20) as f64;
    let percent = total.map(|total| format!("{:3.0}% ", 100.0 * share(bytes, total)));
    let rate = rate(rows, elapsed);
    format!("{}{rows} rows, {mib:.1} MiB, {rate:.0} rows/s", percent.unwrap_or_default())
}

fn bar(bytes: u64, total: Option<u64>) -> String {
    let full = total.map_or(0, |total| (share(bytes, total) * CELLS as f64) as usize);
    format!("[{}{}]", "#".repeat(full), ".".repeat(CELLS as usize - full))
}

/// From 0 to 1; a file that grew meanwhile counts as done.
fn share(bytes: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { (bytes as f64 / total as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_in_words_and_cells() {
        let second = Duration::from_secs(2);
        assert_eq!(describe(10, 1 << 20, None, second), "10 rows, 1.0 MiB, 5 rows/s");
        assert_eq!(describe(10, 1 << 20, Some(1 << 22), second), " 25% 10 rows, 1.0 MiB, 5 rows/s");
        assert_eq!(bar(0, Some(100)), format!("[{}]", ".".repeat(24)));
        assert_eq!(bar(50, Some(100)), format!("[{}{}]", "#".repeat(12), ".".repeat(12)));
        for (bytes, total) in [(100, 100), (200, 100), (0, 0)] {
            assert_eq!(bar(bytes, Some(total)), format!("[{}]", "#".repeat(24)));
        }
        assert_eq!(bar(5, None), format!("[{}]", ".".repeat(24)));
    }
}
