//! An open database: what all parts share, and the commit section. Each verb is in the file that is
//! named after it.

use crate::engine::commit::section::WriteEnv;
use crate::engine::directory::DirectoryLock;
use crate::engine::shared::core::Core;
use crate::engine::shared::messages::FlushJob;
use crate::ids::Sequence;
use crate::io::TemporaryDir;
use crate::mvcc::commit::Commit;
use crate::sync::Arc;

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
