//! Reading the logs of a directory back into commit order. Changes nothing on disk.
//!
//! # Steps
//!
//! 1. Read the header of every slot. Below the floor: dead. Undecodable: never used, or torn while
//!    it was taken into use: dead too, if it is blank or begins like one of ours. Of another
//!    database, or of something else: left alone. Of a newer format: refused.
//! 2. The chain starts with the highest-numbered live log whose predecessor is dead; the log at the
//!    floor must be it where the manifest says that the floor exists. It goes on by the rule of the
//!    module above.
//! 3. Read records until the offset that the next header names, or, in the last log, until no valid
//!    record follows: the *stop*.
//! 4. Everything behind the stop, in that log and in logs that the chain does not reach, is
//!    searched for a valid record or header that knew a position past the stop to be synced. If
//!    there is one, data that was durable is gone: `Corruption`. Otherwise the stop is a torn tail,
//!    and normal.
//!
//! The search steps by 8 bytes and hashes a body only behind a valid header check, so it is linear.

use std::collections::BTreeMap;
use std::path::Path;

use super::{LOG_DATA_START, LOG_SECOND_HEADER};
use crate::error::{Error, Result};
use crate::format::log_header::{LOG_HEADER_BYTES, LOG_MAGIC, LogHeader};
use crate::format::names::FileName;
use crate::format::record::{
    RECORD_HEADER_BYTES, RecordHeader, RecordKind, decode_header, read_record,
};
use crate::ids::{LogNumber, LogPosition, Sequence, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};

/// What the manifest says about the logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) database: Uuid,
    /// Logs below are dead.
    pub(crate) floor: LogNumber,
    /// Whether the log at the floor must exist.
    pub(crate) floor_exists: bool,
    /// No operation has a sequence above.
    pub(crate) ceiling: Sequence,
    /// Whether files are opened for writing too, so that they can be healed and synced later.
    pub(crate) writable: bool,
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

/// One log of the chain, read whole.
#[derive(Debug)]
pub(crate) struct ReplayedLog {
    pub(crate) file: NamedFile,
    pub(crate) slot: u64,
    pub(crate) header: LogHeader,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<ReplayedRecord>,
    /// Offset behind the last record.
    pub(crate) end: u64,
    /// Whether an end record stands there.
    pub(crate) ended: bool,
}

/// Everything a directory's logs say.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The chain, oldest first.
    pub(crate) logs: Vec<ReplayedLog>,
    /// The last sequence read, 0 if none.
    pub(crate) last: Sequence,
    /// The highest position that any record or header knew to be synced.
    pub(crate) synced: LogPosition,
    /// Slots whose files no recovery needs: dead, and fit for use as spares.
    pub(crate) dead: Vec<u64>,
    /// Slots with logs at or above the floor that the chain does not reach, newest first: to be
    /// removed before the first write.
    pub(crate) unreachable: Vec<u64>,
    /// The highest log number seen anywhere.
    pub(crate) number_max: LogNumber,
    /// The highest slot seen.
    pub(crate) slot_max: u64,
}

/// Reads the logs in `dir`. Read errors are errors, never the end of a log.
pub(crate) fn replay(fs: &dyn Fs, dir: &Path, expected: &Expected) -> Result<Replayed> {
    let mut out = Replayed::default();
    let mut live = find_live(fs, dir, expected, &mut out)?;
    let mut next = chain_head(dir, &live, expected)?;
    while let Some(number) = next {
        let (slot, header, file) = live.remove(&number).expect("the chain names logs in the map");
        let follower = follower(&live, number);
        let limit = follower.map(|f| live[&f].1.previous_end);
        let log = read_log(file, slot, header, limit, expected, &mut out)?;
        let reached = limit.is_some_and(|limit| limit == log.end);
        if let Some(next_header) = follower.filter(|_| reached).map(|f| live[&f].1) {
            check_base(&live[&next_header.number].2, &log, &next_header)?;
        }
        next = follower.filter(|_| reached);
        out.logs.push(log);
    }
    check_evidence(&mut out, &mut live, expected)?;
    // A map in ascending order, so this is newest first.
    out.unreachable = live.values().rev().map(|(slot, ..)| *slot).collect();
    Ok(out)
}

type Live = BTreeMap<LogNumber, (u64, LogHeader, NamedFile)>;

fn find_live(fs: &dyn Fs, dir: &Path, expected: &Expected, out: &mut Replayed) -> Result<Live> {
    let mut live = Live::new();
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let mode = if expected.writable { OpenMode::ReadWrite } else { OpenMode::Read };
    for name in names {
        let Some(FileName::LogSlot(slot)) = FileName::parse(&name) else { continue };
        out.slot_max = out.slot_max.max(slot);
        let file = NamedFile::open(fs, dir.join(&name), mode)?;
        let Some(header) = read_header(&file)? else {
            if may_be_ours(&file)? {
                out.dead.push(slot);
            }
            continue;
        };
        if header.uuid != expected.database {
            continue;
        }
        out.number_max = out.number_max.max(header.number);
        if header.number < expected.floor {
            out.dead.push(slot);
            continue;
        }
        out.synced = out.synced.max(header.synced);
        let number = header.number;
        if let Some((_, _, other)) = live.insert(number, (slot, header, file)) {
            let got = format!("log {} in {name} and in {}", number.0, other.path.display());
            let path = dir.join(&name);
            return Err(corruption(&path, 0, "log number", "one file for each log", got));
        }
    }
    Ok(live)
}

/// The header, from whichever copy of it is sound; `None` if neither is.
fn read_header(file: &NamedFile) -> Result<Option<LogHeader>> {
    if file.len()? < LOG_DATA_START {
        return Ok(None);
    }
    let mut found = None;
    for at in [0, LOG_SECOND_HEADER] {
        let mut copy = [0; LOG_HEADER_BYTES];
        file.read_exact_at(&mut copy, at)?;
        match LogHeader::decode(&copy) {
            Ok(header) => found = found.or(Some(header)),
            Err(malformed) if malformed.newer => return Err(malformed.in_file(&file.path, at)),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Whether a file without a sound header may be one of ours, taken into use or made when a crash
/// came. Anything else that happens to have such a name belongs to somebody else.
fn may_be_ours(file: &NamedFile) -> Result<bool> {
    let len = file.len()?;
    for at in [0, LOG_SECOND_HEADER] {
        let mut copy = [0; LOG_HEADER_BYTES];
        let there = len.saturating_sub(at).min(LOG_HEADER_BYTES as u64) as usize;
        file.read_exact_at(&mut copy[..there], at)?;
        if !copy.starts_with(&LOG_MAGIC) && copy.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn chain_head(dir: &Path, live: &Live, expected: &Expected) -> Result<Option<LogNumber>> {
    let head = live
        .iter()
        .rev()
        .find(|(_, (_, header, _))| header.previous < expected.floor)
        .map(|(number, _)| *number);
    if expected.floor_exists && head != Some(expected.floor) {
        let got = match head {
            Some(head) => format!("log {}", head.0),
            None => String::from("no such log"),
        };
        let want = format!("log {}, the oldest that is still needed", expected.floor.0);
        return Err(corruption(dir, 0, "log files", want, got));
    }
    Ok(head)
}

fn follower(live: &Live, number: LogNumber) -> Option<LogNumber> {
    live.iter().rev().find(|(_, (_, header, _))| header.previous == number).map(|(n, _)| *n)
}

fn check_base(file: &NamedFile, log: &ReplayedLog, next: &LogHeader) -> Result<()> {
    let want = log.header.base.plus(log.end);
    if next.base != want {
        let (want, got) = (want.0.to_string(), next.base.0.to_string());
        return Err(file.corruption(0, "log header's base position", want, got));
    }
    Ok(())
}

/// Reads records up to `limit`, or as far as they are valid.
fn read_log(
    file: NamedFile,
    slot: u64,
    header: LogHeader,
    limit: Option<u64>,
    expected: &Expected,
    out: &mut Replayed,
) -> Result<ReplayedLog> {
    let bytes = read_whole(&file)?;
    let mut at = LOG_DATA_START as usize;
    let mut log =
        ReplayedLog { file, slot, header, bytes, records: Vec::new(), end: 0, ended: false };
    let mut in_file = None;
    while limit.is_none_or(|limit| (at as u64) < limit) {
        let Some((record, body, next)) = read_record(&log.bytes, at, header.salt) else { break };
        if record.kind == RecordKind::End {
            log.ended = true;
            break;
        }
        check_sequences(&log.file, at, &record, in_file, out.last, expected)?;
        in_file = Some(Sequence(record.first));
        out.last = Sequence(record.first).plus(u64::from(record.count) - 1);
        out.synced = out.synced.max(LogPosition(record.synced));
        log.records.push(ReplayedRecord {
            start: at + RECORD_HEADER_BYTES,
            len: body.len(),
            first: Sequence(record.first),
            count: record.count,
            kind: record.kind,
        });
        at = next;
    }
    log.end = at as u64;
    Ok(log)
}

/// Sequences ascend across logs and are contiguous within one; none is above the ceiling.
fn check_sequences(
    file: &NamedFile,
    at: usize,
    record: &RecordHeader,
    in_file: Option<Sequence>,
    last: Sequence,
    expected: &Expected,
) -> Result<()> {
    let wrong = |want: String| {
        let got = format!("{} operations from sequence {} on", record.count, record.first);
        Err(file.corruption(at as u64, "log record", want, got))
    };
    if !matches!(record.kind, RecordKind::Data | RecordKind::Control) || record.count == 0 {
        return wrong(String::from("a record of operations"));
    }
    let next = last.plus(1);
    if in_file.is_some() && record.first != next.0 || record.first < next.0 {
        return wrong(format!("sequence {next}"));
    }
    match record.first.checked_add(u64::from(record.count) - 1) {
        Some(end) if end <= expected.ceiling.0 => Ok(()),
        _ => wrong(format!("sequences up to {}", expected.ceiling)),
    }
}

fn read_whole(file: &NamedFile) -> Result<Vec<u8>> {
    let len = file.len()?;
    let len = usize::try_from(len).map_err(|_| {
        file.corruption(0, "log file", "a file that fits in memory", len.to_string())
    })?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Step 4: looks behind the stop for anything that knew a position past it to be synced.
fn check_evidence(out: &mut Replayed, live: &mut Live, expected: &Expected) -> Result<()> {
    let Some(last) = out.logs.last() else {
        return check_lost_head(live, expected);
    };
    let stop = last.header.base.plus(last.end);
    let lost = |synced: LogPosition, witness: &Path, at: u64| {
        let got = format!(
            "no valid record there, though {} (byte {at}) knew byte {} of the log to be synced",
            witness.display(),
            synced.0.saturating_sub(last.header.base.0),
        );
        last.file.corruption(last.end, "log record", "a valid record", got)
    };
    if !last.ended {
        let from = last.end as usize;
        if let Some((at, synced)) = search(&last.bytes, from, last.header.salt, stop) {
            return Err(lost(synced, &last.file.path, at as u64));
        }
    }
    for (_, header, file) in live.values() {
        if header.synced > stop {
            return Err(lost(header.synced, &file.path, 0));
        }
        let bytes = read_whole(file)?;
        if let Some((at, synced)) = search(&bytes, LOG_DATA_START as usize, header.salt, stop) {
            return Err(lost(synced, &file.path, at as u64));
        }
    }
    // What was read before the stop knows no more than the stop reaches, if it is sound.
    if out.synced > stop {
        return Err(lost(out.synced, &last.file.path, last.end));
    }
    Ok(())
}

/// No chain at all: then the log that should start it was never synced, and nothing in the others
/// may say otherwise.
fn check_lost_head(live: &mut Live, expected: &Expected) -> Result<()> {
    // Where the lost head began: its follower's header says where that ends, and how long it was.
    let starts = live.values().map(|(_, h, _)| h.base.0.saturating_sub(h.previous_end));
    let anchor = LogPosition(starts.min().unwrap_or(0));
    for (_, header, file) in live.values() {
        let bytes = read_whole(file)?;
        let found = search(&bytes, LOG_DATA_START as usize, header.salt, anchor);
        if header.synced > anchor || found.is_some() {
            let got = format!("log {} knows of synced data before it", header.number.0);
            let want = format!("log {} or none", expected.floor.0);
            return Err(file.corruption(0, "log chain", want, got));
        }
    }
    Ok(())
}

/// The first valid record from `from` on that knew a position past `stop` to be synced.
fn search(bytes: &[u8], from: usize, salt: u64, stop: LogPosition) -> Option<(usize, LogPosition)> {
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

fn corruption(
    file: &Path,
    offset: u64,
    what: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> Error {
    let (file, expected, got) = (file.to_path_buf(), expected.into(), got.into());
    Error::Corruption { file, offset, what, expected, got }
}
