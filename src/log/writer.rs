//! Log files that are written: spares made ahead of time, and the one writer that appends.
//!
//! [`LogWriter`] lives inside the commit section, so there is one appender. [`LogFile`] is what the
//! sync leader and the flush share.

use std::path::Path;

use super::fill::fill;
use super::{LOG_DATA_START, LOG_SECOND_HEADER};
use crate::error::{Error, Result};
use crate::format::log_header::{LOG_HEADER_BYTES, LogHeader};
use crate::format::names::FileName;
use crate::format::record::{
    RECORD_HEADER_BYTES, RecordHeader, RecordKind, finish_record, record_bytes, record_header,
};
use crate::ids::{LogNumber, LogPosition, Uuid};
use crate::io::{Fs, NamedFile, OpenMode, Pin, first_free, sync_dir};
use crate::mvcc::seal::{Seal, Sealed};
use crate::sync::atomic::AtomicU64;
use crate::sync::{Arc, Mutex, lock};

/// How much of a recovered tail is rewritten at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The longest that a log of many records grows, in bytes: recovery keeps 32-bit offsets into one.
const LOG_BYTES_MAX: u64 = if cfg!(test) { 1 << 20 } else { 3 << 30 };

/// A log that takes part in the chain.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) file: NamedFile,
    pub(crate) slot: u64,
    pub(crate) header: LogHeader,
    /// Whether it was found at open rather than made by this process.
    recovered: bool,
    /// What its writer appends through, until [`Self::release`]: dropping the last handle may take
    /// a while, which is not for the commit section.
    appends: Mutex<Option<NamedFile>>,
    /// Keeps the file open until all of the log is durable.
    pin: Mutex<Option<Pin>>,
    seal: Seal,
}

impl LogFile {
    /// A log found at open, which ends at `end`. Its bytes from `rewrite_from` on may sit in the
    /// page cache alone, marked clean by a sync that failed before the restart.
    pub(crate) fn recovered(
        file: NamedFile,
        slot: u64,
        header: LogHeader,
        rewrite_from: Option<u64>,
        end: u64,
    ) -> Self {
        let seal = Seal::found(end, rewrite_from);
        let appends = Mutex::new(None);
        let pin = Mutex::new(None);
        Self { file, slot, header, recovered: true, appends, pin, seal }
    }

    /// Gives up what only appending needs, if no append comes any more. Called by the log thread.
    pub(crate) fn release(&self) {
        if self.end().is_some() {
            let appends = lock(&self.appends).take();
            drop(appends);
        }
    }

    /// The offset at which the log was sealed, if it was.
    pub(crate) fn end(&self) -> Option<u64> {
        self.seal.end()
    }

    /// The position at which the log was sealed, if it was.
    pub(crate) fn end_position(&self) -> Option<LogPosition> {
        self.end().map(|end| self.header.base.plus(end))
    }

    /// Whether the file was found at open rather than made by this process.
    pub(crate) fn was_recovered(&self) -> bool {
        self.recovered
    }

    /// Whether it has to be synced whatever was synced of it: recovered bytes are to be written
    /// again, or an append has failed.
    pub(crate) fn needs_sync(&self) -> bool {
        self.seal.owes()
    }

    /// Makes everything appended below `covered` durable, and the whole log if it is sealed.
    /// Returns how many bytes had to be written again. What nobody has appended to stays as it is:
    /// a prepared file may have to be written as a whole otherwise, which takes long.
    ///
    /// Called by the sync leader only, so there is one rewriter.
    pub(crate) fn sync(&self, covered: LogPosition) -> Result<u64> {
        let sealed = self.seal.begin_sync();
        let _open = self.file.pin()?;
        let rewritten = sealed.map_or(Ok(0), |sealed| self.write_again(sealed))?;
        // With what stands behind the end: the header of a record whose append failed, zeroed there
        // (I10), or the end record that an open wrote.
        let whole = sealed.map(|sealed| sealed.end + RECORD_HEADER_BYTES as u64);
        let open = || covered.0.saturating_sub(self.header.base.0);
        // Through the appending handle while there is one, which is quicker.
        let appends = lock(&self.appends).clone();
        let file = appends.as_ref().unwrap_or(&self.file);
        file.sync_below(whole.unwrap_or_else(open))?;
        if let Some(sealed) = sealed {
            self.seal.settle(sealed);
            // Nothing is written to it any more.
            drop(lock(&self.pin).take());
        }
        Ok(rewritten)
    }

    /// Reads what is owed and writes the same again. Returns how many bytes it was.
    fn write_again(&self, Sealed { end, owed_from }: Sealed) -> Result<u64> {
        let mut at = owed_from;
        if at == end {
            return Ok(0);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            self.file.read_exact_at(&mut chunk[..len], at)?;
            self.file.write_all_at(&chunk[..len], at)?;
            at += len as u64;
        }
        Ok(end - owed_from)
    }
}

/// Where log files are made, and as whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots<'a> {
    pub(crate) fs: &'a Arc<dyn Fs>,
    pub(crate) dir: &'a Path,
    pub(crate) next: &'a AtomicU64,
    pub(crate) database: Uuid,
}

/// A file that waits to become a log: written to its full length and synced, so that appending
/// to it changes no metadata.
#[derive(Debug)]
pub(crate) struct SpareLog {
    file: NamedFile,
    /// The same file, for appending; see [`Self::prepare`].
    appends: NamedFile,
    /// Keeps it open, from when it is kept as a spare.
    pin: Option<Pin>,
    slot: u64,
    capacity: u64,
    salt: u64,
}

impl SpareLog {
    /// Makes a file of `capacity` zeros in a new slot, durable with its name. A failure leaves no
    /// file behind if the system lets it be removed.
    pub(crate) fn create(place: Slots<'_>, capacity: u64) -> Result<Self> {
        let spare = Self::create_empty(place)?;
        let filled =
            fill(&spare.file, capacity).and_then(|()| sync_dir(place.fs.as_ref(), place.dir));
        if let Err(error) = filled {
            // The file is not part of any chain; an open finds it dead should this fail too.
            let _ = place.fs.remove(&spare.file.path);
            return Err(error);
        }
        Ok(Self { capacity, ..spare })
    }

    fn new(file: NamedFile, slot: u64, capacity: u64, salt: u64) -> Self {
        let appends = file.clone();
        Self { file, appends, pin: None, slot, capacity, salt }
    }

    /// Keeps the file open and, if it is to be `mapped`, makes appending quick. That takes as long
    /// as reading the file does, so only for one that is kept, on the log thread.
    pub(crate) fn prepare(&mut self, mapped: bool) {
        if self.pin.is_none() {
            // If this fails, so will the first use, which says so.
            self.pin = self.file.pin().unwrap_or_default();
        }
        if mapped {
            self.appends = self.file.overwriter(self.capacity);
        }
    }

    /// Makes a file in a new slot, for a log that is written once, whole. It has a header that says
    /// whose it is, and that it is no log yet: what has none is left alone by an open.
    pub(crate) fn create_empty(place: Slots<'_>) -> Result<Self> {
        let salt = random_u64(place.dir)?;
        let (slot, (file, pin)) = first_free(place.next, |slot| {
            let path = place.dir.join(FileName::LogSlot(slot).name());
            NamedFile::create(place.fs, path, OpenMode::ReadWrite)
        })?;
        let unused = header_copies(&LogHeader::unused(place.database, salt));
        file.write_all_at(&unused, 0).inspect_err(|_| {
            let _ = place.fs.remove(&file.path);
        })?;
        Ok(Self { pin: Some(pin), ..Self::new(file, slot, 0, salt) })
    }

    /// Takes over the file of a log that no recovery needs any more. Not one that other names lead
    /// to: it is the log of a copy that somebody made by links.
    pub(crate) fn recycle(log: &LogFile) -> Result<Self> {
        refuse_shared(&log.file)?;
        let salt = random_u64(&log.file.path)?;
        let capacity = log.file.len()?;
        Ok(Self::new(log.file.clone(), log.slot, capacity, salt))
    }

    /// Takes over a dead file found at open. As [`Self::recycle`].
    pub(crate) fn reopen(fs: &Arc<dyn Fs>, dir: &Path, slot: u64) -> Result<Self> {
        let path = dir.join(FileName::LogSlot(slot).name());
        let salt = random_u64(&path)?;
        let file = NamedFile::shared(fs, path, OpenMode::ReadWrite)?;
        refuse_shared(&file)?;
        let capacity = file.len()?;
        Ok(Self::new(file, slot, capacity, salt))
    }

    /// Bytes that can be appended without growing the file, header included.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Writes a whole record's body where the first record of this log will be, and grows the file
    /// to hold it. It counts for nothing until [`Self::activate_with_record`] writes the headers.
    pub(crate) fn write_body_ahead(&self, padded_body: &[u8]) -> Result<()> {
        self.file.write_all_at(padded_body, LOG_DATA_START + RECORD_HEADER_BYTES as u64)
    }

    /// Makes this file the log that `place` describes: writes the header, nothing else.
    pub(crate) fn activate(self, place: LogHeader) -> Result<LogWriter> {
        let header = LogHeader { salt: self.salt, ..place };
        self.appends.write_all_at(&header_copies(&header), 0)?;
        Ok(self.into_writer(header))
    }

    /// Makes this file the log that `place` describes with the record whose body was written
    /// ahead, and seals it: one write of both headers decides.
    pub(crate) fn activate_with_record(
        self,
        place: LogHeader,
        record: &RecordHeader,
        body_hash: u64,
    ) -> Result<Arc<LogFile>> {
        let header = LogHeader { salt: self.salt, ..place };
        let mut start = header_copies(&header).to_vec();
        start.extend_from_slice(&record_header(header.salt, LOG_DATA_START, record, body_hash));
        self.file.write_all_at(&start, 0)?;
        let end = LOG_DATA_START + record_bytes(record.body_len as usize) as u64;
        let writer = self.into_writer(header);
        writer.log.seal.close(end);
        Ok(writer.log)
    }

    fn into_writer(self, header: LogHeader) -> LogWriter {
        let log = LogFile {
            file: self.file,
            slot: self.slot,
            header,
            recovered: false,
            appends: Mutex::new(Some(self.appends.clone())),
            pin: Mutex::new(self.pin),
            seal: Seal::open(),
        };
        let log = Arc::new(log);
        let appends = self.appends;
        LogWriter { log, appends, tail: LOG_DATA_START, capacity: self.capacity }
    }
}

/// The appending end of one log. One exists at a time, inside the commit section.
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<LogFile>,
    appends: NamedFile,
    tail: u64,
    capacity: u64,
}

impl LogWriter {
    /// The file, to share.
    pub(crate) fn log(&self) -> &Arc<LogFile> {
        &self.log
    }

    /// Whether `bytes` more fit without growing the file.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.tail.saturating_add(bytes) <= self.capacity
    }

    /// Whether it was prepared for fewer bytes.
    pub(crate) fn is_shorter_than(&self, bytes: u64) -> bool {
        self.capacity < bytes
    }

    /// Whether `bytes` more leave the log short enough to be recovered, though it may have to grow.
    pub(crate) fn may_grow(&self, bytes: u64) -> bool {
        self.tail.saturating_add(bytes) <= LOG_BYTES_MAX.max(self.capacity)
    }

    /// The position after the last record.
    pub(crate) fn position(&self) -> LogPosition {
        self.log.header.base.plus(self.tail)
    }

    /// Appends one record: `record` is a gap for the header, the body, and zeros up to a multiple
    /// of 8. Returns the position after it. On failure the tail has not moved, and the caller
    /// seals.
    pub(crate) fn append(
        &mut self,
        record: &mut [u8],
        header: &RecordHeader,
        body_hash: u64,
    ) -> Result<LogPosition> {
        finish_record(record, self.log.header.salt, self.tail, header, body_hash);
        self.appends.write_all_at(record, self.tail)?;
        self.tail += record.len() as u64;
        Ok(self.position())
    }

    /// As [`Self::append`], of a body that lies elsewhere and is not to be moved. Several writes,
    /// the header's last: without it the others are nothing.
    pub(crate) fn append_body(
        &mut self,
        body: &[u8],
        header: &RecordHeader,
        body_hash: u64,
    ) -> Result<LogPosition> {
        let start = self.tail + RECORD_HEADER_BYTES as u64;
        let (whole, rest) = body.split_at(body.len() - body.len() % 8);
        self.appends.write_all_at(whole, start)?;
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.appends.write_all_at(&last, start + whole.len() as u64)?;
        }
        let head = record_header(self.log.header.salt, self.tail, header, body_hash);
        self.appends.write_all_at(&head, self.tail)?;
        self.tail += record_bytes(body.len()) as u64;
        Ok(self.position())
    }

    /// Ends the log here. The next log's header names the offset.
    pub(crate) fn seal(self) -> LogEnd {
        self.close(Seal::close)
    }

    /// Ends the log after a failed append: whatever part of the record reached the file must not be
    /// taken for one. The next log's header says so too, and no later log counts as synced before
    /// this one.
    pub(crate) fn seal_failed(self) -> LogEnd {
        // Best effort: on a disk that refuses this as well, the next header's word is enough.
        let _ = self.log.file.write_all_at(&[0; RECORD_HEADER_BYTES], self.tail);
        // All before may be durable already: then nothing else would sync this.
        self.close(Seal::close_owing)
    }

    fn close(self, close: fn(&Seal, u64)) -> LogEnd {
        // Before the end is known, so that this is not the last handle.
        drop(self.appends);
        close(&self.log.seal, self.tail);
        let position = self.log.header.base.plus(self.tail);
        LogEnd { number: self.log.header.number, end: self.tail, position }
    }
}

/// Where a log was sealed, and the next one goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    pub(crate) number: LogNumber,
    pub(crate) end: u64,
    pub(crate) position: LogPosition,
}

/// Ends a log found at open at `end`, so that what lies beyond is never looked at again.
pub(crate) fn write_end_record(
    file: &NamedFile,
    header: &LogHeader,
    end: u64,
    synced: LogPosition,
) -> Result<()> {
    let kind = RecordKind::End;
    let end_record = RecordHeader { body_len: 0, first: 0, synced: synced.0, count: 0, kind };
    let record = record_header(header.salt, end, &end_record, crate::format::hash::checksum(&[]));
    file.write_all_at(&record, end)
}

fn header_copies(header: &LogHeader) -> [u8; LOG_DATA_START as usize] {
    let mut bytes = [0; LOG_DATA_START as usize];
    let one = header.encode();
    bytes[..LOG_HEADER_BYTES].copy_from_slice(&one);
    bytes[LOG_SECOND_HEADER as usize..].copy_from_slice(&one);
    bytes
}

fn refuse_shared(file: &NamedFile) -> Result<()> {
    let shared = || std::io::Error::other("other names lead to it");
    let refuse = || Err(Error::io("use again", &file.path, shared()));
    if file.has_other_names() { refuse() } else { Ok(()) }
}

fn random_u64(path: &Path) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io("draw a random salt for", path, std::io::Error::other(error.to_string()))
    })?;
    Ok(u64::from_le_bytes(bytes))
}
