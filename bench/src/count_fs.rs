//! A disk that counts what is written to segment files, and times syncs, or leaves them out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use alluvium::io::{DiskFs, Fs, FsFile, FsLock, OpenMode};

/// What happens to a sync, of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Timed,
    /// Nothing is synced: what a device takes for it depends on the device alone.
    LeftOut,
}

/// The disk, counted.
#[derive(Debug)]
pub(crate) struct CountFs {
    syncs: Syncs,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    segment_bytes: AtomicU64,
    sync_ns: AtomicU64,
}

#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn FsFile>,
    is_segment: bool,
    syncs: Syncs,
    seen: Arc<Seen>,
}

impl CountFs {
    pub(crate) fn new(syncs: Syncs) -> Arc<Self> {
        Arc::new(Self { syncs, seen: Arc::default() })
    }

    /// Bytes written to segment files so far.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.seen.segment_bytes.load(Ordering::Relaxed)
    }

    /// Time spent in syncs so far, of all threads together, in seconds.
    pub(crate) fn sync_seconds(&self) -> f64 {
        self.seen.sync_ns.load(Ordering::Relaxed) as f64 / 1e9
    }
}

impl Seen {
    fn sync(&self, syncs: Syncs, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if syncs == Syncs::LeftOut {
            return Ok(());
        }
        let start = Instant::now();
        let result = sync();
        self.sync_ns.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }
}

impl Fs for CountFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = DiskFs.open(path, mode)?;
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let syncs = self.syncs;
        let seen = Arc::clone(&self.seen);
        Ok(Arc::new(CountedFile { file, is_segment, syncs, seen }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DiskFs.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        DiskFs.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskFs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskFs.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.seen.sync(self.syncs, || DiskFs.sync_dir(dir))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        DiskFs.lock(path, shared, create)
    }
}

impl FsFile for CountedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.file.write_at(buf, offset)?;
        if self.is_segment {
            self.seen.segment_bytes.fetch_add(written as u64, Ordering::Relaxed);
        }
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.seen.sync(self.syncs, || self.file.sync_data())
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.seen.sync(self.syncs, || self.file.sync_below(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    /// Of log files only, of which no bytes are counted.
    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        if self.is_segment { None } else { self.file.overwriter(len) }
    }
}
