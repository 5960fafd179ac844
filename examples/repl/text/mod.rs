//! Text: how bytes, words and numbers are written and read. Pure, and knows nothing of a database.

pub(crate) mod escape;
pub(crate) mod near;
pub(crate) mod size;
pub(crate) mod words;
