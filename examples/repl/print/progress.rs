//! How far an import or a compaction is, on standard error: a bar at a terminal, lines elsewhere.
//!
//! Called as often as there is news; draws a bar ten times a second at most, a line once a second.
//! What cannot be written is dropped: progress is no reason for a command to fail.
//!
//! Our own: `indicatif` hides itself where there is no terminal, and scripts read the lines.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::print::output::{Look, is_dumb};
use crate::text::size::{counted, grouped};

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
        let drawn = io::stderr().is_terminal() && !look.json && !is_dumb();
        if drawn { Self::Bar } else { Self::Silent }
    }
}

pub(crate) struct Progress {
    style: Style,
    /// How much there is to do, in bytes or rows, where that is known.
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

    pub(crate) fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Shows that all is done, if anything has been shown before.
    pub(crate) fn fill(&mut self, describe: impl FnOnce(Duration) -> String) {
        if self.style == Style::Bar && self.drawn != self.started {
            self.draw(self.total.unwrap_or(1), self.total.or(Some(1)), &describe(self.elapsed()));
        }
    }

    /// Shows that this much is done, and what `describe` says of it.
    pub(crate) fn show(&mut self, done: u64, describe: impl FnOnce(Duration) -> String) {
        let pause_ms = match self.style {
            Style::Bar => 100,
            Style::Lines => 1_000,
            Style::Silent => return,
        };
        if self.drawn.elapsed() < Duration::from_millis(pause_ms) {
            return;
        }
        self.drawn = Instant::now();
        self.draw(done, self.total, &describe(self.started.elapsed()));
    }

    fn draw(&self, done: u64, total: Option<u64>, text: &str) {
        let text = percent(done, total) + text;
        let mut err = io::stderr().lock();
        let _ = match self.style {
            Style::Bar => {
                // A line that wraps could not be drawn again in its place.
                let line = format!("{} {text}", bar(done, total));
                let line: String = line.chars().take(columns().saturating_sub(1)).collect();
                write!(err, "\r{line}\x1b[K")
            }
            Style::Lines | Style::Silent => writeln!(err, "{text}"),
        };
        let _ = err.flush();
    }
}

/// Columns of the terminal.
fn columns() -> usize {
    crate::print::pager::screen().map_or(80, |page| page.columns)
}

impl Drop for Progress {
    /// Wipes the bar, so that whatever is printed next begins on an empty line.
    fn drop(&mut self) {
        if self.style == Style::Bar {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// How many per second; what took no measurable time took a nanosecond.
pub(crate) fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.max(Duration::from_nanos(1)).as_secs_f64()
}

/// What there is to say of rows.
pub(crate) fn rows(rows: u64, bytes: u64, elapsed: Duration) -> String {
    let mib = bytes as f64 / (1 << 20) as f64;
    let count = counted(rows, "row");
    let rate = grouped(rate(rows, elapsed) as u64);
    format!("{count}, {mib:.1} MiB, {rate} rows/s")
}

/// Megabytes per second, for people.
pub(crate) fn megabytes_rate(bytes: u64, elapsed: Duration) -> String {
    format!("{:.0} MB/s", rate(bytes, elapsed) / 1e6)
}

fn percent(bytes: u64, total: Option<u64>) -> String {
    total.map_or(String::new(), |total| format!("{:3.0}% ", 100.0 * share(bytes, total)))
}

fn bar(bytes: u64, total: Option<u64>) -> String {
    let full = total.map_or(0, |total| (share(bytes, total) * CELLS as f64) as usize);
    format!("[{}{}]", "#".repeat(full), ".".repeat(CELLS as usize - full))
}

/// From 0 to 1; what has grown meanwhile counts as done.
fn share(bytes: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { (bytes as f64 / total as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_in_words_and_cells() {
        let two = Duration::from_secs(2);
        assert_eq!(rows(10, 1 << 20, two), "10 rows, 1.0 MiB, 5 rows/s");
        assert_eq!(percent(1 << 20, None), "");
        assert_eq!(percent(1 << 20, Some(1 << 22)), " 25% ");
        assert_eq!(percent(3, Some(2)), "100% ");
        assert_eq!(megabytes_rate(10_000_000, two), "5 MB/s");
        assert_eq!(bar(0, Some(100)), format!("[{}]", ".".repeat(24)));
        assert_eq!(bar(50, Some(100)), format!("[{}{}]", "#".repeat(12), ".".repeat(12)));
        for (bytes, total) in [(100, 100), (200, 100), (0, 0)] {
            assert_eq!(bar(bytes, Some(total)), format!("[{}]", "#".repeat(24)));
        }
        assert_eq!(bar(5, None), format!("[{}]", ".".repeat(24)));
    }
}
