//! Tab-separated rows and word lists.
//!
//! | line | row |
//! |---|---|
//! | `key<TAB>value` | that key and value, escapes of the shell undone in both |
//! | `key` | that key with the empty value |
//!
//! The line ends at a newline or a carriage return and a newline.

use std::io::BufRead;

use super::lines::{Lines, Row, RowError};
use crate::text::escape::unescape;

pub(super) fn read<R: BufRead>(lines: &Lines<R>, row: &mut Row) -> Result<(), RowError> {
    let text = lines.text();
    if text.contains(&b'\r') {
        return Err(lines.lone_return());
    }
    let (key, value) = match text.iter().position(|&byte| byte == b'\t') {
        Some(tab) => (&text[..tab], &text[tab + 1..]),
        None => (text, &[][..]),
    };
    if value.contains(&b'\t') {
        return Err(lines.malformed(r"one tab, between key and value; write \t for any other tab"));
    }
    let done = unescape(key, &mut row.key).and_then(|()| unescape(value, &mut row.value));
    done.map_err(|message| lines.malformed(format!("escapes as in the shell: {message}")))
}

/// All columns of the line, however many.
pub(super) fn fields<R: BufRead>(lines: &Lines<R>) -> Result<Vec<Vec<u8>>, RowError> {
    let text = lines.text();
    if text.contains(&b'\r') {
        return Err(lines.lone_return());
    }
    let mut fields = Vec::new();
    for column in text.split(|&byte| byte == b'\t') {
        let mut field = Vec::new();
        unescape(column, &mut field)
            .map_err(|message| lines.malformed(format!("escapes as in the shell: {message}")))?;
        fields.push(field);
    }
    Ok(fields)
}
