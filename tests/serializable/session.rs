//! A database, and histories recorded on it: each on keys of its own, so that it begins empty.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::io::{Fs, SimFs};
use alluvium::{Db, Error, Isolation, Transaction, TransactionOptions, WriteBatch};

use crate::Random;
use crate::order::Recorded;

const THREADS: u64 = 3;
const EACH: u64 = 4;
const KEYS: u64 = 5;

/// What is wrong with how transactions are used: each is a fault that an engine could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Keys that were read do not count.
    KeysDoNotCount,
    /// Ranges do not count.
    RangesDoNotCount,
    /// The cheaper level, which has write skew.
    SnapshotOnly,
    /// What is written is not checked against anything.
    Unchecked,
    /// Writes commit one by one.
    OneByOne,
    /// What met a conflict is written all the same.
    ConflictIgnored,
    /// The snapshot is that of the transaction before.
    Stale,
}

pub(crate) const FAULTS: [Fault; 7] = [
    Fault::KeysDoNotCount,
    Fault::RangesDoNotCount,
    Fault::SnapshotOnly,
    Fault::Unchecked,
    Fault::OneByOne,
    Fault::ConflictIgnored,
    Fault::Stale,
];

pub(crate) struct Session {
    db: Db,
    clock: AtomicU64,
    values: AtomicU64,
}

/// One thread's part in a history.
struct Client<'a> {
    of: &'a Session,
    random: Random,
    prefix: String,
    fault: Option<Fault>,
    /// Whether one of its transactions is still to be made to lose.
    loses: bool,
    /// The transaction before, where that is kept.
    before: Option<Transaction>,
    recorded: Vec<Recorded>,
}

impl Session {
    pub(crate) fn open() -> Self {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new());
        let builder = Db::builder(Path::new("/db")).memtable_bytes(4 << 10).flush_bytes(8 << 10);
        let db = builder.memory_bytes(1 << 20).fs(fs).open().unwrap();
        Self { db, clock: AtomicU64::new(0), values: AtomicU64::new(0) }
    }

    /// Commits, conflicts and holds.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let stats = self.db.stats();
        [stats.transaction_commits, stats.transaction_conflicts, stats.transaction_holds]
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn record(&self, seed: u64, fault: Option<Fault>) -> Vec<Recorded> {
        let prefix = format!("{seed}/");
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let random = Random::new(seed.wrapping_mul(0x9E37_79B9) ^ thread << 32);
                    let prefix = prefix.clone();
                    let recorded = Vec::new();
                    let before = None;
                    let loses = true;
                    let mut client =
                        Client { of: self, random, prefix, fault, loses, before, recorded };
                    scope.spawn(move || {
                        (0..EACH).for_each(|_| client.one());
                        client.recorded
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }
}

impl Client<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn key(&self, key: u8) -> String {
        format!("{}{key}", self.prefix)
    }

    fn value(&self) -> u32 {
        self.of.values.fetch_add(1, Ordering::Relaxed) as u32
    }

    fn options(&self) -> TransactionOptions {
        let level = match self.fault {
            Some(Fault::SnapshotOnly) => Isolation::Snapshot,
            _ => Isolation::Serializable,
        };
        TransactionOptions::new().isolation(level)
    }

    fn one(&mut self) {
        let called = self.of.now();
        let recorded = Recorded {
            called,
            returned: 0,
            reads: Vec::new(),
            ranges: Vec::new(),
            writes: Vec::new(),
        };
        let done = match self.below(8) {
            0 => self.plain(recorded),
            1 => self.flushed(recorded),
            // Runs until it commits, unless that is to go wrong.
            2..4 if self.fault.is_none() => self.again(&recorded),
            _ => self.by_hand(recorded),
        };
        if let Some(mut recorded) = done {
            recorded.returned = self.of.now();
            self.recorded.push(recorded);
        }
    }

    /// A put by somebody who knows of no transactions.
    fn plain(&mut self, mut recorded: Recorded) -> Option<Recorded> {
        let key = self.below(KEYS) as u8;
        let value = self.value();
        self.of.db.put(self.key(key), value.to_be_bytes()).unwrap();
        recorded.writes.push((key, Some(value)));
        Some(recorded)
    }

    /// The same by a batch, and what seals and flushes memtables.
    fn flushed(&mut self, mut recorded: Recorded) -> Option<Recorded> {
        let mut batch = WriteBatch::new();
        for key in 0..2 {
            let value = self.value();
            batch.put(self.key(key), value.to_be_bytes());
            recorded.writes.push((key, Some(value)));
        }
        batch.put("filler", vec![0; 2_000]);
        self.of.db.write(&batch).unwrap();
        if self.below(8) == 0 {
            self.of.db.flush().unwrap();
        }
        Some(recorded)
    }

    fn again(&mut self, recorded: &Recorded) -> Option<Recorded> {
        let db = self.of.db.clone();
        let loses = std::mem::take(&mut self.loses) && self.below(2) == 0;
        let mut runs = 0;
        let done = db.transact_with(self.options(), |tx| {
            let mut recorded = recorded.clone();
            runs += 1;
            if loses {
                self.lose(tx, runs, &mut recorded);
            }
            self.read_and_write(tx, tx, &mut recorded);
            Ok::<_, Error>(recorded)
        });
        Some(done.unwrap().value)
    }

    /// Reads a key, and writes it past the transaction, until that is held.
    fn lose(&mut self, tx: &Transaction, runs: u32, recorded: &mut Recorded) {
        const KEY: u8 = 1;
        let value = tx.get(self.key(KEY)).unwrap().map(|value| number(&value));
        recorded.reads.push((KEY, value));
        if runs <= 8 {
            let called = self.of.now();
            let value = self.value();
            self.of.db.put(self.key(KEY), value.to_be_bytes()).unwrap();
            let returned = self.of.now();
            let writes = vec![(KEY, Some(value))];
            let nothing = Recorded { reads: Vec::new(), ranges: Vec::new(), ..recorded.clone() };
            self.recorded.push(Recorded { called, returned, writes, ..nothing });
        }
        let value = self.value();
        tx.put(self.key(KEY), value.to_be_bytes()).unwrap();
        recorded.writes.push((KEY, Some(value)));
    }

    fn by_hand(&mut self, mut recorded: Recorded) -> Option<Recorded> {
        let tx = self.of.db.transaction_with(self.options());
        let stale = self.before.take();
        let from = stale.as_ref().filter(|_| self.fault == Some(Fault::Stale)).unwrap_or(&tx);
        self.read_and_write(from, &tx, &mut recorded);
        if self.fault == Some(Fault::Stale) {
            self.before = Some(self.of.db.transaction());
        }
        if matches!(self.fault, Some(Fault::Unchecked | Fault::OneByOne)) {
            self.write_past(&recorded);
            return Some(recorded);
        }
        match tx.commit() {
            Ok(_) => Some(recorded),
            Err(Error::Conflict { .. }) if self.fault == Some(Fault::ConflictIgnored) => {
                self.write_past(&recorded);
                Some(recorded)
            }
            Err(Error::Conflict { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Writes what a transaction has without asking it.
    fn write_past(&self, recorded: &Recorded) {
        let mut batch = WriteBatch::new();
        for (key, value) in &recorded.writes {
            let key = self.key(*key);
            match value {
                Some(value) => batch.put(key, value.to_be_bytes()),
                None => batch.delete(key),
            }
            if self.fault == Some(Fault::OneByOne) {
                self.of.db.write(&batch).unwrap();
                batch.clear();
            }
        }
        self.of.db.write(&batch).unwrap();
    }

    /// Reads some keys and ranges, then writes some. What it has written it does not read again:
    /// the record has what others have left.
    fn read_and_write(&mut self, from: &Transaction, tx: &Transaction, recorded: &mut Recorded) {
        for _ in 0..self.below(3) {
            let key = self.below(KEYS) as u8;
            let value = match self.fault {
                Some(Fault::KeysDoNotCount) => from.snapshot().get(self.key(key)),
                _ => from.get(self.key(key)),
            };
            if recorded.writes.iter().all(|(written, _)| *written != key) {
                recorded.reads.push((key, value.unwrap().map(|value| number(&value))));
            }
        }
        if self.below(2) == 0 && recorded.writes.is_empty() {
            self.read_range(from, recorded);
        }
        for _ in 0..self.below(3) {
            let key = self.below(KEYS) as u8;
            recorded.writes.retain(|(written, _)| *written != key);
            if self.below(4) == 0 {
                tx.delete(self.key(key)).unwrap();
                recorded.writes.push((key, None));
            } else {
                let value = self.value();
                tx.put(self.key(key), value.to_be_bytes()).unwrap();
                recorded.writes.push((key, Some(value)));
            }
        }
    }

    fn read_range(&mut self, from: &Transaction, recorded: &mut Recorded) {
        let start = self.below(KEYS) as u8;
        let end = start + 1 + self.below(KEYS) as u8;
        let range = self.key(start)..self.key(end.min(KEYS as u8));
        let pair = |pair: alluvium::Result<(alluvium::Value, alluvium::Value)>| {
            let (key, value) = pair.unwrap();
            (key.last().unwrap() - b'0', number(&value))
        };
        let mut found: Vec<_> = match (self.fault, self.below(2)) {
            (Some(Fault::RangesDoNotCount), _) => from.snapshot().range(range).map(pair).collect(),
            (_, 0) => from.range(range).map(pair).collect(),
            _ => from.range(range).rev().map(pair).collect(),
        };
        found.sort_unstable();
        recorded.ranges.push((start, end.min(KEYS as u8), found));
    }
}

fn number(value: &[u8]) -> u32 {
    u32::from_be_bytes(value.try_into().unwrap())
}
