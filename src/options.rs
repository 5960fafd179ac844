//! What a user may set, each with its unit, default and reason.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// Bounds of the target size of a data block.
const BLOCK_BYTES_MIN: usize = 256;
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// With more bits a filter gets no better: it probes six times.
const FILTER_BITS_MAX: u8 = 32;

/// When a write is acknowledged.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// use alluvium::Durability;
///
/// db.put_with("draft", "1", Durability::Buffered)?; // what `put` does
/// db.put_with("final", "2", Durability::Sync)?;     // and the draft with it
/// # Ok::<(), alluvium::Error>(())
/// ```
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

/// What belongs to one keyspace, kept with it on disk; for
/// [`Db::keyspace_with`](crate::Db::keyspace_with).
///
/// ```
/// use alluvium::KeyspaceOptions;
///
/// # let db = alluvium::Db::in_memory()?;
/// // Small values, read by key and often absent.
/// let options = KeyspaceOptions::new().filter_bits(14).block_bytes(1 << 10);
/// let sessions = db.keyspace_with("sessions", options)?;
/// assert_eq!(sessions.options().filter_bits, 14);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyspaceOptions {
    /// Filter bits per key in segments; default 10, which lets about 1 in 100 absent keys through
    /// to a read of the disk. 0 makes no filter: for keys that are only ever iterated over. At most
    /// 32.
    pub filter_bits: u8,
    /// Target size of a data block in bytes; default 4096: what a read of one small value takes
    /// from the disk. From 256 bytes to 1 MiB.
    pub block_bytes: u32,
}

impl KeyspaceOptions {
    /// The defaults.
    ///
    /// ```
    /// assert_eq!(alluvium::KeyspaceOptions::new(), alluvium::KeyspaceOptions::default());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { filter_bits: 10, block_bytes: 4096 }
    }

    /// Sets [`Self::filter_bits`](#structfield.filter_bits).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let logs = db.keyspace_with("logs", alluvium::KeyspaceOptions::new().filter_bits(0))?;
    /// assert_eq!(logs.options().filter_bits, 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn filter_bits(mut self, bits: u8) -> Self {
        self.filter_bits = bits;
        self
    }

    /// Sets [`Self::block_bytes`](#structfield.block_bytes).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let options = alluvium::KeyspaceOptions::new().block_bytes(16 << 10);
    /// assert!(db.keyspace_with("logs", options)?.options().block_bytes == 16_384);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn block_bytes(mut self, bytes: u32) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Refuses what cannot work, and says what would.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.filter_bits > FILTER_BITS_MAX {
            return Err(Error::InvalidArgument {
                what: format!(
                    "filter_bits must be at most {FILTER_BITS_MAX}, and is {}",
                    self.filter_bits
                ),
            });
        }
        check_bytes("block_bytes", self.block_bytes as usize, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
    }
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 4 << 20,
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
        let check = check_bytes;
        let (min, max) = (MEMTABLE_BYTES_MIN, MEMTABLE_BYTES_MAX);
        check("memtable_bytes", self.memtable_bytes, min, max)?;
        check("flush_bytes", self.flush_bytes, self.memtable_bytes, 1 << 34)?;
        check("memory_bytes", self.memory_bytes, 2 * self.memtable_bytes, 1 << 40)?;
        check("memory_bytes", self.memory_bytes, self.flush_bytes, 1 << 40)?;
        check("segment_bytes", self.segment_bytes, 4 << 10, 1 << 30)?;
        check("block_bytes", self.block_bytes, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
    }
}

fn check_bytes(name: &str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        what: format!("{name} must be between {min} and {max} bytes, and is {value}"),
    })
}
