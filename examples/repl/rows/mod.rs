//! Rows of a file, one at a time: the formats of `import` and `export`.
//!
//! Holds one row and one line in memory, whatever the size of the file. Knows no database. A blank
//! line is skipped in every format, and a byte order mark at the start of the file is dropped.

mod csv;
pub(crate) mod json;
mod tsv;
mod write;

use std::io::{self, BufRead, Read};
use std::path::Path;

pub(crate) use write::write;

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
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(reader: R, format: Format) -> Self {
        Self { lines: Lines { reader, line: Vec::new(), number: 0, bytes: 0 }, format }
    }

    /// Fills `row` with the next row; false at the end of the file.
    pub(crate) fn next(&mut self, row: &mut Row) -> Result<bool, RowError> {
        while self.lines.advance()? {
            if self.lines.text().is_empty() {
                continue;
            }
            row.key.clear();
            row.value.clear();
            row.line = self.lines.number;
            match self.format {
                Format::Tsv => tsv::read(&self.lines, row)?,
                Format::Csv => csv::read(&mut self.lines, row)?,
                Format::JsonLines => json::read(&self.lines, row)?,
            }
            return Ok(true);
        }
        Ok(false)
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
        self.malformed(format!("a row of at most {ROW_BYTES_MAX} bytes"))
    }

    fn malformed(&self, expected: impl Into<String>) -> RowError {
        RowError::Malformed { line: self.number, expected: expected.into() }
    }
}

#[cfg(test)]
mod tests;
