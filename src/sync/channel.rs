//! Channels: crossbeam's, of which no other file knows the name.

#[cfg(not(shuttle))]
pub(crate) use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

#[cfg(shuttle)]
pub(crate) use super::scheduled::channel::{
    Receiver, RecvTimeoutError, Sender, bounded, unbounded,
};
