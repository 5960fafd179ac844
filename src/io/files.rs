//! How many files stay open: a bound for all databases of the process, and the files that may be
//! closed and opened again under it.
//!
//! A [`SharedFile`] is opened when it is used and stays open until the bound takes it away:
//! segments at any time, logs once they are sealed and durable. One that is *pinned* stays open: it
//! is being written. Which are open is a list behind one lock, held for a push or for a look at
//! some flags; nothing is opened or closed under it.
//!
//! At any moment the open ones are at most the bound, and besides one for each read that is just
//! under way and one for each pinned file (I37). If the system has no descriptor left all the same,
//! because the program needs them for other things, the files that nobody is using are closed and
//! the call that needs one is tried again ([`Files::with_room`], of which `retried` has all calls).
//!
//! A file is opened again by its name. That is the same one as before for as long as only the
//! engine removes and renames; and if somebody else did, no wrong data comes of it, because
//! whatever is read is checked against what its reader expects there.

mod limit;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Fs, FsFile, OpenMode};
use crate::error::is_too_many_files;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, Slot, lock, wait_timeout};

/// How often an open is tried again while the system has no descriptor, and how long each of these
/// tries waits for one: reads that are under way give theirs back.
const TRIES: usize = 10;
const TRY_WAIT: Duration = Duration::from_millis(10);

/// The bound on open files, and those that are open.
#[derive(Debug)]
pub(crate) struct Files {
    bound: usize,
    /// Handles that are alive, whether in their slot or only in use.
    alive: AtomicUsize,
    /// Files that are pinned: they do not count against the bound.
    pinned: AtomicUsize,
    open: Mutex<OpenFiles>,
    /// Threads that wait for a descriptor, and what wakes them.
    waiting: AtomicUsize,
    closed: Condvar,
}

/// The files that are open, and where the last search for one to close ended.
#[derive(Debug, Default)]
struct OpenFiles {
    files: Vec<Arc<Cell>>,
    hand: usize,
}

/// The place of an open file, or of none.
#[derive(Debug)]
struct Cell {
    slot: Slot<OpenFile>,
    /// Used since the hand last passed.
    used: AtomicBool,
    /// Both change under the lock of the list only.
    listed: AtomicBool,
    pins: AtomicUsize,
}

/// An open file, counted for as long as it lives.
#[derive(Debug)]
struct OpenFile {
    file: Arc<dyn FsFile>,
    // Fields are dropped in this order: it is closed when it counts no more.
    _counted: Counted,
}

#[derive(Debug)]
struct Counted(Arc<Files>);

impl Drop for Counted {
    fn drop(&mut self) {
        // Relaxed: a count of its own. A thread that begins to wait now waits for a while only.
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
        if self.0.waiting.load(Ordering::Relaxed) > 0 {
            self.0.closed.notify_one();
        }
    }
}

impl Files {
    /// The files of this process, with a bound that the system's limit allows. The first call
    /// raises that limit as far as the process may.
    ///
    /// A forked child has its own: a thread of the parent may have held the locks of the parent's.
    pub(crate) fn of_process() -> &'static Arc<Self> {
        // What a run's threads share must not outlive the run.
        #[cfg(shuttle)]
        return Box::leak(Box::new(Self::new(limit::files_max())));
        #[cfg(not(shuttle))]
        Self::of_this_process()
    }

    #[cfg(not(shuttle))]
    fn of_this_process() -> &'static Arc<Self> {
        use super::Process;
        use crate::sync::OnceLock;

        struct PerProcess {
            process: Process,
            files: Arc<Files>,
            next: OnceLock<Box<PerProcess>>,
        }
        static FIRST: OnceLock<PerProcess> = OnceLock::new();
        let begin = || PerProcess {
            process: Process::this(),
            files: Self::new(limit::files_max()),
            next: OnceLock::new(),
        };
        let mut generation = FIRST.get_or_init(begin);
        while !generation.process.is_this() {
            generation = generation.next.get_or_init(|| Box::new(begin()));
        }
        &generation.files
    }

    /// At most `bound` files.
    pub(crate) fn new(bound: usize) -> Arc<Self> {
        let (alive, pinned, open) = Default::default();
        let (waiting, closed) = Default::default();
        Arc::new(Self { bound, alive, pinned, open, waiting, closed })
    }

    /// Whether more files are open than may stay so.
    fn is_over(&self) -> bool {
        let pinned = self.pinned.load(Ordering::Relaxed);
        self.alive.load(Ordering::Relaxed).saturating_sub(pinned) > self.bound
    }

    /// Opens a file that counts against the bound.
    fn open(self: &Arc<Self>, fs: &dyn Fs, file: &SharedPath) -> io::Result<OpenFile> {
        let counted = self.make_room();
        let file = fs.open(&file.path, file.mode)?;
        Ok(OpenFile { file, _counted: counted })
    }

    /// Counts one more, and closes others that are beyond the bound.
    fn make_room(self: &Arc<Self>) -> Counted {
        self.alive.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(self));
        // Twice: one for this, and one for what a use that has ended since has left too many.
        for _ in 0..2 {
            if !self.is_over() || !self.close_one() {
                break;
            }
        }
        counted
    }

    /// Does what needs a descriptor; where the system has none, gives back those that are not in
    /// use, and tries again.
    pub(crate) fn with_room<R>(&self, open: impl Fn() -> io::Result<R>) -> io::Result<R> {
        let mut result = open();
        for _ in 0..TRIES {
            if !result.as_ref().is_err_and(is_too_many_files) {
                break;
            }
            let mut closed = false;
            while self.close_one() {
                closed = true;
            }
            if !closed {
                self.wait();
            }
            result = open();
        }
        result
    }

    /// Waits until a file is closed, or for a while.
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let clock = lock(&self.open);
        drop(wait_timeout(&self.closed, clock, TRY_WAIT));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes a file that has not been used for a while, or as soon as its use ends. Returns
    /// whether there was one to close.
    fn close_one(&self) -> bool {
        let victim = lock(&self.open).victim();
        victim.is_some()
    }

    fn list(&self, cell: &Arc<Cell>) {
        let mut clock = lock(&self.open);
        if cell.listed.swap(true, Ordering::Relaxed) {
            return;
        }
        if clock.files.len() > 2 * self.bound + self.pinned.load(Ordering::Relaxed) {
            clock.forget_closed();
        }
        clock.files.push(Arc::clone(cell));
    }

    fn pin(&self, cell: &Cell) {
        // Under the lock, so that no search is about to take it.
        let _clock = lock(&self.open);
        if cell.pins.fetch_add(1, Ordering::Relaxed) == 0 {
            self.pinned.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unpin(&self, cell: &Cell) {
        let _clock = lock(&self.open);
        if cell.pins.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.pinned.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl OpenFiles {
    /// Takes the next file that was not used since the hand passed it, and forgets those that are
    /// closed by now. The caller drops it after the lock.
    fn victim(&mut self) -> Option<Arc<OpenFile>> {
        // Each is met twice at most: once to take its second chance away.
        let mut left = 2 * self.files.len();
        while left > 0 {
            left -= 1;
            if self.hand >= self.files.len() {
                self.hand = 0;
            }
            let cell = self.files.get(self.hand)?;
            let pinned = cell.pins.load(Ordering::Relaxed) > 0;
            if pinned || cell.used.swap(false, Ordering::Relaxed) {
                self.hand += 1;
                continue;
            }
            let handle = cell.slot.take();
            cell.listed.store(false, Ordering::Relaxed);
            self.files.swap_remove(self.hand);
            if handle.is_some() {
                return handle;
            }
        }
        None
    }

    /// Forgets the files that are closed.
    fn forget_closed(&mut self) {
        self.files.retain(|cell| {
            let open = cell.slot.load().is_some();
            cell.listed.store(open, Ordering::Relaxed);
            open
        });
    }
}

/// A file system for what keeps it.
#[cfg(test)]
pub(crate) fn kept(fs: &(impl Fs + Clone)) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

#[derive(Debug)]
struct SharedPath {
    path: Arc<PathBuf>,
    mode: OpenMode,
}

/// A file that is open while it is used, and for as long afterwards as the bound allows.
#[derive(Debug)]
pub(crate) struct SharedFile {
    files: Arc<Files>,
    fs: Arc<dyn Fs>,
    /// How it is opened again.
    name: SharedPath,
    cell: Arc<Cell>,
}

impl SharedFile {
    /// Opens a file.
    pub(super) fn open(
        files: &Arc<Files>,
        fs: &Arc<dyn Fs>,
        path: &Arc<PathBuf>,
        mode: OpenMode,
    ) -> io::Result<Self> {
        let file = Self::unlisted(files, fs, path, (mode, mode))?;
        files.list(&file.cell);
        Ok(file)
    }

    /// Creates a file, which stays open for as long as the pin lives; where it is opened again
    /// later, as `again` says.
    pub(super) fn create(
        files: &Arc<Files>,
        fs: &Arc<dyn Fs>,
        path: &Arc<PathBuf>,
        again: OpenMode,
    ) -> io::Result<(Arc<Self>, Pin)> {
        let file = Arc::new(Self::unlisted(files, fs, path, (OpenMode::CreateNew, again))?);
        // Before it is listed: a search for a file to close would find it in between, and it
        // would be opened again as `again` says, which may be for reading.
        files.pin(&file.cell);
        let pin = Pin(Arc::clone(&file));
        files.list(&file.cell);
        Ok((file, pin))
    }

    /// Opens a file as `mode` says, and later as `again` does. No search for one to close finds it.
    fn unlisted(
        files: &Arc<Files>,
        fs: &Arc<dyn Fs>,
        path: &Arc<PathBuf>,
        (mode, again): (OpenMode, OpenMode),
    ) -> io::Result<Self> {
        let name = SharedPath { path: Arc::clone(path), mode };
        let handle = files.open(fs.as_ref(), &name)?;
        let slot = Slot::empty();
        slot.fill(Arc::new(handle));
        let used = AtomicBool::new(true);
        let listed = AtomicBool::new(false);
        let cell = Arc::new(Cell { slot, used, listed, pins: AtomicUsize::new(0) });
        let name = SharedPath { mode: again, ..name };
        Ok(Self { files: Arc::clone(files), fs: Arc::clone(fs), name, cell })
    }

    /// Lends the open file. If it is open, that is a load and a comparison.
    #[inline]
    pub(super) fn with<R>(
        &self,
        lend: impl FnOnce(&Arc<dyn FsFile>) -> io::Result<R>,
    ) -> io::Result<R> {
        let open = self.cell.slot.load();
        if let Some(handle) = open.as_ref() {
            // Stores only a change, so that the line stays shared.
            if !self.cell.used.load(Ordering::Relaxed) {
                self.cell.used.store(true, Ordering::Relaxed);
            }
            return lend(&handle.file);
        }
        drop(open);
        lend(&self.open_again()?.file)
    }

    #[cold]
    fn open_again(&self) -> io::Result<Arc<OpenFile>> {
        let handle = Arc::new(self.files.open(self.fs.as_ref(), &self.name)?);
        // Another thread may have been quicker: then this handle goes with its use.
        self.cell.slot.fill(Arc::clone(&handle));
        self.cell.used.store(true, Ordering::Relaxed);
        self.files.list(&self.cell);
        Ok(handle)
    }

    /// Opens it if it is not open, and keeps it so for as long as the result lives.
    pub(super) fn pin(self: &Arc<Self>) -> io::Result<Pin> {
        self.files.pin(&self.cell);
        let pin = Pin(Arc::clone(self));
        self.with(|_| Ok(pin))
    }

    /// Closes it, now or when its use ends. It is opened again when it is used.
    pub(super) fn close(&self) {
        drop(self.cell.slot.take());
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        // The list has the cell for a while.
        self.close();
    }
}

/// Keeps a file open. Let go of only when everything written to it is durable: an error of writing
/// it back might be nobody's to see.
#[derive(Debug)]
pub(crate) struct Pin(Arc<SharedFile>);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.files.unpin(&self.0.cell);
    }
}

#[cfg(test)]
mod tests;
