//! The directory that a copy or a backup becomes a database in: made, filled, and finished so that
//! half of it is never taken for one.
//!
//! `CURRENT` is the last file of all: an open of a directory that lacks it is an error. After an
//! error, what was made is removed.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::names::FileName;
use crate::ids::{FileNumber, LogNumber, LogPosition};
use crate::io::{Fs, NamedFile, OpenMode, sync_dir};
use crate::runs::manifest::Manifest;
use crate::runs::state::ManifestState;
use crate::sync::Arc;
use crate::witness::{Claims, Witness};

/// The directory that is being filled.
pub(super) struct Target<'a> {
    pub(super) fs: Arc<dyn Fs>,
    dir: &'a Path,
    made: Vec<PathBuf>,
}

impl<'a> Target<'a> {
    /// Makes the directory; one with files in it is refused, in the words of `what`.
    pub(super) fn new(fs: Arc<dyn Fs>, dir: &'a Path, what: &'static str) -> Result<Self> {
        fs.create_dir_all(dir).map_err(|error| Error::io("create the directory", dir, error))?;
        let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
        if !names.is_empty() {
            return Err(Error::io(what, dir, std::io::ErrorKind::AlreadyExists.into()));
        }
        Ok(Self { fs, dir, made: Vec::new() })
    }

    /// Fills it, and removes what was made if that fails.
    pub(super) fn filled<T>(mut self, fill: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let filled = fill(&mut self);
        if filled.is_err() {
            // What cannot be removed stays, and is no database. The newest first: without CURRENT
            // the rest is nothing.
            self.made.iter().rev().for_each(|path| {
                let _ = self.fs.remove(path);
            });
        }
        filled
    }

    /// A new file of this name.
    pub(super) fn create(&mut self, name: FileName) -> Result<NamedFile> {
        let path = self.path(name);
        NamedFile::open(self.fs.as_ref(), path, OpenMode::CreateNew)
    }

    /// Where a file of this name is, or will be; it goes if the copy comes to nothing.
    pub(super) fn path(&mut self, name: FileName) -> PathBuf {
        let path = self.dir.join(name.name());
        self.made.push(path.clone());
        path
    }

    /// Makes a database of the files that are there, which are durable but for their names: a
    /// witness that says how far the last log is durable, so that damage to it is told from a torn
    /// tail; a manifest; then `CURRENT`.
    pub(super) fn finish(
        &mut self,
        state: &ManifestState,
        logs: Option<(LogNumber, LogPosition)>,
    ) -> Result<()> {
        self.path(FileName::Witness);
        let fs = self.fs.as_ref();
        let witness = Witness::open(fs, self.dir, state.uuid, &Claims::default());
        if let Some((last, end)) = logs {
            witness.note_log(last, end);
            witness.sync();
        }
        sync_dir(fs, self.dir)?;
        let number = FileNumber(1);
        self.path(FileName::Manifest(number));
        self.path(FileName::CurrentTmp);
        self.path(FileName::Current);
        let witness = Arc::new(witness);
        let fs = Arc::clone(&self.fs);
        Manifest::create(fs, self.dir, number, state, Arc::clone(&witness))?;
        // Behind the manifest, of which it says that it counts.
        witness.sync();
        Ok(())
    }
}
