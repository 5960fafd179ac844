//! The table of commands, and what each does and prints.
//!
//! | printed by | value |
//! |---|---|
//! | `get` | as it is, if it is text; otherwise escaped |
//! | `scan`, `prefix` | `key<TAB>value`, both escaped, a line for each key |
//! | all, with `--json` | one JSON object in a line; see [`crate::print::output`] |
//!
//! Text is UTF-8 without control characters other than newline and tab. What `scan` prints can be
//! read back with `import --format tsv`. A missing key is an answer, `(not found)`, and no error,
//! unless the command is one of `-e`.

mod compact;
mod control;
mod copies;
mod data;
mod engine;
mod explain;
pub(crate) mod export;
mod formats;
mod help;
pub(crate) mod import;
mod index;
mod layers;
pub(crate) mod scan;
mod session;
pub(crate) mod spec;
pub(crate) mod table;
pub(crate) mod topics;
