//! Channels: crossbeam's, of which no other file knows the name.

pub(crate) use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
