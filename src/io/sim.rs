//! A file system in memory that crashes, fails and fills up on command.
//!
//! It is harsher than any real one within the contract of [`Fs`]: a file's bytes are durable after
//! its own `sync_data` and not before, its name after `sync_dir` of its directory and not before,
//! and [`CrashMode`] says what becomes of the rest. Only the creation of directories is durable at
//! once, as the contract says. Public, because programs that embed the engine can test their own
//! recovery with it.
//!
//! This file is the public face and the tree; `handle` is open files and locks, `inspect` what a
//! test reads and changes past the operations, `state` keeps the medium, `fault` decides what
//! fails, `crash` what a crash leaves. Called from any thread: one mutex around everything.

mod crash;
mod fault;
mod handle;
mod inspect;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use super::{Fs, FsFile, FsLock, OpenMode};
use crate::sync::{Arc, Mutex, MutexGuard, lock};

pub use crash::CrashMode;
pub use fault::{FaultPlan, OpKind};

use handle::{Handle, SimFile, SimLock};
use state::{NameChange, State, normalize};

/// A simulated file system. Clones are handles to the same one.
///
/// Paths are compared as written, less `.` and `..`; the root and the current directory always
/// exist. Everything is deterministic: the same calls and seeds give the same bytes.
///
/// # Crashes
///
/// ```
/// use alluvium::io::{CrashMode, Fs, OpenMode, SimFs};
/// use std::path::Path;
///
/// # fn main() -> std::io::Result<()> {
/// let fs = SimFs::new();
/// let file = fs.open(Path::new("kept"), OpenMode::CreateNew)?;
/// file.write_all_at(b"durable", 0)?;
/// file.sync_data()?;
/// fs.sync_dir(Path::new("."))?;
/// file.write_all_at(b"pending", 7)?;
///
/// let after = fs.crash(CrashMode::PowerLoseAll, 0);
/// assert_eq!(after.read_file("kept").as_deref(), Some(&b"durable"[..]));
/// let after = fs.crash(CrashMode::PowerKeepAll, 0);
/// assert_eq!(after.read_file("kept").as_deref(), Some(&b"durablepending"[..]));
/// assert!(file.sync_data().is_err(), "the crashed instance refuses everything");
/// # Ok(())
/// # }
/// ```
///
/// To crash at every operation of a workload, run it once to learn [`SimFs::op_count`], then once
/// for each number below it, on a new file system with [`SimFs::crash_at`].
///
/// # Faults
///
/// ```
/// use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
/// use std::io::ErrorKind;
/// use std::path::Path;
///
/// let fs = SimFs::new();
/// let file = fs.open(Path::new("a.log"), OpenMode::CreateNew).unwrap();
/// fs.set_fault(Some(FaultPlan::new(OpKind::Write).on(".log").error(ErrorKind::StorageFull)));
/// assert_eq!(file.write_all_at(b"x", 0).unwrap_err().kind(), ErrorKind::StorageFull);
/// file.write_all_at(b"x", 0).unwrap();
/// assert_eq!(fs.fault_fired(), 1);
/// ```
#[derive(Clone, Default)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

impl SimFs {
    /// An empty file system.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// let fs = SimFs::new();
    /// assert_eq!((fs.used(), fs.op_count()), (0, 0));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many mutating operations began before the crash: creations, writes, changes of length,
    /// file syncs, links, renames, removals, directory syncs. Failed ones count.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"x", 0)?;
    /// assert_eq!(fs.op_count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.state().gate.mutating_count()
    }

    /// How many reading operations began before the crash: opens, reads, listings, locks.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.list(Path::new("."))?;
    /// assert!(fs.open(Path::new("f"), OpenMode::Read).is_err());
    /// assert_eq!((fs.read_count(), fs.op_count()), (2, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn read_count(&self) -> u64 {
        self.state().gate.reading_count()
    }

    /// Crashes at mutating operation `number`, counted from 0 over the life of this instance (not
    /// from now: add [`SimFs::op_count`] for that); if it is past, at the next one.
    ///
    /// That operation and every later one, reads included, fail with `ErrorKind::Other` and have no
    /// effect; but if it is a write, parts of it may be there after [`SimFs::crash`].
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.crash_at(1);
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// assert!(file.write_all_at(b"x", 0).is_err());
    /// assert!(fs.list(Path::new(".")).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn crash_at(&self, number: u64) {
        self.state().gate.set_crash_at(number);
    }

    /// Whether this instance has crashed.
    ///
    /// ```
    /// # use alluvium::io::SimFs;
    /// # use alluvium::io::CrashMode;
    /// let fs = SimFs::new();
    /// let after = fs.crash(CrashMode::Process, 0);
    /// assert!(fs.crashed() && !after.crashed());
    /// ```
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.state().gate.crashed()
    }

    /// Crashes, if that has not happened yet, and returns what the crash leaves as an independent
    /// file system: no locks, no faults, counters at zero; capacity and tracing as they were.
    ///
    /// The same mode and seed leave the same bytes. A crashed instance can be asked again, with
    /// other modes and seeds.
    ///
    /// ```
    /// use alluvium::io::{CrashMode, SimFs};
    /// use alluvium::{Db, Durability, WriteBatch};
    /// use std::sync::Arc;
    ///
    /// let fs = SimFs::new();
    /// let db = Db::builder("d").fs(Arc::new(fs.clone())).open()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put("k", "v");
    /// db.write_with(&batch, Durability::Sync)?;
    /// let after = fs.crash(CrashMode::PowerSubset, 7);
    /// drop(db);
    /// let db = Db::builder("d").fs(Arc::new(after)).open()?;
    /// assert_eq!(db.get("k")?.as_deref(), Some(&b"v"[..]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use = "the crashed instance refuses everything; go on with the returned one"]
    pub fn crash(&self, mode: CrashMode, seed: u64) -> Self {
        let mut state = self.state();
        state.gate.crash();
        Self { state: Arc::new(Mutex::new(crash::after_crash(&state, mode, seed))) }
    }

    /// Fails what `plan` says, counted from now, instead of what an earlier plan said; `None`
    /// fails nothing.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Sync).sticky()));
    /// assert!(file.sync_data().is_err());
    /// fs.set_fault(None);
    /// file.sync_data()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_fault(&self, plan: Option<FaultPlan>) {
        self.state().gate.set_plan(plan);
    }

    /// How many operations the last plan has failed.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Write)));
    /// assert!(file.write_at(b"x", 0).is_err());
    /// file.write_at(b"x", 0)?;
    /// assert_eq!(fs.fault_fired(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn fault_fired(&self) -> u64 {
        self.state().gate.plan_fired()
    }

    /// Limits the sum of all files' lengths, in bytes. A write or change of length that would
    /// exceed it fails with `ErrorKind::StorageFull` and has no effect.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_capacity(Some(4));
    /// file.write_all_at(b"four", 0)?;
    /// let full = file.write_all_at(b"5", 4).unwrap_err();
    /// assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The sum of all files' lengths, in bytes; removed files count while they are open.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{Fs, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// file.write_all_at(b"abc", 0)?;
    /// fs.remove(Path::new("f"))?;
    /// assert_eq!(fs.used(), 3);
    /// drop(file);
    /// assert_eq!(fs.used(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl fmt::Debug for SimFs {
    /// Says nothing of the state: a thread that prints a handle may hold its mutex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFs")
    }
}

fn names_in(state: &State, dir: &Path) -> Vec<String> {
    // Paths are ordered by component, so all below a directory stand together.
    let below =
        state.names.range(dir.to_path_buf()..).take_while(|(path, _)| path.starts_with(dir));
    let inside = below.filter(|(path, _)| path.parent() == Some(dir));
    inside.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let path = normalize(path);
        let mut state = self.state();
        let inode = if mode == OpenMode::CreateNew {
            state.gate.begin(OpKind::Create, &path, None, format_args!(""))?;
            state.create(&path)?
        } else {
            state.gate.begin(OpKind::Open, &path, None, format_args!(""))?;
            state.find(&path)?
        };
        let handle = Handle::new(self, &mut state, inode);
        Ok(Arc::new(SimFile { handle, path, writable: mode != OpenMode::Read }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = normalize(path);
        let mut state = self.state();
        if state.is_dir(&path) && !state.gate.crashed() {
            return Ok(());
        }
        state.gate.begin(OpKind::Create, &path, None, format_args!(" (directory)"))?;
        state.create_dirs(&path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = normalize(dir);
        let mut state = self.state();
        state.gate.begin(OpKind::List, &dir, None, format_args!(""))?;
        state.check_dir(&dir)?;
        Ok(names_in(&state, &dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = normalize(from);
        let to = normalize(to);
        let mut state = self.state();
        state.gate.begin(OpKind::Rename, &from, Some(&to), format_args!(""))?;
        let inode = state.find(&from)?;
        state.check_name(&to)?;
        // POSIX: nothing happens if both are names of one file.
        if state.names.get(&to) != Some(&inode) {
            state.change_name(NameChange { from: Some(from), to: Some(to), inode });
        }
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = normalize(from);
        let to = normalize(to);
        let mut state = self.state();
        state.gate.begin(OpKind::Link, &from, Some(&to), format_args!(""))?;
        let inode = state.find(&from)?;
        state.link(&to, inode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normalize(path);
        let mut state = self.state();
        state.gate.begin(OpKind::Remove, &path, None, format_args!(""))?;
        let inode = state.find(&path)?;
        state.change_name(NameChange { from: Some(path), to: None, inode });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = normalize(dir);
        let mut state = self.state();
        state.gate.begin(OpKind::SyncDir, &dir, None, format_args!(""))?;
        state.check_dir(&dir)?;
        state.sync_names(&dir);
        Ok(())
    }

    /// No operation that a fault or a crash counts.
    fn free_bytes(&self, _dir: &Path) -> io::Result<Option<u64>> {
        let state = self.state();
        Ok(state.capacity.map(|capacity| capacity.saturating_sub(state.used())))
    }

    /// Making the lock's file is an operation of its own, a creation before the lock. Directories
    /// have none, as on systems other than Unix.
    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        let path = normalize(path);
        let mut state = self.state();
        if state.is_dir(&path) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if create && !state.names.contains_key(&path) {
            state.gate.begin(OpKind::Create, &path, None, format_args!(""))?;
            state.create(&path)?;
        }
        let detail = if shared { " (shared)" } else { "" };
        state.gate.begin(OpKind::Lock, &path, None, format_args!("{detail}"))?;
        let inode = state.find(&path)?;
        let content = state.content(inode);
        if content.locked || (!shared && content.locks_shared > 0) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if shared {
            content.locks_shared += 1;
        } else {
            content.locked = true;
        }
        Ok(Box::new(SimLock { handle: Handle::new(self, &mut state, inode), shared }))
    }
}
