//! Threads of a run, with the interface of the standard library's as far as the engine uses it.

use std::io;

pub(crate) use shuttle::thread::{JoinHandle, ThreadId, current, scope, yield_now};
pub(crate) use shuttle::thread_local;

use shuttle::thread::{Scope, ScopedJoinHandle};

#[derive(Debug)]
pub(crate) struct Builder(shuttle::thread::Builder);

impl Builder {
    pub(crate) fn new() -> Self {
        Self(shuttle::thread::Builder::new())
    }

    pub(crate) fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    pub(crate) fn spawn(self, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        self.0.spawn(body)
    }

    /// Without its name, which shuttle has no place for.
    pub(crate) fn spawn_scoped<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        body: impl FnOnce() + Send + 'scope,
    ) -> io::Result<ScopedJoinHandle<'scope, ()>> {
        Ok(scope.spawn(body))
    }
}
