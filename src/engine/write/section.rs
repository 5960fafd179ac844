//! What the commit section owns and does: the tail of the log, the writing end of the active
//! memtable, and their rotation.
//!
//! Everything here runs inside the section, called by `mvcc::commit`, by one thread at a time. It
//! makes no system call while the log is mapped (D10); else one (the append), two where a log is
//! taken into use.
//!
//! # Rotation
//!
//! When the record or the memtable does not fit: seal the log; publish a view with a spare memtable
//! in front; write the header of a spare log (number, predecessor and its end, base position,
//! position known synced, and the random salt that the spare got when it was made). A number is
//! used once, whether that write works or not. If no spare log is ready, the open log grows and so
//! does the memtable, up to the budget. Logs that are shorter than a memtable are rotated without
//! it (D33).

use crate::engine::read::stretches::bytes_max;
use crate::engine::threads::flusher::FlushJob;
use crate::engine::threads::log_thread::LogJob;
use crate::engine::write::holds::Holds;
use crate::engine::write::id_set::IdSet;
use crate::engine::write::put::{Refused, Write};
use crate::engine::{Core, LogEnd, View, Work};
use crate::error::Error;
use crate::format::batch::{Control, ops};
use crate::format::hash::key_hash;
use crate::format::key::Kind;
use crate::format::log_header::LogHeader;
use crate::format::record::{RecordKind, record_bytes};
use crate::ids::{KEYSPACE_DEFAULT, LogNumber, LogPosition, Sequence};
use crate::iter::stretch::KeySpan;
use crate::log::{LogWriter, SpareLog};
use crate::memtable::{Memtable, MemtableWriter};
use crate::mvcc::commit::CommitEnv;
use crate::mvcc::stretches::Book;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// What the commit section owns: the tail of the log and the writing end of the active memtable.
#[derive(Debug)]
pub(crate) struct WriteEnv {
    pub(crate) core: Arc<Core>,
    /// The open log; `None` before the first write, after a failed append and after a big batch.
    log: Option<LogWriter>,
    /// Whether there was no spare to follow the open log, or its memtable, when one was full.
    outgrown: bool,
    /// Where the log before the next one ended.
    last_log: LogEnd,
    /// Number of the next log to be taken into use.
    next_log: LogNumber,
    memtable: MemtableWriter,
    /// What is remembered of dead keys on the active memtable.
    stretches: Book<KeySpan>,
    /// The last sequence that was taken.
    last: Sequence,
    /// The keyspaces dropped since open: writes to them are refused here, in commit order.
    pub(crate) dropped: IdSet,
    /// Keys that only one writer may write.
    pub(crate) holds: Holds,
    /// Whether the last attempt to append or rotate failed for another reason than a full disk.
    failed_before: bool,
}

impl CommitEnv for WriteEnv {
    type Write = Write;
    type Receipt = LogPosition;
    type Error = Refused;

    fn prepare(&mut self, write: &mut Write) -> Result<(), Refused> {
        if let Some(error) = self.core.stopped() {
            return Err(error.into());
        }
        self.check_dropped(write)?;
        // Here, where no sequence is taken yet: records of one log leave none out.
        if self.last.plus(u64::from(write.count)).0 > self.core.ceiling.load(Ordering::Acquire) {
            // The manifest could not be written for 2^31 operations; it is tried again meanwhile.
            let error = lock(&self.core.troubles)[Work::Manifest as usize].clone();
            let error = error.unwrap_or_else(|| {
                let late = std::io::ErrorKind::WouldBlock.into();
                Error::io("reserve further sequences for", &self.core.dir, late)
            });
            return Err(error.into());
        }
        self.check_keys(write)?;
        if write.private.is_some() {
            // As for `seal_active`: whoever brings a log of its own may wait for a spare.
            return if self.takes_last_log() { Err(Refused::NeedsLog) } else { Ok(()) };
        }
        let bytes = record_bytes(write.body_len) as u64;
        let fits = self.memtable.fits(write.body_len, write.count);
        match &self.log {
            None => {
                let spare = self.core.take_spare_log().ok_or(Refused::NeedsLog)?;
                if !fits {
                    self.swap_memtable();
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
                            self.swap_memtable();
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

    fn append(&mut self, first: Sequence, write: &mut Write) -> Result<LogPosition, Refused> {
        self.last = first.plus(u64::from(write.count) - 1);
        let synced = self.core.group_sync.synced();
        let header = write.header(first, synced);
        if write.private.is_some() {
            return self.append_private(&header, write);
        }
        let log = self.log.as_mut().ok_or(Refused::NeedsLog)?;
        match log.append(write.buffer.bytes_mut(), &header, write.body_hash) {
            Ok(position) => {
                self.failed_before = false;
                self.core.logs.set_appended(position);
                Ok(position)
            }
            Err(error) => {
                let log = self.log.take().expect("the log was there to append to");
                self.note_end(log.seal_failed());
                // The zeroed header becomes durable before any later log counts as synced (rule 7).
                self.core.send_log(LogJob::Sealed);
                Err(self.failed(error).into())
            }
        }
    }

    fn insert(&mut self, first: Sequence, write: &mut Write) {
        if let Some(private) = write.private.take() {
            return self.insert_private(first, private);
        }
        if write.kind == RecordKind::Control {
            return self.insert_control(first, write.buffer.body());
        }
        let mut sequence = first;
        for op in ops(write.buffer.body()) {
            let op = op.expect("the batch was encoded by this process");
            let hash = key_hash(op.keyspace, op.key);
            self.memtable.insert(op.keyspace, op.key, op.kind, op.value, sequence, hash);
            if op.kind != Kind::Tombstone {
                let on = self.memtable.table().stretches();
                self.stretches.written(on, (op.keyspace, op.key));
            }
            sequence = sequence.plus(1);
        }
        let bytes = self.memtable.table().bytes() as u64;
        self.core.active_bytes.store(bytes, Ordering::Relaxed);
    }

    fn closed() -> Refused {
        Refused::Failed(Error::Closed)
    }
}

impl WriteEnv {
    pub(crate) fn new(
        core: Arc<Core>,
        last_log: LogEnd,
        next_log: LogNumber,
        memtable: MemtableWriter,
        last: Sequence,
    ) -> Self {
        let (dropped, failed_before) = (IdSet::default(), false);
        let stretches =
            Book::new(memtable.table().stretches(), bytes_max(core.options.memory_bytes));
        let (log, outgrown) = (None, false);
        Self {
            core,
            log,
            outgrown,
            last_log,
            next_log,
            memtable,
            stretches,
            last,
            dropped,
            holds: Holds::default(),
            failed_before,
        }
    }

    pub(crate) fn stretches(&mut self) -> &mut Book<KeySpan> {
        &mut self.stretches
    }

    /// Where the next log takes its place in the chain.
    fn next_place(&self) -> LogHeader {
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
    fn take_log(&mut self, spare: SpareLog) -> Result<(), Error> {
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
                (self.log, self.outgrown) = (Some(log), false);
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
            self.note_end(log.seal());
            self.core.send_log(LogJob::Sealed);
        }
    }

    /// Whether sealing the open log would leave the next write without one.
    pub(crate) fn takes_last_log(&self) -> bool {
        self.log.is_some() && !self.core.has_spare_log()
    }

    fn note_end(&mut self, (number, end, position): (LogNumber, u64, LogPosition)) {
        self.last_log = LogEnd { number, end, position };
    }

    /// Seals the active memtable and publishes an empty one in its place.
    pub(crate) fn swap_memtable(&mut self) {
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
    }

    /// Puts an empty memtable in the active one's place. Not published yet.
    fn next_memtable(&mut self) -> (MemtableWriter, Arc<Memtable>) {
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

    pub(crate) fn memtable(&self) -> &MemtableWriter {
        &self.memtable
    }

    /// Seals everything before a private log takes its place, and says which place that is.
    pub(crate) fn place_private(&mut self) -> LogHeader {
        self.seal_log();
        let place = self.next_place();
        self.next_log = LogNumber(self.next_log.0 + 1);
        place
    }

    /// Records a private log as the last one of the chain.
    pub(crate) fn private_placed(&mut self, log: Arc<crate::log::LogFile>) -> LogPosition {
        let end = log.end().expect("a private log is sealed when it is activated");
        let position = log.header.base.plus(end);
        self.note_end((log.header.number, end, position));
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

    fn check_dropped(&self, write: &Write) -> Result<(), Error> {
        if self.dropped.is_empty() || write.kind == RecordKind::Control {
            return Ok(());
        }
        for op in ops(write.body()) {
            let op = op.expect("the batch was encoded by this process");
            if op.keyspace != KEYSPACE_DEFAULT && self.dropped.contains(op.keyspace) {
                return Err(self.core.keyspaces.dropped_error(op.keyspace));
            }
        }
        Ok(())
    }

    fn insert_control(&mut self, at: Sequence, body: &[u8]) {
        let control = Control::decode(body).expect("the record was encoded by this process");
        let Control::DropKeyspace(id) = control;
        self.memtable.table().add_drop(id, at);
        self.core.keyspaces.mark_dropped(id, at);
        self.dropped.insert(id);
    }
}
