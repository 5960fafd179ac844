#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on panics"))]

mod errors;
mod executor;
mod lease;
mod object;
mod place;
mod upload;

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alluvium::BackupStore;
use bytes::Bytes;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use tokio::runtime::Handle;

use crate::errors::{is_unsupported, to_io};
use crate::executor::Executor;
use crate::lease::{Lease, Renew};
use crate::object::ObjectReader;
use crate::place::Place;

const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

/// Records of backups, which are never put over another.
const RECORDS: &str = "backups/";

/// Backups in an object store.
///
/// Clones are the same place, with the same lock.
///
/// ```
/// use std::sync::Arc;
///
/// use alluvium::{BackupOptions, Backups, Db};
/// use alluvium_object_store::ObjectBackupStore;
/// use object_store::memory::InMemory;
///
/// let db = Db::in_memory()?;
/// db.put("k", "v")?;
/// let place = ObjectBackupStore::new(Arc::new(InMemory::new())).part_bytes(16 << 20);
/// let backups = Backups::new(place);
/// let made = backups.create(&db, &BackupOptions::new())?;
/// assert!(backups.verify(made.id)?.is_sound());
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct ObjectBackupStore {
    place: Place,
    lease: Duration,
    lock: Arc<Lease>,
    /// Whether the last call was a deletion. For the speed alone.
    deleting: Arc<AtomicBool>,
}

impl ObjectBackupStore {
    /// Backups at the root of this store. Nothing is looked at yet.
    ///
    /// An upload that fails is aborted. One that the process does not outlive is the store's to
    /// clean up: S3 does so if the bucket has a rule for it. [`Self::with_uploads`] finds them itself.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium_object_store::ObjectBackupStore;
    /// use object_store::memory::InMemory;
    /// use object_store::prefix::PrefixStore;
    ///
    /// // One place among others in one bucket.
    /// let bucket = InMemory::new();
    /// let store = ObjectBackupStore::new(Arc::new(PrefixStore::new(bucket, "databases/users")));
    /// ```
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self::over(store, None)
    }

    /// Backups in a store that tells the names of its uploads, as those of S3, GCS and Azure do.
    ///
    /// The name of an upload is put under `uploads/` for as long as it lasts. Those that a process
    /// has not outlived are aborted by the next call that makes or deletes a backup.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium_object_store::ObjectBackupStore;
    /// use object_store::memory::InMemory;
    ///
    /// let store = ObjectBackupStore::with_uploads(Arc::new(InMemory::new()));
    /// ```
    #[must_use]
    pub fn with_uploads<S: ObjectStore + MultipartStore>(store: Arc<S>) -> Self {
        let uploads: Arc<dyn MultipartStore> = store.clone();
        Self::over(store, Some(uploads))
    }

    fn over(store: Arc<dyn ObjectStore>, uploads: Option<Arc<dyn MultipartStore>>) -> Self {
        let place = Place {
            store,
            uploads,
            executor: Arc::new(Executor::default()),
            part_bytes: PART_BYTES,
            parts_at_once: PARTS_AT_ONCE,
        };
        Self {
            place,
            lease: lease::DEFAULT,
            lock: Arc::new(Lease::new()),
            deleting: Arc::default(),
        }
    }

    /// Calls the store on this runtime, instead of on a thread of its own that the first call starts.
    ///
    /// For a store that the program uses elsewhere, too: its connections are tasks of the runtime
    /// that has opened them, and end with it. The runtime needs another thread than the one that
    /// makes a backup, which waits: call from `spawn_blocking` or a thread, never on a worker. On
    /// one of several workers it works, and takes that from the runtime; on the only one, or in the
    /// `block_on` of a `current_thread` runtime, the call waits for ever.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use alluvium_object_store::ObjectBackupStore;
    /// use object_store::memory::InMemory;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    /// let store = ObjectBackupStore::new(Arc::new(InMemory::new())).runtime(runtime.handle().clone());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn runtime(mut self, handle: Handle) -> Self {
        self.place.executor = Arc::new(Executor::given(handle));
        self
    }

    /// How many bytes of a segment are one part, of an upload or a download: 8 MiB unless set. S3 wants
    /// 5 MiB at least, and parts of a segment that would have more than 10,000 are larger. A segment
    /// of one part is put as it is.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use alluvium_object_store::ObjectBackupStore;
    /// # let store = Arc::new(object_store::memory::InMemory::new());
    /// let store = ObjectBackupStore::new(store).part_bytes(32 << 20);
    /// ```
    #[must_use]
    pub fn part_bytes(mut self, bytes: usize) -> Self {
        self.place.part_bytes = bytes.max(1);
        self
    }

    /// How many parts are on their way at once: 4 unless set. So many are in memory, and one more.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use alluvium_object_store::ObjectBackupStore;
    /// # let store = Arc::new(object_store::memory::InMemory::new());
    /// let store = ObjectBackupStore::new(store).parts_at_once(16); // 128 MiB
    /// ```
    #[must_use]
    pub fn parts_at_once(mut self, parts: usize) -> Self {
        self.place.parts_at_once = parts.max(1);
        self
    }

    /// How long our lock counts without being renewed: 15 minutes unless set. It says so itself,
    /// and others go by that, whatever lease they have. So long nobody makes or deletes a backup
    /// after this process has died at it. It has to be longer than any one request with its
    /// retries, and than what clocks differ by: the store's says when a lock was renewed, and the
    /// caller's what time it is.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use alluvium_object_store::ObjectBackupStore;
    /// # let store = Arc::new(object_store::memory::InMemory::new());
    /// let store = ObjectBackupStore::new(store).lease(Duration::from_secs(3_600));
    /// ```
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    fn renew(&self) -> io::Result<()> {
        self.lock.renew(&self.place, self.lease, Renew::InTime)
    }

    fn renew_now(&self) -> io::Result<()> {
        self.lock.renew(&self.place, self.lease, Renew::Now)
    }

    /// Puts a record while the lock is ours: one who has taken it meanwhile may have deleted
    /// segments that the record names.
    fn put_record(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        self.renew_now()?;
        self.put_new(path, bytes)?;
        self.renew_now().inspect_err(|_| {
            let _ = self.place.delete(path);
        })
    }

    /// Puts what must not be there yet, where the store can tell.
    fn put_new(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        match self.place.put(path, bytes.clone(), PutMode::Create)? {
            Err(error) if is_unsupported(&error) => {
                if self.place.look(path)?.is_some() {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                self.put_over(path, bytes)
            }
            // The answer may have been lost, and a second try of the store's client be refused by
            // what the first has put.
            Err(error) => match self.place.read(path) {
                Ok(Some((_, there))) if there == bytes => Ok(()),
                _ => Err(to_io(error)),
            },
            Ok(_) => Ok(()),
        }
    }

    fn put_over(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        self.place.put(path, bytes, PutMode::Overwrite)?.map(drop).map_err(to_io)
    }
}

impl BackupStore for ObjectBackupStore {
    fn put(&self, name: &str, source: &mut dyn Read, bytes: u64) -> io::Result<()> {
        self.deleting.store(false, Ordering::Relaxed);
        self.renew()?;
        let path = Path::from(name);
        let record = name.starts_with(RECORDS);
        if !record && bytes > self.place.part_bytes as u64 {
            return upload::put(&self.place, &path, source, bytes, || self.renew());
        }
        let whole = upload::read_exactly(source, bytes)?;
        if record { self.put_record(&path, whole) } else { self.put_over(&path, whole) }
    }

    fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(ObjectReader::open(&self.place, Path::from(name))?))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        self.deleting.store(false, Ordering::Relaxed);
        let objects = self.place.list(folder)?;
        Ok(objects.into_iter().map(|it| (it.location.to_string(), it.size)).collect())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        // Segments go by the thousand: the lock is renewed as the first of them goes, then in time.
        if name.starts_with(RECORDS) || !self.deleting.load(Ordering::Relaxed) {
            self.renew_now()?;
            self.deleting.store(true, Ordering::Relaxed);
        }
        self.renew()?;
        self.place.delete(&Path::from(name))
    }

    /// What is read is whole or told to be damaged, so readers need no lock.
    fn lock(&self, shared: bool) -> io::Result<Box<dyn Send>> {
        if shared {
            return Ok(Box::new(()));
        }
        self.lock.take(&self.place, self.lease)?;
        let held = Locked(self.clone());
        upload::clean_up(&self.place)?;
        Ok(Box::new(held))
    }

    fn path(&self, name: &str) -> PathBuf {
        let place = self.place.store.to_string();
        if name.is_empty() { place.into() } else { format!("{place}/{name}").into() }
    }
}

impl fmt::Debug for ObjectBackupStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ObjectBackupStore");
        shown.field("store", &self.place.store.to_string());
        shown.field("uploads", &self.place.uploads.is_some());
        shown.field("part_bytes", &self.place.part_bytes);
        shown.field("parts_at_once", &self.place.parts_at_once);
        shown.field("lease", &self.lease).finish()
    }
}

/// The lock of a place, given back when it is dropped.
struct Locked(ObjectBackupStore);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.lock.give_back(&self.0.place);
    }
}
