//! `store`, `delete`, `get`, `scan` and `prefix`.

use std::io::Write;

use serde_json::{Value, json};

use super::Failure;
use crate::escape::{escape, escaped, is_text};
use crate::output::{self, Ink, Output};
use crate::parse::ScanRequest;
use crate::rows::{Format, write as write_row};
use crate::shell::Shell;

/// `store`, and `delete` if there is no value.
pub(super) fn write(
    shell: &mut Shell,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    shell.write(key, value)?;
    match &shell.batch {
        None => out.ok()?,
        Some(batch) => {
            let count = batch.len();
            out.say(&format!("in the batch, {count} so far"), || json!({"batch": count}))?;
        }
    }
    Ok(())
}

pub(super) fn get(
    shell: &Shell,
    key: &[u8],
    at: Option<&str>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let value = shell.get(key, at)?;
    if out.look.json {
        let value = value.as_deref().map_or(Value::Null, output::bytes);
        writeln!(out, "{}", json!({"key": output::bytes(key), "value": value}))?;
        return Ok(());
    }
    match value {
        None => {
            let text = out.look.paint(Ink::Faint, "(not found)");
            out.write_all(text.as_bytes())?;
        }
        Some(value) if is_text(&value) => out.write_all(&value)?,
        Some(value) => out.write_all(escaped(&value).as_bytes())?,
    }
    out.write_all(b"\n")?;
    Ok(())
}

pub(super) fn scan(
    shell: &Shell,
    request: &ScanRequest,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let range = shell.range(&request.extent, request.at.as_deref())?;
    let limit = request.limit.unwrap_or(u64::MAX);
    if request.reverse { print(range.rev(), limit, out) } else { print(range, limit, out) }
}

fn print<V: AsRef<[u8]>>(
    mut pairs: impl Iterator<Item = alluvium::Result<(V, V)>>,
    limit: u64,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    // Not `take`, which counts to a `usize`.
    for _ in 0..limit {
        let Some(pair) = pairs.next() else { break };
        let (key, value) = pair?;
        let (key, value) = (key.as_ref(), value.as_ref());
        line.clear();
        if out.look.json {
            write_row(Format::JsonLines, key, value, &mut line);
        } else if out.look.colour {
            line.extend_from_slice(out.look.paint(Ink::Key, &escaped(key)).as_bytes());
            line.push(b'\t');
            escape(value, &mut line);
            line.push(b'\n');
        } else {
            write_row(Format::Tsv, key, value, &mut line);
        }
        out.write_all(&line)?;
    }
    Ok(())
}
