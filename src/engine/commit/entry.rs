//! One entry into the commit section: encoded operations, on a condition or without one.

use std::cell::RefCell;

use crate::engine::Core;
use crate::engine::commit::private::Private;
use crate::engine::commit::spans::Spans;
use crate::engine::shared::panics::stopped_by_panic;
use crate::engine::shared::patience::Stalled;
use crate::error::{Error, Result};
use crate::format::batch::{BatchBuffer, ops};
use crate::format::hash::checksum;
use crate::format::key::{KEY_BYTES_MAX, Kind, VALUE_BYTES_MAX};
use crate::format::record::{RECORD_HEADER_BYTES, RecordHeader, RecordKind, record_bytes};
use crate::ids::{KeyspaceId, LogPosition, Sequence};
use crate::mvcc::order::Broken;
use crate::sync::threads::thread_local;

/// Operations encoded for the log, that commit together.
pub(crate) type Batch = BatchBuffer;

/// One entry into the commit section.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    pub(crate) encoded: Encoded<'a>,
    pub(crate) body_len: usize,
    pub(crate) body_hash: u64,
    pub(crate) count: u32,
    pub(crate) kind: RecordKind,
    pub(crate) condition: Condition<'a>,
    /// A complete memtable and log of its own, for what is too big to share one. Boxed, so that
    /// other writes are small to move.
    pub(crate) private: Option<Box<Private>>,
    /// What its call has waited so far.
    pub(crate) stalled: Stalled,
}

/// Where the operations of a write are, as the log has them.
#[derive(Debug)]
pub(crate) enum Encoded<'a> {
    /// In a buffer of its own, which is a whole record once the header is filled in.
    Own(BatchBuffer),
    /// In the caller's batch, where they stay: in memory a long one is there once.
    Lent(&'a Batch),
}

/// On what a write commits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition<'a> {
    /// On nothing.
    None,
    /// None of its keys has a version above this sequence.
    UnchangedSince(Sequence),
    /// It holds its one key, so nobody else has written that.
    Holds(HoldId),
    /// Nothing that its transaction has read has changed.
    Reads(ReadsUnchanged<'a>),
}

/// What a transaction has read, and how much of it is known to be as it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadsUnchanged<'a> {
    pub(crate) reads: &'a Spans,
    /// None of it has a version above this sequence. `None` if all of it is held, so nobody else
    /// has written any of it.
    pub(crate) since: Option<Sequence>,
    /// What the transaction holds, if it holds anything.
    pub(crate) hold: Option<HoldId>,
}

impl Condition<'_> {
    /// Which hold the write is under.
    pub(crate) fn hold(&self) -> Option<HoldId> {
        match self {
            Self::None | Self::UnchangedSince(_) => None,
            Self::Holds(hold) => Some(*hold),
            Self::Reads(unchanged) => unchanged.hold,
        }
    }
}

/// Why a write did not commit.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no log to append to; the log thread has to make one first.
    NeedsLog,
    /// What it depends on may have changed since its writer looked.
    Changed,
    /// What it depends on is too much to look at in the section.
    TooMuch,
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

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Failed(broken.into())
    }
}

impl From<Broken> for Error {
    fn from(_: Broken) -> Self {
        // Latched by who has panicked, before others are told.
        stopped_by_panic("a write")
    }
}

thread_local! {
    /// The encoding buffer of single puts, so that they allocate nothing.
    /// `None` while it is in use: an empty buffer in its place would be an allocation, for the gap.
    static SINGLE: RefCell<Option<BatchBuffer>> = const { RefCell::new(None) };
}

/// The most bytes that the thread's buffer takes: longer operations do not leave theirs behind, and
/// longer batches are not copied. Shorter ones are, so that one write appends the record.
const SINGLE_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Which hold it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldId(pub(crate) u64);

impl<'a> Write<'a> {
    #[inline]
    pub(crate) fn new(mut buffer: BatchBuffer, kind: RecordKind) -> Self {
        let body_len = buffer.body_len();
        let count = buffer.len_ops();
        let body_hash = checksum(buffer.body());
        buffer.pad();
        let encoded = Encoded::Own(buffer);
        Self {
            encoded,
            body_len,
            body_hash,
            count,
            kind,
            condition: Condition::None,
            private: None,
            stalled: Stalled::default(),
        }
    }

    /// A batch, which stays its owner's, who may have to write it again.
    pub(crate) fn of_batch(batch: &'a Batch) -> Self {
        if batch.body_len() <= SINGLE_BUFFER_BYTES_MAX {
            let mut buffer = take_buffer();
            buffer.clone_from(batch);
            return Self::new(buffer, RecordKind::Data);
        }
        Self {
            encoded: Encoded::Lent(batch),
            body_len: batch.body_len(),
            body_hash: checksum(batch.body()),
            count: batch.len_ops(),
            kind: RecordKind::Data,
            condition: Condition::None,
            private: None,
            stalled: Stalled::default(),
        }
    }

    /// One operation, in the thread's buffer, which [`Self::leave`] gives back. No value deletes.
    #[inline]
    pub(crate) fn encode_one(
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Self> {
        check_sizes(key, value.unwrap_or_default())?;
        let mut buffer = take_buffer();
        match value {
            Some(value) => buffer.put(keyspace, key, value),
            None => buffer.delete(keyspace, key),
        }
        Ok(Self::new(buffer, RecordKind::Data))
    }

    /// Removes what was written ahead and has not become part of the log.
    pub(crate) fn give_up_private(&mut self, core: &Core) {
        if let Some(unused) = self.private.take() {
            unused.remove(core);
        }
    }

    /// Gives up what was written ahead, and the memory that is booked for it; the operations stay.
    /// For a wait for what somebody holds who may have to wait for that memory. It is to be
    /// admitted again. Returns whether there was any.
    pub(crate) fn put_back(&mut self, core: &Core) -> bool {
        let Some(unused) = self.private.take() else { return false };
        self.encoded.put_back(unused.remove(core));
        true
    }

    /// Runs a wait that counts as the write's. It gets what it has to call before it sleeps.
    pub(crate) fn wait_for_hold<T>(
        &mut self,
        core: &Core,
        wait: impl FnOnce(&mut Stalled, &mut dyn FnMut()) -> T,
    ) -> T {
        let mut stalled = std::mem::take(&mut self.stalled);
        let result = wait(&mut stalled, &mut || {
            self.put_back(core);
        });
        self.stalled = stalled;
        result
    }

    /// The encoded operations, wherever they are by now.
    pub(crate) fn body(&self) -> &[u8] {
        self.private.as_ref().map_or_else(|| self.encoded.body(), |own| own.body())
    }

    /// Leaves its buffer to the next write of the thread.
    pub(crate) fn leave(self) {
        if let Encoded::Own(buffer) = self.encoded {
            leave_buffer(buffer);
        }
    }

    /// Whether it leaves fewer bytes behind than it finds. Not of one whose body is gone: a big
    /// one that could not be written ahead.
    pub(crate) fn only_deletes(&self) -> bool {
        if self.private.is_none() && self.encoded.is_taken() {
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

impl Encoded<'_> {
    /// The operations' bytes.
    pub(crate) fn body(&self) -> &[u8] {
        match self {
            Self::Own(buffer) => buffer.body(),
            Self::Lent(batch) => batch.body(),
        }
    }

    /// The bytes of a record for a memtable to keep, header and padding included: the buffer's,
    /// which is empty then; of a lent batch a copy.
    pub(crate) fn take_record(&mut self) -> Vec<u8> {
        match self {
            Self::Own(buffer) => std::mem::take(buffer.bytes_mut()),
            Self::Lent(batch) => {
                let mut bytes = Vec::with_capacity(record_bytes(batch.body_len()));
                bytes.resize(RECORD_HEADER_BYTES, 0);
                bytes.extend_from_slice(batch.body());
                bytes.resize(record_bytes(batch.body_len()), 0);
                bytes
            }
        }
    }

    /// Undoes [`Self::take_record`]. A lent batch was not touched.
    fn put_back(&mut self, record: Vec<u8>) {
        if let Self::Own(buffer) = self {
            *buffer.bytes_mut() = record;
        }
    }

    fn is_taken(&self) -> bool {
        match self {
            Self::Own(buffer) => buffer.is_taken(),
            Self::Lent(_) => false,
        }
    }
}

/// The thread's buffer; a new one where that is in use, or gone with the thread: a destructor of
/// another thread-local may write after it.
fn take_buffer() -> BatchBuffer {
    SINGLE.try_with(RefCell::take).ok().flatten().unwrap_or_default()
}

/// Leaves a buffer to the next write of the thread.
fn leave_buffer(mut buffer: BatchBuffer) {
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
