//! Comma-separated rows, `key,value`, as in RFC 4180; bytes need not be UTF-8.
//!
//! | column | stands for |
//! |---|---|
//! | `text` | itself, up to the next comma or the end of the line; it holds no quote and no carriage return |
//! | `"text"` | itself, with commas and newlines as they are and `""` for one quote |
//!
//! The delimiter may be another character than the comma. A backslash is an ordinary character.
//!
//! Our own: the `csv` crate takes a quote that is never closed for a value that reaches to the end
//! of the file. A file cut short would be imported without a word, and read into memory from that
//! quote on.

use std::io::BufRead;

use super::lines::{Lines, ROW_BYTES_MAX, Row, RowError};

pub(super) fn read<R: BufRead>(
    lines: &mut Lines<R>,
    delimiter: u8,
    row: &mut Row,
) -> Result<(), RowError> {
    let mut at = 0;
    if !column(lines, delimiter, &mut at, &mut row.key)? {
        let others = [(b';', "';'"), (b'\t', "tab"), (b'|', "'|'")];
        let other = others.iter().find(|(other, _)| lines.text().contains(other));
        let hint = other.map_or(String::new(), |(_, name)| {
            format!("; if it is what stands between columns, add --delimiter {name}")
        });
        return Err(lines.malformed(format!("2 columns, key,value, and there is only one{hint}")));
    }
    if column(lines, delimiter, &mut at, &mut row.value)? {
        return Err(lines.malformed(
            "2 columns, key,value, and there is a third; put a value that holds commas in quotes, \
             or say with --key which column is the key",
        ));
    }
    Ok(())
}

/// All columns of the row, however many.
pub(super) fn fields<R: BufRead>(
    lines: &mut Lines<R>,
    delimiter: u8,
) -> Result<Vec<Vec<u8>>, RowError> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let mut field = Vec::new();
        let more = column(lines, delimiter, &mut at, &mut field)?;
        fields.push(field);
        if !more {
            return Ok(fields);
        }
    }
}

/// Reads the column at `at`; true if a delimiter, and so another column, follows.
fn column<R: BufRead>(
    lines: &mut Lines<R>,
    delimiter: u8,
    at: &mut usize,
    out: &mut Vec<u8>,
) -> Result<bool, RowError> {
    let text = &lines.text()[*at..];
    if text.first() == Some(&b'"') {
        quoted(lines, at, out)?;
    } else {
        let end = text.iter().position(|&byte| byte == delimiter).unwrap_or(text.len());
        if text[..end].contains(&b'\r') {
            return Err(lines.lone_return());
        }
        if text[..end].contains(&b'"') {
            return Err(lines.malformed(
                r#"quotes around a whole column, and "" for a quote that is part of it"#,
            ));
        }
        out.extend_from_slice(&text[..end]);
        *at += end;
    }
    match lines.text().get(*at) {
        None => Ok(false),
        Some(&byte) if byte == delimiter => {
            *at += 1;
            Ok(true)
        }
        Some(b'\r') => Err(lines.lone_return()),
        Some(_) => Err(lines.malformed("a comma or the end of the line after a closing quote")),
    }
}

/// Reads the quoted column at `at`, on to later lines if need be.
fn quoted<R: BufRead>(
    lines: &mut Lines<R>,
    at: &mut usize,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    let opened = lines.number;
    *at += 1;
    loop {
        let rest = &lines.line[*at..];
        if let Some(end) = rest.iter().position(|&byte| byte == b'"') {
            out.extend_from_slice(&rest[..end]);
            *at += end + 1;
            if lines.line.get(*at) != Some(&b'"') {
                return Ok(());
            }
            out.push(b'"');
            *at += 1;
        } else {
            out.extend_from_slice(rest);
            if out.len() > ROW_BYTES_MAX {
                return Err(lines.too_long());
            }
            *at = 0;
            if !lines.advance()? {
                let expected = "a closing quote before the end of the file".into();
                return Err(RowError::Lost { line: opened, expected });
            }
        }
    }
}
