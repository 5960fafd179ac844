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

use crate::engine::Engine;
use crate::engine::shared::messages::LogJob;
use crate::engine::write::entry::{
    Batch, Condition, Refused, Write, check_sizes, leave_buffer, take_buffer,
};
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::batch::{BatchBuffer, Control};
use crate::format::record::RecordKind;
use crate::ids::{KeyspaceId, LogPosition, Sequence};
use crate::options::Durability;

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
                let empty = env.tail.memtable.table().is_empty();
                if empty || (!waited && env.tail.takes_last_log()) {
                    return empty;
                }
                env.tail.seal_log();
                env.tail.swap_memtable();
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
