//! The directory that a copy becomes a database in: locked, filled, and finished so that half of it
//! is never taken for one.
//!
//! 1. Make it, and lock it as an open does: nobody opens it meanwhile, and no other copy goes
//!    there. One with files in it is refused.
//! 2. Write a manifest, durable with its name, before any other file: an open of a directory that
//!    has it and no `CURRENT` is an error.
//! 3. Fill it. Files that are there already were made by somebody else, and stay.
//! 4. Write a witness that says how far the logs are durable, so that damage to them is told from a
//!    torn tail; another manifest; then `CURRENT`, the last file of all.
//!
//! After an error, what was made is removed, but for the lock file.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::directory::{DirectoryLock, Entered, enter};
use crate::error::{Error, Result};
use crate::format::names::FileName;
use crate::ids::{FileNumber, LogNumber, LogPosition};
use crate::io::{Fs, NamedFile, OpenMode, sync_dir};
use crate::options::Options;
use crate::runs::manifest::Manifest;
use crate::runs::state::ManifestState;
use crate::sync::Arc;
use crate::witness::{Claims, Witness};

/// The directory that is being filled.
pub(super) struct Target {
    /// Reaches the files in it.
    pub(super) fs: Arc<dyn Fs>,
    /// In full where that is known.
    dir: PathBuf,
    _lock: DirectoryLock,
    made: Vec<PathBuf>,
}

impl Target {
    /// Step 1. One with files in it is refused, in the words of `what`.
    pub(super) fn new(outside: Arc<dyn Fs>, dir: &Path, what: &'static str) -> Result<Self> {
        // Before the lock file is made, and under the lock.
        let look = |fs: &dyn Fs| expect_no_files(fs, dir, what);
        match look(outside.as_ref()) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            looked => looked?,
        }
        let Entered { fs, dir: full, lock } = enter(&outside, dir, &Options::default(), look)?;
        expect_no_files(fs.as_ref(), &full, what)?;
        Ok(Self { fs, dir: full, _lock: lock, made: Vec::new() })
    }

    /// Step 2, and what `fill` does of the others; removes what was made if that fails.
    pub(super) fn filled<T>(
        mut self,
        state: &ManifestState,
        fill: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let filled = self.begin(state).and_then(|()| fill(&mut self));
        if filled.is_err() {
            // What cannot be removed stays, and is no database. The newest first: without CURRENT
            // the rest is nothing, and the first manifest says so until it goes.
            self.made.iter().rev().for_each(|path| {
                let _ = self.fs.remove(path);
            });
        }
        filled
    }

    fn begin(&mut self, state: &ManifestState) -> Result<()> {
        let number = FileNumber(1);
        self.mine(FileName::Manifest(number));
        Manifest::write_alone(self.fs.as_ref(), &self.dir, number, state)
    }

    /// A new file of this name. It may be closed when it is not in use.
    pub(super) fn create(&mut self, name: FileName) -> Result<NamedFile> {
        let path = self.dir.join(name.name());
        let (file, _pin) = NamedFile::create(&self.fs, path.clone(), OpenMode::ReadWrite)?;
        self.made.push(path);
        Ok(file)
    }

    /// A file of this name, which `give` makes.
    pub(super) fn give(
        &mut self,
        name: FileName,
        give: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.dir.join(name.name());
        give(&path)?;
        self.made.push(path);
        Ok(())
    }

    /// A name that is nobody else's while the directory is locked.
    fn mine(&mut self, name: FileName) {
        self.made.push(self.dir.join(name.name()));
    }

    /// Step 4, for files that are durable but for their names. `logs` says which is the last, and
    /// up to where all are whole.
    pub(super) fn finish(
        &mut self,
        state: &ManifestState,
        logs: Option<(LogNumber, LogPosition)>,
    ) -> Result<()> {
        self.mine(FileName::Witness);
        let fs = self.fs.as_ref();
        let witness = Witness::open(fs, &self.dir, state.uuid, &Claims::default());
        if let Some((last, end)) = logs {
            witness.note_log(last, end);
            witness.sync();
        }
        sync_dir(fs, &self.dir)?;
        let number = FileNumber(2);
        self.mine(FileName::Manifest(number));
        self.mine(FileName::CurrentTmp);
        self.mine(FileName::Current);
        let witness = Arc::new(witness);
        let fs = Arc::clone(&self.fs);
        Manifest::create(fs, &self.dir, number, state, Arc::clone(&witness))?;
        // Behind the manifest, of which it says that it counts.
        witness.sync();
        Ok(())
    }
}

fn expect_no_files(fs: &dyn Fs, dir: &Path, what: &'static str) -> Result<()> {
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    if names.iter().any(|name| *name != FileName::Lock.name()) {
        return Err(Error::io(what, dir, io::ErrorKind::AlreadyExists.into()));
    }
    Ok(())
}
