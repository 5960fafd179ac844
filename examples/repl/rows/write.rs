//! Rows written: what `export`, `scan` and `--json` print, each line read back by `import`.
//!
//! | format | a row |
//! |---|---|
//! | tab-separated | key and value with the escapes of the shell |
//! | CSV | a column in quotes only if it has to be |
//! | JSON lines | `{"key": …, "value": …}`, each a string, or `{"base64": "…"}` if it is not UTF-8 |

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::format::Format;
use super::json;
use crate::text::escape::escape;

/// Appends the row with its newline to `out`.
pub(crate) fn write(format: Format, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match format {
        Format::Tsv => {
            escape(key, out);
            out.push(b'\t');
            escape(value, out);
        }
        Format::Csv => {
            column(key, b',', out);
            out.push(b',');
            column(value, b',', out);
        }
        Format::JsonLines => {
            let row = Row { key: json::Bytes(key), value: json::Bytes(value) };
            serde_json::to_writer(&mut *out, &row).expect("a vector takes all that is written");
        }
    }
    out.push(b'\n');
}

/// Appends what is left of a row with several columns once its key is taken out.
pub(super) fn others(format: Format, delimiter: u8, columns: &[Vec<u8>], out: &mut Vec<u8>) {
    for (number, bytes) in columns.iter().enumerate() {
        if number > 0 {
            out.push(delimiter);
        }
        match format {
            Format::Tsv => escape(bytes, out),
            Format::Csv | Format::JsonLines => column(bytes, delimiter, out),
        }
    }
}

struct Row<'a> {
    key: json::Bytes<'a>,
    value: json::Bytes<'a>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("value", &self.value)?;
        map.end()
    }
}

fn column(bytes: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    // A reader takes U+FEFF at the start of a file for a byte order mark and drops it.
    let special = |byte| byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n');
    if !bytes.iter().copied().any(special) && !bytes.starts_with(b"\xef\xbb\xbf") {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    for &byte in bytes {
        if byte == b'"' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
