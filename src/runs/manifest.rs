//! The manifest's file: edits appended and synced one at a time, found through `CURRENT`.
//!
//! A [`Manifest`] belongs to one mutex in the engine that only background threads take: every
//! append waits for the device. It starts no thread, takes no lock, and knows no segment file.
//!
//! # The file
//!
//! | at | what |
//! |---|---|
//! | 0 | header, 96 bytes ([`crate::format::edit`]) |
//! | 96 | snapshot record: the state that the file starts from |
//! | … | edit records, numbered without a gap, each with its mark ([`crate::format::record`]) |
//!
//! # Protocol
//!
//! 1. Start: write `MANIFEST-n` whole, sync it and the directory; write and sync `CURRENT.tmp`,
//!    rename it over `CURRENT`, sync the directory. Only then remove older manifests.
//! 2. Append: write one record whose *synced* is its own offset, because everything before has been
//!    synced; sync. The edit counts once that returns.
//! 3. Mark: write a record without a body behind it, again with its own offset as *synced*; sync.
//!    It says of the last edit what the next one would: that it was synced. Without it, damage to
//!    the last edit would read as the tail of an append, and the edit be lost without a word. It
//!    stays where it is: to write the next edit over it would take that back until the next mark.
//! 4. After any failure the file's state is unknown, so nothing is ever appended to it again: the
//!    next append starts the next file from the last good state. Until that has succeeded, the
//!    failed edit may turn out to be there, so what it refers to must stay. An edit whose mark
//!    fails counts: the next file, which needs no mark, is tried at once.
//! 5. Read: stop at the first record that is not valid. A valid record behind it knows that place
//!    synced, so this is damage; without one it is the tail of an append that a crash cut off. The
//!    snapshot has to be valid: `CURRENT` names no file before it is synced.
//! 6. What counts is told to the witness (`crate::witness`), so that damage which takes the end of
//!    the file, or the file, with its marks is found too.
//! 7. A manifest that was read is not appended to either (what was read may never have reached the
//!    device), so recovery ends in step 1, before anything is deleted.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::current::Current;
use crate::format::edit::{Edit, MANIFEST_HEADER_BYTES, ManifestHeader};
use crate::format::hash::checksum;
use crate::format::names::FileName;
use crate::format::record::{
    BODY_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader, RecordKind, finish_record, record_bytes,
};
use crate::ids::{FileNumber, Uuid};
use crate::io::{Fs, NamedFile, OpenMode, first_free, sync_dir};
use crate::runs::state::ManifestState;
use crate::sync::Arc;
use crate::sync::atomic::AtomicU64;
use crate::witness::Witness;

/// A file larger than this and twice its snapshot is given up for a new one, in bytes.
const ROTATE_BYTES: u64 = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// The longest manifest that is written or read, in bytes: about 3 million segments.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

const WHAT: &str = "manifest";

/// The manifest of an open database.
#[derive(Debug)]
pub(crate) struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// The state after the last edit that is durable.
    state: ManifestState,
    /// The newest file's number.
    number: FileNumber,
    /// Is told how far the file is durable.
    witness: Arc<Witness>,
    /// Where to append; nothing while the newest file's state is unknown.
    tail: Option<ManifestTail>,
}

/// The end of a file that is durable up to there.
#[derive(Debug)]
struct ManifestTail {
    file: NamedFile,
    salt: u64,
    end: u64,
    /// Past this offset a new file is due.
    rotate_at: u64,
}

impl ManifestTail {
    /// Writes a record at the end and makes it durable. After an error the file is not to be
    /// appended to again.
    fn append(&mut self, kind: RecordKind, edits: u64, body: &[u8]) -> Result<()> {
        let record = record_of(body, self.salt, self.end, (kind, edits, self.end))?;
        self.file.write_all_at(&record, self.end)?;
        self.file.sync_data()?;
        self.end += record.len() as u64;
        Ok(())
    }
}

impl Manifest {
    /// Starts a manifest file from `state` and makes it the one that counts. Its number is `number`
    /// or above, past any manifest that an earlier crash left.
    pub(crate) fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        number: FileNumber,
        state: &ManifestState,
        witness: Arc<Witness>,
    ) -> Result<Self> {
        let (number, tail) = start_file(fs.as_ref(), dir, number, state)?;
        witness.note_manifest(number, state.edits);
        let dir = dir.to_path_buf();
        let state = state.clone();
        let tail = Some(tail);
        Ok(Self { fs, dir, state, number, witness, tail })
    }

    /// Writes a manifest that does not count, durable with its name: beside it no other file is
    /// taken for that of a new database.
    pub(crate) fn write_alone(
        fs: &dyn Fs,
        dir: &Path,
        number: FileNumber,
        state: &ManifestState,
    ) -> Result<()> {
        let path = dir.join(FileName::Manifest(number).name());
        let file = NamedFile::open(fs, path, OpenMode::CreateNew)?;
        write_first(fs, dir, file, number, state).map(drop)
    }

    /// The state after the last edit that is durable.
    pub(crate) fn state(&self) -> &ManifestState {
        &self.state
    }

    /// The newest file's number.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Whether it is unknown what the newest file holds, because an append or a rotation failed.
    pub(crate) fn broken(&self) -> bool {
        self.tail.is_none()
    }

    /// Makes an edit durable and applies it. An edit that is not legal in this state is an
    /// [`Error::InvalidArgument`] and changes nothing; after any other error it is unknown what the
    /// newest file holds: the edit may show after a crash, until an append or a rotation succeeds.
    pub(crate) fn append(&mut self, edit: &Edit) -> Result<()> {
        // Taken out, so that a failure to write leaves the manifest broken. A file that has another
        // name is a copy's too, which has none of what is said here.
        let mut tail = match self.tail.take() {
            Some(tail) if tail.end <= tail.rotate_at && !tail.file.has_other_names() => tail,
            _ => self.start_next()?,
        };
        let undo = match self.state.apply(edit) {
            Ok(undo) => undo,
            Err(Malformed { expected, got, .. }) => {
                self.tail = Some(tail);
                let what =
                    format!("the manifest refuses this edit: expected {expected}, got {got}");
                return Err(Error::InvalidArgument { what });
            }
        };
        if let Err(error) = tail.append(RecordKind::Edit, self.state.edits, &edit.encode()) {
            self.state.undo(undo);
            return Err(error);
        }
        self.witness.note_manifest(self.number, self.state.edits);
        let marked = tail.append(RecordKind::Synced, self.state.edits, &[]);
        // The edit counts either way. If the next file cannot be started now, the next append or
        // rotation says why.
        self.tail = marked.map(|()| tail).or_else(|_| self.start_next()).ok();
        Ok(())
    }

    /// Starts the next file from the state as it is.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        self.tail = None;
        self.tail = Some(self.start_next()?);
        Ok(())
    }

    fn start_next(&mut self) -> Result<ManifestTail> {
        let next = FileNumber(self.number.0.saturating_add(1));
        let (number, tail) = start_file(self.fs.as_ref(), &self.dir, next, &self.state)?;
        self.number = number;
        self.witness.note_manifest(number, self.state.edits);
        Ok(tail)
    }
}

/// Writes a manifest that starts from `state` under the first free number at or above `number`, and
/// points `CURRENT` at it.
fn start_file(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    state: &ManifestState,
) -> Result<(FileNumber, ManifestTail)> {
    let older = manifests(&list(fs, dir)?);
    let above = older.iter().max().map_or(0, |newest| newest.0 + 1);
    let next = AtomicU64::new(number.0.max(above));
    let (number, file) = first_free(&next, |number| {
        let path = dir.join(FileName::Manifest(FileNumber(number)).name());
        NamedFile::open(fs, path, OpenMode::CreateNew)
    })?;
    let number = FileNumber(number);
    let path = file.path.to_path_buf();
    let temporary = dir.join(FileName::CurrentTmp.name());
    let written = write_first(fs, dir, file, number, state)
        .and_then(|tail| write_current(fs, &temporary, state, number).map(|()| tail));
    let tail = written.inspect_err(|_| {
        // CURRENT has not moved. What was written only takes space, perhaps of a full disk; what
        // cannot be removed now goes with the next start.
        let _ = fs.remove(&path);
        let _ = fs.remove(&temporary);
    })?;
    let current = dir.join(FileName::Current.name());
    fs.rename(&temporary, &current).map_err(|error| Error::io("rename", &temporary, error))?;
    sync_dir(fs, dir)?;
    for number in older {
        let path = dir.join(FileName::Manifest(number).name());
        if is_ours(fs, &path, state.uuid) {
            // Nothing names it any more; one that stays is removed by the next start.
            let _ = fs.remove(&path);
        }
    }
    Ok((number, tail))
}

/// Whether a file says that it is a manifest of this database.
pub(crate) fn is_ours(fs: &dyn Fs, path: &Path, database: Uuid) -> bool {
    NamedFile::open(fs, path.to_path_buf(), OpenMode::Read)
        .and_then(|file| file.first_bytes(MANIFEST_HEADER_BYTES))
        .is_ok_and(|bytes| ManifestHeader::is_of(&bytes, database))
}

/// Writes a whole manifest, header and snapshot, into a new file, and makes it and its name
/// durable.
fn write_first(
    fs: &dyn Fs,
    dir: &Path,
    file: NamedFile,
    number: FileNumber,
    state: &ManifestState,
) -> Result<ManifestTail> {
    let salt = random_salt(&file.path)?;
    let uuid = state.uuid;
    let header = ManifestHeader { uuid, number, salt, read_only_compatible: false };
    let at = MANIFEST_HEADER_BYTES as u64;
    let snapshot = (RecordKind::Snapshot, state.edits, 0);
    let record = record_of(&state.to_snapshot(), salt, at, snapshot)?;
    let bytes = [&header.encode()[..], &record].concat();
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    sync_dir(fs, dir)?;
    let rotate_at = ROTATE_BYTES + 2 * record.len() as u64;
    Ok(ManifestTail { file, salt, end: bytes.len() as u64, rotate_at })
}

/// Writes and syncs the next `CURRENT` under its temporary name.
fn write_current(
    fs: &dyn Fs,
    path: &Path,
    state: &ManifestState,
    number: FileNumber,
) -> Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", path, error));
        }
        _ => {}
    }
    let file = NamedFile::open(fs, path.to_path_buf(), OpenMode::CreateNew)?;
    file.write_all_at(&Current { uuid: state.uuid, manifest: number }.encode(), 0)?;
    file.sync_data()
}

/// A record of one body: kind, edit number, and offset known synced.
fn record_of(body: &[u8], salt: u64, at: u64, header: (RecordKind, u64, u64)) -> Result<Vec<u8>> {
    const { assert!(MANIFEST_BYTES_MAX <= BODY_BYTES_MAX as u64) };
    if at + record_bytes(body.len()) as u64 > MANIFEST_BYTES_MAX {
        let what =
            format!("a manifest holds {MANIFEST_BYTES_MAX} bytes, too few for {}", body.len());
        return Err(Error::InvalidArgument { what });
    }
    let (kind, first, synced) = header;
    let mut record = vec![0; record_bytes(body.len())];
    record[RECORD_HEADER_BYTES..][..body.len()].copy_from_slice(body);
    let header = RecordHeader { body_len: body.len() as u32, first, synced, count: 1, kind };
    finish_record(&mut record, salt, at, &header, checksum(body));
    Ok(record)
}

fn random_salt(path: &Path) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io("get random bytes for", path, io::Error::other(error.to_string()))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// The names in `dir`; none if it does not exist.
fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>> {
    match fs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(|error| Error::io("list", dir, error)),
    }
}

fn manifests(names: &[String]) -> Vec<FileNumber> {
    let numbers = names.iter().filter_map(|name| match FileName::parse(name)? {
        FileName::Manifest(number) => Some(number),
        _ => None,
    });
    numbers.collect()
}

mod read;

pub(crate) use read::ManifestInfo;

#[cfg(test)]
mod tests;
