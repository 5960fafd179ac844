//! Rows of a file, one at a time: the formats of `import` and `export`.
//!
//! Holds one row and one line in memory, whatever the size of the file. Knows no database. A blank
//! line is skipped in every format, and a byte order mark at the start of the file is dropped.

mod csv;
mod decode;
pub(crate) mod json;
mod sniff;
mod tsv;
mod write;

use std::io::{self, BufRead, Read};
use std::path::Path;

pub(crate) use decode::{Decoder, Encoding};
pub(crate) use sniff::{HEAD_BYTES, sniff, sniff_encoding};
pub(crate) use write::write;

use crate::text::escape::escaped;

/// Longest line and longest row, in bytes. As long as the longest value that the engine takes, so
/// that it refuses only what could not be stored, and a file without newlines cannot fill memory.
pub(crate) const ROW_BYTES_MAX: usize = if cfg!(test) { 64 } else { 1 << 30 };

/// How a file holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `key<TAB>value` with the escapes of the shell, or only `key`: what `scan` prints.
    Tsv,
    /// `key,value` with quotes as in RFC 4180.
    Csv,
    /// One JSON object or array on each line.
    JsonLines,
}

impl Format {
    /// The names that are offered.
    pub(crate) const NAMES: &[&str] = &["tsv", "csv", "jsonl"];

    /// The format of that name, which is also the extension of its files.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "tsv" | "txt" => Some(Self::Tsv),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// The format that the extension of `file` promises.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        Self::named(file.extension()?.to_str()?)
    }
}

/// Which columns there are, and which of them is the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Whether the first row only names the columns.
    pub(crate) header: bool,
    /// `None` is the first of two.
    pub(crate) key: Option<KeyColumn>,
    /// What stands between them in CSV; `None` is a comma.
    pub(crate) delimiter: Option<u8>,
}

/// The column of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyColumn {
    /// The first one is 0.
    Number(usize),
    /// By the name that the first row gives it, or the member of a JSON object.
    Named(Vec<u8>),
}

/// A key with its value, and where it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// The line on which it begins; the first is 1.
    pub(crate) line: u64,
}

/// Why there is no next row.
#[derive(Debug)]
pub(crate) enum RowError {
    /// The file could not be read.
    Io(io::Error),
    /// A line is not what the format asks for.
    Malformed { line: u64, expected: String },
    /// The same, and it cannot be told where the next row begins, or what it means.
    Lost { line: u64, expected: String },
}

impl From<io::Error> for RowError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the rows of one file in order.
pub(crate) struct Rows<R> {
    lines: Lines<R>,
    format: Format,
    columns: Columns,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(reader: R, format: Format, columns: Columns) -> Self {
        let lines = Lines { reader, line: Vec::new(), number: 0, bytes: 0 };
        Self { lines, format, columns }
    }

    /// Fills `row` with the next row; false at the end of the file.
    pub(crate) fn next(&mut self, row: &mut Row) -> Result<bool, RowError> {
        while self.lines.advance()? {
            if self.lines.text().is_empty() || self.names_separator() {
                continue;
            }
            row.key.clear();
            row.value.clear();
            row.line = self.lines.number;
            if self.format == Format::JsonLines {
                match &self.columns.key {
                    None => json::read(&self.lines, row)?,
                    Some(KeyColumn::Named(name)) => json::read_member(&self.lines, name, row)?,
                    Some(KeyColumn::Number(_)) => return Err(self.no_number()),
                }
                return Ok(true);
            }
            let named = matches!(self.columns.key, Some(KeyColumn::Named(_)));
            if named || self.columns.header {
                let names = self.fields()?;
                self.head(&names)?;
                continue;
            }
            match self.columns.key {
                None if self.format == Format::Tsv => tsv::read(&self.lines, row)?,
                None => {
                    let delimiter = self.delimiter();
                    csv::read(&mut self.lines, delimiter, row)?;
                }
                Some(_) => {
                    let fields = self.fields()?;
                    self.pick(fields, row)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether this is the line by which a spreadsheet names the separator.
    fn names_separator(&self) -> bool {
        let named = sniff::separator(self.lines.text());
        self.lines.number == 1 && named.is_some() && named == self.columns.delimiter
    }

    fn delimiter(&self) -> u8 {
        self.columns.delimiter.unwrap_or(if self.format == Format::Tsv { b'\t' } else { b',' })
    }

    /// All columns of the row that begins on this line.
    fn fields(&mut self) -> Result<Vec<Vec<u8>>, RowError> {
        let delimiter = self.delimiter();
        match self.format {
            Format::Tsv => tsv::fields(&self.lines),
            _ => csv::fields(&mut self.lines, delimiter),
        }
    }

    /// Takes the first row, which names the columns.
    fn head(&mut self, names: &[Vec<u8>]) -> Result<(), RowError> {
        self.columns.header = false;
        let Some(KeyColumn::Named(wanted)) = &self.columns.key else { return Ok(()) };
        let Some(at) = names.iter().position(|name| name == wanted) else {
            let all: Vec<String> = names.iter().map(|name| escaped(name)).collect();
            let wanted = escaped(wanted);
            let all = all.join(", ");
            let expected = format!("a column named {wanted} in the first row, and got {all}");
            return Err(RowError::Lost { line: self.lines.number, expected });
        };
        self.columns.key = Some(KeyColumn::Number(at));
        Ok(())
    }

    /// Takes the key from its column, and the value from the others.
    fn pick(&self, mut fields: Vec<Vec<u8>>, row: &mut Row) -> Result<(), RowError> {
        let Some(KeyColumn::Number(at)) = self.columns.key else { return Ok(()) };
        if at >= fields.len() {
            let wanted = at + 1;
            let count = fields.len();
            let expected = format!("a column {wanted} for the key, and there are {count}");
            return Err(self.lines.malformed(expected));
        }
        row.key = fields.remove(at);
        match <[Vec<u8>; 1]>::try_from(fields) {
            Ok([value]) => row.value = value,
            Err(others) => write::others(self.format, self.delimiter(), &others, &mut row.value),
        }
        Ok(())
    }

    fn no_number(&self) -> RowError {
        let expected = "members with names: --key takes one of these for JSON lines".into();
        RowError::Lost { line: self.lines.number, expected }
    }

    /// Bytes of the file read so far, up to the end of the last row.
    pub(crate) fn bytes(&self) -> u64 {
        self.lines.bytes
    }
}

/// The lines of a file, numbered.
struct Lines<R> {
    reader: R,
    /// The current line with its newline, where it has one.
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// Goes to the next line; false at the end of the file.
    fn advance(&mut self) -> Result<bool, RowError> {
        self.line.clear();
        let limit = ROW_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        self.bytes += read as u64;
        if read > ROW_BYTES_MAX {
            return Err(self.too_long());
        }
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(read > 0)
    }

    /// The current line without its newline.
    fn text(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn too_long(&self) -> RowError {
        let hint =
            if self.line.contains(&b'\r') { "; are its line ends carriage returns?" } else { "" };
        let expected = format!("a row of at most {ROW_BYTES_MAX} bytes{hint}");
        RowError::Lost { line: self.number, expected }
    }

    /// The complaint about a carriage return that ends no line.
    fn lone_return(&self) -> RowError {
        self.malformed(
            "a line end or an escape in the place of a lone carriage return; if these are the \
             line ends, write them as newlines first: tr '\\r' '\\n' <FILE >NEW",
        )
    }

    fn malformed(&self, expected: impl Into<String>) -> RowError {
        RowError::Malformed { line: self.number, expected: expected.into() }
    }
}

#[cfg(test)]
mod tests;
