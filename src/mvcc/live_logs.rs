//! The live logs, how far the log reaches, and what a sync of it covers.
//!
//! The commit section lists logs and says how far they are appended to; the leader of the group
//! sync reads that and makes them durable; a flush takes out those that it has made needless. What
//! syncing a log is, and where its file is, are the caller's business.

use std::collections::VecDeque;

use crate::ids::{LogNumber, LogPosition, Sequence};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What a leader asks a log. The positions of a log follow those of the one before it.
pub(crate) trait LiveLog {
    /// Its place in the chain.
    fn number(&self) -> LogNumber;

    /// Where it begins.
    fn base(&self) -> LogPosition;

    /// Where it was sealed, if it was.
    fn sealed_at(&self) -> Option<LogPosition>;

    /// Whether it has to be synced whatever was synced of it ([`super::seal`]).
    fn owes_sync(&self) -> bool;
}

/// The chain of logs that a recovery would need, oldest first, and how far it reaches.
///
/// Appending, in the commit section:
/// 1. of a new log: write its header, list it, and store the position behind the header;
/// 2. append; store the position behind the record;
/// 3. store `visible` (that is [`super::commit`]'s).
///
/// Syncing all, in the one leader:
/// 1. read `visible`: what is visible has been appended, so that it is durable in the end;
/// 2. read the position;
/// 3. copy the list: it holds every log that the position reaches into, but for those that a flush
///    has made needless;
/// 4. sync those, oldest first, that are not known to be durable: of the open one what the position
///    covers.
///
/// Flushing: 1. make durable what the logs hold, and the word that a recovery begins behind them;
/// 2. take them out of the list; 3. let their files go. A sync that fails for a log that has left
/// the list meanwhile has found its file gone, and nobody needs what it held.
#[derive(Debug)]
pub(crate) struct LiveLogs<L> {
    live: Mutex<VecDeque<Arc<L>>>,
    /// Where the log ended at the open.
    began: LogPosition,
    /// Everything below was appended. Stored inside the commit section.
    appended: AtomicU64,
}

/// What a sync of all logs has made durable.
#[derive(Debug)]
pub(crate) struct Covered<L> {
    /// Everything below it.
    pub(crate) position: LogPosition,
    /// Everything up to it.
    pub(crate) visible: Sequence,
    /// The newest log that it reaches into, unless none is live.
    pub(crate) newest: Option<Arc<L>>,
}

impl<L> LiveLogs<L> {
    /// These logs, which end at `appended`.
    pub(crate) fn new(live: VecDeque<Arc<L>>, appended: LogPosition) -> Self {
        Self { live: Mutex::new(live), began: appended, appended: AtomicU64::new(appended.0) }
    }

    /// Adds the newest log, before any position in it is published.
    pub(crate) fn push(&self, log: Arc<L>) {
        lock(&self.live).push_back(log);
    }

    /// How far the log reaches: a log that is listed later holds nothing below this.
    pub(crate) fn appended(&self) -> LogPosition {
        // Acquire; pairs with the Release in `set_appended`.
        LogPosition(self.appended.load(Ordering::Acquire))
    }

    /// Bytes appended since the open.
    pub(crate) fn written(&self) -> u64 {
        self.appended().0.saturating_sub(self.began.0)
    }

    /// All that are live at this moment, oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<L>> {
        lock(&self.live).iter().cloned().collect()
    }

    /// The newest of them.
    pub(crate) fn newest(&self) -> Option<Arc<L>> {
        lock(&self.live).back().cloned()
    }

    /// How many of the oldest `f` is true for.
    pub(crate) fn count_oldest(&self, f: impl Fn(&L) -> bool) -> usize {
        lock(&self.live).iter().take_while(|log| f(log)).count()
    }

    /// Whether a recovery would still need it.
    pub(crate) fn is_live(&self, log: &Arc<L>) -> bool {
        lock(&self.live).iter().any(|other| Arc::ptr_eq(log, other))
    }
}

impl<L: LiveLog> LiveLogs<L> {
    /// Publishes how far the log reaches.
    pub(crate) fn set_appended(&self, position: LogPosition) {
        // Or a sync would take the position for durable and not have synced the log. The models
        // look for themselves.
        #[cfg(all(test, not(loom)))]
        assert!(self.reaches(position), "a position in a log that is not listed");
        // Release; pairs with the Acquire in `appended`: a thread that reads the position finds its
        // log, and what was appended to it.
        self.appended.store(position.0, Ordering::Release);
    }

    /// Whether a position lies in the newest log.
    #[cfg(all(test, not(loom)))]
    fn reaches(&self, position: LogPosition) -> bool {
        let newest = self.newest().filter(|log| log.base() < position);
        newest.is_some_and(|log| log.sealed_at().is_none_or(|end| position <= end))
    }

    /// Takes out the logs below `floor`: step 2 of a flush.
    pub(crate) fn retire_below(&self, floor: LogNumber) -> Vec<Arc<L>> {
        let mut live = lock(&self.live);
        let keep = live.iter().position(|log| log.number() >= floor).unwrap_or(live.len());
        live.drain(..keep).collect()
    }

    /// Makes everything appended by now durable, above `synced`, which is so already. `sync` makes
    /// one log durable below a position.
    pub(crate) fn sync_all<E>(
        &self,
        synced: LogPosition,
        visible: impl FnOnce() -> Sequence,
        mut sync: impl FnMut(&Arc<L>, LogPosition) -> Result<(), E>,
    ) -> Result<Covered<L>, E> {
        let visible = visible();
        let position = self.appended();
        let mut newest = None;
        for log in self.list() {
            // One that came after the position holds nothing that it covers.
            if log.base() < position {
                self.sync_one(&log, synced, |log| sync(log, position))?;
                newest = Some(log);
            }
        }
        Ok(Covered { position, visible, newest })
    }

    /// Makes the sealed logs durable up to `end`, where one of them ends, and leaves the open one
    /// alone. Returns the newest of them that is live.
    pub(crate) fn sync_sealed<E>(
        &self,
        synced: LogPosition,
        end: LogPosition,
        mut sync: impl FnMut(&Arc<L>, LogPosition) -> Result<(), E>,
    ) -> Result<Option<Arc<L>>, E> {
        let mut newest = None;
        for log in self.list() {
            if log.sealed_at().is_some_and(|at| at <= end) {
                self.sync_one(&log, synced, |log| sync(log, end))?;
                newest = Some(log);
            }
        }
        Ok(newest)
    }

    /// Step 4 for one log.
    pub(crate) fn sync_one<E>(
        &self,
        log: &Arc<L>,
        synced: LogPosition,
        sync: impl FnOnce(&Arc<L>) -> Result<(), E>,
    ) -> Result<(), E> {
        if log.sealed_at().is_some_and(|end| end <= synced) && !log.owes_sync() {
            return Ok(());
        }
        match sync(log) {
            // A flush has made durable what it held.
            Err(_) if !self.is_live(log) => Ok(()),
            synced => synced,
        }
    }

    /// Where the last of the next `most` sealed logs ends that are not known to be durable, and
    /// whether there are more of them.
    pub(crate) fn sealed_end(
        &self,
        synced: LogPosition,
        most: usize,
    ) -> Option<(LogPosition, bool)> {
        let live = lock(&self.live);
        let mut ends = live.iter().map_while(|log| log.sealed_at()).filter(|&end| end > synced);
        let end = ends.by_ref().take(most).last()?;
        Some((end, ends.next().is_some()))
    }
}

#[cfg(all(test, loom))]
mod models;
