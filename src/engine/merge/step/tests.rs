//! Merges of random pairs of random histories, step by step, against a model, and what the checks
//! of that would make of a faulty merge. The compactor thread is idle: steps are taken here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;

use super::*;
use crate::engine::index::rebuild_index;
use crate::engine::keyspaces::ask::{drop_keyspace, open_keyspace};
use crate::engine::manifest::{self, publish_segments};
use crate::engine::merge::step::merge_step;
use crate::engine::read::get::{self, default_keyspace};
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::engine::{KeyspaceState, ReadAt};
use crate::format::edit::RunMeta;
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, RunId, Sequence};
use crate::io::SimFs;
use crate::iter::Cursor;
use crate::iter::testing::{OwnedEntry, Random, drain};
use crate::options::{Durability, KeyspaceOptions, Options};

const DIR: &str = "data";
const KEYS: usize = 40;

type Rows = BTreeMap<(KeyspaceId, Vec<u8>), Vec<u8>>;

/// A database, what it holds, and what its snapshots must go on seeing.
struct World {
    fs: SimFs,
    engine: Arc<Engine>,
    threads: Threads,
    keyspaces: Vec<Arc<KeyspaceState>>,
    rows: Rows,
    snapshots: Vec<(Sequence, Rows)>,
    random: Random,
    written: u64,
}

fn never() -> bool {
    false
}

impl World {
    fn new(random: Random) -> Self {
        Self::with_segments(random, 700)
    }

    /// The larger the segments, the more entries go by batches.
    fn with_segments(random: Random, segment_bytes: usize) -> Self {
        let fs = SimFs::new();
        let options = Options {
            memtable_bytes: 64 << 10,
            flush_bytes: 256 << 10,
            sync_every: std::time::Duration::ZERO,
            compaction_threads: 0,
            segment_bytes,
            ..Options::default()
        };
        let opened = Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None);
        let (engine, threads) = opened.unwrap();
        let small = KeyspaceOptions::new().block_bytes(256);
        let of = |name, options| open_keyspace(&engine, name, Some(options)).unwrap();
        let default = default_keyspace(&engine);
        let unfiltered = small.filter_bits(0);
        let keyspaces = vec![default, of("one", small), of("two", small), of("three", unfiltered)];
        let (rows, snapshots) = Default::default();
        Self { fs, engine, threads, keyspaces, rows, snapshots, random, written: 0 }
    }

    /// One that can be written to.
    fn any_keyspace(&mut self) -> KeyspaceId {
        let living = self.keyspaces[1..].iter().filter(|it| it.dropped_at().is_none());
        let ids: Vec<_> = living.map(|state| state.id).chain([KEYSPACE_DEFAULT]).collect();
        ids[self.random.below(ids.len())]
    }

    fn write(&mut self) {
        let keyspace = self.any_keyspace();
        // Few keys have most of the versions.
        let among = [3, KEYS, KEYS][self.random.below(3)];
        let key = format!("k{:02}", self.random.below(among)).into_bytes();
        self.written += 1;
        let value = format!("{}{}", self.written, "v".repeat(self.random.below(120)));
        let value = (self.random.below(4) > 0).then_some(value);
        let bytes = value.as_ref().map(|value| value.as_bytes());
        put::write_one(&self.engine, keyspace, &key, bytes, Durability::Buffered).unwrap();
        match value {
            Some(value) => self.rows.insert((keyspace, key), value.into_bytes()),
            None => self.rows.remove(&(keyspace, key)),
        };
    }

    /// A write, or a snapshot taken or released.
    fn act(&mut self) {
        match self.random.below(30) {
            0 if self.snapshots.len() < 3 => {
                let at = self.engine.register_snapshot();
                self.snapshots.push((at, self.rows.clone()));
            }
            1 if !self.snapshots.is_empty() => {
                let gone = self.random.below(self.snapshots.len());
                let (at, _) = self.snapshots.swap_remove(gone);
                self.engine.release_snapshot(at);
            }
            _ => self.write(),
        }
    }

    fn add_run(&mut self) {
        let writes = [1, 8, 60, 200][self.random.below(4)];
        (0..writes).for_each(|_| self.act());
        self.engine.flush().unwrap();
    }

    fn drop_keyspace(&mut self) {
        let id = self.any_keyspace();
        let state = self.keyspaces[1..].iter().find(|state| state.id == id);
        if let Some(state) = state {
            drop_keyspace(&self.engine, &state.name()).unwrap();
            self.rows.retain(|(keyspace, _), _| *keyspace != id);
        }
    }

    fn set(&self) -> Arc<SegmentSet> {
        Arc::clone(&self.engine.core.view.load_full().segments)
    }

    /// Two neighbours, or now and then one run by itself, all of it or a range.
    fn any_step(&mut self) -> Option<Step> {
        let set = self.set();
        let at = self.random.below(set.runs.len().max(1));
        let first = set.runs.get(at)?.id;
        let mut step = match set.runs.get(at + 1) {
            Some(older) => Step { newer: Some(first), ..Step::alone(older.id) },
            None => Step::alone(first),
        };
        if self.random.below(4) == 0 {
            let mut bound = || {
                let keyspace = self.any_keyspace();
                BoundKey { keyspace, key: format!("k{:02}", self.random.below(KEYS)).into() }
            };
            let from = bound();
            let to = bound();
            (step.from, step.to) = (Some(from.clone().min(to.clone())), Some(from.max(to)));
        }
        Some(step)
    }

    /// Carries a step of a job out. Whether the job is over.
    fn advance(&mut self, step: &mut Step) -> bool {
        let before = step.from.clone();
        match merge_step(&self.engine, step, &never, &AtomicU64::new(0)).unwrap() {
            Progress::At(frontier) => {
                assert!(before.is_none_or(|before| before < frontier), "a step gets further");
                step.from = Some(frontier);
                false
            }
            Progress::Done | Progress::Gone => true,
            Progress::Stale => false,
            Progress::Stopped => unreachable!("nobody says so"),
        }
    }

    /// Everything that must hold between any two steps.
    fn check(&self) -> std::result::Result<(), String> {
        let set = self.set();
        let named: Vec<RunMeta> = manifest::locked(&self.engine.core).unwrap().state().runs.clone();
        if named != set.runs.iter().map(|run| run.meta()).collect::<Vec<_>>() {
            return Err("the manifest names other runs than are published".to_owned());
        }
        check_runs(&set)?;
        let now = (ReadAt::Now, &self.rows);
        let then = self.snapshots.iter().map(|(at, rows)| (ReadAt::Snapshot(*at), rows));
        then.chain([now]).try_for_each(|(at, rows)| self.check_reads(at, rows))
    }

    fn check_reads(&self, at: ReadAt, want: &Rows) -> std::result::Result<(), String> {
        for state in &self.keyspaces {
            let id = state.id;
            // Snapshots from before the drop still find everything.
            if let Some(dropped) = state.dropped_at()
                && !matches!(at, ReadAt::Snapshot(at) if at < dropped)
            {
                continue;
            }
            let want: Vec<_> = want
                .iter()
                .filter(|((keyspace, _), _)| *keyspace == id)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            for key in (0..KEYS).map(|key| format!("k{key:02}").into_bytes()) {
                let got =
                    get::get(&self.engine, state, &key, at).map_err(|error| error.to_string())?;
                let want = want.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
                if got.as_deref() != want.map(Vec::as_slice) {
                    return Err(format!("{at:?}: {id:?} {}", key.escape_ascii()));
                }
            }
            let everything = (Bound::Unbounded, Bound::Unbounded);
            let iter = || {
                let directory = self.engine.pin_directory().unwrap();
                get::iter(&self.engine, directory, state, everything.clone(), at).unwrap()
            };
            let mut front = iter();
            let mut back = iter();
            let value = |cursor: &crate::engine::LayersCursor| cursor.value().to_vec();
            let forward: Vec<_> =
                std::iter::from_fn(|| front.next_front(<[u8]>::to_vec, value)).flatten().collect();
            let mut backward: Vec<_> =
                std::iter::from_fn(|| back.next_back(<[u8]>::to_vec, value)).flatten().collect();
            backward.reverse();
            if forward != want || backward != want {
                return Err(format!("{at:?}: a walk through {id:?} found something else"));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn assert(&self) {
        self.check().unwrap_or_else(|what| panic!("{what}, seed {}", self.random.seed));
    }

    fn close(self) {
        let _ = self.engine.close();
        self.threads.join();
        self.engine.release_directory();
        drop(self.fs);
    }
}

/// What a reference lets through.
fn entries_of(part: &SegmentRef) -> Vec<OwnedEntry> {
    let run = Run { id: RunId(1), segments: vec![part.clone()] };
    drain(RunSource::new(Arc::new(run), None).unwrap()).unwrap()
}

fn bound_of(entry: &OwnedEntry) -> BoundKey {
    BoundKey { keyspace: entry.keyspace, key: entry.key.clone() }
}

/// All versions of a user key in a run are in one segment (I17), and newer ones in newer runs (I6).
fn check_runs(set: &SegmentSet) -> std::result::Result<(), String> {
    let mut oldest_above: BTreeMap<BoundKey, Sequence> = BTreeMap::new();
    for run in &set.runs {
        let mut oldest_here: BTreeMap<BoundKey, Sequence> = BTreeMap::new();
        let mut last: Option<BoundKey> = None;
        for part in &run.segments {
            let entries = entries_of(part);
            let fits = |at: &BoundKey| {
                part.first <= *at && *at <= part.last && part.to.as_ref().is_none_or(|to| at < to)
            };
            if !entries.iter().map(bound_of).all(|at| fits(&at)) {
                return Err(format!("an entry outside of the reference to {:?}", part.first));
            }
            let first = entries.first().map(bound_of);
            if first.is_some() && first <= last {
                return Err(format!("{first:?} in two segments of a run"));
            }
            last = entries.last().map(bound_of).or(last);
            for entry in &entries {
                let at = bound_of(entry);
                if oldest_above.get(&at).is_some_and(|above| *above <= entry.sequence) {
                    return Err(format!("{at:?} is newer in an older run"));
                }
                oldest_here.insert(at, entry.sequence);
            }
        }
        oldest_above.extend(oldest_here);
    }
    Ok(())
}

/// A database of some runs.
fn world_of_runs(random: Random) -> World {
    fill(World::new(random))
}

fn fill(mut world: World) -> World {
    let runs = 2 + world.random.below(5);
    (0..runs).for_each(|_| world.add_run());
    world
}

/// I6, I7, I17.
#[test]
fn any_merge_of_any_pair_leaves_every_reader_what_it_saw() {
    let mut random = Random::from_env(0x6d65_7267_6573);
    let mut steps = 0;
    let mut written = 0;
    let mut moved = 0;
    for round in 0..10 {
        let segment_bytes = [700, 2_500, 700, 20_000, 700][round % 5];
        let random = random.fork();
        let mut world = fill(World::with_segments(random, segment_bytes));
        world.assert();
        for _ in 0..6 {
            let Some(first) = world.any_step() else { break };
            let second = world.any_step().filter(|second| {
                let about = [Some(second.older), second.newer];
                !about.into_iter().flatten().any(|run| first.is_about(run))
            });
            let mut jobs: Vec<_> = [first].into_iter().chain(second).collect();
            while !jobs.is_empty() {
                let at = world.random.below(jobs.len());
                if world.advance(&mut jobs[at]) {
                    jobs.swap_remove(at);
                }
                world.assert();
                match world.random.below(12) {
                    0 => world.add_run(),
                    1 => drop(rebuild_index(&world.engine).unwrap()),
                    2 if world.random.below(6) == 0 => world.drop_keyspace(),
                    _ => world.act(),
                }
                steps += 1;
            }
        }
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        written += count(&world.engine.core.counters.merges.bytes_out);
        moved += count(&world.engine.core.counters.merges.moved);
        world.close();
    }
    assert!(steps > 100 && written > 100_000 && moved > 20, "{steps} {written} {moved}");
}

/// I17: the frontier lies between user keys, however many versions one has.
#[test]
fn a_key_with_more_versions_than_a_segment_holds_is_not_split() {
    let mut world = World::new(Random::from_env(7));
    for run in 0..3 {
        for version in 0..60 {
            for key in ["a", "b", "c"] {
                let value = format!("{run} {version} {}", "v".repeat(40)).into_bytes();
                let engine = &world.engine;
                let key = key.as_bytes();
                put::write_one(engine, KEYSPACE_DEFAULT, key, Some(&value), Durability::Buffered)
                    .unwrap();
                world.rows.insert((KEYSPACE_DEFAULT, key.to_vec()), value);
            }
            // Each version is somebody's.
            world.snapshots.push((world.engine.register_snapshot(), world.rows.clone()));
        }
        world.engine.flush().unwrap();
    }
    while world.set().runs.len() > 1 {
        let mut step = world.any_step().unwrap();
        step.from = None;
        step.to = None;
        while !world.advance(&mut step) {
            check_runs(&world.set()).unwrap();
        }
    }
    let set = world.set();
    let entries: usize = set.runs[0].segments.iter().map(|part| entries_of(part).len()).sum();
    assert_eq!((set.runs.len(), entries), (1, 3 * 60 * 3));
    world.close();
}

/// The planted faults: trims of a merge that are one key off, either way.
#[test]
fn a_wrong_trim_is_caught() {
    type Spoil = fn(&mut SegmentRef, &OwnedEntry);
    let spoils: [Spoil; 3] = [
        // Given to the older run, and kept.
        |part, _| *part = SegmentRef::whole(Arc::clone(&part.segment)),
        // Neither here nor there.
        |part, first| part.first.key = [&first.key[..], b"\0"].concat(),
        |part, first| part.to = Some(bound_of(first)),
    ];
    for spoil in spoils {
        let mut caught = 0;
        for seed in 0..16 {
            let mut world = World::new(Random::new(seed));
            for _ in 0..2 {
                (0..200).for_each(|_| world.write());
                world.engine.flush().unwrap();
            }
            let set = world.set();
            let mut step = Step { newer: Some(set.runs[0].id), ..Step::alone(set.runs[1].id) };
            assert!(!world.advance(&mut step));
            world.assert();
            publish_segments(&world.engine.core, |set| {
                let mut set = set.clone();
                let mut newer = Run::clone(&set.runs[0]);
                let part = &mut newer.segments[0];
                let first = entries_of(part).swap_remove(0);
                spoil(part, &first);
                set.runs[0] = Arc::new(newer);
                set
            });
            caught += usize::from(check_runs(&world.set()).is_err())
                | usize::from(world.check_reads(ReadAt::Now, &world.rows).is_err());
            world.close();
        }
        // The others are of keys that nobody sees there.
        assert!(caught >= 10, "{caught} of 16");
    }
}

/// I30: the sum is looked at while the inputs are still there, and can fail.
#[test]
fn a_merge_that_loses_an_entry_is_caught() {
    let sound = Tally { read: 3, shadowed: 2, dropped: 1, ..Tally::default() };
    sound.check(&[]);
    for lossy in [Tally { read: 4, ..sound }, Tally { shadowed: 1, ..sound }] {
        assert!(std::panic::catch_unwind(|| lossy.check(&[])).is_err());
    }
}

/// A step that is told to stop leaves no file, and does not sync what it has written.
#[test]
fn a_stopped_step_leaves_nothing() {
    let mut world = world_of_runs(Random::from_env(9));
    let before = world.fs.files(DIR);
    let set = world.set();
    let step = Step { newer: Some(set.runs[0].id), ..Step::alone(set.runs[1].id) };
    world.fs.set_trace(true);
    let read = AtomicU64::new(0);
    let stopped = merge_step(&world.engine, &step, &|| true, &read).unwrap();
    // What it has read was read: it was not counted, so it cost reads nothing (D50).
    assert_ne!(read.into_inner(), 0);
    assert_eq!(stopped, Progress::Stopped);
    assert_eq!(world.fs.files(DIR), before);
    let synced = |line: &String| line.contains("Sync") && line.contains(".seg");
    assert!(!world.fs.trace().iter().any(synced), "{:?}", world.fs.trace());
    world.assert();
    world.act();
    world.close();
}

/// Symptom: a limit of bytes a second had no effect on large values or small segments, and a close
/// waited for up to 256 large values. Mechanism: only each 256th entry of a step was a reason to
/// look. Fix: so is each 256 KiB, and what is left is paid for at the end of a step.
#[test]
fn large_entries_and_small_steps_are_looked_at_too() {
    for (value_bytes, rate, looks) in [(64 << 10, 0, 20), (10, 64 << 10, 2)] {
        let options =
            Options { compaction_threads: 0, merge_bytes_per_second: rate, ..Options::default() };
        let fs = Arc::new(SimFs::new());
        let (engine, threads) = Engine::open(fs, PathBuf::from(DIR), options, None).unwrap();
        for _ in 0..2 {
            for n in 0..50_u8 {
                let value = vec![n; value_bytes];
                let put = Durability::Buffered;
                put::write_one(&engine, KEYSPACE_DEFAULT, &[n], Some(&value), put).unwrap();
            }
            engine.flush().unwrap();
        }
        let runs = engine.core.view.load_full().segments.runs.clone();
        let step = Step { newer: Some(runs[0].id), ..Step::alone(runs[1].id) };
        let looked = AtomicU64::new(0);
        let stop = || looked.fetch_add(1, Ordering::Relaxed) == u64::MAX;
        let progress = merge_step(&engine, &step, &stop, &AtomicU64::new(0)).unwrap();
        assert_eq!(progress, Progress::Done);
        let looked = looked.into_inner();
        assert!(looked >= looks, "{looked} looks at values of {value_bytes} bytes");
        engine.close().unwrap();
        threads.join();
    }
}

/// A database with segments of this many bytes, and its one keyspace to write to.
fn plain_engine(segment_bytes: usize) -> (Arc<Engine>, Threads) {
    let options = Options { compaction_threads: 0, segment_bytes, ..Options::default() };
    let fs = Arc::new(SimFs::new());
    Engine::open(fs, PathBuf::from(DIR), options, None).unwrap()
}

fn put_in(engine: &Engine, key: &str, value: Option<&[u8]>) {
    put::write_one(engine, KEYSPACE_DEFAULT, key.as_bytes(), value, Durability::Buffered).unwrap();
}

/// The two runs of a database, from their beginning.
fn both_runs(engine: &Engine) -> Step {
    let set = Arc::clone(&engine.core.view.load_full().segments);
    Step { newer: Some(set.runs[0].id), ..Step::alone(set.runs[1].id) }
}

/// Segments end where they are full, also where entries go by batches.
#[test]
fn no_segment_outgrows_its_size_by_more_than_an_entry() {
    const SEGMENT_BYTES: u64 = 32 << 10;
    // An entry, and what comes behind the data: filter, properties and footer.
    const MORE: u64 = 3 << 10;
    let (engine, threads) = plain_engine(SEGMENT_BYTES as usize);
    let mut random = Random::from_env(0x6f75_7467);
    // Noise, which does not shrink; and of two lengths, so that the inputs end at different keys.
    for (odd, len) in [(0, 200), (1, 130)] {
        for i in 0..1_500 {
            let value: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            put_in(&engine, &format!("k{:04}", 2 * i + odd), Some(&value));
        }
        engine.flush().unwrap();
    }
    let mut step = both_runs(&engine);
    let mut steps = 0;
    while let Progress::At(frontier) =
        merge_step(&engine, &step, &never, &AtomicU64::new(0)).unwrap()
    {
        step.from = Some(frontier);
        steps += 1;
    }
    let set = Arc::clone(&engine.core.view.load_full().segments);
    let sizes: Vec<_> = set.runs[0].segments.iter().map(|part| part.segment.bytes()).collect();
    assert!((set.runs.len(), sizes.len()) == (1, steps + 1) && steps > 10, "{steps}, {sizes:?}");
    let (last, full) = sizes.split_last().unwrap();
    let bounds = SEGMENT_BYTES..SEGMENT_BYTES + MORE;
    assert!(full.iter().all(|bytes| bounds.contains(bytes)) && *last < bounds.end, "{sizes:?}");
    engine.close().unwrap();
    threads.join();
}

/// A step over a range of which next to nothing is left ends too, also where entries go by batches.
#[test]
fn a_step_ends_where_enough_is_read_behind_a_snapshot() {
    const SEGMENT_BYTES: usize = 32 << 10;
    let (engine, threads) = plain_engine(SEGMENT_BYTES);
    put_in(&engine, "a", Some(b"stays"));
    (0..3_000).for_each(|i| put_in(&engine, &format!("k{i:04}"), Some(&[b'v'; 200])));
    engine.flush().unwrap();
    (0..3_000).for_each(|i| put_in(&engine, &format!("k{i:04}"), None));
    engine.flush().unwrap();
    let step = both_runs(&engine);
    let bytes = AtomicU64::new(0);
    let progress = merge_step(&engine, &step, &never, &bytes).unwrap();
    let bytes = bytes.into_inner() as usize;
    assert!(matches!(progress, Progress::At(_)), "{progress:?} after {bytes} bytes");
    assert!((8 * SEGMENT_BYTES..9 * SEGMENT_BYTES).contains(&bytes), "{bytes}");
    engine.close().unwrap();
    threads.join();
}
