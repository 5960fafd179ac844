//! What `store` and `delete` go into between `begin` or `batch` and the commit.

use alluvium::{
    Keyspace, Range, Savepoint, Skipped, Transaction, TransactionRange, Value, WriteBatch,
};

use super::{Failure, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::text::escape::escaped;
use crate::text::size::bytes;

/// What a batch takes at most: an operation too many would spoil all of it. The engine's bound, and
/// little in tests.
pub(super) const BATCH_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 3 << 30 };

/// The most that an operation takes besides its key and value.
const ENTRY_BYTES: usize = 31;

/// Writes that are not stored yet.
pub(crate) enum Pending {
    /// Nobody reads them before the commit.
    Batch(Batch),
    /// Reads of the session see them.
    Transaction(Box<OpenTransaction>),
}

/// Operations, to be written together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) operations: WriteBatch,
    /// That of each operation. An error names a keyspace that was dropped only while there is a
    /// handle of it.
    keyspaces: Vec<Keyspace>,
}

pub(crate) struct OpenTransaction {
    pub(super) transaction: Transaction,
    writes: usize,
    /// Name, and how many writes came before. Of two with one name the later one counts.
    savepoints: Vec<(String, Savepoint, usize)>,
    /// The last number that a savepoint without a name got.
    numbered: u64,
    /// That of each write, as a batch keeps them.
    keyspaces: Vec<Keyspace>,
}

impl Pending {
    pub(crate) fn of_transaction(transaction: Transaction) -> Self {
        Self::Transaction(Box::new(OpenTransaction {
            transaction,
            writes: 0,
            savepoints: Vec::new(),
            numbered: 0,
            keyspaces: Vec::new(),
        }))
    }

    /// How many writes there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.operations.len(),
            Self::Transaction(open) => open.writes,
        }
    }

    /// What it is called, in answers and in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Batch(_) => "batch",
            Self::Transaction(_) => "transaction",
        }
    }

    /// What ends it without a commit.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            Self::Batch(_) => "abort it",
            Self::Transaction(_) => "roll it back",
        }
    }

    /// Sets or deletes a key.
    pub(super) fn write(
        &mut self,
        keyspace: &Keyspace,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Failure> {
        match self {
            Self::Batch(batch) => batch.write(keyspace, key, value),
            Self::Transaction(open) => open.write(keyspace, key, value),
        }
    }
}

impl Batch {
    fn write(
        &mut self,
        keyspace: &Keyspace,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Failure> {
        if key.len() > KEY_BYTES_MAX {
            let got = key.len();
            return Err(format!("a key has at most {KEY_BYTES_MAX} bytes, and this {got}").into());
        }
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(format!("a value has at most {VALUE_BYTES_MAX} bytes").into());
        }
        let more = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        if self.operations.bytes() + more > BATCH_BYTES_MAX {
            let most = bytes(BATCH_BYTES_MAX as u64);
            return Err(format!("a batch has at most {most}; it is kept without this").into());
        }
        match value {
            Some(value) => self.operations.put_in(keyspace, key, value),
            None => self.operations.delete_in(keyspace, key),
        }
        self.keyspaces.push(keyspace.clone());
        Ok(())
    }
}

impl OpenTransaction {
    fn write(
        &mut self,
        keyspace: &Keyspace,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let of = self.transaction.of(keyspace);
        match value {
            Some(value) => of.put(key, value)?,
            None => of.delete(key)?,
        }
        self.writes += 1;
        self.keyspaces.push(keyspace.clone());
        Ok(())
    }

    /// Begins a savepoint; its name.
    pub(super) fn savepoint(&mut self, name: Option<String>) -> String {
        let name = name.unwrap_or_else(|| {
            self.numbered += 1;
            format!("p{}", self.numbered)
        });
        self.savepoints.push((name.clone(), self.transaction.savepoint(), self.writes));
        name
    }

    /// Undoes the writes since a savepoint, which stays; how many that were, and how many are left.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<(usize, usize), Failure> {
        let found = self.savepoints.iter().rposition(|(known, ..)| known == name);
        let Some(at) = found else {
            let name = escaped(name.as_bytes());
            return Err(format!("there is no savepoint {name}; savepoint begins one").into());
        };
        let (_, savepoint, writes) = &self.savepoints[at];
        self.transaction.rollback_to(savepoint)?;
        let undone = self.writes - writes;
        self.writes = *writes;
        self.keyspaces.truncate(self.writes);
        self.savepoints.truncate(at + 1);
        Ok((undone, self.writes))
    }

    pub(super) fn savepoints(&self) -> impl Iterator<Item = &str> {
        self.savepoints.iter().map(|(name, ..)| &**name)
    }
}

/// Keys and values: what is stored, or that with the writes of a transaction on top.
pub(crate) enum Pairs<'a> {
    Stored(Range),
    Over(Box<TransactionRange<'a>>),
}

impl Iterator for Pairs<'_> {
    type Item = alluvium::Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Stored(range) => range.next(),
            Self::Over(range) => range.next(),
        }
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Stored(range) => range.next_back(),
            Self::Over(range) => range.next_back(),
        }
    }
}

impl<'a> Pairs<'a> {
    /// The keys alone. What is stored is walked over without its values.
    pub(crate) fn keys(self) -> Box<dyn Iterator<Item = alluvium::Result<Value>> + 'a> {
        match self {
            Self::Stored(range) => Box::new(range.keys()),
            Self::Over(range) => Box::new(range.map(|pair| pair.map(|(key, _)| key))),
        }
    }

    /// The same, past blocks that cannot be read.
    pub(crate) fn skip_damaged(self) -> Result<Self, Failure> {
        match self {
            Self::Stored(range) => Ok(Self::Stored(range.skip_damaged())),
            Self::Over(_) => {
                Err("a transaction is open, and reads nothing past damage: commit or \
                                  roll it back first"
                    .into())
            }
        }
    }

    /// What was passed over.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        match self {
            Self::Stored(range) => range.skipped(),
            Self::Over(_) => Vec::new(),
        }
    }
}
