//! The way of a write: encode, admit, commit, settle.
//!
//! 1. *Encode*, outside the commit section: operations as the log has them, and their hash
//!    (`entry`).
//! 2. *Admit*, outside: wait if memory is short (`overload`).
//! 3. *Commit*, inside (`mvcc::commit`; what it does there is `section`'s): refuse, or make room;
//!    take the sequences; append; insert; store `visible`. Refused for want of a log it waits
//!    outside for one, and tries again.
//! 4. *Settle*, outside: for `Durability::Sync` wait until the log is durable up to there (`sync`).
//!
//! A write on a condition goes the same way, with a loop of its own around 3 (`conditional`).
//!
//! A failed append takes no place: the log is sealed where it was, the record's header is zeroed as
//! far as the disk lets us, and the next log's header names the end. A full disk is only the
//! caller's to see. Any other failure twice in a row, without a success between, stops the writer
//! as a failed sync does.

use crate::engine::Engine;
use crate::engine::commit::entry::{Batch, Refused, Write};
use crate::engine::shared::messages::LogJob;
use crate::error::{Error, Result};
use crate::event::event;
use crate::format::batch::{BatchBuffer, Control};
use crate::format::record::RecordKind;
use crate::ids::{KeyspaceId, LogPosition, Sequence};
use crate::options::Durability;

/// The last sequence of a write that has committed, and where its record ends in the log.
pub(crate) type Committed = (Sequence, LogPosition);

impl Engine {
    /// Writes one operation. `None` deletes.
    pub(crate) fn write_one(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<&[u8]>,
        durability: Durability,
    ) -> Result<Sequence> {
        let mut write = Write::encode_one(keyspace, key, value)?;
        let written = self.write(&mut write, durability);
        write.leave();
        written
    }

    /// Writes a batch: all of it or nothing. An empty one has no place in the order; it returns
    /// what is visible.
    pub(crate) fn write_batch(&self, batch: &Batch, durability: Durability) -> Result<Sequence> {
        if batch.len_ops() == 0 {
            self.refuse_early()?;
            let visible = self.visible();
            if durability == Durability::Sync {
                self.sync_all()?;
            }
            return Ok(visible);
        }
        let mut write = Write::of_batch(batch);
        let written = self.write(&mut write, durability);
        write.leave();
        written
    }

    /// Takes an encoded write all the way.
    fn write(&self, write: &mut Write<'_>, durability: Durability) -> Result<Sequence> {
        self.with_room(write, |write| {
            self.admit(write)?;
            let committed = self.commit(write);
            self.settle(write, committed, durability)
        })
    }

    /// Waits for memory if that is short; a big batch gets a log of its own, written ahead.
    pub(crate) fn admit(&self, write: &mut Write<'_>) -> Result<()> {
        self.wait_for_memory(write)?;
        if write.body_len > self.core.memtable_bytes() / 4 {
            write.private = Some(Box::new(self.prepare_private(write)?));
        }
        Ok(())
    }

    /// Goes through the commit section, as often as it takes.
    fn commit(&self, write: &mut Write<'_>) -> Result<Committed> {
        loop {
            match self.try_commit(write) {
                Ok(committed) => return Ok(committed),
                Err(refused) => self.make_way(refused, write)?,
            }
        }
    }

    /// Waits for the sync if that is wanted. What was written ahead and did not commit goes.
    #[inline]
    pub(crate) fn settle(
        &self,
        write: &mut Write<'_>,
        committed: Result<Committed>,
        durability: Durability,
    ) -> Result<Sequence> {
        write.give_up_private(&self.core);
        let (last, position) = committed?;
        if durability == Durability::Sync {
            self.wait_synced(position)?;
        }
        Ok(last)
    }

    /// Makes an attempt to write. On a full disk one that only deletes waits for a flush, whose
    /// logs leave some room, and is made once more.
    #[inline]
    pub(crate) fn with_room<T>(
        &self,
        write: &mut Write<'_>,
        mut attempt: impl FnMut(&mut Write<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut result = attempt(write);
        if let Err(Error::StorageFull { .. }) = result
            && self.core.may_flush_for_room()
            && write.only_deletes()
            && self.flush().is_ok()
        {
            result = attempt(write);
        }
        if let Err(error) = &result {
            self.core.counters.stalls.refused(error);
        }
        result
    }

    /// Goes through the commit section once; where another writer holds a key, as soon as it does
    /// not.
    #[inline]
    pub(crate) fn try_commit(&self, write: &mut Write<'_>) -> Result<Committed, Refused> {
        match self.commit.commit(write, u64::from(write.count)) {
            Err(Refused::Held) => self.commit_when_free(write),
            tried => tried,
        }
    }

    #[cold]
    fn commit_when_free(&self, write: &mut Write<'_>) -> Result<Committed, Refused> {
        let mut stalled = std::mem::take(&mut write.stalled);
        let tried = self.wait_for_hold(&mut stalled, || {
            match self.commit.commit(write, u64::from(write.count)) {
                Err(Refused::Held) => Ok(None),
                tried => Ok(Some(tried)),
            }
        });
        write.stalled = stalled;
        tried?
    }

    /// Does what a refused write has to wait for before it is tried again.
    #[cold]
    pub(crate) fn make_way(&self, refused: Refused, write: &mut Write<'_>) -> Result<()> {
        match refused {
            Refused::NeedsLog => self.stall_for_log(&mut write.stalled),
            Refused::Failed(error) => Err(error),
            // There is nothing to wait for.
            Refused::Changed | Refused::Held => Ok(()),
        }
    }

    /// Writes a control record. Called by the log thread, which makes logs by itself.
    pub(crate) fn write_control(&self, control: Control) -> Result<Committed> {
        let mut write = Write::new(BatchBuffer::control(control), RecordKind::Control);
        loop {
            match self.try_commit(&mut write) {
                Ok(committed) => return Ok(committed),
                Err(Refused::NeedsLog) => self.core.make_log_here()?,
                Err(refused) => self.make_way(refused, &mut write)?,
            }
        }
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
