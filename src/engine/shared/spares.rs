//! Memtables and log files that are prepared before a rotation needs them; `prepare` makes
//! and keeps them.

use crate::log::SpareLog;
use crate::memtable::{Memtable, MemtableWriter};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Arc, Mutex};

/// Prepared logs and memtables kept ready, of each, at least.
pub(crate) const SPARES: usize = 2;

/// What is prepared, and how much of it is wanted.
#[derive(Debug)]
pub(crate) struct Spares {
    pub(crate) logs: Mutex<Vec<SpareLog>>,
    /// One of the size before, while there may be none of another: not counted, taken last.
    pub(crate) last_resort: Mutex<Option<SpareLog>>,
    pub(crate) memtables: Mutex<Vec<(MemtableWriter, Arc<Memtable>)>>,
    /// Whether the log thread has been asked for some and has not looked yet.
    pub(crate) asked: AtomicBool,
    /// How many of each are kept ready.
    pub(crate) kept: AtomicUsize,
    /// Files that the log thread has to use again or remove.
    pub(crate) dead: AtomicUsize,
}

impl Default for Spares {
    fn default() -> Self {
        Self {
            logs: Mutex::default(),
            last_resort: Mutex::default(),
            memtables: Mutex::default(),
            asked: AtomicBool::new(false),
            kept: AtomicUsize::new(SPARES),
            dead: AtomicUsize::new(0),
        }
    }
}
