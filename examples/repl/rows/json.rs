//! JSON lines: `{"key": "k", "value": "v"}` or `["k", "v"]` on each line, strings only.
//!
//! The members may stand in either order; a missing, repeated or other member is an error. A row
//! holds text, because a JSON string does.

use std::io::BufRead;

use serde::Deserialize;

use super::{Lines, Row, RowError};

const EXPECTED: &str = r#"an object {"key": "…", "value": "…"} or an array ["…", "…"]"#;

/// The shape of a row. The derived code takes a struct from an object and from an array.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "two strings, key and value")]
struct Pair {
    key: String,
    value: String,
}

pub(super) fn read<R: BufRead>(lines: &Lines<R>, row: &mut Row) -> Result<(), RowError> {
    let pair: Pair = serde_json::from_slice(lines.text()).map_err(|error| {
        // Its own position counts from this line, and would name line 1 each time.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        lines.malformed(format!("{EXPECTED}: {message}, at column {}", error.column()))
    })?;
    row.key.extend_from_slice(pair.key.as_bytes());
    row.value.extend_from_slice(pair.value.as_bytes());
    Ok(())
}
