//! Which formats there are, and what may be said of their columns.

use std::path::Path;

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
