//! What a session remembers from one command to the next: the keyspace in use, its snapshots, and
//! the transaction or batch that is open.

mod extent;
mod failure;
mod pending;

use std::collections::BTreeMap;

use alluvium::{Db, Explain, Keyspace, Sequence, Snapshot, Transaction, Value};

use crate::files::interrupt::Interrupt;
use crate::text::escape::escaped;
use crate::text::near::nearest;

pub(crate) use extent::{Extent, after_prefix};
pub(crate) use failure::Failure;
pub(crate) use pending::{Batch, Pairs, Pending};

/// The keyspace in which every session begins.
pub(crate) const DEFAULT: &str = "default";

/// Longest key and longest value that the engine takes. Checked here too, so that a bad one is
/// refused as it enters a batch and not at the commit.
pub(crate) const KEY_BYTES_MAX: usize = 65_535;
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 30;

/// Characters of a keyspace's name in the prompt.
const PROMPT_NAME_CHARS: usize = 24;

/// What to do if a database or a keyspace is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    Never,
    /// Make it if a person says yes, or if a script begins by writing.
    Asked,
    Always,
}

pub(crate) struct Shell {
    pub(crate) db: Db,
    pub(crate) keyspace: Keyspace,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// The last number that was tried for a snapshot without a name.
    numbered: u64,
    /// What is between `begin` or `batch` and its `commit` or `rollback`.
    pub(crate) pending: Option<Pending>,
    /// Whether merging is paused.
    pub(crate) paused: bool,
    pub(crate) interrupt: Interrupt,
    /// Whether commands come from standard input, which has nothing else then.
    pub(crate) scripted: bool,
    /// Whether to tell how long each command took.
    pub(crate) timer: bool,
    /// What to do if a keyspace is not there.
    pub(crate) create: Create,
    /// Whether something failed, or was not found, before a script went on.
    pub(crate) unwell: bool,
}

impl Shell {
    pub(crate) fn new(db: Db) -> alluvium::Result<Self> {
        let keyspace = db.keyspace(DEFAULT)?;
        Ok(Self {
            db,
            keyspace,
            snapshots: BTreeMap::new(),
            numbered: 0,
            pending: None,
            paused: false,
            interrupt: Interrupt::default(),
            scripted: false,
            timer: false,
            create: Create::Asked,
            unwell: false,
        })
    }

    pub(crate) fn has_keyspace(&self, name: &str) -> bool {
        self.db.keyspace_if_exists(name).is_ok_and(|found| found.is_some())
    }

    /// Begins in another keyspace than the default one, which is made if `create` says so.
    pub(crate) fn begin_in(&mut self, name: &str, create: bool) -> Result<(), String> {
        let may = create || self.create == Create::Always;
        if !may && !self.has_keyspace(name) {
            return Err(no_keyspace(self, name));
        }
        self.keyspace = self.db.keyspace(name).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// What stands before each command at a terminal: the keyspace, and the writes of a batch or of
    /// a transaction, if there is something to know about them.
    pub(crate) fn prompt(&self) -> String {
        let mut prompt = String::from("alluvium");
        if self.keyspace.name() != DEFAULT {
            prompt.push('/');
            let name = self.keyspace.name();
            match name.char_indices().nth(PROMPT_NAME_CHARS) {
                None => prompt.push_str(&name),
                Some((end, _)) => prompt.extend([&name[..end], "…"]),
            }
        }
        if let Some(pending) = &self.pending {
            let kind = if self.transaction().is_some() { " tx" } else { "" };
            prompt.push_str(&format!("{kind} +{}", pending.len()));
        }
        prompt.push_str("> ");
        prompt
    }

    /// Sets or deletes a key, now or at the commit.
    pub(crate) fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        match (&mut self.pending, value) {
            (Some(pending), _) => return pending.write(&self.keyspace, key, value),
            (None, Some(value)) => self.keyspace.put(key, value)?,
            (None, None) => self.keyspace.delete(key)?,
        };
        Ok(())
    }

    /// Begins what is to take effect at a commit.
    pub(crate) fn open(&mut self, pending: Pending) -> Result<(), Failure> {
        if let Some(open) = &self.pending {
            let word = open.word();
            let count = open.len();
            let out = open.way_out();
            return Err(format!("there is a {word} of {count} already: commit or {out}").into());
        }
        self.pending = Some(pending);
        Ok(())
    }

    /// Stores what is open; how many writes that were, and the sequence of the last one.
    pub(crate) fn commit(&mut self) -> Result<(usize, Sequence), Failure> {
        let pending = self.pending.take().ok_or(NOTHING_OPEN)?;
        let count = pending.len();
        match pending {
            Pending::Batch(batch) => match self.db.write(&batch.operations) {
                Ok(sequence) => Ok((count, sequence)),
                Err(error) => {
                    self.pending = Some(Pending::Batch(batch));
                    Err(format!("{error}; nothing of the batch is stored, and it is kept").into())
                }
            },
            Pending::Transaction(open) => match open.transaction.commit() {
                Ok(sequence) => Ok((count, sequence)),
                Err(error) => {
                    Err(format!("{error}; the transaction is rolled back: nothing of it is stored")
                        .into())
                }
            },
        }
    }

    /// Gives up what is open.
    pub(crate) fn give_up(&mut self) -> Result<Pending, Failure> {
        Ok(self.pending.take().ok_or(NOTHING_OPEN)?)
    }

    /// Begins a savepoint; its name.
    pub(crate) fn savepoint(&mut self, name: Option<String>) -> Result<String, Failure> {
        match &mut self.pending {
            Some(Pending::Transaction(open)) => Ok(open.savepoint(name)),
            _ => Err(NO_TRANSACTION.into()),
        }
    }

    /// Undoes the writes since a savepoint; how many these were, and how many are left.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<(usize, usize), Failure> {
        match &mut self.pending {
            Some(Pending::Transaction(open)) => open.rollback_to(name),
            _ => Err(NO_TRANSACTION.into()),
        }
    }

    /// The names of the savepoints that can be gone back to.
    pub(crate) fn savepoints(&self) -> Vec<String> {
        match &self.pending {
            Some(Pending::Transaction(open)) => open.savepoints().map(String::from).collect(),
            _ => Vec::new(),
        }
    }

    /// The transaction that reads go through, if one is open.
    fn transaction(&self) -> Option<&Transaction> {
        match &self.pending {
            Some(Pending::Transaction(open)) => Some(&open.transaction),
            _ => None,
        }
    }

    /// Takes a snapshot; its name and the last sequence that it sees.
    pub(crate) fn snapshot(&mut self, name: Option<String>) -> Result<(String, u64), Failure> {
        let name = match name {
            Some(name) => name,
            None => loop {
                self.numbered += 1;
                let name = format!("s{}", self.numbered);
                if !self.snapshots.contains_key(&name) {
                    break name;
                }
            },
        };
        if self.snapshots.contains_key(&name) {
            let name = escaped(name.as_bytes());
            return Err(format!("there is a snapshot {name} already: release it first").into());
        }
        let snapshot = self.db.snapshot();
        let sequence = snapshot.sequence().0;
        self.snapshots.insert(name.clone(), snapshot);
        Ok((name, sequence))
    }

    pub(crate) fn get(&self, key: &[u8], at: Option<&str>) -> Result<Option<Value>, Failure> {
        Ok(match self.at(at)? {
            At::Now => self.keyspace.get(key)?,
            At::Snapshot(snapshot) => snapshot.of(&self.keyspace).get(key)?,
            At::Transaction(open) => open.of(&self.keyspace).get(key)?,
        })
    }

    pub(crate) fn contains(&self, key: &[u8], at: Option<&str>) -> Result<bool, Failure> {
        Ok(match self.at(at)? {
            At::Now => self.keyspace.contains_key(key)?,
            At::Snapshot(snapshot) => snapshot.of(&self.keyspace).contains_key(key)?,
            At::Transaction(open) => open.of(&self.keyspace).contains_key(key)?,
        })
    }

    pub(crate) fn multi_get(
        &self,
        keys: &[Vec<u8>],
        at: Option<&str>,
    ) -> Result<Vec<Option<Value>>, Failure> {
        Ok(match self.at(at)? {
            At::Now => self.keyspace.multi_get(keys)?,
            At::Snapshot(snapshot) => snapshot.of(&self.keyspace).multi_get(keys)?,
            At::Transaction(open) => open.of(&self.keyspace).multi_get(keys)?,
        })
    }

    /// Of what is stored, whatever is open.
    pub(crate) fn explain(&self, key: &[u8], at: Option<&str>) -> Result<Explain, Failure> {
        Ok(match self.at(at)? {
            At::Now | At::Transaction(_) => self.keyspace.explain(key)?,
            At::Snapshot(snapshot) => snapshot.of(&self.keyspace).explain(key)?,
        })
    }

    pub(crate) fn range(&self, extent: &Extent, at: Option<&str>) -> Result<Pairs<'_>, Failure> {
        let bounds = extent.bounds();
        Ok(match self.at(at)? {
            At::Now => Pairs::Stored(self.keyspace.range(bounds)),
            At::Snapshot(snapshot) => Pairs::Stored(snapshot.of(&self.keyspace).range(bounds)),
            At::Transaction(open) => Pairs::Over(Box::new(open.of(&self.keyspace).range(bounds))),
        })
    }

    /// Where a read looks that names this snapshot, or none.
    fn at(&self, name: Option<&str>) -> Result<At<'_>, Failure> {
        let Some(name) = name else {
            return Ok(self.transaction().map_or(At::Now, At::Transaction));
        };
        self.snapshots.get(name).map(At::Snapshot).ok_or_else(|| no_snapshot(name))
    }
}

/// Where a read looks.
enum At<'a> {
    Now,
    Snapshot(&'a Snapshot),
    Transaction(&'a Transaction),
}

/// The complaint about a keyspace that is not there.
pub(crate) fn no_keyspace(shell: &Shell, name: &str) -> String {
    let known = shell.db.keyspaces();
    let near = nearest(name, known.iter().map(String::as_str));
    let near =
        near.map_or(String::new(), |near| format!("did you mean {}? ", escaped(near.as_bytes())));
    let name = escaped(name.as_bytes());
    let create = match shell.create {
        Create::Never => "",
        _ => "add --create to make it",
    };
    let hint = format!("{near}{create}");
    let dash = if hint.is_empty() { "" } else { "; " };
    format!("there is no keyspace {name}{dash}{}", hint.trim_end())
}

pub(crate) fn no_snapshot(name: &str) -> Failure {
    let name = escaped(name.as_bytes());
    format!("there is no snapshot {name}; snapshots lists them, snapshot takes one").into()
}

const NOTHING_OPEN: &str = "nothing is open: begin begins a transaction, and batch a batch";

const NO_TRANSACTION: &str = "there is no transaction: begin begins one";

#[cfg(test)]
mod tests;
