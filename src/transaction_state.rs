//! What a transaction has read and written so far.
//!
//! Behind a cell, so that reading and writing go together: a walk over a range lasts while the
//! transaction writes. No borrow of it lasts while the caller's code runs.

use std::cell::RefCell;

use crate::engine::commit::spans::{ENTRY_BYTES, Spans};
use crate::engine::write::hold::HoldGuard;
use crate::engine::write::transaction::{AtCommit, Basis};
use crate::engine::{Engine, KeyspaceState, check_sizes};
use crate::error::{Error, Result};
use crate::ids::{KeyspaceId, Sequence};
use crate::options::{Durability, Isolation, TransactionOptions};
use crate::overlay::{Overlay, Writes, after, write_bytes};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::value::Value;

/// An open transaction, but for its snapshot.
pub(crate) struct TransactionState {
    engine: Arc<Engine>,
    /// Which one of its database it is.
    number: u64,
    /// The snapshot's sequence.
    since: Sequence,
    options: TransactionOptions,
    inner: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    overlay: Overlay,
    reads: Spans,
    /// Those that count whatever the isolation, and in a transaction without writes.
    for_update: Spans,
    /// Walks over ranges that are not over. One that was forgotten stays.
    walks: Vec<Option<Walk>>,
    /// What undoes each write since the first savepoint, in order.
    undo: Vec<UndoWrite>,
    undo_bytes: usize,
    /// The number of each savepoint that can be gone back to, and where it is in `undo`.
    savepoints: Vec<(u64, usize)>,
    savepoint_last: u64,
    /// What the engine's counter was told.
    counted: usize,
}

struct UndoWrite {
    keyspace: KeyspaceId,
    key: Vec<u8>,
    before: Option<Option<Value>>,
}

impl UndoWrite {
    fn bytes(&self) -> usize {
        write_bytes(&self.key, self.before.as_ref().and_then(Option::as_deref))
    }
}

/// How far a range was walked over: from its start, and from its end.
struct Walk {
    keyspace: KeyspaceId,
    start: Vec<u8>,
    /// The last key that came from the front.
    front: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    /// The same from the back.
    back: Option<Vec<u8>>,
    /// Whether the ends have met.
    over: bool,
}

/// Which walk it is.
#[derive(Clone, Copy)]
pub(crate) struct WalkId(usize);

/// From which end.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Front,
    Back,
}

impl Walk {
    /// What it has walked over, into `spans`. It goes on with what is left.
    fn leave(&mut self, spans: &mut Spans) {
        let end = self.end.as_deref();
        if self.over {
            return spans.add_range(self.keyspace, (&self.start, end));
        }
        if let Some(front) = self.front.take() {
            let past = after(&front);
            spans.add_range(self.keyspace, (&self.start, Some(&past)));
            self.start = past;
        }
        if let Some(back) = self.back.take() {
            spans.add_range(self.keyspace, (&back, self.end.as_deref()));
            self.end = Some(back);
        }
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.overlay.bytes() + self.undo_bytes + self.reads.bytes() + self.for_update.bytes()
    }

    fn leave_walks(&mut self) {
        self.walks.iter_mut().flatten().for_each(|walk| walk.leave(&mut self.reads));
    }

    fn set(&mut self, keyspace: KeyspaceId, key: &[u8], value: Option<Value>) {
        let before = self.overlay.set(keyspace, key, value);
        if !self.savepoints.is_empty() {
            let undo = UndoWrite { keyspace, key: key.to_vec(), before };
            self.undo_bytes += undo.bytes();
            self.undo.push(undo);
        }
    }
}

impl TransactionState {
    pub(crate) fn new(engine: Arc<Engine>, since: Sequence, options: TransactionOptions) -> Self {
        let counters = &engine.core.counters.transactions;
        counters.open.fetch_add(1, Ordering::Relaxed);
        let number = counters.begun.fetch_add(1, Ordering::Relaxed);
        Self { engine, number, since, options, inner: RefCell::default() }
    }

    pub(crate) fn options(&self) -> &TransactionOptions {
        &self.options
    }

    /// Tells it from every other of the process.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.engine.core.instance, self.number)
    }

    /// Looks at the writes of a keyspace.
    pub(crate) fn with_writes<R>(
        &self,
        keyspace: KeyspaceId,
        look: impl FnOnce(Option<&Writes>) -> R,
    ) -> R {
        look(self.inner.borrow().overlay.writes_of(keyspace))
    }

    /// What a key was set to by the transaction, or that it was deleted.
    pub(crate) fn written(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Value>> {
        self.inner.borrow().overlay.get(keyspace, key).cloned()
    }

    /// Notes that a key was read.
    pub(crate) fn note_read(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<()> {
        if self.options.isolation == Isolation::Snapshot {
            return Ok(());
        }
        self.change(ENTRY_BYTES + key.len(), |inner| inner.reads.add_key(keyspace, key))
    }

    /// Notes that a key has to be as it is at the commit.
    pub(crate) fn note_for_update(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<()> {
        self.change(ENTRY_BYTES + key.len(), |inner| inner.for_update.add_key(keyspace, key))
    }

    /// Sets or deletes a key.
    pub(crate) fn write(
        &self,
        keyspace: &KeyspaceState,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        check_sizes(key, value.unwrap_or_default())?;
        self.engine.core.refuse_early()?;
        keyspace.check_read(Some(self.since))?;
        let bytes = write_bytes(key, value);
        self.change(bytes, |inner| inner.set(keyspace.id, key, value.map(Value::copy)))
    }

    /// Makes a change that takes about as many bytes, if they are within the bound.
    fn change(&self, bytes: usize, change: impl FnOnce(&mut Kept)) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        let bytes_max = self.options.memory_bytes;
        if inner.bytes().saturating_add(bytes) > bytes_max {
            return Err(Error::TransactionTooBig { bytes_max });
        }
        change(&mut inner);
        self.count(&mut inner);
        Ok(())
    }

    /// Tells the engine what it takes by now.
    fn count(&self, inner: &mut Kept) {
        let counter = &self.engine.core.counters.transactions.bytes;
        let bytes = inner.bytes();
        match bytes.checked_sub(inner.counted) {
            Some(0) => return,
            Some(more) => counter.fetch_add(more as u64, Ordering::Relaxed),
            None => counter.fetch_sub((inner.counted - bytes) as u64, Ordering::Relaxed),
        };
        inner.counted = bytes;
    }

    /// Begins a walk from `start` to before `end`. `None` if it is not to be kept account of.
    pub(crate) fn begin_walk(
        &self,
        keyspace: KeyspaceId,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> Option<WalkId> {
        if self.options.isolation == Isolation::Snapshot {
            return None;
        }
        let walk = Walk { keyspace, start, front: None, end, back: None, over: false };
        let mut inner = self.inner.borrow_mut();
        let at = inner.walks.iter().position(Option::is_none).unwrap_or_else(|| {
            inner.walks.push(None);
            inner.walks.len() - 1
        });
        inner.walks[at] = Some(walk);
        Some(WalkId(at))
    }

    /// Refuses a step of a walk when there is too much already. What it adds, whatever it finds, is
    /// little.
    pub(crate) fn check_room(&self) -> Result<()> {
        let bytes_max = self.options.memory_bytes;
        if self.inner.borrow().bytes() > bytes_max {
            return Err(Error::TransactionTooBig { bytes_max });
        }
        Ok(())
    }

    /// Notes that a walk has come to a key.
    pub(crate) fn note_walked(&self, WalkId(at): WalkId, from: From, key: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(walk) = &mut inner.walks[at] else { return };
        let reached = match from {
            From::Front => &mut walk.front,
            From::Back => &mut walk.back,
        };
        let buffer = reached.get_or_insert_default();
        buffer.clear();
        buffer.extend_from_slice(key);
    }

    /// Notes that the ends of a walk have met.
    pub(crate) fn note_over(&self, WalkId(at): WalkId) {
        if let Some(walk) = &mut self.inner.borrow_mut().walks[at] {
            walk.over = true;
        }
    }

    /// Notes that a walk goes on elsewhere: at `start` or `end`, where these lie ahead.
    pub(crate) fn note_seek(&self, WalkId(at): WalkId, start: Option<&[u8]>, end: Option<&[u8]>) {
        let mut inner = self.inner.borrow_mut();
        let Kept { walks, reads, .. } = &mut *inner;
        let Some(walk) = &mut walks[at] else { return };
        walk.leave(reads);
        if let Some(start) = start.filter(|start| **start > *walk.start) {
            walk.start = start.to_vec();
        }
        if let Some(end) = end
            && walk.end.as_ref().is_none_or(|before| *end < **before)
        {
            walk.end = Some(end.to_vec());
        }
        self.count(&mut inner);
    }

    pub(crate) fn end_walk(&self, WalkId(at): WalkId) {
        let mut inner = self.inner.borrow_mut();
        let Some(mut walk) = inner.walks[at].take() else { return };
        walk.leave(&mut inner.reads);
        self.count(&mut inner);
    }

    /// Begins a savepoint, and returns its number.
    pub(crate) fn savepoint(&self) -> u64 {
        let mut inner = self.inner.borrow_mut();
        inner.savepoint_last += 1;
        let number = inner.savepoint_last;
        let at = inner.undo.len();
        inner.savepoints.push((number, at));
        number
    }

    /// Undoes what was written since the savepoint. Returns whether it is there.
    pub(crate) fn rollback_to(&self, number: u64) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Some(index) = inner.savepoints.iter().position(|it| it.0 == number) else {
            return false;
        };
        inner.savepoints.truncate(index + 1);
        let (_, at) = inner.savepoints[index];
        while inner.undo.len() > at
            && let Some(undo) = inner.undo.pop()
        {
            inner.undo_bytes -= undo.bytes();
            inner.overlay.restore(undo.keyspace, &undo.key, undo.before);
        }
        self.count(&mut inner);
        true
    }

    /// Commits, under the hold if there is one.
    pub(crate) fn commit(
        &self,
        durability: Durability,
        held: Option<&HoldGuard<'_>>,
    ) -> Result<Sequence> {
        let mut inner = self.inner.borrow_mut();
        let writes = inner.overlay.encode()?;
        let reads = inner.what_counts(self.options.isolation);
        let engine = &*self.engine;
        let basis = Basis::Snapshot(self.since);
        AtCommit { engine, writes: &writes, reads: &reads, basis, durability }.commit(held)
    }

    /// All that it has read and written.
    pub(crate) fn spans(&self) -> Spans {
        let mut inner = self.inner.borrow_mut();
        inner.leave_walks();
        let mut spans = inner.reads.clone();
        spans.add_all(&inner.for_update);
        inner.overlay.keys().for_each(|(keyspace, key)| spans.add_key(keyspace, key));
        spans
    }
}

impl Kept {
    /// What has to be as it was at the commit.
    fn what_counts(&mut self, isolation: Isolation) -> Spans {
        self.leave_walks();
        let mut spans = self.for_update.clone();
        match isolation {
            // One that only reads has read one moment.
            _ if self.overlay.is_empty() => {}
            Isolation::Serializable => spans.add_all(&self.reads),
            Isolation::Snapshot => {
                self.overlay.keys().for_each(|(keyspace, key)| spans.add_key(keyspace, key));
            }
        }
        spans
    }
}

impl Drop for TransactionState {
    fn drop(&mut self) {
        let counters = &self.engine.core.counters.transactions;
        counters.open.fetch_sub(1, Ordering::Relaxed);
        let counted = self.inner.get_mut().counted as u64;
        counters.bytes.fetch_sub(counted, Ordering::Relaxed);
    }
}
