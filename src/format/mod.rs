//! Bytes to values and back: every on-disk structure has its byte table here, above its encoder.
//!
//! Touches no file, takes no lock, knows no clock. Decoders take any bytes: they never panic, never
//! allocate more than their input's length, and say what they expected and what they found.

pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod block;
pub(crate) mod coding;
pub(crate) mod current;
pub(crate) mod data_block;
pub(crate) mod edit;
pub(crate) mod filter;
pub(crate) mod footer;
pub(crate) mod hash;
pub(crate) mod index;
pub(crate) mod index_snapshot;
pub(crate) mod key;
pub(crate) mod log_header;
pub(crate) mod lz4;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod properties;
pub(crate) mod record;
pub(crate) mod segment_header;
pub(crate) mod witness;

use crate::ids::Uuid;

/// Whether the front of a file is that of a header of this database: the magic bytes, and at
/// `uuid_at` its uuid, as far as there are bytes. What is torn or damaged behind them is ours too;
/// what has not even these belongs to somebody else.
pub(crate) fn begins_like(bytes: &[u8], magic: &[u8; 8], uuid_at: usize, uuid: Uuid) -> bool {
    let there = bytes.get(uuid_at..).unwrap_or_default();
    let len = there.len().min(uuid.0.len());
    bytes.starts_with(magic) && there[..len] == uuid.0[..len]
}

/// What a decoder found wrong, before anybody knows which file the bytes came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Byte offset within the decoded bytes.
    pub(crate) at: u64,
    /// The structure that is wrong.
    pub(crate) what: &'static str,
    /// What a sound encoding would hold.
    pub(crate) expected: String,
    /// What is there.
    pub(crate) got: String,
    /// Whether it is a sound encoding of something newer, rather than damage.
    pub(crate) newer: bool,
}

impl Malformed {
    pub(crate) fn new(
        at: usize,
        what: &'static str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let expected = expected.into();
        let got = got.into();
        Self { at: at as u64, what, expected, got, newer: false }
    }

    /// Marks it as written by a newer version.
    #[must_use]
    pub(crate) fn newer(self) -> Self {
        Self { newer: true, ..self }
    }

    /// The error for the file these bytes came from, where they start at `base`.
    pub(crate) fn in_file(self, file: &std::path::Path, base: u64) -> crate::Error {
        let Self { at, what, expected, got, newer } = self;
        let file = file.to_path_buf();
        if newer {
            crate::Error::UnsupportedFormat { file, what, expected, got }
        } else {
            crate::Error::Corruption { file, offset: base.saturating_add(at), what, expected, got }
        }
    }
}
