//! The file `WITNESS` of an open database: told by the sync leader how far the log is durable, and
//! by the holder of the manifest how far that is.
//!
//! A claim is written once what it says is durable (I38), and before anybody is told, with one call
//! and without a sync: it costs no wait, and is there after the death of the process. Each kind of
//! claim has one writer at a time, the leader and the manifest's holder, so there is no lock. A
//! write that fails is passed over: older claims stand, and are true.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::event::event;
use crate::format::names::FileName;
use crate::format::witness::{
    Claim, WITNESS_BYTES, WITNESS_SLOT_BYTES, WitnessSlot, decode_witness,
};
use crate::ids::{FileNumber, LogNumber, LogPosition, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a directory's witness says.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    path: PathBuf,
    slots: Vec<WitnessSlot>,
}

impl Claims {
    /// Reads the witness in `dir`. One that is missing, blank, or of another database says nothing.
    ///
    /// # Errors
    ///
    /// `Corruption` if there is something in it and nothing sound: what else is damaged could not
    /// be told.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path, database: Uuid) -> Result<Self> {
        let path = dir.join(FileName::Witness.name());
        let file = match NamedFile::open(fs, path.clone(), OpenMode::Read) {
            Ok(file) => file,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path, slots: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; file.len()?.min(WITNESS_BYTES as u64) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut slots = decode_witness(&bytes).map_err(|malformed| malformed.in_file(&path, 0))?;
        slots.retain(|slot| slot.uuid == database);
        Ok(Self { path, slots })
    }

    /// Where the witness is, for what is found with its help.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The logs that were there, each with the position up to which all was durable.
    pub(crate) fn logs(&self) -> Vec<(LogNumber, LogPosition)> {
        let log = |slot: &WitnessSlot| match slot.claim {
            Claim::Log { log, synced } => Some((log, synced)),
            _ => None,
        };
        self.slots.iter().filter_map(log).collect()
    }

    /// The newest manifest that counted, and the most edits that one had.
    pub(crate) fn manifest(&self) -> Option<(FileNumber, u64)> {
        let manifest = |slot: &WitnessSlot| match slot.claim {
            Claim::Manifest { manifest, edits } => Some((manifest, edits)),
            _ => None,
        };
        let larger = |a: (FileNumber, u64), b: (FileNumber, u64)| (a.0.max(b.0), a.1.max(b.1));
        self.slots.iter().filter_map(manifest).reduce(larger)
    }

    /// The turn behind the last one of the claims that `pick` picks.
    fn next_turn(&self, pick: impl Fn(&Claim) -> bool) -> u64 {
        let slots = self.slots.iter().filter(|slot| pick(&slot.claim));
        slots.map(|slot| slot.turn.wrapping_add(1)).max().unwrap_or(0)
    }
}

/// The witness of a database that is open for writing.
#[derive(Debug)]
pub(crate) struct Witness {
    /// Nothing if it could not be opened or made: then nothing is noted.
    file: Option<NamedFile>,
    database: Uuid,
    log_turn: AtomicU64,
    manifest_turn: AtomicU64,
}

impl Witness {
    /// Goes on with the witness that `claims` came from, or makes one like it. The caller syncs the
    /// directory. A failure leaves the database without one until it is opened again.
    pub(crate) fn open(fs: &dyn Fs, dir: &Path, database: Uuid, claims: &Claims) -> Self {
        let path = dir.join(FileName::Witness.name());
        let there = (!claims.slots.is_empty())
            .then(|| NamedFile::open(fs, path.clone(), OpenMode::ReadWrite));
        let file = match there {
            // One with another name is a copy's as well, for which this is not true.
            Some(Ok(file)) if !file.has_other_names() => Ok(file),
            Some(Err(error)) => Err(error),
            _ => create(fs, &path, database, claims),
        };
        let file = file.inspect_err(|error| {
            event!(warn, %error, "going on without a witness of what is durable");
        });
        let log_turn = AtomicU64::new(claims.next_turn(|claim| matches!(claim, Claim::Log { .. })));
        let manifest_turn =
            AtomicU64::new(claims.next_turn(|claim| matches!(claim, Claim::Manifest { .. })));
        Self { file: file.ok(), database, log_turn, manifest_turn }
    }

    /// One that notes nothing.
    pub(crate) fn none() -> Self {
        let turn = || AtomicU64::new(0);
        Self { file: None, database: Uuid::default(), log_turn: turn(), manifest_turn: turn() }
    }

    /// Whether there is a file to note something in.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Notes that all logs are durable below `synced`, which lies in `log`. Called by the sync
    /// leader.
    pub(crate) fn note_log(&self, log: LogNumber, synced: LogPosition) {
        self.note(&self.log_turn, Claim::Log { log, synced });
    }

    /// Notes what a manifest has durably. Called with the manifest locked.
    pub(crate) fn note_manifest(&self, manifest: FileNumber, edits: u64) {
        self.note(&self.manifest_turn, Claim::Manifest { manifest, edits });
    }

    fn note(&self, turn: &AtomicU64, claim: Claim) {
        let Some(file) = &self.file else { return };
        // Relaxed: of each kind there is one writer at a time.
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let slot = WitnessSlot { uuid: self.database, turn, claim };
        // Under the manifest's lock, so without an event: less is claimed than could be.
        let _ = file.write_all_at(&slot.encode(), slot.offset());
    }

    /// Makes what was noted durable. For the close alone.
    pub(crate) fn sync(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.sync_data()
        {
            event!(debug, %error, "what was noted of durability may be lost with the power");
        }
    }
}

/// Replaces the witness by one that says what `claims` do, durably.
fn create(fs: &dyn Fs, path: &Path, uuid: Uuid, claims: &Claims) -> Result<NamedFile> {
    match fs.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", path, error));
        }
        _ => {}
    }
    let file = NamedFile::open(fs, path.to_path_buf(), OpenMode::CreateNew)?;
    let first = WitnessSlot { uuid, turn: 0, claim: Claim::Nothing };
    let mut bytes = [0; WITNESS_BYTES];
    for slot in std::iter::once(&first).chain(&claims.slots) {
        let at = slot.offset() as usize;
        bytes[at..at + WITNESS_SLOT_BYTES].copy_from_slice(&slot.encode());
    }
    let written = file.write_all_at(&bytes, 0).and_then(|()| file.sync_data());
    written.inspect_err(|_| {
        // It only takes space, perhaps of a full disk.
        let _ = fs.remove(path);
    })?;
    Ok(file)
}
