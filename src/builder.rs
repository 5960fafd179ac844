//! [`Builder`]: the options of a database, each with its unit, default and reason.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::io::{DiskFs, Fs, MemoryFs, TemporaryDir, memory_bytes};
use crate::options::{OnOverload, Options, addressable, cache_bytes_for};
use crate::sync::Arc;

/// Sets options and opens a database. From [`Db::builder`](crate::Db::builder).
///
/// Fourteen options say *how* the database works. Three more say *where* it finds things, and have
/// nothing to tune: the path, [`fs`](Self::fs) and [`index_snapshot`](Self::index_snapshot). Block
/// size and filters belong to a keyspace: [`KeyspaceOptions`](crate::KeyspaceOptions).
///
/// ```
/// use std::time::Duration;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("data");
/// let builder = alluvium::Db::builder(&path).cache_bytes(64 << 20);
/// let db = builder.sync_every(Duration::from_millis(250)).open()?;
/// # db.close()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder opens nothing until `open` is called"]
pub struct Builder {
    /// A fresh, temporary directory if `None`.
    path: Option<PathBuf>,
    /// The disk if `None`.
    fs: Option<Arc<dyn Fs>>,
    /// What suits the machine if `None`.
    cache_bytes: Option<usize>,
    options: Options,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: Some(path.to_path_buf()), ..Self::temporary() }
    }

    /// Sets options of a database in a fresh directory below the system's temporary one, which is
    /// removed with it. As [`Db::temporary`](crate::Db::temporary).
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().memtable_bytes(16 << 10).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn temporary() -> Self {
        Self { path: None, fs: None, cache_bytes: None, options: Options::default() }
    }

    /// Size of one memtable in bytes, index included; default 4 MiB, at least 4 KiB.
    ///
    /// Small ones stay in the processor's cache: an insert into a skiplist of 8 MiB costs half of
    /// one into 64 MiB. Batches over a quarter of it get a memtable and a log file of their own.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().memtable_bytes(1 << 20).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn memtable_bytes(mut self, bytes: u64) -> Self {
        let bytes = addressable(bytes);
        self.options.memtable_bytes = bytes;
        // The larger bounds follow, so that setting one option alone is enough.
        self.options.flush_bytes = self.options.flush_bytes.max(bytes);
        self.options.memory_bytes =
            self.options.memory_bytes.max(self.options.flush_bytes.saturating_mul(2));
        self
    }

    /// How many bytes of sealed memtables leave together as one run; default 64 MiB, at least one
    /// memtable. Larger means fewer, larger runs, and a longer log to recover from.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().flush_bytes(32 << 20).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn flush_bytes(mut self, bytes: u64) -> Self {
        let bytes = addressable(bytes);
        self.options.flush_bytes = bytes;
        self.options.memory_bytes = self.options.memory_bytes.max(bytes.saturating_mul(2));
        self
    }

    /// Bound of all memtables together in bytes; default 256 MiB, at least two memtables and one
    /// flush. A write that finds it used up waits for a flush (see [`Self::on_overload`]).
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().memory_bytes(1 << 30).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        let bytes = addressable(bytes);
        self.options.memory_bytes = bytes;
        self
    }

    /// Bound of cached blocks in bytes. Filters and indexes are not counted: about 1.3 bytes a key
    /// and 1.5 % of the data. Nor are blocks that only values and iterators hold.
    ///
    /// The default is a quarter of the memory that the process may use, from 16 MiB to 4 GiB: on
    /// Linux the least of what the machine has, of what control groups allow, and of `ulimit -v`
    /// and `-d`. Other systems are not asked what they have: there it is 256 MiB, on Unix less
    /// where those limits leave less. A process of 32 bits gets 256 MiB at most. With an
    /// [`fs`](Self::fs) of your own, and for [`Db::in_memory`](crate::Db::in_memory), it is 256
    /// MiB everywhere. It is found at the open ([`Stats::cache_bytes_max`] says what it came to),
    /// and filled only as blocks are read. Each database of a process has its own: with several,
    /// divide.
    ///
    /// [`Stats::cache_bytes_max`]: crate::Stats::cache_bytes_max
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().cache_bytes(1 << 30).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = Some(addressable(bytes));
        self
    }

    /// Period of the background sync of the log; default one second; zero turns it off, and more
    /// than an hour counts as an hour. It bounds what a power loss can take from
    /// [`Durability::Buffered`](crate::Durability::Buffered) writes.
    ///
    /// ```
    /// let period = std::time::Duration::from_millis(50);
    /// let db = alluvium::Builder::temporary().sync_every(period).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn sync_every(mut self, period: Duration) -> Self {
        self.options.sync_every = period;
        self
    }

    /// Whether log files are written through a memory mapping where [`DiskFs`] has one, which is on
    /// ext2 to ext4 and tmpfs; default yes. Without it each write makes a system call, of somewhat
    /// less than a microsecond; what is durable when, and the files, stay the same.
    ///
    /// Turn it off where other programs may cut files of the directory short, or where the device
    /// may go away or fail under the file system: a store into a mapped page that is gone ends the
    /// process by a signal (`SIGBUS`), where a system call is an error of that write. The same for
    /// an [`Fs`] of your own on a network file system, which is asked for no
    /// [`overwriter`](crate::io::FsFile::overwriter) then.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().log_mapping(false).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn log_mapping(mut self, yes: bool) -> Self {
        self.options.log_mapping = yes;
        self
    }

    /// Whether data blocks are read where the system has their files in memory, through a mapping,
    /// where [`DiskFs`] has one, which is on Unix with 64 bits; default no. Such a block takes some
    /// 200 bytes of the block cache, no system call and no copy: of five million keys with a cache
    /// of 256 MiB, gets took a third of the time. It pays where the data is larger than the cache
    /// and smaller than the memory; where all blocks are in the cache it changes nothing. Blocks
    /// that are compressed are read through it and take memory as before, and checksums are checked
    /// as before, when a block is met first.
    ///
    /// Left off by default for its price. A device that fails to read a page, or another program
    /// that cuts a segment short, ends the process by a signal (`SIGBUS`) where a call is an error
    /// of that read. A page that the system has given up is read again without a check, so a disk
    /// that has rotted meanwhile may give wrong data, or a panic; and reads of what is in memory,
    /// [`try_get`](crate::Reader::try_get) included, may wait for such a page. What another program
    /// writes into a segment of an open database may do anything. Do not use it on a network file
    /// system, nor on one that others may write to. The mapped files count as memory of the process
    /// in what the system says of it, though they are its page cache.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().mapped_reads(true).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn mapped_reads(mut self, yes: bool) -> Self {
        self.options.mapped_reads = yes;
        self
    }

    /// What a write does while memtables fill faster than the disk takes them; default
    /// [`OnOverload::Pace`] with ten seconds: it is slowed down, which suits most programs better
    /// than one more error to handle.
    ///
    /// ```
    /// use alluvium::OnOverload;
    ///
    /// let pace = OnOverload::Pace { stall_max: std::time::Duration::from_millis(500) };
    /// let db = alluvium::Builder::temporary().on_overload(pace).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn on_overload(mut self, what: OnOverload) -> Self {
        self.options.on_overload = what;
        self
    }

    /// Number of threads that merge runs; default 1, at most 64; 0 merges nothing but what
    /// [`Db::compact`](crate::Db::compact) asks for. On most disks one keeps up with a flush that
    /// never rests; more threads merge other pairs at the same time, where the disk has bandwidth
    /// left.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().compaction_threads(0).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn compaction_threads(mut self, threads: usize) -> Self {
        self.options.compaction_threads = threads;
        self
    }

    /// By how many steps the threads that flush and merge are nicer than the thread that opens;
    /// default 0, at most 19. Where callers keep all cores busy, gets and puts wait for these
    /// threads' turns: on two cores, beside a writer at full speed, one get in a thousand took 1.2
    /// ms. At 10 it took 0.19 and there were half as many gets again, but a seventh fewer puts.
    /// Where cores are free it changes nothing.
    ///
    /// Where other processes of the same group keep all cores busy a flush falls behind with it,
    /// and writers wait for memory ([`Self::on_overload`]): at 10 puts fell to two fifths.
    ///
    /// On Linux only; [`Stats::background_nice`](crate::Stats::background_nice) says what came of
    /// it.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().background_nice(10).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn background_nice(mut self, steps: u8) -> Self {
        self.options.background_nice = steps;
        self
    }

    /// How many bytes all merges together may read in a second, which is as much as they write or
    /// more; default 0: no limit; at least 64 KiB otherwise. For disks that others share; too low a
    /// limit lets runs pile up, and reads slow down.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().merge_bytes_per_second(50 << 20).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn merge_bytes_per_second(mut self, bytes: u64) -> Self {
        self.options.merge_bytes_per_second = bytes;
        self
    }

    /// How many bytes segments may take for each byte that is live, as merging aims at it; default
    /// 1.25, from 1.05 to 4. Lower saves disk, and rewrites the oldest run more often: at 1.25 that
    /// is one rewriting for each quarter of the data that was written again.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().space_amp_target(1.5).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn space_amp_target(mut self, ratio: f64) -> Self {
        self.options.space_amp_target = ratio;
        self
    }

    /// Target size of a segment file in bytes; default 16 MiB, from 4 KiB to 1 GiB. A merge gives
    /// space back, and may be interrupted, after each; small ones cost files and syncs.
    ///
    /// ```
    /// let db = alluvium::Builder::temporary().segment_bytes(64 << 20).open()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        let bytes = addressable(bytes);
        self.options.segment_bytes = bytes;
        self
    }

    /// Where to take index and filters from: a file that
    /// [`Db::save_index_snapshot`](crate::Db::save_index_snapshot) wrote; default none. Segments
    /// that it names are opened without reading their own, the others as usual.
    ///
    /// The file has to be there and be sound: a damaged one, or one of another database, fails the
    /// open with the errors of [`Db::load_index_snapshot`](crate::Db::load_index_snapshot), because
    /// passing it over would hide a failing device or a wrong name. Open without it then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (path, saved) = (dir.path().join("data"), dir.path().join("saved"));
    /// let db = alluvium::Db::open(&path)?;
    /// db.save_index_snapshot(&saved)?;
    /// db.close()?;
    /// drop(db);
    /// let db = alluvium::Db::builder(&path).index_snapshot(&saved).open()?;
    /// # db.close()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn index_snapshot(mut self, path: impl AsRef<Path>) -> Self {
        self.options.index_snapshot = Some(path.as_ref().to_path_buf());
        self
    }

    /// Opens for reading only: nothing on disk changes, and writes fail with
    /// [`Error::ReadOnly`](crate::Error::ReadOnly). What the logs hold is recovered into memory.
    /// Works on a read-only file system; other read-only openers may share the directory, a writer
    /// may not. Where there is no lock file yet, and the system has no locks on directories,
    /// nothing keeps a writer out.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("data");
    /// alluvium::Db::open(&path)?.put("k", "v")?;
    /// let db = alluvium::Db::builder(&path).read_only(true).open()?;
    /// assert!(db.contains_key("k")?);
    /// assert!(matches!(db.put("k", "w"), Err(alluvium::Error::ReadOnly { .. })));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn read_only(mut self, yes: bool) -> Self {
        self.options.read_only = yes;
        self
    }

    /// Whether to make a database where there is none; default yes.
    ///
    /// ```
    /// assert!(alluvium::Db::builder("no such directory").create(false).open().is_err());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn create(mut self, yes: bool) -> Self {
        self.options.create = yes;
        self
    }

    /// Where the path lies: the file system to use; default [`DiskFs`]. `io::SimFs`, which the
    /// feature `sim` adds, keeps everything in memory and can crash. With any that is set here the
    /// block cache is 256 MiB, on whatever machine, unless [`cache_bytes`](Self::cache_bytes) says
    /// another size.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium::{Db, io::{CrashMode, SimFs}};
    ///
    /// let fs = Arc::new(SimFs::new());
    /// let db = Db::builder("data").fs(fs.clone()).open()?;
    /// db.put_with("k", "v", alluvium::Durability::Sync)?;
    /// // The power fails; what a new machine finds on the disk:
    /// let fs = fs.crash(CrashMode::PowerLoseAll, 1);
    /// let db = Db::builder("data").fs(Arc::new(fs)).open()?;
    /// assert!(db.contains_key("k")?);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = Some(fs);
        self
    }

    /// Opens the database.
    ///
    /// ```
    /// let refused = alluvium::Builder::temporary().memtable_bytes(17).open();
    /// assert!(matches!(refused, Err(alluvium::Error::InvalidArgument { .. })));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for options that cannot work, and
    /// what [`Db::open`](crate::Db::open) lists.
    pub fn open(mut self) -> Result<Db> {
        if let Some(bytes) = self.cache_bytes {
            self.options.cache_bytes = bytes;
        } else if self.fs.is_none() {
            self.options.cache_bytes = cache_bytes_for(memory_bytes());
        }
        let Some(path) = self.path else {
            if self.fs.is_some() {
                return Err(Error::InvalidArgument {
                    what: String::from("a temporary database is on the disk, and takes no fs"),
                });
            }
            let temporary = TemporaryDir::create().map_err(|error| {
                Error::io("create a directory in", &std::env::temp_dir(), error)
            })?;
            let path = temporary.path().to_path_buf();
            return Db::open_with(Arc::new(DiskFs), path, self.options, Some(temporary));
        };
        let fs = self.fs.unwrap_or_else(|| Arc::new(DiskFs));
        Db::open_with(fs, path, self.options, None)
    }
}

impl Db {
    /// Opens the database in a directory, or makes one there.
    ///
    /// Recovers what was acknowledged before the last exit, clean or not.
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`](crate::Error::Locked) if it is open elsewhere;
    /// - [`Error::Corruption`](crate::Error::Corruption) if bytes that were durable are missing or
    ///   damaged;
    /// - [`Error::UnsupportedFormat`](crate::Error::UnsupportedFormat) if a newer version wrote it;
    /// - [`Error::Io`](crate::Error::Io) if the system refuses: no permission, a read-only file
    ///   system, a file where the directory should be.
    ///
    /// In each of these cases nothing on disk was changed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("data");
    /// let db = alluvium::Db::open(&path)?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.get("k")?.as_deref(), Some(&b"v"[..]));
    /// # db.close()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Sets options before opening.
    ///
    /// ```
    /// let db = alluvium::Db::builder("data").read_only(true).create(false);
    /// assert!(db.open().is_err(), "there is nothing to read");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// A database without a directory, for tests and caches: gone when its last handle is. What is
    /// flushed stays in memory as a file would on a disk, and its blocks are cached beside it, in
    /// up to 256 MiB.
    ///
    /// ```
    /// let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses to start a thread.
    pub fn in_memory() -> Result<Self> {
        let mut builder = Self::builder("memory").fs(Arc::new(MemoryFs::default()));
        builder.options.in_memory = true;
        builder.open()
    }

    /// A database in a fresh directory below the system's temporary one, for tests that want a real
    /// disk. Each is its own, so that tests may run at once. The directory is removed when the last
    /// handle, snapshot and iterator is dropped, also by a panic; a process that is killed leaves
    /// it behind.
    ///
    /// [`Builder::temporary`] does the same with options.
    ///
    /// ```
    /// let db = alluvium::Db::temporary()?;
    /// db.put("k", "v")?;
    /// let path = db.path().to_path_buf();
    /// assert!(path.exists());
    /// drop(db);
    /// assert!(!path.exists());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses the directory, a file or a thread.
    pub fn temporary() -> Result<Self> {
        Builder::temporary().open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Symptom: an absurd size panicked instead of being refused. Mechanism: the builder doubled it
    /// to raise the larger bounds. Fix: it saturates.
    #[test]
    fn absurd_sizes_are_refused() {
        let builder = || Builder::new(Path::new("x"));
        for builder in [builder().memtable_bytes(u64::MAX), builder().flush_bytes(u64::MAX)] {
            let refused = builder.open().map(drop);
            assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
        }
    }
}
