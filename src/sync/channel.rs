//! Channels: crossbeam's, of which no other file knows the name.

#[cfg(not(any(shuttle, all(test, loom))))]
pub(crate) use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

#[cfg(shuttle)]
pub(crate) use super::scheduled::channel::{
    Receiver, RecvTimeoutError, Sender, bounded, unbounded,
};

#[cfg(all(test, loom))]
pub(crate) use super::models::channel::{Receiver, Sender, bounded, unbounded};
