//! [`Backups`]: the backups of a database in one place. Contracts and delegation; what is done
//! stands in `engine/copy`.

use std::fmt;
use std::path::Path;

use crate::db::Db;
use crate::engine::copy::backup::{BackupInfo, BackupOptions, create};
use crate::engine::copy::records::{BackupRecords, Deleted};
use crate::engine::copy::restore::{BackupReport, restore, verify};
use crate::engine::copy::store::BackupStore;
use crate::error::Result;
use crate::io::{DiskFs, Fs, RetriedFs};
use crate::sync::Arc;

/// The backups of one database in one place: made, listed, checked, restored, and deleted once they
/// are old.
///
/// A backup is incremental: it puts the segments that the place does not have yet, and a record of
/// all that it consists of. Each can be restored whatever becomes of the others. Whatever cuts off
/// the making or the deletion of one, those that are listed are whole.
///
/// The place is a directory ([`DirStore`](crate::DirStore)), or whatever a [`BackupStore`] is made
/// for; the crate `alluvium-object-store` has one for S3, GCS, Azure and the like. A segment there
/// is known by its uuid and length, and trusted to be what was put until [`Self::verify`] or a
/// restore reads it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use alluvium::{BackupOptions, Backups, Db, DirStore};
///
/// let db = Db::open(dir.path().join("data"))?;
/// let backups = Backups::new(DirStore::new(dir.path().join("backups")));
/// db.put("k", "one")?;
/// backups.create(&db, &BackupOptions::new())?;
/// db.put("k", "two")?;
/// backups.create(&db, &BackupOptions::new().label("second"))?;
/// backups.keep(24)?; // of these two both
///
/// backups.restore(Some(1), dir.path().join("restored"))?;
/// let restored = Db::open(dir.path().join("restored"))?;
/// assert_eq!(restored.get("k")?.as_deref(), Some(&b"one"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Of every call here: [`Error::Io`](crate::Error::Io) and
/// [`Error::StorageFull`](crate::Error::StorageFull) name the object, or the file, that the place
/// or the disk has refused. If another call makes or deletes a backup there,
/// or, for these, reads one, an `Error::Io` that
/// [is retryable](crate::Error::is_retryable).
/// [`Error::BackupDamaged`](crate::Error::BackupDamaged) names what is damaged or missing;
/// [`Error::UnsupportedFormat`](crate::Error::UnsupportedFormat) a record of a newer version.
pub struct Backups {
    store: Arc<dyn BackupStore>,
    /// Where restored databases go.
    fs: Arc<dyn Fs>,
    progress: Arc<dyn Fn(u64, u64) + Send + Sync>,
}

impl Backups {
    /// Those in this place. Nothing is looked at yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
    /// assert!(backups.list()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(store: impl BackupStore) -> Self {
        let fs = Arc::new(RetriedFs::new(Arc::new(DiskFs)));
        Self { store: Arc::new(store), fs, progress: Arc::new(|_, _| {}) }
    }

    /// Restores to another file system than the disk.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium::io::SimFs;
    /// use alluvium::{Backups, DirStore};
    ///
    /// let fs = Arc::new(SimFs::new());
    /// let backups = Backups::new(DirStore::with_fs(fs.clone(), "backups")).fs(fs);
    /// ```
    #[must_use]
    pub fn fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Has `progress` called with how much is done and how much there is to do, in bytes, by
    /// [`Self::create`], [`Self::verify`] and [`Self::restore`], on the thread that called them:
    /// first with 0, then each megabyte or so.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()))
    ///     .progress(|done, total| println!("{done} of {total} bytes"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Makes a backup of all that was acknowledged before the call, and of a prefix of what is
    /// written during it; it is durable, as far as the place says so, when this returns.
    ///
    /// Flushes first, and reads what the place does not have yet, on the calling thread; reads,
    /// writes and merges go on. Segments that merges replace meanwhile stay until this returns.
    /// After an error there is no backup of this call; what it has put is used by the next one.
    ///
    /// Each database has a place of its own; a restored one goes on in the place it comes from.
    /// What is read from the database is not checked: [`Db::verify`] does that.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # use alluvium::{BackupOptions, Backups, DirStore};
    /// let backups = Backups::new(DirStore::new(dir.path()));
    /// db.put("k", "v")?;
    /// let first = backups.create(&db, &BackupOptions::new())?;
    /// let second = backups.create(&db, &BackupOptions::new())?;
    /// assert!(first.new_bytes > 0 && second.new_bytes == 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Also those of [`Db::flush`]; [`Error::ReadOnly`](crate::Error::ReadOnly);
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the place has backups of
    /// another database, or for a label that is too long. One that is retryable if keyspaces are
    /// dropped without a pause.
    pub fn create(&self, db: &Db, options: &BackupOptions) -> Result<BackupInfo> {
        create(self.records(), db.engine(), options, &*self.progress)
    }

    /// The numbers of all backups, ascending: the newest is the last.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
    /// for id in backups.ids()? {
    ///     println!("{id}: {:?}", backups.info(id)); // one may be damaged
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for all of [`Backups`].
    pub fn ids(&self) -> Result<Vec<u64>> {
        self.records().ids()
    }

    /// What the record of a backup says.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
    /// assert!(backups.info(7).is_err(), "there is none");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if there is none of this number.
    pub fn info(&self, id: u64) -> Result<BackupInfo> {
        Ok(BackupInfo::of(&self.records().find(Some(id))?.record))
    }

    /// All backups, oldest first.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
    /// for backup in backups.list()? {
    ///     println!("{} {:?}, {} bytes", backup.id, backup.label, backup.bytes);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for all of [`Backups`]: the first record that is damaged. [`Self::ids`] lists the others,
    /// too.
    pub fn list(&self) -> Result<Vec<BackupInfo>> {
        let records = self.records();
        // One that was deleted meanwhile is left out.
        let found = records.ids()?.into_iter().filter_map(|id| records.read(id).transpose());
        found.map(|found| Ok(BackupInfo::of(&found?.record))).collect()
    }

    /// Reads all that a backup consists of, and compares lengths and checksums. What is damaged or
    /// missing is in the report, not an error of the call.
    ///
    /// A damaged segment is part of every later backup that has it, too. Delete its object, by the
    /// name in the report, and the next backup puts it again, if the database still has it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # use alluvium::{BackupOptions, Backups, DirStore};
    /// let backups = Backups::new(DirStore::new(dir.path()));
    /// let made = backups.create(&db, &BackupOptions::new())?;
    /// let report = backups.verify(made.id)?;
    /// assert!(report.is_sound(), "{:?}", report.errors);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::info`].
    pub fn verify(&self, id: u64) -> Result<BackupReport> {
        verify(self.records(), id, &*self.progress)
    }

    /// Makes a database of a backup, or of the newest, in a directory that is made, or is empty;
    /// every byte is checked as it is written. It is durable when this returns, and says what was
    /// restored.
    ///
    /// After an error what was made is removed; after a crash in the middle the directory does not
    /// open, and can be deleted.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # use alluvium::{BackupOptions, Backups, DirStore};
    /// let backups = Backups::new(DirStore::new(dir.path().join("backups")));
    /// db.put("k", "v")?;
    /// backups.create(&db, &BackupOptions::new())?;
    /// backups.restore(None, dir.path().join("restored"))?;
    /// assert!(alluvium::Db::open(dir.path().join("restored"))?.contains_key("k")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::info`], and if there are files in the directory.
    pub fn restore(&self, id: Option<u64>, path: impl AsRef<Path>) -> Result<BackupInfo> {
        restore(self.records(), id, (&self.fs, path.as_ref()), &*self.progress)
    }

    /// Deletes all backups but the newest `count`, and the segments that none of these has. Those
    /// of backups that were cut off go, too.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # use alluvium::{BackupOptions, Backups, DirStore};
    /// let backups = Backups::new(DirStore::new(dir.path()));
    /// for _ in 0..3 {
    ///     backups.create(&db, &BackupOptions::new())?;
    /// }
    /// assert_eq!(backups.keep(2)?.backups, 1);
    /// assert_eq!(backups.ids()?, [2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `count` of 0. If a record
    /// that is to stay is damaged nothing is deleted, because nobody knows what it needs:
    /// [`Self::delete`] it first.
    pub fn keep(&self, count: usize) -> Result<Deleted> {
        self.records().keep(count)
    }

    /// Deletes a backup, sound or not, and the segments that no other has. The number of the newest
    /// is given to the next one again.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # use alluvium::{BackupOptions, Backups, DirStore};
    /// let backups = Backups::new(DirStore::new(dir.path()));
    /// let made = backups.create(&db, &BackupOptions::new())?;
    /// assert_eq!(backups.delete(made.id)?.backups, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::info`]. If the record of another one is damaged, the backup is deleted and its
    /// segments stay.
    pub fn delete(&self, id: u64) -> Result<Deleted> {
        self.records().delete(id)
    }

    fn records(&self) -> BackupRecords<'_> {
        BackupRecords(&*self.store)
    }
}

impl fmt::Debug for Backups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backups").field("store", &self.store).finish_non_exhaustive()
    }
}
