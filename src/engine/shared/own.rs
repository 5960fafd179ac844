//! Which threads are an engine's own, so that none of them waits for itself.
//!
//! A tracing handler runs on the thread that sends the event, which may be the log thread, the
//! flush thread or a compactor. Whatever it calls there must not wait for these: such a call is
//! refused, a write that would have to wait fails, and a last handle that goes there is closed by
//! a thread of its own.

use std::cell::Cell;

use crate::engine::Core;
use crate::error::{Error, Result};
use crate::sync::threads::{ThreadId, current, thread_local};

thread_local! {
    /// The instance that the thread works for, if it does for one, and as what.
    static WORKS_FOR: Cell<Option<(u64, Own)>> = const { Cell::new(None) };
}

/// What a thread of an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// The thread of the log, which waits for none of the others.
    Log,
    Other,
}

/// A thread of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller(ThreadId);

impl Caller {
    /// The one that asks.
    pub(crate) fn this() -> Self {
        Self(current().id())
    }
}

/// Marks the calling thread as one of the engine's own, for life.
pub(crate) fn work_for(core: &Core, own: Own) {
    let _ = WORKS_FOR.try_with(|works_for| works_for.set(Some((core.instance, own))));
}

impl Core {
    /// Whether the calling thread is one of the engine's own.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.own_thread().is_some()
    }

    fn own_thread(&self) -> Option<Own> {
        let (instance, own) = WORKS_FOR.try_with(Cell::get).ok().flatten()?;
        (instance == self.instance).then_some(own)
    }

    /// Refuses a wait for the log thread on the log thread.
    pub(crate) fn refuse_on_log_thread(&self) -> Result<()> {
        if self.own_thread() == Some(Own::Log) { self.refuse_on_own_thread() } else { Ok(()) }
    }

    /// Refuses a call that waits for one of the engine's threads, on any of them.
    pub(crate) fn refuse_on_own_thread(&self) -> Result<()> {
        if !self.is_own_thread() {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            what: String::from(
                "this call waits for a background thread of the database and was made on one, by \
                 a tracing handler for instance: make it on another thread",
            ),
        })
    }
}
