//! One thread of a history: it calls the engine, and writes down what it asked and what it got.

use alluvium::{CompareAndSwap, Keyspace, Snapshot, Value, WriteBatch};

use crate::Random;
use crate::history::{Content, Contents, KEYS, Operation, Recorded};
use crate::session::{Fault, Session};

/// A snapshot, and the place of the operation that took it.
struct Held {
    snapshot: Snapshot,
    at: usize,
    /// After how many more operations it is read.
    reads_in: usize,
}

pub(crate) struct Worker<'a> {
    session: &'a Session,
    history: usize,
    thread: usize,
    random: Random,
    held: Option<Held>,
    /// For the fault that reads from the past.
    past: Snapshot,
    done: Vec<Recorded>,
    values: u32,
}

/// A value's bytes: its number, and so many more that memory fills up fast.
fn bytes(value: u32) -> Vec<u8> {
    let len = 40 + value as usize * 37 % 160;
    (0..len).flat_map(|_| value.to_le_bytes()).take(len).collect()
}

/// The number of what a read gave; of bytes that nobody wrote, one that nobody writes.
fn content(value: Option<&[u8]>) -> Content {
    let value = value?;
    let number = value.first_chunk().map_or(u32::MAX, |first| u32::from_le_bytes(*first));
    Some(if number < u32::MAX && bytes(number) == value { number } else { u32::MAX })
}

fn owned(value: Option<Value>) -> Content {
    content(value.as_deref())
}

impl<'a> Worker<'a> {
    pub(crate) fn new(session: &'a Session, history: usize, thread: usize, seed: u64) -> Self {
        let random = Random::new(seed);
        let past = session.db.snapshot();
        Self { session, history, thread, random, held: None, past, done: Vec::new(), values: 0 }
    }

    pub(crate) fn run(mut self, operations: usize) -> Vec<Recorded> {
        for _ in 0..operations {
            self.step();
            if self.held.as_mut().is_some_and(|held| count_down(&mut held.reads_in)) {
                self.read_held();
            }
        }
        if self.held.is_some() {
            self.read_held();
        }
        self.done
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    /// Whether the planted fault is this one, and happens this time.
    fn fails(&mut self, fault: Fault) -> bool {
        self.session.fault == Some(fault) && self.below(4) == 0
    }

    fn key(&self, key: usize) -> Vec<u8> {
        format!("{:06} {key}", self.history).into_bytes()
    }

    fn keyspace(&self, key: usize) -> &'a Keyspace {
        &self.session.keyspaces[key % 2]
    }

    /// A number that no other value of this history has.
    fn value(&mut self) -> u32 {
        self.values += 1;
        self.values * 10 + self.thread as u32
    }

    /// Calls the engine, and writes down from when to when.
    fn record(&mut self, name: &'static str, call: impl FnOnce(&mut Self) -> Operation) {
        let called = self.session.clock.tick();
        let mut operation = call(self);
        let returned = self.session.clock.tick();
        operation.name = name;
        self.done.push(Recorded { thread: self.thread, called, returned, operation });
    }

    fn step(&mut self) {
        let key = self.below(KEYS as u64) as usize;
        match self.below(20) {
            0..=3 => self.record("put", |it| it.put(key)),
            4 => self.record("delete", |it| it.delete(key)),
            5..=8 => self.record("get", |it| it.get(key)),
            9 | 10 => self.record("multi-get", |it| it.multi_get(key)),
            11 => self.record("range", |it| it.range(key)),
            12..=14 => self.record("batch", Self::batch),
            15 => self.record("swap", |it| it.swap(key)),
            16 => self.record("insert", |it| it.insert(key)),
            17 => self.record("update", |it| it.update(key)),
            _ if self.held.is_none() => self.snapshot(),
            _ => self.record("get", |it| it.get(key)),
        }
    }

    fn put(&mut self, key: usize) -> Operation {
        let value = self.value();
        if !self.fails(Fault::LostWrite) {
            self.keyspace(key).put(self.key(key), bytes(value)).unwrap();
        }
        Operation { writes: vec![(key, Some(value))], ..Operation::default() }
    }

    fn delete(&mut self, key: usize) -> Operation {
        if !self.fails(Fault::LostDelete) {
            self.keyspace(key).delete(self.key(key)).unwrap();
        }
        Operation { writes: vec![(key, None)], ..Operation::default() }
    }

    fn get(&mut self, key: usize) -> Operation {
        let got = if self.fails(Fault::StaleRead) {
            self.past.of(self.keyspace(key)).get(self.key(key)).unwrap()
        } else {
            self.keyspace(key).get(self.key(key)).unwrap()
        };
        Operation { reads: vec![(key, owned(got))], ..Operation::default() }
    }

    /// The two keys that one keyspace has.
    fn multi_get(&mut self, key: usize) -> Operation {
        let keys = [key, (key + 2) % KEYS];
        let reads: Contents = if self.fails(Fault::TornRead) {
            let got = |key: usize| self.keyspace(key).get(self.key(key)).unwrap();
            keys.map(|key| (key, owned(got(key)))).into()
        } else {
            let got = self.keyspace(key).multi_get(keys.map(|key| self.key(key))).unwrap();
            keys.into_iter().zip(got.into_iter().map(owned)).collect()
        };
        Operation { reads, ..Operation::default() }
    }

    fn range(&mut self, key: usize) -> Operation {
        let prefix = format!("{:06} ", self.history);
        let range = self.keyspace(key).prefix(prefix);
        let pairs: Vec<_> = if self.below(2) == 0 {
            range.collect::<Result<_, _>>().unwrap()
        } else {
            range.rev().collect::<Result<_, _>>().unwrap()
        };
        let found = |key: usize| {
            let pair = pairs.iter().find(|(at, _)| *at == self.key(key)[..]);
            content(pair.map(|(_, value)| &**value))
        };
        let keys = [key, (key + 2) % KEYS];
        Operation { reads: keys.map(|key| (key, found(key))).into(), ..Operation::default() }
    }

    /// Two to four keys, in both keyspaces.
    fn batch(&mut self) -> Operation {
        let mut batch = WriteBatch::new();
        let mut writes = Vec::new();
        let first = self.below(KEYS as u64) as usize;
        let torn = self.fails(Fault::TornBatch);
        for step in 0..2 + self.below(3) as usize {
            let key = (first + step) % KEYS;
            let value = (self.below(5) > 0).then(|| self.value());
            match value {
                Some(value) => batch.put_in(self.keyspace(key), self.key(key), bytes(value)),
                None => batch.delete_in(self.keyspace(key), self.key(key)),
            }
            writes.push((key, value));
            if torn {
                self.session.db.write(&batch).unwrap();
                batch.clear();
            }
        }
        if !torn {
            self.session.db.write(&batch).unwrap();
        }
        Operation { writes, ..Operation::default() }
    }

    /// What the key had a moment ago, exchanged for something else.
    fn swap(&mut self, key: usize) -> Operation {
        let expected = self.keyspace(key).get(self.key(key)).unwrap();
        let new = (self.below(4) > 0).then(|| self.value());
        let new_bytes = new.map(bytes);
        let swap = self.keyspace(key).compare_and_swap(
            self.key(key),
            expected.as_deref(),
            new_bytes.as_deref(),
        );
        let found = match swap.unwrap() {
            CompareAndSwap::Swapped(_) => {
                let reads = vec![(key, owned(expected))];
                return Operation { reads, writes: vec![(key, new)], ..Operation::default() };
            }
            CompareAndSwap::Mismatch(found) => found,
        };
        // One that finds what it expected has not looked.
        let impossible = found == expected;
        Operation { reads: vec![(key, owned(found))], impossible, ..Operation::default() }
    }

    fn insert(&mut self, key: usize) -> Operation {
        let value = self.value();
        let inserted = self.keyspace(key).insert_if_absent(self.key(key), bytes(value)).unwrap();
        if inserted.is_none() {
            return Operation { present: Some(key), ..Operation::default() };
        }
        let writes = vec![(key, Some(value))];
        Operation { reads: vec![(key, None)], writes, ..Operation::default() }
    }

    fn update(&mut self, key: usize) -> Operation {
        let new = (self.below(5) > 0).then(|| self.value());
        let mut found = None;
        if self.fails(Fault::LostUpdate) {
            found = owned(self.keyspace(key).get(self.key(key)).unwrap());
            let written = match new {
                Some(value) => self.keyspace(key).put(self.key(key), bytes(value)),
                None => self.keyspace(key).delete(self.key(key)),
            };
            written.unwrap();
        } else {
            let change = |now: Option<&[u8]>| {
                found = content(now);
                new.map(bytes)
            };
            self.keyspace(key).update(self.key(key), change).unwrap();
        }
        Operation { reads: vec![(key, found)], writes: vec![(key, new)], ..Operation::default() }
    }

    /// Its moment lies within this call, however late it is read.
    fn snapshot(&mut self) {
        let mut taken = None;
        let session = self.session;
        self.record("snapshot", |_| {
            taken = Some(session.db.snapshot());
            Operation::default()
        });
        let reads_in = self.below(5) as usize;
        let at = self.done.len() - 1;
        self.held = taken.map(|snapshot| Held { snapshot, at, reads_in });
    }

    /// Reads all keys through the snapshot, twice.
    fn read_held(&mut self) {
        let Some(Held { snapshot, at, .. }) = self.held.take() else { return };
        let unstable = self.fails(Fault::UnstableSnapshot);
        let get = |key: usize| {
            let reader = snapshot.of(self.keyspace(key));
            let now = self.keyspace(key);
            let got = if unstable { now.get(self.key(key)) } else { reader.get(self.key(key)) };
            owned(got.unwrap())
        };
        let by_gets: Vec<_> = (0..KEYS).map(|key| (key, get(key))).collect();
        let mut by_ranges: Vec<_> = (0..KEYS).map(|key| (key, None)).collect();
        for keyspace in &self.session.keyspaces {
            for pair in snapshot.of(keyspace).prefix(format!("{:06} ", self.history)) {
                let (key, value) = pair.unwrap();
                let key = usize::from(key[key.len() - 1] - b'0');
                by_ranges[key].1 = content(Some(&value));
            }
        }
        let operation = &mut self.done[at].operation;
        operation.impossible = !unstable && by_gets != by_ranges;
        operation.reads = by_gets;
    }
}

/// Whether the count was down already; otherwise counts.
fn count_down(count: &mut usize) -> bool {
    let down = *count == 0;
    *count = count.saturating_sub(1);
    down
}
