//! Model of the runs in a view, as several threads change them: a flush puts one in front, two
//! merges want neighbouring pairs that have a run in common. The manifest, what a run is, and the
//! order of the steps are copied from `engine::flush` and `engine::merge::step`; the update of the
//! view is shipped.

use super::update;
use crate::mvcc::models::check;
use crate::sync::models::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex, Published, lock};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// A merge looks for its pair before it locks the manifest.
    LooksBeforeLock,
    /// A merge does not look whether its pair is still there.
    NotLooked,
    /// The view is published after the manifest is unlocked.
    PublishesUnlocked,
    /// A merge publishes the runs that it has begun with, its pair replaced.
    KeepsWhatItRead,
    /// A flush puts its run behind the others.
    AddsBehind,
}

/// The versions of one key, newest first.
#[derive(Debug)]
struct Run {
    versions: Vec<u64>,
}

fn run(versions: &[u64]) -> Arc<Run> {
    Arc::new(Run { versions: versions.to_vec() })
}

/// Newest first.
type Runs = Vec<Arc<Run>>;

#[derive(Clone)]
struct View {
    sealed: Option<u64>,
    runs: Runs,
}

struct Db {
    fault: Fault,
    view: Published<View>,
    /// The runs as the edits so far have them: their versions.
    manifest: Mutex<Vec<Vec<u64>>>,
}

fn versions(runs: &Runs) -> Vec<Vec<u64>> {
    runs.iter().map(|run| run.versions.clone()).collect()
}

/// The place of a pair that is there as it was read, side by side.
fn place(runs: &Runs, pair: &[Arc<Run>; 2]) -> Option<usize> {
    let [newer, older] = pair;
    runs.windows(2).position(|two| Arc::ptr_eq(&two[0], newer) && Arc::ptr_eq(&two[1], older))
}

/// As [`place`], for a merge that does not look.
fn place_of_either(runs: &Runs, pair: &[Arc<Run>; 2]) -> Option<usize> {
    runs.iter().position(|run| pair.iter().any(|other| Arc::ptr_eq(run, other)))
}

impl Db {
    /// An edit and its view. `manifest` is locked by the caller.
    fn install(&self, derive: impl Fn(&View) -> View) {
        let mut manifest = lock(&self.manifest);
        let current = self.view.load_full();
        assert_eq!(*manifest, versions(&current.runs), "manifest and view differ under the lock");
        *manifest = versions(&derive(&current).runs);
        if self.fault == Fault::PublishesUnlocked {
            drop(manifest);
            update(&self.view, derive);
        } else {
            update(&self.view, derive);
        }
    }

    fn flush(&self) {
        let version = self.view.load_full().sealed.expect("one is sealed");
        let fresh = run(&[version]);
        self.install(|view| {
            let mut runs = view.runs.clone();
            let at = if self.fault == Fault::AddsBehind { runs.len() } else { 0 };
            runs.insert(at, Arc::clone(&fresh));
            View { sealed: None, runs }
        });
    }

    /// Merges the oldest run that has `version` and the one before it.
    fn merge(&self, version: u64) {
        let read = self.view.load_full();
        let at = read.runs.iter().position(|run| run.versions.contains(&version));
        let Some(at) = at.filter(|at| *at > 0) else { return };
        let pair = [Arc::clone(&read.runs[at - 1]), Arc::clone(&read.runs[at])];
        let merged = run(&[&*pair[0].versions, &*pair[1].versions].concat());
        let replaced = |runs: &Runs, at: usize| {
            let ours = |run: &&Arc<Run>| !pair.iter().any(|other| Arc::ptr_eq(run, other));
            let (above, rest) = runs.split_at(at);
            let below = rest.iter().filter(ours);
            above.iter().chain([&merged]).chain(below).cloned().collect::<Runs>()
        };
        let fault = self.fault;
        if fault == Fault::LooksBeforeLock && place(&self.view.load_full().runs, &pair).is_none() {
            return;
        }
        let looks = !matches!(fault, Fault::LooksBeforeLock | Fault::NotLooked);
        let derive = |view: &View| {
            let runs = if fault == Fault::KeepsWhatItRead { &read.runs } else { &view.runs };
            let at = if looks { place(runs, &pair) } else { place_of_either(runs, &pair) };
            let runs = at.map_or_else(|| runs.clone(), |at| replaced(runs, at));
            View { sealed: view.sealed, runs }
        };
        self.install(derive);
    }

    /// In every view: all versions, each once, newer ones in newer layers.
    fn check(&self) {
        let view = self.view.load_full();
        let runs = view.runs.iter().flat_map(|run| run.versions.iter().copied());
        let all: Vec<_> = view.sealed.into_iter().chain(runs).collect();
        assert_eq!(all, [4, 3, 2, 1], "a version is lost, doubled, or out of order");
    }
}

/// Starts a thread.
fn shared(db: &Arc<Db>, run: impl FnOnce(&Db) + 'static) -> JoinHandle<()> {
    let db = Arc::clone(db);
    thread::spawn(move || run(&db))
}

fn installs_keep_all(fault: Fault) {
    let runs = vec![run(&[3]), run(&[2]), run(&[1])];
    let manifest = Mutex::new(versions(&runs));
    let view = Published::new(Arc::new(View { sealed: Some(4), runs }));
    let db = Arc::new(Db { fault, view, manifest });
    let flush = shared(&db, Db::flush);
    let merges = [2, 1].map(|older| shared(&db, move |db| db.merge(older)));
    db.check();
    flush.join().expect("no thread panics");
    for merge in merges {
        merge.join().expect("no thread panics");
    }
    db.check();
}

/// I4, I6, I31.
#[test]
fn flushes_and_merges_lose_nothing_to_each_other() {
    let wrong = "a version is lost, doubled, or out of order";
    let faults = [
        (Fault::LooksBeforeLock, wrong),
        (Fault::NotLooked, wrong),
        (Fault::PublishesUnlocked, "manifest and view differ under the lock"),
        (Fault::KeepsWhatItRead, wrong),
        (Fault::AddsBehind, wrong),
    ];
    check("installs", installs_keep_all, &faults);
}
