//! What a user may set. `Builder` has the units, defaults and reasons.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Bounds of the target size of a data block.
const BLOCK_BYTES_MIN: usize = 256;
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// With more bits a filter gets no better: it probes six times.
const FILTER_BITS_MAX: u8 = 32;

/// More threads than this would only wait for the disk.
const COMPACTION_THREADS_MAX: usize = 64;

/// Niceness ends there.
const BACKGROUND_NICE_MAX: u8 = 19;

/// With less a second merging would stand still, which `compaction_threads(0)` says better.
const MERGE_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// Bounds of the target of space amplification. Below, the oldest run would be rewritten for every
/// twentieth of its size; above, reads and space suffer, and hardly any writing is saved.
const SPACE_AMP_TARGET_MIN: f64 = 1.05;
const SPACE_AMP_TARGET_MAX: f64 = 4.0;

/// The part of the memory that the process may use which cached blocks take by default (D48), and
/// the bounds of that.
const CACHE_PART: u64 = 4;
const CACHE_BYTES_LEAST: u64 = 16 << 20;
const CACHE_BYTES_MOST: u64 = 4 << 30;

/// The default of `cache_bytes` where the process may use `memory_bytes`.
pub(crate) fn cache_bytes_for(memory_bytes: u64) -> usize {
    let bytes = (memory_bytes / CACHE_PART).clamp(CACHE_BYTES_LEAST, CACHE_BYTES_MOST);
    addressable(bytes)
}

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
#[non_exhaustive]
pub enum Durability {
    /// Once the operating system has it: survives the death of the process. A power loss or kernel
    /// crash may take the writes of the last [`Builder::sync_every`](crate::Builder::sync_every),
    /// always from the end of the commit order, never one out of its
    /// middle.
    #[default]
    Buffered,
    /// Once the device has it: survives power loss. Costs a device sync, shared by all writers that
    /// wait at the same time.
    Sync,
}

/// What a write does when memtables fill faster than the disk takes them; for
/// [`Builder::on_overload`](crate::Builder::on_overload).
///
/// ```
/// use alluvium::{Builder, OnOverload};
///
/// // A server that answers "later" itself, instead of letting its clients wait.
/// let db = Builder::temporary().on_overload(OnOverload::Error).open()?;
/// match db.put("k", "v") {
///     Err(error) if error.is_retryable() => println!("later: {error}"),
///     other => drop(other?),
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnOverload {
    /// It is slowed down to the speed of the disk. From three quarters of
    /// [`memory_bytes`](crate::Builder::memory_bytes) on writes are delayed, mostly by a
    /// millisecond or less and never by more than 100, so that what is left lasts until a flush
    /// gives memory back; one that finds none left waits for the flush. As soon as there is memory
    /// all go on, and they wait outside of every lock. `stalls` and `paced` of
    /// [`Stats`](crate::Stats) count them.
    Pace {
        /// How long one write may wait, for all reasons together, before it fails with
        /// [`Error::Overloaded`](crate::Error::Overloaded) or
        /// [`Error::KeyHeld`](crate::Error::KeyHeld). Not counted: the making of a log file, where
        /// none is prepared.
        stall_max: Duration,
    },
    /// It is never delayed, but for a log file where none is prepared. Where memory is used up it
    /// fails with [`Error::Overloaded`](crate::Error::Overloaded) at once, having had no effect.
    Error,
}

impl Default for OnOverload {
    fn default() -> Self {
        Self::Pace { stall_max: Duration::from_secs(10) }
    }
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
    /// Bound of the block cache. The default here is for a file system of the user's.
    pub(crate) cache_bytes: usize,
    /// Whether its file system is one in memory, of its own: a checkpoint goes to the disk then.
    pub(crate) in_memory: bool,
    /// Period of the background sync of the log; zero turns it off.
    pub(crate) sync_every: Duration,
    /// Whether logs are written through a mapping where there is one.
    pub(crate) log_mapping: bool,
    /// Whether segments are read through a mapping where there is one.
    pub(crate) mapped_reads: bool,
    /// What a write does that finds no memory.
    pub(crate) on_overload: OnOverload,
    /// Threads that merge; 0 for one that does what is asked for, and nothing by itself.
    pub(crate) compaction_threads: usize,
    /// By how many steps the threads that flush and merge are nicer than the one that opens.
    pub(crate) background_nice: u8,
    /// How many bytes merges may read in a second, all together; 0 for any number.
    pub(crate) merge_bytes_per_second: u64,
    /// Bytes in segments for each byte that is live, which merging aims at.
    pub(crate) space_amp_target: f64,
    /// Target size of a segment file.
    pub(crate) segment_bytes: usize,
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
    /// How its data lies in segment files; default [`Compression::Auto`].
    pub compression: Compression,
}

/// How the data of a keyspace is compressed on disk.
///
/// Only segment files are compressed, block by block; memtables, the log and cached blocks are not,
/// so it costs a merge or a flush some time, and a read only where it goes to the file. A block
/// that LZ4 shortens by less than an eighth is stored as it is: values that are compressed already
/// cost the attempt, and reads of them nothing.
///
/// ```
/// use alluvium::{Compression, KeyspaceOptions};
///
/// # let db = alluvium::Db::in_memory()?;
/// // Pictures do not get shorter: save the attempt.
/// let pictures = KeyspaceOptions::new().compression(Compression::None);
/// let pictures = db.keyspace_with("pictures", pictures)?;
/// assert_eq!(pictures.options().compression, Compression::None);
/// assert_eq!(db.keyspace("notes")?.options().compression, Compression::Auto);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Nothing is compressed: the fastest reads of data that is in the system's page cache and not
    /// in the block cache.
    None,
    /// Every segment is compressed with LZ4.
    Lz4,
    /// What a merge writes into the oldest run is compressed with LZ4, and what is newer is not:
    /// most data lies there, and it is rewritten least often. What a merge moves there without
    /// writing it again, as it does with keys that only ever ascend, stays as it is.
    #[default]
    Auto,
}

/// What a transaction is kept from: what others may not have changed when it commits.
///
/// Both read one moment, with the transaction's own writes on top, commit all or nothing, and lose
/// no update.
///
/// ```
/// use alluvium::{Isolation, TransactionOptions};
///
/// # let db = alluvium::Db::in_memory()?;
/// let tx = db.transaction_with(TransactionOptions::new().isolation(Isolation::Snapshot));
/// let report = tx.get("figures")?; // may change before the commit
/// tx.put("report", report.as_deref().unwrap_or_default())?;
/// tx.commit()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Nothing that it has read: keys, keys that were not there, and ranges as far as they were
    /// walked over. The transaction is as if it had run alone at its commit.
    #[default]
    Serializable,
    /// Nothing that it writes, or has read with
    /// [`get_for_update`](crate::Transaction::get_for_update). Reads cost no memory, and cause no
    /// conflicts; but two transactions may each read what the other writes (write skew).
    Snapshot,
}

/// How a transaction is run, for [`Db::transaction_with`](crate::Db::transaction_with) and
/// [`Db::transact_with`](crate::Db::transact_with).
///
/// ```
/// use alluvium::{Durability, Error, TransactionOptions};
///
/// # let db = alluvium::Db::in_memory()?;
/// let options = TransactionOptions::new().durability(Durability::Sync);
/// db.transact_with(options, |tx| tx.put("paid", "yes"))?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// What others may not have changed; default [`Isolation::Serializable`].
    pub isolation: Isolation,
    /// What its commit survives; default [`Durability::Buffered`].
    pub durability: Durability,
    /// How many bytes its reads and writes may take in memory, about, before calls fail with
    /// [`Error::TransactionTooBig`]; default 64 MiB. A read takes its key and 64 bytes, a write its
    /// key, its value and 96.
    pub memory_bytes: usize,
}

impl TransactionOptions {
    /// The defaults.
    ///
    /// ```
    /// assert_eq!(alluvium::TransactionOptions::new().memory_bytes, 64 << 20);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            isolation: Isolation::default(),
            durability: Durability::Buffered,
            memory_bytes: 64 << 20,
        }
    }

    /// Sets [`Self::isolation`](#structfield.isolation).
    ///
    /// ```
    /// # use alluvium::{Isolation, TransactionOptions};
    /// let options = TransactionOptions::new().isolation(Isolation::Snapshot);
    /// assert_ne!(options, TransactionOptions::default());
    /// ```
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets [`Self::durability`](#structfield.durability).
    ///
    /// ```
    /// # use alluvium::{Durability, TransactionOptions};
    /// let options = TransactionOptions::new().durability(Durability::Sync);
    /// assert_eq!(options.durability, Durability::Sync);
    /// ```
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets [`Self::memory_bytes`](#structfield.memory_bytes).
    ///
    /// ```
    /// # use alluvium::TransactionOptions;
    /// assert_eq!(TransactionOptions::new().memory_bytes(1 << 20).memory_bytes, 1 << 20);
    /// ```
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How the data blocks of one segment are stored: what [`Compression`] comes to for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Lz4,
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
        Self { filter_bits: 10, block_bytes: 4096, compression: Compression::default() }
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

    /// Sets [`Self::compression`](#structfield.compression).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use alluvium::{Compression, KeyspaceOptions};
    ///
    /// let logs = KeyspaceOptions::new().compression(Compression::Lz4);
    /// assert_eq!(db.keyspace_with("logs", logs)?.options().compression, Compression::Lz4);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How a segment of the oldest run, or of a newer one, is to be written.
    pub(crate) fn codec_for(&self, oldest: bool) -> Codec {
        match self.compression {
            Compression::None => Codec::None,
            Compression::Lz4 => Codec::Lz4,
            Compression::Auto if oldest => Codec::Lz4,
            Compression::Auto => Codec::None,
        }
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
            in_memory: false,
            sync_every: Duration::from_secs(1),
            log_mapping: true,
            mapped_reads: false,
            on_overload: OnOverload::default(),
            compaction_threads: 1,
            background_nice: 0,
            merge_bytes_per_second: 0,
            space_amp_target: 1.25,
            segment_bytes: 16 << 20,
            index_snapshot: None,
            read_only: false,
            create: true,
        }
    }
}

const MEMTABLE_BYTES_MIN: usize = 4 << 10;
const MEMTABLE_BYTES_MAX: usize = 1 << 30;

/// On a 32-bit machine a quarter of what can be addressed is the bound.
const FLUSH_BYTES_MAX: usize = bytes_max(1 << 34);
const MEMORY_BYTES_MAX: usize = bytes_max(1 << 40);

/// A size that a caller has given. One beyond what the machine can address counts as the largest.
pub(crate) fn addressable(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

const fn bytes_max(bytes: u64) -> usize {
    let addressable = usize::MAX / 4;
    if bytes < addressable as u64 { bytes as usize } else { addressable }
}

/// A file is not worth less.
const SEGMENT_BYTES_MIN: usize = if cfg!(test) { 512 } else { 4 << 10 };

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
        let min = MEMTABLE_BYTES_MIN;
        let max = MEMTABLE_BYTES_MAX;
        check("memtable_bytes", self.memtable_bytes, min, max)?;
        check("flush_bytes", self.flush_bytes, self.memtable_bytes, FLUSH_BYTES_MAX)?;
        check("memory_bytes", self.memory_bytes, 2 * self.memtable_bytes, MEMORY_BYTES_MAX)?;
        check("memory_bytes", self.memory_bytes, self.flush_bytes, MEMORY_BYTES_MAX)?;
        check("segment_bytes", self.segment_bytes, SEGMENT_BYTES_MIN, 1 << 30)?;
        self.validate_merging()
    }

    fn validate_merging(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::InvalidArgument { what });
        let threads = self.compaction_threads;
        if threads > COMPACTION_THREADS_MAX {
            let max = COMPACTION_THREADS_MAX;
            return refuse(format!("compaction_threads must be at most {max}, and is {threads}"));
        }
        let nice = self.background_nice;
        if nice > BACKGROUND_NICE_MAX {
            let max = BACKGROUND_NICE_MAX;
            return refuse(format!("background_nice must be at most {max}, and is {nice}"));
        }
        let rate = self.merge_bytes_per_second;
        if rate != 0 && rate < MERGE_BYTES_PER_SECOND_MIN {
            let min = MERGE_BYTES_PER_SECOND_MIN;
            return refuse(format!(
                "merge_bytes_per_second must be 0, for no limit, or at least {min}, and is {rate}"
            ));
        }
        let min = SPACE_AMP_TARGET_MIN;
        let max = SPACE_AMP_TARGET_MAX;
        // Not a number is in no range.
        if !(min..=max).contains(&self.space_amp_target) {
            let target = self.space_amp_target;
            return refuse(format!(
                "space_amp_target must be between {min} and {max:.1}, and is {target}"
            ));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_cache_gets_a_quarter_within_bounds() {
        let check = |memory_bytes: u64, want_mib: usize| {
            assert_eq!(cache_bytes_for(memory_bytes), want_mib << 20, "{memory_bytes}");
        };
        const MIB: u64 = 1 << 20;
        check(0, 16);
        check(32 * MIB, 16);
        check(64 * MIB, 16);
        check(128 * MIB, 32);
        check(1024 * MIB, Options::default().cache_bytes >> 20);
        #[cfg(target_pointer_width = "64")]
        {
            check(6000 * MIB, 1500);
            check(16_384 * MIB, 4096);
            check(u64::MAX, 4096);
        }
    }
}
