//! Writes that are not in the database yet, over what a reader finds there.
//!
//! [`Overlay`] keeps them, for a transaction and for a snapshot with a batch; [`OverlayWalk`] walks
//! over a range of both. An owner may write between two steps of a walk: each step looks again.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::engine::{Batch, EngineIter, LayersCursor};
use crate::error::{Error, Result};
use crate::format::batch::ops;
use crate::format::key::Kind;
use crate::format::record::BODY_BYTES_MAX;
use crate::ids::KeyspaceId;
use crate::iter::Cursor;
use crate::segment::skips::Skipped;
use crate::value::Value;

/// The writes of one keyspace. `None` deletes.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Value>>;

/// About what a write takes beside its bytes.
const ENTRY_BYTES: usize = 96;

/// The newest write of each key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    of: BTreeMap<KeyspaceId, Writes>,
    bytes: usize,
}

/// About what a write takes in memory.
pub(crate) fn write_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    ENTRY_BYTES + key.len() + value.map_or(0, <[u8]>::len)
}

impl Overlay {
    /// Puts the operations of a batch on top, in their order.
    pub(crate) fn add(&mut self, batch: &Batch) {
        for op in ops(batch.body()) {
            let op = op.expect("the batch was encoded by this process, and never left its memory");
            let value = (op.kind == Kind::Value).then(|| Value::copy(op.value));
            self.set(op.keyspace, op.key, value);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.values().all(BTreeMap::is_empty)
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a key was set to, or that it was deleted, if it was written.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&Option<Value>> {
        self.of.get(&keyspace)?.get(key)
    }

    pub(crate) fn writes_of(&self, keyspace: KeyspaceId) -> Option<&Writes> {
        self.of.get(&keyspace)
    }

    /// The keys that were written.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (KeyspaceId, &[u8])> {
        self.of.iter().flat_map(|(&id, writes)| writes.keys().map(move |key| (id, &**key)))
    }

    /// Puts a write in the place of the one before, which it returns.
    pub(crate) fn set(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<Value>,
    ) -> Option<Option<Value>> {
        self.bytes += write_bytes(key, value.as_deref());
        let writes = self.of.entry(keyspace).or_default();
        let before = match writes.get_mut(key) {
            Some(write) => Some(std::mem::replace(write, value)),
            None => writes.insert(key.to_vec(), value),
        };
        if let Some(before) = &before {
            self.bytes -= write_bytes(key, before.as_deref());
        }
        before
    }

    /// Undoes a [`Self::set`], which has returned `before`.
    pub(crate) fn restore(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        before: Option<Option<Value>>,
    ) {
        let Some(value) = before else {
            let gone = self.of.get_mut(&keyspace).and_then(|writes| writes.remove(key));
            self.bytes -= gone.map_or(0, |value| write_bytes(key, value.as_deref()));
            return;
        };
        self.set(keyspace, key, value);
    }

    /// All of it for the log.
    pub(crate) fn encode(&self) -> Result<Batch> {
        let mut batch = Batch::new();
        for (&keyspace, writes) in &self.of {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put(keyspace, key, value),
                    None => batch.delete(keyspace, key),
                }
                if batch.body_len() > BODY_BYTES_MAX {
                    let what = format!("a transaction writes at most {BODY_BYTES_MAX} bytes");
                    return Err(Error::InvalidArgument { what });
                }
            }
        }
        Ok(batch)
    }
}

/// The values of many keys: what `written` says of a key that was written, and of the others what
/// `read` finds for all of them, at one moment. `note` hears of those.
pub(crate) fn multi_get_over<K: AsRef<[u8]>>(
    keys: impl IntoIterator<Item = K>,
    written: impl Fn(&[u8]) -> Option<Option<Value>>,
    read: impl FnOnce(&[K]) -> Result<Vec<Option<Value>>>,
    note: impl Fn(&[u8]) -> Result<()>,
) -> Result<Vec<Option<Value>>> {
    let mut values = Vec::new();
    let mut places = Vec::new();
    let mut missing = Vec::new();
    for key in keys {
        let written = written(key.as_ref());
        if written.is_none() {
            places.push(values.len());
            missing.push(key);
        }
        values.push(written.flatten());
    }
    let found = read(&missing)?;
    for ((at, key), value) in places.into_iter().zip(&missing).zip(found) {
        note(key.as_ref())?;
        values[at] = value;
    }
    Ok(values)
}

/// A walk from both ends over a range of a keyspace, with writes over it.
///
/// Each end draws one pair of the base ahead. Where the base has nothing left for one end, what the
/// other has drawn ahead is the last pair of all, and goes to whichever end asks first.
pub(crate) struct OverlayWalk {
    /// Or why there is none.
    base: Result<Box<EngineIter>>,
    /// Drawn ahead at each end.
    front: Option<(Value, Value)>,
    back: Option<(Value, Value)>,
    /// What was not given out yet: keys from here
    low: Vec<u8>,
    /// to before here, or to the end.
    high: Option<Vec<u8>>,
    ended: bool,
    /// Whether an error has ended it.
    failed: bool,
}

/// What a key comes with, or why none does.
type Step = Option<Result<(Value, Value)>>;

impl OverlayWalk {
    /// A walk over `base`, which has the keys from `low` to before `high`.
    pub(crate) fn new(base: Result<EngineIter>, low: Vec<u8>, high: Option<Vec<u8>>) -> Self {
        // Boxed: it is large, and an iterator is moved around.
        let base = base.map(Box::new);
        Self { base, front: None, back: None, low, high, ended: false, failed: false }
    }

    /// The first key that is left and its value.
    pub(crate) fn next(&mut self, writes: Option<&Writes>) -> Step {
        while !self.ended {
            if self.front.is_none() {
                let drawn = match &mut self.base {
                    Ok(base) => base.next_front(Value::copy, LayersCursor::value),
                    Err(error) => Some(Err(error.clone())),
                };
                match drawn {
                    Some(Err(error)) => return self.fail(error),
                    Some(Ok(pair)) => self.front = Some(pair),
                    None => self.front = self.back.take(),
                }
            }
            let own = self.own(writes).next();
            match pick(&mut self.front, own, Ordering::Less) {
                NextPair::Nothing => break,
                NextPair::Base(pair) => {
                    self.low = after(&pair.0);
                    return Some(Ok(pair));
                }
                NextPair::Own(key, value) => {
                    self.low = after(key);
                    if let Some(value) = value {
                        return Some(Ok((Value::copy(key), value.clone())));
                    }
                }
            }
        }
        self.ended = true;
        None
    }

    /// The last key that is left and its value.
    pub(crate) fn next_back(&mut self, writes: Option<&Writes>) -> Step {
        while !self.ended {
            if self.back.is_none() {
                let drawn = match &mut self.base {
                    Ok(base) => base.next_back(Value::copy, LayersCursor::value),
                    Err(error) => Some(Err(error.clone())),
                };
                match drawn {
                    Some(Err(error)) => return self.fail(error),
                    Some(Ok(pair)) => self.back = Some(pair),
                    None => self.back = self.front.take(),
                }
            }
            let own = self.own(writes).next_back();
            match pick(&mut self.back, own, Ordering::Greater) {
                NextPair::Nothing => break,
                NextPair::Base(pair) => {
                    self.high = Some(pair.0.to_vec());
                    return Some(Ok(pair));
                }
                NextPair::Own(key, value) => {
                    self.high = Some(key.to_vec());
                    if let Some(value) = value {
                        return Some(Ok((Value::copy(key), value.clone())));
                    }
                }
            }
        }
        self.ended = true;
        None
    }

    /// Passes over the keys before `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        if let Ok(base) = &mut self.base {
            base.seek(key);
        }
        self.resume();
        if key > &*self.low {
            self.low = key.to_vec();
            self.front.take_if(|(drawn, _)| **drawn < *key);
            self.back.take_if(|(drawn, _)| **drawn < *key);
        }
    }

    /// Passes over the keys after `key`, from the back.
    pub(crate) fn seek_back(&mut self, key: &[u8]) {
        if let Ok(base) = &mut self.base {
            base.seek_back(key);
        }
        self.resume();
        let past = after(key);
        if self.high.as_ref().is_none_or(|high| past < *high) {
            self.front.take_if(|(drawn, _)| **drawn > *key);
            self.back.take_if(|(drawn, _)| **drawn > *key);
            self.high = Some(past);
        }
    }

    /// Passes over blocks that cannot be read from now on.
    pub(crate) fn skip_damaged(&mut self) {
        if let Ok(base) = &mut self.base {
            base.skip_damaged();
            self.resume();
        }
    }

    /// What was passed over.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.base.as_ref().map_or_else(|_| Vec::new(), |base| base.skipped())
    }

    /// Ends both ends with an error.
    pub(crate) fn fail(&mut self, error: Error) -> Step {
        self.ended = true;
        self.failed = true;
        Some(Err(error))
    }

    /// Whether nothing comes any more, unless it is moved.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    fn resume(&mut self) {
        self.ended = false;
        self.failed = false;
    }

    /// The writes that are left.
    fn own<'w>(
        &self,
        writes: Option<&'w Writes>,
    ) -> impl DoubleEndedIterator<Item = (&'w Vec<u8>, &'w Option<Value>)> {
        let low = Bound::Included(&*self.low);
        let high = self.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let any = self.high.as_ref().is_none_or(|high| self.low < *high);
        let writes = writes.filter(|_| any);
        writes.into_iter().flat_map(move |writes| writes.range::<[u8], _>((low, high)))
    }
}

/// What comes next.
enum NextPair<'w> {
    Nothing,
    Base((Value, Value)),
    Own(&'w Vec<u8>, &'w Option<Value>),
}

/// Takes the pair that was drawn ahead if it comes before the write, which is when their keys
/// compare like `first`. A write of its key takes its place.
fn pick<'w>(
    drawn: &mut Option<(Value, Value)>,
    own: Option<(&'w Vec<u8>, &'w Option<Value>)>,
    first: Ordering,
) -> NextPair<'w> {
    let order = match (&*drawn, own) {
        (Some((key, _)), Some((own, _))) => (**key).cmp(own),
        _ if own.is_none() => first,
        _ => first.reverse(),
    };
    if order == first {
        return drawn.take().map_or(NextPair::Nothing, NextPair::Base);
    }
    if order.is_eq() {
        *drawn = None;
    }
    own.map_or(NextPair::Nothing, |(key, value)| NextPair::Own(key, value))
}

/// The first key behind this one.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    let mut past = Vec::with_capacity(key.len() + 1);
    past.extend_from_slice(key);
    past.push(0);
    past
}
