//! A file line by line, and what a row of it is.

use std::io::{self, BufRead, Read};

/// Longest line and longest row, in bytes. As long as the longest value that the engine takes, so
/// that it refuses only what could not be stored, and a file without newlines cannot fill memory.
pub(crate) const ROW_BYTES_MAX: usize = if cfg!(test) { 64 } else { 1 << 30 };

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

/// The lines of a file, numbered.
pub(super) struct Lines<R> {
    reader: R,
    /// The current line with its newline, where it has one.
    pub(super) line: Vec<u8>,
    pub(super) number: u64,
    pub(super) bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// Goes to the next line; false at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, RowError> {
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
    pub(super) fn text(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    pub(super) fn too_long(&self) -> RowError {
        let hint =
            if self.line.contains(&b'\r') { "; are its line ends carriage returns?" } else { "" };
        let expected = format!("a row of at most {ROW_BYTES_MAX} bytes{hint}");
        RowError::Lost { line: self.number, expected }
    }

    /// The complaint about a carriage return that ends no line.
    pub(super) fn lone_return(&self) -> RowError {
        self.malformed(
            "a line end or an escape in the place of a lone carriage return; if these are the \
             line ends, write them as newlines first: tr '\\r' '\\n' <FILE >NEW",
        )
    }

    pub(super) fn malformed(&self, expected: impl Into<String>) -> RowError {
        RowError::Malformed { line: self.number, expected: expected.into() }
    }
}
