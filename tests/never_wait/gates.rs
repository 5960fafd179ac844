//! A file system that holds chosen operations at a gate, and remembers who did what.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::Duration;

use alluvium::io::{CrashMode, FaultPlan, Fs, FsFile, FsLock, OpKind, OpenMode, SimFs};

/// How long an operation stands at a gate before it goes through it by force. Nothing is measured
/// by it: it turns a test that would hang into one that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Patience is counted in these.
const NAP: Duration = Duration::from_millis(10);

/// One operation that is done.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) thread: ThreadId,
    pub(crate) kind: OpKind,
    pub(crate) path: String,
}

#[derive(Debug)]
struct Gate {
    id: u64,
    kind: OpKind,
    path_contains: String,
    patience: Duration,
    arrived: usize,
    forced: bool,
    freeze: Option<Freeze>,
}

/// Of a gate at which one operation is held, of whatever kind.
#[derive(Debug)]
struct Freeze {
    /// So many pass first.
    left: usize,
    /// The thread whose operations pass, and do not count.
    but: ThreadId,
    /// What is held.
    held: Option<Op>,
}

impl Gate {
    /// Whether an operation is to be held here.
    fn meets(&mut self, op: &Op) -> bool {
        let Some(freeze) = &mut self.freeze else {
            return self.kind == op.kind && op.path.contains(&self.path_contains);
        };
        if op.thread == freeze.but || freeze.held.is_some() {
            return false;
        }
        if freeze.left > 0 {
            freeze.left -= 1;
            return false;
        }
        freeze.held = Some(op.clone());
        true
    }
}

/// What is to happen before each operation of a kind, on the thread that comes with it.
#[derive(Clone)]
struct Hook {
    kind: OpKind,
    path_contains: String,
    work: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "before {:?} of {}", self.kind, self.path_contains)
    }
}

#[derive(Debug, Default)]
struct State {
    done: Vec<Op>,
    hook: Option<Hook>,
    gates: Vec<Gate>,
    gates_made: u64,
}

impl State {
    fn gate(&mut self, id: u64) -> Option<&mut Gate> {
        self.gates.iter_mut().find(|gate| gate.id == id)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until `ready`, and says whether it came to that before this ran out of patience: by
    /// naps, so that a process that is stopped meanwhile loses one of them and no more.
    fn wait(&self, patience: Duration, mut ready: impl FnMut(&mut State) -> bool) -> bool {
        let mut state = self.state();
        let mut naps = patience.as_millis().div_ceil(NAP.as_millis());
        loop {
            if ready(&mut state) {
                return true;
            }
            if naps == 0 {
                return false;
            }
            let (woken, nap) = self.changed.wait_timeout(state, NAP).unwrap();
            naps -= u128::from(nap.timed_out());
            state = woken;
        }
    }
}

/// A simulated disk behind gates. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatedFs {
    inner: SimFs,
    shared: Arc<Shared>,
}

impl GatedFs {
    /// Holds every operation of this kind on a path that contains `text`, until the result is
    /// released.
    pub(crate) fn hold(&self, kind: OpKind, text: &str) -> Held {
        self.hold_for(kind, text, PATIENCE)
    }

    pub(crate) fn hold_for(&self, kind: OpKind, text: &str, patience: Duration) -> Held {
        self.add_gate(kind, text, patience, None)
    }

    /// Holds one operation, the one that comes when `left` have passed, by whatever thread but this
    /// one.
    pub(crate) fn freeze(&self, left: usize) -> Held {
        let but = std::thread::current().id();
        self.add_gate(OpKind::Any, "", PATIENCE, Some(Freeze { left, but, held: None }))
    }

    fn add_gate(
        &self,
        kind: OpKind,
        text: &str,
        patience: Duration,
        freeze: Option<Freeze>,
    ) -> Held {
        let mut state = self.shared.state();
        state.gates_made += 1;
        let id = state.gates_made;
        let path_contains = text.to_owned();
        let (arrived, forced) = Default::default();
        state.gates.push(Gate { id, kind, path_contains, patience, arrived, forced, freeze });
        Held { shared: Arc::clone(&self.shared), id }
    }

    /// Does `work` before every operation of this kind on a path that contains `text`, in place of
    /// what was to be done before, until the next call.
    pub(crate) fn before(&self, kind: OpKind, text: &str, work: impl Fn() + Send + Sync + 'static) {
        let hook = Hook { kind, path_contains: text.to_owned(), work: Arc::new(work) };
        self.shared.state().hook = Some(hook);
    }

    /// Does nothing before an operation any more.
    pub(crate) fn before_nothing(&self) {
        let hook = self.shared.state().hook.take();
        drop(hook);
    }

    /// Fails what `plan` says.
    pub(crate) fn set_fault(&self, plan: Option<FaultPlan>) {
        self.inner.set_fault(plan);
    }

    /// What a crash now leaves.
    pub(crate) fn crash(&self, mode: CrashMode) -> Self {
        Self { inner: self.inner.crash(mode, 0), shared: Arc::default() }
    }

    /// How many files have a name that contains `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        let names = self.inner.list(Path::new("db")).unwrap();
        names.iter().filter(|name| name.contains(text)).count()
    }

    /// What was done so far.
    pub(crate) fn done(&self) -> Vec<Op> {
        self.shared.state().done.clone()
    }

    /// What `work` does on this thread, and on this thread alone.
    pub(crate) fn done_by<R>(&self, work: impl FnOnce() -> R) -> (R, Vec<Op>) {
        let before = self.done().len();
        let result = work();
        let me = std::thread::current().id();
        let mut done = self.done().split_off(before);
        done.retain(|op| op.thread == me);
        (result, done)
    }

    /// One operation: at the gate first, then for real, then into the books.
    fn pass<R>(&self, kind: OpKind, path: &Path, operation: impl FnOnce() -> R) -> R {
        let path = path.to_string_lossy().into_owned();
        let hook = self.shared.state().hook.clone();
        if let Some(hook) = hook
            && hook.kind == kind
            && path.contains(&hook.path_contains)
        {
            (hook.work)();
        }
        let op = Op { thread: std::thread::current().id(), kind, path };
        let held = {
            let mut state = self.shared.state();
            let gate = state.gates.iter_mut().find_map(|gate| gate.meets(&op).then_some(gate));
            gate.map(|gate| {
                gate.arrived += 1;
                (gate.id, gate.patience)
            })
        };
        if let Some((id, patience)) = held {
            self.shared.changed.notify_all();
            if !self.shared.wait(patience, |state| state.gate(id).is_none_or(|gate| gate.forced))
                && let Some(gate) = self.shared.state().gate(id)
            {
                gate.forced = true;
            }
        }
        let result = operation();
        self.shared.state().done.push(op);
        self.shared.changed.notify_all();
        result
    }
}

/// A gate that is closed until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    shared: Arc<Shared>,
    id: u64,
}

impl Held {
    /// Waits until an operation stands at the gate.
    pub(crate) fn await_arrival(&self) {
        self.await_arrivals(1);
    }

    /// Waits until that many operations have come to the gate.
    pub(crate) fn await_arrivals(&self, count: usize) {
        let arrived =
            |state: &mut State| state.gate(self.id).is_some_and(|gate| gate.arrived >= count);
        assert!(self.shared.wait(PATIENCE, arrived), "nothing came to the gate");
    }

    /// The operation that is frozen here, once there is one; `None` if `ended` comes first.
    pub(crate) fn await_freeze(&self, ended: impl Fn() -> bool) -> Option<Op> {
        loop {
            // In this order: what ends has done all that it does.
            let at_end = ended();
            let mut state = self.shared.state();
            let held = state.gate(self.id).and_then(|gate| gate.freeze.as_ref()?.held.clone());
            if held.is_some() || at_end {
                return held;
            }
            drop(self.shared.changed.wait_timeout(state, Duration::from_millis(1)).unwrap());
        }
    }

    /// Whether an operation lost its patience: somebody must have waited for it.
    pub(crate) fn forced(&self) -> bool {
        self.shared.state().gate(self.id).is_some_and(|gate| gate.forced)
    }

    /// Opens the gate, which must have held so far.
    pub(crate) fn release(self) {
        let forced = self.forced();
        drop(self);
        assert!(!forced, "something waited for what was held");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.gates.retain(|gate| gate.id != self.id);
        }
        self.shared.changed.notify_all();
    }
}

#[derive(Debug)]
struct GatedFile {
    fs: GatedFs,
    path: PathBuf,
    inner: Arc<dyn FsFile>,
}

impl Fs for GatedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let kind = if mode == OpenMode::CreateNew { OpKind::Create } else { OpKind::Open };
        let inner = self.pass(kind, path, || self.inner.open(path, mode))?;
        Ok(Arc::new(GatedFile { fs: self.clone(), path: path.to_owned(), inner }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(OpKind::Create, path, || self.inner.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.pass(OpKind::List, dir, || self.inner.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(OpKind::Rename, from, || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(OpKind::Remove, path, || self.inner.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass(OpKind::SyncDir, dir, || self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.pass(OpKind::Lock, path, || self.inner.lock(path, shared, create))
    }
}

impl FsFile for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(OpKind::Read, &self.path, || self.inner.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.pass(OpKind::Write, &self.path, || self.inner.write_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.pass(OpKind::Sync, &self.path, || self.inner.sync_data())
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.fs.pass(OpKind::Sync, &self.path, || self.inner.sync_below(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.pass(OpKind::SetLen, &self.path, || self.inner.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.fs.pass(OpKind::Read, &self.path, || self.inner.len())
    }
}
