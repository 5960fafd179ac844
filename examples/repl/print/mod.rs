//! How answers reach a person or a program: their look, a page at a time, and progress.

pub(crate) mod output;
pub(crate) mod pager;
pub(crate) mod progress;
