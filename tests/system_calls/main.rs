//! What a `get` and a `put` cost in system calls and allocations, on a real disk, counted on the
//! thread that calls: `never_wait` counts operations of a file system that is simulated, and sees
//! neither the allocator nor the wake of another thread.
//!
//! Linux only, and there where the system lets a thread be watched. 200,000 operations of each
//! kind; a million where the build is optimised.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "an allocator that counts, and a filter on a thread, are such")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod allocations;
mod gets;
mod puts;
mod watch;

use alluvium::{Builder, Db};

/// How many operations are counted.
const OPERATIONS: usize = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

/// A block cache that takes everything, memtables of 4 MiB, and no work by the clock.
fn builder(dir: &std::path::Path) -> Builder {
    let builder = Db::builder(dir).memtable_bytes(4 << 20).flush_bytes(16 << 20);
    builder.memory_bytes(1 << 30).cache_bytes(1 << 30).sync_every(std::time::Duration::ZERO)
}

/// A key of 16 bytes; the numbers are all over the order.
fn key(number: usize) -> [u8; 16] {
    let mut key = [b'k'; 16];
    let spread = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[8..].copy_from_slice(&spread.to_be_bytes());
    key
}
