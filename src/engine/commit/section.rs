//! What the commit section does with a write: the checks, and its place in log and memtable.
//!
//! What has `self` runs inside the section, called by `mvcc::commit`, by one thread at a time; the
//! insert into the memtable runs outside, beside those of other writers. The log's tail and the
//! active memtable, and their rotation, are `tail`'s.

use crate::engine::commit::entry::{Condition, ReadsUnchanged, Refused, Write};
use crate::engine::commit::holds::Holds;
use crate::engine::commit::id_set::IdSet;
use crate::engine::commit::look::{Looked, Steps, has_newer, look_in_memory};
use crate::engine::commit::private::Private;
use crate::engine::commit::tail::Tail;
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::shared::own::Caller;
use crate::engine::{Core, Upkeep};
use crate::error::Error;
use crate::format::batch::{Control, Op, ops};
use crate::format::key::Kind;
use crate::format::record::{RecordHeader, RecordKind};
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, LogPosition, Sequence};
use crate::memtable::Room;
use crate::mvcc::commit::{CommitEnv, Earlier};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};

/// How many keys, ranges and versions of a transaction's reads are looked at in the section: about
/// a tenth of a millisecond. One that has read more of what is in memory holds it.
const STEPS_MAX: usize = if cfg!(test) { 16 } else { 512 };

#[cfg(test)]
thread_local! {
    /// What the next insert outside the section does first, in this thread.
    pub(crate) static INSERTING: std::cell::RefCell<Option<Box<dyn FnOnce()>>> =
        const { std::cell::RefCell::new(None) };
}

/// What the commit section owns.
#[derive(Debug)]
pub(crate) struct WriteEnv {
    core: Arc<Core>,
    pub(crate) tail: Tail,
    /// The last sequence that was taken.
    last: Sequence,
    /// The last one that a write has: a failed append spends some for nothing.
    pub(crate) appended: Sequence,
    /// The keyspaces dropped since open: writes to them are refused here, in commit order.
    pub(crate) dropped: IdSet,
    /// Keys that only one writer may write.
    pub(crate) holds: Holds,
}

impl CommitEnv for WriteEnv {
    type Write<'a> = Write<'a>;
    type Receipt = LogPosition;
    /// `None` for what is in its place when it leaves the section.
    type Place = Option<Room>;
    type Shared = Arc<Core>;
    type Error = Refused;

    fn prepare(&mut self, write: &mut Write<'_>, earlier: &Earlier<'_>) -> Result<(), Refused> {
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
        self.check_keys(write, earlier)?;
        if write.private.is_some() {
            // As for `seal_active`: a write that brings a log of its own may wait for a spare.
            return if self.tail.takes_last_log() { Err(Refused::NeedsLog) } else { Ok(()) };
        }
        self.tail.make_fit(write.body_len, write.count, earlier)
    }

    fn append(
        &mut self,
        first: Sequence,
        write: &mut Write<'_>,
        earlier: &Earlier<'_>,
    ) -> Result<LogPosition, Refused> {
        self.last = first.plus(u64::from(write.count) - 1);
        let synced = self.core.group_sync.synced();
        let header = write.header(first, synced);
        let position = match write.private {
            Some(_) => self.append_private(&header, write, earlier)?,
            None => self.tail.append(&mut write.encoded, &header, write.body_hash)?,
        };
        self.appended = self.last;
        Ok(position)
    }

    fn place(&mut self, first: Sequence, write: &mut Write<'_>) -> Option<Room> {
        if self.insert_apart(first, write) {
            return None;
        }
        let room = self.tail.memtable.place(first, own_ops(write.encoded.body()));
        self.note_written(write);
        Some(room)
    }

    fn insert_inside(&mut self, first: Sequence, write: &mut Write<'_>) {
        if self.insert_apart(first, write) {
            return;
        }
        self.tail.memtable.add(first, own_ops(write.encoded.body()));
        self.note_written(write);
    }

    fn insert(core: &Arc<Core>, place: Option<Room>, first: Sequence, write: &mut Write<'_>) {
        if let Some(room) = place {
            #[cfg(test)]
            if let Ok(Some(hook)) = INSERTING.try_with(std::cell::RefCell::take) {
                hook();
            }
            // The memtable that gave the place is not replaced before it is filled.
            core.view.load().active.fill(room, first, own_ops(write.encoded.body()));
        }
    }

    fn closed() -> Refused {
        Refused::Failed(Error::Closed)
    }

    fn panicked(core: &Arc<Core>) -> Refused {
        Refused::Failed(core.stop_after_panic("a write"))
    }
}

/// The operations of a body that this process has encoded.
fn own_ops(body: &[u8]) -> impl Iterator<Item = Op<'_>> {
    ops(body).map(|op| op.expect("the batch was encoded by this process"))
}

impl WriteEnv {
    /// `last` is the sequence that the first write follows.
    pub(crate) fn new(core: Arc<Core>, tail: Tail, last: Sequence) -> Self {
        let (dropped, holds) = Default::default();
        Self { core, tail, last, appended: last, dropped, holds }
    }

    /// Inserts what does not go into the active memtable, or not as a version. Returns whether it
    /// was such a write.
    fn insert_apart(&mut self, first: Sequence, write: &mut Write<'_>) -> bool {
        if let Some(private) = write.private.take() {
            self.insert_private(first, *private);
        } else if write.kind == RecordKind::Control {
            self.insert_control(first, write.encoded.body());
        } else {
            return false;
        }
        true
    }

    /// Cuts the stretches that new values lie in, and says what the active memtable has come to.
    fn note_written(&mut self, write: &Write<'_>) {
        let Tail { memtable, stretches, .. } = &mut self.tail;
        if stretches.has_any() {
            let values = |op: &Op<'_>| op.kind != Kind::Tombstone;
            for op in own_ops(write.encoded.body()).filter(values) {
                stretches.written(memtable.table().stretches(), (op.keyspace, op.key));
            }
        }
        self.core.active_bytes.store(memtable.table().bytes() as u64, Ordering::Relaxed);
    }

    fn check_dropped(&self, write: &Write<'_>) -> Result<(), Error> {
        if self.dropped.is_empty() || write.kind == RecordKind::Control {
            return Ok(());
        }
        for op in own_ops(write.body()) {
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

    /// Refuses a write to a key that another writer holds, and one on a condition if what it
    /// depends on may have a version that its writer has not seen (I27, I42).
    fn check_keys(&mut self, write: &Write<'_>, earlier: &Earlier<'_>) -> Result<(), Refused> {
        // A control record has no keys.
        if write.kind == RecordKind::Control {
            return Ok(());
        }
        if self.holds.any() {
            self.holds.admit(write, Caller::this)?;
        }
        match write.condition {
            Condition::None => Ok(()),
            Condition::UnchangedSince(seen) => {
                earlier.wait()?;
                self.check_unchanged(write, seen)
            }
            // Its hold is not on the list any more.
            Condition::Holds(_) if !self.holds.any() => Err(Refused::Changed),
            Condition::Holds(_) => Ok(()),
            Condition::Reads(unchanged) => self.check_reads(unchanged, earlier),
        }
    }

    /// The memtables have every version above `flushed` once all earlier writes are in, and none is
    /// added while this thread is in the section.
    fn check_unchanged(&self, write: &Write<'_>, seen: Sequence) -> Result<(), Refused> {
        let view = self.core.view.load();
        if view.flushed > seen {
            return Err(Refused::Changed);
        }
        for table in std::iter::once(&view.active).chain(&view.sealed) {
            for op in own_ops(write.body()) {
                if has_newer(table, op.keyspace, op.key, seen) {
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

    /// The same for what a transaction has read. A drop counts as a change of all keys, also under
    /// a hold, which it passes.
    fn check_reads(
        &self,
        ReadsUnchanged { reads, since, hold }: ReadsUnchanged<'_>,
        earlier: &Earlier<'_>,
    ) -> Result<(), Refused> {
        let gone = hold.is_some() && !self.holds.any();
        let dropped = |id: KeyspaceId| !self.dropped.is_empty() && self.dropped.contains(id);
        if gone || reads.keyspaces().any(dropped) {
            return Err(Refused::Changed);
        }
        let Some(since) = since.filter(|&since| self.appended > since) else { return Ok(()) };
        earlier.wait()?;
        let view = self.core.view.load();
        if view.flushed > since {
            return Err(Refused::Changed);
        }
        match look_in_memory(&view, reads, since, &mut Steps(STEPS_MAX)) {
            Looked::Unchanged => Ok(()),
            Looked::Changed(..) => Err(Refused::Changed),
            Looked::TooMuch => Err(Refused::TooMuch),
        }
    }

    /// Places the private log behind the open one, which is sealed with its memtable.
    fn append_private(
        &mut self,
        header: &RecordHeader,
        write: &mut Write<'_>,
        earlier: &Earlier<'_>,
    ) -> Result<LogPosition, Refused> {
        let body_hash = write.body_hash;
        let private = write.private.as_mut().expect("the caller looked");
        let log = private.log.take().expect("a private log is placed once");
        let path = log.path().to_path_buf();
        if !self.tail.memtable.table().is_empty() {
            self.tail.swap_memtable(earlier)?;
        }
        let place = self.tail.place_private();
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
