//! Reading one log file: its bytes, its records up to where they end, and what a search finds
//! behind that. One log at a time and nothing between logs, so that several may be read at once;
//! `replay` puts them together. Changes nothing on disk.

use super::expected::Expected;
use super::{LOG_DATA_START, LOG_SECOND_HEADER};
use crate::error::Result;
use crate::format::log_header::LogHeader;
use crate::format::record::{
    RECORD_HEADER_BYTES, RecordHeader, RecordKind, decode_header, parse_header, read_record,
    record_bytes,
};
use crate::ids::{LogPosition, Sequence};
use crate::io::NamedFile;

/// A log of the chain, before it is read.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) slot: u64,
    pub(super) header: LogHeader,
    pub(super) file: NamedFile,
    /// Where the next log's header says that this one ends.
    pub(super) limit: Option<u64>,
    /// The bytes up to there, or all that the file has.
    pub(super) bytes: u64,
}

/// One data or control record, by where its body lies in the log's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayedRecord {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) first: Sequence,
    /// Operations, as the header says.
    pub(crate) count: u32,
    pub(crate) kind: RecordKind,
}

/// One log of the chain.
#[derive(Debug)]
pub(crate) struct ReplayedLog {
    pub(crate) file: NamedFile,
    pub(crate) slot: u64,
    pub(crate) header: LogHeader,
    /// The file from its beginning: to where the next log's header says that this one ends, or
    /// whole.
    pub(crate) bytes: Vec<u8>,
    /// That place, if there is a next log.
    pub(super) limit: Option<u64>,
    /// Offset behind the last record.
    pub(crate) end: u64,
    /// Whether an end record stands there.
    pub(crate) ended: bool,
    /// Sequences of its records, first and last.
    pub(crate) sequences: Option<(Sequence, Sequence)>,
    /// The highest position that a record of it knew to be synced.
    pub(crate) synced: LogPosition,
}

impl ReplayedLog {
    /// Its data and control records.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Records<'_> {
        Records::new(&self.bytes, self.end)
    }

    /// How many sequences its records take.
    pub(crate) fn count(&self) -> u64 {
        self.sequences.map_or(0, |(first, last)| last.0 - first.0 + 1)
    }
}

/// The records of a log that was read, off its bytes again: their headers were found sound then,
/// and a list of them would be a fifth of the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    /// Up to where the records end.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// Of a [`ReplayedLog`]'s `bytes` and `end`.
    pub(crate) fn new(bytes: &'a [u8], end: u64) -> Self {
        let end = bytes.len().min(usize::try_from(end).unwrap_or(usize::MAX));
        Self { bytes: &bytes[..end], at: LOG_DATA_START as usize }
    }
}

impl Iterator for Records<'_> {
    type Item = ReplayedRecord;

    #[inline]
    fn next(&mut self) -> Option<ReplayedRecord> {
        let header = parse_header(self.bytes.get(self.at..)?.first_chunk()?)?;
        let RecordHeader { body_len, first, count, kind, .. } = header;
        let start = self.at + RECORD_HEADER_BYTES;
        let len = body_len as usize;
        self.at += record_bytes(len);
        Some(ReplayedRecord { start, len, first: Sequence(first), count, kind })
    }
}

/// Reads records up to the link's limit, or as far as they are valid. Read errors are errors, never
/// the end of a log.
pub(super) fn read_log(link: &Link, expected: &Expected) -> Result<ReplayedLog> {
    let Link { slot, header, ref file, limit, bytes } = *link;
    let mut log = ReplayedLog {
        file: file.clone(),
        slot,
        header,
        bytes: read_up_to(file, bytes)?,
        limit,
        end: LOG_DATA_START,
        ended: false,
        sequences: None,
        synced: LogPosition(0),
    };
    let mut at = LOG_DATA_START as usize;
    while limit.is_none_or(|limit| (at as u64) < limit) {
        let Some((record, _, next)) = read_record(&log.bytes, at, header.salt) else { break };
        if record.kind == RecordKind::End {
            log.ended = true;
            break;
        }
        let last = check_sequences(file, at, &record, log.sequences, expected)?;
        let first = log.sequences.map_or(Sequence(record.first), |(first, _)| first);
        log.sequences = Some((first, last));
        log.synced = log.synced.max(LogPosition(record.synced));
        at = next;
    }
    log.end = at as u64;
    Ok(log)
}

/// Sequences are contiguous within a log, and none is above the ceiling. Returns the record's last.
fn check_sequences(
    file: &NamedFile,
    at: usize,
    record: &RecordHeader,
    before: Option<(Sequence, Sequence)>,
    expected: &Expected,
) -> Result<Sequence> {
    let wrong = |want: String| {
        let got = format!("{} operations from sequence {} on", record.count, record.first);
        Err(file.corruption(at as u64, "log record", want, got))
    };
    if !matches!(record.kind, RecordKind::Data | RecordKind::Control) || record.count == 0 {
        return wrong(String::from("a record of operations"));
    }
    if let Some((_, last)) = before
        && record.first != last.plus(1).0
    {
        return wrong(format!("sequence {}", last.plus(1)));
    }
    match record.first.checked_add(u64::from(record.count) - 1) {
        Some(end) if end <= expected.ceiling.0 => Ok(Sequence(end)),
        _ => wrong(format!("sequences up to {}", expected.ceiling)),
    }
}

/// Reads a log that is in use back, up to where it was appended, and returns how many records it
/// has. Both copies of its header must be sound, though one would do.
pub(crate) fn verify_log(file: &NamedFile, header: &LogHeader, end: u64) -> Result<u64> {
    let bytes = read_up_to(file, end.min(file.len()?))?;
    for at in [0, LOG_SECOND_HEADER] {
        let copy = bytes.get(at as usize..).unwrap_or_default();
        let found = LogHeader::decode(copy).map_err(|error| error.in_file(&file.path, at))?;
        if found != *header {
            let want = format!("log {}", header.number.0);
            let got = format!("{found:?}");
            return Err(file.corruption(at, "log header", want, got));
        }
    }
    let mut at = LOG_DATA_START as usize;
    let mut records = 0;
    while (at as u64) < end {
        let Some((record, _, next)) = read_record(&bytes, at, header.salt) else {
            return Err(file.corruption(at as u64, "log record", "a valid record", "none"));
        };
        if !matches!(record.kind, RecordKind::Data | RecordKind::Control) {
            let got = format!("{:?}", record.kind);
            return Err(file.corruption(at as u64, "log record", "a record of operations", got));
        }
        (at, records) = (next, records + 1);
    }
    Ok(records)
}

pub(super) fn read_whole(file: &NamedFile) -> Result<Vec<u8>> {
    read_up_to(file, file.len()?)
}

fn read_up_to(file: &NamedFile, len: u64) -> Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| {
        file.corruption(0, "log file", "a file that fits in memory", len.to_string())
    })?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The first valid record from `from` on that knew a position past `stop` to be synced.
pub(super) fn search(
    bytes: &[u8],
    from: usize,
    salt: u64,
    stop: LogPosition,
) -> Option<(usize, LogPosition)> {
    let mut at = from.next_multiple_of(8);
    while let Some(header) = bytes.get(at..at + RECORD_HEADER_BYTES) {
        let header: &[u8; RECORD_HEADER_BYTES] = header.try_into().ok()?;
        // A zero word cannot begin a record, and most of a fresh log's tail is zeros.
        let blank = header[32..] == [0; 8];
        if blank || decode_header(header, salt, at as u64).is_none() {
            at += 8;
            continue;
        }
        match read_record(bytes, at, salt) {
            Some((record, _, _)) if record.synced > stop.0 => {
                return Some((at, LogPosition(record.synced)));
            }
            Some((_, _, next)) => at = next,
            None => at += 8,
        }
    }
    None
}
