//! What was written: who owns which key, what it has been given, and what a read may find there.
//!
//! A key belongs to one writer and is written in turns, counted from 1; from its number a turn
//! knows whether it writes a value or a deletion. The owner raises `begun` before it calls the
//! engine and `acked` after it was told that it is done. So a read that looks at `acked` first and
//! at `begun` last knows all turns that it may find, and what else it finds is wrong: too old, too
//! new, come back from the dead, or another's.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::Value;

pub(crate) const WRITERS: usize = 2;

/// Keys of a writer that are written alone.
const SINGLES: usize = 24;

/// Sets of keys that are written together, half of each in one keyspace, half in the other.
const GROUPS: usize = 4;
pub(crate) const GROUP: usize = 4;

const KEYS_OF_ONE: usize = SINGLES + GROUPS * GROUP;

/// One key.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) number: usize,
    begun: AtomicU64,
    acked: AtomicU64,
}

/// All keys, over the life of the database.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) cells: Vec<Cell>,
    /// How often a number that all writers count up has been asked to go up, and has.
    pub(crate) counted: Cell,
}

/// The turns that a read may find, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What was found in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Turn(u64),
    /// Not what any turn of this key writes.
    Strange(String),
}

/// Whether the turn deletes the key. Before the first one there is nothing either.
pub(crate) fn leaves_nothing(turn: u64) -> bool {
    turn.is_multiple_of(5)
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let cell = |number| Cell { number, begun: AtomicU64::new(0), acked: AtomicU64::new(0) };
        let cells = (0..WRITERS * KEYS_OF_ONE).map(cell).collect();
        Self { cells, counted: cell(usize::MAX) }
    }

    /// The keys of a writer that are written alone.
    pub(crate) fn singles(&self, writer: usize) -> &[Cell] {
        &self.cells[writer * KEYS_OF_ONE..][..SINGLES]
    }

    /// Those of one set.
    pub(crate) fn group(&self, writer: usize, group: usize) -> &[Cell] {
        let first = writer * KEYS_OF_ONE + SINGLES + group % GROUPS * GROUP;
        &self.cells[first..][..GROUP]
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Cell]> {
        let numbers = (0..WRITERS).flat_map(|writer| (0..GROUPS).map(move |group| (writer, group)));
        numbers.map(|(writer, group)| self.group(writer, group))
    }

    /// What was acknowledged of each key: where a read begins to look.
    pub(crate) fn acked(&self) -> Vec<u64> {
        self.cells.iter().map(Cell::acked).collect()
    }
}

impl Cell {
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Which keyspace has it.
    pub(crate) fn keyspace(&self) -> usize {
        self.number % 2
    }

    pub(crate) fn key(&self) -> String {
        format!("key {:04}", self.number * 7_919 % 10_000)
    }

    /// Says that the next turn has begun, again if it failed before, and which it is.
    pub(crate) fn begin(&self) -> u64 {
        let turn = self.acked() + 1;
        self.begun.store(turn, Ordering::SeqCst);
        turn
    }

    pub(crate) fn acknowledge(&self, turn: u64) {
        self.acked.store(turn, Ordering::SeqCst);
    }

    /// For the number that all count up.
    pub(crate) fn begin_counting(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn counted(&self) {
        self.acked.fetch_add(1, Ordering::SeqCst);
    }

    /// The bytes of a turn: its origin as text, and a filler. `operation` is its writer's count.
    pub(crate) fn value(&self, turn: u64, operation: u64) -> Vec<u8> {
        let writer = self.number / KEYS_OF_ONE;
        let mut value = format!("{}|{turn}|writer {writer}|operation {operation}|", self.key());
        let filler = (turn * 31 + self.number as u64 * 17) % 600;
        value.extend((0..filler).map(|at| char::from(b'a' + ((turn + at) % 26) as u8)));
        value.into_bytes()
    }

    /// Reads what was found: a value must be one of this key, whole.
    pub(crate) fn found(&self, value: Option<&[u8]>) -> Found {
        let Some(value) = value else { return Found::Nothing };
        let text = String::from_utf8_lossy(value);
        let mut parts = text.split('|');
        let key = parts.next();
        let turn: Option<u64> = parts.next().and_then(|turn| turn.parse().ok());
        let operation = parts.nth(1).and_then(|part| part.strip_prefix("operation "));
        let operation: Option<u64> = operation.and_then(|number| number.parse().ok());
        match (turn, operation) {
            (Some(turn), Some(operation))
                if key == Some(&*self.key()) && self.value(turn, operation) == value =>
            {
                Found::Turn(turn)
            }
            _ => Found::Strange(text.into_owned()),
        }
    }

    pub(crate) fn check(&self, value: Option<&[u8]>, turns: Turns, seen_by: impl fmt::Display) {
        let found = self.found(value);
        let fits = match &found {
            Found::Nothing => (turns.first..=turns.last).any(leaves_nothing),
            Found::Turn(turn) => {
                (turns.first..=turns.last).contains(turn) && !leaves_nothing(*turn)
            }
            Found::Strange(_) => false,
        };
        assert!(
            fits,
            "{seen_by} found {found:?} in {} of keyspace {}, not one of {turns:?}; \
             the value begins with {:?}",
            self.key(),
            self.keyspace(),
            value.map(|value| String::from_utf8_lossy(&value[..value.len().min(60)]).into_owned())
        );
    }

    /// [`Self::check`] of what a call reads just now.
    pub(crate) fn check_now(
        &self,
        read: impl FnOnce() -> alluvium::Result<Option<Value>>,
        seen_by: impl fmt::Display,
    ) {
        let first = self.acked();
        let value = read().unwrap();
        self.check(value.as_deref(), Turns { first, last: self.begun() }, seen_by);
    }
}
