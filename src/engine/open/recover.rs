//! From replayed logs to what the engine starts with: one memtable, the chain, the drops.
//!
//! The logs have been read and each record checked, file by file (`log::replay`). Here, for each
//! half of the files, a thread walks the records, checks the operations and sorts them; the halves
//! are merged into one memtable over the bytes as they were read (D13). Beside them stand 20 bytes
//! a version: a place in the order, 16, and the operation's offset, 4. Sequences follow from the
//! place, key and value from the operation. So a recovery takes the bytes of the logs, about 50
//! bytes an operation while the halves are merged, and the filter.
//!
//! Touches no file, and starts no thread itself.

use std::collections::{BTreeMap, VecDeque};

use crate::error::{Error, Result};
use crate::format::batch::Control;
use crate::format::record::RecordKind;
use crate::ids::{KeyspaceId, LogNumber, LogPosition, Sequence};
use crate::io::NamedFile;
use crate::log::LogEnd;
use crate::log::{
    LOG_DATA_START, LogFile, Parallel, Records, Replayed, ReplayedLog, ReplayedRecord, share_out,
};
use crate::memtable::{Chunk, Memtable, SortedBuilder};
use crate::runs::state::ManifestState;
use crate::sync::Arc;

/// Logs of fewer bytes than this are sorted in one part.
const PARTED_BYTES_MIN: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// An operation takes at least this many bytes, whatever a header counts.
const OP_BYTES_MIN: usize = 3;

/// What recovery makes of the logs.
pub(crate) struct Recovered {
    /// One, or none if there is nothing in the logs.
    pub(crate) tables: Vec<Arc<Memtable>>,
    pub(crate) live: VecDeque<Arc<LogFile>>,
    pub(crate) drops: BTreeMap<KeyspaceId, Sequence>,
    pub(crate) end: LogEnd,
    /// Whether an end record stands there, or there is no log to write one into.
    pub(crate) ended: bool,
    pub(crate) next_log: LogNumber,
}

/// Turns the records of the chain into one immutable memtable, on the threads of `parallel`.
pub(crate) fn recover(
    replayed: &mut Replayed,
    state: &ManifestState,
    parallel: Parallel<'_>,
) -> Result<Recovered> {
    let number_max = replayed.number_max.max(LogNumber(state.log_floor.0.saturating_sub(1)));
    let next_log = LogNumber(number_max.0.saturating_add(1));
    let mut end = LogEnd {
        // Any dead number serves as the predecessor of the first log.
        number: LogNumber(state.log_floor.0.saturating_sub(1)),
        end: LOG_DATA_START,
        position: LogPosition(0),
    };
    let mut live = VecDeque::new();
    let mut sources = Vec::new();
    let ended = replayed.logs.last().is_none_or(|log| log.ended);
    let synced = replayed.synced;
    for mut log in std::mem::take(&mut replayed.logs) {
        let position = log.header.base.plus(log.end);
        end = LogEnd { number: log.header.number, end: log.end, position };
        sources.push(LogSource {
            file: log.file.clone(),
            number: log.header.number,
            chunk: Arc::new(Chunk(std::mem::take(&mut log.bytes))),
            end: log.end,
            count: log.count(),
        });
        live.push_back(Arc::new(recovered_log(log, synced)));
    }
    let table = table_of(&sources, state.next_keyspace, parallel)?;
    let drops = table.drops();
    let tables = if table.is_empty() { Vec::new() } else { vec![Arc::new(table)] };
    Ok(Recovered { tables, live, drops, end, ended, next_log })
}

/// A log's bytes and what is known of the records in them.
struct LogSource {
    file: NamedFile,
    number: LogNumber,
    chunk: Arc<Chunk>,
    /// Where the records end.
    end: u64,
    /// The sequences that they take.
    count: u64,
}

/// The memtable of all `logs`.
fn table_of(
    logs: &[LogSource],
    next_keyspace: KeyspaceId,
    parallel: Parallel<'_>,
) -> Result<Memtable> {
    let bytes = logs.iter().map(|log| log.end).sum();
    let halves = if bytes < PARTED_BYTES_MIN { vec![logs] } else { halves(logs, bytes).to_vec() };
    let mut all = None::<SortedBuilder>;
    let mut drops = Vec::new();
    for part in share_out(parallel, bytes, halves, |logs| part_of(logs, next_keyspace)) {
        let (builder, dropped) = part?;
        drops.extend(dropped);
        all = Some(match all {
            None => builder,
            Some(before) => before.join(builder).ok_or_else(|| {
                let want = String::from("fewer than 4 billion operations");
                damaged(&logs[0].file, 0, "log", want, u32::MAX)
            })?,
        });
    }
    let table = Memtable::sorted(all.unwrap_or_else(|| SortedBuilder::new(0)));
    table.set_log_first(logs.first().map_or(LogNumber(0), |log| log.number));
    drops.iter().for_each(|&(id, at)| table.add_drop(id, at));
    Ok(table)
}

/// The same logs in two parts, as equal in bytes as they come.
fn halves(logs: &[LogSource], bytes: u64) -> [&[LogSource]; 2] {
    let mut before = 0;
    let first = logs.iter().take_while(|log| {
        let middle = before + log.end / 2;
        before += log.end;
        middle < bytes / 2
    });
    let (first, second) = logs.split_at(first.count());
    [first, second]
}

/// A sorted part of the memtable, and the drops in it.
///
/// # Errors
///
/// The first record whose operations are malformed, in a keyspace that the manifest does not know,
/// or not as many as its header counts: with more, they would use sequences of the next one.
fn part_of(logs: &[LogSource], next_keyspace: KeyspaceId) -> Result<Part> {
    let ops = logs.iter().map(|log| {
        usize::try_from(log.count).unwrap_or(usize::MAX).min(log.chunk.0.len() / OP_BYTES_MIN)
    });
    let mut builder = SortedBuilder::new(ops.sum());
    let mut drops = Vec::new();
    for LogSource { file, chunk, end, .. } in logs {
        for record in Records::new(&chunk.0, *end) {
            let ReplayedRecord { start, len, first, count, kind } = record;
            if kind == RecordKind::Control {
                let control = Control::decode(&chunk.0[start..start + len])
                    .map_err(|malformed| malformed.in_file(&file.path, start as u64))?;
                let Control::DropKeyspace(id) = control;
                drops.push((id, first));
                continue;
            }
            let got = builder
                .body(chunk, start, len, first)
                .map_err(|malformed| malformed.in_file(&file.path, 0))?;
            if got != count {
                let want = format!("{count} operations");
                return Err(damaged(file, start, "log record", want, got));
            }
            if builder.keyspace_max() >= next_keyspace {
                let want = format!("an id below {}", next_keyspace.0);
                let got = builder.keyspace_max().0;
                return Err(damaged(file, start, "keyspace id in the log", want, got));
            }
        }
    }
    builder.sort();
    Ok((builder, drops))
}

type Part = (SortedBuilder, Vec<(KeyspaceId, Sequence)>);

#[cold]
fn damaged(file: &NamedFile, at: usize, what: &'static str, want: String, got: u32) -> Error {
    file.corruption(at as u64, what, want, got.to_string())
}

fn recovered_log(log: ReplayedLog, synced: LogPosition) -> LogFile {
    let known = synced.0.saturating_sub(log.header.base.0);
    let rewrite_from = (known < log.end).then_some(known);
    LogFile::recovered(log.file, log.slot, log.header, rewrite_from, log.end)
}

#[cfg(test)]
mod tests {
    use crate::engine::write::put;
    use std::path::PathBuf;

    use super::*;
    use crate::engine::read::get::{self, default_keyspace};
    use crate::engine::{Engine, ReadAt};
    use crate::ids::KEYSPACE_DEFAULT;
    use crate::io::{CrashMode, SimFs};
    use crate::iter::testing::Random;
    use crate::options::{Durability, Options};

    fn source(number: u64, end: u64) -> LogSource {
        let fs = SimFs::new();
        let path = PathBuf::from("f");
        let file = NamedFile::open(&fs, path, crate::io::OpenMode::CreateNew).unwrap();
        let chunk = Arc::new(Chunk(Vec::new()));
        LogSource { file, number: LogNumber(number), chunk, end, count: 0 }
    }

    #[test]
    fn logs_are_halved_by_their_bytes_and_keep_their_order() {
        let check = |ends: &[u64], want: usize| {
            let logs: Vec<_> = ends.iter().zip(1..).map(|(&end, n)| source(n, end)).collect();
            let [first, second] = halves(&logs, ends.iter().sum());
            assert_eq!(first.len(), want, "{ends:?}");
            let numbers = first.iter().chain(second).map(|log| log.number.0);
            assert!(numbers.eq(1..=ends.len() as u64));
        };
        check(&[], 0);
        check(&[8], 0);
        check(&[8, 8], 1);
        check(&[8, 8, 8, 8, 8], 2);
        check(&[2, 2, 2, 100], 3);
        check(&[100, 2, 2, 2], 1);
    }

    /// More logs than one thread takes, with versions of one key in both halves.
    #[test]
    fn a_long_log_is_recovered_by_two_threads_and_the_newest_version_is_found() {
        let mut random = Random::from_env(64);
        let fs = SimFs::new();
        let options = Options {
            memtable_bytes: 256 << 10,
            flush_bytes: 64 << 20,
            memory_bytes: 128 << 20,
            sync_every: std::time::Duration::ZERO,
            ..Options::default()
        };
        let open = |fs: &SimFs| {
            let fs = Arc::new(fs.clone());
            let dir = PathBuf::from("data");
            Engine::open(fs, dir, options.clone(), None).unwrap()
        };
        let (engine, threads) = open(&fs);
        let mut model = BTreeMap::new();
        for number in 0..6_000_u32 {
            let key = format!("key {}", random.below(2_000)).into_bytes();
            let value =
                (random.below(5) > 0).then(|| [&number.to_le_bytes()[..], &[7; 300]].concat());
            let at = Durability::Buffered;
            put::write_one(&engine, KEYSPACE_DEFAULT, &key, value.as_deref(), at).unwrap();
            model.insert(key, value);
        }
        let after = fs.crash(CrashMode::Process, 0);
        // The simulated disk takes nothing more.
        let _ = engine.close();
        threads.join();

        let (engine, threads) = open(&after);
        let view = engine.core.view.load_full();
        assert!(view.segments.runs.is_empty(), "everything comes from the log");
        assert_eq!(view.sealed.len(), 1);
        let table = &view.sealed[0];
        assert_eq!((table.entries(), table.log_first()), (6_000, LogNumber(1)));
        assert!(table.bytes() > 1 << 20, "so that there are two parts and two threads");
        for (key, value) in &model {
            let found = get::get(&engine, &default_keyspace(&engine), key, ReadAt::Now).unwrap();
            let what = format!("ALLUVIUM_SEED={}, {}", random.seed, key.escape_ascii());
            assert_eq!(found.as_deref(), value.as_deref(), "{what}");
        }
        engine.close().unwrap();
        threads.join();
    }
}
