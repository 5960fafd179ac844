//! Threads, what is a thread's own, and which one it is: the standard library's.

#[cfg(not(shuttle))]
pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current, scope, yield_now};
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

#[cfg(shuttle)]
pub(crate) use super::scheduled::threads::{
    Builder, JoinHandle, ThreadId, current, scope, thread_local, yield_now,
};
