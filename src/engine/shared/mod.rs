//! What all parts of the engine share: one [`core::Core`], with the types of its fields, what every
//! room asks of it (`memory`, `space`, `prepare`), and the messages between threads. Knows no verb.

pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod counters;
pub(crate) mod figures;
pub(crate) mod keyspaces;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod messages;
pub(crate) mod own;
pub(crate) mod pace;
pub(crate) mod panics;
pub(crate) mod patience;
pub(crate) mod prepare;
pub(crate) mod room;
pub(crate) mod space;
pub(crate) mod spares;
pub(crate) mod stalls;
pub(crate) mod view;
