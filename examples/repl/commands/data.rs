//! `store`, `delete`, `get`, `exists` and `mget`.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::spec::{Given, Outcome, Read, done, job, path};
use crate::files::input;
use crate::print::output::{self, Ink, Output};
use crate::rows::{Format, write as write_row};
use crate::shell::Failure;
use crate::shell::{Shell, VALUE_BYTES_MAX};
use crate::text::escape::{escaped, is_text};

/// The answer of `get` for a key that is not there.
const ABSENT: &str = "(not found)";

pub(super) fn store(given: &mut Given) -> Read {
    let file = given.option("--from");
    let key = given.needed();
    let Some(file) = file else {
        let value = given.needed();
        return done(|shell, out| write(shell, key, Some(value), out));
    };
    let file = path(file)?;
    done(move |shell, out| store_file(shell, key, &file, out))
}

pub(super) fn delete(given: &mut Given) -> Read {
    let key = given.needed();
    done(|shell, out| write(shell, key, None, out))
}

pub(super) fn get(given: &mut Given) -> Read {
    let raw = given.flag("--raw");
    let key = given.needed();
    let at = given.text("--at")?;
    job(move |shell, out| print(shell, &key, at.as_deref(), raw, out))
}

pub(super) fn exists(given: &mut Given) -> Read {
    let key = given.needed();
    let at = given.text("--at")?;
    job(move |shell, out| tell_whether(shell, &key, at.as_deref(), out))
}

pub(super) fn multi_get(given: &mut Given) -> Read {
    let at = given.text("--at")?;
    let keys = given.rest();
    job(move |shell, out| print_all(shell, &keys, at.as_deref(), out))
}

/// Sets a key, or deletes it if there is no value.
fn write(
    shell: &mut Shell,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    shell.write(&key, value.as_deref())?;
    match &shell.pending {
        None => out.ok()?,
        Some(pending) => {
            let count = pending.len();
            let word = pending.word();
            out.say(&format!("in the {word}, {count} so far"), || json!({word: count}))?;
        }
    }
    Ok(())
}

/// Stores the bytes of a file as they are.
fn store_file(
    shell: &mut Shell,
    key: Vec<u8>,
    file: &Path,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    if file.as_os_str() == "-" && shell.scripted {
        return Err("standard input is where the commands come from: name another file".into());
    }
    let value = input::whole(file, VALUE_BYTES_MAX, &shell.interrupt);
    let value = value.map_err(|message| match shell.interrupt.is_asked() {
        true => Failure::Interrupted("nothing is stored".into()),
        false => message.into(),
    })?;
    write(shell, key, Some(value), out)
}

fn print(
    shell: &Shell,
    key: &[u8],
    at: Option<&str>,
    raw: bool,
    out: &mut Output<'_>,
) -> Result<Outcome, Failure> {
    if raw && out.look.json {
        return Err("--raw prints no JSON: leave out one of the two".into());
    }
    let value = shell.get(key, at)?;
    if out.look.json {
        let value = value.as_deref().map_or(Value::Null, output::bytes);
        writeln!(out, "{}", json!({"key": output::bytes(key), "value": value}))?;
    }
    let Some(value) = value else {
        let answer = (!out.look.json).then_some(ABSENT);
        let complaint = Some(format!("there is no key {}", escaped(key)));
        return Ok(Outcome::Absent { answer, complaint });
    };
    if out.look.json {
        return Ok(Outcome::Done);
    }
    match is_text(&value) {
        // A terminal obeys control characters.
        false if raw && out.look.terminal => {
            return Err(
                "the value is no text: send it to a file, with -e 'get --raw ...' >FILE".into()
            );
        }
        _ if raw => out.write_all(&value)?,
        true => out.write_all(&value)?,
        false => out.write_all(escaped(&value).as_bytes())?,
    }
    if !raw || out.look.terminal {
        out.write_all(b"\n")?;
    }
    Ok(Outcome::Done)
}

fn tell_whether(
    shell: &Shell,
    key: &[u8],
    at: Option<&str>,
    out: &mut Output<'_>,
) -> Result<Outcome, Failure> {
    let there = shell.contains(key, at)?;
    let answer = || json!({"key": output::bytes(key), "exists": there});
    out.say(if there { "yes" } else { "no" }, answer)?;
    Ok(if there { Outcome::Done } else { Outcome::Absent { answer: None, complaint: None } })
}

/// Several keys of one moment, a line for each.
fn print_all(
    shell: &Shell,
    keys: &[Vec<u8>],
    at: Option<&str>,
    out: &mut Output<'_>,
) -> Result<Outcome, Failure> {
    let values = shell.multi_get(keys, at)?;
    let mut line = Vec::new();
    let mut absent = false;
    for (key, value) in keys.iter().zip(values) {
        line.clear();
        absent |= value.is_none();
        match (value, out.look.json) {
            (Some(value), true) => write_row(Format::JsonLines, key, &value, &mut line),
            (Some(value), false) => write_row(Format::Tsv, key, &value, &mut line),
            (None, true) => {
                writeln!(line, "{}", json!({"key": output::bytes(key), "value": Value::Null}))?;
            }
            (None, false) => {
                writeln!(line, "{} {}", escaped(key), out.look.paint(Ink::Faint, ABSENT))?;
            }
        }
        out.write_all(&line)?;
    }
    Ok(if absent { Outcome::Absent { answer: None, complaint: None } } else { Outcome::Done })
}
