//! Who may see what, and when: protocols without bytes, paths or clocks.
//!
//! Each file holds one protocol as numbered steps above its type, and takes its surroundings as a
//! trait or a closure. The loom build compiles this folder with `ids` and `sync` alone, so that the
//! models (`models.rs` beside each protocol) explore the shipped code and not a copy of it.
//! Storage, waiting with a time-out and threads belong to `engine`.
//!
//! Every model has a planted fault: the same code with two steps exchanged, which it must refute.
//! Run them with `RUSTFLAGS="--cfg loom" cargo test --release --lib mvcc -- --nocapture`.

pub(crate) mod commit;
pub(crate) mod gate;
pub(crate) mod group_sync;
pub(crate) mod retire;
pub(crate) mod snapshots;
pub(crate) mod stretches;
pub(crate) mod view;

#[cfg(all(test, loom))]
mod models;
