//! The live logs: what the engine asks of [`LiveLogs`] besides the protocol.

use crate::ids::{LogNumber, LogPosition};
use crate::io::Fs;
use crate::log::LogFile;
use crate::mvcc::live_logs::{LiveLog, LiveLogs};

/// The chain of logs that a recovery would need, oldest first, and how far it reaches.
pub(crate) type Logs = LiveLogs<LogFile>;

impl LiveLog for LogFile {
    fn number(&self) -> LogNumber {
        self.header.number
    }

    fn base(&self) -> LogPosition {
        self.header.base
    }

    fn sealed_at(&self) -> Option<LogPosition> {
        self.end_position()
    }

    fn owes_sync(&self) -> bool {
        self.needs_sync()
    }
}

impl Logs {
    /// How many there are that the open found.
    pub(crate) fn recovered(&self) -> usize {
        // They are the oldest.
        self.count_oldest(LogFile::was_recovered)
    }

    /// Whether somebody else has removed the newest log.
    pub(crate) fn newest_removed(&self, fs: &dyn Fs) -> bool {
        let newest = self.newest().filter(|log| log.file.was_removed(fs));
        // Those that the engine removes have left the list before.
        newest.is_some_and(|newest| self.is_live(&newest))
    }

    /// Gives up what sealed logs need for appending only.
    pub(crate) fn release_sealed(&self) {
        self.list().iter().for_each(|log| log.release());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// I8: what is published as appended lies in a log that a sync finds.
    #[test]
    #[should_panic(expected = "a position in a log that is not listed")]
    fn a_position_is_published_after_its_log() {
        Logs::new(VecDeque::new(), LogPosition(0)).set_appended(LogPosition(4096));
    }
}
