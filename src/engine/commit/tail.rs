//! The tail of the log and the writing end of the active memtable, and how both are rotated.
//!
//! Owned by the commit section (`section`), inside which all of this runs. An append to a mapped
//! log makes no system call (D10). Else it makes one, up to three for a batch that is written from
//! where it lies, and so does taking a log into use; also where a log that is mapped has outgrown
//! its mapping. A rotation sends four messages, each of which may have to wake a thread.
//!
//! # Rotation
//!
//! When the record or the memtable does not fit: seal the log; wait for the writers that still
//! insert, so that the memtable is complete; publish a view with a spare memtable in front; write
//! the header of a spare log (number, predecessor and its end, base position, position known
//! synced, and the random salt that the spare got when it was made). A number is used once, whether
//! that write works or not. If no spare log is ready, the open log grows and so does the memtable,
//! up to the budget. Logs that are shorter than a memtable are rotated without it (D33).

use crate::engine::commit::entry::{Encoded, Refused};
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::{Core, View};
use crate::error::Error;
use crate::format::log_header::LogHeader;
use crate::format::record::{RecordHeader, record_bytes};
use crate::ids::{LogNumber, LogPosition};
use crate::iter::stretch::KeySpan;
use crate::log::{LogEnd, LogFile, LogWriter, SpareLog};
use crate::memtable::{Memtable, MemtableWriter};
use crate::mvcc::commit::Earlier;
use crate::mvcc::order::Broken;
use crate::mvcc::stretches::Book;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// The most memory that what is remembered takes: some 20,000 stretches between short keys.
const BYTES_MAX: usize = 4 << 20;

/// The part of the memory for writes that it takes at most.
const BYTES_SHARE: usize = 32;

/// How much memory what is remembered may take where writes may take `memory_bytes`.
fn bytes_max(memory_bytes: usize) -> usize {
    BYTES_MAX.min(memory_bytes / BYTES_SHARE)
}

/// The open log, the active memtable, and what is remembered on it.
#[derive(Debug)]
pub(crate) struct Tail {
    core: Arc<Core>,
    /// The open log; `None` before the first write, after a failed append and after a big batch.
    log: Option<LogWriter>,
    /// Whether there was no spare to follow the open log, or its memtable, when one was full.
    outgrown: bool,
    /// Where the log before the next one ended.
    last_log: LogEnd,
    /// Number of the next log to be taken into use.
    next_log: LogNumber,
    pub(crate) memtable: MemtableWriter,
    /// What is remembered of dead keys on the active memtable.
    pub(crate) stretches: Book<KeySpan>,
    /// Whether the last attempt to append or rotate failed for another reason than a full disk.
    failed_before: bool,
}

impl Tail {
    pub(crate) fn new(
        core: Arc<Core>,
        last_log: LogEnd,
        next_log: LogNumber,
        memtable: MemtableWriter,
    ) -> Self {
        let bytes = bytes_max(core.options.memory_bytes);
        Self {
            stretches: Book::new(memtable.table().stretches(), bytes),
            core,
            log: None,
            outgrown: false,
            last_log,
            next_log,
            memtable,
            failed_before: false,
        }
    }

    /// Makes sure that a record with a body of `body_len` and `count` operations fits: goes over to
    /// a spare log and, with it or alone, to another memtable.
    pub(crate) fn make_fit(
        &mut self,
        body_len: usize,
        count: u32,
        earlier: &Earlier<'_>,
    ) -> Result<(), Refused> {
        let bytes = record_bytes(body_len) as u64;
        let fits = self.memtable.fits(body_len, count);
        match &self.log {
            None => {
                let spare = self.core.take_spare_log().ok_or(Refused::NeedsLog)?;
                if !fits {
                    self.swap_memtable(earlier)?;
                }
                self.take_log(spare)?;
            }
            Some(log) if fits && log.fits(bytes) => {}
            Some(log) => {
                // Without a spare the log is extended and the memtable grows, up to the budget.
                let may_grow = log.may_grow(bytes) && !self.core.is_short();
                // The first logs after an open hold less than a memtable. With little room each
                // memtable ends with its log, so that a spare's room is enough to flush it.
                let first = log.is_shorter_than(self.core.log_capacity_full());
                let keeps_memtable = fits && first && !self.core.is_room_short();
                let spare = self.core.take_spare_log();
                match spare {
                    Some(spare) => {
                        self.seal_log();
                        if !keeps_memtable {
                            self.swap_memtable(earlier)?;
                        }
                        self.take_log(spare)?;
                    }
                    None if may_grow => {
                        // Once for each log, not for each write meanwhile.
                        if !std::mem::replace(&mut self.outgrown, true) {
                            self.core.want_more_spares();
                        }
                        self.core.want_spare();
                    }
                    None => return Err(Refused::NeedsLog),
                }
            }
        }
        Ok(())
    }

    /// Appends a record of these operations.
    pub(crate) fn append(
        &mut self,
        encoded: &mut Encoded<'_>,
        header: &RecordHeader,
        body_hash: u64,
    ) -> Result<LogPosition, Refused> {
        let log = self.log.as_mut().ok_or(Refused::NeedsLog)?;
        let appended = match encoded {
            Encoded::Own(buffer) => log.append(buffer.bytes_mut(), header, body_hash),
            Encoded::Lent(batch) => log.append_body(batch.body(), header, body_hash),
        };
        match appended {
            Ok(position) => {
                self.failed_before = false;
                self.core.logs.set_appended(position);
                Ok(position)
            }
            Err(error) => {
                let log = self.log.take().expect("the log was there to append to");
                self.last_log = log.seal_failed();
                // The zeroed header becomes durable before any later log counts as synced, so that
                // no recovery takes what has reached the file for a record.
                self.core.send_log(LogJob::Sealed);
                Err(self.failed(error).into())
            }
        }
    }

    /// Where the next log takes its place in the chain.
    pub(crate) fn next_place(&self) -> LogHeader {
        LogHeader {
            uuid: self.core.database,
            number: self.next_log,
            previous: self.last_log.number,
            previous_end: self.last_log.end,
            base: self.last_log.position,
            synced: self.core.group_sync.synced(),
            salt: 0,
        }
    }

    /// Takes a spare into use as the next log. A number is used once, whether it works or not.
    pub(crate) fn take_log(&mut self, spare: SpareLog) -> Result<(), Error> {
        debug_assert!(self.log.is_none(), "one log is written at a time");
        let place = self.next_place();
        self.next_log = LogNumber(self.next_log.0 + 1);
        let path = spare.path().to_path_buf();
        match spare.activate(place) {
            Ok(log) => {
                self.core.logs.push(Arc::clone(log.log()));
                self.core.logs.set_appended(log.position());
                if self.memtable.table().is_empty() {
                    self.memtable.table().set_log_first(place.number);
                }
                self.log = Some(log);
                self.outgrown = false;
                self.core.want_spare();
                Ok(())
            }
            Err(error) => {
                self.core.send_dead(LogJob::Remove(path));
                Err(self.failed(error))
            }
        }
    }

    /// Ends the open log, if there is one, at its tail.
    pub(crate) fn seal_log(&mut self) {
        if let Some(log) = self.log.take() {
            self.last_log = log.seal();
            self.core.send_log(LogJob::Sealed);
        }
    }

    /// Whether sealing the open log would leave the next write without one.
    pub(crate) fn takes_last_log(&self) -> bool {
        self.log.is_some() && !self.core.has_spare_log()
    }

    /// Seals the active memtable, once it is complete, and publishes an empty one in its place.
    pub(crate) fn swap_memtable(&mut self, earlier: &Earlier<'_>) -> Result<(), Broken> {
        earlier.wait()?;
        let (old, table) = self.next_memtable();
        old.table().seal();
        self.stretches.hand_over(table.stretches());
        self.core.gate.add(old.table().bytes() as u64);
        self.core.publish(|view| View {
            active: Arc::clone(&table),
            sealed: std::iter::once(&view.active).chain(&view.sealed).cloned().collect(),
            segments: Arc::clone(&view.segments),
            flushed: view.flushed,
        });
        self.core.send_flush(FlushJob::Sealed);
        Ok(())
    }

    /// Puts an empty memtable in the active one's place. Not published yet.
    pub(crate) fn next_memtable(&mut self) -> (MemtableWriter, Arc<Memtable>) {
        let spare = lock(&self.core.spares.memtables).pop();
        if spare.is_none() {
            self.core.want_more_spares();
        }
        let (writer, table) = spare.unwrap_or_else(|| Memtable::active(self.core.memtable_bytes()));
        self.core.active_bytes.store(0, Ordering::Relaxed);
        (std::mem::replace(&mut self.memtable, writer), table)
    }

    /// Publishes a sealed memtable that was never active, under an active one that is empty. That
    /// is replaced by another empty one: what was remembered on it spoke of all that is older, and
    /// this was not there then.
    pub(crate) fn publish_private(&mut self, private: &Arc<Memtable>) {
        debug_assert!(self.memtable.table().is_empty(), "what is newer has been sealed");
        let (_, table) = self.next_memtable();
        self.stretches.begin(table.stretches());
        self.core.publish(|view| View {
            active: Arc::clone(&table),
            sealed: std::iter::once(private).chain(&view.sealed).cloned().collect(),
            segments: Arc::clone(&view.segments),
            flushed: view.flushed,
        });
    }

    pub(crate) fn last_log_number(&self) -> LogNumber {
        self.last_log.number
    }

    /// The first log that a recovery needs for the active memtable, whether that exists yet, and a
    /// position past its header.
    pub(crate) fn first_log_of_active(&self) -> (LogNumber, bool, Option<LogPosition>) {
        if !self.memtable.table().is_empty() {
            return (self.memtable.table().log_first(), true, None);
        }
        match &self.log {
            Some(log) => (log.log().header.number, true, Some(log.position())),
            None => (self.next_log, false, None),
        }
    }

    /// Seals everything before a private log takes its place, and says which place that is.
    pub(crate) fn place_private(&mut self) -> LogHeader {
        self.seal_log();
        let place = self.next_place();
        self.next_log = LogNumber(self.next_log.0 + 1);
        place
    }

    /// Records a private log as the last one of the chain.
    pub(crate) fn private_placed(&mut self, log: Arc<LogFile>) -> LogPosition {
        let end = log.end().expect("a private log is sealed when it is activated");
        let position = log.header.base.plus(end);
        self.last_log = LogEnd { number: log.header.number, end, position };
        self.core.logs.push(log);
        self.core.logs.set_appended(position);
        self.core.send_log(LogJob::Sealed);
        self.failed_before = false;
        position
    }

    /// What a failed append or rotation means: a full disk is the caller's to see, a second failure
    /// of another kind in a row stops the writer.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        if matches!(error, Error::StorageFull { .. }) {
            return error;
        }
        if std::mem::replace(&mut self.failed_before, true) {
            self.core.group_sync.latch(error.clone());
            self.core.gate.wake();
            return Error::WriterStopped { cause: Arc::new(error) };
        }
        error
    }
}
