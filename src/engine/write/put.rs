//! The way of a write.
//!
//! 1. Outside: encode, hash the body, and wait if memory is short (`overload`).
//! 2. Inside the commit section (`mvcc::commit`; what it does there is `section`'s): refuse, or
//!    make room; take the sequences; append; insert; store `visible`.
//! 3. Outside again, for `Durability::Sync`: wait until the log is durable up to there (`sync`).
//!
//! A failed append takes no place: the log is sealed where it was, the record's header is zeroed as
//! far as the disk lets us, and the next log's header names the end. A full disk is only the
//! caller's to see. Any other failure twice in a row, without a success between, stops the writer
//! as a failed sync does.

use std::cell::RefCell;

use crate::engine::Engine;
use crate::engine::threads::log_thread::LogJob;
use crate::engine::write::holds::HoldId;
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::batch::{BatchBuffer, Control, ops};
use crate::format::hash::checksum;
use crate::format::key::{KEY_BYTES_MAX, Kind, VALUE_BYTES_MAX};
use crate::format::record::{RecordHeader, RecordKind};
use crate::ids::{KeyspaceId, LogPosition, Sequence};
use crate::options::Durability;

/// Operations encoded for the log, that commit together.
pub(crate) type Batch = BatchBuffer;

/// One entry into the commit section.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) buffer: BatchBuffer,
    pub(crate) body_len: usize,
    pub(crate) body_hash: u64,
    pub(crate) count: u32,
    pub(crate) kind: RecordKind,
    /// If set, it commits only if that holds.
    pub(crate) condition: Option<Condition>,
    /// A complete memtable and log of its own, for what is too big to share one.
    pub(crate) private: Option<super::big::Private>,
}

/// None of a write's keys has a version above `since`; or it holds its one key, which comes to the
/// same.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) since: Sequence,
    pub(crate) hold: Option<HoldId>,
}

/// Why a write did not commit.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no log to append to; the log thread has to make one first.
    NeedsLog,
    /// One of its keys may have changed since its writer looked.
    Changed,
    /// Another writer holds one of its keys.
    Held,
    /// For good.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

thread_local! {
    /// The encoding buffer of single puts, so that they allocate nothing.
    /// `None` while it is in use: an empty buffer in its place would be an allocation, for the gap.
    static SINGLE: RefCell<Option<BatchBuffer>> = const { RefCell::new(None) };
}

/// Single operations above this size do not leave their buffer behind, in bytes.
const SINGLE_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Why a write without a condition has a sequence.
const UNCONDITIONAL: &str = "only a condition refuses without an error";

impl Engine {
    /// Writes one operation. `None` deletes.
    pub(crate) fn write_one(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<&[u8]>,
        durability: Durability,
    ) -> Result<Sequence> {
        let written = self.write_one_if(keyspace, key, value, durability, None, || Ok(None))?;
        Ok(written.expect(UNCONDITIONAL))
    }

    /// [`Self::write_one`], on a condition. If that does not hold, `again` says whether to try
    /// again, with which one in its place. Until then nothing was written, but what is encoded,
    /// waited for and written ahead is so for all tries.
    pub(crate) fn write_one_if(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<&[u8]>,
        durability: Durability,
        condition: Option<Condition>,
        again: impl FnMut() -> Result<Option<Condition>>,
    ) -> Result<Option<Sequence>> {
        check_sizes(key, value.unwrap_or_default())?;
        let mut buffer = take_buffer();
        match value {
            Some(value) => buffer.put(keyspace, key, value),
            None => buffer.delete(keyspace, key),
        }
        let mut write = Write::new(buffer, RecordKind::Data);
        write.condition = condition;
        let result = self.submit(&mut write, durability, again);
        leave_buffer(write.buffer);
        result
    }

    /// Writes a batch: all of it or nothing. An empty one has no place in the order; it returns
    /// what is visible.
    pub(crate) fn write_batch(&self, batch: Batch, durability: Durability) -> Result<Sequence> {
        if batch.len_ops() == 0 {
            self.refuse_early()?;
            let visible = self.visible();
            if durability == Durability::Sync {
                self.sync_all()?;
            }
            return Ok(visible);
        }
        let mut write = Write::new(batch, RecordKind::Data);
        let written = self.submit(&mut write, durability, || Ok(None))?;
        Ok(written.expect(UNCONDITIONAL))
    }

    /// Writes a control record. Called by the log thread.
    pub(crate) fn write_control(&self, control: Control) -> Result<(Sequence, LogPosition)> {
        let mut write = Write::new(BatchBuffer::control(control), RecordKind::Control);
        let written = self.commit_write(&mut write, || self.core.make_log_here())?;
        Ok(written.expect(UNCONDITIONAL))
    }

    /// Commits a write, and waits for its sync if that is wanted. `None` if its condition does not
    /// hold and `again` has no other. On a full disk one that only deletes waits for a flush first.
    fn submit(
        &self,
        write: &mut Write,
        durability: Durability,
        mut again: impl FnMut() -> Result<Option<Condition>>,
    ) -> Result<Option<Sequence>> {
        let mut result = self.enter(write, durability, &mut again);
        if let Err(Error::StorageFull { .. }) = result
            && self.core.may_flush_for_room()
            && write.only_deletes()
            && self.flush().is_ok()
        {
            // The logs of what was flushed have left some room.
            result = self.enter(write, durability, &mut again);
        }
        if let Err(error) = &result {
            self.core.counters.stalls.refused(error);
        }
        result
    }

    fn enter(
        &self,
        write: &mut Write,
        durability: Durability,
        again: impl FnMut() -> Result<Option<Condition>>,
    ) -> Result<Option<Sequence>> {
        let cost = crate::memtable::cost(write.body_len, write.count as usize);
        self.wait_for_memory(cost, || write.only_deletes())?;
        if write.body_len > self.core.memtable_bytes() / 4 {
            write.private = Some(self.prepare_private(write)?);
        }
        let committed = self.commit_tries(write, again);
        if let Some(unused) = write.private.take() {
            unused.remove(&self.core);
        }
        let Some((last, position)) = committed? else { return Ok(None) };
        if durability == Durability::Sync {
            self.wait_synced(position)?;
        }
        Ok(Some(last))
    }

    fn commit_tries(
        &self,
        write: &mut Write,
        mut again: impl FnMut() -> Result<Option<Condition>>,
    ) -> Result<Option<(Sequence, LogPosition)>> {
        loop {
            let committed = self.commit_write(write, || self.stall_for_log())?;
            if committed.is_some() {
                return Ok(committed);
            }
            write.condition = again()?;
            if write.condition.is_none() {
                return Ok(None);
            }
        }
    }

    fn commit_write(
        &self,
        write: &mut Write,
        make_log: impl Fn() -> Result<()>,
    ) -> Result<Option<(Sequence, LogPosition)>> {
        let count = u64::from(write.count);
        loop {
            match self.commit.commit(write, count) {
                Ok(committed) => return Ok(Some(committed)),
                Err(Refused::Changed) => return Ok(None),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::NeedsLog) => make_log()?,
                Err(Refused::Held) => return self.commit_when_free(write, make_log),
            }
        }
    }

    /// [`Self::commit_write`] where another writer holds a key: as soon as it does not.
    #[cold]
    fn commit_when_free(
        &self,
        write: &mut Write,
        make_log: impl Fn() -> Result<()>,
    ) -> Result<Option<(Sequence, LogPosition)>> {
        let count = u64::from(write.count);
        self.wait_for_hold(|| {
            loop {
                match self.commit.commit(write, count) {
                    Ok(committed) => return Ok(Some(Some(committed))),
                    Err(Refused::Changed) => return Ok(Some(None)),
                    Err(Refused::Held) => return Ok(None),
                    Err(Refused::Failed(error)) => return Err(error),
                    Err(Refused::NeedsLog) => make_log()?,
                }
            }
        })
    }

    /// Waits, outside the section, until there is a spare log or the log thread has failed to make
    /// one.
    pub(crate) fn wait_for_log(&self) -> Result<()> {
        self.core.refuse_on_log_thread()?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.core.send_log(LogJob::Spare { reply: Some(reply) });
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Seals the active memtable if it holds anything, for an explicit flush and for the close.
    ///
    /// Ends the open log, so that the next write needs a spare. If there is none, this call waits
    /// for one first: it may, and that write may not. Without one it goes on all the same, on a
    /// full disk for instance.
    pub(crate) fn seal_active(&self) -> Result<()> {
        let mut waited = false;
        loop {
            let sealed = self.commit.with(|env, _| {
                let empty = env.memtable().table().is_empty();
                if empty || (!waited && env.takes_last_log()) {
                    return empty;
                }
                env.seal_log();
                env.swap_memtable();
                true
            });
            if sealed {
                return Ok(());
            }
            if let Err(error) = self.wait_for_log() {
                event!(debug, %error, "the log is sealed without a spare to follow it");
            }
            waited = true;
        }
    }
}

impl Write {
    pub(crate) fn new(mut buffer: BatchBuffer, kind: RecordKind) -> Self {
        let (body_len, count) = (buffer.body_len(), buffer.len_ops());
        let body_hash = checksum(buffer.body());
        buffer.pad();
        let (condition, private) = (None, None);
        Self { buffer, body_len, body_hash, count, kind, condition, private }
    }

    /// The encoded operations, wherever they are by now.
    pub(crate) fn body(&self) -> &[u8] {
        self.private.as_ref().map_or_else(|| self.buffer.body(), super::big::Private::body)
    }

    /// Whether it leaves fewer bytes behind than it finds. Not of one whose body is gone: a big
    /// batch that could not be written ahead.
    pub(crate) fn only_deletes(&self) -> bool {
        if self.private.is_none() && self.buffer.is_taken() {
            return false;
        }
        let body = ops(self.body());
        let deletes = body.take_while(|op| matches!(op, Ok(op) if op.kind == Kind::Tombstone));
        deletes.count() == self.count as usize
    }

    pub(crate) fn header(&self, first: Sequence, synced: LogPosition) -> RecordHeader {
        RecordHeader {
            body_len: self.body_len as u32,
            first: first.0,
            synced: synced.0,
            count: self.count,
            kind: self.kind,
        }
    }
}

/// The thread's buffer; a new one where that is in use, or gone with the thread: a destructor of
/// another thread-local may write after it.
pub(crate) fn take_buffer() -> BatchBuffer {
    SINGLE.try_with(RefCell::take).ok().flatten().unwrap_or_default()
}

/// Leaves a buffer to the next write of the thread.
pub(crate) fn leave_buffer(mut buffer: BatchBuffer) {
    buffer.clear();
    if buffer.bytes_mut().capacity() <= SINGLE_BUFFER_BYTES_MAX {
        // Where there is no next write it just goes.
        let _ = SINGLE.try_with(|single| single.replace(Some(buffer)));
    }
}

/// Refuses keys and values that the format has no room for.
pub(crate) fn check_sizes(key: &[u8], value: &[u8]) -> Result<()> {
    let refuse = |what: &str, len: usize, max: usize| {
        Err(Error::InvalidArgument {
            what: format!("a {what} has at most {max} bytes, and this one {len}"),
        })
    };
    if key.len() > KEY_BYTES_MAX {
        return refuse("key", key.len(), KEY_BYTES_MAX);
    }
    if value.len() > VALUE_BYTES_MAX {
        return refuse("value", value.len(), VALUE_BYTES_MAX);
    }
    Ok(())
}
