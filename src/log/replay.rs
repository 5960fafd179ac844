//! Reading the logs of a directory back into commit order. Changes nothing on disk.
//!
//! # Steps
//!
//! 1. Read the header of every slot. Below the floor: dead. Undecodable: torn while it was taken
//!    into use, or prepared by an older version: dead too, if it begins like one of this database,
//!    or is blank and of such a length. Of another database, or of something else: left alone. Of a
//!    newer format: refused.
//! 2. The chain starts with the highest-numbered live log whose predecessor is dead; the log at the
//!    floor must be it where the manifest says that the floor exists. It goes on by the rule of the
//!    module above.
//! 3. Read records until the offset that the next header names, or, in the last log, until no valid
//!    record follows: the *stop*. Logs are read by several threads at once if the caller has them;
//!    what one read ahead behind a stop that another found counts as not reached.
//! 4. Everything behind the stop, in that log and in logs that the chain does not reach, is
//!    searched for a valid record or header that knew a position past the stop to be synced. If
//!    there is one, or the witness (`crate::witness`) knew, data that was durable is gone:
//!    `Corruption`. Otherwise the stop is a torn tail, and normal.
//!
//! Opening uses this, with the threads that it lends.
//!
//! The search steps by 8 bytes and hashes a body only behind a valid header check, so it is linear.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::expected::Expected;
use super::parallel::{Parallel, share_out};
use super::read::{Link, ReplayedLog, read_log, read_whole, search};
use super::{LOG_DATA_START, LOG_SECOND_HEADER};
use crate::error::{Error, Result};
use crate::format::log_header::{LOG_HEADER_BYTES, LogHeader};
use crate::format::names::{FileName, NUMBERS_SEEN_END};
use crate::ids::{LogNumber, LogPosition, Sequence, Uuid};
use crate::io::{Fs, NamedFile, OpenMode};
use crate::sync::Arc;

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
    /// Slots of dead files with the suffix of old: to be removed.
    pub(crate) dead_old: Vec<u64>,
    /// Files of logs at or above the floor that the chain does not reach, newest first: to be
    /// removed before the first write.
    pub(crate) unreachable: Vec<FileName>,
    /// The highest log number seen anywhere.
    pub(crate) number_max: LogNumber,
    /// The highest slot seen.
    pub(crate) slot_max: u64,
}

/// Reads the logs in `dir`, on the threads of `parallel`. Read errors are errors, never the end
/// of a log.
pub(crate) fn replay(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    expected: &Expected,
    parallel: Parallel<'_>,
) -> Result<Replayed> {
    let mut out = Replayed { synced: expected.synced(), ..Replayed::default() };
    let mut live = find_live(fs, dir, expected, &mut out)?;
    let links = chain(dir, &mut live, expected)?;
    let mut reached = true;
    let bytes = links.iter().map(|link| link.bytes).sum();
    let read = |link| {
        let log = read_log(&link, expected);
        (link, log)
    };
    for (link, log) in share_out(parallel, bytes, links, read) {
        // What was read ahead behind the stop is not in the chain.
        if !reached {
            live.insert(link.header.number, (link.slot, link.header, link.file));
            continue;
        }
        if let Some(before) = out.logs.last() {
            check_base(&link.file, before, &link.header)?;
        }
        let log = log?;
        if let Some((first, last)) = log.sequences {
            check_ascent(&log, first, out.last)?;
            out.last = last;
        }
        out.synced = out.synced.max(log.synced);
        reached = log.limit == Some(log.end);
        out.logs.push(log);
    }
    check_evidence(dir, &mut out, &mut live, expected)?;
    // A map in ascending order, so this is newest first.
    out.unreachable = live.values().rev().map(|(_, _, file)| name_of(file)).collect();
    Ok(out)
}

type Live = BTreeMap<LogNumber, (u64, LogHeader, NamedFile)>;

fn find_live(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    expected: &Expected,
    out: &mut Replayed,
) -> Result<Live> {
    let mut live = Live::new();
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    for name in names {
        let (slot, old) = match FileName::parse(&name) {
            Some(FileName::LogSlot(slot)) => (slot, false),
            Some(FileName::OldLogSlot(slot)) => (slot, true),
            _ => continue,
        };
        if slot < NUMBERS_SEEN_END {
            out.slot_max = out.slot_max.max(slot);
        }
        // There may be more than the process may have open.
        let mut file = NamedFile::shared(fs, dir.join(&name), OpenMode::Read)?;
        let Some(header) = read_header(&file, expected.database)? else {
            if is_ours(&file, expected.database)? {
                let dead = if old { &mut out.dead_old } else { &mut out.dead };
                dead.push(slot);
            }
            continue;
        };
        out.number_max = out.number_max.max(header.number);
        if header.number < expected.floor {
            let dead = if old { &mut out.dead_old } else { &mut out.dead };
            dead.push(slot);
            continue;
        }
        if expected.writable {
            file = NamedFile::shared(fs, dir.join(&name), OpenMode::ReadWrite)?;
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

/// The name that a log was found by.
fn name_of(file: &NamedFile) -> FileName {
    let name = file.path.file_name().and_then(|name| name.to_str());
    name.and_then(FileName::parse).expect("logs are found by their names")
}

/// The header, from whichever copy of it is sound, the newer one if both are; `None` if neither is,
/// or it is of another database.
fn read_header(file: &NamedFile, database: Uuid) -> Result<Option<LogHeader>> {
    if file.len()? < LOG_DATA_START {
        return Ok(None);
    }
    let mut found = None;
    for at in [0, LOG_SECOND_HEADER] {
        let mut copy = [0; LOG_HEADER_BYTES];
        file.read_exact_at(&mut copy, at)?;
        match LogHeader::decode(&copy) {
            _ if !LogHeader::is_of(&copy, database) => {}
            // They differ where a crash came between them.
            Ok(header) if found.is_some_and(|it: LogHeader| it.number > header.number) => {}
            Ok(header) => found = Some(header),
            Err(malformed) if malformed.newer => return Err(malformed.in_file(&file.path, at)),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Whether a file without a sound header is of this database: torn while it was taken into use, or
/// prepared by a version that left the header of such a file blank.
fn is_ours(file: &NamedFile, database: Uuid) -> Result<bool> {
    let bytes = file.first_bytes(LOG_DATA_START as usize)?;
    let copy = bytes.get(LOG_SECOND_HEADER as usize..).unwrap_or_default();
    let ours = |copy: &[u8]| LogHeader::is_of(copy, database);
    let blank = bytes.iter().all(|&byte| byte == 0) && is_prepared_length(file.len()?);
    Ok(ours(&bytes) || ours(copy) || blank)
}

/// Whether a file was prepared to this length for a memtable of that many KiB: a sixteenth more.
fn is_prepared_length(len: u64) -> bool {
    const FOR_A_KIB: u64 = 1024 + 1024 / 16;
    len.checked_sub(LOG_DATA_START).is_some_and(|len| len > 0 && len.is_multiple_of(FOR_A_KIB))
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

/// Takes the logs of the chain out of `live`, as far as headers tell: oldest first.
fn chain(dir: &Path, live: &mut Live, expected: &Expected) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let mut next = chain_head(dir, live, expected)?;
    while let Some(number) = next {
        let (slot, header, file) = live.remove(&number).expect("the chain names logs in the map");
        let follower = live.iter().rev().find(|(_, (_, header, _))| header.previous == number);
        let limit = follower.map(|(_, (_, header, _))| header.previous_end);
        next = follower.map(|(number, _)| *number);
        let bytes = file.len()?.min(limit.unwrap_or(u64::MAX));
        links.push(Link { slot, header, file, limit, bytes });
    }
    Ok(links)
}

fn check_base(file: &NamedFile, log: &ReplayedLog, next: &LogHeader) -> Result<()> {
    let want = log.header.base.plus(log.end);
    if next.base != want {
        let want = want.0.to_string();
        let got = next.base.0.to_string();
        return Err(file.corruption(0, "log header's base position", want, got));
    }
    Ok(())
}

/// Sequences ascend from log to log.
fn check_ascent(log: &ReplayedLog, first: Sequence, last: Sequence) -> Result<()> {
    if first > last {
        return Ok(());
    }
    let want = format!("sequence {}", last.plus(1));
    let got = format!("sequence {first}");
    Err(log.file.corruption(LOG_DATA_START, "log record", want, got))
}

/// Step 4: looks behind the stop for anything that knew a position past it to be synced.
fn check_evidence(
    dir: &Path,
    out: &mut Replayed,
    live: &mut Live,
    expected: &Expected,
) -> Result<()> {
    let Some(last) = out.logs.last() else {
        check_lost_head(live, expected)?;
        return check_none_needed(dir, expected);
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
        // What a later header says to be no part of the log has not been read yet.
        let whole = match last.limit {
            None => Cow::Borrowed(&last.bytes),
            Some(_) => Cow::Owned(read_whole(&last.file)?),
        };
        if let Some((at, synced)) = search(&whole, from, last.header.salt, stop) {
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
    if expected.synced() > stop {
        return Err(known_to_witness(last, expected));
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

/// What only the witness knows to be lost.
fn known_to_witness(last: &ReplayedLog, expected: &Expected) -> Error {
    let got = format!(
        "no valid record there, though {} knew byte {} of the log to be synced (without that file \
         the database opens with what comes before)",
        expected.witness.display(),
        expected.synced().0.saturating_sub(last.header.base.0),
    );
    last.file.corruption(last.end, "log record", "a valid record", got)
}

/// No chain at all, and no log that could have said otherwise, but perhaps the witness.
fn check_none_needed(dir: &Path, expected: &Expected) -> Result<()> {
    let Some((log, synced)) = expected.needed().max() else { return Ok(()) };
    let want = format!("log {}, durable up to position {}", log.0, synced.0);
    let got = format!(
        "no such log, though {} knew of it (without that file the database opens without the log)",
        expected.witness.display()
    );
    Err(corruption(dir, 0, "log files", want, got))
}

fn corruption(
    file: &Path,
    offset: u64,
    what: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> Error {
    let file = file.to_path_buf();
    let expected = expected.into();
    let got = got.into();
    Error::Corruption { file, offset, what, expected, got }
}
