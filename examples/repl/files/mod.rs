//! What is read and written: files, pipes, devices and descriptors, all of which ctrl-C ends.

pub(crate) mod descriptor;
pub(crate) mod input;
pub(crate) mod interrupt;
pub(crate) mod target;
