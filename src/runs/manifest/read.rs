//! Reading the manifest back: which file counts, what it says, and whether it is whole.
//!
//! Changes nothing on disk. Called by `open`, before any other thread is there.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{MANIFEST_BYTES_MAX, Manifest, WHAT, list, manifests};
use crate::error::{Error, Result};
use crate::format::current::{CURRENT_BYTES, Current};
use crate::format::edit::{Edit, MANIFEST_HEADER_BYTES, ManifestHeader};
use crate::format::log_header::{LOG_HEADER_BYTES, LogHeader};
use crate::format::names::FileName;
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind, read_record};
use crate::format::segment_header::SegmentHeader;
use crate::ids::FileNumber;
use crate::io::{Fs, NamedFile, OpenMode};
use crate::runs::state::ManifestState;

/// What [`Manifest::read`] found besides the state.
#[derive(Clone, Debug)]
pub(crate) struct ManifestInfo {
    pub(crate) number: FileNumber,
    pub(crate) path: PathBuf,
    /// Where the last valid record ends.
    pub(crate) end: u64,
    /// Whether the file ends there too; if not, an append was cut off.
    pub(crate) clean_end: bool,
    /// Whether the last edit has its mark, or there is none: then it is known to be whole.
    pub(crate) marked: bool,
    /// Segments that it has named, and that an edit has taken out: no lost edit names them again,
    /// because numbers are given once.
    pub(crate) given_up: BTreeSet<FileNumber>,
    /// Whether a feature that this version does not know forbids opening for writing.
    pub(crate) read_only_compatible: bool,
}

impl Manifest {
    /// Reads the manifest that counts; `None` if there is no database in `dir`. Changes nothing.
    ///
    /// Damage, or a file of the database without its `CURRENT`, is an [`Error::Corruption`]; a read
    /// that fails is that error, and never taken for the end.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<(ManifestState, ManifestInfo)>> {
        let path = dir.join(FileName::Current.name());
        let Some(file) = open(fs, path)? else {
            expect_no_database(fs, dir)?;
            return Ok(None);
        };
        let bytes = read_whole(&file, CURRENT_BYTES as u64)?;
        let current = Current::decode(&bytes).map_err(|error| error.in_file(&file.path, 0))?;
        let path = dir.join(FileName::Manifest(current.manifest).name());
        let Some(file) = open(fs, path.clone())? else {
            let expected = "the manifest that CURRENT names".to_owned();
            let got = "none".to_owned();
            return Err(Error::Corruption { file: path, offset: 0, what: WHAT, expected, got });
        };
        let bytes = read_whole(&file, MANIFEST_BYTES_MAX)?;
        let header = decode_header(&file, &bytes, current.manifest)?;
        if header.uuid != current.uuid {
            let expected = format!("database {}", current.uuid);
            let got = header.uuid.to_string();
            return Err(file.corruption(40, WHAT, expected, got));
        }
        let Replay { state, end, marked, given_up } = replay(&file, &bytes, &header)?;
        let info = ManifestInfo {
            number: current.manifest,
            path,
            end: end as u64,
            clean_end: end == bytes.len(),
            marked,
            given_up,
            read_only_compatible: header.read_only_compatible,
        };
        Ok(Some((state, info)))
    }
}

impl Manifest {
    /// Reads the file back, and compares it with the state in memory unless an append has failed.
    pub(crate) fn verify(&self) -> Result<()> {
        let found = Self::read(self.fs.as_ref(), &self.dir)?;
        let path = self.dir.join(FileName::Manifest(self.number).name());
        let corrupt = |expected: String, got: String| {
            Err(Error::Corruption { file: path, offset: 0, what: WHAT, expected, got })
        };
        match found {
            None => corrupt("a manifest that counts".to_owned(), "none".to_owned()),
            Some((state, _)) if self.tail.is_some() && state != self.state => {
                let want = self.state.edits;
                let got = state.edits;
                corrupt(format!("the state after edit {want}"), format!("another, of edit {got}"))
            }
            // A file that is being appended to ends with its last mark.
            Some((_, info)) if self.tail.is_some() && !info.clean_end => {
                let want = "the end of the file";
                let got = "bytes that are no record";
                corrupt(want.to_owned(), got.to_owned())
            }
            Some(_) => Ok(()),
        }
    }
}

/// What the records of a manifest lead to.
struct Replay {
    state: ManifestState,
    /// Where the last valid one ends.
    end: usize,
    /// Whether that is a mark, or the snapshot.
    marked: bool,
    given_up: BTreeSet<FileNumber>,
}

fn replay(file: &NamedFile, bytes: &[u8], header: &ManifestHeader) -> Result<Replay> {
    let body_at = |at: usize| (at + RECORD_HEADER_BYTES) as u64;
    let mut at = MANIFEST_HEADER_BYTES;
    let first = read_record(bytes, at, header.salt)
        .filter(|(record, ..)| record.kind == RecordKind::Snapshot);
    let Some((record, body, next)) = first else {
        return Err(file.corruption(at as u64, WHAT, "a valid snapshot", "none"));
    };
    let mut state = ManifestState::from_snapshot(body)
        .map_err(|error| error.in_file(&file.path, body_at(at)))?;
    if state.uuid != header.uuid || state.edits != record.first {
        let expected = format!("edit {} of database {}", record.first, header.uuid);
        let got = format!("edit {} of database {}", state.edits, state.uuid);
        return Err(file.corruption(body_at(at), WHAT, expected, got));
    }
    at = next;
    let mut marked = true;
    let mut given_up = BTreeSet::new();
    while let Some((record, body, next)) = read_record(bytes, at, header.salt) {
        if record.kind == RecordKind::Synced && record.first == state.edits && body.is_empty() {
            (at, marked) = (next, true);
            continue;
        }
        if record.kind != RecordKind::Edit || record.first != state.edits.saturating_add(1) {
            let got = format!("{:?} {}", record.kind, record.first);
            let expected = format!("edit {}", state.edits.saturating_add(1));
            return Err(file.corruption(at as u64, WHAT, expected, got));
        }
        let edit = Edit::decode(body).map_err(|error| error.in_file(&file.path, body_at(at)))?;
        given_up.extend(state.replaced_by(&edit));
        state.apply(&edit).map_err(|error| error.in_file(&file.path, body_at(at)))?;
        (at, marked) = (next, false);
    }
    if let Some((later, synced)) = find_later(bytes, at, header.salt) {
        let expected =
            format!("a valid record: when that at {later} was written, {synced} bytes were synced");
        return Err(file.corruption(at as u64, WHAT, expected, "bytes that are none"));
    }
    for meta in state.segments() {
        given_up.remove(&meta.number);
    }
    Ok(Replay { state, end: at, marked, given_up })
}

/// A valid record behind `at` that knows `at` synced: its offset, and what it knows.
fn find_later(bytes: &[u8], at: usize, salt: u64) -> Option<(usize, u64)> {
    (at + 8..bytes.len()).step_by(8).find_map(|later| {
        let (header, ..) = read_record(bytes, later, salt)?;
        (header.synced > at as u64).then_some((later, header.synced))
    })
}

fn decode_header(file: &NamedFile, bytes: &[u8], number: FileNumber) -> Result<ManifestHeader> {
    let header = ManifestHeader::decode(bytes).map_err(|error| error.in_file(&file.path, 0))?;
    if header.number != number {
        let expected = format!("manifest {}", number.0);
        let got = header.number.0.to_string();
        return Err(file.corruption(56, WHAT, expected, got));
    }
    Ok(header)
}

/// Without `CURRENT`, passes only if nothing here can be part of a database that had one.
///
/// Files of others may have names like ours: the first bytes tell.
///
/// A crash in the first [`Manifest::create`] leaves a manifest without edits, whole or torn, and
/// nothing else. Every later file comes after `CURRENT` is durable.
fn expect_no_database(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let names = list(fs, dir)?;
    let missing = |name: String| Error::Corruption {
        file: dir.join(FileName::Current.name()),
        offset: 0,
        what: "CURRENT is missing",
        expected: format!("CURRENT beside {name}"),
        got: "no such file".to_owned(),
    };
    for file in names.iter().filter_map(|name| FileName::parse(name)) {
        let is_one: fn(&[u8]) -> bool = match file {
            FileName::Segment(_) => SegmentHeader::is_one,
            FileName::LogSlot(_) | FileName::OldLogSlot(_) => LogHeader::is_one,
            _ => continue,
        };
        let name = file.name();
        let path = dir.join(&name);
        if is_one(&NamedFile::open(fs, path, OpenMode::Read)?.first_bytes(LOG_HEADER_BYTES)?) {
            return Err(missing(name));
        }
    }
    for number in manifests(&names) {
        let name = FileName::Manifest(number).name();
        let Some(file) = open(fs, dir.join(&name))? else { continue };
        let bytes = read_whole(&file, MANIFEST_BYTES_MAX)?;
        let state =
            decode_header(&file, &bytes, number).and_then(|header| replay(&file, &bytes, &header));
        match state {
            Ok(Replay { state, .. }) if state.edits > 0 => return Err(missing(name)),
            Err(error) if !error.is_corruption() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens a file for reading; `None` if it does not exist.
fn open(fs: &dyn Fs, path: PathBuf) -> Result<Option<NamedFile>> {
    match NamedFile::open(fs, path, OpenMode::Read) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// All bytes of a file that may have at most `max`.
fn read_whole(file: &NamedFile, max: u64) -> Result<Vec<u8>> {
    let len = file.len()?;
    let sound = usize::try_from(len).ok().filter(|_| len <= max);
    let Some(len) = sound else {
        return Err(file.corruption(
            max,
            "file length",
            format!("at most {max} bytes"),
            len.to_string(),
        ));
    };
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
