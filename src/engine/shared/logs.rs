//! The live logs: what the engine asks of [`LiveLogs`] besides the protocol.

use crate::ids::{LogNumber, LogPosition};
use crate::io::Fs;
use crate::log::LogFile;
use crate::mvcc::live_logs::{LiveLog, LiveLogs};
use crate::sync::Arc;

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

/// Copies that read logs, and the logs that are kept for them though no recovery needs them.
#[derive(Debug, Default)]
pub(crate) struct LogReaders {
    /// Each with the newest log that it reads.
    under_way: Vec<(u64, LogNumber)>,
    last: u64,
    kept: Vec<Arc<LogFile>>,
}

impl LogReaders {
    /// Another one, which may read any log that there is.
    pub(crate) fn begin(&mut self) -> u64 {
        self.last += 1;
        self.under_way.push((self.last, LogNumber(u64::MAX)));
        self.last
    }

    /// Says which is the newest that it reads, if any. Returns what nobody needs for that reason.
    pub(crate) fn read_up_to(
        &mut self,
        reader: u64,
        newest: Option<LogNumber>,
    ) -> Vec<Arc<LogFile>> {
        let Some(newest) = newest else { return self.end(reader) };
        self.under_way.iter_mut().filter(|(id, _)| *id == reader).for_each(|it| it.1 = newest);
        let kept = std::mem::take(&mut self.kept);
        self.keep(kept)
    }

    /// It has read them. Returns what nobody needs any more.
    pub(crate) fn end(&mut self, reader: u64) -> Vec<Arc<LogFile>> {
        self.under_way.retain(|(id, _)| *id != reader);
        let kept = std::mem::take(&mut self.kept);
        self.keep(kept)
    }

    /// Keeps those of `dead` that somebody reads, and returns the others.
    pub(crate) fn keep(&mut self, dead: Vec<Arc<LogFile>>) -> Vec<Arc<LogFile>> {
        let newest = self.under_way.iter().map(|(_, newest)| *newest).max();
        let is_read = |log: &Arc<LogFile>| newest.is_some_and(|it| log.header.number <= it);
        let (read, free) = dead.into_iter().partition(is_read);
        self.kept.extend::<Vec<_>>(read);
        free
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
