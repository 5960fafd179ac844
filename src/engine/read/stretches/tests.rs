//! Stretches in a whole engine: queues, cuts, rotation, flushes, snapshots and old views against
//! maps, and what a scan walks.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::PathBuf;

use crate::engine::keyspaces::ask::open_keyspace;
use crate::engine::read::get::{self, default_keyspace};
use crate::engine::report::stats::gather_stats;
use crate::engine::threads::background::Threads;
use crate::engine::write::{put, rotate};
use crate::engine::{Batch, Engine, EngineIter, KeyspaceState, ReadAt};
use crate::ids::{KEYSPACE_DEFAULT, KeyspaceId, SEQUENCE_MAX, Sequence};
use crate::io::{CrashMode, FaultPlan, OpKind, SimFs};
use crate::iter::range::{Bounds, prefix_bounds};
use crate::iter::stretch::{Edge, KeySpan, Way};
use crate::iter::testing::Random;
use crate::iter::{Cursor, KeyRange};
use crate::options::{Durability, Options};
use crate::sync::Arc;
use crate::value::Value;

const DIR: &str = "data";

fn open(fs: &SimFs, memtable_bytes: usize, compaction_threads: usize) -> (Arc<Engine>, Threads) {
    let options = Options {
        memtable_bytes,
        compaction_threads,
        flush_bytes: 2 * memtable_bytes,
        memory_bytes: 16 * memtable_bytes,
        sync_every: std::time::Duration::ZERO,
        ..Options::default()
    };
    Engine::open(Arc::new(fs.clone()), PathBuf::from(DIR), options, None).unwrap()
}

fn close(engine: &Engine, threads: &Threads) {
    // One that the simulated disk has left behind cannot flush.
    let _ = engine.close();
    threads.join();
    engine.release_directory();
}

fn key(number: usize) -> Vec<u8> {
    format!("{number:06}").into_bytes()
}

fn iter(engine: &Arc<Engine>, keyspace: &KeyspaceState, bounds: Bounds, at: ReadAt) -> EngineIter {
    get::iter(engine, engine.pin_directory().unwrap(), keyspace, bounds, at).unwrap()
}

fn iter_default(engine: &Arc<Engine>, bounds: Bounds, at: ReadAt) -> EngineIter {
    iter(engine, &default_keyspace(engine), bounds, at)
}

type Pair = (Vec<u8>, Vec<u8>);

fn front(iter: &mut EngineIter) -> Option<Pair> {
    let pair = iter.next_front(Value::copy, Cursor::value).transpose().unwrap();
    pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
}

fn back(iter: &mut EngineIter) -> Option<Pair> {
    let pair = iter.next_back(Value::copy, Cursor::value).transpose().unwrap();
    pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
}

fn write(engine: &Engine, number: usize, value: Option<&[u8]>) {
    let durability = Durability::Buffered;
    put::write_one(engine, KEYSPACE_DEFAULT, &key(number), value, durability).unwrap();
}

/// The spans that new readers find on the view's newest memtable.
fn spans(engine: &Engine) -> Vec<KeySpan> {
    let view = engine.core.view.load_full();
    view.active.stretches().all(SEQUENCE_MAX)
}

/// The only span, as numbers; what lies before the first key is number 0.
fn span(engine: &Engine) -> Option<(usize, usize)> {
    let number = |key: &[u8]| match key {
        [] => 0,
        // The key after a key counts as the next number.
        [key @ .., 0] => std::str::from_utf8(key).unwrap().parse::<usize>().unwrap() + 1,
        key => std::str::from_utf8(key).unwrap().parse().unwrap(),
    };
    let mut spans = spans(engine);
    assert!(spans.len() <= 1, "{spans:?}");
    spans.pop().map(|span| (number(&span.from), number(&span.to)))
}

/// What is remembered once `enough` is. A scan gives up where somebody else is in the commit
/// section just then, and background threads look in now and then: so scans until it did not, each
/// time after what is in there.
#[track_caller]
fn remembered(
    engine: &Engine,
    mut scan: impl FnMut(),
    enough: impl Fn((usize, usize)) -> bool,
) -> (usize, usize) {
    for _ in 0..10_000 {
        scan();
        match span(engine) {
            Some(span) if enough(span) => return span,
            _ => engine.commit.with(|_, _| ()),
        }
    }
    panic!("not enough is remembered: {:?}", spans(engine));
}

fn first(engine: &Arc<Engine>) -> Option<Vec<u8>> {
    front(&mut iter_default(engine, (..).into_bounds(), ReadAt::Now)).map(|(key, _)| key)
}

/// I28.
#[test]
fn the_dead_head_of_a_queue_is_one_stretch_that_outlives_its_memtables() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 8 << 10, 0);
    // A run below all others, so that flushes keep the tombstones that this is about.
    write(&engine, 999_999, Some(b"last"));
    engine.flush().unwrap();
    for tail in 0..3_000 {
        write(&engine, tail, Some(b"some job or other"));
        if tail < 100 {
            continue;
        }
        let head = tail - 100;
        write(&engine, head, None);
        assert_eq!(first(&engine), Some(key(head + 1)));
        if head > 32 {
            let scan = || assert_eq!(first(&engine), Some(key(head + 1)));
            let (from, to) = remembered(&engine, scan, |(_, to)| to + 8 > head);
            assert!(from == 0 && to <= head + 1, "{from} to {to} for {head}");
        }
        if head == 1_500 {
            engine.flush().unwrap();
        }
    }
    assert!(engine.core.view.load().segments.runs.len() > 1, "most of it has left the memtables");
    close(&engine, &threads);
}

/// I28.
#[test]
fn an_empty_queue_is_remembered_from_either_end_and_its_tail_stays_free() {
    for forward in [true, false] {
        let fs = SimFs::new();
        let (engine, threads) = open(&fs, 64 << 10, 0);
        (0..100).for_each(|number| write(&engine, number, Some(b"v")));
        (0..100).for_each(|number| write(&engine, number, None));
        let scan = || {
            let mut all = iter_default(&engine, (..).into_bounds(), ReadAt::Now);
            assert_eq!(if forward { front(&mut all) } else { back(&mut all) }, None);
        };
        assert_eq!(remembered(&engine, scan, |_| true), (0, 100), "forward: {forward}");
        write(&engine, 100, Some(b"v"));
        assert_eq!(span(&engine), Some((0, 100)), "forward: {forward}");
        assert_eq!(first(&engine), Some(key(100)));
        close(&engine, &threads);
    }
}

/// Symptom: after an append that failed nothing was remembered until a later write had gone well:
/// on a full disk, or once the writer had stopped, each scan walked over all dead keys again.
/// Mechanism: a scan waited until the last sequence that was taken is visible, and that one is
/// nobody's. Fix: it waits for the last one that a write has.
#[test]
fn what_is_dead_is_remembered_after_a_failed_append() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 64 << 10, 0);
    (0..100).for_each(|number| write(&engine, number, Some(b"v")));
    (0..100).for_each(|number| write(&engine, number, None));
    // The log thread, which prepares logs, may meet the fault in place of the writer.
    let delete_again = || {
        fs.set_fault(Some(FaultPlan::new(OpKind::Write).on(".wal")));
        put::write_one(&engine, KEYSPACE_DEFAULT, &key(50), None, Durability::Buffered)
    };
    assert!((0..100).any(|_| delete_again().is_err()));
    let next = engine.commit.with(|_, next| next);
    assert!(next > engine.visible().plus(1), "a sequence was spent");
    let scan = || assert_eq!(first(&engine), None);
    assert_eq!(remembered(&engine, scan, |_| true), (0, 100));
    close(&engine, &threads);
}

/// I28.
#[test]
fn a_snapshot_sees_what_was_live_in_a_stretch() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 64 << 10, 0);
    (0..100).for_each(|number| write(&engine, number, Some(b"v")));
    let snapshot = engine.register_snapshot();
    (0..99).for_each(|number| write(&engine, number, None));
    let scan = || assert_eq!(first(&engine), Some(key(99)));
    assert_eq!(remembered(&engine, scan, |_| true), (0, 99));
    let mut old = iter_default(&engine, (..).into_bounds(), ReadAt::Snapshot(snapshot));
    assert_eq!(front(&mut old).unwrap().0, key(0));
    assert_eq!((0..100).filter(|_| back(&mut old).is_some()).count(), 99);
    engine.release_snapshot(snapshot);
    close(&engine, &threads);
}

/// I28.
#[test]
fn a_big_batch_under_an_empty_memtable_is_not_jumped_over() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 8 << 10, 0);
    (0..50).for_each(|number| write(&engine, number, Some(b"v")));
    engine.flush().unwrap();
    (0..50).for_each(|number| write(&engine, number, None));
    engine.flush().unwrap();
    let scan = || assert_eq!(first(&engine), None);
    assert_eq!(remembered(&engine, scan, |_| true), (0, 50));
    assert!(engine.core.view.load().active.is_empty());
    let mut batch = Batch::new();
    batch.put(KEYSPACE_DEFAULT, &key(7), &[7; 4 << 10]);
    put::write_batch(&engine, &batch, Durability::Buffered).unwrap();
    assert_eq!(first(&engine), Some(key(7)));
    assert_eq!(span(&engine), None);
    close(&engine, &threads);
}

/// I28.
#[test]
fn a_walk_through_an_old_view_is_not_remembered() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 64 << 10, 0);
    (0..100).for_each(|number| write(&engine, number, Some(b"v")));
    (0..100).for_each(|number| write(&engine, number, None));
    let mut old = iter_default(&engine, (..).into_bounds(), ReadAt::Now);
    rotate::seal_active(&engine).unwrap();
    write(&engine, 50, Some(b"v"));
    assert_eq!(front(&mut old), None);
    assert_eq!(span(&engine), None);
    // A write that the walk does not see, into the memtable that it walks.
    let mut now = iter_default(&engine, (..).into_bounds(), ReadAt::Now);
    write(&engine, 60, Some(b"v"));
    assert_eq!(front(&mut now).unwrap().0, key(50));
    assert_eq!(front(&mut now), None);
    let spans = spans(&engine);
    assert!(spans.iter().all(|span| *span.from < *key(50) && *span.to <= *key(50)), "{spans:?}");
    close(&engine, &threads);
}

#[test]
fn a_scan_waits_for_nobody_in_the_commit_section() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 64 << 10, 0);
    (0..100).for_each(|number| write(&engine, number, Some(b"v")));
    (0..99).for_each(|number| write(&engine, number, None));
    // If it waited, this would not end.
    let found = engine.commit.with(|_, _| first(&engine));
    assert_eq!((found, span(&engine)), (Some(key(99)), None));
    let scan = || assert_eq!(first(&engine), Some(key(99)));
    assert_eq!(remembered(&engine, scan, |_| true), (0, 99));
    close(&engine, &threads);
}

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// The numbers that keys are made of: few, so that runs of dead keys are long and are met again.
const NUMBERS: usize = 400;

struct World {
    random: Random,
    fs: SimFs,
    engine: Arc<Engine>,
    threads: Threads,
    keyspaces: Vec<Arc<KeyspaceState>>,
    tables: Vec<Table>,
    snapshots: Vec<(Sequence, Vec<Table>)>,
    iterators: Vec<(EngineIter, VecDeque<Pair>)>,
    /// A planted fault: nothing is cut.
    faulty: bool,
    /// How often a scan began where something was remembered.
    met: usize,
}

impl World {
    fn new(random: Random, faulty: bool) -> Self {
        let fs = SimFs::new();
        let (engine, threads) = open(&fs, 8 << 10, 1);
        let mut world = Self {
            random,
            fs,
            engine,
            threads,
            keyspaces: Vec::new(),
            tables: vec![Table::new(); 2],
            snapshots: Vec::new(),
            iterators: Vec::new(),
            faulty,
            met: 0,
        };
        world.opened();
        world
    }

    fn opened(&mut self) {
        let open = |name| open_keyspace(&self.engine, name, None).unwrap();
        self.keyspaces = ["default", "other"].map(open).into();
        let faulty = self.faulty;
        self.engine.commit.with(|env, _| env.tail.stretches.never_cuts = faulty);
    }

    fn reopen(&mut self) {
        self.iterators.clear();
        self.snapshots.clear();
        let after = self.fs.crash(CrashMode::Process, 0);
        close(&self.engine, &self.threads);
        self.fs = after;
        (self.engine, self.threads) = open(&self.fs, 8 << 10, 1);
        self.opened();
    }

    fn id(&self, which: usize) -> KeyspaceId {
        self.keyspaces[which].id
    }

    /// Puts or deletes numbers, one by one or as one batch.
    fn write(&mut self, which: usize, numbers: impl Iterator<Item = usize>, put: bool) {
        let id = self.id(which);
        let as_batch = self.random.below(4) == 0;
        let mut batch = Batch::new();
        for number in numbers.map(|number| number % NUMBERS) {
            let value = put.then(|| self.random.next().to_le_bytes().repeat(3));
            match (&value, as_batch) {
                (Some(value), true) => batch.put(id, &key(number), value),
                (None, true) => batch.delete(id, &key(number)),
                (value, false) => {
                    let value = value.as_deref();
                    let durability = Durability::Buffered;
                    put::write_one(&self.engine, id, &key(number), value, durability).unwrap();
                }
            }
            match value {
                Some(value) => drop(self.tables[which].insert(key(number), value)),
                None => drop(self.tables[which].remove(&key(number))),
            }
        }
        put::write_batch(&self.engine, &batch, Durability::Buffered).unwrap();
    }

    /// Anywhere, or at an edge of what is remembered.
    fn bound(&mut self) -> Bound<Vec<u8>> {
        let mut spans = spans(&self.engine);
        let mut key = key(self.random.below(NUMBERS));
        if self.random.below(2) == 0 && !spans.is_empty() {
            let KeySpan { from, to, .. } = spans.swap_remove(self.random.below(spans.len()));
            key = if self.random.below(2) == 0 { from } else { to };
            if self.random.below(4) == 0 {
                key.push(0);
            }
        }
        [Bound::Included(key.clone()), Bound::Excluded(key), Bound::Unbounded][self.random.below(3)]
            .clone()
    }

    /// A scan of the newest or of a snapshot, kept for later, and what it should give.
    fn scan(&mut self, which: usize) {
        let bounds = match self.random.below(3) {
            0 => (Bound::Unbounded, Bound::Unbounded),
            1 => prefix_bounds(&key(self.random.below(NUMBERS))[..4 + self.random.below(2)]),
            _ => (self.bound(), self.bound()),
        };
        let (at, table) = match self.random.below(3) {
            0 if !self.snapshots.is_empty() => {
                let (sequence, tables) = &self.snapshots[self.random.below(self.snapshots.len())];
                (ReadAt::Snapshot(*sequence), &tables[which])
            }
            _ => (ReadAt::Now, &self.tables[which]),
        };
        let inside = |key: &[u8]| {
            let bounds =
                (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
            std::ops::RangeBounds::<[u8]>::contains(&bounds, key)
        };
        let want = table.iter().filter(|(key, _)| inside(key));
        let want = want.map(|(key, value)| (key.clone(), value.clone())).collect();
        let keyspace = &self.keyspaces[which];
        self.met += usize::from(!spans(&self.engine).is_empty());
        self.iterators.push((iter(&self.engine, keyspace, bounds, at), want));
    }

    /// Draws from a scan that was begun at some time. Returns whether it gave what it should.
    fn draw(&mut self) -> bool {
        let at = self.random.below(self.iterators.len());
        let from_front = self.random.below(3) > 0;
        let count = self.random.below(2 * NUMBERS);
        let (iter, want) = &mut self.iterators[at];
        if self.random.below(4) == 0 {
            let key = key(self.random.below(NUMBERS));
            match from_front {
                true => {
                    iter.seek(&key);
                    want.retain(|pair| pair.0 >= key);
                }
                false => {
                    iter.seek_back(&key);
                    want.retain(|pair| pair.0 <= key);
                }
            }
        }
        for _ in 0..count {
            let (got, want) = match from_front {
                true => (front(iter), want.pop_front()),
                false => (back(iter), want.pop_back()),
            };
            if got != want {
                return false;
            }
            if want.is_none() {
                drop(self.iterators.swap_remove(at));
                break;
            }
        }
        true
    }

    /// One random step. `false` if a scan gave anything else than the map.
    fn step(&mut self) -> bool {
        let which = self.random.below(2);
        let number = self.random.below(NUMBERS);
        let length = 1 + self.random.below(120);
        match self.random.below(40) {
            0..=4 => self.write(which, number..number + length / 4, true),
            5..=10 => self.write(which, number..number + length, false),
            11..=13 => self.write(which, number..number + 1, true),
            // Everything but a few.
            14 => self.write(which, 0..NUMBERS, false),
            15..=17 => {
                let dead = self.tables[which].keys().take(length).cloned().collect::<Vec<_>>();
                let number = |key: Vec<u8>| String::from_utf8(key).unwrap().parse().unwrap();
                self.write(which, dead.into_iter().map(number), false);
            }
            18 => {
                let value = vec![length as u8; 3 << 10];
                let mut batch = Batch::new();
                batch.put(self.id(which), &key(number), &value);
                put::write_batch(&self.engine, &batch, Durability::Buffered).unwrap();
                self.tables[which].insert(key(number), value);
            }
            19 if self.random.below(4) == 0 => self.engine.flush().unwrap(),
            20 => rotate::seal_active(&self.engine).unwrap(),
            21 if self.random.below(10) == 0 => self.reopen(),
            22 if self.snapshots.len() < 4 => {
                self.snapshots.push((self.engine.register_snapshot(), self.tables.clone()));
            }
            23 if !self.snapshots.is_empty() => {
                let at = self.random.below(self.snapshots.len());
                self.engine.release_snapshot(self.snapshots.swap_remove(at).0);
            }
            24..=31 if self.iterators.len() < 5 => self.scan(which),
            _ if !self.iterators.is_empty() => return self.draw(),
            _ => {}
        }
        true
    }

    /// Runs until a scan is wrong. Returns the step of that.
    fn run(&mut self, steps: usize) -> Option<usize> {
        (0..steps).find(|_| !self.step())
    }
}

/// I28.
#[test]
fn scans_over_random_stretches_read_as_maps_do() {
    for seed in 0..3 {
        let mut world = World::new(Random::from_env(0x7374_7265 + seed), false);
        let seed = world.random.seed;
        assert_eq!(world.run(700), None, "a scan is wrong at this step, seed {seed}");
        assert!(world.met > 20, "{} scans met a stretch, seed {seed}", world.met);
        world.iterators.clear();
        close(&world.engine, &world.threads);
    }
}

/// The fault: a put does not cut what covers it.
#[test]
fn a_put_that_does_not_cut_is_found_out() {
    let mut world = World::new(Random::from_env(0x6661_756c), true);
    assert!(world.run(3_000).is_some(), "seed {}", world.random.seed);
    world.iterators.clear();
    close(&world.engine, &world.threads);
}

/// I28.
#[test]
fn a_remembered_stretch_is_not_walked() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 1 << 20, 0);
    (0..2_000).for_each(|number| write(&engine, number, Some(b"v")));
    (0..1_990).for_each(|number| write(&engine, number, None));
    let scan = || assert_eq!(first(&engine), Some(key(1_990)));
    assert_eq!(remembered(&engine, scan, |_| true), (0, 1_990));
    let view = engine.core.view.load_full();
    let cursor = view.active.cursor();
    let mut to = Vec::new();
    let end = key(1_990);
    let at = engine.visible();
    for number in [0, 1, 1_000, 1_989] {
        let key = key(number);
        let edge = Edge { keyspace: KEYSPACE_DEFAULT, key: &key, after: false };
        assert!(cursor.stretch(Way::Forward, edge, at, &mut to), "{number}");
        assert_eq!(to, end);
    }
    close(&engine, &threads);
}

/// I28. A jump behind the end of the scan used to seek there in every layer.
#[test]
fn a_short_range_inside_a_stretch_reads_no_block() {
    let fs = SimFs::new();
    let (engine, threads) = open(&fs, 1 << 20, 0);
    (0..3_000).for_each(|number| write(&engine, number, Some(b"v")));
    engine.flush().unwrap();
    (500..2_500).for_each(|number| write(&engine, number, None));
    engine.flush().unwrap();
    let from = || (Bound::Included(key(500)), Bound::Unbounded);
    let scan = || {
        let mut iter = iter_default(&engine, from(), ReadAt::Now);
        assert_eq!(front(&mut iter).map(|(key, _)| key), Some(key(2_500)));
    };
    assert_eq!(remembered(&engine, scan, |_| true), (500, 2_500));
    let blocks = || gather_stats(&engine).cache_hits + gather_stats(&engine).cache_misses;
    let jumps = gather_stats(&engine).stretch_jumps;
    let inside = [
        (Bound::Included(key(1_000)), Bound::Included(key(1_010))),
        (Bound::Excluded(key(1_000)), Bound::Excluded(key(1_010))),
        (Bound::Included(key(500)), Bound::Excluded(key(2_500))),
        (Bound::Excluded(key(499)), Bound::Included(key(2_499))),
        prefix_bounds(b"0012"),
    ];
    for bounds in inside {
        let read = blocks();
        assert_eq!(front(&mut iter_default(&engine, bounds.clone(), ReadAt::Now)), None);
        assert_eq!(back(&mut iter_default(&engine, bounds.clone(), ReadAt::Now)), None);
        // The second of these begins after the last live key, which is none of the stretch.
        let first_unknown = bounds.0 == Bound::Excluded(key(499));
        assert_eq!(blocks() > read, first_unknown, "{bounds:?}");
    }
    let stats = gather_stats(&engine);
    assert_eq!((stats.stretches, stats.stretch_jumps - jumps), (1, 2 * 5));
    let read = blocks();
    let across = (Bound::Included(key(2_000)), Bound::Included(key(2_500)));
    assert_eq!(front(&mut iter_default(&engine, across, ReadAt::Now)).unwrap().0, key(2_500));
    assert!(blocks() > read, "what is read is counted");
    close(&engine, &threads);
}

mod queues;
