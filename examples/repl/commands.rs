//! What each command does to the database and prints.
//!
//! | printed by | value |
//! |---|---|
//! | `get` | as it is, if it is text; otherwise escaped |
//! | `scan` | `key<TAB>value`, both escaped, a line for each key |
//!
//! Text is UTF-8 without control characters other than newline and tab. What `scan` prints can be
//! read back with `import --format tsv`. A missing key is an answer, `(not found)`, and no error.
//!
//! Escapes are those of [`crate::escape`].

use std::io::{self, Write};
use std::ops::Bound;

use alluvium::Db;

use crate::escape::{escape, is_text};
use crate::import;
use crate::parse::{Command, USAGE};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it prints could not be written.
    Output(io::Error),
    /// Anything else, as a sentence.
    Message(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<alluvium::Error> for Failure {
    fn from(error: alluvium::Error) -> Self {
        Self::Message(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.into())
    }
}

/// Runs one command; true if the session is to end.
pub(crate) fn run(db: &Db, command: Command, out: &mut impl Write) -> Result<bool, Failure> {
    match command {
        Command::Store { key, value } => {
            db.put(key, value)?;
            writeln!(out, "ok")?;
        }
        Command::Delete { key } => {
            db.delete(key)?;
            writeln!(out, "ok")?;
        }
        Command::Get { key } => get(db, &key, out)?,
        Command::Scan { from, to } => scan(db, from, to, out)?,
        Command::Import(request) => import::run(db, &request, out)?,
        Command::Flush => {
            db.flush()?;
            writeln!(out, "ok")?;
        }
        Command::Stats => writeln!(out, "{}\n{}", db.stats(), db.health())?,
        Command::Help => help(out)?,
        Command::Exit => return Ok(true),
    }
    Ok(false)
}

fn get(db: &Db, key: &[u8], out: &mut impl Write) -> Result<(), Failure> {
    match db.get(key)? {
        None => out.write_all(b"(not found)")?,
        Some(value) if is_text(&value) => out.write_all(&value)?,
        Some(value) => {
            let mut text = Vec::new();
            escape(&value, &mut text);
            out.write_all(&text)?;
        }
    }
    out.write_all(b"\n")?;
    Ok(())
}

fn scan(
    db: &Db,
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let to = to.map_or(Bound::Unbounded, Bound::Excluded);
    if let (Bound::Included(from), Bound::Excluded(to)) = (&from, &to)
        && from >= to
    {
        return Ok(());
    }
    let mut line = Vec::new();
    for pair in db.range((from, to)) {
        let (key, value) = pair?;
        line.clear();
        escape(&key, &mut line);
        line.push(b'\t');
        escape(&value, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

fn help(out: &mut impl Write) -> io::Result<()> {
    for (command, meaning) in USAGE {
        writeln!(out, "{command}\n    {meaning}")?;
    }
    out.write_all(QUOTING.as_bytes())
}

/// How to enter any bytes, for `help`.
const QUOTING: &str = r#"
Quote what holds blanks or begins with a quote: 'taken as it is', or "with escapes". A quoted text
may go on over several lines. Escapes, also without quotes: \n \t \r \0 \\ \" \' \xNN \u{...}.
get prints text as it is and other bytes with escapes; scan always prints escapes, which
import --format tsv reads back. import goes by the extension: .tsv .txt (key, tab, value; or one
key on each line), .csv (key,value) and .jsonl .ndjson ({"key": "k", "value": "v"} or ["k", "v"]).
"#;
