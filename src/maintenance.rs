//! What those who run a database ask of it: syncs and flushes, figures, its runs and segments, its
//! index, and the memtable size while it is open. Contracts and delegation, as in `db`, of which
//! this is a part.

use std::path::Path;

use crate::compact::Compaction;
use crate::db::Db;
use crate::durable::Durable;
use crate::engine::copy::checkpoint::{Checkpoint, checkpoint};
use crate::engine::index::snapshot::{load_index_snapshot, save_index_snapshot};
use crate::engine::index::verify::{VerifyReport, verify};
use crate::engine::index::{IndexReport, rebuild_index};
use crate::engine::merge::scheduler::pause_compaction;
use crate::engine::read::get::check_open;
use crate::engine::report::segments::{RunInfo, SegmentInfo, list_runs, list_segments};
use crate::engine::report::stats::{Health, Stats, gather_health, gather_stats};
use crate::engine::write::{rotate, sync, told};
use crate::error::{Error, Result};
use crate::ids::Sequence;
use crate::options::addressable;

impl Db {
    /// Every run of this moment, newest first: how large it is, what of it merges have trimmed, and
    /// whether one is at work on it.
    ///
    /// ```
    /// # let db = alluvium::Builder::temporary().compaction_threads(0).open()?;
    /// for value in ["old", "new"] {
    ///     db.put("k", value)?;
    ///     db.flush()?;
    /// }
    /// let runs = db.runs();
    /// assert_eq!((runs.len(), runs[0].age, runs[0].entries), (2, 0, 1));
    /// db.compact()?;
    /// assert_eq!(db.runs().len(), 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn runs(&self) -> Vec<RunInfo> {
        list_runs(self.engine())
    }

    /// Every segment of this moment: newest run first, in key order within a run. A file that
    /// merges have left in several parts comes once for each part.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// let segments = db.segments();
    /// assert_eq!((segments.len(), segments[0].entries), (1, 1));
    /// assert_eq!(segments[0].first_key, b"k");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        list_segments(self.engine())
    }

    /// Derives the index and the filter of every segment again from its data blocks, and replaces
    /// those in memory: all of them or, after an error, none.
    ///
    /// Reads every segment whole, checksums included, on the calling thread; readers and writers go
    /// on meanwhile, and cached blocks stay. Nothing on disk changes. An open does the same by
    /// itself for a segment whose stored index, filter or properties are damaged, and
    /// [`Health::indexes_rebuilt`](crate::Health::indexes_rebuilt) counts these.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// let report = db.rebuild_index()?;
    /// assert_eq!((report.segments, report.blocks, report.keys), (1, 1, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if a data block is damaged,
    /// [`Error::Io`] if one cannot be read,
    /// [`Error::Closed`].
    pub fn rebuild_index(&self) -> Result<IndexReport> {
        check_open(self.engine())?;
        rebuild_index(self.engine())
    }

    /// Writes the index and the filter of every segment to one file, checksummed, and durable when
    /// the call returns: for [`Self::load_index_snapshot`], or a warm open with
    /// [`Builder::index_snapshot`](crate::Builder::index_snapshot). A file of this name is
    /// replaced, in one step.
    ///
    /// Takes as much memory again as the indexes and filters do; waits for nothing but the device.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// db.save_index_snapshot("warm.index")?;
    /// let report = db.load_index_snapshot("warm.index")?;
    /// assert_eq!((report.segments, report.missing, report.ignored), (1, 0, 0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a name that databases use for
    /// their own files; [`Error::StorageFull`],
    /// [`Error::Io`]; [`Error::Closed`]. What the name had
    /// before is then still there, unless only the last sync of the directory failed.
    pub fn save_index_snapshot(&self, path: impl AsRef<Path>) -> Result<IndexReport> {
        check_open(self.engine())?;
        save_index_snapshot(self.engine(), path.as_ref())
    }

    /// Replaces the indexes and filters in memory by those that [`Self::save_index_snapshot`] wrote
    /// to a file. Entries of segments that are gone are ignored; segments that the file does not
    /// name keep what they have read from their own files.
    ///
    /// # Errors
    ///
    /// Each changes nothing:
    ///
    /// - [`Error::Corruption`] if the file is damaged;
    /// - [`Error::InvalidArgument`] if it was saved from another
    ///   database;
    /// - [`Error::UnsupportedFormat`] if a newer version wrote it;
    /// - [`Error::Io`] if it cannot be read;
    /// - [`Error::Closed`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.load_index_snapshot("no such file").is_err());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn load_index_snapshot(&self, path: impl AsRef<Path>) -> Result<IndexReport> {
        check_open(self.engine())?;
        load_index_snapshot(self.engine(), path.as_ref())
    }

    /// Reads the manifest, the logs and every segment back from the device, and reports all damage
    /// it meets: checksums, the order of keys, counts, and whether index and filter find every key.
    ///
    /// Damage is in the report, not an error of the call. Reads on the calling thread, past the
    /// cache, while readers and writers go on; the open log up to where it was appended. Bytes that
    /// the system has in memory come from there. What is damaged in a log is in memory too, until
    /// it is flushed: a [`flush`](Self::flush) saves it. What else can be read comes with
    /// [`Range::skip_damaged`](crate::Range::skip_damaged).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// let report = db.verify()?;
    /// assert!(report.is_sound(), "{report}");
    /// assert_eq!((report.segments, report.keys), (1, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn verify(&self) -> Result<VerifyReport> {
        check_open(self.engine())?;
        verify(self.engine())
    }

    /// Sets the size of memtables from the next rotation on, until the database is closed; see
    /// [`Builder::memtable_bytes`](crate::Builder::memtable_bytes). Prepared memtables and log
    /// files of another size are replaced, and the call waits for that.
    ///
    /// The other options stay, so the size is at most
    /// [`flush_bytes`](crate::Builder::flush_bytes) and half of
    /// [`memory_bytes`](crate::Builder::memory_bytes).
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.set_memtable_bytes(1 << 20)?;
    /// assert!(db.set_memtable_bytes(17).is_err());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a size outside its bounds,
    /// which changes nothing; [`Error::ReadOnly`];
    /// [`Error::Closed`];
    /// [`Error::WriterStopped`].
    pub fn set_memtable_bytes(&self, bytes: u64) -> Result<()> {
        rotate::set_memtable_bytes(self.engine(), addressable(bytes))
    }
}

impl Db {
    /// Merges everything written so far into one run, leaving out what nobody can see any more, and
    /// waits for it.
    ///
    /// Merges go on by themselves in the background, so this is for before a backup, after a large
    /// deletion, or to find out what data takes. Readers and writers go on meanwhile. Writes up to
    /// the size of the database, a segment at a time; needs room for three segments.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for value in ["old", "new"] {
    ///     db.put("k", value)?;
    ///     db.flush()?;
    /// }
    /// db.compact()?;
    /// assert_eq!((db.stats().runs, db.stats().segment_entries), (1, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed), or why
    /// a merge failed: [`Error::StorageFull`](crate::Error::StorageFull),
    /// [`Error::Corruption`](crate::Error::Corruption), [`Error::Io`](crate::Error::Io). What was
    /// merged by then stays merged, and nothing is lost.
    pub fn compact(&self) -> Result<()> {
        self.start_compaction_of_all()?.wait()
    }

    /// Begins what [`Self::compact`] does, in all keyspaces, and returns a handle to watch, wait
    /// for or cancel it. Returns once what is in memory has been flushed.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let compaction = db.start_compaction_of_all()?;
    /// let (done, total) = compaction.progress();
    /// println!("{done} of about {total} bytes");
    /// compaction.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed), or why
    /// the flush failed.
    pub fn start_compaction_of_all(&self) -> Result<Compaction> {
        Compaction::start(self.engine(), None)
    }

    /// Lets no merge go on past the segment that it is writing, until [`Self::resume_compaction`]:
    /// requested ones and those in the background. Flushes go on; runs pile up meanwhile.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.pause_compaction();
    /// // ... what must not share the disk ...
    /// db.resume_compaction();
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn pause_compaction(&self) {
        pause_compaction(self.engine(), true);
    }

    /// Lets merges go on after [`Self::pause_compaction`].
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.resume_compaction(); // harmless if nothing was paused
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn resume_compaction(&self) {
        pause_compaction(self.engine(), false);
    }

    /// Makes every write acknowledged before the call durable.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// for n in 0..100_u8 {
    ///     db.put([n], "v")?;
    /// }
    /// db.sync()?; // one wait for all of them
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::WriterStopped`] if this or an earlier sync failed: what is durable is unknown until
    /// the database is reopened.
    pub fn sync(&self) -> Result<()> {
        check_open(self.engine())?;
        if self.engine().core.options.read_only { Ok(()) } else { sync::sync_all(self.engine()) }
    }

    /// Waits until everything up to a sequence is durable, as every write returns it, and so
    /// everything committed before it. Returns at once if a sync has covered it already.
    ///
    /// A writer that hands its work on, and one that acknowledges it later, need not wait for the
    /// device in between. Of a sequence from before the database was opened it says nothing: what
    /// did not survive until then is gone.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// let sequence = db.put("k", "v")?;
    /// // ... later, before it is reported:
    /// db.wait_durable(sequence)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a sequence above everything committed; otherwise as
    /// [`Self::sync`].
    pub fn wait_durable(&self, sequence: Sequence) -> Result<()> {
        check_open(self.engine())?;
        sync::wait_durable(self.engine(), sequence)
    }

    /// [`Self::wait_durable`] as a call: `call` is made once, with `Ok` when everything up to a
    /// sequence is durable, or with the error that prevents it. This returns at once.
    ///
    /// No thread waits meanwhile, and nothing else has to sync: the log thread does, once for all
    /// who have asked by then, so that a thousand calls cost a few syncs. It makes the calls, one
    /// after the other, each when a sync covers its sequence; one that panics harms no other.
    /// What is known already (durable, closed, refused) `call` gets before this returns, on the
    /// calling thread: so hold no lock here that it takes. A [`close`](Self::close) and the last
    /// handle's drop sync first, and have made every call when they are done, unless they are made
    /// in a call themselves.
    ///
    /// `call` must not block, because writers may need that thread soon: a write there that would
    /// have to wait fails, and so does what another background thread would have to do (a flush, a
    /// new keyspace). Send what it has to say
    /// to a channel, wake a task, or complete a request.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// use std::sync::mpsc::channel;
    ///
    /// let (sender, receiver) = channel();
    /// for n in 0..100_u8 {
    ///     let sender = sender.clone();
    ///     let sequence = db.put([n], "v")?;
    ///     db.when_durable(sequence, move |result| drop(sender.send(result.map(|()| n))));
    /// }
    /// drop(sender);
    /// let durable: alluvium::Result<Vec<u8>> = receiver.iter().collect();
    /// assert_eq!(durable?.len(), 100);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `call` gets: as [`Self::wait_durable`]. After [`Error::WriterStopped`] it is unknown
    /// until the database is reopened whether the write is durable.
    pub fn when_durable(&self, sequence: Sequence, call: impl FnOnce(Result<()>) + Send + 'static) {
        told::when_durable(self.engine(), sequence, Box::new(call));
    }

    /// [`Self::wait_durable`] as a future, of no runtime: it is ready once everything up to a
    /// sequence is durable. The sync is asked for by this call, not by the first poll, so several
    /// that are made before the first is awaited share one.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Wake, Waker};
    /// # use std::{future::Future, pin::pin, sync::Arc, thread};
    /// # struct Unpark(thread::Thread);
    /// # impl Wake for Unpark { fn wake(self: Arc<Self>) { self.0.unpark() } }
    /// # fn block_on<T>(task: impl Future<Output = T>) -> T {
    /// #     let waker = Waker::from(Arc::new(Unpark(thread::current())));
    /// #     let mut task = pin!(task);
    /// #     loop {
    /// #         match task.as_mut().poll(&mut Context::from_waker(&waker)) {
    /// #             Poll::Ready(output) => return output,
    /// #             Poll::Pending => thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// # let db = alluvium::Db::in_memory()?;
    /// let acknowledged = async {
    ///     let first = db.durable(db.put("a", "1")?);
    ///     let second = db.durable(db.put("b", "2")?);
    ///     first.await?;
    ///     second.await
    /// };
    /// block_on(acknowledged)?; // or whatever your runtime has
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What it becomes ready with: as [`Self::when_durable`].
    pub fn durable(&self, sequence: Sequence) -> Durable {
        let (durable, tell) = Durable::new(self.engine().core.process);
        self.when_durable(sequence, tell);
        durable
    }

    /// Moves everything in memtables to segments on disk, durably, and waits for it.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// assert_eq!(db.stats().runs, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Closed`], or why the flush failed; the memtables and the log
    /// stay then.
    pub fn flush(&self) -> Result<()> {
        check_open(self.engine())?;
        if self.engine().core.options.read_only {
            return Err(Error::ReadOnly { path: self.path().to_path_buf() });
        }
        self.engine().flush()
    }

    /// A copy of the database that opens as one, in a directory that is made, or is empty.
    ///
    /// It has all that was acknowledged before the call, and a prefix of what is written during it;
    /// reads and writes go on. Segments are not copied but given second names (hard links), where
    /// the directory is on the same file system; else they are. What counts of the logs is copied:
    /// at most what memtables hold, [`Builder::memory_bytes`](crate::Builder::memory_bytes) and a
    /// big batch. So it takes milliseconds, however large the database is, and what it takes to
    /// write that much; and no more space at first: merges of either leave the other's segments
    /// alone, which take space for as long as one of both has them.
    ///
    /// It is durable when this returns. Meanwhile the directory is locked, as that of an open
    /// database. After an error the files that were made are removed, but for the lock; after a
    /// crash in the middle it does not open ([`Error::Corruption`]), and can be deleted, or it has
    /// nothing in it yet: open copies with [`create(false)`](crate::Builder::create). Files may be
    /// linked between the two, so change neither by hand. A database that is
    /// [in memory](Self::in_memory) is saved to the disk.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let db = alluvium::Db::open(dir.path().join("data"))?;
    /// db.put("k", "before")?;
    /// db.checkpoint(dir.path().join("copy"))?;
    /// db.put("k", "after")?;
    ///
    /// let copy = alluvium::Db::open(dir.path().join("copy"))?;
    /// assert_eq!(copy.get("k")?.as_deref(), Some(&b"before"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there are files in the directory, or if the system refuses;
    /// [`Error::Locked`] if another copy is being made there; [`Error::StorageFull`];
    /// [`Error::ReadOnly`]; [`Error::Closed`].
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Checkpoint> {
        checkpoint(self.engine(), path.as_ref())
    }

    /// Figures of the database at this moment.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.stats().visible, 1);
    /// println!("{}", db.stats()); // a table
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        gather_stats(self.engine())
    }

    /// Whether background work goes well.
    ///
    /// ```
    /// # let db = alluvium::Db::in_memory()?;
    /// assert!(db.health().is_healthy(), "{}", db.health());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        gather_health(self.engine())
    }

    /// The database's directory, as it was named at the open.
    ///
    /// ```
    /// let db = alluvium::Db::temporary()?;
    /// assert!(db.path().is_dir());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.engine().core.named
    }
}
