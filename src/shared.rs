//! What all handles of one open database share, and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::Engine;
use crate::engine::threads::background::{Threads, close_elsewhere};
use crate::error::Result;
use crate::event::event;
use crate::sync::Arc;

/// What all handles of one open database share. The last one to go closes it.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) threads: Threads,
}

impl Shared {
    pub(crate) fn close(&self) -> Result<()> {
        if self.engine.core.is_forked() {
            return Ok(());
        }
        self.engine.core.refuse_on_own_thread()?;
        let result = self.engine.close();
        self.threads.join();
        self.engine.release_directory();
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.engine.core.is_forked() {
            // All of it is the parent's, but the locked files, which are held here too.
            self.engine.release_directory();
            return self.engine.keep_for_parent(std::mem::take(&mut self.threads));
        }
        if self.engine.core.is_own_thread() {
            return close_elsewhere(&self.engine, std::mem::take(&mut self.threads));
        }
        // What runs here is the program's too: the end of its lock on the directory. A second panic
        // would abort the process.
        let closed = catch_unwind(AssertUnwindSafe(|| self.close()));
        if let Ok(Err(error)) = closed {
            event!(warn, %error, "the close could not flush; the log still has everything");
        }
    }
}
