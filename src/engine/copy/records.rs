//! The records of the backups in a store, what they are called, and how those that are not wanted
//! any more go.
//!
//! | name | what |
//! |---|---|
//! | `backups/000001` | the record of a backup, by number (`format::backup`) |
//! | `segments/<uuid>-<bytes>` | a segment file, by the uuid in its header, in hex, and its length |
//!
//! A segment is never written again, so an object that is there is the one that every backup with
//! this segment needs. A record is put last and deleted first, so whatever cuts a call off, what a
//! record names is there; what none names is of use to the next backup, or goes with the next
//! deletion.

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::engine::copy::store::{BACKUPS, BackupStore, SEGMENTS};
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::backup::{BackupRecord, BackupSegment};
use crate::ids::{FileNumber, Uuid};
use crate::runs::state::ManifestState;

/// The longest record that is read, in bytes: about 3 million segments.
const RECORD_BYTES_MAX: u64 = 1 << 30;

const WHAT: &str = "record of a backup";

/// What [`Backups::keep`](crate::Backups::keep) and [`Backups::delete`](crate::Backups::delete)
/// have deleted.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
/// let deleted = backups.keep(24)?;
/// println!("{} backups, {} bytes of segments", deleted.backups, deleted.bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// Backups.
    pub backups: u64,
    /// Segments that no other backup has.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A record that was read, and found to be sound.
pub(crate) struct SoundRecord {
    pub(crate) record: BackupRecord,
    pub(crate) state: ManifestState,
}

/// The records in a store.
#[derive(Clone, Copy)]
pub(crate) struct BackupRecords<'a>(pub(crate) &'a dyn BackupStore);

impl BackupRecords<'_> {
    /// Keeps others away, for as long as the result lives.
    pub(crate) fn lock(&self, shared: bool) -> Result<Box<dyn Send>> {
        let locked = self.0.lock(shared);
        locked.map_err(|error| Error::io("lock the backups in", &self.0.path(""), error))
    }

    /// The numbers of all backups, ascending.
    pub(crate) fn ids(&self) -> Result<Vec<u64>> {
        let names = self.list(BACKUPS)?;
        let mut ids: Vec<_> = names.iter().filter_map(|(name, _)| id_of(name)).collect();
        ids.sort_unstable();
        // Or a place that lists one twice would have one too many, and `keep` take the other one.
        ids.dedup();
        Ok(ids)
    }

    /// What is in a folder, sound or not.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let listed = self.0.list(folder);
        listed.map_err(|error| Error::io("list", &self.0.path(folder), error))
    }

    /// The record of the backup that is asked for, or of the newest.
    pub(crate) fn find(&self, asked: Option<u64>) -> Result<SoundRecord> {
        let id = match asked {
            Some(id) => Some(id),
            None => self.ids()?.last().copied(),
        };
        let found = id.map(|id| self.read(id)).transpose()?.flatten();
        found.ok_or_else(|| self.none(asked))
    }

    fn none(&self, asked: Option<u64>) -> Error {
        let place = self.0.path("");
        let place = place.display();
        let what = match asked {
            None => format!("there are no backups in {place}"),
            Some(id) => format!("there is no backup {id} in {place}"),
        };
        Error::InvalidArgument { what }
    }

    /// Reads a record, if there is one, and checks all that it says by itself.
    pub(crate) fn read(&self, id: u64) -> Result<Option<SoundRecord>> {
        let name = record_name(id);
        let object = match self.0.get(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            object => object.map_err(|error| Error::io("read", &self.0.path(&name), error))?,
        };
        let mut bytes = Vec::new();
        object
            .take(RECORD_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", &self.0.path(&name), error))?;
        let record = BackupRecord::decode(&bytes).map_err(|error| self.damaged(&name, error))?;
        let wrong = |expected: String, got: String| {
            self.damaged(&name, Malformed::new(0, WHAT, expected, got))
        };
        if record.id != id {
            return Err(wrong(format!("that of backup {id}"), format!("that of {}", record.id)));
        }
        let state = ManifestState::from_snapshot(&record.state)
            .map_err(|error| self.damaged(&name, error))?;
        let named = record.segments.iter().map(|it| (it.number, it.uuid, it.bytes));
        if !named.eq(segments_of(&state)) || state.log_floor_exists {
            return Err(wrong("the segments of its state".into(), "others".into()));
        }
        Ok(Some(SoundRecord { record, state }))
    }

    /// An object's bytes. One that is missing is damage to the backups that it is of.
    pub(crate) fn get(&self, name: &str) -> Result<Box<dyn Read>> {
        self.0.get(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.missing(name),
            _ => Error::io("read", &self.0.path(name), error),
        })
    }

    fn missing(&self, name: &str) -> Error {
        self.damaged(name, Malformed::new(0, "backup", "an object", "none"))
    }

    /// The error for an object whose bytes are not right.
    pub(crate) fn damaged(&self, name: &str, wrong: Malformed) -> Error {
        match wrong.in_file(&self.0.path(name), 0) {
            Error::Corruption { file: object, offset, what, expected, got } => {
                Error::BackupDamaged { object, offset, what, expected, got }
            }
            newer => newer,
        }
    }

    /// Deletes the record of one backup, then what no other names.
    pub(crate) fn delete(&self, id: u64) -> Result<Deleted> {
        let _lock = self.lock(false)?;
        let mut left = self.ids()?;
        let at = left.binary_search(&id).map_err(|_| self.none(Some(id)))?;
        left.remove(at);
        let mut deleted = self.remove_records(&[id])?;
        // One that cannot be read may name anything, so then no segment goes.
        let named = self.segments_named(&left)?;
        self.remove_segments(&named, &mut deleted)?;
        Ok(deleted)
    }

    /// Deletes all records but the newest `count`, then what these do not name.
    pub(crate) fn keep(&self, count: usize) -> Result<Deleted> {
        if count == 0 {
            let what = "one backup at least is kept; delete removes single ones".to_owned();
            return Err(Error::InvalidArgument { what });
        }
        let _lock = self.lock(false)?;
        let ids = self.ids()?;
        let (old, kept) = ids.split_at(ids.len().saturating_sub(count));
        // Before anything goes: what stays has to be readable.
        let named = self.segments_named(kept)?;
        let mut deleted = self.remove_records(old)?;
        self.remove_segments(&named, &mut deleted)?;
        Ok(deleted)
    }

    fn remove_records(&self, ids: &[u64]) -> Result<Deleted> {
        ids.iter().try_for_each(|&id| self.remove(&record_name(id)))?;
        Ok(Deleted { backups: ids.len() as u64, ..Deleted::default() })
    }

    /// The names of all segments of some backups.
    fn segments_named(&self, ids: &[u64]) -> Result<BTreeSet<String>> {
        let mut named = BTreeSet::new();
        for &id in ids {
            // One that is listed and not there is no reason to take what it may name.
            let found = self.read(id)?.ok_or_else(|| self.missing(&record_name(id)))?;
            named.extend(found.record.segments.iter().map(segment_name));
        }
        Ok(named)
    }

    fn remove_segments(&self, named: &BTreeSet<String>, deleted: &mut Deleted) -> Result<()> {
        for (name, bytes) in self.list(SEGMENTS)? {
            if is_segment(&name) && !named.contains(&name) {
                self.remove(&name)?;
                deleted.segments += 1;
                deleted.bytes += bytes;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let deleted = self.0.delete(name);
        deleted.map_err(|error| Error::io("delete", &self.0.path(name), error))
    }
}

/// The files that a state refers to, each once, numbers ascending.
pub(crate) fn segments_of(state: &ManifestState) -> Vec<(FileNumber, Uuid, u64)> {
    let mut segments: Vec<_> =
        state.segments().map(|segment| (segment.number, segment.uuid, segment.bytes)).collect();
    segments.sort_unstable_by_key(|&(number, _, _)| number);
    segments.dedup();
    segments
}

/// What the record of a backup is called.
pub(crate) fn record_name(id: u64) -> String {
    format!("{BACKUPS}/{id:06}")
}

fn id_of(name: &str) -> Option<u64> {
    let id = name.strip_prefix(BACKUPS)?.strip_prefix('/')?.parse().ok()?;
    (record_name(id) == name).then_some(id)
}

/// What the object of a segment is called.
pub(crate) fn segment_name(segment: &BackupSegment) -> String {
    object_name(segment.uuid, segment.bytes)
}

/// [`segment_name`], before there is an object.
pub(crate) fn object_name(uuid: Uuid, bytes: u64) -> String {
    format!("{SEGMENTS}/{uuid}-{bytes}")
}

/// Whether this is what a segment's object is called, of whichever backup.
fn is_segment(name: &str) -> bool {
    let parts =
        name.strip_prefix(SEGMENTS).and_then(|name| name.strip_prefix('/')?.split_once('-'));
    parts.is_some_and(|(uuid, bytes)| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        uuid.len() == 32
            && uuid.bytes().all(hex)
            && bytes.parse::<u64>().is_ok_and(|number| number.to_string() == bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_as_they_are_spelled_and_no_others() {
        let name = object_name(Uuid([0xab; 16]), 120);
        assert_eq!(name, format!("segments/{}-120", "ab".repeat(16)));
        assert!(is_segment(&name));
        for other in [
            "segments/ab-1",
            &name.to_uppercase(),
            &format!("{name}x"),
            &name.replace("-120", "-0120"),
            &name.replace("-120", "-+120"),
            &name.replace("segments/", "segments"),
        ] {
            assert!(!is_segment(other), "{other}");
        }
        assert_eq!(id_of("backups/000012"), Some(12));
        assert_eq!(id_of("backups/1234567"), Some(1_234_567));
        for other in ["backups/12", "backups/+00012", "backups/0000012", "000012", "backups/x"] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
