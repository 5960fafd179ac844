//! What a panic inside the engine does, in a file system of the program's own for instance: it
//! stops the writer, as a failed sync does. Readers, the close, and what says what is wrong go on;
//! which locks they may take after it, `sync` says.

use crate::engine::Core;
use crate::error::Error;
use crate::sync::Arc;

/// Held by a thread while a panic of it would leave something half done.
#[derive(Debug)]
pub(crate) struct StopOnPanic<'a> {
    core: &'a Core,
    during: &'static str,
}

impl StopOnPanic<'_> {
    /// It did not panic.
    #[inline]
    pub(crate) fn over(self) {
        std::mem::forget(self);
    }
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.core.stop_after_panic(self.during);
    }
}

impl Core {
    /// Has a panic of the calling thread stop the writer, until [`StopOnPanic::over`].
    #[inline]
    pub(crate) fn stop_on_panic(&self, during: &'static str) -> StopOnPanic<'_> {
        StopOnPanic { core: self, during }
    }

    /// Stops the writer because a thread has panicked. Returns what later calls are told.
    #[cold]
    pub(crate) fn stop_after_panic(&self, during: &'static str) -> Error {
        self.group_sync.latch(Error::Panicked { during });
        self.gate.wake();
        self.stopped().unwrap_or_else(|| stopped_by_panic(during))
    }

    /// Why a background thread has not answered: it has ended, at the close or by a panic, of which
    /// it may not have told anybody yet.
    #[cold]
    pub(crate) fn unanswered(&self) -> Error {
        if self.is_closed() { Error::Closed } else { self.stop_after_panic("background work") }
    }
}

/// What a write is told after a panic.
pub(crate) fn stopped_by_panic(during: &'static str) -> Error {
    Error::WriterStopped { cause: Arc::new(Error::Panicked { during }) }
}
