//! A disk that looks at the engine's appends to the log from inside: it times them, or leaves them
//! out. It is told apart by what only an append is: a short write to a log file.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use alluvium::io::{DiskFs, Fs, FsFile, FsLock, OpenMode};

use crate::histogram::Histogram;

/// Spares are filled and headers written by more than this at a time; records here are shorter.
const APPEND_BYTES_MAX: usize = 1024;

/// One append in this many is timed.
const EVERY: u64 = 16;

/// What happens to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appends {
    Timed,
    /// Nothing is written. Such a database cannot be reopened.
    LeftOut,
}

/// The disk, with a probe in the log.
#[derive(Debug)]
pub(crate) struct ProbeFs {
    appends: Appends,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU64,
    times: Mutex<Histogram>,
}

#[derive(Debug)]
struct ProbedLog {
    file: Arc<dyn FsFile>,
    appends: Appends,
    seen: Arc<Seen>,
}

impl ProbeFs {
    pub(crate) fn new(appends: Appends) -> Self {
        Self { appends, seen: Arc::default() }
    }

    /// How long the timed appends took.
    pub(crate) fn times(&self) -> Histogram {
        self.seen.times.lock().expect("adding to a histogram does not panic").clone()
    }

    /// How many appends there were.
    pub(crate) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }
}

impl Fs for ProbeFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = DiskFs.open(path, mode)?;
        if path.extension().is_some_and(|extension| extension == "wal") {
            let appends = self.appends;
            let seen = Arc::clone(&self.seen);
            return Ok(Arc::new(ProbedLog { file, appends, seen }));
        }
        Ok(file)
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
        DiskFs.sync_dir(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        DiskFs.lock(path, shared, create)
    }
}

impl FsFile for ProbedLog {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if buf.len() > APPEND_BYTES_MAX {
            return self.file.write_at(buf, offset);
        }
        // One caller at a time, inside the commit section, so no atomic addition is needed.
        let count = self.seen.count.load(Ordering::Relaxed);
        self.seen.count.store(count + 1, Ordering::Relaxed);
        if self.appends == Appends::LeftOut {
            return Ok(buf.len());
        }
        if !count.is_multiple_of(EVERY) {
            return self.file.write_at(buf, offset);
        }
        let start = Instant::now();
        let result = self.file.write_at(buf, offset);
        let ns = start.elapsed().as_nanos() as u64;
        self.seen.times.lock().expect("adding to a histogram does not panic").add(ns);
        result
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.file.sync_below(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn overwriter(&self, len: u64) -> Option<Arc<dyn FsFile>> {
        let file = self.file.overwriter(len)?;
        Some(Arc::new(Self { file, appends: self.appends, seen: Arc::clone(&self.seen) }))
    }
}
