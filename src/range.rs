//! [`Range`]: the iterator over keys and values.

use std::fmt;
use std::iter::FusedIterator;

use crate::engine::{Engine, EngineIter, KeyspaceState, ReadAt};
use crate::error::{Error, Result};
use crate::iter::range::Bounds;
use crate::sync::Arc;
use crate::value::Value;

/// Keys and values in bytewise order of the keys, from [`Db::range`](crate::Db::range) and its kin.
///
/// Owned, `Send`, double-ended and fused. Going backward costs about what going forward does,
/// except in the active memtable, where each step back is a search. After an error it keeps
/// returning that error. While it lives it keeps the memtables and segment files that it may still
/// read.
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Range(State);

enum State {
    // Boxed: the two cursors with their buffers are large, and an iterator is moved around.
    Live(Box<EngineIter>),
    Failed(Error),
}

impl Range {
    pub(crate) fn open(
        engine: &Arc<Engine>,
        keyspace: Option<&KeyspaceState>,
        bounds: Bounds,
        at: ReadAt,
    ) -> Self {
        let open = if at == ReadAt::Now { engine.check_open() } else { Ok(()) };
        match open.and_then(|()| engine.iter(keyspace, bounds, at)) {
            Ok(iter) => Self(State::Live(Box::new(iter))),
            Err(error) => Self::failed(error),
        }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self(State::Failed(error))
    }
}

impl Iterator for Range {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            State::Live(iter) => iter.next_front(),
            State::Failed(error) => Some(Err(error.clone())),
        }
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            State::Live(iter) => iter.next_back(),
            State::Failed(error) => Some(Err(error.clone())),
        }
    }
}

impl FusedIterator for Range {}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn owned_and_send<T: Send + 'static>() {}
    owned_and_send::<Range>();
};
