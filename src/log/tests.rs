//! The chain as replay finds it: whole, torn, damaged, with ghosts. What is checked is which
//! sequences come back, or that the error names the log.

use std::path::Path;

use super::*;
use crate::error::{Error, Result};
use crate::format::batch::BatchBuffer;
use crate::format::hash::checksum;
use crate::format::log_header::LogHeader;
use crate::format::record::{RecordHeader, RecordKind};
use crate::ids::{KEYSPACE_DEFAULT, LogNumber, LogPosition, Sequence, Uuid};
use crate::io::SimFs;

const DIR: &str = "/db";
const DATABASE: Uuid = Uuid([7; 16]);

/// A chain being written, each log in the slot of its number.
struct Chain {
    fs: SimFs,
    writer: Option<LogWriter>,
    next: u64,
    /// Where the last sealed log ended: number, offset, position.
    last: (LogNumber, u64, LogPosition),
    synced: LogPosition,
}

impl Chain {
    fn new() -> Self {
        let fs = SimFs::new();
        crate::io::Fs::create_dir_all(&fs, Path::new(DIR)).unwrap();
        let last = (LogNumber(0), LOG_DATA_START, LogPosition(0));
        Self { fs, writer: None, next: 1, last, synced: LogPosition(0) }
    }

    /// Takes log `number`, which follows the last sealed one, into use.
    fn start(&mut self, number: u64) {
        let spare = SpareLog::create(&self.fs, Path::new(DIR), number, 16 << 10).unwrap();
        let (previous, previous_end, base) = self.last;
        let (uuid, number, synced) = (DATABASE, LogNumber(number), self.synced);
        let place = LogHeader { uuid, number, previous, previous_end, base, synced, salt: 0 };
        self.writer = Some(spare.activate(place).unwrap());
    }

    /// Appends a record of two operations. Returns its offset.
    fn append(&mut self) -> u64 {
        let mut batch = BatchBuffer::new();
        batch.put(KEYSPACE_DEFAULT, b"key", b"value");
        batch.delete(KEYSPACE_DEFAULT, b"other");
        let (body_len, body_hash) = (batch.body_len() as u32, checksum(batch.body()));
        batch.pad();
        let (first, synced) = (self.next, self.synced.0);
        let header = RecordHeader { body_len, first, synced, count: 2, kind: RecordKind::Data };
        let writer = self.writer.as_mut().unwrap();
        let start = writer.position().0 - writer.log().header.base.0;
        writer.append(batch.bytes_mut(), &header, body_hash).unwrap();
        self.next += 2;
        start
    }

    /// What is appended so far counts as synced for every later record and header.
    fn sync(&mut self) {
        self.synced = self.writer.as_ref().unwrap().position();
    }

    fn seal(&mut self) {
        self.last = self.writer.take().unwrap().seal();
    }

    /// The first sequences of the records that replay finds.
    fn replayed(&self) -> Result<Vec<u64>> {
        let expected = Expected {
            database: DATABASE,
            floor: LogNumber(1),
            floor_exists: true,
            ceiling: Sequence(1_000),
            writable: false,
        };
        let replayed = replay(&self.fs, Path::new(DIR), &expected)?;
        let records = replayed.logs.iter().flat_map(|log| &log.records);
        Ok(records.map(|record| record.first.0).collect())
    }

    #[track_caller]
    fn check_corrupt(&self, log: &str) {
        match self.replayed() {
            Err(Error::Corruption { file, .. }) => assert_eq!(file, Path::new(DIR).join(log)),
            other => panic!("not a corruption: {other:?}"),
        }
    }

    fn flip(&self, log: &str, at: u64) {
        assert!(self.fs.flip(Path::new(DIR).join(log), at, 0x10));
    }
}

/// I10.
#[test]
fn records_come_back_in_order_across_logs() {
    let mut chain = Chain::new();
    chain.start(1);
    assert_eq!(chain.replayed().unwrap(), []);
    chain.append();
    chain.append();
    chain.seal();
    chain.start(2);
    chain.append();
    assert_eq!(chain.replayed().unwrap(), [1, 3, 5]);
}

/// I10: a record holds at its own offset of its own log only, and sequences have no gap in a file.
#[test]
fn a_record_elsewhere_is_none_and_a_gap_is_corruption() {
    let mut chain = Chain::new();
    chain.start(1);
    let (first, second) = (chain.append() as usize, chain.append() as usize);
    let path = Path::new(DIR).join("000001.log");
    let sound = chain.fs.read_file(&path).unwrap();
    let mut moved = sound.clone();
    moved.copy_within(first..second, second);
    chain.fs.write_file(&path, &moved);
    assert_eq!(chain.replayed().unwrap(), [1]);
    chain.fs.write_file(&path, &sound);
    chain.next += 1;
    chain.append();
    chain.check_corrupt("000001.log");
}

/// I11: at every byte of every record, in a log of which nothing is known.
#[test]
fn damage_that_nobody_knew_synced_is_a_torn_tail() {
    let mut chain = Chain::new();
    chain.start(1);
    let starts = [chain.append(), chain.append(), chain.append()];
    let end = starts[2] + (starts[2] - starts[1]);
    for at in starts[0]..end {
        let whole = starts.iter().filter(|&&start| start <= at).count() - 1;
        chain.flip("000001.log", at);
        assert_eq!(chain.replayed().unwrap(), [1, 3, 5][..whole], "byte {at}");
        chain.flip("000001.log", at);
    }
}

/// I11: the same bytes, once a later record, or the next log's header, knew them synced.
#[test]
fn damage_below_a_position_known_synced_is_corruption() {
    for in_next_log in [false, true] {
        let mut chain = Chain::new();
        chain.start(1);
        let start = chain.append();
        let end = start + (chain.append() - start) * 2;
        chain.sync();
        if in_next_log {
            chain.seal();
            chain.start(2);
        }
        chain.append();
        for at in start..end {
            chain.flip("000001.log", at);
            chain.check_corrupt("000001.log");
            chain.flip("000001.log", at);
        }
        assert_eq!(chain.replayed().unwrap(), [1, 3, 5]);
    }
}

/// I12: a rotation whose header was written and reported as failed is followed by another one.
#[test]
fn of_two_successors_the_higher_number_counts() {
    let mut chain = Chain::new();
    chain.start(1);
    chain.append();
    chain.seal();
    chain.start(2);
    chain.append();
    // The ghost's sequences are spent, and not those that follow.
    chain.start(3);
    chain.append();
    assert_eq!(chain.replayed().unwrap(), [1, 5]);
}

/// Bytes of a failed append, past the end that the next header names, are no record.
#[test]
fn a_log_ends_where_the_next_one_says() {
    let mut chain = Chain::new();
    chain.start(1);
    chain.append();
    let ended = chain.writer.as_ref().unwrap().position();
    chain.append();
    chain.last = (LogNumber(1), ended.0, ended);
    chain.start(2);
    chain.append();
    assert_eq!(chain.replayed().unwrap(), [1, 5]);
}

/// Either copy of a header is enough; without both the log is no log, which only the manifest's
/// floor can tell from a spare.
#[test]
fn one_sound_copy_of_a_header_is_enough() {
    let mut chain = Chain::new();
    chain.start(1);
    chain.append();
    chain.flip("000001.log", 40);
    assert_eq!(chain.replayed().unwrap(), [1]);
    chain.flip("000001.log", LOG_SECOND_HEADER + 40);
    assert!(chain.replayed().unwrap_err().is_corruption());
    chain.flip("000001.log", 40);
    assert_eq!(chain.replayed().unwrap(), [1]);
}
