//! A backup made: runs only, and of these the segments that are not there yet.
//!
//! 1. Flush, so that runs hold all that was acknowledged before the call; then freeze (`copy`).
//! 2. Put the segments that the store lacks. They stay for as long as the backup has them (I33),
//!    however long that takes; logs and memtables are not held.
//! 3. Put the record, which makes a backup of it. One that is cut off leaves segments that no
//!    record names, and the next one need not put them.
//!
//! The checksum of a segment is that of the file as it is read to be put. One that is there already
//! has it from the record of an earlier backup; if that backup was cut off, from the file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use crate::engine::copy::records::{
    BackupRecords, SoundRecord, object_name, record_name, segments_of,
};
use crate::engine::copy::store::SEGMENTS;
use crate::engine::copy::{FrozenRuns, PIECE_BYTES, check_copyable};
use crate::engine::shared::clock::now_ms;
use crate::engine::{Core, Engine};
use crate::error::{Error, Result};
use crate::event::scope;
use crate::format::backup::{BackupRecord, BackupSegment};
use crate::format::hash::Checksum;
use crate::format::names::FileName;
use crate::ids::{FileNumber, Sequence, Uuid};
use crate::io::{NamedFile, OpenMode};

/// The longest label, in bytes.
const LABEL_BYTES_MAX: usize = 1_000;

/// A backup, as [`Backups::create`](crate::Backups::create) has made it and
/// [`Backups::list`](crate::Backups::list) finds it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = alluvium::Db::in_memory()?;
/// # let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
/// db.put("k", "v")?;
/// let made = backups.create(&db, &alluvium::BackupOptions::new().label("first"))?;
/// assert_eq!((made.id, made.segments, made.label.as_str()), (1, 1, "first"));
/// assert_eq!(made.new_bytes, made.bytes);
/// assert_eq!(backups.list()?, [made]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// Its number: one more than that of the newest backup before it.
    pub id: u64,
    /// When it was begun, in milliseconds since 1970.
    pub time_ms: u64,
    /// Everything up to this sequence is in it, and nothing above.
    pub sequence: Sequence,
    /// Segments that it consists of.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that were put for it: the others were there already.
    pub new_bytes: u64,
    /// What it was called.
    pub label: String,
}

impl BackupInfo {
    pub(crate) fn of(record: &BackupRecord) -> Self {
        Self {
            id: record.id,
            time_ms: record.time_ms,
            sequence: record.sequence,
            segments: record.segments.len() as u64,
            // Of a record that somebody has made up, no number of bytes that there can be.
            bytes: record.segments.iter().fold(0, |sum, it| it.bytes.saturating_add(sum)),
            new_bytes: record.new_bytes,
            label: record.label.clone(),
        }
    }
}

/// How [`Backups::create`](crate::Backups::create) makes a backup.
///
/// ```
/// let options = alluvium::BackupOptions::new().label("before the upgrade");
/// ```
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    label: String,
}

impl BackupOptions {
    /// No label.
    ///
    /// ```
    /// let options = alluvium::BackupOptions::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the backup is called in lists: up to 1,000 bytes, which mean nothing here.
    ///
    /// ```
    /// let options = alluvium::BackupOptions::new().label("nightly");
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}

/// Is told how much is done, and how much there is to do, in bytes.
pub(crate) struct BackupProgress<'a> {
    tell: &'a dyn Fn(u64, u64),
    done: u64,
    total: u64,
}

impl<'a> BackupProgress<'a> {
    pub(crate) fn new(tell: &'a dyn Fn(u64, u64), total: u64) -> Self {
        tell(0, total);
        Self { tell, done: 0, total }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        (self.tell)(self.done, self.total);
    }
}

impl fmt::Debug for BackupProgress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.done, self.total)
    }
}

/// What is known of a segment that is to be part of a backup.
enum SegmentPlan {
    /// It is there, with this checksum.
    There(u64),
    /// It is there, and no record says what it holds.
    Unknown,
    Missing,
}

/// Makes a backup.
pub(crate) fn create(
    records: BackupRecords<'_>,
    engine: &Engine,
    options: &BackupOptions,
    tell: &dyn Fn(u64, u64),
) -> Result<BackupInfo> {
    if options.label.len() > LABEL_BYTES_MAX {
        let got = options.label.len();
        let what = format!("a label has at most {LABEL_BYTES_MAX} bytes, not {got}");
        return Err(Error::InvalidArgument { what });
    }
    check_copyable(engine)?;
    let _lock = records.lock(false)?;
    let _scope = scope!("backup", to = %records.0.path("").display());
    let time_ms = now_ms();
    let ids = records.ids()?;
    let id = next_id(records, &ids)?;
    let mut known = KnownChecksums::new(records, ids, engine.core.database)?;
    let frozen = FrozenRuns::new(engine)?;
    let there: BTreeMap<_, _> = records.list(SEGMENTS)?.into_iter().collect();
    let planned = segments_of(&frozen.state).into_iter().map(|(number, uuid, bytes)| {
        let plan = match there.get(&object_name(uuid, bytes)) {
            Some(len) if *len == bytes => {
                known.of(uuid, bytes)?.map_or(SegmentPlan::Unknown, SegmentPlan::There)
            }
            _ => SegmentPlan::Missing,
        };
        Ok((number, uuid, bytes, plan))
    });
    let segments = planned.collect::<Result<Vec<_>>>()?;
    let read = |plan: &SegmentPlan| !matches!(plan, SegmentPlan::There(_));
    let to_do = segments.iter().filter(|(.., plan)| read(plan)).map(|(_, _, bytes, _)| bytes);
    let mut progress = BackupProgress::new(tell, to_do.sum());
    let mut record = BackupRecord {
        id,
        time_ms,
        sequence: frozen.sequence,
        new_bytes: 0,
        label: options.label.clone(),
        state: frozen.state.to_snapshot(),
        segments: Vec::new(),
    };
    for (number, uuid, bytes, plan) in segments {
        let checksum = match plan {
            SegmentPlan::There(checksum) => checksum,
            SegmentPlan::Unknown => checksum_of(&engine.core, number, bytes, &mut progress)?,
            SegmentPlan::Missing => {
                record.new_bytes += bytes;
                let name = object_name(uuid, bytes);
                put_segment(records, &engine.core, (number, bytes, &name), &mut progress)?
            }
        };
        record.segments.push(BackupSegment { number, uuid, bytes, checksum });
    }
    put_record(records, &record)?;
    Ok(BackupInfo::of(&record))
}

/// What earlier backups say of the segments that they consist of. Their records are read as they
/// are needed, the newest first: as a rule it has all that is there already.
struct KnownChecksums<'a> {
    records: BackupRecords<'a>,
    database: Uuid,
    /// Those that have not been read, ascending.
    ids: Vec<u64>,
    known: BTreeMap<(Uuid, u64), u64>,
}

impl<'a> KnownChecksums<'a> {
    /// The newest backup that can be read has to be of this database, or the numbers of two would
    /// mix, and `keep` delete those of one.
    fn new(records: BackupRecords<'a>, ids: Vec<u64>, database: Uuid) -> Result<Self> {
        let mut known = Self { records, database, ids, known: BTreeMap::new() };
        while known.known.is_empty() && known.read_older()? {}
        Ok(known)
    }

    fn of(&mut self, uuid: Uuid, bytes: u64) -> Result<Option<u64>> {
        loop {
            let found = self.known.get(&(uuid, bytes)).copied();
            if found.is_some() || !self.read_older()? {
                return Ok(found);
            }
        }
    }

    /// Whether there was one more.
    fn read_older(&mut self) -> Result<bool> {
        let Some(id) = self.ids.pop() else { return Ok(false) };
        let SoundRecord { record, state } = match self.records.read(id) {
            // What is damaged there is no harm to this one.
            Err(Error::BackupDamaged { .. } | Error::UnsupportedFormat { .. }) | Ok(None) => {
                return Ok(true);
            }
            Ok(Some(found)) => found,
            Err(error) => return Err(error),
        };
        if state.uuid != self.database {
            let place = self.records.0.path("");
            let place = place.display();
            let what = format!("{place} has backups of another database; each has its own place");
            return Err(Error::InvalidArgument { what });
        }
        for BackupSegment { uuid, bytes, checksum, .. } in record.segments {
            self.known.entry((uuid, bytes)).or_insert(checksum);
        }
        Ok(true)
    }
}

fn put_segment(
    records: BackupRecords<'_>,
    core: &Core,
    (number, bytes, name): (FileNumber, u64, &str),
    progress: &mut BackupProgress<'_>,
) -> Result<u64> {
    let mut source = SegmentReader::open(core, number, bytes, progress)?;
    let put = records.0.put(name, &mut source, bytes);
    // Why it could not be read is more than that it could not be put.
    source.failed.map_or(Ok(()), Err)?;
    put.map_err(|error| Error::io("put", &records.0.path(name), error))?;
    if source.at != bytes {
        let error = io::Error::other("the store says that it has it, and has not read all of it");
        return Err(Error::io("put", &records.0.path(name), error));
    }
    Ok(source.checksum.get())
}

/// The checksum of a segment's file.
fn checksum_of(
    core: &Core,
    number: FileNumber,
    bytes: u64,
    progress: &mut BackupProgress<'_>,
) -> Result<u64> {
    let mut source = SegmentReader::open(core, number, bytes, progress)?;
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(1..) = source.read(&mut piece) {}
    source.failed.map_or_else(|| Ok(source.checksum.get()), Err)
}

fn put_record(records: BackupRecords<'_>, record: &BackupRecord) -> Result<()> {
    let name = record_name(record.id);
    let bytes = record.encode();
    let put = records.0.put(&name, &mut bytes.as_slice(), bytes.len() as u64);
    put.map_err(|error| {
        // Somebody has made one meanwhile, in a place that has no lock. The next try takes the
        // number after that, and what this one has put.
        let error = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                io::Error::new(io::ErrorKind::WouldBlock, "another backup has taken this number")
            }
            _ => error,
        };
        Error::io("put", &records.0.path(&name), error)
    })
}

/// The number after that of the newest.
fn next_id(records: BackupRecords<'_>, ids: &[u64]) -> Result<u64> {
    let newest = ids.last().copied().unwrap_or(0);
    newest.checked_add(1).ok_or_else(|| {
        let name = records.0.path(&record_name(newest));
        let what = format!("there is no number after that of {}", name.display());
        Error::InvalidArgument { what }
    })
}

/// A segment's file as it is read, once, from its beginning.
struct SegmentReader<'a, 'b> {
    file: NamedFile,
    bytes: u64,
    at: u64,
    checksum: Checksum,
    /// Why it cannot be read.
    failed: Option<Error>,
    progress: &'a mut BackupProgress<'b>,
}

impl<'a, 'b> SegmentReader<'a, 'b> {
    fn open(
        core: &Core,
        number: FileNumber,
        bytes: u64,
        progress: &'a mut BackupProgress<'b>,
    ) -> Result<Self> {
        let path = core.dir.join(FileName::Segment(number).name());
        let file = NamedFile::open(core.fs.as_ref(), path, OpenMode::Read)?;
        Ok(Self { file, bytes, at: 0, checksum: Checksum::new(), failed: None, progress })
    }
}

impl Read for SegmentReader<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes - self.at).unwrap_or(usize::MAX);
        let len = buf.len().min(left).min(PIECE_BYTES);
        let piece = &mut buf[..len];
        if let Err(error) = self.file.read_exact_at(piece, self.at) {
            let told = io::Error::other(error.to_string());
            self.failed = Some(error);
            return Err(told);
        }
        self.checksum.add(piece);
        self.at += len as u64;
        self.progress.add(len as u64);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I19. Symptom: a list panicked. Mechanism: the lengths that a made-up record names were
    /// added up.
    #[test]
    fn a_record_may_name_more_bytes_than_there_can_be() {
        let segment = |number| BackupSegment {
            number: FileNumber(number),
            uuid: Uuid([number as u8; 16]),
            bytes: u64::MAX - 1,
            checksum: 0,
        };
        let record = BackupRecord {
            id: 1,
            time_ms: 0,
            sequence: Sequence(1),
            new_bytes: u64::MAX,
            label: String::new(),
            state: Vec::new(),
            segments: vec![segment(1), segment(2)],
        };
        assert_eq!(BackupInfo::of(&record).bytes, u64::MAX);
    }
}
