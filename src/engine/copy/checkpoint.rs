//! A checkpoint: a directory that opens as a database, with all that was acknowledged before it was
//! begun.
//!
//! 1. Make the directory; one with files in it is refused.
//! 2. Freeze the database (`copy`); copy what counts of its logs, after which flushes hand logs on
//!    again; then sync the copies.
//! 3. Give each segment a second name in there, or copy it where there can be none.
//! 4. Write a witness that says that these logs are durable, so that damage to them is told from a
//!    torn tail; write a manifest from the state; then `CURRENT`, the last file of all. An open of
//!    a directory that lacks it is an error, so half a checkpoint is never taken for a database.
//!
//! After an error, what was made is removed.

use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::engine::copy::Frozen;
use crate::error::{Error, Result};
use crate::event::scope;
use crate::format::names::FileName;
use crate::ids::{FileNumber, Sequence};
use crate::io::{DiskFs, Fs, NamedFile, OpenMode, RetriedFs, copy_between, sync_dir};
use crate::runs::each_file;
use crate::runs::manifest::Manifest;
use crate::sync::Arc;
use crate::witness::{Claims, Witness};

/// What [`Db::checkpoint`](crate::Db::checkpoint) has made.
///
/// ```
/// # let db = alluvium::Db::in_memory()?;
/// # let dir = tempfile::tempdir()?;
/// db.put("k", "v")?;
/// let checkpoint = db.checkpoint(dir.path().join("copy"))?;
/// assert_eq!((checkpoint.sequence.0, checkpoint.segments), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Everything up to this sequence is in it; writes of the time in which it was begun may be,
    /// too, up to some sequence above.
    pub sequence: Sequence,
    /// Segment files, linked or copied.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes of logs, all of which were copied.
    pub log_bytes: u64,
}

/// Makes a checkpoint in a directory that does not exist, or is empty.
pub(crate) fn checkpoint(engine: &Engine, path: &Path) -> Result<Checkpoint> {
    let frozen = Frozen::new(engine)?;
    let _scope = scope!("checkpoint", path = %path.display());
    let mut target = Target::new(engine, path)?;
    let made = target.fill(frozen);
    if made.is_err() {
        target.remove();
    }
    made
}

/// The directory that is being filled.
struct Target<'a> {
    engine: &'a Engine,
    /// The file system that it is on: the database's, but for one in memory.
    fs: Arc<dyn Fs>,
    dir: &'a Path,
    made: Vec<PathBuf>,
}

impl<'a> Target<'a> {
    fn new(engine: &'a Engine, dir: &'a Path) -> Result<Self> {
        let core = &engine.core;
        let fs: Arc<dyn Fs> = match core.options.in_memory {
            true => Arc::new(RetriedFs::new(Arc::new(DiskFs))),
            false => Arc::clone(&core.outside),
        };
        fs.create_dir_all(dir).map_err(|error| Error::io("create the directory", dir, error))?;
        let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
        if !names.is_empty() {
            let there = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::io("make a checkpoint among the files in", dir, there));
        }
        Ok(Self { engine, fs, dir, made: Vec::new() })
    }

    fn fill(&mut self, mut frozen: Frozen<'_>) -> Result<Checkpoint> {
        let copies = self.copy_logs(&frozen)?;
        frozen.logs_read();
        copies.iter().try_for_each(NamedFile::sync_data)?;
        let mut done = Checkpoint {
            sequence: frozen.sequence,
            segments: 0,
            segment_bytes: 0,
            log_bytes: frozen.logs.iter().map(|log| frozen.log_bytes(log)).sum(),
        };
        for segment in each_file(&frozen.view.segments) {
            self.give_segment(segment.number())?;
            done.segments += 1;
            done.segment_bytes += segment.bytes();
        }
        self.finish(&frozen)?;
        Ok(done)
    }

    /// A new file of this name.
    fn create(&mut self, name: FileName) -> Result<NamedFile> {
        let path = self.path(name);
        NamedFile::open(self.fs.as_ref(), path, OpenMode::CreateNew)
    }

    /// Where a file of this name is, or will be; it goes if the checkpoint comes to nothing.
    fn path(&mut self, name: FileName) -> PathBuf {
        let path = self.dir.join(name.name());
        self.made.push(path.clone());
        path
    }

    fn copy_logs(&mut self, frozen: &Frozen<'_>) -> Result<Vec<NamedFile>> {
        let copies = frozen.logs.iter().map(|log| {
            let copy = self.create(FileName::LogSlot(log.slot))?;
            frozen.read_log(log, |piece, at| copy.write_all_at(piece, at))?;
            Ok(copy)
        });
        copies.collect()
    }

    fn give_segment(&mut self, number: FileNumber) -> Result<()> {
        let core = &self.engine.core;
        let name = FileName::Segment(number);
        let from = core.dir.join(name.name());
        let to = self.path(name);
        let given = match core.options.in_memory {
            true => copy_between(core.fs.as_ref(), &from, self.fs.as_ref(), &to),
            false => core.fs.hard_link(&from, &to),
        };
        given.map_err(|error| Error::io("link or copy", &from, error))
    }

    /// Step 4.
    fn finish(&mut self, frozen: &Frozen<'_>) -> Result<()> {
        let database = self.engine.core.database;
        self.path(FileName::Witness);
        let fs = self.fs.as_ref();
        let witness = Witness::open(fs, self.dir, database, &Claims::default());
        if let Some(last) = frozen.logs.last() {
            witness.note_log(last.header.number, frozen.end);
            witness.sync();
        }
        sync_dir(fs, self.dir)?;
        let number = FileNumber(1);
        self.path(FileName::Manifest(number));
        self.path(FileName::CurrentTmp);
        self.path(FileName::Current);
        let witness = Arc::new(witness);
        let fs = Arc::clone(&self.fs);
        Manifest::create(fs, self.dir, number, &frozen.state, Arc::clone(&witness))?;
        // Behind the manifest, of which it says that it counts.
        witness.sync();
        Ok(())
    }

    /// What cannot be removed stays, and is no database.
    fn remove(&self) {
        // The newest first: without CURRENT the rest is nothing.
        self.made.iter().rev().for_each(|path| {
            let _ = self.fs.remove(path);
        });
    }
}
