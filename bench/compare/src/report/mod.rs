//! What comes out of a run: tables in Markdown, the figures themselves in JSON, and pictures.

mod charts;
mod svg;
mod tables;

use std::path::Path;

pub(crate) use tables::counts;

use crate::Result;
use crate::results::{Counts, Results};
use crate::settings::{Setting, Settings};
use crate::workloads::Row;

/// What the figures are kept in.
const FILE: &str = "results.json";

/// Whether the row has a picture over time.
pub(crate) fn has_line(row: &Row) -> bool {
    charts::OVER_TIME.contains(&row.name)
}

/// Tables and pictures of an earlier run.
pub(crate) fn again(settings: &Settings) -> Result<()> {
    let input = settings.input.as_deref().ok_or("report needs in=DIR/results.json")?;
    write(&read(input)?, settings.out.as_deref())
}

/// Puts counts into the results that lie in a directory, if there are any, and makes its page again.
pub(crate) fn add_counts(counts: Counts, out: &Path) -> Result<()> {
    let mut results = read(&out.join(FILE))?;
    results.counts = Some(counts);
    write(&results, Some(out))
}

fn read(path: &Path) -> Result<Results> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Prints the tables, and writes everything into a directory, if there is one.
pub(crate) fn write(results: &Results, out: Option<&Path>) -> Result<()> {
    println!("{}", tables::all(results, &[]));
    let Some(out) = out else { return Ok(()) };
    let mut pictures = Vec::new();
    for setting in Setting::ALL.into_iter().filter(|&setting| results.has(setting)) {
        pictures.extend(charts::all(results, setting));
    }
    std::fs::create_dir_all(out)?;
    for picture in &pictures {
        std::fs::write(out.join(&picture.file), &picture.svg)?;
    }
    std::fs::write(out.join("RESULTS.md"), tables::all(results, &pictures))?;
    std::fs::write(out.join(FILE), json(results)?)?;
    Ok(())
}

/// The counts of an earlier run in the same directory: they are steady, and seldom taken.
pub(crate) fn earlier_counts(out: Option<&Path>) -> Option<Counts> {
    read(&out?.join(FILE)).ok()?.counts
}

/// One measurement to a line, so that versions of the file can be compared.
fn json(results: &Results) -> Result<String> {
    let mut head = serde_json::to_value(results)?;
    let taken = head.as_object_mut().and_then(|head| head.remove("taken"));
    let lines = taken.as_ref().and_then(|taken| taken.as_array()).into_iter().flatten();
    let lines: Vec<String> = lines.map(|line| format!("  {line}")).collect();
    let head = serde_json::to_string_pretty(&head)?;
    let head = head.trim_end().trim_end_matches('}').trim_end();
    Ok(format!("{head},\n  \"taken\": [\n{}\n  ]\n}}\n", lines.join(",\n")))
}
