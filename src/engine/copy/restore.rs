//! Backups read back: checked, or made a database of.
//!
//! A restore writes each segment as it checks it, then makes the directory a database (`target`).
//! What is damaged is named, and what was made is removed.

use std::io::Read;
use std::path::Path;

use crate::engine::copy::PIECE_BYTES;
use crate::engine::copy::backup::{BackupInfo, BackupProgress};
use crate::engine::copy::records::{BackupRecords, SoundRecord, segment_name};
use crate::engine::copy::target::Target;
use crate::error::{Error, Result};
use crate::event::{event, scope};
use crate::format::Malformed;
use crate::format::backup::BackupSegment;
use crate::format::hash::Checksum;
use crate::format::names::FileName;
use crate::io::Fs;
use crate::sync::Arc;

const WHAT: &str = "segment of a backup";

/// What [`Backups::verify`](crate::Backups::verify) found.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = alluvium::Db::in_memory()?;
/// # let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
/// # let made = backups.create(&db, &alluvium::BackupOptions::new())?;
/// for damage in &backups.verify(made.id)?.errors {
///     println!("{damage}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackupReport {
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of those that are sound.
    pub bytes: u64,
    /// Each segment that is damaged, missing, or cannot be read.
    pub errors: Vec<Error>,
}

impl BackupReport {
    /// Whether the backup is whole.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = alluvium::Db::in_memory()?;
    /// # let backups = alluvium::Backups::new(alluvium::DirStore::new(dir.path()));
    /// let made = backups.create(&db, &alluvium::BackupOptions::new())?;
    /// assert!(backups.verify(made.id)?.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Reads all that a backup consists of.
pub(crate) fn verify(
    records: BackupRecords<'_>,
    id: u64,
    tell: &dyn Fn(u64, u64),
) -> Result<BackupReport> {
    let _lock = records.lock(true)?;
    let SoundRecord { record, .. } = records.find(Some(id))?;
    let _scope = scope!("verify a backup", id);
    let mut progress = BackupProgress::new(tell, BackupInfo::of(&record).bytes);
    let mut report = BackupReport::default();
    for segment in &record.segments {
        report.segments += 1;
        match read_segment(records, segment, &mut progress, |_, _| Ok(())) {
            Ok(()) => report.bytes += segment.bytes,
            Err(error) => {
                event!(error, %error, "damage found in a backup");
                report.errors.push(error);
            }
        }
    }
    Ok(report)
}

/// Makes a database of a backup, in a directory that does not exist, or is empty.
pub(crate) fn restore(
    records: BackupRecords<'_>,
    id: Option<u64>,
    (fs, dir): (&Arc<dyn Fs>, &Path),
    tell: &dyn Fn(u64, u64),
) -> Result<BackupInfo> {
    let _lock = records.lock(true)?;
    let SoundRecord { record, state } = records.find(id)?;
    let _scope = scope!("restore", path = %dir.display());
    let info = BackupInfo::of(&record);
    let mut progress = BackupProgress::new(tell, info.bytes);
    let target = Target::new(Arc::clone(fs), dir, "restore a backup among the files in")?;
    target.filled(&state, |target| {
        for segment in &record.segments {
            let file = target.create(FileName::Segment(segment.number))?;
            let write = |piece: &[u8], at| file.write_all_at(piece, at);
            read_segment(records, segment, &mut progress, write)?;
            file.sync_data()?;
        }
        target.finish(&state, None)
    })?;
    Ok(info)
}

/// Hands a segment's bytes to `write`, piece by piece, each with its offset; an error if they are
/// not those that were put.
fn read_segment(
    records: BackupRecords<'_>,
    segment: &BackupSegment,
    progress: &mut BackupProgress<'_>,
    mut write: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let name = segment_name(segment);
    let wrong = |at: u64, expected: String, got: String| {
        let wrong = Malformed { at, what: WHAT, expected, got, newer: false };
        Err(records.damaged(&name, wrong))
    };
    let mut object = records.get(&name)?;
    let mut checksum = Checksum::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let read = match object.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| Error::io("read", &records.0.path(&name), error))?,
        };
        if read == 0 {
            break;
        }
        let end = at + read as u64;
        if end > segment.bytes {
            return wrong(segment.bytes, "the end".into(), "more bytes".into());
        }
        checksum.add(&piece[..read]);
        write(&piece[..read], at)?;
        at = end;
        progress.add(read as u64);
    }
    if at != segment.bytes {
        return wrong(at, format!("{} bytes", segment.bytes), format!("{at}"));
    }
    let got = checksum.get();
    if got != segment.checksum {
        return wrong(0, format!("checksum {:016x}", segment.checksum), format!("{got:016x}"));
    }
    Ok(())
}
