//! A file system that holds the drop of a keyspace up where merges may overtake it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use alluvium::io::{Fs, FsFile, OpenMode, SimFs};

use crate::world::layers::{FileLayer, FsLayer, LayeredFile};

/// A file system on which merges overtake a drop: they wait until its record is written, and the
/// sync of the log behind it waits until they have done what they had to do.
#[derive(Clone, Debug)]
pub struct SlowDrops(pub SimFs, pub Arc<Dropping>);

#[derive(Debug)]
struct SlowLog(Arc<dyn FsFile>, SlowDrops);

/// How far the drop of a keyspace is.
#[derive(Debug, Default)]
pub struct Dropping(Mutex<DropStep>, Condvar);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DropStep {
    #[default]
    None,
    Asked,
    Written,
}

impl Dropping {
    pub fn is_at(&self, step: DropStep) -> bool {
        *self.0.lock().unwrap() == step
    }

    pub fn set(&self, step: DropStep) {
        *self.0.lock().unwrap() = step;
        self.1.notify_all();
    }

    /// Waits until a record is written, but no longer than it takes where one is to come.
    fn await_record(&self) {
        let step = self.0.lock().unwrap();
        let wait = Duration::from_millis(20);
        drop(self.1.wait_timeout_while(step, wait, |step| *step != DropStep::Written).unwrap());
    }
}

impl FsLayer for SlowDrops {
    fn inner(&self) -> &dyn Fs {
        &self.0
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let has_extension = |of: &str| path.extension().is_some_and(|extension| extension == of);
        let merges = || thread::current().name().is_some_and(|name| name.contains("compactor"));
        if has_extension("seg") && merges() && !self.0.crashed() {
            self.1.await_record();
        }
        let file = self.0.open(path, mode)?;
        let is_log = has_extension("wal");
        Ok(if is_log { Arc::new(LayeredFile(SlowLog(file, self.clone()))) } else { file })
    }
}

impl FileLayer for SlowLog {
    fn inner(&self) -> &dyn FsFile {
        &*self.0
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.0.write_at(buf, offset);
        if self.1.1.is_at(DropStep::Asked) {
            self.1.1.set(DropStep::Written);
        }
        written
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        let SlowDrops(fs, dropping) = &self.1;
        let mut done = None;
        while dropping.is_at(DropStep::Written) && done != Some(fs.op_count()) {
            done = Some(fs.op_count());
            thread::sleep(Duration::from_millis(2));
        }
        self.0.sync_below(len)
    }
}
