//! The tables: rates with their ratios, latencies, and what each row cost.

use std::fmt::Write as _;

use crate::measure::{Latency, Measurement, Rate};
use crate::report::charts::Picture;
use crate::results::{Cell, Count, Counts, EngineOf, Results};
use crate::settings::Setting;
use crate::stats::{duration, short, times};
use crate::workloads::{self, Row};

/// Everything, with links to the pictures that there are.
pub(crate) fn all(results: &Results, pictures: &[Picture]) -> String {
    let mut text = head(results);
    for setting in Setting::ALL.into_iter().filter(|&setting| results.has(setting)) {
        let (title, what) = setting.title();
        // A `String` takes whatever is written to it.
        let _ = write!(text, "\n## {title}\n\nSetting `{}`: {what}.\n", setting.name());
        for picture in pictures.iter().filter(|picture| picture.setting == setting) {
            let _ = write!(text, "\n![{}]({})\n", picture.title, picture.file);
        }
        text.push_str(&rates(results, setting));
        text.push_str(&latencies(results, setting));
        text.push_str(&costs(results, setting));
    }
    if let Some(counts) = &results.counts {
        let _ = write!(text, "\n## Instructions and cache misses\n\n{}", self::counts(counts));
    }
    text
}

/// What `counts` found.
pub(crate) fn counts(counts: &Counts) -> String {
    let mut text = format!(
        "Of one operation, in brackets the misses of the last-level cache: counted by callgrind on \
         {}, with a simulated cache of 32 MiB; {} keys with values of 100 bytes, all in the engine's \
         cache, nothing compressed. The loop that makes keys and checks values is part of each; the \
         last row shows it alone.\n\n```sh\n{}\n```\n\n",
        counts.date,
        group_digits(counts.n),
        counts.command
    );
    let mut whats: Vec<&str> = Vec::new();
    let mut engines: Vec<&str> = Vec::new();
    for line in &counts.lines {
        if !whats.contains(&&*line.what) {
            whats.push(&line.what);
        }
        engines.extend(line.engine.as_deref().filter(|engine| !engines.contains(engine)));
    }
    let _ = writeln!(text, "| | {} |\n|---|{}", engines.join(" | "), "---|".repeat(engines.len()));
    for what in whats {
        let _ = write!(text, "| {what} |");
        for engine in &engines {
            // The loop has no engine, and is the same for all.
            let of = |line: &&Count| {
                line.what == what && line.engine.as_deref().is_none_or(|of| of == *engine)
            };
            let _ = match counts.lines.iter().find(of) {
                Some(line) => {
                    write!(text, " {:.0} ({:.2}) |", line.instructions, line.last_level_misses)
                }
                None => write!(text, " – |"),
            };
        }
        text.push('\n');
    }
    text
}

fn head(results: &Results) -> String {
    let mut text = String::from("# Alluvium beside other engines\n\n");
    let note = if results.note.is_empty() { "" } else { "\n\n" };
    let _ = write!(
        text,
        "Taken on {} on one machine: {}.{note}{}\n\n```sh\n{}\n```\n\n",
        results.date, results.machine, results.note, results.command
    );
    let rounds = match results.rounds {
        1 => "is of one round".to_owned(),
        rounds => format!("is the median of {rounds} rounds"),
    };
    let _ = write!(
        text,
        "{} keys of 20 bytes with values of 100 bytes, of which LZ4 saves a quarter; a fifth as many \
         with 1,000 bytes for YCSB, a twentieth with 4 KiB, one of 320 with 64 KiB. Each figure \
         {rounds}; each pair of engine and row had a process and a directory of its \
         own, and the engines took turns. All values were compared in full as they were read. What \
         runs besides on such a machine moves a rate by a fifth and more, so small differences mean \
         nothing.\n\n",
        group_digits(results.n)
    );
    text.push_str(
        "Writes are handed to the system, and not synced one by one. What that promises differs: \
         Alluvium, RocksDB, fjall and SurrealKV lose nothing when the process is killed; LMDB neither, \
         but a crash of the system may damage all of it; redb loses up to a second, sled half of one. \
         LMDB, redb and sled compress nothing here, and LMDB has no checksums. `bench/compare/src/\
         engines` has the settings of each engine, and why.\n\nA get of LMDB, redb and SurrealKV is a \
         read transaction; one call for many keys is one transaction of theirs. A pair of a scan is \
         lent until the next one, or may be kept: of fjall, redb and sled all may be, of LMDB as long \
         as the transaction lives.\n\n| engine | versions |\n|---|---|\n",
    );
    for engine in &results.engines {
        let _ = writeln!(text, "| {} | {} |", engine.title, engine.versions);
    }
    for left_out in &results.left_out {
        let _ = write!(text, "\nLeft out: {left_out}.\n");
    }
    text
}

/// Rates, and how many times that of the first engine; the best is bold.
fn rates(results: &Results, setting: Setting) -> String {
    let mut text = String::from("\n### Rates\n\n");
    let first = results.engines.first().map_or("", |engine| &engine.title);
    let _ = write!(
        text,
        "Operations in a second, and in brackets how many times {first}'s that is; the best is bold. \
         ✂ marks loads that the clock cut short: their databases stayed smaller.\n\n"
    );
    heading(&mut text, "| row | unit |", "|---|---|", &results.engines);
    for row in workloads::ALL {
        let line = |of: fn(&Measurement) -> Option<&Rate>, title: &str, unit: &str| {
            let rate = |cell: &Cell| cell.median(|taken| of(taken).map(Rate::per_second));
            rate_line(results, (setting, row), rate, title, unit)
        };
        text.push_str(&line(|taken| Some(&taken.rate), row.title, row.unit));
        text.push_str(&line(|taken| taken.writer.as_ref(), "– puts of that writer", "puts/s"));
    }
    text
}

fn rate_line(
    results: &Results,
    (setting, row): (Setting, &'static Row),
    rate: impl Fn(&Cell) -> Option<f64>,
    title: &str,
    unit: &str,
) -> String {
    let cells = results.engines.iter().map(|engine| results.cell(setting, row, &engine.name));
    let cells: Vec<_> = cells.collect();
    let rates: Vec<_> = cells.iter().map(rate).collect();
    let best = rates.iter().flatten().copied().fold(0.0, f64::max);
    if best <= 0.0 {
        return String::new();
    }
    let mut line = format!("| {title} | {unit} |");
    for (cell, value) in cells.iter().zip(&rates) {
        let Some(value) = *value else {
            line.push_str(if cell.failed.is_some() { " failed |" } else { " – |" });
            continue;
        };
        let bold = if value >= best { "**" } else { "" };
        let cut = if cell.is_cut() { " ✂" } else { "" };
        let ratio = rates[0].map_or(String::new(), |first| format!(" ({})", times(value / first)));
        let _ = write!(line, " {bold}{}{bold}{cut}{ratio} |", short(value));
    }
    line.push('\n');
    line
}

/// How long operations took, where it matters when they took long.
fn latencies(results: &Results, setting: Setting) -> String {
    let mut lines = String::new();
    for row in workloads::ALL.iter().filter(|row| row.writes()) {
        let line = |title: &str, rate| latency_line(results, (setting, row), title, rate);
        lines.push_str(&line(row.title, |taken| Some(&taken.rate)));
        lines.push_str(&line("– puts of that writer", |taken| taken.writer.as_ref()));
    }
    if lines.is_empty() {
        return lines;
    }
    let mut text =
        String::from("\n### Latencies\n\np50 / p99 / p99.9 / longest, medians of the rounds.\n\n");
    heading(&mut text, "| row |", "|---|", &results.engines);
    text + &lines
}

fn latency_line(
    results: &Results,
    (setting, row): (Setting, &'static Row),
    title: &str,
    rate: fn(&Measurement) -> Option<&Rate>,
) -> String {
    let mut line = format!("| {title} |");
    let mut any = false;
    for engine in &results.engines {
        let cell = results.cell(setting, row, &engine.name);
        let quantile = |of: fn(&Latency) -> u64| {
            cell.median(|taken| rate(taken).map(|rate| of(&rate.latency) as f64))
        };
        let quantiles = [
            quantile(|latency| latency.p50),
            quantile(|latency| latency.p99),
            quantile(|latency| latency.p999),
            quantile(|latency| latency.max),
        ];
        let quantiles: Vec<String> = quantiles.into_iter().flatten().map(duration).collect();
        any |= !quantiles.is_empty();
        let _ = write!(
            line,
            " {} |",
            if quantiles.is_empty() { "–".into() } else { quantiles.join(" / ") }
        );
    }
    line.push('\n');
    if any { line } else { String::new() }
}

/// What a row took besides time, a line for each engine.
fn costs(results: &Results, setting: Setting) -> String {
    let mut text = String::from(
        "\n### Costs\n\nProcessor time of all threads for each operation; bytes written, until merges \
         had settled, for each operation; disk used in the end; the most memory that the process held, \
         mapped files included; and how long it took to settle after writing.\n\n\
         | row | engine | processor µs/op | written B/op | disk MB | peak MB | settled after s | range of the rate |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in workloads::ALL {
        for engine in &results.engines {
            let cell = results.cell(setting, row, &engine.name);
            let ops = |taken: &Measurement| {
                let writer = taken.writer.as_ref().map_or(0, |writer| writer.ops);
                (taken.rate.ops + writer).max(1) as f64
            };
            let figure = |value: Option<f64>| value.map_or("–".to_owned(), short);
            let Some((low, high)) = cell.range() else { continue };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {}–{} |",
                row.title,
                engine.title,
                figure(cell.median(|taken| Some(taken.cpu_seconds * 1e6 / ops(taken)))),
                figure(cell.median(|taken| Some(taken.written_bytes? as f64 / ops(taken)))),
                figure(cell.median(|taken| Some(taken.disk_bytes as f64 / 1e6))),
                figure(cell.median(|taken| Some(taken.peak_bytes as f64 / 1e6))),
                figure(cell.median(|taken| taken.settle_seconds)),
                short(low),
                short(high)
            );
        }
    }
    text
}

fn heading(text: &mut String, names: &str, lines: &str, engines: &[EngineOf]) {
    let titles: String = engines.iter().map(|engine| format!(" {} |", engine.title)).collect();
    let _ = writeln!(text, "{names}{titles}\n{lines}{}", "---|".repeat(engines.len()));
}

/// 5000000 as 5,000,000.
fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_come_in_threes() {
        for (number, want) in [(1, "1"), (1_000, "1,000"), (5_000_000, "5,000,000")] {
            assert_eq!(super::group_digits(number), want);
        }
    }
}
