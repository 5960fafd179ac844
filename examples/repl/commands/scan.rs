//! `scan` and `prefix`, `count` and `size`: commands about many keys.

use std::io::Write;

use serde_json::{Value, json};

use super::spec::{Given, Read, done};
use crate::print::output::{self, Ink, Look, Output};
use crate::rows::{Format, write as write_row};
use crate::shell::{Extent, Failure, Shell};
use crate::text::escape::{escape, escaped};
use crate::text::size::{self, bytes, counted, grouped};

/// What to print of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Show {
    #[default]
    Pairs,
    Keys,
    Values,
}

/// What `scan` or `prefix` was asked to print.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScanRequest {
    pub(crate) extent: Extent,
    pub(crate) show: Show,
    /// Whether bytes are printed as hexadecimal digits.
    pub(crate) hex: bool,
    pub(crate) reverse: bool,
    /// `None` is all.
    pub(crate) limit: Option<u64>,
    /// The snapshot to read at.
    pub(crate) at: Option<String>,
}

pub(super) fn scan(given: &mut Given) -> Read {
    let extent = Extent::Between { from: given.next(), to: given.next() };
    let request = ScanRequest::read(extent, given)?;
    done(move |shell, out| print_all(shell, &request, out))
}

pub(super) fn prefix(given: &mut Given) -> Read {
    let extent = Extent::Prefix(given.needed());
    let request = ScanRequest::read(extent, given)?;
    done(move |shell, out| print_all(shell, &request, out))
}

pub(super) fn count(given: &mut Given) -> Read {
    let extent = counted_extent(given)?;
    let at = given.text("--at")?;
    done(move |shell, out| print_count(shell, &extent, at.as_deref(), out))
}

pub(super) fn size(given: &mut Given) -> Read {
    let extent = counted_extent(given)?;
    done(move |shell, out| print_size(shell, &extent, out))
}

impl ScanRequest {
    pub(crate) fn read(extent: Extent, given: &mut Given) -> Result<Self, String> {
        let limit = given.option("--limit").map(|count| {
            size::count(&count)
                .ok_or_else(|| format!("--limit takes a number, and got {:?}", escaped(&count)))
        });
        let show = match (given.flag("--keys"), given.flag("--values")) {
            (true, true) => return Err("--keys and --values exclude each other".into()),
            (true, false) => Show::Keys,
            (false, true) => Show::Values,
            (false, false) => Show::Pairs,
        };
        Ok(Self {
            extent,
            show,
            hex: given.flag("--hex"),
            reverse: given.flag("--reverse"),
            limit: limit.transpose()?,
            at: given.text("--at")?,
        })
    }
}

/// From one key up to another, or all that begin with a prefix.
pub(crate) fn counted_extent(given: &mut Given) -> Result<Extent, String> {
    let from = given.next();
    let to = given.next();
    match (given.option("--prefix"), from.is_some()) {
        (Some(prefix), false) => Ok(Extent::Prefix(prefix)),
        (Some(_), true) => Err("--prefix and FROM exclude each other".into()),
        (None, _) => Ok(Extent::Between { from, to }),
    }
}

fn print_all(shell: &Shell, request: &ScanRequest, out: &mut Output<'_>) -> Result<(), Failure> {
    let range = shell.range(&request.extent, request.at.as_deref())?;
    if request.reverse {
        print(shell, range.rev(), request, out)
    } else {
        print(shell, range, request, out)
    }
}

fn print<V: AsRef<[u8]>>(
    shell: &Shell,
    mut pairs: impl Iterator<Item = alluvium::Result<(V, V)>>,
    request: &ScanRequest,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    // Not `take`, which counts to a `usize`.
    for printed in 0..request.limit.unwrap_or(u64::MAX) {
        if shell.interrupt.is_asked() {
            return Err(Failure::Interrupted(format!("{} printed", counted(printed, "key"))));
        }
        let Some(pair) = pairs.next() else { break };
        let (key, value) = pair?;
        line.clear();
        row(out.look, request, key.as_ref(), value.as_ref(), &mut line);
        out.write_all(&line)?;
    }
    Ok(())
}

/// Appends what is to be printed of a key.
fn row(look: Look, request: &ScanRequest, key: &[u8], value: &[u8], line: &mut Vec<u8>) {
    let keys = request.show != Show::Values;
    let values = request.show != Show::Keys;
    if look.json {
        if keys && values && !request.hex {
            return write_row(Format::JsonLines, key, value, line);
        }
        let text = |bytes: &[u8]| match request.hex {
            true => Value::String(hexadecimal(bytes)),
            false => output::bytes(bytes),
        };
        let mut object = serde_json::Map::new();
        if keys {
            object.insert("key".into(), text(key));
        }
        if values {
            object.insert("value".into(), text(value));
        }
        line.extend_from_slice(Value::Object(object).to_string().as_bytes());
        line.push(b'\n');
        return;
    }
    let text = |bytes: &[u8]| if request.hex { hexadecimal(bytes) } else { escaped(bytes) };
    if keys {
        line.extend_from_slice(look.paint(Ink::Key, &text(key)).as_bytes());
    }
    if keys && values {
        line.push(b'\t');
    }
    match (values, request.hex) {
        (true, true) => line.extend_from_slice(hexadecimal(value).as_bytes()),
        (true, false) => escape(value, line),
        (false, _) => {}
    }
    line.push(b'\n');
}

/// Two digits for each byte.
fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn print_count(
    shell: &Shell,
    extent: &Extent,
    at: Option<&str>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut count = 0_u64;
    for key in shell.range(extent, at)?.keys() {
        key?;
        count += 1;
        if shell.interrupt.is_asked() {
            return Err(Failure::Interrupted(format!("{} counted", counted(count, "key"))));
        }
    }
    out.say(&count.to_string(), || json!({"count": count}))?;
    Ok(())
}

fn print_size(shell: &Shell, extent: &Extent, out: &mut Output<'_>) -> Result<(), Failure> {
    let size = shell.keyspace.approximate_size(extent.bounds())?;
    let text = match size {
        0..1024 => format!("about {}", counted(size, "byte")),
        _ => format!("about {} bytes ({})", grouped(size), bytes(size)),
    };
    out.say(&text, || json!({"approximate_bytes": size}))?;
    Ok(())
}
