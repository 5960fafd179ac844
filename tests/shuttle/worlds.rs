//! What the threads of a run do: a few dozen operations each, drawn from the seed, on a database
//! whose memtables hold five values, so that rotations, flushes and merges happen all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alluvium::io::{CrashMode, SimFs};
use alluvium::schedules;
use alluvium::{
    CompareAndSwap, Db, Durability, Error, Keyspace, Result, Sequence, Snapshot, WriteBatch,
};
use fastrand::Rng;
use shuttle::thread;

use crate::history::{Effect, History, Key, Seen, number_of, value_of};

const KEYS: u8 = 4;
const OTHER: &str = "other";

/// All that the histories are about.
fn all_keys() -> impl Iterator<Item = Key> {
    ["default", OTHER].into_iter().flat_map(|keyspace| (0..KEYS).map(move |key| (keyspace, key)))
}

fn open(fs: &SimFs) -> Result<Db> {
    Db::builder("db")
        .fs(Arc::new(fs.clone()))
        .memtable_bytes(4 << 10)
        .flush_bytes(8 << 10)
        .memory_bytes(24 << 10)
        .cache_bytes(8 << 10)
        .segment_bytes(4 << 10)
        .sync_every(Duration::from_millis(300))
        .open()
}

/// What the threads of a run have in common.
struct World {
    db: Db,
    other: Keyspace,
    history: Arc<History>,
    told: Arc<Told>,
}

/// How many were to be told what is durable, and how many were.
#[derive(Default)]
struct Told {
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl World {
    fn new(fs: &SimFs) -> Arc<Self> {
        let db = open(fs).unwrap();
        let other = db.keyspace(OTHER).unwrap();
        Arc::new(Self { db, other, history: Arc::default(), told: Arc::default() })
    }

    fn keyspace(&self, key: Key) -> &Keyspace {
        if key.0 == OTHER { &self.other } else { &self.db }
    }

    /// After the close: each was told once (I44).
    fn check_told(&self) {
        let [asked, answered] =
            [&self.told.asked, &self.told.answered].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(answered, asked, "asked to be told, and told (I44)");
    }

    /// Starts a client for each of `plans` and waits for all. Each does its plan so many times.
    fn run(self: &Arc<Self>, seed: u64, plans: &[(Plan, usize)]) {
        let clients: Vec<_> = plans
            .iter()
            .enumerate()
            .map(|(at, &(plan, times))| {
                let random = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(at as u64));
                let mut client = Client { world: Arc::clone(self), random, snapshot: None };
                thread::spawn(move || {
                    for _ in 0..times {
                        // A client stops with the database; what went wrong, the plan has judged.
                        if plan(&mut client).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("a client does not panic");
        }
    }
}

type Plan = fn(&mut Client) -> Result<()>;

struct Client {
    world: Arc<World>,
    random: Rng,
    /// One that is kept for a while, and when it was asked for.
    snapshot: Option<(u64, Snapshot)>,
}

impl Client {
    fn key(&mut self) -> Key {
        let keyspace = if self.random.u8(..3) == 0 { OTHER } else { "default" };
        (keyspace, self.random.u8(..KEYS))
    }

    fn effect(&mut self) -> Effect {
        if self.random.u8(..5) == 0 { Effect::Delete } else { Effect::Put }
    }

    fn durability(&mut self) -> Durability {
        if self.random.u8(..5) == 0 { Durability::Sync } else { Durability::Buffered }
    }

    /// One write of one key or of several.
    fn write(&mut self) -> Result<()> {
        let mut keys: Vec<Key> = (0..self.random.usize(1..4)).map(|_| self.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        let effects: Vec<_> = keys.into_iter().map(|key| (key, self.effect())).collect();
        let durability = self.durability();
        let World { db, history, .. } = &*self.world;
        let number = history.begin(&effects);
        let sequence = match effects[..] {
            [(key, Effect::Put)] => {
                self.world.keyspace(key).put_with([key.1], value_of(number), durability)?
            }
            [(key, Effect::Delete)] => self.world.keyspace(key).delete_with([key.1], durability)?,
            _ => {
                let mut batch = WriteBatch::new();
                for (key, effect) in effects {
                    let keyspace = self.world.keyspace(key);
                    match effect {
                        Effect::Put => batch.put_in(keyspace, [key.1], value_of(number)),
                        Effect::Delete => batch.delete_in(keyspace, [key.1]),
                    }
                }
                db.write_with(&batch, durability)?
            }
        };
        history.acknowledge(number, sequence);
        if durability == Durability::Sync {
            history.durable(sequence);
        }
        Ok(())
    }

    /// Swaps a value for another, if it is still what a read has found.
    fn swap(&mut self) -> Result<()> {
        let key = self.key();
        let World { history, .. } = &*self.world;
        let keyspace = self.world.keyspace(key);
        let found = keyspace.get([key.1])?;
        let number = history.begin(&[(key, Effect::Put)]);
        let begun = history.now();
        let value = value_of(number);
        match keyspace.compare_and_swap([key.1], found.as_deref(), Some(&value[..]))? {
            CompareAndSwap::Swapped(sequence) => {
                history.acknowledge(number, sequence);
                let before = Sequence(sequence.0 - 1);
                history.read(0, Some(before), vec![(key, found.as_ref().map(number_of))]);
            }
            CompareAndSwap::Mismatch(now) => {
                history.undo(number);
                history.read(begun, None, vec![(key, now.as_ref().map(number_of))]);
            }
        }
        Ok(())
    }

    fn get(&mut self) -> Result<()> {
        let key = self.key();
        let begun = self.world.history.now();
        let found = self.world.keyspace(key).get([key.1])?;
        let seen = vec![(key, found.as_ref().map(number_of))];
        self.world.history.read(begun, None, seen);
        Ok(())
    }

    /// All keys of one keyspace at one moment.
    fn scan(&mut self) -> Result<()> {
        let begun = self.world.history.now();
        let db = &self.world.db;
        let mut seen: Vec<Seen> = (0..KEYS).map(|key| (("default", key), None)).collect();
        if self.random.bool() {
            let values = db.multi_get((0..KEYS).map(|key| [key]))?;
            for (seen, value) in seen.iter_mut().zip(values) {
                seen.1 = value.as_ref().map(number_of);
            }
        } else {
            let backward = self.random.bool();
            let range = db.range(..);
            let pairs: Result<Vec<_>> =
                if backward { range.rev().collect() } else { range.collect() };
            for (key, value) in pairs? {
                seen[usize::from(key[0])].1 = Some(number_of(&value));
            }
        }
        self.world.history.read(begun, None, seen);
        Ok(())
    }

    /// Makes a snapshot, or reads both keyspaces through the one that is kept.
    fn look_back(&mut self) -> Result<()> {
        let Some((begun, snapshot)) = &self.snapshot else {
            let begun = self.world.history.now();
            self.snapshot = Some((begun, self.world.db.snapshot()));
            return Ok(());
        };
        let mut seen = Vec::new();
        let other = snapshot.of(&self.world.other);
        for key in all_keys() {
            let found = if key.0 == OTHER { other.get([key.1])? } else { snapshot.get([key.1])? };
            seen.push((key, found.as_ref().map(number_of)));
        }
        self.world.history.read(*begun, Some(snapshot.sequence()), seen);
        if self.random.u8(..3) == 0 {
            self.snapshot = None;
        }
        Ok(())
    }

    /// Makes everything durable, one way or another.
    fn make_durable(&mut self) -> Result<()> {
        let World { db, history, .. } = &*self.world;
        let covered = history.acknowledged();
        match self.random.u8(..4) {
            0 => db.sync()?,
            1 => db.wait_durable(covered)?,
            2 => db.flush()?,
            _ => {
                let told = Arc::clone(&self.world.told);
                let history = Arc::clone(history);
                told.asked.fetch_add(1, Ordering::Relaxed);
                db.when_durable(covered, move |result| {
                    told.answered.fetch_add(1, Ordering::Relaxed);
                    if result.is_ok() {
                        history.durable(covered);
                    }
                });
                return Ok(());
            }
        }
        history.durable(covered);
        Ok(())
    }

    fn anything(&mut self) -> Result<()> {
        match self.random.u8(..16) {
            0..6 => self.write(),
            6 | 7 => self.swap(),
            8..10 => self.get(),
            10 | 11 => self.scan(),
            12 | 13 => self.look_back(),
            14 => self.make_durable(),
            _ => self.world.db.compact(),
        }
    }
}

/// A plan that must not fail.
fn sound(client: &mut Client) -> Result<()> {
    client.anything().unwrap();
    Ok(())
}

/// A plan for a database that is closed meanwhile.
fn until_closed(client: &mut Client) -> Result<()> {
    let done = client.anything();
    assert!(matches!(done, Ok(()) | Err(Error::Closed)), "{done:?}");
    done
}

/// Everything in both keyspaces, by gets and by scans, which must agree.
fn contents(db: &Db) -> Vec<Seen> {
    let other = db.keyspace(OTHER).unwrap();
    let mut seen = Vec::new();
    for key in all_keys() {
        let keyspace: &Keyspace = if key.0 == OTHER { &other } else { db };
        seen.push((key, keyspace.get([key.1]).unwrap().as_ref().map(number_of)));
    }
    for (name, keyspace) in [("default", &**db), (OTHER, &other)] {
        let scanned: Vec<Seen> = keyspace
            .range(..)
            .map(|pair| pair.map(|(key, value)| ((name, key[0]), Some(number_of(&value)))))
            .collect::<Result<_>>()
            .unwrap();
        let there = seen.iter().filter(|((of, _), value)| *of == name && value.is_some());
        assert_eq!(scanned, there.copied().collect::<Vec<_>>(), "a scan and gets of {name}");
    }
    seen
}

/// Three clients that do anything; then a close, and everything is there again.
pub(crate) fn live(seed: u64) {
    let fs = SimFs::new();
    let world = World::new(&fs);
    world.run(seed, &[(sound, 14), (sound, 14), (sound, 14)]);
    world.history.check_reads();
    world.history.check_final(&contents(&world.db));
    let health = world.db.health();
    assert!(health.is_healthy(), "{health:?}");
    world.db.close().unwrap();
    world.check_told();
    let db = open(&fs).unwrap();
    world.history.check_final(&contents(&db));
    db.close().unwrap();
}

/// Clients that do anything while one closes the database.
pub(crate) fn close(seed: u64) {
    fn close(client: &mut Client) -> Result<()> {
        for _ in 0..client.random.u8(..12) {
            client.anything()?;
        }
        client.world.db.close().unwrap();
        Ok(())
    }
    let fs = SimFs::new();
    let world = World::new(&fs);
    world.run(seed, &[(until_closed, 20), (until_closed, 20), (close, 1), (close, 1)]);
    world.check_told();
    let db = open(&fs).unwrap();
    world.history.check_survivors(&contents(&db), true);
    let health = db.health();
    assert!(health.is_healthy(), "{health:?}");
    db.close().unwrap();
}

/// Writers who must wait for memory, and get it.
pub(crate) fn overload(seed: u64) {
    fn write(client: &mut Client) -> Result<()> {
        let begun = schedules::elapsed();
        client.write().unwrap();
        // It may wait for ten, and does if nobody wakes it.
        assert!(schedules::elapsed() - begun < Duration::from_secs(9), "a wait ended late (I22)");
        Ok(())
    }
    let fs = SimFs::new();
    let world = World::new(&fs);
    world.run(seed, &[(write, 14), (write, 14), (write, 14), (sound, 4)]);
    world.history.check_reads();
    world.history.check_final(&contents(&world.db));
    world.db.close().unwrap();
}

/// Counters that several clients raise, while others flush, merge and delete beside them.
pub(crate) fn conditional(seed: u64) {
    const COUNTER: [u8; 1] = [200];
    const ONCE: [u8; 1] = [201];
    fn count(client: &mut Client) -> Result<()> {
        let Client { world, random, .. } = client;
        let raised = world.db.update(COUNTER, |now| {
            let now = now.map_or(0, |now| u64::from_be_bytes(*now.first_chunk().unwrap()));
            let mut next = (now + 1).to_be_bytes().to_vec();
            next.resize(random.usize(300..900), b'.');
            Some(next)
        });
        let raised = raised.unwrap();
        let value = raised.value.expect("a counter has a value");
        let count = u64::from_be_bytes(*value.first_chunk().unwrap());
        // A count is the number of a write in the order of the counter alone.
        world.history.count(count, raised.sequence);
        Ok(())
    }
    fn insert(client: &mut Client) -> Result<()> {
        let inserted = client.world.db.insert_if_absent(ONCE, b"1").unwrap();
        if let Some(sequence) = inserted {
            let World { db, history, .. } = &*client.world;
            history.inserted(sequence);
            let deleted = db.delete(ONCE).unwrap();
            history.deleted(deleted);
        }
        Ok(())
    }
    fn upkeep(client: &mut Client) -> Result<()> {
        let db = &client.world.db;
        match client.random.u8(..4) {
            0 => db.compact().unwrap(),
            1 => db.sync().unwrap(),
            _ => db.flush().unwrap(),
        }
        Ok(())
    }
    let fs = SimFs::new();
    let world = World::new(&fs);
    world.run(seed, &[(count, 10), (count, 10), (insert, 8), (insert, 8), (upkeep, 5)]);
    world.history.check_counts(20);
    world.db.close().unwrap();
}

/// Keyspaces that are made, filled, dropped and made again, beside writers, flushes and merges.
pub(crate) fn keyspaces(seed: u64) {
    fn make_and_drop(client: &mut Client) -> Result<()> {
        // Its own, so that what is in it is certain.
        let name = format!("t{}", client.random.u64(..));
        let db = &client.world.db;
        for round in 0..2 {
            let keyspace = db.keyspace(&name).unwrap();
            assert!(keyspace.range(..).next().is_none(), "{name} is empty in round {round}");
            for key in 0..3 {
                keyspace.put([key], value_of(u64::from(key) + round)).unwrap();
            }
            let snapshot = db.snapshot();
            if client.random.bool() {
                db.flush().unwrap();
            }
            db.drop_keyspace(&name).unwrap();
            let refused = keyspace.put([9], b"late");
            assert!(matches!(refused, Err(Error::KeyspaceDropped { .. })), "{refused:?} (I24)");
            let found = snapshot.of(&keyspace).get([1]).unwrap().map(|value| number_of(&value));
            assert_eq!(found, Some(1 + round), "what a snapshot sees of {name} (I24)");
            assert!(!db.keyspaces().contains(&name));
        }
        Ok(())
    }
    fn upkeep(client: &mut Client) -> Result<()> {
        let compacts = client.random.bool();
        let db = &client.world.db;
        if compacts {
            db.compact().unwrap()
        } else {
            db.flush().unwrap()
        }
        Ok(())
    }
    let fs = SimFs::new();
    let world = World::new(&fs);
    world.run(seed, &[(make_and_drop, 2), (make_and_drop, 2), (sound, 8), (upkeep, 3)]);
    world.history.check_reads();
    world.history.check_final(&contents(&world.db));
    assert!(world.db.health().is_healthy(), "{:?}", world.db.health());
    world.db.close().unwrap();
    let db = open(&fs).unwrap();
    assert_eq!(db.keyspaces(), ["default", OTHER]);
    world.history.check_final(&contents(&db));
    db.close().unwrap();
}

/// Clients that do anything until the power fails or the process dies, and what is found then.
pub(crate) fn crash(seed: u64) {
    const DOOMED: &str = "doomed";
    fn drop_one(client: &mut Client) -> Result<()> {
        for _ in 0..client.random.u8(..6) {
            client.anything()?;
        }
        client.world.db.drop_keyspace(DOOMED)
    }
    fn anything(client: &mut Client) -> Result<()> {
        client.anything()
    }
    let mut random = Rng::with_seed(seed);
    let fs = SimFs::new();
    let world = World::new(&fs);
    let doomed = world.db.keyspace(DOOMED).unwrap();
    doomed.put_with([7], value_of(7), Durability::Sync).unwrap();
    drop(doomed);
    fs.crash_at(fs.op_count() + random.u64(..150));
    world.run(seed, &[(anything, 14), (anything, 14), (anything, 14), (drop_one, 1)]);
    let mode = CrashMode::ALL[random.usize(..CrashMode::ALL.len())];
    let after = fs.crash(mode, seed);
    let World { db, other, history, .. } = Arc::into_inner(world).expect("the clients have ended");
    drop((db, other));

    let db = open(&after).unwrap();
    let seen = contents(&db);
    history.check_survivors(&seen, mode == CrashMode::Process);
    if db.keyspaces().iter().any(|name| name == DOOMED) {
        let found = db.keyspace(DOOMED).unwrap().get([7]).unwrap();
        assert_eq!(found.as_ref().map(number_of), Some(7), "a drop that is not there took data");
    }
    assert!(db.health().writer_stopped.is_none(), "{:?}", db.health());

    // It goes on, and the next power loss takes nothing of what is known.
    db.put_with([100], value_of(100), Durability::Sync).unwrap();
    let again = after.crash(CrashMode::PowerLoseAll, seed);
    drop(db);
    let db = open(&again).unwrap();
    assert_eq!(db.get([100]).unwrap().as_ref().map(number_of), Some(100));
    db.delete([100]).unwrap();
    assert_eq!(contents(&db), seen, "after a second crash");
    db.close().unwrap();
}
