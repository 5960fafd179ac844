//! From replayed logs to what the engine starts with: one memtable, the chain, the drops.
//!
//! The records are sorted once into an immutable memtable over the bytes of the logs, which costs
//! a fraction of inserting them into a skiplist. Touches no file.

use std::collections::VecDeque;

use super::LogEnd;
use crate::error::{Error, Result};
use crate::format::batch::{Control, ops};
use crate::format::record::RecordKind;
use crate::ids::{KeyspaceId, LogNumber, LogPosition, Sequence};
use crate::io::NamedFile;
use crate::log::{LOG_DATA_START, LogFile, Replayed, ReplayedLog, ReplayedRecord};
use crate::memtable::{Body, Chunk, Memtable};
use crate::runs::state::ManifestState;
use crate::sync::Arc;

/// What recovery makes of the logs.
pub(super) struct Recovered {
    pub(super) tables: Vec<Arc<Memtable>>,
    pub(super) live: VecDeque<Arc<LogFile>>,
    pub(super) drops: Vec<(KeyspaceId, Sequence)>,
    pub(super) end: LogEnd,
    /// Whether an end record stands there, or there is no log to write one into.
    pub(super) ended: bool,
    pub(super) next_log: LogNumber,
}

/// Turns the chain's records into one immutable memtable.
pub(super) fn recover(replayed: &mut Replayed, state: &ManifestState) -> Result<Recovered> {
    let number_max = replayed.number_max.max(LogNumber(state.log_floor.0.saturating_sub(1)));
    let next_log = LogNumber(number_max.0.saturating_add(1));
    let mut end = LogEnd {
        // Any dead number serves as the predecessor of the first log.
        number: LogNumber(state.log_floor.0.saturating_sub(1)),
        end: LOG_DATA_START,
        position: LogPosition(0),
    };
    let (mut live, mut bodies, mut drops) = (VecDeque::new(), Vec::new(), Vec::new());
    let (mut sources, mut count) = (Vec::new(), 0);
    let first_log = replayed.logs.first().map(|log| log.header.number);
    let ended = replayed.logs.last().is_none_or(|log| log.ended);
    let synced = replayed.synced;
    for mut log in std::mem::take(&mut replayed.logs) {
        let path = Arc::clone(&log.file.path);
        let chunk = Arc::new(Chunk(std::mem::take(&mut log.bytes)));
        for record in &log.records {
            let bytes = &chunk.0[record.start..record.start + record.len];
            if record.kind == RecordKind::Control {
                let control = Control::decode(bytes)
                    .map_err(|malformed| malformed.in_file(&path, record.start as u64))?;
                let Control::DropKeyspace(id) = control;
                drops.push((id, record.first));
                continue;
            }
            let (start, len, first) = (record.start, record.len, record.first);
            count += u64::from(record.count);
            bodies.push(Body { chunk: Arc::clone(&chunk), start, len, first });
        }
        let position = log.header.base.plus(log.end);
        end = LogEnd { number: log.header.number, end: log.end, position };
        let (file, records) = (log.file.clone(), std::mem::take(&mut log.records));
        sources.push(Source { file, chunk, records });
        live.push_back(Arc::new(recovered_log(log, synced)));
    }
    let mut tables = Vec::new();
    if let Some(first_log) = first_log
        && !(bodies.is_empty() && drops.is_empty())
    {
        let table = Memtable::sorted(bodies).map_err(|malformed| {
            let fault = first_fault(&sources, state.next_keyspace);
            fault.unwrap_or_else(|| malformed.in_file(&sources[0].file.path, 0))
        })?;
        // A body with more operations than its header counts would use sequences of the next one.
        let counted = table.entries() as u64 == count;
        if !counted || table.keyspace_max().is_some_and(|max| max >= state.next_keyspace) {
            let fault = first_fault(&sources, state.next_keyspace);
            return Err(fault.expect("counts and keyspaces are those of the operations"));
        }
        table.set_log_first(first_log);
        drops.iter().for_each(|&(id, at)| table.add_drop(id, at));
        tables.push(Arc::new(table));
    }
    Ok(Recovered { tables, live, drops, end, ended, next_log })
}

/// A log's bytes and the records in them.
struct Source {
    file: NamedFile,
    chunk: Arc<Chunk>,
    records: Vec<ReplayedRecord>,
}

/// The first record whose operations are malformed, in a keyspace that the manifest does not know,
/// or not as many as its header counts. Only where there is one: the sort keeps no track of files.
fn first_fault(sources: &[Source], next_keyspace: KeyspaceId) -> Option<Error> {
    sources.iter().find_map(|Source { file, chunk, records }| {
        let mut records = records.iter().filter(|record| record.kind == RecordKind::Data);
        records.find_map(|record| {
            let (at, body) = (record.start as u64, &chunk.0[record.start..][..record.len]);
            let mut count = 0;
            for op in ops(body) {
                match op {
                    Ok(op) if op.keyspace < next_keyspace => count += 1,
                    Ok(op) => {
                        let want = format!("an id below {}", next_keyspace.0);
                        let got = op.keyspace.0.to_string();
                        return Some(file.corruption(at, "keyspace id in the log", want, got));
                    }
                    Err(malformed) => return Some(malformed.in_file(&file.path, at)),
                }
            }
            let want = format!("{} operations", record.count);
            (count != record.count)
                .then(|| file.corruption(at, "log record", want, count.to_string()))
        })
    })
}

fn recovered_log(log: ReplayedLog, synced: LogPosition) -> LogFile {
    let known = synced.0.saturating_sub(log.header.base.0);
    let rewrite_from = if known < log.end { known } else { u64::MAX };
    LogFile::recovered(log.file, log.slot, log.header, rewrite_from, log.end)
}
