//! What stands before every simulated operation: it counts them, stops them all at the crash
//! point, fails the one that a plan names, and keeps the trace.
//!
//! Knows kinds of operations and paths, but no bytes and no names: what a refused operation leaves
//! behind is decided by its caller, who holds the file system's mutex.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;

/// How many operations the trace remembers.
const TRACE_ENTRIES_MAX: usize = 10_000;

/// The kinds of operations that a [`FaultPlan`] can pick.
///
/// ```
/// # use std::path::Path;
/// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
/// let fs = SimFs::new();
/// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
/// fs.set_fault(Some(FaultPlan::new(OpKind::AnyMutating).sticky()));
/// assert!(file.sync_data().is_err());
/// assert!(fs.remove(Path::new("f")).is_err());
/// assert_eq!(file.len()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// Making a file, also for its lock, or a directory that did not exist.
    Create,
    /// Opening a file that exists.
    Open,
    /// Reading a file's bytes or its length.
    Read,
    /// Writing a file's bytes.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Making a file's bytes durable.
    Sync,
    /// Giving a file another name.
    Link,
    /// Moving a file.
    Rename,
    /// Removing a file's name.
    Remove,
    /// Making a directory's names durable.
    SyncDir,
    /// Listing a directory.
    List,
    /// Taking a lock.
    Lock,
    /// In a plan: each kind that [`SimFs::op_count`](super::SimFs::op_count) counts.
    AnyMutating,
    /// In a plan: each kind.
    Any,
}

impl OpKind {
    /// Whether the operation changes what a crash would leave behind.
    fn is_mutating(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Write
                | Self::SetLen
                | Self::Sync
                | Self::Link
                | Self::Rename
                | Self::Remove
                | Self::SyncDir
        )
    }

    /// Whether a plan for `self` means an operation of kind `done`.
    fn picks(self, done: Self) -> bool {
        match self {
            Self::Any => true,
            Self::AnyMutating => done.is_mutating(),
            kind => kind == done,
        }
    }
}

/// Which operation of a [`SimFs`](super::SimFs) fails, and how.
///
/// ```
/// use alluvium::io::{FaultPlan, OpKind};
/// use std::io::ErrorKind;
///
/// // The third sync of a log, and every later one; what they should have written is lost.
/// let plan = FaultPlan::new(OpKind::Sync).on(".log").nth(2).sticky().sync_loss();
/// // One write, of which half arrives.
/// let plan = FaultPlan::new(OpKind::Write).error(ErrorKind::StorageFull).torn();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FaultPlan {
    /// The operations that count.
    pub kind: OpKind,
    /// Only operations on a path that contains this text count; empty: all. A file's path is the
    /// one it was opened at; of a rename or a link, either path will do.
    pub path_contains: String,
    /// How many operations that count succeed first.
    pub nth: u64,
    /// The kind of the error that the failing operation returns.
    pub error: io::ErrorKind,
    /// Whether each later operation that counts fails as well.
    pub sticky: bool,
    /// Whether a failing write leaves its first half in the file; otherwise it leaves nothing.
    pub torn: bool,
    /// Whether a failing file sync loses the writes it should have made durable: they can still be
    /// read, but no later sync makes them durable unless they are written again, as when a page
    /// cache marks its pages clean after an error. Otherwise a later sync may succeed.
    pub sync_loss: bool,
}

impl FaultPlan {
    /// Fails the first operation of this kind, once, with `ErrorKind::Other` and no effect.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Write)));
    /// assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), std::io::ErrorKind::Other);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn new(kind: OpKind) -> Self {
        Self {
            kind,
            path_contains: String::new(),
            nth: 0,
            error: io::ErrorKind::Other,
            sticky: false,
            torn: false,
            sync_loss: false,
        }
    }

    /// Counts only operations on a path that contains `text`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Create).on(".log")));
    /// fs.open(Path::new("a.seg"), OpenMode::CreateNew)?;
    /// assert!(fs.open(Path::new("a.log"), OpenMode::CreateNew).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn on(mut self, text: impl Into<String>) -> Self {
        self.path_contains = text.into();
        self
    }

    /// Lets `nth` operations succeed first.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Sync).nth(1)));
    /// file.sync_data()?;
    /// assert!(file.sync_data().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Sets the kind of the error.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// let full = std::io::ErrorKind::StorageFull;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Write).error(full)));
    /// assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), full);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn error(mut self, error: io::ErrorKind) -> Self {
        self.error = error;
        self
    }

    /// Fails each later operation that counts as well.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Sync).sticky()));
    /// assert!(file.sync_data().is_err());
    /// assert!(file.sync_data().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// Leaves the first half of a failing write in the file.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Write).torn()));
    /// assert!(file.write_at(b"abcd", 0).is_err());
    /// assert_eq!(fs.read_file("f").as_deref(), Some(&b"ab"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn torn(mut self) -> Self {
        self.torn = true;
        self
    }

    /// Loses what a failing file sync should have made durable.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use alluvium::io::{CrashMode, FaultPlan, Fs, OpKind, OpenMode, SimFs};
    /// let fs = SimFs::new();
    /// let file = fs.open(Path::new("f"), OpenMode::CreateNew)?;
    /// fs.sync_dir(Path::new("."))?;
    /// file.write_all_at(b"lost", 0)?;
    /// fs.set_fault(Some(FaultPlan::new(OpKind::Sync).sync_loss()));
    /// assert!(file.sync_data().is_err());
    /// file.sync_data()?;
    /// let after = fs.crash(CrashMode::PowerLoseAll, 0);
    /// assert_eq!(after.read_file("f").as_deref(), Some(&b""[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn sync_loss(mut self) -> Self {
        self.sync_loss = true;
        self
    }

    fn counts(&self, kind: OpKind, path: &Path, target: Option<&Path>) -> bool {
        let contains = |path: &Path| path.to_string_lossy().contains(&self.path_contains);
        self.kind.picks(kind) && (contains(path) || target.is_some_and(contains))
    }
}

/// Why an operation may not proceed, and what it leaves behind all the same.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: io::Error,
    /// This is the operation that the crash interrupts, not one after it.
    pub(super) interrupted: bool,
    pub(super) torn: bool,
    pub(super) sync_loss: bool,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// Counters, crash point, plan and trace of one file system.
#[derive(Debug, Default)]
pub(super) struct FaultGate {
    mutating_count: u64,
    reading_count: u64,
    crash_at: Option<u64>,
    crashed: bool,
    plan: Option<FaultPlan>,
    plan_counted: u64,
    plan_fired: u64,
    /// `None`: no trace is kept.
    trace: Option<VecDeque<String>>,
}

impl FaultGate {
    /// Lets an operation pass or refuses it. A rename and a link pass the second path as `target`.
    pub(super) fn begin(
        &mut self,
        kind: OpKind,
        path: &Path,
        target: Option<&Path>,
        detail: fmt::Arguments<'_>,
    ) -> Result<(), Refusal> {
        if self.crashed {
            return Err(refusal_by_crash(false));
        }
        let number = self.mutating_count;
        if kind.is_mutating() && self.crash_at.is_some_and(|crash_at| number >= crash_at) {
            self.crashed = true;
            self.record(kind, path, target, detail, " -> simulated crash");
            return Err(refusal_by_crash(true));
        }
        let fault = self.fault(kind, path, target);
        let outcome = if fault.is_some() { " -> injected fault" } else { "" };
        self.record(kind, path, target, detail, outcome);
        if kind.is_mutating() {
            self.mutating_count += 1;
        } else {
            self.reading_count += 1;
        }
        fault.map_or(Ok(()), Err)
    }

    fn fault(&mut self, kind: OpKind, path: &Path, target: Option<&Path>) -> Option<Refusal> {
        let plan = self.plan.as_ref().filter(|plan| plan.counts(kind, path, target))?;
        let index = self.plan_counted;
        self.plan_counted += 1;
        if index < plan.nth || (index > plan.nth && !plan.sticky) {
            return None;
        }
        self.plan_fired += 1;
        Some(Refusal {
            error: io::Error::new(plan.error, "injected fault"),
            interrupted: false,
            torn: plan.torn,
            sync_loss: plan.sync_loss,
        })
    }

    fn record(
        &mut self,
        kind: OpKind,
        path: &Path,
        target: Option<&Path>,
        detail: fmt::Arguments<'_>,
        outcome: &str,
    ) {
        let Some(trace) = &mut self.trace else { return };
        if trace.len() == TRACE_ENTRIES_MAX {
            trace.pop_front();
        }
        let number = if kind.is_mutating() {
            format!("#{}", self.mutating_count)
        } else {
            format!("r{}", self.reading_count)
        };
        let target = target.map_or(String::new(), |target| format!(" -> {}", target.display()));
        trace.push_back(format!("{number} {kind:?} {}{target}{detail}{outcome}", path.display()));
    }

    pub(super) fn mutating_count(&self) -> u64 {
        self.mutating_count
    }

    pub(super) fn reading_count(&self) -> u64 {
        self.reading_count
    }

    pub(super) fn set_crash_at(&mut self, number: u64) {
        self.crash_at = Some(number);
    }

    pub(super) fn crash(&mut self) {
        self.crashed = true;
    }

    pub(super) fn crashed(&self) -> bool {
        self.crashed
    }

    /// A new plan starts counting; taking the plan away keeps the count, so that it can be checked.
    pub(super) fn set_plan(&mut self, plan: Option<FaultPlan>) {
        if plan.is_some() {
            self.plan_counted = 0;
            self.plan_fired = 0;
        }
        self.plan = plan;
    }

    pub(super) fn plan_fired(&self) -> u64 {
        self.plan_fired
    }

    pub(super) fn set_trace(&mut self, on: bool) {
        self.trace = on.then(|| self.trace.take().unwrap_or_default());
    }

    pub(super) fn trace(&self) -> Option<&VecDeque<String>> {
        self.trace.as_ref()
    }
}

fn refusal_by_crash(interrupted: bool) -> Refusal {
    let error = io::Error::other("simulated crash");
    Refusal { error, interrupted, torn: false, sync_loss: false }
}
