//! What a user may set, each with its unit, default and reason.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Once the operating system has it: survives the death of the process. A power loss or kernel
    /// crash may take the last [`Builder::sync_every_ms`](crate::Builder::sync_every_ms)
    /// milliseconds of writes, always from the end of the commit order, never one out of its
    /// middle.
    #[default]
    Buffered,
    /// Once the device has it: survives power loss. Costs a device sync, shared by all writers that
    /// wait at the same time.
    Sync,
}

/// The options of a database, fixed while it is open. Set through [`crate::Builder`], documented
/// there.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes of one memtable, keys, values and index together.
    pub(crate) memtable_bytes: usize,
    /// Sealed memtables are flushed together once they hold this many bytes.
    pub(crate) flush_bytes: usize,
    /// Bound of all memtables, active and sealed.
    pub(crate) memory_bytes: usize,
    /// Bound of the block cache.
    pub(crate) cache_bytes: usize,
    /// Period of the background sync of the log, in milliseconds; 0 turns it off.
    pub(crate) sync_every_ms: u64,
    /// How long a write may wait for memory before `Overloaded`, in milliseconds.
    pub(crate) stall_ms_max: u64,
    /// Target size of a segment file.
    pub(crate) segment_bytes: usize,
    /// Target size of a data block before compression.
    pub(crate) block_bytes: usize,
    /// A file of saved tables to open segments with.
    pub(crate) index_snapshot: Option<PathBuf>,
    /// Whether to leave the directory as it is.
    pub(crate) read_only: bool,
    /// Whether to make a database where there is none.
    pub(crate) create: bool,
}

/// What belongs to one keyspace, kept in the manifest with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyspaceOptions {
    /// Filter bits per key in segments; 10 lets about 1 in 100 absent keys through.
    pub(crate) filter_bits: u8,
    /// Target size of a data block before compression, in bytes.
    pub(crate) block_bytes: u32,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self { filter_bits: 10, block_bytes: 4096 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 8 << 20,
            flush_bytes: 64 << 20,
            memory_bytes: 256 << 20,
            cache_bytes: 256 << 20,
            sync_every_ms: 1_000,
            stall_ms_max: 10_000,
            segment_bytes: 16 << 20,
            block_bytes: 4096,
            index_snapshot: None,
            read_only: false,
            create: true,
        }
    }
}

const MEMTABLE_BYTES_MIN: usize = 4 << 10;
const MEMTABLE_BYTES_MAX: usize = 1 << 30;

impl Options {
    /// Refuses a memtable size that does not go with the other options, which stay.
    pub(crate) fn check_memtable_bytes(&self, bytes: usize) -> Result<()> {
        let max = self.flush_bytes.min(self.memory_bytes / 2).min(MEMTABLE_BYTES_MAX);
        if (MEMTABLE_BYTES_MIN..=max).contains(&bytes) {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            what: format!(
                "memtable_bytes must be between {MEMTABLE_BYTES_MIN} and {max} bytes while the \
                 database is open with flush_bytes {} and memory_bytes {}, and is {bytes}",
                self.flush_bytes, self.memory_bytes
            ),
        })
    }

    /// Refuses what cannot work, and says what would.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, value: usize, min: usize, max: usize| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(Error::InvalidArgument {
                what: format!("{name} must be between {min} and {max} bytes, and is {value}"),
            })
        };
        let (min, max) = (MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX);
        check("memtable_bytes", self.memtable_bytes, min, max)?;
        check("flush_bytes", self.flush_bytes, self.memtable_bytes, 1 << 34)?;
        check("memory_bytes", self.memory_bytes, 2 * self.memtable_bytes, 1 << 40)?;
        check("memory_bytes", self.memory_bytes, self.flush_bytes, 1 << 40)?;
        check("segment_bytes", self.segment_bytes, 4 << 10, 1 << 30)?;
        check("block_bytes", self.block_bytes, 256, 1 << 20)
    }
}
