//! Opening: lock, manifest, logs, segments; then, once all of them agree, heal and start.
//!
//! Nothing on disk changes before the manifest, the log chain with what its records say, and the
//! segments (uuid and length) have been found to agree, and the directory has taken a new file as
//! long as what is written next; on a full disk logs that nobody needs go first. The
//! steps after that, each of which a crash may end:
//! 1. logs that the chain does not reach are removed, newest first, and the directory is synced;
//! 2. an end record is written where the chain stops, durable with the first sync of the log:
//!    until then the stop is found again, and the next log's header names it as well;
//! 3. a new manifest file takes over, with the sequences reserved ahead;
//! 4. orphaned segments and manifests are removed (`orphans`).
//!
//! Every step can be repeated, so a crash during recovery, any number of times, ends in the same
//! state. A read-only open stops before step 1.

pub(crate) mod known;
pub(crate) mod orphans;
pub(crate) mod recover;
pub(crate) mod room;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::agenda::book::MergeBook;
use crate::engine::commit::section::WriteEnv;
use crate::engine::commit::tail::Tail;
use crate::engine::directory::{DirectoryLock, Entered, enter};
use crate::engine::flush::flush_recovered;
use crate::engine::index::snapshot::SavedTables;
use crate::engine::open::known::Known;
use crate::engine::open::orphans::remove_orphans;
use crate::engine::open::recover::{Recovered, recover};
use crate::engine::open::room::make_room;
use crate::engine::shared::keyspaces::{KeyspaceState, Keyspaces};
use crate::engine::shared::logs::Logs;
use crate::engine::shared::messages::{FlushJob, LogJob};
use crate::engine::shared::pace::Pace;
use crate::engine::shared::room::Space;
use crate::engine::threads::background::{Threads, in_parallel};
use crate::engine::{Core, Engine, SEQUENCE_RESERVE, View};
use crate::error::{Error, Result};
use crate::event::{event, scope};
use crate::format::meta::SegmentRefMeta;
use crate::format::names::{FileName, NUMBERS_SEEN_END};
use crate::ids::{FileNumber, Sequence};
use crate::io::{Fs, Process, RetriedFs, TemporaryDir, sync_dir};
use crate::log::{Expected, Replayed, replay, write_end_record};
use crate::memtable::Memtable;
use crate::mvcc::commit::Commit;
use crate::mvcc::ending::Ending;
use crate::mvcc::gate::Gate;
use crate::mvcc::group_sync::GroupSync;
use crate::mvcc::snapshots::Snapshots;
use crate::mvcc::waiting_list::WaitingList;
use crate::options::Options;
use crate::runs::manifest::Manifest;
use crate::runs::state::ManifestState;
use crate::runs::{Run, SegmentRef, SegmentSet};
use crate::segment::{BlockCache, Expect, Segment};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, unbounded};
use crate::sync::{Arc, Mutex, Published, Slot, unchecked};
use crate::witness::{Claims, Witness};

/// How many opens there were in this process.
static INSTANCES: unchecked::AtomicU64 = unchecked::AtomicU64::new(0);

impl Engine {
    /// Opens the database in `dir`, or makes one.
    pub(crate) fn open(
        outside: Arc<dyn Fs>,
        named: PathBuf,
        options: Options,
        temporary: Option<TemporaryDir>,
    ) -> Result<(Arc<Self>, Threads)> {
        options.validate()?;
        let _scope = scope!("open", path = %named.display());
        let outside: Arc<dyn Fs> = Arc::new(RetriedFs::new(outside));
        // What is no database, or none that can be opened, is left without a lock file.
        let look = |fs: &dyn Fs| Known::read(fs, &named, &options).map(drop);
        let Entered { fs, dir, lock } = enter(&outside, &named, &options, look)?;
        let known = Known::read(fs.as_ref(), &dir, &options)?;
        let evidence = known.evidence();
        let durable = known.manifest_is_durable();
        let Known { state, claims, .. } = known;
        let cache = match options.mapped_reads {
            true => BlockCache::of_mapped(options.cache_bytes),
            false => BlockCache::new(options.cache_bytes),
        };
        let mut replayed = replay_logs(&fs, &dir, &state, &claims, !options.read_only)?;
        let saved = match &options.index_snapshot {
            Some(path) => SavedTables::read(outside.as_ref(), path, state.uuid)?,
            None => SavedTables::none(),
        };
        let set = open_segments(&fs, &dir, &state, saved, &cache)?;
        let recovered = recover(&mut replayed, &state, &in_parallel)?;
        let mut kept = 0;
        let (manifest, state, dead, witness) = if options.read_only {
            (None, state, Vec::new(), Arc::new(Witness::none()))
        } else {
            make_room(fs.as_ref(), &dir, &state, durable, &mut replayed.dead)?;
            heal(fs.as_ref(), &dir, &replayed, &recovered)?;
            let witness = Arc::new(Witness::open(fs.as_ref(), &dir, state.uuid, &claims));
            let (manifest, state) = take_over_manifest(&fs, &dir, state, &witness)?;
            kept = remove_orphans(fs.as_ref(), &dir, &state, manifest.number(), &evidence)?;
            (Some(manifest), state, replayed.dead, witness)
        };
        let slots = AtomicU64::new(replayed.slot_max.saturating_add(1));
        let synced = replayed.synced;
        let engine = Self::assemble(Parts {
            fs,
            outside,
            dir,
            named,
            temporary,
            options,
            lock,
            state,
            cache,
            set,
            manifest,
            witness,
            slots,
            synced,
            recovered,
        });
        let (engine, log_jobs, flush_jobs) = engine?;
        engine.core.counters.orphans_kept.store(kept, Ordering::Relaxed);
        engine.core.prepare_first_log(&dead, &replayed.dead_old);
        let threads = Threads::start(&engine, log_jobs, flush_jobs)?;
        threads.unless_it_panics(&engine, || flush_recovered(&engine));
        Ok((engine, threads))
    }

    fn assemble(parts: Parts) -> Result<Assembled> {
        let Parts { fs, outside, dir, named, temporary, options, lock, state, cache, .. } = parts;
        let Parts { set, manifest, witness, slots, synced, recovered, .. } = parts;
        let Recovered { tables, live, drops, end, next_log, .. } = recovered;
        let (log_jobs, log_work) = unbounded();
        let (flush_jobs, flush_work) = unbounded();
        let (writer, active) = Memtable::active(options.memtable_bytes);
        let gate = Gate::new();
        tables.iter().for_each(|table| gate.add(table.bytes() as u64));
        let segments = Arc::new(set);
        let view = View { active, sealed: tables, segments, flushed: Sequence(0) };
        let segment_next = next_segment(fs.as_ref(), &dir)?;
        let keyspaces = Keyspaces::new(state.keyspaces.values().map(KeyspaceState::new));
        drops.into_iter().for_each(|(id, at)| keyspaces.mark_dropped(id, at));
        let core = Arc::new(Core {
            cache,
            database: state.uuid,
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            log_jobs,
            flush_jobs,
            view: Published::new(Arc::new(view)),
            snapshots: Snapshots::new(),
            group_sync: GroupSync::new(synced.min(end.position)),
            logs: Logs::new(live, end.position),
            witness,
            gate,
            pace: Pace::new(options.flush_bytes),
            active_bytes: AtomicU64::new(0),
            memtable_bytes: AtomicUsize::new(options.memtable_bytes),
            durable: AtomicU64::new(0),
            ceiling: AtomicU64::new(state.sequence_ceiling.0),
            slot_next: slots,
            segment_next: AtomicU64::new(segment_next),
            ending: Ending::new(),
            keyspaces,
            counters: Default::default(),
            space: Space::new(options.memory_bytes),
            to_be_told: WaitingList::new(),
            spares: Default::default(),
            troubles: Default::default(),
            unsettled: Default::default(),
            merges: MergeBook::new(),
            log_readers: Default::default(),
            manifest: Mutex::new(manifest),
            process: Process::this(),
            directory: Slot::full(Arc::new(lock)),
            options,
            fs,
            outside,
            dir,
            named,
        });
        // New sequences follow the old reservation: what a crash discarded is never issued again.
        // Everything up to it that is not here was discarded, so readers may see up to it.
        let reserved = if core.options.read_only { 0 } else { SEQUENCE_RESERVE };
        let last = Sequence(state.sequence_ceiling.0.saturating_sub(reserved));
        let tail = Tail::new(Arc::clone(&core), end, next_log, writer);
        let env = WriteEnv::new(Arc::clone(&core), tail, last);
        let commit = Commit::new(env, Arc::clone(&core), last);
        let engine = Arc::new(Self { core, commit, _temporary: temporary });
        Ok((engine, log_work, flush_work))
    }
}

type Assembled = (Arc<Engine>, Receiver<LogJob>, Receiver<FlushJob>);

/// What an open has gathered by the time it builds the engine.
struct Parts {
    fs: Arc<dyn Fs>,
    outside: Arc<dyn Fs>,
    dir: PathBuf,
    named: PathBuf,
    temporary: Option<TemporaryDir>,
    options: Options,
    lock: DirectoryLock,
    state: ManifestState,
    cache: Arc<BlockCache>,
    set: SegmentSet,
    manifest: Option<Manifest>,
    witness: Arc<Witness>,
    slots: AtomicU64,
    synced: crate::ids::LogPosition,
    recovered: Recovered,
}

fn replay_logs(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    state: &ManifestState,
    claims: &Claims,
    writable: bool,
) -> Result<Replayed> {
    let expected = Expected {
        database: state.uuid,
        floor: state.log_floor,
        floor_exists: state.log_floor_exists,
        ceiling: state.sequence_ceiling,
        durable: claims.logs(),
        witness: claims.path().to_path_buf(),
        writable,
    };
    replay(fs, dir, &expected, &in_parallel).inspect(|replayed| {
        event!(debug, logs = replayed.logs.len(), last = replayed.last.0, "replayed the logs");
    })
}

/// Opens every segment that the manifest names; each must be there, whole, and the one it names.
fn open_segments(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    state: &ManifestState,
    mut saved: SavedTables,
    cache: &Arc<BlockCache>,
) -> Result<SegmentSet> {
    let mut set = SegmentSet::default();
    // A merge may have left several parts of one file.
    let mut opened: BTreeMap<FileNumber, Arc<Segment>> = BTreeMap::new();
    for run in &state.runs {
        let mut segments = Vec::with_capacity(run.segments.len());
        for SegmentRefMeta { segment: meta, from, to } in &run.segments {
            let segment = match opened.get(&meta.number) {
                Some(segment) => Arc::clone(segment),
                None => {
                    let expect = Expect::of(state.uuid, meta);
                    let saved = saved.take(meta.number, meta.uuid, meta.bytes);
                    let cache = Arc::clone(cache);
                    Arc::new(Segment::open(fs, dir, meta.number, &expect, saved, cache)?)
                }
            };
            opened.insert(meta.number, Arc::clone(&segment));
            segments.push(SegmentRef::trimmed(segment, from.clone(), to.clone()));
        }
        set.runs.push(Arc::new(Run { id: run.id, segments }));
    }
    Ok(set)
}

/// Steps 1 and 2.
fn heal(fs: &dyn Fs, dir: &Path, replayed: &Replayed, recovered: &Recovered) -> Result<()> {
    for file in &replayed.unreachable {
        let path = dir.join(file.name());
        fs.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
    }
    if !replayed.unreachable.is_empty() {
        sync_dir(fs, dir)?;
    }
    // A file that other names lead to is not written to: its end is found again, and the next log
    // names it.
    if let Some(last) = recovered.live.back()
        && !recovered.ended
        && !last.file.has_other_names()
    {
        write_end_record(&last.file, &last.header, recovered.end.end, replayed.synced)?;
    }
    Ok(())
}

/// Step 3: a fresh manifest file with the next reservation of sequences.
fn take_over_manifest(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    mut state: ManifestState,
    witness: &Arc<Witness>,
) -> Result<(Manifest, ManifestState)> {
    let raised = state.sequence_ceiling.0.saturating_add(SEQUENCE_RESERVE);
    state.sequence_ceiling = Sequence(raised);
    let number = FileNumber(highest(fs.as_ref(), dir, manifest_number)?.saturating_add(1));
    let manifest = Manifest::create(Arc::clone(fs), dir, number, &state, Arc::clone(witness))?;
    Ok((manifest, state))
}

fn next_segment(fs: &dyn Fs, dir: &Path) -> Result<u64> {
    let number = |name| match name {
        FileName::Segment(number) => Some(number.0),
        _ => None,
    };
    Ok(highest(fs, dir, number)?.saturating_add(1))
}

pub(crate) fn manifest_number(name: FileName) -> Option<u64> {
    match name {
        FileName::Manifest(number) => Some(number.0),
        _ => None,
    }
}

/// The highest number among the directory's names that `number` picks, 0 if there is none.
pub(crate) fn highest(
    fs: &dyn Fs,
    dir: &Path,
    number: impl Fn(FileName) -> Option<u64>,
) -> Result<u64> {
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let numbers = names.iter().filter_map(|name| FileName::parse(name)).filter_map(number);
    Ok(numbers.filter(|&number| number < NUMBERS_SEEN_END).max().unwrap_or(0))
}
