//! A chain of logs as the engine writes it, and what reads back from it.

use crate::error::{Error, Result};
use crate::format::hash::checksum;
use crate::format::log_header::{LOG_HEADER_BYTES, LogHeader};
use crate::format::record::{RECORD_HEADER_BYTES, RecordHeader, RecordKind, record_bytes};
use crate::ids::{LogNumber, LogPosition, Sequence, Uuid};
use crate::io::files::kept;
use crate::io::{Fs, SimFs};
use crate::log::{
    Expected, LOG_DATA_START, LogEnd, LogFile, LogWriter, Replayed, Slots, SpareLog, replay,
};
use crate::sync::Arc;
use crate::sync::atomic::AtomicU64;

pub(super) const DIR: &str = "db";

/// Where a slot's file is.
pub(super) fn path(slot: u64) -> String {
    format!("{DIR}/{slot:06}.wal")
}

pub(super) struct Chain {
    pub(super) fs: SimFs,
    pub(super) database: Uuid,
    pub(super) expected: Expected,
    /// The open log.
    pub(super) log: Option<LogWriter>,
    /// Number, end and position of the one before it.
    pub(super) last: LogEnd,
    next_number: LogNumber,
    next_slot: u64,
    /// Of the next record.
    pub(super) sequence: Sequence,
    /// Known synced.
    pub(super) synced: LogPosition,
    /// The offsets at which records ended, each in its log.
    pub(super) ends: Vec<u64>,
    /// Slot, offset, position and text of every record.
    pub(super) written: Vec<(u64, u64, LogPosition, String)>,
}

impl Chain {
    pub(super) fn new() -> Self {
        let fs = SimFs::new();
        fs.create_dir_all(DIR.as_ref()).unwrap();
        let expected = Expected {
            database: Uuid([7; 16]),
            floor: LogNumber(1),
            floor_exists: false,
            ceiling: Sequence(1 << 32),
            durable: Vec::new(),
            witness: "WITNESS".into(),
            writable: true,
        };
        Self {
            fs,
            database: Uuid([7; 16]),
            expected,
            log: None,
            last: LogEnd { number: LogNumber(0), end: LOG_DATA_START, position: LogPosition(0) },
            next_number: LogNumber(1),
            next_slot: 1,
            sequence: Sequence(1),
            synced: LogPosition(0),
            ends: Vec::new(),
            written: Vec::new(),
        }
    }

    /// What the next log's header will say, but for its salt.
    pub(super) fn place(&self) -> LogHeader {
        let LogEnd { number: previous, end: previous_end, position: base } = self.last;
        let uuid = self.database;
        let number = self.next_number;
        let synced = self.synced;
        LogHeader { uuid, number, previous, previous_end, base, synced, salt: 0 }
    }

    /// A spare in a slot.
    pub(super) fn spare(&self, slot: u64, capacity: u64) -> Result<SpareLog> {
        let fs = &kept(&self.fs);
        let next = &AtomicU64::new(slot);
        let database = self.database;
        SpareLog::create(Slots { fs, dir: DIR.as_ref(), next, database }, capacity)
    }

    /// A spare in a slot, without room for anything.
    pub(super) fn empty(&self, slot: u64) -> Result<SpareLog> {
        let fs = &kept(&self.fs);
        let next = &AtomicU64::new(slot);
        let database = self.database;
        SpareLog::create_empty(Slots { fs, dir: DIR.as_ref(), next, database })
    }

    /// Seals the open log, if there is one, and goes on in a new file.
    pub(super) fn next_log(&mut self) {
        let capacity = LOG_DATA_START + 320;
        let slot = self.next_slot;
        self.activate(self.spare(slot, capacity).unwrap());
        self.next_slot += 1;
    }

    pub(super) fn activate(&mut self, spare: SpareLog) {
        if self.log.is_some() {
            self.seal();
        }
        self.log = Some(spare.activate(self.place()).unwrap());
        self.next_number = LogNumber(self.next_number.0 + 1);
    }

    pub(super) fn seal(&mut self) -> Arc<LogFile> {
        let writer = self.log.take().unwrap();
        let log = Arc::clone(writer.log());
        self.last = writer.seal();
        log
    }

    /// A record of one operation, as it enters the commit section.
    pub(super) fn record(&self, body: &[u8], kind: RecordKind) -> (Vec<u8>, RecordHeader, u64) {
        let mut record = vec![0; record_bytes(body.len())];
        record[RECORD_HEADER_BYTES..][..body.len()].copy_from_slice(body);
        let body_len = body.len() as u32;
        let first = self.sequence.0;
        let synced = self.synced.0;
        let header = RecordHeader { body_len, first, synced, count: 1, kind };
        (record, header, checksum(body))
    }

    pub(super) fn append(&mut self, body: &[u8], kind: RecordKind) {
        let (mut record, header, hash) = self.record(body, kind);
        let writer = self.log.as_mut().unwrap();
        let start = writer.position();
        let end = writer.append(&mut record, &header, hash).unwrap();
        let log = writer.log();
        let offset = start.0 - log.header.base.0;
        let text = String::from_utf8(body.to_vec()).unwrap();
        self.written.push((log.slot, offset, start, text));
        self.ends.push(end.0 - log.header.base.0);
        self.sequence = self.sequence.plus(1);
    }

    pub(super) fn put(&mut self, text: impl Into<String>) {
        self.append(text.into().as_bytes(), RecordKind::Data);
    }

    /// Makes everything durable, and lets later records know.
    pub(super) fn sync(&mut self) {
        let writer = self.log.as_ref().unwrap();
        writer.log().sync(writer.position()).unwrap();
        self.synced = writer.position();
    }

    pub(super) fn read(&self) -> Result<Replayed> {
        replay(&kept(&self.fs), DIR.as_ref(), &self.expected, &|_, work| work())
    }

    /// The same by two threads.
    pub(super) fn read_by_two(&self) -> Result<Replayed> {
        replay(&kept(&self.fs), DIR.as_ref(), &self.expected, &|_, work| {
            std::thread::scope(|scope| {
                scope.spawn(work);
                work();
            });
        })
    }

    /// The texts that read back.
    pub(super) fn found(&self) -> Vec<String> {
        texts(&self.read().unwrap())
    }

    /// Changes bytes of a file and makes its header at `copy` sound again.
    pub(super) fn patch_header(&self, slot: u64, copy: usize, change: impl FnOnce(&mut [u8])) {
        let mut bytes = self.fs.read_file(path(slot)).unwrap();
        change(&mut bytes);
        let header = &mut bytes[copy..copy + LOG_HEADER_BYTES];
        let (body, sum) = header.split_at_mut(LOG_HEADER_BYTES - 8);
        sum.copy_from_slice(&checksum(body).to_le_bytes());
        self.fs.write_file(path(slot), &bytes);
    }
}

/// The bodies of all records, in order.
pub(super) fn texts(read: &Replayed) -> Vec<String> {
    let bodies = read.logs.iter().flat_map(|log| {
        log.records().map(|record| &log.bytes[record.start..record.start + record.len])
    });
    bodies.map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
}

/// Asserts that an error is damage in a file whose path ends so, and that its sentence has `part`.
pub(super) fn assert_corruption(error: &Error, file_ends: &str, part: &str) {
    let Error::Corruption { file, .. } = error else { panic!("no corruption: {error}") };
    assert!(file.to_string_lossy().ends_with(file_ends), "not in {file_ends}: {error}");
    assert!(error.to_string().contains(part), "nothing of {part:?}: {error}");
}
