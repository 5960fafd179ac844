//! The threads: what each does, what reaches it and in which order. Only `background` starts one.

pub(crate) mod background;
pub(crate) mod log_thread;
pub(crate) mod turns;
