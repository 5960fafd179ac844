//! What the threads do, each over and over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alluvium::{CompareAndSwap, Durability, Error, Keyspace, Snapshot, WriteBatch};

use crate::Random;
use crate::ledger::{Cell, Found, Turns, leaves_nothing};
use crate::round::{Round, queued};

/// The key that all writers count up.
const COUNTED: &str = "counted";

/// The keyspace that is dropped and made again.
const PASSING: &str = "passing";

impl Round<'_> {
    fn of(&self, cell: &Cell) -> &Keyspace {
        &self.keyspaces[cell.keyspace()]
    }

    /// Calls until there is room on the disk.
    fn until_room<T>(&self, mut call: impl FnMut() -> alluvium::Result<T>) -> T {
        loop {
            match call() {
                Err(Error::StorageFull { .. }) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                other => return other.unwrap(),
            }
        }
    }

    /// A writer's life: so many operations on its own keys.
    pub(crate) fn write(&self, writer: usize, operations: u64, seed: u64) {
        let mut random = Random::new(seed);
        let mut before = queued();
        for operation in 0..operations {
            if operation % 16 == 0 {
                before = queued();
            }
            let start = Instant::now();
            match random.next() % 8 {
                0 | 1 => self.write_group(writer, random.next() as usize, operation),
                2 => self.count(),
                3 => self.swap(writer, random.next() as usize, operation),
                _ => self.write_single(writer, random.next() as usize, operation),
            }
            self.longest_write.note(start.elapsed(), || self.cause(before));
            self.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_single(&self, writer: usize, draw: usize, operation: u64) {
        let singles = self.ledger.singles(writer);
        let cell = &singles[draw % singles.len()];
        let turn = cell.begin();
        let durability = if draw % 64 == 1 { Durability::Sync } else { Durability::Buffered };
        self.until_room(|| match leaves_nothing(turn) {
            true => self.of(cell).delete_with(cell.key(), durability),
            false => self.of(cell).put_with(cell.key(), cell.value(turn, operation), durability),
        });
        cell.acknowledge(turn);
        if draw.is_multiple_of(3) {
            // Its own writer finds just that.
            cell.check_now(|| self.of(cell).get(cell.key()), "the writer");
        }
    }

    fn write_group(&self, writer: usize, draw: usize, operation: u64) {
        let group = self.ledger.group(writer, draw);
        let mut batch = WriteBatch::new();
        let mut turns = Vec::new();
        for cell in group {
            let turn = cell.begin();
            match leaves_nothing(turn) {
                true => batch.delete_in(self.of(cell), cell.key()),
                false => batch.put_in(self.of(cell), cell.key(), cell.value(turn, operation)),
            }
            turns.push(turn);
        }
        self.until_room(|| self.db.write(&batch));
        for (cell, turn) in group.iter().zip(turns) {
            cell.acknowledge(turn);
        }
    }

    /// By comparison, which must hold: nobody else writes the key.
    fn swap(&self, writer: usize, draw: usize, operation: u64) {
        let singles = self.ledger.singles(writer);
        let cell = &singles[draw % singles.len()];
        let now = self.of(cell).get(cell.key()).unwrap();
        let last = cell.acked();
        cell.check(now.as_deref(), Turns { first: last, last }, "the writer before a swap");
        let turn = cell.begin();
        let new = (!leaves_nothing(turn)).then(|| cell.value(turn, operation));
        let swapped = self.until_room(|| {
            self.of(cell).compare_and_swap(cell.key(), now.as_deref(), new.as_deref())
        });
        assert!(
            matches!(swapped, CompareAndSwap::Swapped(_)),
            "{} changed: {swapped:?}",
            cell.key()
        );
        cell.acknowledge(turn);
    }

    /// All writers on one key: no increment is lost.
    fn count(&self) {
        let counted = &self.ledger.counted;
        counted.begin_counting();
        let up = |now: Option<&[u8]>| Some((number(now) + 1).to_be_bytes().to_vec());
        self.until_room(|| self.keyspaces[0].update(COUNTED, up));
        counted.counted();
    }

    pub(crate) fn check_counted(&self) {
        let counted = &self.ledger.counted;
        let first = counted.acked();
        let now = number(self.keyspaces[0].get(COUNTED).unwrap().as_deref());
        let last = counted.begun();
        assert!((first..=last).contains(&now), "counted {now}, not {first} to {last}");
    }

    pub(crate) fn read(&self, random: &mut Random) {
        let before = queued();
        for _ in 0..64 {
            let cell = &self.ledger.cells[random.next() as usize % self.ledger.cells.len()];
            let start = Instant::now();
            cell.check_now(|| self.of(cell).get(cell.key()), "a get");
            self.longest_read.note(start.elapsed(), || self.cause(before));
        }
        self.check_counted();
        self.reads.fetch_add(65, Ordering::Relaxed);
    }

    /// A whole keyspace, forward or backward: in order, every key within its bounds, and the keys
    /// of one set at one turn.
    pub(crate) fn scan(&self, random: &mut Random) {
        let which = random.next() as usize % 2;
        let first = self.ledger.acked();
        let range = self.keyspaces[which].prefix("key ");
        let begun: Vec<u64> = self.ledger.cells.iter().map(Cell::begun).collect();
        let mut pairs: Vec<_> = match random.next() % 2 {
            0 => range.collect::<Result<_, _>>().unwrap(),
            _ => range.rev().collect::<Result<Vec<_>, _>>().unwrap(),
        };
        if pairs.first().map(|pair| &pair.0) > pairs.last().map(|pair| &pair.0) {
            pairs.reverse();
        }
        assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "a scan out of order");
        let find = |cell: &Cell| {
            let at = pairs.binary_search_by(|(key, _)| (**key).cmp(cell.key().as_bytes()));
            at.ok().map(|at| pairs[at].1.clone())
        };
        let mut expected = 0;
        for cell in self.ledger.cells.iter().filter(|cell| cell.keyspace() == which) {
            let value = find(cell);
            let turns = Turns { first: first[cell.number], last: begun[cell.number] };
            cell.check(value.as_deref(), turns, "a scan");
            expected += usize::from(value.is_some());
        }
        assert_eq!(pairs.len(), expected, "a scan found keys that nobody has written");
        for group in self.ledger.groups() {
            let here = group.iter().filter(|cell| cell.keyspace() == which);
            let found: Vec<_> = here.map(|cell| cell.found(find(cell).as_deref())).collect();
            assert_one_turn(&found, "a scan");
        }
        self.reads.fetch_add(pairs.len() as u64, Ordering::Relaxed);
    }

    /// A snapshot that others write past: it shows one moment, and the same one later.
    pub(crate) fn hold(&self, random: &mut Random) {
        let first = self.ledger.acked();
        let snapshot = self.db.snapshot();
        let begun: Vec<u64> = self.ledger.cells.iter().map(Cell::begun).collect();
        let before = self.read_all(&snapshot);
        for (cell, found) in self.ledger.cells.iter().zip(&before) {
            let turns = Turns { first: first[cell.number], last: begun[cell.number] };
            cell.check(found.as_deref(), turns, "a snapshot");
        }
        for group in self.ledger.groups() {
            let found = group.iter().map(|cell| cell.found(before[cell.number].as_deref()));
            assert_one_turn(&found.collect::<Vec<_>>(), "a snapshot");
        }
        // Until a flush or so has come between.
        let written = self.written.load(Ordering::Relaxed) + random.next() % 256;
        while self.written.load(Ordering::Relaxed) < written && !self.is_over() {
            self.read(random);
        }
        assert!(self.read_all(&snapshot) == before, "a snapshot has changed");
        self.reads.fetch_add(2 * before.len() as u64, Ordering::Relaxed);
    }

    fn read_all(&self, snapshot: &Snapshot) -> Vec<Option<Vec<u8>>> {
        let readers = [0, 1].map(|which| snapshot.of(&self.keyspaces[which]));
        let get = |cell: &Cell| readers[cell.keyspace()].get(cell.key()).unwrap();
        self.ledger.cells.iter().map(|cell| get(cell).map(|value| value.to_vec())).collect()
    }

    /// A keyspace that comes, is filled, and goes: nothing of an earlier one is ever in it.
    pub(crate) fn pass(&self, random: &mut Random) {
        let generation = random.next();
        let value = generation.to_be_bytes();
        let keyspace = self.until_room(|| self.db.keyspace(PASSING));
        assert!(keyspace.is_empty().unwrap(), "a keyspace came back from the dead");
        for key in 0..200_u32 {
            self.until_room(|| keyspace.put(key.to_be_bytes(), [value; 16].concat()));
        }
        let snapshot = self.db.snapshot();
        self.until_room(|| self.db.drop_keyspace(PASSING));
        let gone = keyspace.get(0_u32.to_be_bytes());
        assert!(matches!(gone, Err(Error::KeyspaceDropped { .. })), "{gone:?}");
        let kept = snapshot.of(&keyspace).range(..).values();
        let kept: Vec<_> = kept.collect::<Result<_, _>>().unwrap();
        assert!(kept.len() == 200 && kept.iter().all(|kept| kept.starts_with(&value)));
    }

    /// What moves data about; a full disk may refuse it.
    pub(crate) fn upkeep(&self, random: &mut Random) {
        let done = match random.next() % 8 {
            0..=2 => self.db.flush(),
            3 => self.db.compact(),
            4 => self.keyspaces[0].compact_range("key 2".."key 6"),
            5 => self.db.sync(),
            6 => self.db.set_memtable_bytes([16 << 10, 32 << 10][random.next() as usize % 2]),
            _ => self.db.verify().map(|report| assert!(report.is_sound(), "{report:?}")),
        };
        assert!(matches!(done, Ok(()) | Err(Error::StorageFull { .. })), "{done:?}");
        self.watch();
    }
}

fn number(value: Option<&[u8]>) -> u64 {
    let bytes = value.map(|value| value.first_chunk().expect("every count has eight bytes"));
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn assert_one_turn(found: &[Found], seen_by: &str) {
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{seen_by} saw a part: {found:?}");
}
