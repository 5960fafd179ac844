//! `import`: the rows of a file into the database, in batches.
//!
//! A batch is acknowledged as a whole. Rows before a malformed one are stored, and the message
//! names its file and line. Memory holds one batch, whatever the size of the file. A file that
//! looks like another format than the one that was asked for is refused before any row is stored.

use std::io::{self, BufRead, BufReader, Write};
use std::mem;
use std::path::PathBuf;

use alluvium::{Db, Keyspace, WriteBatch};
use serde_json::json;

use super::formats::{format_option, one_of, untold};
use super::spec::{Given, Read, done};
use crate::files::descriptor;
use crate::files::input::{self, Input};
use crate::files::interrupt::{Interrupt, is_interrupt};
use crate::print::output::{Look, Output};
use crate::print::progress::{Progress, Style, rate, rows};
use crate::rows::{
    Columns, Decoder, Encoding, Format, HEAD_BYTES, KeyColumn, Row, RowError, Rows, sniff,
    sniff_encoding,
};
use crate::shell::{Failure, KEY_BYTES_MAX, Shell};
use crate::text::escape::escaped;
use crate::text::size::{self, counted, grouped, is_or_are};

/// A batch is written once it holds this many rows or bytes.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// Bytes read from the file at once.
const READ_BYTES: usize = 256 << 10;

/// How many malformed rows are shown; the others are counted.
const BAD_SHOWN: usize = 5;

/// What `import` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportRequest {
    /// The file to read.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// `None` takes bytes as they are, unless they look like something else.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) columns: Columns,
    /// Whether malformed rows are left out.
    pub(crate) skip_bad: bool,
    /// Whether to print a line for each acknowledged batch.
    pub(crate) ack: bool,
    /// Whether to report progress even where standard error is no terminal.
    pub(crate) progress: bool,
}

pub(super) fn import(given: &mut Given) -> Read {
    let request = ImportRequest::read(given)?;
    done(move |shell, out| run(shell, &request, out))
}

impl ImportRequest {
    pub(crate) fn read(given: &mut Given) -> Result<Self, String> {
        let file = given.file()?;
        let encoding = given.option("--encoding").map(|name| {
            let known = std::str::from_utf8(&name).ok().and_then(Encoding::named);
            known.ok_or_else(|| {
                let got = escaped(&name);
                format!("--encoding takes {}, not {got}", one_of(Encoding::NAMES))
            })
        });
        let delimiter = given.option("--delimiter").map(|text| match text.as_slice() {
            b"tab" => Ok(b'\t'),
            &[one] if !matches!(one, b'"' | b'\r' | b'\n') => Ok(one),
            _ => Err(format!("--delimiter takes one character or tab, not {}", escaped(&text))),
        });
        let key = given.option("--key").map(|column| match size::count(&column) {
            Some(0) => Err("columns are counted from 1".to_owned()),
            Some(number) => {
                Ok(KeyColumn::Number(usize::try_from(number).unwrap_or(usize::MAX) - 1))
            }
            None => Ok(KeyColumn::Named(column)),
        });
        let encoding = encoding.transpose()?;
        let delimiter = delimiter.transpose()?;
        let key = key.transpose()?;
        let header = given.flag("--header");
        Ok(Self {
            file,
            format: format_option(given)?,
            encoding,
            columns: Columns { header, key, delimiter },
            skip_bad: given.flag("--skip-bad"),
            ack: given.flag("--ack"),
            progress: given.flag("--progress"),
        })
    }
}

/// Imports a file and prints what was done.
fn run(shell: &Shell, request: &ImportRequest, out: &mut Output<'_>) -> Result<(), Failure> {
    if let Some(pending) = &shell.pending {
        let word = pending.word();
        let count = pending.len();
        let out = pending.way_out();
        return Err(format!(
            "import stores at once, and a {word} of {count} is open: commit or {out} first"
        )
        .into());
    }
    let standard = request.file.as_os_str() == "-" || descriptor::named(&request.file) == Some(0);
    if standard && shell.scripted {
        return Err("standard input is where the commands come from: import another file".into());
    }
    let name = if standard { "standard input".into() } else { request.file.display().to_string() };
    let format = format(request)?;
    let Input { reader, total } = input::open(&request.file, &shell.interrupt)?;
    let raw = BufReader::with_capacity(READ_BYTES, reader);
    let reader = looked_at(raw, format, request, &name)?;
    Import {
        db: &shell.db,
        keyspace: &shell.keyspace,
        interrupt: &shell.interrupt,
        progress: Progress::new(style(request, out.look), total),
        out,
        name,
        ack: request.ack,
        skip_bad: request.skip_bad,
        rows: Rows::new(reader, format, request.columns.clone()),
        batch: WriteBatch::new(),
        first_line: 0,
        stored: 0,
        bad: Bad::default(),
    }
    .all()
}

/// The format that was asked for, or that the extension or the options promise.
fn format(request: &ImportRequest) -> Result<Format, Failure> {
    let Columns { header, key, delimiter } = &request.columns;
    let format = request.format.or_else(|| match (delimiter, Format::of(&request.file)) {
        (Some(b'\t'), Some(Format::Csv) | None) => Some(Format::Csv),
        (Some(b'\t'), format) => format,
        (Some(_), _) => Some(Format::Csv),
        (None, format) => format,
    });
    let Some(format) = format else {
        return Err(untold(&request.file.display().to_string()).into());
    };
    match format {
        Format::JsonLines if *header => {
            Err("--header goes with tsv and csv: JSON lines name their members".into())
        }
        Format::JsonLines if delimiter.is_some() => {
            Err("--delimiter goes with csv: JSON lines have none".into())
        }
        Format::JsonLines if matches!(key, Some(KeyColumn::Number(_))) => {
            Err("--key takes the name of a member for JSON lines".into())
        }
        Format::Tsv if delimiter.is_some_and(|delimiter| delimiter != b'\t') => {
            Err("--delimiter goes with csv: tsv is separated by tabs".into())
        }
        format => Ok(format),
    }
}

/// A reader of UTF-8, after a look at its beginning: it must fit the format.
fn looked_at(
    mut raw: BufReader<Box<dyn io::Read>>,
    format: Format,
    request: &ImportRequest,
    name: &str,
) -> Result<Box<dyn BufRead>, Failure> {
    let refused = |message: String| Failure::from(format!("{name} is refused: {message}"));
    let cannot = |error: io::Error| match is_interrupt(&error) {
        true => Failure::Interrupted("no row is stored".into()),
        false => format!("cannot read {name}: {error}").into(),
    };
    let head = raw.fill_buf().map_err(cannot)?;
    sniff_encoding(&head[..head.len().min(HEAD_BYTES)], request.encoding).map_err(refused)?;
    let mut reader: Box<dyn BufRead> = match request.encoding {
        None | Some(Encoding::Utf8) => Box::new(raw),
        Some(encoding) => Box::new(Decoder::new(raw, encoding)),
    };
    let head = reader.fill_buf().map_err(cannot)?;
    let head = &head[..head.len().min(HEAD_BYTES)];
    sniff(head, format, request.format.is_some(), &request.columns).map_err(refused)?;
    Ok(reader)
}

/// A bar would write over the lines that acknowledge batches, so the two exclude each other.
fn style(request: &ImportRequest, look: Look) -> Style {
    match Style::at_terminal(look) {
        Style::Bar if !request.ack => Style::Bar,
        _ if request.progress => Style::Lines,
        _ => Style::Silent,
    }
}

/// Rows that were left out.
#[derive(Default)]
struct Bad {
    count: u64,
    /// Line and complaint of the first ones.
    shown: Vec<(u64, String)>,
}

/// An import under way.
struct Import<'a, 'o> {
    db: &'a Db,
    keyspace: &'a Keyspace,
    interrupt: &'a Interrupt,
    out: &'a mut Output<'o>,
    /// The file, for messages.
    name: String,
    ack: bool,
    skip_bad: bool,
    rows: Rows<Box<dyn BufRead>>,
    batch: WriteBatch,
    /// The line on which the first row of the batch begins.
    first_line: u64,
    /// Rows written and acknowledged.
    stored: u64,
    bad: Bad,
    progress: Progress,
}

impl Import<'_, '_> {
    fn all(mut self) -> Result<(), Failure> {
        let mut row = Row::default();
        loop {
            match self.next(&mut row) {
                Ok(true) => self.add(&row)?,
                Ok(false) => {
                    self.write()?;
                    return self.report();
                }
                Err(RowError::Malformed { line, expected }) if self.skip_bad => {
                    self.bad.count += 1;
                    if self.bad.shown.len() < BAD_SHOWN {
                        self.bad.shown.push((line, expected));
                    }
                }
                Err(error) => {
                    self.write()?;
                    return Err(self.stopped(error));
                }
            }
            if self.interrupt.is_asked() {
                self.write()?;
                let name = &self.name;
                let stored = self.so_far();
                return Err(Failure::Interrupted(format!("{stored} of {name}")));
            }
        }
    }

    fn next(&mut self, row: &mut Row) -> Result<bool, RowError> {
        let more = self.rows.next(row)?;
        if more && row.key.len() > KEY_BYTES_MAX {
            let max = grouped(KEY_BYTES_MAX as u64);
            let got = grouped(row.key.len() as u64);
            let expected = format!("a key of at most {max} bytes, and got {got}");
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
        self.db.write(&batch).map_err(|error| {
            let name = &self.name;
            let line = self.first_line;
            let stored = self.so_far();
            let rows = if count == 1 {
                "the row".into()
            } else {
                format!("the {} from", counted(count, "row"))
            };
            format!("{name}, {rows} line {line} on: {error}; {stored}")
        })?;
        self.stored += count;
        if self.ack {
            let stored = self.stored;
            self.out
                .say(&format!("acked {}", grouped(stored)), || json!({"acked": stored}))
                .and_then(|()| self.out.flush())?;
        }
        let stored = self.stored;
        let bytes = self.rows.bytes();
        self.progress.show(bytes, |elapsed| rows(stored, bytes, elapsed));
        Ok(())
    }

    /// `1 row is stored`.
    fn so_far(&self) -> String {
        format!("{} {} stored", counted(self.stored, "row"), is_or_are(self.stored))
    }

    fn stopped(&self, error: RowError) -> Failure {
        let name = &self.name;
        let stored = self.stored;
        let message = match error {
            RowError::Io(error) if is_interrupt(&error) => {
                return Failure::Interrupted(format!("{} of {name}", self.so_far()));
            }
            RowError::Io(error) => format!("cannot read {name}: {error}"),
            RowError::Malformed { line, expected } | RowError::Lost { line, expected } => {
                format!("{name}, line {line}: expected {expected}")
            }
        };
        let rows = counted(stored, "row");
        let are = is_or_are(stored);
        format!("{message}; {rows} before it {are} stored").into()
    }

    fn report(self) -> Result<(), Failure> {
        let stored = self.stored;
        let bytes = self.rows.bytes();
        let elapsed = self.progress.elapsed();
        let seconds = elapsed.as_secs_f64();
        let rate = grouped(rate(stored, elapsed) as u64);
        let Bad { count: bad, shown } = self.bad;
        // The bar goes first.
        drop(self.progress);
        let skipped = match bad {
            0 => String::new(),
            bad => format!("; skipped {}", counted(bad, "bad row")),
        };
        let rows = counted(stored, "row");
        let size = counted(bytes, "byte");
        let mut text = format!("imported {rows}, {size} in {seconds:.3} s, {rate} rows/s{skipped}");
        for (line, expected) in &shown {
            text.push_str(&format!("\n    line {line}: expected {expected}"));
        }
        if bad > shown.len() as u64 {
            text.push_str("\n    ...");
        }
        self.out.say(&text, || {
            let mut answer = json!({"imported": stored, "bytes": bytes, "seconds": seconds});
            if bad > 0 {
                let line =
                    |(line, expected): &(u64, String)| json!({"line": line, "expected": expected});
                answer["skipped"] = bad.into();
                answer["bad"] = shown.iter().map(line).collect();
            }
            answer
        })?;
        Ok(())
    }
}
