//! JSON lines: `{"key": "k", "value": "v"}` or `["k", "v"]` on each line.
//!
//! The members may stand in either order; a missing, repeated or other member is an error. Each of
//! the two is a string or, for bytes that are not UTF-8, an object `{"base64": "…"}` (RFC 4648,
//! standard alphabet, with padding). Writers use the string wherever they can.

use std::fmt;
use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::lines::{Lines, Row, RowError};
use crate::text::escape::escaped;

const EXPECTED: &str = r#"an object {"key": "…", "value": "…"} or an array ["…", "…"]"#;

/// The shape of a row. The derived code takes a struct from an object and from an array.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "two strings, key and value")]
struct Pair {
    key: Owned,
    value: Owned,
}

pub(super) fn read<R: BufRead>(lines: &Lines<R>, row: &mut Row) -> Result<(), RowError> {
    let pair: Pair = serde_json::from_slice(lines.text()).map_err(|error| {
        // Its own position counts from this line, and would name line 1 each time.
        complaint(lines, EXPECTED, &error)
    })?;
    row.key = pair.key.0;
    row.value = pair.value.0;
    Ok(())
}

/// Takes the key from a member of the object, and the whole object as the value.
pub(super) fn read_member<R: BufRead>(
    lines: &Lines<R>,
    name: &[u8],
    row: &mut Row,
) -> Result<(), RowError> {
    let text = lines.text();
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(text).map_err(|error| complaint(lines, "an object", &error))?;
    let member = std::str::from_utf8(name).ok().and_then(|name| object.get(name));
    row.key = match member {
        Some(serde_json::Value::String(text)) => text.as_bytes().to_vec(),
        Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
            value.to_string().into_bytes()
        }
        _ => {
            let name = escaped(name);
            return Err(lines.malformed(format!("an object with a text or a number as {name}")));
        }
    };
    row.value = text.trim_ascii().to_vec();
    Ok(())
}

fn complaint<R: BufRead>(lines: &Lines<R>, expected: &str, error: &serde_json::Error) -> RowError {
    if lines.text().contains(&b'\r') {
        return lines.lone_return();
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    lines.malformed(format!("{expected}: {message}, at column {}", error.column()))
}

/// Any bytes as a JSON value.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(self.0))?;
        map.end()
    }
}

/// What [`Bytes`] wrote.
struct Owned(Vec<u8>);

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OwnedVisitor)
    }
}

struct OwnedVisitor;

impl<'de> Visitor<'de> for OwnedVisitor {
    type Value = Owned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a string or {"base64": "…"}"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Owned, E> {
        Ok(Owned(text.into()))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Owned, M::Error> {
        let Some("base64") = map.next_key::<String>()?.as_deref() else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        let bytes = STANDARD.decode(map.next_value::<String>()?).map_err(de::Error::custom)?;
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        Ok(Owned(bytes))
    }
}
