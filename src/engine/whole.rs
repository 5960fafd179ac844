//! An open database: what all parts share, and the commit section. Each verb is in the file that is
//! named after it.

use crate::engine::commit::entry::{Refused, Write};
use crate::engine::commit::section::WriteEnv;
use crate::engine::directory::DirectoryLock;
use crate::engine::shared::core::Core;
use crate::engine::shared::messages::FlushJob;
use crate::error::Result;
use crate::ids::{LogPosition, Sequence};
use crate::io::TemporaryDir;
use crate::mvcc::commit::{Commit, Earlier};
use crate::mvcc::order::Broken;
use crate::sync::{Arc, Poisoned};

/// An open database. Background threads own it too.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
    pub(crate) commit: Commit<WriteEnv>,
    /// Removed with the engine, after everything that has files open: handles, snapshots, iterators
    /// and threads all hold the engine.
    pub(crate) _temporary: Option<TemporaryDir>,
}

impl Engine {
    /// Keeps the directory locked for as long as the result lives. `None` after the close.
    pub(crate) fn pin_directory(&self) -> Option<Arc<DirectoryLock>> {
        if self.core.is_forked() { None } else { self.core.directory.load().clone() }
    }

    /// Gives the close's own hold on the directory up. After the threads have ended.
    pub(crate) fn release_directory(&self) {
        drop(self.core.directory.take());
    }

    /// Takes a write through the commit section. Returns the last of its sequences, and where its
    /// record ends in the log.
    #[inline]
    pub(crate) fn commit_write(
        &self,
        write: &mut Write<'_>,
    ) -> Result<(Sequence, LogPosition), Refused> {
        let inside = self.core.stop_on_panic("a write");
        let committed = self.commit.commit(write, u64::from(write.count));
        inside.over();
        committed
    }

    /// [`Self::commit_write`], unless somebody is in the section: then nothing was done.
    #[inline]
    pub(crate) fn try_commit_write(
        &self,
        write: &mut Write<'_>,
    ) -> Option<Result<(Sequence, LogPosition), Refused>> {
        let inside = self.core.stop_on_panic("a write");
        let tried = self.commit.try_commit(write, u64::from(write.count));
        inside.over();
        tried
    }

    /// Runs `f` in the commit section, with the sequence that the next write will start at.
    pub(crate) fn in_section<R>(&self, f: impl FnOnce(&mut WriteEnv, Sequence) -> R) -> Result<R> {
        let inside = self.core.stop_on_panic("a write");
        let entered = self.commit.enter(f);
        inside.over();
        entered.map_err(|Poisoned| self.core.stop_after_panic("a write"))
    }

    /// [`Self::in_section`], for an `f` that may have to find all that was written.
    pub(crate) fn in_section_with_earlier<R>(
        &self,
        f: impl FnOnce(&mut WriteEnv, &Earlier<'_>) -> Result<R, Broken>,
    ) -> Result<R> {
        let inside = self.core.stop_on_panic("a write");
        let entered = self.commit.with_earlier(f);
        inside.over();
        match entered {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Broken)) | Err(Poisoned) => Err(self.core.stop_after_panic("a write")),
        }
    }

    /// [`Self::in_section`], if nobody is in there.
    pub(crate) fn try_in_section<R>(
        &self,
        f: impl FnOnce(&mut WriteEnv, Sequence) -> R,
    ) -> Option<R> {
        let inside = self.core.stop_on_panic("a read");
        let entered = self.commit.try_enter(f);
        inside.over();
        entered
    }

    /// The last sequence that a read may see now.
    pub(crate) fn visible(&self) -> Sequence {
        self.commit.visible()
    }

    /// Registers a snapshot of this moment.
    pub(crate) fn register_snapshot(&self) -> Sequence {
        if self.core.is_forked() {
            // Of no use, which its reads say.
            return Sequence(0);
        }
        self.core.snapshots.register(self.core.pace.now_ms(), || self.visible())
    }

    /// Releases a snapshot, and lets the flush thread look whether that frees something.
    pub(crate) fn release_snapshot(&self, at: Sequence) {
        self.core.snapshots.release(at);
        if self.core.keyspaces.any_dropped() {
            self.core.send_flush(FlushJob::Cleanup);
        }
    }

    /// Keeps what a forked child lets go of from ending there: what it would do then, or wait for,
    /// is the parent's.
    pub(crate) fn keep_for_parent<T>(self: &Arc<Self>, held: T) {
        std::mem::forget((Arc::clone(self), held));
    }
}
