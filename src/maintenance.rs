//! What those who run a database ask of it: its segments, its index, and the memtable size while it
//! is open. Contracts and delegation, as in `db`, of which this is a part.

use crate::db::Db;
use crate::engine::index::IndexReport;
use crate::engine::segments::SegmentInfo;
use crate::error::Result;

impl Db {
    /// Every segment file of this moment: newest run first, in key order within a run.
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
        self.engine().segments()
    }

    /// Derives the index and the filter of every segment anew, by reading all data blocks, and puts
    /// them in the place of those in memory: all of them, or after an error none.
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
    /// [`Error::Corruption`](crate::Error::Corruption) if a data block is damaged,
    /// [`Error::Io`](crate::Error::Io) if one cannot be read,
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn rebuild_index(&self) -> Result<IndexReport> {
        self.engine().check_open()?;
        self.engine().rebuild_index()
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
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a size outside its bounds,
    /// which changes nothing; [`Error::ReadOnly`](crate::Error::ReadOnly);
    /// [`Error::Closed`](crate::Error::Closed);
    /// [`Error::WriterStopped`](crate::Error::WriterStopped).
    pub fn set_memtable_bytes(&self, bytes: usize) -> Result<()> {
        self.engine().set_memtable_bytes(bytes)
    }
}
