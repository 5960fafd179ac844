//! The tables of all segments in one file, and back from there.
//!
//! Saving and reading happen on the caller's thread, without a lock; what was loaded is published
//! by the flush thread, as rebuilt tables are. The file is only a copy of what segments hold
//! themselves, so whatever it lacks is read from them.
//!
//! Saved under a temporary name, synced, renamed, the directory synced, with number, uuid and
//! length of each segment's file. Loading checks the whole file, matches by these three, and
//! refuses tables that speak of other blocks.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::engine::index::{IndexReport, replace_segments};
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::index_snapshot::{
    INDEX_SNAPSHOT_HEADER_BYTES, IndexEntry, IndexSnapshotBuilder, IndexSnapshotHeader, decode,
};
use crate::format::names::FileName;
use crate::ids::{FileNumber, Uuid};
use crate::io::{Fs, NamedFile, OpenMode, sync_dir};
use crate::runs::each_file;
use crate::segment::Tables;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// Writes the tables of all segments into one file: under another name first, then renamed.
pub(crate) fn save_index_snapshot(engine: &Engine, path: &Path) -> Result<IndexReport> {
    let core = &engine.core;
    check_name(path)?;
    let view = core.view.load_full();
    let mut report = IndexReport::default();
    let mut builder = IndexSnapshotBuilder::new();
    for segment in each_file(&view.segments) {
        let (index, filter, properties) = segment.tables().encode();
        builder.add(&IndexEntry {
            number: segment.number(),
            uuid: segment.uuid(),
            bytes: segment.bytes(),
            index: &index,
            filter: filter.as_deref(),
            properties: &properties,
            at: 0,
        });
        report.add(segment);
    }
    let bytes = builder.finish(core.database);
    report.bytes = bytes.len() as u64;
    let file = create_beside(core, path)?;
    let written = write_and_rename(core, &bytes, &file, path);
    if written.is_err() {
        // What cannot be removed stays, and is in nobody's way.
        let _ = core.outside.remove(&file.path);
    }
    written.map(|()| report)
}

/// Puts the tables in the file in the place of those in memory.
pub(crate) fn load_index_snapshot(engine: &Engine, path: &Path) -> Result<IndexReport> {
    let core = &engine.core;
    let mut saved = SavedTables::read(core.outside.as_ref(), path, core.database)?;
    let view = core.view.load_full();
    let mut report = IndexReport::default();
    let mut fresh = Vec::new();
    for segment in each_file(&view.segments) {
        let tables = saved.take(segment.number(), segment.uuid(), segment.bytes());
        let Some(tables) = tables else {
            report.missing += 1;
            continue;
        };
        let Some(loaded) = segment.with_tables(tables) else {
            return Err(Error::Corruption {
                file: path.to_path_buf(),
                offset: 0,
                what: "index snapshot",
                expected: format!("the data blocks of segment {}", segment.number().0),
                got: "others".to_owned(),
            });
        };
        report.add(&loaded);
        fresh.push(Arc::new(loaded));
    }
    report.ignored = saved.0.len() as u64;
    replace_segments(engine, fresh)?;
    Ok(report)
}

/// A new file beside `path`. One that is there already is someone's: a user's, or that of a
/// save in another process.
fn create_beside(core: &Core, path: &Path) -> Result<NamedFile> {
    loop {
        let number = core.counters.snapshots_saved.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{number}.tmp"));
        let beside = path.with_file_name(name);
        match NamedFile::open(core.outside.as_ref(), beside, OpenMode::CreateNew) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

fn write_and_rename(core: &Core, bytes: &[u8], file: &NamedFile, path: &Path) -> Result<()> {
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    let renamed = core.outside.rename(&file.path, path);
    renamed.map_err(|error| Error::io("rename", &file.path, error))?;
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    sync_dir(core.outside.as_ref(), dir)
}

/// What a file of saved tables holds, by segment number.
pub(crate) struct SavedTables(BTreeMap<FileNumber, (Uuid, u64, Tables)>);

impl SavedTables {
    /// Nothing saved.
    pub(crate) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads a file and checks all of it.
    pub(crate) fn read(fs: &dyn Fs, path: &Path, database: Uuid) -> Result<Self> {
        let file = NamedFile::open(fs, path.to_path_buf(), OpenMode::Read)?;
        let malformed = |error: Malformed, at| error.in_file(path, at);
        let len = file.len()?;
        // The header first, so that a foreign file costs no memory.
        let mut head = vec![0; len.min(INDEX_SNAPSHOT_HEADER_BYTES as u64) as usize];
        file.read_exact_at(&mut head, 0)?;
        let header = IndexSnapshotHeader::decode(&head).map_err(|error| malformed(error, 0))?;
        if header.database != database {
            let path = path.display();
            let got = header.database;
            return Err(Error::InvalidArgument {
                what: format!(
                    "{path} was saved from database {got}, and this is {database}; save an index \
                     snapshot of this one"
                ),
            });
        }
        let sound = usize::try_from(len).ok().filter(|_| header.file_bytes == len);
        let Some(len) = sound else {
            let want = format!("{} bytes", header.file_bytes);
            return Err(file.corruption(0, "index snapshot", want, format!("{len} bytes")));
        };
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let (_, entries) = decode(&bytes).map_err(|error| malformed(error, 0))?;
        let mut saved = BTreeMap::new();
        for entry in entries {
            let IndexEntry { number, uuid, bytes, index, filter, properties, at } = entry;
            let tables = Tables::decode(index, filter, properties, bytes)
                .map_err(|error| malformed(error, at))?;
            saved.insert(number, (uuid, bytes, tables));
        }
        Ok(Self(saved))
    }

    /// Takes out what was saved of a segment, if it is the same one.
    pub(crate) fn take(&mut self, number: FileNumber, uuid: Uuid, bytes: u64) -> Option<Tables> {
        let (saved_uuid, saved_bytes, _) = self.0.get(&number)?;
        if (*saved_uuid, *saved_bytes) != (uuid, bytes) {
            return None;
        }
        self.0.remove(&number).map(|(.., tables)| tables)
    }
}

/// Refuses names that would replace a file of a database.
fn check_name(path: &Path) -> Result<()> {
    let refuse = |why: &str| {
        let what = format!("an index snapshot cannot be saved to {}: {why}", path.display());
        Err(Error::InvalidArgument { what })
    };
    match path.file_name() {
        None => refuse("it names no file"),
        Some(name) if name.to_str().is_some_and(|name| FileName::parse(name).is_some()) => {
            refuse("databases use that name for files of their own")
        }
        Some(_) => Ok(()),
    }
}
