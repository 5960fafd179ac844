//! One opening of the database with all its threads at work, and what is watched meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alluvium::io::SimFs;
use alluvium::{Db, Keyspace};

use crate::Random;
use crate::ledger::{Ledger, WRITERS};

/// Files of the database at most, whatever was written: those of a megabyte of live data in the
/// smallest segments, of prepared and used logs, and of what merges have under way.
const FILES_MAX: u64 = 400;

/// Bytes of all memtables together, as the database is told, and what it may need besides.
pub(crate) const MEMORY_BYTES: u64 = 4 << 20;
const MEMORY_SLACK: u64 = 1 << 20;

/// What is longer is told with its reason. Never a failure: a machine may be busy.
const LONG: Duration = Duration::from_millis(10);

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Disk(PathBuf),
    Simulated(SimFs),
}

/// The longest call of a kind, and what stood in its way.
#[derive(Debug, Default)]
pub(crate) struct Longest(Mutex<(Duration, String)>);

impl Longest {
    pub(crate) fn note(&self, took: Duration, cause: impl FnOnce() -> String) {
        let mut longest = self.0.lock().unwrap();
        if took > longest.0 {
            *longest = (took, if took > LONG { cause() } else { String::new() });
        }
    }
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.0.lock().unwrap();
        write!(f, "{:.1?}{}", longest.0, longest.1)
    }
}

/// What was seen at most, over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) files: AtomicU64,
    pub(crate) memtable_bytes: AtomicU64,
    pub(crate) descriptors: AtomicU64,
}

pub(crate) struct Round<'a> {
    pub(crate) db: Db,
    pub(crate) keyspaces: [Keyspace; 2],
    pub(crate) ledger: &'a Ledger,
    pub(crate) place: &'a Place,
    pub(crate) peaks: &'a Peaks,
    pub(crate) longest_write: &'a Longest,
    pub(crate) longest_read: &'a Longest,
    /// Operations of the writers, reads, and writes that found no room, in this round.
    pub(crate) written: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) refused: AtomicU64,
    over: AtomicBool,
}

/// Ends the round for all when its thread panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        db: Db,
        ledger: &'a Ledger,
        place: &'a Place,
        peaks: &'a Peaks,
        longest: &'a [Longest; 2],
    ) -> Self {
        let keyspaces = ["a", "b"].map(|name| db.keyspace(name).unwrap());
        Self {
            db,
            keyspaces,
            ledger,
            place,
            peaks,
            longest_write: &longest[0],
            longest_read: &longest[1],
            written: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Runs all threads until each writer has done so many operations.
    pub(crate) fn run(&self, operations: u64, seed: u64) {
        let mut random = Random::new(seed);
        thread::scope(|scope| {
            let roles: [fn(&Self, &mut Random); 5] =
                [Self::read, Self::scan, Self::hold, Self::pass, Self::upkeep];
            for role in roles {
                let mut random = Random::new(random.next());
                scope.spawn(move || {
                    let _ends = Ends(&self.over);
                    while !self.is_over() {
                        role(self, &mut random);
                    }
                });
            }
            let seed = random.next();
            scope.spawn(move || self.fill_the_disk(seed));
            let seeds = [(); WRITERS].map(|()| random.next());
            let writers = seeds.iter().enumerate().map(|(writer, &seed)| {
                scope.spawn(move || {
                    let _ends = Ends(&self.over);
                    self.write(writer, operations, seed);
                })
            });
            let writers: Vec<_> = writers.collect();
            let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            self.over.store(true, Ordering::SeqCst);
            assert!(ended.iter().all(Result::is_ok), "a writer has failed");
        });
        self.check_all();
    }

    /// Now and then no byte is free, until writers have noticed.
    fn fill_the_disk(&self, seed: u64) {
        let Place::Simulated(fs) = self.place else { return };
        let _ends = Ends(&self.over);
        let mut random = Random::new(seed);
        while !self.is_over() {
            let after = self.written.load(Ordering::Relaxed) + 200 + random.next() % 400;
            self.wait_until(|| self.written.load(Ordering::Relaxed) >= after);
            fs.set_capacity(Some(fs.used()));
            let refused = self.refused.load(Ordering::Relaxed) + 8;
            let written = self.written.load(Ordering::Relaxed) + 300;
            self.wait_until(|| {
                self.refused.load(Ordering::Relaxed) >= refused
                    || self.written.load(Ordering::Relaxed) >= written
            });
            fs.set_capacity(None);
        }
    }

    fn wait_until(&self, arrived: impl Fn() -> bool) {
        while !arrived() && !self.is_over() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Everything once more, with nobody else at work.
    fn check_all(&self) {
        let mut random = Random::new(0);
        (0..8).for_each(|_| self.scan(&mut random));
        for cell in &self.ledger.cells {
            let found = || self.keyspaces[cell.keyspace()].get(cell.key());
            assert_eq!(cell.acked(), cell.begun(), "a write that nobody has finished");
            cell.check_now(found, "the check of all");
        }
        self.check_counted();
    }

    /// What must not grow, whatever goes on.
    pub(crate) fn watch(&self) {
        let files = match self.place {
            Place::Disk(path) => std::fs::read_dir(path).unwrap().count(),
            Place::Simulated(fs) => fs.files("data").len(),
        } as u64;
        let stats = self.db.stats();
        // Of this process, where the system says so: of other tests too, which are few.
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        self.peaks.files.fetch_max(files, Ordering::Relaxed);
        self.peaks.memtable_bytes.fetch_max(stats.memtable_bytes, Ordering::Relaxed);
        self.peaks.descriptors.fetch_max(descriptors, Ordering::Relaxed);
        assert!(files <= FILES_MAX, "{files} files: {stats:?}");
        assert!(descriptors <= 2 * FILES_MAX, "{descriptors} open files");
        assert!(stats.memtable_bytes <= MEMORY_BYTES + MEMORY_SLACK, "{stats:?}");
    }

    /// What a long call may have waited for, as far as database and system have counted it;
    /// `before` is what [`queued`] said a few calls earlier.
    pub(crate) fn cause(&self, before: Duration) -> String {
        let stats = self.db.stats();
        format!(
            " ({:.1?} of it the thread was ready and had no processor; last stall {:?}; so far in \
             the round {} stalls, {} paced, {} for a log, {} on a full disk)",
            queued().saturating_sub(before),
            stats.stall_last,
            stats.stalls,
            stats.paced,
            stats.stalls_log,
            stats.refused_full
        )
    }
}

/// How long this thread has been ready to run while others ran; zero where the system does not say.
pub(crate) fn queued() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// The memory of this process that is resident, where the system says so.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Operations a second.
pub(crate) fn rate(operations: u64, since: Instant) -> u64 {
    (operations as f64 / since.elapsed().as_secs_f64()) as u64
}
