//! A file system that panics: at each of its calls in turn, on whichever thread comes with it.
//!
//! Whatever panics, reads and scans go on, writes and syncs are answered with an error from then on
//! or go on too, the close ends all threads and gives the directory back, and the next open finds
//! what was acknowledged.

use std::io;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::{self, ThreadId};

use alluvium::io::{Fs, FsFile, FsLock, OpenMode, SimFs};
use alluvium::{Db, Error, Snapshot, Value};

use crate::oracle::Demand;
use crate::power::{Act, beside_merges, put, small_workload, workload};
use crate::world::layers::{FileLayer, FsLayer, Layered, LayeredFile};
use crate::world::{DEFAULT, DIR, Lie, World, observe};
use crate::{Check, env, seeds};

/// No call at all.
const NEVER: u64 = u64::MAX;

const PLANTED: &str = "planted panic";

/// Which call panics, of those on a path that contains a text.
#[derive(Debug)]
struct Plan {
    on: &'static str,
    calls: AtomicU64,
    at: AtomicU64,
    /// The thread whose next call panics.
    armed: Mutex<Option<ThreadId>>,
    fired: AtomicU64,
}

impl Plan {
    fn new(on: &'static str, at: u64) -> Arc<Self> {
        quiet();
        let at = AtomicU64::new(at);
        let (calls, armed, fired) = Default::default();
        Arc::new(Self { on, calls, at, armed, fired })
    }

    fn meet(&self, path: &Path) {
        if !path.to_string_lossy().contains(self.on) {
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let this = thread::current().id();
        let armed = self.armed.lock().unwrap().take_if(|thread| *thread == this).is_some();
        if armed || call == self.at.load(Ordering::SeqCst) {
            self.fired.fetch_add(1, Ordering::SeqCst);
            std::panic::panic_any(PLANTED);
        }
    }

    /// Has the next call of this thread panic. The log thread comes with calls on logs at any time.
    fn arm(&self) {
        *self.armed.lock().unwrap() = Some(thread::current().id());
    }

    fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst) > 0
    }
}

/// Keeps planted panics, of which there are many, from being printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if info.payload().downcast_ref() != Some(&PLANTED) {
                usual(info);
            }
        }));
    });
}

#[derive(Debug)]
struct PanickingFs(SimFs, Arc<Plan>);

impl FsLayer for PanickingFs {
    fn inner(&self) -> &dyn Fs {
        &self.0
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        self.1.meet(path);
        let file = self.0.open(path, mode)?;
        let plan = Arc::clone(&self.1);
        Ok(Arc::new(LayeredFile(PanickingFile(file, path.into(), plan))))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.1.meet(dir);
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.1.meet(from);
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.1.meet(path);
        self.0.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.1.meet(dir);
        self.0.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.1.meet(dir);
        self.0.free_bytes(dir)
    }

    fn lock(&self, path: &Path, shared: bool, create: bool) -> io::Result<Box<dyn FsLock>> {
        self.1.meet(path);
        self.0.lock(path, shared, create)
    }
}

#[derive(Debug)]
struct PanickingFile(Arc<dyn FsFile>, Box<Path>, Arc<Plan>);

impl FileLayer for PanickingFile {
    fn inner(&self) -> &dyn FsFile {
        &*self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.2.meet(&self.1);
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.2.meet(&self.1);
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.2.meet(&self.1);
        self.0.sync_data()
    }

    fn sync_below(&self, len: u64) -> io::Result<()> {
        self.2.meet(&self.1);
        self.0.sync_below(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.2.meet(&self.1);
        self.0.set_len(len)
    }
}

fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// A snapshot, and what it saw while nothing had panicked.
type Seen = (Snapshot, Vec<(Value, Value)>);

fn look(db: &Db) -> Check<Seen> {
    let snapshot = db.snapshot();
    let rows: Result<Vec<_>, Error> = snapshot.range(..).collect();
    Ok((snapshot, rows.map_err(|error| error.to_string())?))
}

/// One act of a world whose calls may panic. A call that does has not been acknowledged.
fn act(world: &mut World, act: Act) -> Check<()> {
    match act {
        Act::Do(effect) => world.step(effect).map(drop),
        Act::Reopen => {
            close(world)?;
            caught(|| world.open()).unwrap_or(Ok(true)).map(drop)
        }
        Act::Sync => caught(|| world.barrier(Db::sync)).unwrap_or(Ok(true)).map(drop),
        Act::Flush => caught(|| world.barrier(Db::flush)).unwrap_or(Ok(true)).map(drop),
        Act::Compact => caught(|| world.barrier(Db::compact)).unwrap_or(Ok(true)).map(drop),
        Act::Begin(..) | Act::Commit(_) | Act::Lose => Err("no workload here has these".into()),
    }
}

/// Closes twice, and lets go. Neither panics.
fn close(world: &mut World) -> Check<()> {
    if world.db.is_some() {
        let closed = caught(|| world.barrier(Db::close)).ok_or("a close panicked")?;
        closed?;
        let again = caught(|| world.db().close()).ok_or("a second close panicked")?;
        again.map_err(|error| format!("a second close failed: {error}"))?;
    }
    world.abandon();
    Ok(())
}

/// Runs `acts` with the call number `at` panicking, and checks everything after. Returns whether
/// there were that many calls.
fn run_under(at: u64, compactors: usize, acts: Vec<Act>) -> Check<bool> {
    let fs = SimFs::new();
    let plan = Plan::new("", at);
    let mut world = World::new(fs.clone(), Lie::None);
    world.layer = Some(Arc::new(Layered(PanickingFs(fs, Arc::clone(&plan)))));
    world.faulty = true;
    world.setup.compactors = compactors;
    caught(|| world.open()).unwrap_or(Ok(true))?;
    let mut seen: Option<Seen> = None;
    for (index, one) in acts.into_iter().enumerate() {
        if matches!(one, Act::Reopen) {
            seen = None;
        }
        act(&mut world, one)?;
        if seen.is_none() && index % 8 == 7 && !plan.fired() && world.db.is_some() {
            seen = caught(|| look(world.db())).transpose()?;
        }
    }
    let fired = plan.fired();
    plan.at.store(NEVER, Ordering::SeqCst);
    check_after(&mut world, &plan, seen)?;
    Ok(fired)
}

fn check_after(world: &mut World, plan: &Arc<Plan>, seen: Option<Seen>) -> Check<()> {
    if world.db.is_some() {
        let live = caught(|| check_live(world, plan)).ok_or("a read or a write panicked")?;
        live?;
    }
    if let Some((snapshot, rows)) = seen {
        let again: Result<Vec<_>, Error> = snapshot.range(..).collect();
        if again.map_err(|error| error.to_string())? != rows {
            return Err("a snapshot sees something else after a panic".to_owned());
        }
    }
    close(world)?;
    world.layer = None;
    // Threads own the engine, and that owns the file system.
    if Arc::strong_count(plan) != 1 {
        return Err("a thread, or what it holds, has outlived the close".to_owned());
    }
    world.faulty = false;
    world.recover(Demand::Acknowledged)?;
    world.step(put(DEFAULT, 50, 40, alluvium::Durability::Sync))?;
    world.reopen()?;
    world.history.explain(&observe(world.db())?, Demand::Live).map(drop)
}

/// Reads are right; writes go on, or are told that a thread panicked, and health says the same. The
/// thread may be about to stop the writer yet.
fn check_live(world: &mut World, plan: &Plan) -> Check<()> {
    let found = observe(world.db())?;
    world.history.explain(&found, Demand::Live).map_err(|what| format!("live: {what}"))?;
    let before = world.db().health().writer_stopped;
    let errors = world.errors.len();
    world.step(put(DEFAULT, 51, 40, alluvium::Durability::Sync))?;
    let refused = world.errors.len() > errors;
    let after = world.db().health().writer_stopped;
    match (before, after) {
        (Some(error), _) if !refused => Err(format!("a stopped writer wrote: {error}")),
        (_, None) if refused => Err(format!("a write without cause: {:?}", world.errors.last())),
        (_, Some(_)) if !plan.fired() => Err("the writer stopped without a panic".to_owned()),
        (_, Some(error)) if !is_panic(&error) => Err(format!("stopped by something else: {error}")),
        _ => Ok(()),
    }
}

fn is_panic(error: &Error) -> bool {
    matches!(error, Error::WriterStopped { cause, .. } if matches!(**cause, Error::Panicked { .. }))
}

/// Has each call panic in turn, from `first` on.
fn enumerate(stride: u64, compactors: usize, acts: impl Fn() -> Vec<Act>) -> (u64, u64) {
    let mut runs = 0;
    let mut at = env("ALLUVIUM_SEED", 1) % stride;
    // Threads make the count of calls vary, so the end is reached when none panics twice.
    let mut survived = 0;
    while survived < 2 {
        let fired = run_under(at, compactors, acts());
        let fired = fired.unwrap_or_else(|what| panic!("call {at} panicked: {what}"));
        survived = if fired { 0 } else { survived + 1 };
        at += if fired { stride } else { 0 };
        runs += 1;
    }
    (at, runs)
}

/// Compactors meet some of them, beside flushes and drops.
#[test]
fn a_panic_beside_merges_leaves_readers_the_close_and_the_next_open() {
    for seed in seeds() {
        let stride = env("ALLUVIUM_PANIC_STRIDE", 11);
        let (calls, runs) = enumerate(stride, 2, || beside_merges(seed));
        println!("seed {seed}: {calls} calls, {runs} runs beside merges");
    }
}

#[test]
fn a_panic_of_any_call_leaves_readers_the_close_and_the_next_open() {
    let (calls, runs) = enumerate(1, 0, small_workload);
    println!("{calls} calls, {runs} runs of the small workload");
    for seed in seeds() {
        let stride = env("ALLUVIUM_PANIC_STRIDE", 3);
        let (calls, runs) = enumerate(stride, 0, || workload(seed));
        println!("seed {seed}: {calls} calls, {runs} runs");
        assert!(calls > 250, "the workload does too little");
    }
}

/// A database on a file system whose call on a log panics once it is armed.
fn open() -> (Db, SimFs, Arc<Plan>) {
    open_under(Plan::new(".wal", NEVER))
}

fn open_under(plan: Arc<Plan>) -> (Db, SimFs, Arc<Plan>) {
    let fs = SimFs::new();
    let layered = Layered(PanickingFs(fs.clone(), Arc::clone(&plan)));
    let builder = Db::builder(DIR).fs(Arc::new(layered)).compaction_threads(0);
    (builder.sync_every(std::time::Duration::ZERO).open().unwrap(), fs, plan)
}

/// Symptom: after a panic of `write_at` in the commit section scans over tombstones panicked, those
/// of snapshots too, and so did the close, whose threads went on and kept the directory locked for
/// good. Mechanism: each took the section's lock, which was poisoned. Fix: the policy in `sync`.
#[test]
fn a_panic_in_the_commit_section_stops_the_writer_and_nothing_else() {
    let (db, fs, plan) = open();
    let keys = || (0..500).map(|i| format!("{i:03}"));
    for key in keys() {
        db.put(key, "v").unwrap();
    }
    let before = db.snapshot();
    for key in keys().take(499) {
        db.delete(key).unwrap();
    }
    let after = db.snapshot();
    plan.arm();
    assert!(caught(|| db.put("new", "v")).is_none(), "the panic is the caller's");
    for _ in 0..3 {
        assert_eq!((db.range(..).count(), db.range(..).rev().count()), (1, 1));
        assert_eq!((before.range(..).count(), after.range(..).count()), (500, 1));
    }
    assert_eq!(db.get("new").unwrap(), None);
    assert_eq!(db.get("499").unwrap().unwrap(), "v");
    let stopped = db.put("new", "v").unwrap_err();
    assert!(is_panic(&stopped), "{stopped}");
    let sentence = "writing has stopped, because an earlier call failed (a thread panicked during \
                    a write; its own message says why); reads go on: reopen the database to \
                    recover";
    assert_eq!(stopped.to_string(), sentence);
    for refused in [
        db.delete("499").map(drop),
        db.sync(),
        db.flush(),
        db.compact(),
        db.keyspace("new").map(drop),
        db.insert_if_absent("new", "v").map(drop),
        db.try_put("new", "v").map(|_| ()),
    ] {
        assert!(is_panic(refused.as_ref().unwrap_err()), "{refused:?}");
    }
    assert!(is_panic(&db.health().writer_stopped.unwrap()));
    assert!(is_panic(&db.close().unwrap_err()));
    db.close().unwrap();
    drop((before, after, db));
    assert_eq!(Arc::strong_count(&plan), 1, "all threads have ended");
    let db = Db::builder(DIR).fs(Arc::new(fs)).open().unwrap();
    assert_eq!(db.range(..).count(), 1);
}

/// Symptom: the process was aborted by a panic inside a panic. Mechanism: a conditional write that
/// holds its key gives it back in the commit section, also while it unwinds.
#[test]
fn a_conditional_write_that_panics_while_it_holds_its_key_does_not_abort() {
    let (db, _, plan) = open();
    let mut tries = 0;
    let updated = caught(|| {
        db.update("k", |_| {
            tries += 1;
            // Each spoils this try; so many have the key held.
            if tries <= 8 {
                db.put("k", tries.to_string()).unwrap();
            } else {
                plan.arm();
            }
            Some("updated".into())
        })
    });
    assert!(updated.is_none() && tries > 8, "{tries} tries, {updated:?}");
    assert_eq!(db.get("k").unwrap().unwrap(), "8");
    assert!(is_panic(&db.put("k", "v").unwrap_err()));
    assert!(is_panic(&db.close().unwrap_err()));
}

/// Symptom: after a sync that panicked each later one panicked too.
#[test]
fn a_panic_in_a_sync_is_a_failed_sync_for_all_others() {
    let (db, _, plan) = open();
    db.put("k", "v").unwrap();
    plan.arm();
    assert!(caught(|| db.sync()).is_none(), "the panic is the leader's");
    for refused in [db.sync(), db.put_with("k", "w", alluvium::Durability::Sync).map(drop)] {
        assert!(is_panic(refused.as_ref().unwrap_err()), "{refused:?}");
    }
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
    assert!(is_panic(&db.close().unwrap_err()));
}

/// The close itself meets the panic, on its own thread.
#[test]
fn a_panic_in_the_close_is_an_error_of_it() {
    let (db, fs, plan) = open();
    db.put("k", "v").unwrap();
    plan.arm();
    assert!(is_panic(&db.close().unwrap_err()));
    drop(db);
    assert_eq!(Arc::strong_count(&plan), 1, "all threads have ended");
    let db = Db::builder(DIR).fs(Arc::new(fs)).open().unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
}

/// Symptom: where the flush thread had panicked the close said that the database was closed, not
/// what had happened. Mechanism: it asks for a flush, nobody answers, and to others who are not
/// answered once a close has begun it says just that. Fix: before the close has told the threads to
/// end, only a panic leaves it without an answer.
#[test]
fn a_panic_on_the_flush_thread_is_an_error_of_the_close() {
    for before in [false, true] {
        let (db, fs, plan) = open_under(Plan::new(".seg", 0));
        db.put("k", "v").unwrap();
        if before {
            assert!(is_panic(&db.flush().unwrap_err()));
        }
        let closed = db.close().unwrap_err();
        assert!(is_panic(&closed), "{closed}");
        drop(db);
        assert_eq!(Arc::strong_count(&plan), 1, "all threads have ended");
        let db = Db::builder(DIR).fs(Arc::new(fs)).open().unwrap();
        assert_eq!(db.get("k").unwrap().unwrap(), "v");
    }
}
