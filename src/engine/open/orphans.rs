//! Segments and manifests that nothing names any more, left by a crash: an open removes them once
//! everything agrees.
//!
//! Where the manifest may have lost edits, a whole segment that it does not name may be data,
//! unless it did name it and an edit took it out, as a power loss behind a merge's edit leaves it.
//! It is given a name that the engine neither reads nor removes (I39).

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::event::event;
use crate::format::footer::{FOOTER_BYTES, Footer};
use crate::format::names::FileName;
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::ids::{FileNumber, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};
use crate::runs::manifest;
use crate::runs::state::ManifestState;

/// What shows that a segment which the manifest does not name is of no use.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// Whether the manifest is known to have lost no edit.
    pub(crate) known_whole: bool,
    /// Segments that it has named and names no more.
    pub(crate) given_up: BTreeSet<FileNumber>,
}

impl Evidence {
    fn may_be_data(&self, name: &str) -> bool {
        match FileName::parse(name) {
            Some(FileName::Segment(number)) => {
                !self.known_whole && !self.given_up.contains(&number)
            }
            _ => false,
        }
    }
}

/// Removes orphans; those that may be data are renamed.
/// Returns how many were. Files that are not ours by name, or by the uuid inside, are left alone.
pub(crate) fn remove_orphans(
    fs: &dyn Fs,
    dir: &Path,
    state: &ManifestState,
    current: FileNumber,
    evidence: &Evidence,
) -> Result<usize> {
    let named: BTreeSet<_> = state.segments().map(|meta| meta.number).collect();
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut kept = 0;
    for name in names {
        let path = dir.join(&name);
        let orphan = match FileName::parse(&name) {
            Some(FileName::Segment(number)) => {
                !named.contains(&number) && is_ours(fs, &path, state.uuid)
            }
            Some(FileName::Manifest(number)) => {
                number != current && manifest::is_ours(fs, &path, state.uuid)
            }
            Some(FileName::CurrentTmp) => true,
            _ => false,
        };
        if orphan && evidence.may_be_data(&name) && is_whole(fs, &path) {
            keep(fs, dir, &name);
            kept += 1;
        } else if orphan && let Err(error) = fs.remove(&path) {
            event!(debug, %error, name, "an orphan was left behind");
        }
    }
    Ok(kept)
}

/// Gives a segment a name that nothing of the engine has. If that fails it keeps its own, which is
/// not given out again while it is there.
fn keep(fs: &dyn Fs, dir: &Path, name: &str) {
    let from = dir.join(name);
    let to = dir.join(format!("{name}.orphan"));
    // Not where that could not be told.
    let free = match NamedFile::open(fs, to.clone(), OpenMode::Read) {
        Err(Error::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
        _ => false,
    };
    match free.then(|| fs.rename(&from, &to)) {
        Some(Ok(())) => event!(
            warn,
            file = %to.display(),
            "the manifest may have lost its end: a segment that it does not name was kept"
        ),
        _ => event!(debug, file = %from.display(), "an orphan was left behind"),
    }
}

/// Whether a segment file has its footer. One that cannot be read may.
fn is_whole(fs: &dyn Fs, path: &Path) -> bool {
    let read = || -> Result<bool> {
        let file = NamedFile::open(fs, path.to_path_buf(), OpenMode::Read)?;
        let bytes = file.len()?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, bytes.saturating_sub(FOOTER_BYTES as u64))?;
        Ok(Footer::decode(&footer).is_ok_and(|footer| footer.file_bytes == bytes))
    };
    match read() {
        Err(Error::Io { source, .. }) => source.kind() != ErrorKind::UnexpectedEof,
        read => read.unwrap_or(true),
    }
}

/// Whether a file says that it is a segment of this database.
fn is_ours(fs: &dyn Fs, path: &Path, database: Uuid) -> bool {
    NamedFile::open(fs, path.to_path_buf(), OpenMode::Read)
        .and_then(|file| file.first_bytes(SEGMENT_HEADER_BYTES))
        .is_ok_and(|bytes| SegmentHeader::is_of(&bytes, database))
}
