//! What a recovery knows of the logs before it reads them: from the manifest and the witness.

use std::path::PathBuf;

use crate::ids::{LogNumber, LogPosition, Sequence, Uuid};

/// What manifest and witness say about the logs.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) database: Uuid,
    /// Logs below are dead.
    pub(crate) floor: LogNumber,
    /// Whether the log at the floor must exist.
    pub(crate) floor_exists: bool,
    /// No operation has a sequence above.
    pub(crate) ceiling: Sequence,
    /// Logs that were known to be there, and up to which position all was durable then.
    pub(crate) durable: Vec<(LogNumber, LogPosition)>,
    /// The file that says so.
    pub(crate) witness: PathBuf,
    /// Whether files are opened for writing too, so that they can be healed and synced later.
    pub(crate) writable: bool,
}

impl Expected {
    /// The logs of the witness that a recovery still needs.
    pub(super) fn needed(&self) -> impl Iterator<Item = (LogNumber, LogPosition)> {
        self.durable.iter().copied().filter(|(log, _)| *log >= self.floor)
    }

    /// The highest position in them that was durable.
    pub(super) fn synced(&self) -> LogPosition {
        self.needed().map(|(_, synced)| synced).max().unwrap_or_default()
    }
}
