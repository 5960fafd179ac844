//! `import`: the rows of a file into the database, in batches.
//!
//! A batch is acknowledged as a whole. Rows before a malformed one are stored, and the message
//! names its file and line. Memory holds one batch, whatever the size of the file.

use std::fs::File;
use std::io::{BufReader, Write};
use std::mem;

use alluvium::{Db, Keyspace, WriteBatch};
use serde_json::json;

use crate::commands::Failure;
use crate::output::{Look, Output};
use crate::parse::ImportRequest;
use crate::progress::{Progress, Style, rate, rows};
use crate::rows::{Format, Row, RowError, Rows};
use crate::shell::{KEY_BYTES_MAX, Shell};

/// A batch is written once it holds this many rows or bytes.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// Bytes read from the file at once.
const READ_BYTES: usize = 256 << 10;

/// Imports a file and prints what was done.
pub(crate) fn run(
    shell: &Shell,
    request: &ImportRequest,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    if let Some(batch) = &shell.batch {
        let count = batch.len();
        return Err(format!(
            "import stores at once, and a batch of {count} is open: commit or abort it first"
        )
        .into());
    }
    let name = request.file.display().to_string();
    let format = request.format.or_else(|| Format::of(&request.file)).ok_or_else(|| {
        format!("cannot tell the format of {name} by its extension: add --format tsv, csv or jsonl")
    })?;
    if request.header && format == Format::JsonLines {
        return Err("--header goes with tsv and csv: JSON lines name their members".into());
    }
    let file = File::open(&request.file).map_err(|error| format!("cannot open {name}: {error}"))?;
    let total = file.metadata().ok().filter(|data| data.is_file()).map(|data| data.len());
    let rows = Rows::new(BufReader::with_capacity(READ_BYTES, file), format);
    Import {
        db: &shell.db,
        keyspace: &shell.keyspace,
        progress: Progress::new(style(request, out.look), total),
        out,
        name,
        ack: request.ack,
        rows,
        batch: WriteBatch::new(),
        first_line: 0,
        stored: 0,
    }
    .all(request.header)
}

/// A bar would write over the lines that acknowledge batches, so the two exclude each other.
fn style(request: &ImportRequest, look: Look) -> Style {
    match Style::at_terminal(look) {
        Style::Bar if !request.ack => Style::Bar,
        _ if request.progress => Style::Lines,
        _ => Style::Silent,
    }
}

/// An import under way.
struct Import<'a, 'o> {
    db: &'a Db,
    keyspace: &'a Keyspace,
    out: &'a mut Output<'o>,
    /// The file, for messages.
    name: String,
    ack: bool,
    rows: Rows<BufReader<File>>,
    batch: WriteBatch,
    /// The line on which the first row of the batch begins.
    first_line: u64,
    /// Rows written and acknowledged.
    stored: u64,
    progress: Progress,
}

impl Import<'_, '_> {
    fn all(mut self, header: bool) -> Result<(), Failure> {
        let mut row = Row::default();
        let mut skip = header;
        loop {
            match self.next(&mut row) {
                Ok(true) if skip => skip = false,
                Ok(true) => self.add(&row)?,
                Ok(false) => {
                    self.write()?;
                    return self.report();
                }
                Err(error) => {
                    self.write()?;
                    return Err(self.stopped(error));
                }
            }
        }
    }

    fn next(&mut self, row: &mut Row) -> Result<bool, RowError> {
        let more = self.rows.next(row)?;
        if more && row.key.len() > KEY_BYTES_MAX {
            let got = row.key.len();
            let expected = format!("a key of at most {KEY_BYTES_MAX} bytes, and got {got}");
            return Err(RowError::Malformed { line: row.line, expected });
        }
        Ok(more)
    }

    fn add(&mut self, row: &Row) -> Result<(), Failure> {
        if self.batch.is_empty() {
            self.first_line = row.line;
        }
        self.batch.put_in(self.keyspace, &row.key, &row.value);
        if self.batch.len() < BATCH_ROWS && self.batch.bytes() < BATCH_BYTES {
            return Ok(());
        }
        self.write()
    }

    /// Writes the batch, if there is one, and tells that it is acknowledged.
    fn write(&mut self) -> Result<(), Failure> {
        let batch = mem::replace(&mut self.batch, WriteBatch::new());
        if batch.is_empty() {
            return Ok(());
        }
        let count = batch.len() as u64;
        self.db.write(batch).map_err(|error| {
            let (name, line, stored) = (&self.name, self.first_line, self.stored);
            format!(
                "{name}, the {count} rows from line {line} on: {error}; {stored} rows are stored"
            )
        })?;
        self.stored += count;
        if self.ack {
            let stored = self.stored;
            self.out.say(&format!("acked {stored}"), || json!({"acked": stored}))?;
            self.out.flush()?;
        }
        let (stored, bytes) = (self.stored, self.rows.bytes());
        self.progress.show(bytes, |elapsed| rows(stored, bytes, elapsed));
        Ok(())
    }

    fn stopped(&self, error: RowError) -> Failure {
        let (name, stored) = (&self.name, self.stored);
        let message = match error {
            RowError::Io(error) => format!("cannot read {name}: {error}"),
            RowError::Malformed { line, expected } => {
                format!("{name}, line {line}: expected {expected}")
            }
        };
        format!("{message}; {stored} rows before it are stored").into()
    }

    fn report(self) -> Result<(), Failure> {
        let (stored, bytes, elapsed) = (self.stored, self.rows.bytes(), self.progress.elapsed());
        let (seconds, rate) = (elapsed.as_secs_f64(), rate(stored, elapsed));
        let text =
            format!("imported {stored} rows, {bytes} bytes in {seconds:.3} s, {rate:.0} rows/s");
        self.out.say(&text, || json!({"imported": stored, "bytes": bytes, "seconds": seconds}))?;
        Ok(())
    }
}
