//! Threads, what is a thread's own, and which one it is: the standard library's.

pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current, scope};
pub(crate) use std::thread_local;
