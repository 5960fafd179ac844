//! What the commit section does with a write: the checks, and its place in log and memtable.
//!
//! Everything here runs inside the section, called by `mvcc::commit`, by one thread at a time. The
//! log's tail and the active memtable, and their rotation, are `tail`'s.

use crate::engine::commit::entry::{Condition, Refused, Write};
use crate::engine::commit::holds::Holds;
use crate::engine::commit::id_set::IdSet;
use crate::engine::commit::private::Private;
use crate::engine::commit::tail::Tail;
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::shared::own::Caller;
use crate::engine::{Core, Upkeep};
use crate::error::Error;
use crate::format::batch::{Control, ops};
use crate::format::hash::key_hash;
use crate::format::key::Kind;
use crate::format::record::{RecordHeader, RecordKind};
use crate::ids::{KEYSPACE_DEFAULT, LogPosition, SEQUENCE_MAX, Sequence};
use crate::mvcc::commit::CommitEnv;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// What the commit section owns.
#[derive(Debug)]
pub(crate) struct WriteEnv {
    core: Arc<Core>,
    pub(crate) tail: Tail,
    /// The last sequence that was taken.
    last: Sequence,
    /// The keyspaces dropped since open: writes to them are refused here, in commit order.
    pub(crate) dropped: IdSet,
    /// Keys that only one writer may write.
    pub(crate) holds: Holds,
}

impl CommitEnv for WriteEnv {
    type Write<'a> = Write<'a>;
    type Receipt = LogPosition;
    type Error = Refused;

    fn prepare(&mut self, write: &mut Write<'_>) -> Result<(), Refused> {
        if let Some(error) = self.core.stopped() {
            return Err(error.into());
        }
        self.check_dropped(write)?;
        // Here, where no sequence is taken yet: records of one log leave none out.
        // Acquire; pairs with the Release in `renew_ceiling`: the edit that has reserved what is
        // taken here was synced before (I16).
        if self.last.plus(u64::from(write.count)).0 > self.core.ceiling.load(Ordering::Acquire) {
            // The manifest could not be written for 2^31 operations; it is tried again meanwhile.
            let error = lock(&self.core.troubles)[Upkeep::Manifest as usize].clone();
            let error = error.unwrap_or_else(|| {
                let late = std::io::ErrorKind::WouldBlock.into();
                Error::io("reserve further sequences for", &self.core.dir, late)
            });
            return Err(error.into());
        }
        self.check_keys(write)?;
        if write.private.is_some() {
            // As for `seal_active`: a write that brings a log of its own may wait for a spare.
            return if self.tail.takes_last_log() { Err(Refused::NeedsLog) } else { Ok(()) };
        }
        self.tail.make_fit(write.body_len, write.count)
    }

    fn append(&mut self, first: Sequence, write: &mut Write<'_>) -> Result<LogPosition, Refused> {
        self.last = first.plus(u64::from(write.count) - 1);
        let synced = self.core.group_sync.synced();
        let header = write.header(first, synced);
        if write.private.is_some() {
            return self.append_private(&header, write);
        }
        self.tail.append(&mut write.encoded, &header, write.body_hash)
    }

    fn insert(&mut self, first: Sequence, write: &mut Write<'_>) {
        if let Some(private) = write.private.take() {
            return self.insert_private(first, *private);
        }
        if write.kind == RecordKind::Control {
            return self.insert_control(first, write.encoded.body());
        }
        let mut sequence = first;
        for op in ops(write.encoded.body()) {
            let op = op.expect("the batch was encoded by this process");
            let hash = key_hash(op.keyspace, op.key);
            self.tail.memtable.insert(op.keyspace, op.key, op.kind, op.value, sequence, hash);
            if op.kind != Kind::Tombstone {
                let on = self.tail.memtable.table().stretches();
                self.tail.stretches.written(on, (op.keyspace, op.key));
            }
            sequence = sequence.plus(1);
        }
        let bytes = self.tail.memtable.table().bytes() as u64;
        self.core.active_bytes.store(bytes, Ordering::Relaxed);
    }

    fn closed() -> Refused {
        Refused::Failed(Error::Closed)
    }
}

impl WriteEnv {
    /// `last` is the sequence that the first write follows.
    pub(crate) fn new(core: Arc<Core>, tail: Tail, last: Sequence) -> Self {
        Self { core, tail, last, dropped: IdSet::default(), holds: Holds::default() }
    }

    fn check_dropped(&self, write: &Write<'_>) -> Result<(), Error> {
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
        self.tail.memtable.table().add_drop(id, at);
        self.core.keyspaces.mark_dropped(id, at);
        self.dropped.insert(id);
    }

    /// Refuses a write to a key that another writer holds, and a conditional one if one of its keys
    /// may have a version that its writer has not seen (I27).
    fn check_keys(&mut self, write: &Write<'_>) -> Result<(), Refused> {
        // A control record has no keys.
        if write.kind == RecordKind::Control {
            return Ok(());
        }
        if self.holds.any() && self.holds.passes(write, Caller::this)? {
            return Ok(());
        }
        match write.condition {
            Condition::None => Ok(()),
            Condition::UnchangedSince(seen) => self.check_unchanged(write, seen),
            // Its hold is not on the list any more.
            Condition::Holds(_) => Err(Refused::Changed),
        }
    }

    /// The memtables have every version above `flushed`, and none is added while this thread is in
    /// the section.
    fn check_unchanged(&self, write: &Write<'_>, seen: Sequence) -> Result<(), Refused> {
        let view = self.core.view.load();
        if view.flushed > seen {
            return Err(Refused::Changed);
        }
        for table in std::iter::once(&view.active).chain(&view.sealed) {
            for op in ops(write.body()) {
                let op = op.expect("the batch was encoded by this process");
                let hash = key_hash(op.keyspace, op.key);
                let newest = table.get(op.keyspace, op.key, hash, SEQUENCE_MAX);
                if newest.is_some_and(|newest| newest.sequence > seen) {
                    return Err(Refused::Changed);
                }
            }
            // Newest first: what is in older ones comes before all that is in this one (I6).
            if table.smallest_sequence().is_some_and(|smallest| smallest <= seen) {
                break;
            }
        }
        Ok(())
    }

    /// Places the private log behind the open one, which is sealed with its memtable.
    fn append_private(
        &mut self,
        header: &RecordHeader,
        write: &mut Write<'_>,
    ) -> Result<LogPosition, Refused> {
        let body_hash = write.body_hash;
        let private = write.private.as_mut().expect("the caller looked");
        let log = private.log.take().expect("a private log is placed once");
        let path = log.path().to_path_buf();
        let place = self.tail.place_private();
        if !self.tail.memtable.table().is_empty() {
            self.tail.swap_memtable();
        }
        match log.activate_with_record(place, header, body_hash) {
            Ok(log) => Ok(self.tail.private_placed(log)),
            Err(error) => {
                self.core.send_dead(LogJob::Remove(path));
                Err(self.tail.failed(error).into())
            }
        }
    }

    /// Publishes the private memtable as the newest sealed one.
    fn insert_private(&mut self, first: Sequence, private: Private) {
        let mut table = private.table;
        table.set_base(first);
        table.set_log_first(self.tail.last_log_number());
        let table = Arc::new(table);
        private.reserved.keep();
        self.tail.publish_private(&table);
        self.core.send_flush(FlushJob::Sealed);
    }
}
