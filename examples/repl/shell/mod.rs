//! What a session remembers from one command to the next: the keyspace in use, its snapshots, and
//! the batch that is being collected.

mod extent;
mod failure;

use std::collections::BTreeMap;

use alluvium::{Db, Explain, Keyspace, Range, Sequence, Snapshot, Value, WriteBatch};

use crate::files::interrupt::Interrupt;
use crate::text::escape::escaped;
use crate::text::near::nearest;
use crate::text::size::bytes;

pub(crate) use extent::{Extent, after_prefix};
pub(crate) use failure::Failure;

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
    /// The batch between `batch` and its `commit` or `abort`.
    pub(crate) batch: Option<Batch>,
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

/// What a batch takes at most: an operation too many would spoil all of it. The engine's bound, and
/// little in tests.
const BATCH_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 3 << 30 };

/// The most that an operation takes besides its key and value.
const ENTRY_BYTES: usize = 31;

/// Operations, to be written together.
#[derive(Default)]
pub(crate) struct Batch {
    operations: WriteBatch,
    /// That of each operation. An error names a keyspace that was dropped only while there is a
    /// handle of it.
    keyspaces: Vec<Keyspace>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }
}

impl Shell {
    pub(crate) fn new(db: Db) -> alluvium::Result<Self> {
        let keyspace = db.keyspace(DEFAULT)?;
        Ok(Self {
            db,
            keyspace,
            snapshots: BTreeMap::new(),
            numbered: 0,
            batch: None,
            paused: false,
            interrupt: Interrupt::default(),
            scripted: false,
            timer: false,
            create: Create::Asked,
            unwell: false,
        })
    }

    pub(crate) fn has_keyspace(&self, name: &str) -> bool {
        self.db.keyspaces().iter().any(|known| known == name)
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

    /// What stands before each command at a terminal: the keyspace and the batch, if there is
    /// something to know about them.
    pub(crate) fn prompt(&self) -> String {
        let mut prompt = String::from("alluvium");
        if self.keyspace.name() != DEFAULT {
            prompt.push('/');
            let name = self.keyspace.name();
            match name.char_indices().nth(PROMPT_NAME_CHARS) {
                None => prompt.push_str(name),
                Some((end, _)) => prompt.extend([&name[..end], "…"]),
            }
        }
        if let Some(batch) = &self.batch {
            prompt.push_str(&format!(" +{}", batch.len()));
        }
        prompt.push_str("> ");
        prompt
    }

    /// Sets or deletes a key, now or with the batch.
    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), Failure> {
        let Some(batch) = &mut self.batch else {
            match value {
                Some(value) => self.keyspace.put(key, value)?,
                None => self.keyspace.delete(key)?,
            };
            return Ok(());
        };
        if key.len() > KEY_BYTES_MAX {
            let got = key.len();
            return Err(format!("a key has at most {KEY_BYTES_MAX} bytes, and this {got}").into());
        }
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(format!("a value has at most {VALUE_BYTES_MAX} bytes").into());
        }
        let more = key.len() + value.as_ref().map_or(0, Vec::len) + ENTRY_BYTES;
        if batch.operations.bytes() + more > BATCH_BYTES_MAX {
            let most = bytes(BATCH_BYTES_MAX as u64);
            return Err(format!("a batch has at most {most}; it is kept without this").into());
        }
        match value {
            Some(value) => batch.operations.put_in(&self.keyspace, key, value),
            None => batch.operations.delete_in(&self.keyspace, key),
        }
        batch.keyspaces.push(self.keyspace.clone());
        Ok(())
    }

    /// Writes the batch; its size and the sequence of its last operation.
    pub(crate) fn commit(&mut self) -> Result<(usize, Sequence), Failure> {
        let batch = self.batch.take().ok_or(NO_BATCH)?;
        match self.db.write(&batch.operations) {
            Ok(sequence) => Ok((batch.len(), sequence)),
            Err(error) => {
                self.batch = Some(batch);
                Err(format!("{error}; nothing of the batch is stored, and it is kept").into())
            }
        }
    }

    /// Forgets the batch; its size.
    pub(crate) fn abort(&mut self) -> Result<usize, Failure> {
        Ok(self.batch.take().ok_or(NO_BATCH)?.len())
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
            None => self.keyspace.get(key)?,
            Some(snapshot) => snapshot.of(&self.keyspace).get(key)?,
        })
    }

    pub(crate) fn contains(&self, key: &[u8], at: Option<&str>) -> Result<bool, Failure> {
        Ok(match self.at(at)? {
            None => self.keyspace.contains_key(key)?,
            Some(snapshot) => snapshot.of(&self.keyspace).contains_key(key)?,
        })
    }

    pub(crate) fn multi_get(
        &self,
        keys: &[Vec<u8>],
        at: Option<&str>,
    ) -> Result<Vec<Option<Value>>, Failure> {
        Ok(match self.at(at)? {
            None => self.keyspace.multi_get(keys)?,
            Some(snapshot) => snapshot.of(&self.keyspace).multi_get(keys)?,
        })
    }

    pub(crate) fn explain(&self, key: &[u8], at: Option<&str>) -> Result<Explain, Failure> {
        Ok(match self.at(at)? {
            None => self.keyspace.explain(key)?,
            Some(snapshot) => snapshot.of(&self.keyspace).explain(key)?,
        })
    }

    pub(crate) fn range(&self, extent: &Extent, at: Option<&str>) -> Result<Range, Failure> {
        let bounds = extent.bounds();
        Ok(match self.at(at)? {
            None => self.keyspace.range(bounds),
            Some(snapshot) => snapshot.of(&self.keyspace).range(bounds),
        })
    }

    fn at(&self, name: Option<&str>) -> Result<Option<&Snapshot>, Failure> {
        let Some(name) = name else { return Ok(None) };
        let found = self.snapshots.get(name);
        found.map(Some).ok_or_else(|| no_snapshot(name))
    }
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

const NO_BATCH: &str = "there is no batch: batch begins one";

#[cfg(test)]
mod tests;
