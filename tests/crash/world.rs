//! A database on a simulated file system, and everything that was done to it.

#[path = "../../src/io/testing.rs"]
pub mod layers;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alluvium::io::{CrashMode, Fs, FsFile, FsLock, OpenMode, SimFs};
use alluvium::{
    Compression, Db, Durability, Error, Keyspace, KeyspaceOptions, OnOverload, Transaction,
    WriteBatch,
};

use crate::Check;
use crate::oracle::{Demand, Effect, History, Op, State, Step, tag_of, value};
use crate::slow_drops::{DropStep, Dropping, SlowDrops};
use layers::{FileLayer, FsLayer, Layered, LayeredFile};

pub const DIR: &str = "data";

/// Options of the keyspaces that are made: a few operations fill several blocks, which are
/// compressed.
fn small_blocks() -> KeyspaceOptions {
    KeyspaceOptions::new().block_bytes(512).compression(Compression::Lz4)
}
pub const DEFAULT: &str = "default";

/// How the file system lies to the engine: planted faults that the harness has to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Syncs of logs do nothing.
    LogSync,
    /// Syncs of a part of a log fall short by eight bytes.
    LogSyncShort,
    /// Syncs of the directory do nothing.
    DirSync,
    /// Syncs of segments do nothing.
    SegmentSync,
    /// Failed writes to logs say that they succeeded.
    LogWriteErrors,
    /// Failed syncs of logs say that they succeeded.
    LogSyncErrors,
}

/// The simulated file system, less what `Lie` says.
#[derive(Debug)]
struct LyingFs(SimFs, Lie);

#[derive(Debug)]
struct LyingFile(Arc<dyn FsFile>, Lie);

impl FsLayer for LyingFs {
    fn inner(&self) -> &dyn Fs {
        &self.0
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = self.0.open(path, mode)?;
        let lied_about = match self.1 {
            Lie::LogSync | Lie::LogSyncShort | Lie::LogWriteErrors | Lie::LogSyncErrors => {
                path.extension().is_some_and(|extension| extension == "wal")
            }
            Lie::SegmentSync => path.extension().is_some_and(|extension| extension == "seg"),
            Lie::None | Lie::DirSync => false,
        };
        Ok(if lied_about { Arc::new(LayeredFile(LyingFile(file, self.1))) } else { file })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.1 == Lie::DirSync { Ok(()) } else { self.0.sync_dir(dir) }
    }
}

impl FileLayer for LyingFile {
    fn inner(&self) -> &dyn FsFile {
        &*self.0
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        match self.0.write_at(buf, offset) {
            Err(_) if self.1 == Lie::LogWriteErrors => Ok(buf.len()),
            result => result,
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.1 {
            Lie::LogWriteErrors | Lie::LogSyncShort => self.0.sync_data(),
            Lie::LogSyncErrors => self.0.sync_data().or(Ok(())),
            _ => Ok(()),
        }
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        match self.1 {
            Lie::LogSyncShort => self.0.sync_below(len.saturating_sub(8)),
            _ => self.sync_data(),
        }
    }
}

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many threads merge in the background.
    pub compactors: usize,
    pub memtable_bytes: u64,
    /// Whether merges overtake drops, in the first life of a world.
    pub slow_drops: bool,
    /// What is wrong with how transactions are used: what the harness has to catch.
    pub misuse: Misuse,
}

/// A fault that transactions could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    None,
    /// The writes of one commit by two.
    Torn,
    /// What was rolled back to a savepoint commits all the same.
    NotRolledBack,
    /// What met a conflict is written all the same.
    ConflictIgnored,
    /// A commit that is to be synced is not.
    Unsynced,
}

impl Setup {
    pub const QUIET: Self =
        Self { compactors: 0, memtable_bytes: 4 << 10, slow_drops: false, misuse: Misuse::None };
}

/// A database and its history.
pub struct World {
    pub fs: SimFs,
    pub lie: Lie,
    pub db: Option<Db>,
    pub history: History,
    /// Whether calls may fail without a crash.
    pub faulty: bool,
    /// The first error of a call while the file system had not crashed.
    pub errors: Vec<Error>,
    /// What the database is opened on in place of `fs`, which it passes on to. Its calls may panic.
    pub layer: Option<Arc<dyn Fs>>,
    pub setup: Setup,
    dropping: Arc<Dropping>,
    handles: BTreeMap<&'static str, Keyspace>,
    next_step: u32,
    open: Option<OpenTransaction>,
}

/// A transaction under way: what it is to commit as, and its writes.
struct OpenTransaction {
    transaction: Transaction,
    number: u32,
    ops: Vec<Op>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world without a database yet.
    pub fn new(fs: SimFs, lie: Lie) -> Self {
        fs.set_trace(true);
        let mut history = History::default();
        history.base.names.insert(DEFAULT.to_owned());
        Self::resume(fs, lie, history, 1)
    }

    /// The world that goes on, on another file system.
    pub fn after(&self, fs: SimFs) -> Self {
        let after = Self::resume(fs, self.lie, self.history.clone(), self.next_step);
        Self { setup: Setup { slow_drops: false, ..self.setup }, ..after }
    }

    fn resume(fs: SimFs, lie: Lie, history: History, next_step: u32) -> Self {
        let handles = BTreeMap::new();
        let errors = Vec::new();
        let faulty = false;
        let layer = None;
        let setup = Setup::QUIET;
        let dropping = Arc::default();
        let open = None;
        Self {
            fs,
            lie,
            db: None,
            history,
            faulty,
            errors,
            layer,
            setup,
            dropping,
            handles,
            next_step,
            open,
        }
    }

    /// Opens the database as it is, on small memtables.
    pub fn try_open(&self) -> Result<Db, Error> {
        let fs: Arc<dyn Fs> = match (&self.layer, self.lie) {
            (Some(layer), _) => Arc::clone(layer),
            (None, Lie::None) if self.setup.slow_drops => {
                Arc::new(Layered(SlowDrops(self.fs.clone(), Arc::clone(&self.dropping))))
            }
            (None, Lie::None) => Arc::new(self.fs.clone()),
            (None, lie) => Arc::new(Layered(LyingFs(self.fs.clone(), lie))),
        };
        let Setup { compactors, memtable_bytes, .. } = self.setup;
        let builder = Db::builder(DIR).memtable_bytes(memtable_bytes);
        let builder = builder.flush_bytes(2 * memtable_bytes);
        // Without threads that merge it is repeatable to the operation.
        let builder = builder.compaction_threads(compactors).segment_bytes(4 << 10);
        let pace = OnOverload::Pace { stall_max: Duration::from_millis(1_000) };
        builder.sync_every(Duration::ZERO).on_overload(pace).fs(fs).open()
    }

    /// Opens it and finds the handles. Whether the world goes on.
    pub fn open(&mut self) -> Check<bool> {
        match self.try_open() {
            Ok(db) => {
                for name in ["users", "tmp"] {
                    if db.keyspaces().iter().any(|known| known == name) {
                        let keyspace = db.keyspace(name).map_err(|error| error.to_string())?;
                        self.handles.insert(name, keyspace);
                    }
                }
                self.db = Some(db);
                Ok(true)
            }
            Err(error) => self.failed(error),
        }
    }

    /// Opens it, compares what is there with the history, and settles the history on that.
    pub fn recover(&mut self, demand: Demand) -> Check<State> {
        if !self.open()? {
            return Err("the recovered file system crashed again by itself".to_owned());
        }
        let found = observe(self.db())?;
        self.history.settle(&found, demand)?;
        Ok(found)
    }

    /// What a crash now leaves, on a disk that works.
    pub fn cut_off(&mut self, mode: CrashMode, seed: u64) -> SimFs {
        let image = self.fs.crash(mode, seed);
        self.abandon();
        image.set_fault(None);
        image.set_capacity(None);
        image
    }

    pub fn db(&self) -> &Db {
        self.db.as_ref().expect("the database is open")
    }

    /// Lets go of the database without closing it in words.
    pub fn abandon(&mut self) {
        self.open = None;
        self.handles.clear();
        self.db = None;
    }

    /// An error is the crash, an expected fault, or a bug.
    fn failed(&mut self, error: Error) -> Check<bool> {
        if self.fs.crashed() {
            return Ok(false);
        }
        if self.faulty {
            self.errors.push(error);
            return Ok(true);
        }
        Err(format!("an error without a cause: {error}"))
    }

    /// Carries out one step and notes how it went. Whether the world goes on.
    pub fn step(&mut self, effect: Effect) -> Check<bool> {
        let number = self.next_step;
        self.next_step += 1;
        let carried_out = catch_unwind(AssertUnwindSafe(|| self.carry_out(number, &effect)));
        let result = match carried_out {
            Ok(Some(result)) => result,
            Ok(None) => return Ok(true),
            Err(_) if self.layer.is_some() => {
                self.history.steps.push(Step { number, effect, acknowledged: false });
                return Ok(true);
            }
            Err(panic) => resume_unwind(panic),
        };
        self.note(number, effect, result)
    }

    /// Notes how a step went.
    fn note(&mut self, number: u32, effect: Effect, result: Result<(), Error>) -> Check<bool> {
        let acknowledged = result.is_ok();
        // These say that the call came too late to have had any effect.
        let nothing = match &result {
            Err(Error::WriterStopped { .. }) => !self.errors.is_empty() && self.stopped_before(),
            Err(Error::Closed | Error::KeyspaceDropped { .. }) => true,
            // A write that the simulated disk refuses leaves half a record at most.
            Err(Error::StorageFull { .. } | Error::Io { .. }) => {
                !self.fs.crashed() && matches!(effect, Effect::Write(..))
            }
            _ => false,
        };
        let durable = match &effect {
            Effect::Write(_, durability) => *durability == Durability::Sync,
            Effect::Create(_) => false,
            Effect::Drop(_) => true,
        };
        if !nothing {
            self.history.steps.push(Step { number, effect, acknowledged });
        }
        match result {
            Ok(()) => {
                if durable {
                    self.history.durable = self.history.steps.len();
                }
                Ok(true)
            }
            Err(error) => self.failed(error),
        }
    }

    fn stopped_before(&self) -> bool {
        self.errors.iter().any(|error| matches!(error, Error::WriterStopped { .. }))
    }

    /// `None` if the step's keyspace has no handle.
    fn carry_out(&mut self, number: u32, effect: &Effect) -> Option<Result<(), Error>> {
        let db = self.db.clone()?;
        Some(match effect {
            Effect::Write(ops, durability) => {
                let known =
                    |op: &Op| op.keyspace == DEFAULT || self.handles.contains_key(op.keyspace);
                if !ops.iter().all(known) {
                    return None;
                }
                self.write(&db, number, ops, *durability)
            }
            Effect::Create(name) => db.keyspace_with(name, small_blocks()).map(|keyspace| {
                self.handles.insert(name, keyspace);
            }),
            Effect::Drop(name) => {
                self.handles.remove(name)?;
                self.dropping.set(DropStep::Asked);
                let dropped = db.drop_keyspace(name);
                self.dropping.set(DropStep::None);
                dropped
            }
        })
    }

    fn write(&self, db: &Db, number: u32, ops: &[Op], durability: Durability) -> Result<(), Error> {
        let bytes = |index: usize| {
            let len = ops[index].value_bytes?;
            Some(value((number, index as u32), len))
        };
        if let [op] = ops {
            let handle = self.handles.get(op.keyspace);
            let written = match (handle, bytes(0)) {
                (None, Some(bytes)) => db.put_with(&op.key, bytes, durability),
                (None, None) => db.delete_with(&op.key, durability),
                (Some(keyspace), Some(bytes)) => keyspace.put_with(&op.key, bytes, durability),
                (Some(keyspace), None) => keyspace.delete_with(&op.key, durability),
            };
            return written.map(drop);
        }
        let mut batch = WriteBatch::new();
        for (index, op) in ops.iter().enumerate() {
            match (self.handles.get(op.keyspace), bytes(index)) {
                (None, Some(bytes)) => batch.put(&op.key, bytes),
                (None, None) => batch.delete(&op.key),
                (Some(keyspace), Some(bytes)) => batch.put_in(keyspace, &op.key, bytes),
                (Some(keyspace), None) => batch.delete_in(keyspace, &op.key),
            }
        }
        db.write_with(&batch, durability).map(drop)
    }

    /// Begins a transaction that reads and writes `ops`, and `undone`, which is rolled back to a
    /// savepoint. It commits later.
    pub fn begin(&mut self, ops: Vec<Op>, undone: &[Op]) -> Check<bool> {
        let number = self.next_step;
        self.next_step += 1;
        let transaction = self.db().transaction();
        let begun = self.fill(&transaction, number, &ops, undone);
        self.open = Some(OpenTransaction { transaction, number, ops });
        begun.map_or_else(|error| self.failed(error), |()| Ok(true))
    }

    fn fill(
        &self,
        transaction: &Transaction,
        number: u32,
        ops: &[Op],
        undone: &[Op],
    ) -> Result<(), Error> {
        let half = ops.len() / 2;
        self.write_in(transaction, number, ops, 0..half)?;
        let savepoint = transaction.savepoint();
        let all = [ops, undone].concat();
        self.write_in(transaction, number, &all, ops.len()..all.len())?;
        if self.setup.misuse != Misuse::NotRolledBack {
            transaction.rollback_to(&savepoint)?;
        }
        self.write_in(transaction, number, ops, half..ops.len())
    }

    /// Reads and writes some of the operations in a transaction.
    fn write_in(
        &self,
        transaction: &Transaction,
        number: u32,
        ops: &[Op],
        which: Range<usize>,
    ) -> Result<(), Error> {
        for index in which {
            let op = &ops[index];
            let keyspace = self.db().keyspace(op.keyspace)?;
            let of = transaction.of(&keyspace);
            of.get(&op.key)?;
            match op.value_bytes {
                Some(len) => of.put(&op.key, value((number, index as u32), len))?,
                None => of.delete(&op.key)?,
            }
        }
        Ok(())
    }

    /// Commits the transaction that is open, which nobody has come before.
    pub fn commit(&mut self, durability: Durability) -> Check<bool> {
        let Some(open) = self.open.take() else { return Ok(true) };
        let OpenTransaction { transaction, number, ops } = open;
        let committed = match self.setup.misuse {
            Misuse::Torn => self.commit_torn(number, &ops, durability),
            Misuse::Unsynced => transaction.commit_with(Durability::Buffered).map(drop),
            _ => transaction.commit_with(durability).map(drop),
        };
        self.note(number, Effect::Write(ops, durability), committed)
    }

    /// Commits the transaction that is open, which has to lose to another write.
    pub fn lose(&mut self) -> Check<bool> {
        let Some(open) = self.open.take() else { return Ok(true) };
        let OpenTransaction { transaction, number, ops } = open;
        match transaction.commit() {
            Err(Error::Conflict { .. }) if self.setup.misuse == Misuse::ConflictIgnored => {
                let half = self.db().transaction();
                let written = self.write_in(&half, number, &ops, 0..ops.len());
                let written = written.and_then(|()| half.commit().map(drop));
                written.map_or_else(|error| self.failed(error), |()| Ok(true))
            }
            Err(Error::Conflict { .. }) => Ok(true),
            Err(error) => self.failed(error),
            Ok(_) => Err("a transaction committed past what has changed what it has read".into()),
        }
    }

    fn commit_torn(&self, number: u32, ops: &[Op], durability: Durability) -> Result<(), Error> {
        let half = ops.len() / 2;
        for which in [0..half, half..ops.len()] {
            let transaction = self.db().transaction();
            self.write_in(&transaction, number, ops, which)?;
            transaction.commit_with(durability)?;
        }
        Ok(())
    }

    /// A call that makes everything before it durable, if it succeeds.
    pub fn barrier(&mut self, call: impl Fn(&Db) -> Result<(), Error>) -> Check<bool> {
        let Some(db) = &self.db else { return Ok(true) };
        match call(db) {
            Ok(()) => {
                self.history.durable = self.history.steps.len();
                Ok(true)
            }
            Err(error) => self.failed(error),
        }
    }

    /// Closes and opens again.
    pub fn reopen(&mut self) -> Check<bool> {
        let alive = self.barrier(Db::close)?;
        self.abandon();
        Ok(alive && self.open()?)
    }
}

/// Everything that can be read, read in every way.
pub fn observe(db: &Db) -> Check<State> {
    let text = |error: Error| format!("a read failed: {error}");
    let mut state = State::default();
    let snapshot = db.snapshot();
    for name in db.keyspaces() {
        let handle = if name == DEFAULT { None } else { Some(db.keyspace(&name).map_err(text)?) };
        let range = || handle.as_ref().map_or_else(|| db.range(..), |it| it.range(..));
        let held = match &handle {
            Some(it) => snapshot.of(it).range(..),
            None => snapshot.range(..),
        };
        let collect = |iter: &mut dyn Iterator<Item = alluvium::Result<_>>| {
            iter.collect::<alluvium::Result<Vec<(alluvium::Value, alluvium::Value)>>>()
        };
        let forward = collect(&mut range()).map_err(text)?;
        let mut backward = collect(&mut range().rev()).map_err(text)?;
        backward.reverse();
        let held = collect(&mut { held }).map_err(text)?;
        let plain = |rows: &[(alluvium::Value, alluvium::Value)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            rows.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
        };
        if plain(&forward) != plain(&backward) || plain(&forward) != plain(&held) {
            return Err(format!("{name}: forward, backward and snapshot scans differ"));
        }
        for (key, value) in plain(&forward) {
            let got = handle.as_ref().map_or_else(|| db.get(&key), |it| it.get(&key));
            if got.map_err(text)?.as_deref() != Some(value.as_slice()) {
                return Err(format!("{name}/{}: scan and get differ", key.escape_ascii()));
            }
            state.rows.insert((name.clone(), key), tag_of(&value)?);
        }
        for absent in [&b"k"[..], b"k00x", b"zzz"] {
            let got = handle.as_ref().map_or_else(|| db.get(absent), |it| it.get(absent));
            if got.map_err(text)?.is_some() {
                return Err(format!("{name}: a key that nobody wrote"));
            }
        }
        state.names.insert(name);
    }
    Ok(state)
}
