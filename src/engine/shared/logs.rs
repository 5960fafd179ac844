//! The live logs.

use std::collections::VecDeque;

use crate::ids::LogPosition;
use crate::io::Fs;
use crate::log::LogFile;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// The chain of logs that a recovery would need, oldest first, and how far it reaches.
#[derive(Debug)]
pub(crate) struct Logs {
    live: Mutex<VecDeque<Arc<LogFile>>>,
    /// Where the log ended at the open.
    began: LogPosition,
    /// Everything below was appended. Stored inside the commit section.
    appended: AtomicU64,
}

impl Logs {
    pub(crate) fn new(live: VecDeque<Arc<LogFile>>, appended: LogPosition) -> Self {
        Self { live: Mutex::new(live), began: appended, appended: AtomicU64::new(appended.0) }
    }

    /// Adds the newest log, before any position in it is published.
    pub(crate) fn push(&self, log: Arc<LogFile>) {
        lock(&self.live).push_back(log);
    }

    /// Publishes how far the log reaches.
    pub(crate) fn set_appended(&self, position: LogPosition) {
        // Release; pairs with the Acquire in `appended`: a thread that reads the position finds its
        // log.
        self.appended.store(position.0, Ordering::Release);
    }

    pub(crate) fn appended(&self) -> LogPosition {
        LogPosition(self.appended.load(Ordering::Acquire))
    }

    /// Bytes appended since the open.
    pub(crate) fn written(&self) -> u64 {
        self.appended().0.saturating_sub(self.began.0)
    }

    /// How many there are that the open found.
    pub(crate) fn recovered(&self) -> usize {
        // They are the oldest.
        lock(&self.live).iter().take_while(|log| log.was_recovered()).count()
    }

    pub(crate) fn list(&self) -> Vec<Arc<LogFile>> {
        lock(&self.live).iter().cloned().collect()
    }

    /// Whether somebody else has removed the newest log.
    pub(crate) fn newest_removed(&self, fs: &dyn Fs) -> bool {
        let newest = lock(&self.live).back().cloned();
        let Some(newest) = newest.filter(|log| log.file.was_removed(fs)) else { return false };
        // Those that the engine removes have left the list before.
        self.is_live(&newest)
    }

    /// Whether a recovery would still need it.
    pub(crate) fn is_live(&self, log: &Arc<LogFile>) -> bool {
        lock(&self.live).iter().any(|other| Arc::ptr_eq(log, other))
    }

    /// Gives up what sealed logs need for appending only.
    pub(crate) fn release_sealed(&self) {
        self.list().iter().for_each(|log| log.release());
    }

    /// Takes out the logs below `floor`.
    pub(crate) fn retire_below(&self, floor: crate::ids::LogNumber) -> Vec<Arc<LogFile>> {
        let mut live = lock(&self.live);
        let keep = live.iter().position(|log| log.header.number >= floor).unwrap_or(live.len());
        live.drain(..keep).collect()
    }
}
