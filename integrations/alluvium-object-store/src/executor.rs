//! Calls of a store, which are futures, for callers that wait: each is a task of a runtime, and its
//! answer comes by a channel.
//!
//! Nothing is polled on the caller's thread, so that no caller meets tokio's panic of a runtime
//! inside a runtime: a thread of another one only waits. A worker of the same one that waits is one
//! worker less, so tasks are not begun on it: what a worker spawns is the next that it runs itself.

use std::future::Future;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// Where tasks run: on the caller's runtime, or on one thread of our own from the first call on.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    given: Option<Handle>,
    own: Mutex<Option<Runtime>>,
}

impl Executor {
    pub(crate) fn given(handle: Handle) -> Self {
        Self { given: Some(handle), own: Mutex::default() }
    }

    fn handle(&self) -> io::Result<Handle> {
        if let Some(handle) = &self.given {
            return Ok(handle.clone());
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = match own.take() {
            Some(runtime) => runtime,
            None => Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("alluvium-object-store")
                .enable_all()
                .build()?,
        };
        Ok(own.insert(runtime).handle().clone())
    }

    /// Begins a call. It ends when the result is dropped.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        call: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<Call<T>> {
        let (tell, told) = sync_channel(1);
        let task = self.spawn(async move {
            // Whoever has stopped waiting wants no answer.
            let _ = tell.send(call.await);
        })?;
        Ok(Call { told, task })
    }

    /// From a thread of no runtime, if the caller may be a worker of the one that was given: tokio
    /// puts what a worker spawns where no other worker finds it, and this one waits.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<AbortHandle> {
        let handle = self.handle()?;
        let spawn = move || handle.spawn(task).abort_handle();
        if self.given.is_none() || Handle::try_current().is_err() {
            return Ok(spawn());
        }
        let thread = thread::Builder::new().name("alluvium-object-store".into()).spawn(spawn)?;
        thread.join().map_err(|_| io::Error::other("the call of the store has no beginning"))
    }

    /// A call, waited for.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<object_store::Result<T>> {
        self.begin(call)?.wait()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Not with a wait, which a thread of another runtime must not have.
        let own = self.own.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = own.take() {
            runtime.shutdown_background();
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call<T> {
    told: Receiver<object_store::Result<T>>,
    task: AbortHandle,
}

impl<T> Call<T> {
    /// Waits for what the store says. The error is that of a runtime that was shut down, or of a
    /// store that has panicked.
    pub(crate) fn wait(self) -> io::Result<object_store::Result<T>> {
        self.told.recv().map_err(|_| io::Error::other("the call of the store has no end"))
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
