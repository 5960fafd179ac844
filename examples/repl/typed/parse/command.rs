//! The commands, ready to run.

use std::path::PathBuf;

use crate::commands::spec::{Spec, Topic};
use crate::rows::{Columns, Encoding, Format};
use crate::shell::Extent;

/// One command, ready to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Store { key: Vec<u8>, value: Vec<u8> },
    StoreFile { key: Vec<u8>, file: PathBuf },
    Get { key: Vec<u8>, at: Option<String>, raw: bool },
    Exists { key: Vec<u8>, at: Option<String> },
    MultiGet { keys: Vec<Vec<u8>>, at: Option<String> },
    Delete { key: Vec<u8> },
    Scan(ScanRequest),
    Count { extent: Extent, at: Option<String> },
    Size { extent: Extent },
    Keyspaces,
    Use { name: String, create: bool },
    Drop { name: String },
    Snapshot { name: Option<String> },
    Snapshots,
    Release { name: String },
    Batch,
    Commit,
    Abort,
    Import(ImportRequest),
    Export(ExportRequest),
    Source { file: PathBuf },
    Sync,
    Flush,
    Stats,
    Segments { all: bool },
    Explain { key: Vec<u8>, at: Option<String> },
    Verify,
    Compact { extent: Option<Extent> },
    PauseCompaction,
    ResumeCompaction,
    SetThreshold { bytes: u64 },
    LoadIndex,
    SaveIndexSnapshot { file: PathBuf },
    LoadIndexSnapshot { file: PathBuf },
    Help { about: Option<About> },
    Timer { on: bool },
    Exit,
}

/// What `help` is to tell about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum About {
    Command(&'static Spec),
    Topic(&'static Topic),
}

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

/// What `import` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportRequest {
    /// The file to read.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// `None` takes bytes as they are, unless they look like something else.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) columns: Columns,
    /// Whether malformed rows are left out.
    pub(crate) skip_bad: bool,
    /// Whether to print a line for each acknowledged batch.
    pub(crate) ack: bool,
    /// Whether to report progress although standard error is no terminal.
    pub(crate) progress: bool,
}

/// What `export` was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportRequest {
    /// The file to write.
    pub(crate) file: PathBuf,
    /// `None` goes by the extension of the file.
    pub(crate) format: Option<Format>,
    /// The snapshot to read at.
    pub(crate) at: Option<String>,
    /// Whether to read on over damaged blocks.
    pub(crate) skip_damaged: bool,
}
