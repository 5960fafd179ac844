//! The database against maps: random operations on both, every answer compared.
//!
//! One thread drives; flushes, merges and syncs go on behind it as they please, and must not show.
//! `ALLUVIUM_SEED` replays one seed, `ALLUVIUM_STEPS` sets how many operations a run has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod draws;
#[path = "../support/random.rs"]
mod random;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium::io::{Fs, SimFs};
use alluvium::{
    CompareAndSwap, Db, Durability, Keyspace, Range, Sequence, Snapshot, TryGet, Value, WriteBatch,
};
use draws::{drain, draw, within};
use random::Random;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);
type Pair = (Vec<u8>, Vec<u8>);
/// The keyspace that is always there and has no handle of its own.
const DEFAULT: &str = "default";
const NAMES: [&str; 4] = [DEFAULT, "orders", "users", "\u{fc}ber"];

/// What a snapshot was taken of, and through which handles it is read.
struct Held {
    snapshot: Snapshot,
    tables: BTreeMap<String, Table>,
    handles: BTreeMap<String, Keyspace>,
}

/// The database and its mirror.
struct World {
    random: Random,
    fs: Option<SimFs>,
    path: PathBuf,
    /// `None` only while it is being reopened.
    db: Option<Db>,
    handles: BTreeMap<String, Keyspace>,
    tables: BTreeMap<String, Table>,
    /// Keyspaces of which some data may be compressed, besides the default one.
    compressed: BTreeSet<String>,
    snapshots: Vec<Held>,
    iterators: Vec<(Range, VecDeque<Pair>)>,
    /// Handles of dropped keyspaces.
    stale: Vec<Keyspace>,
    last_sequence: Sequence,
    /// Whether there is an index snapshot, of this moment or an earlier one.
    index_saved: bool,
}

impl World {
    fn new(seed: u64, fs: Option<SimFs>, path: &Path) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            fs,
            path: path.to_owned(),
            db: None,
            handles: BTreeMap::new(),
            tables: BTreeMap::from([(DEFAULT.to_owned(), Table::new())]),
            snapshots: Vec::new(),
            iterators: Vec::new(),
            compressed: BTreeSet::new(),
            stale: Vec::new(),
            last_sequence: Sequence(0),
            index_saved: false,
        };
        world.open();
        world
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("the database is open between steps")
    }

    /// Opens with options of which every opening has others.
    fn open(&mut self) {
        let random = &mut self.random;
        let memtable_bytes = *random.pick(&[4 << 10, 8 << 10, 16 << 10]);
        let mut builder = Db::builder(&self.path)
            .memtable_bytes(memtable_bytes)
            .flush_bytes(memtable_bytes * (1 + random.below(4) as u64))
            .cache_bytes(*random.pick(&[16 << 10, 1 << 20]))
            .segment_bytes(*random.pick(&[4 << 10, 8 << 10, 64 << 10]))
            .mapped_reads(random.one_in(2))
            .compaction_threads(random.below(4))
            .sync_every(std::time::Duration::from_millis(*random.pick(&[0, 1, 1_000])));
        if self.index_saved && random.one_in(2) {
            builder = builder.index_snapshot(self.path.with_extension("index"));
        }
        if let Some(fs) = &self.fs {
            let fs: Arc<dyn Fs> = Arc::new(fs.clone());
            builder = builder.fs(fs);
        }
        let db = builder.open().unwrap();
        for name in self.tables.keys().filter(|name| *name != DEFAULT) {
            self.handles.insert(name.clone(), db.keyspace(name).unwrap());
        }
        self.db = Some(db);
    }

    fn reopen(&mut self) {
        // Whatever keeps the database open goes first.
        self.snapshots.clear();
        self.iterators.clear();
        self.stale.clear();
        self.handles.clear();
        let db = self.db.take().expect("the database is open between steps");
        if self.random.one_in(2) {
            db.close().unwrap();
        } else {
            drop(db);
        }
        self.open();
        self.check_names();
    }

    fn step(&mut self) {
        match self.random.below(216) {
            0..=59 => self.put(),
            60..=79 => self.delete(),
            80..=94 => self.batch(),
            95..=99 => self.conditional(),
            100..=119 => self.get(),
            120..=122 => self.look_up(),
            123..=124 => self.explain_and_estimate(),
            125..=144 => self.range(),
            145..=149 => self.seek(),
            150..=159 => self.prefix(),
            160..=165 => self.take_snapshot(),
            166..=177 => self.read_snapshot(),
            178..=181 => self.hold_iterator(),
            182..=186 => self.drain_held_iterator(),
            187..=188 => self.db().flush().unwrap(),
            189 => self.db().sync().unwrap(),
            190..=192 => self.create_keyspace(),
            193 => self.drop_keyspace(),
            194 => self.rename_keyspace(),
            195..=196 => self.use_stale_handle(),
            197..=204 => self.maintain(),
            205..=211 => self.compact(),
            _ => self.reopen(),
        }
    }

    /// A keyspace that exists, the default one half of the time.
    fn name(&mut self) -> String {
        let names: Vec<_> = self.tables.keys().cloned().collect();
        if self.random.one_in(2) { DEFAULT.to_owned() } else { self.random.pick(&names).clone() }
    }

    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.get_mut(name).expect("the name was picked from the tables")
    }

    fn put(&mut self) {
        let name = self.name();
        let key = self.random.key();
        let value = self.random.value();
        let durability =
            if self.random.one_in(10) { Durability::Sync } else { Durability::Buffered };
        match self.handles.get(&name) {
            Some(keyspace) => keyspace.put_with(&key, &value, durability).unwrap(),
            None => self.db().put_with(&key, &value, durability).unwrap(),
        };
        self.table(&name).insert(key, value);
    }

    fn delete(&mut self) {
        let name = self.name();
        let key = self.random.key();
        match self.handles.get(&name) {
            Some(keyspace) => keyspace.delete(&key).unwrap(),
            None => self.db().delete(&key).unwrap(),
        };
        self.table(&name).remove(&key);
    }

    fn batch(&mut self) {
        let count = *self.random.pick(&[0, 1, 2, 5, 5, 20, 100]);
        let mut batch = WriteBatch::new();
        for _ in 0..count {
            let name = self.name();
            let key = self.random.key();
            let value = self.random.value();
            let delete = self.random.one_in(3);
            match (self.handles.get(&name), delete) {
                (Some(keyspace), false) => batch.put_in(keyspace, &key, &value),
                (Some(keyspace), true) => batch.delete_in(keyspace, &key),
                (None, false) => batch.put(&key, &value),
                (None, true) => batch.delete(&key),
            };
            // The same key twice: the last operation of a batch wins.
            if delete {
                self.table(&name).remove(&key);
            } else {
                self.table(&name).insert(key, value);
            }
        }
        assert_eq!((batch.len(), batch.is_empty()), (count, count == 0));
        let sequence = self.db().write(&batch).unwrap();
        if count > 0 {
            assert!(sequence > self.last_sequence, "a sequence was issued twice");
            self.last_sequence = sequence;
            if self.random.one_in(10) {
                self.db().wait_durable(sequence).unwrap();
            }
        }
    }

    /// A write that depends on what is there; half the time on what is there in fact.
    fn conditional(&mut self) {
        let name = self.name();
        let key = self.random.key();
        let value = self.random.value();
        let now = self.table(&name).get(&key).cloned();
        let expected = if self.random.one_in(2) { now.clone() } else { Some(self.random.value()) };
        let new = (!self.random.one_in(4)).then(|| value.clone());
        let db = self.db();
        let handle = self.handles.get(&name);
        match value.len() % 3 {
            0 => {
                let expected = expected.as_deref();
                let new = new.as_deref();
                let got = match handle {
                    Some(keyspace) => keyspace.compare_and_swap(&key, expected, new),
                    None => db.compare_and_swap(&key, expected, new),
                };
                let want = now.as_deref() == expected;
                match got.unwrap() {
                    CompareAndSwap::Swapped(_) => assert!(want),
                    CompareAndSwap::Mismatch(got) => {
                        assert!(!want && got.as_deref() == now.as_deref())
                    }
                }
                if !want {
                    return;
                }
            }
            1 => {
                let got = match handle {
                    Some(keyspace) => keyspace.insert_if_absent(&key, &value),
                    None => db.insert_if_absent(&key, &value),
                };
                assert_eq!(got.unwrap().is_some(), now.is_none());
                self.table(&name).entry(key).or_insert(value);
                return;
            }
            _ => {
                let change = |got: Option<&[u8]>| {
                    assert_eq!(got, now.as_deref(), "{name}: {}", key.escape_ascii());
                    new.clone()
                };
                let got = match handle {
                    Some(keyspace) => keyspace.update(&key, change),
                    None => db.update(&key, change),
                };
                assert_eq!(got.unwrap().value.as_deref(), new.as_deref());
            }
        }
        match new {
            Some(new) => self.table(&name).insert(key, new),
            None => self.table(&name).remove(&key),
        };
    }

    fn get(&mut self) {
        let name = self.name();
        let key = self.random.key();
        let got = match self.handles.get(&name) {
            Some(keyspace) => keyspace.get(&key).unwrap(),
            None => self.db().get(&key).unwrap(),
        };
        let want = self.table(&name).get(&key);
        assert_eq!(got.as_deref(), want.map(Vec::as_slice), "{name}: {}", key.escape_ascii());
    }

    /// Many keys at once, whether they are there, and the ends.
    fn look_up(&mut self) {
        let name = self.name();
        let keys: Vec<_> = (0..self.random.below(12)).map(|_| self.random.key()).collect();
        let db = self.db();
        let table = &self.tables[&name];
        let (got, first, last) = match self.handles.get(&name) {
            Some(k) => (k.multi_get(&keys), k.first(), k.last()),
            None => (db.multi_get(&keys), db.first(), db.last()),
        };
        let owned = |pair: (Value, Value)| (pair.0.to_vec(), pair.1.to_vec());
        let cloned = |pair: (&Vec<u8>, &Vec<u8>)| (pair.0.clone(), pair.1.clone());
        assert!(first.unwrap().map(owned) == table.first_key_value().map(cloned), "{name}: first");
        assert!(last.unwrap().map(owned) == table.last_key_value().map(cloned), "{name}: last");
        let got: Vec<_> = got.unwrap().into_iter().map(|v| v.map(|v| v.to_vec())).collect();
        assert!(got.iter().map(Option::as_ref).eq(keys.iter().map(|key| table.get(key))));
        for key in &keys {
            let tried = match self.handles.get(&name) {
                Some(keyspace) => keyspace.try_get(key),
                None => db.try_get(key),
            };
            match tried.unwrap() {
                TryGet::Hit(value) => assert!(Some(&*value) == table.get(key).map(Vec::as_slice)),
                TryGet::Miss => assert!(!table.contains_key(key), "{}", key.escape_ascii()),
                TryGet::WouldRead => {}
            }
            let there = match self.handles.get(&name) {
                Some(keyspace) => keyspace.contains_key(key),
                None => db.contains_key(key),
            };
            assert_eq!(there.unwrap(), table.contains_key(key), "{}", key.escape_ascii());
        }
    }

    /// An explanation ends where a get does, and an estimate is never too small.
    fn explain_and_estimate(&mut self) {
        let name = self.name();
        let key = self.random.key();
        let bounds = (self.random.bound(), self.random.bound());
        let (explained, size) = match self.handles.get(&name) {
            Some(k) => (k.explain(&key), k.approximate_size(bounds.clone())),
            None => (self.db().explain(&key), self.db().approximate_size(bounds.clone())),
        };
        let explained = explained.unwrap();
        let table = &self.tables[&name];
        let got = explained.found.as_ref().and_then(|found| found.version.value_bytes);
        assert_eq!(got, table.get(&key).map(|value| value.len() as u64), "{explained}");
        let inside = within(table, &bounds);
        let least: usize = inside.iter().map(|(key, value)| key.len() + value.len()).sum();
        let size = size.unwrap() as usize;
        let keys = inside.len();
        // Keys share their beginnings in a block, so that they may take less than their length;
        // what is compressed may take as little as LZ4 can make of it.
        let shared: usize = inside.iter().map(|(key, _)| key.len()).sum();
        let plain = name != DEFAULT && !self.compressed.contains(&name);
        let ratio_max = if plain { 1 } else { 255 };
        let least = (least - shared) / ratio_max;
        assert!(size >= least, "{size} for {keys} keys of {least} bytes in {bounds:?}");
    }

    /// Seeks and draws in turns from both ends of the pairs, of the keys and of the values.
    fn seek(&mut self) {
        let name = self.name();
        let bounds = (self.random.bound(), self.random.bound());
        let range = || match self.handles.get(&name) {
            Some(keyspace) => keyspace.range(bounds.clone()),
            None => self.db().range(bounds.clone()),
        };
        let mut pairs = range();
        let mut keys = range().keys();
        let mut values = range().values();
        let mut want = within(&self.tables[&name], &bounds);
        for _ in 0..8 {
            let key = self.random.key();
            let front = self.random.one_in(2);
            if self.random.one_in(2) && front {
                pairs.seek(&key);
                keys.seek(&key);
                values.seek(&key);
                want.retain(|pair| pair.0 >= key);
            } else if self.random.one_in(2) {
                pairs.seek_back(&key);
                keys.seek_back(&key);
                values.seek_back(&key);
                want.retain(|pair| pair.0 <= key);
            }
            let got = match front {
                true => (pairs.next(), keys.next(), values.next(), want.pop_front()),
                false => (pairs.next_back(), keys.next_back(), values.next_back(), want.pop_back()),
            };
            let (pair, key, value, want) = got;
            let pair = pair.transpose().unwrap().map(|pair| (pair.0.to_vec(), pair.1.to_vec()));
            let half = |half: Option<alluvium::Result<Value>>| {
                half.transpose().unwrap().map(|half| half.to_vec())
            };
            assert!(pair == want, "a pair after a seek");
            assert!(half(key) == want.clone().map(|want| want.0), "a key after a seek");
            assert!(half(value) == want.map(|want| want.1), "a value after a seek");
        }
    }

    fn range_over(&self, name: &str, bounds: Bounds) -> Range {
        match self.handles.get(name) {
            Some(keyspace) => keyspace.range(bounds),
            None => self.db().range(bounds),
        }
    }

    fn range(&mut self) {
        let name = self.name();
        let bounds = (self.random.bound(), self.random.bound());
        let iter = self.range_over(&name, bounds.clone());
        let want = within(&self.tables[&name], &bounds);
        drain(iter, want, &mut self.random);
    }

    fn prefix(&mut self) {
        let name = self.name();
        let mut prefix = self.random.key();
        prefix.truncate(self.random.below(prefix.len() + 1));
        let iter = match self.handles.get(&name) {
            Some(keyspace) => keyspace.prefix(&prefix),
            None => self.db().prefix(&prefix),
        };
        let mut want = within(&self.tables[&name], &(Bound::Unbounded, Bound::Unbounded));
        want.retain(|(key, _)| key.starts_with(&prefix));
        drain(iter, want, &mut self.random);
    }

    fn take_snapshot(&mut self) {
        if self.snapshots.len() == 4 {
            let oldest_or_not = self.random.below(4);
            self.snapshots.swap_remove(oldest_or_not);
        }
        let snapshot = self.db().snapshot();
        let tables = self.tables.clone();
        let handles = self.handles.clone();
        self.snapshots.push(Held { snapshot, tables, handles });
    }

    /// Reads what was there when the snapshot was taken, also of keyspaces dropped since.
    fn read_snapshot(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let held = &self.snapshots[self.random.below(self.snapshots.len())];
        let names: Vec<_> = held.tables.keys().collect();
        let name = *self.random.pick(&names);
        let table = &held.tables[name];
        let handle = held.handles.get(name);
        for _ in 0..4 {
            let key = self.random.key();
            let got = match handle {
                Some(keyspace) => held.snapshot.of(keyspace).get(&key).unwrap(),
                None => held.snapshot.get(&key).unwrap(),
            };
            let want = table.get(&key).map(Vec::as_slice);
            assert_eq!(got.as_deref(), want, "snapshot of {name}: {}", key.escape_ascii());
        }
        let bounds = (self.random.bound(), self.random.bound());
        let iter = match handle {
            Some(keyspace) => held.snapshot.of(keyspace).range(bounds.clone()),
            None => held.snapshot.range(bounds.clone()),
        };
        drain(iter, within(table, &bounds), &mut self.random);
    }

    /// Begins an iteration that goes on after other operations.
    fn hold_iterator(&mut self) {
        if self.iterators.len() == 3 {
            drop(self.iterators.remove(0));
        }
        let name = self.name();
        let bounds = (self.random.bound(), self.random.bound());
        let iter = self.range_over(&name, bounds.clone());
        let mut held = (iter, within(&self.tables[&name], &bounds));
        // Half of them have looked at something, half have not.
        let draws = self.random.below(2) * self.random.below(10);
        for _ in 0..draws {
            draw(&mut held.0, &mut held.1, self.random.one_in(2), self.random.one_in(2));
        }
        self.iterators.push(held);
    }

    fn drain_held_iterator(&mut self) {
        if let Some((iter, want)) = self.iterators.pop() {
            drain(iter, want, &mut self.random);
        }
    }

    fn check_names(&self) {
        let mut got = self.db().keyspaces();
        got.retain(|name| name != DEFAULT);
        got.sort();
        let want: Vec<_> = self.tables.keys().filter(|name| *name != DEFAULT).cloned().collect();
        assert_eq!(got, want);
    }

    /// Compares everything, from both ends and key by key.
    fn check_all(&mut self) {
        let everything = (Bound::Unbounded, Bound::Unbounded);
        for (name, table) in &self.tables {
            for _ in 0..2 {
                let iter = self.range_over(name, everything.clone());
                drain(iter, within(table, &everything), &mut self.random);
            }
            for (key, value) in table {
                let got = match self.handles.get(name) {
                    Some(keyspace) => keyspace.get(key).unwrap(),
                    None => self.db().get(key).unwrap(),
                };
                assert_eq!(got.as_deref(), Some(value.as_slice()), "{}", key.escape_ascii());
            }
        }
    }
}

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a decimal number, and is {text:?}")))
}

/// Runs each seed, or the one asked for, in a new world that `make` puts somewhere.
fn run(seeds: &[u64], make: impl Fn(u64) -> World) {
    let steps = number_from_env("ALLUVIUM_STEPS").unwrap_or(800);
    let seeds = number_from_env("ALLUVIUM_SEED").map_or(seeds.to_vec(), |seed| vec![seed]);
    for seed in seeds {
        eprintln!("to replay: ALLUVIUM_SEED={seed} ALLUVIUM_STEPS={steps}");
        let mut world = make(seed);
        for _ in 0..steps {
            world.step();
        }
        world.check_all();
        world.reopen();
        world.check_all();
    }
}

#[test]
fn the_database_answers_as_maps_do_in_simulated_memory() {
    run(&[1, 2, 3, 4, 5, 6, 7, 8], |seed| World::new(seed, Some(SimFs::new()), Path::new("/db")));
}

#[test]
fn the_database_answers_as_maps_do_on_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = |seed: u64| directory.path().join(seed.to_string());
    run(&[101, 102], |seed| World::new(seed, None, &path(seed)));
}

/// The planted fault: a comparison that lets a lost write pass would be worth nothing.
#[test]
#[should_panic(expected = "lost")]
fn a_write_that_the_mirror_alone_has_is_noticed() {
    let mut world = World::new(9, Some(SimFs::new()), Path::new("/db"));
    world.put();
    world.table(DEFAULT).insert(b"\xff lost".to_vec(), b"x".to_vec());
    world.check_all();
}
