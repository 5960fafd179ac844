//! Rows of a file, one at a time: the formats of `import` and `export`.
//!
//! Holds one row and one line in memory, whatever the size of the file. Knows no database. A blank
//! line is skipped in every format, and a byte order mark at the start of the file is dropped.

mod csv;
mod decode;
mod format;
pub(crate) mod json;
mod lines;
mod sniff;
mod tsv;
mod write;

use std::io::BufRead;

pub(crate) use decode::{Decoder, Encoding};
pub(crate) use format::{Columns, Format, KeyColumn};
pub(crate) use lines::{ROW_BYTES_MAX, Row, RowError};
pub(crate) use sniff::{HEAD_BYTES, sniff, sniff_encoding};
pub(crate) use write::write;

use crate::text::escape::escaped;
use lines::Lines;

/// Reads the rows of one file in order.
pub(crate) struct Rows<R> {
    lines: Lines<R>,
    format: Format,
    columns: Columns,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(reader: R, format: Format, columns: Columns) -> Self {
        Self { lines: Lines::new(reader), format, columns }
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

#[cfg(test)]
mod tests;
