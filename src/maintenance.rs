//! What those who run a database ask of it: its segments, and the memtable size while it is open.
//! Contracts and delegation, as in `db`, of which this is a part.

use crate::db::Db;
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
