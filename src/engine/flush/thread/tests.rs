//! What waits for what on the flush thread: counted, never timed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::engine::flush::desk::PIECE_ENTRIES;
use crate::engine::manifest;
use crate::engine::threads::background::Threads;
use crate::engine::write::put;
use crate::ids::KEYSPACE_DEFAULT;
use crate::io::testing::{FileLayer, FsLayer, Layered, LayeredFile};
use crate::io::{FaultPlan, Fs, FsFile, OpKind, OpenMode, SimFs};
use crate::options::{Durability, Options};
use crate::sync::Arc;
use crate::sync::channel::{Sender, bounded, unbounded};

/// Opens with room for so much that nothing is flushed on its own account.
fn open(fs: Arc<dyn Fs>) -> (Arc<Engine>, Threads) {
    let options = Options {
        memtable_bytes: 1 << 20,
        flush_bytes: 1 << 29,
        memory_bytes: 1 << 30,
        sync_every: std::time::Duration::ZERO,
        ..Options::default()
    };
    Engine::open(fs, PathBuf::from("data"), options, None).unwrap()
}

fn put(engine: &Engine, key: &str) {
    let at = Durability::Buffered;
    put::write_one(engine, KEYSPACE_DEFAULT, key.as_bytes(), Some(b"v"), at).unwrap();
}

fn fail_flushes(fs: &SimFs) {
    let plan = FaultPlan::new(OpKind::Create).on(".seg").error(io::ErrorKind::PermissionDenied);
    fs.set_fault(Some(plan.sticky()));
}

/// Symptom: a close waited for a try of a failing flush for each memtable and each request before
/// it. Mechanism: jobs were done one by one, and each did what the next one would do again. Fix:
/// what has arrived is taken in first, and one try answers all who asked before it began.
#[test]
fn a_close_waits_for_one_try_of_many() {
    let fs = SimFs::new();
    let (engine, threads) = open(Arc::new(fs.clone()));
    let core = &engine.core;
    put(&engine, "k");
    rotate::seal_active(&engine).unwrap();
    // The first flush stands at the manifest while the others queue up behind it.
    let manifest = manifest::locked(core).unwrap();
    fail_flushes(&fs);
    let ask = || {
        let (reply, answer) = bounded(1);
        core.send_flush(FlushJob::Flush { reply });
        answer
    };
    // It has taken in what had arrived once it says that no batch waits.
    core.pace.batch_waits.store(true, Ordering::Relaxed);
    let first = ask();
    while core.pace.batch_waits.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    for i in 0..20 {
        put(&engine, &format!("k {i}"));
        rotate::seal_active(&engine).unwrap();
    }
    assert!(core.view.load().sealed.len() > 16, "each of them makes a flush due");
    let answers: Vec<_> = (0..30).map(|_| ask()).collect();
    for _ in 0..30 {
        core.send_flush(FlushJob::Pressure);
        core.send_flush(FlushJob::Cleanup);
    }
    let queued = core.flush_jobs.len();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| engine.close());
        while core.flush_jobs.len() == queued {
            std::thread::yield_now();
        }
        drop(manifest);
        closing.join().unwrap().unwrap_err();
    });
    first.recv().unwrap().unwrap_err();
    for answer in answers {
        answer.recv().unwrap().unwrap_err();
    }
    threads.join();
    assert_eq!(fs.fault_fired(), 2, "the first flush, and one for all behind it");
}

#[test]
fn a_failing_flush_backs_off_unless_somebody_asks() {
    let fs = SimFs::new();
    let (engine, threads) = open(Arc::new(fs.clone()));
    let (jobs, work) = unbounded();
    let mut desk = Desk::new(&work);
    put(&engine, "k");
    rotate::seal_active(&engine).unwrap();
    engine.core.gate.add(1 << 29);
    assert!(may_flush(&mut desk, &engine.core));
    // As if a try had failed that ended far ahead.
    desk.flush_tries.note(false, Instant::now() + Duration::from_secs(3_600));
    desk.take(FlushJob::Sealed);
    desk.take(FlushJob::Pressure);
    assert!(!may_flush(&mut desk, &engine.core));
    fail_flushes(&fs);
    for _ in 0..2 {
        let (reply, answer) = bounded(1);
        jobs.send(FlushJob::Flush { reply }).unwrap();
        desk.serve(&engine);
        answer_flushes(&mut desk, &engine);
        answer.recv().unwrap().unwrap_err();
    }
    engine.core.gate.sub(1 << 29);
    fs.set_fault(None);
    engine.close().unwrap();
    threads.join();
}

/// A disk that tells a test what is done to segments.
#[derive(Debug)]
struct Watched<W> {
    inner: SimFs,
    watch: Arc<W>,
}

trait Watch: std::fmt::Debug + Send + Sync + 'static {
    fn meets(&self, kind: OpKind);
}

impl<W: Watch> Watched<W> {
    fn meets(&self, kind: OpKind, path: &Path) {
        if path.extension().is_some_and(|extension| extension == "seg") {
            self.watch.meets(kind);
        }
    }
}

/// A segment that tells when it is made durable.
#[derive(Debug)]
struct WatchedFile<W> {
    file: Arc<dyn FsFile>,
    watch: Arc<W>,
}

impl<W: Watch> FileLayer for WatchedFile<W> {
    fn inner(&self) -> &dyn FsFile {
        &*self.file
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch.meets(OpKind::Sync);
        self.file.sync_data()
    }
}

impl<W: Watch> FsLayer for Watched<W> {
    fn inner(&self) -> &dyn Fs {
        &self.inner
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = self.inner.open(path, mode)?;
        if mode != OpenMode::CreateNew || path.extension().is_none_or(|end| end != "seg") {
            return Ok(file);
        }
        self.watch.meets(OpKind::Create);
        let watch = Arc::clone(&self.watch);
        Ok(Arc::new(LayeredFile(WatchedFile { file, watch })))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.meets(OpKind::Remove, path);
        self.inner.remove(path)
    }
}

type Answers = (Receiver<Result<()>>, Receiver<Result<()>>);

/// Asks while a segment is begun, and looks for the answers when it is done.
#[derive(Debug)]
struct Asks {
    jobs: Sender<FlushJob>,
    asked: crate::sync::Mutex<Option<Answers>>,
    answered: crate::sync::atomic::AtomicBool,
}

impl Watch for Asks {
    fn meets(&self, kind: OpKind) {
        let mut asked = crate::sync::lock(&self.asked);
        if kind == OpKind::Create {
            let (reply, checked) = bounded(1);
            self.jobs.send(FlushJob::CheckManifest { reply }).unwrap();
            let (reply, replaced) = bounded(1);
            self.jobs.send(FlushJob::Replace { fresh: Vec::new(), reply }).unwrap();
            self.jobs.send(FlushJob::Evict).unwrap();
            *asked = Some((checked, replaced));
        } else if let Some((checked, replaced)) = asked.take() {
            let answered = checked.try_recv().is_ok() && replaced.try_recv().is_ok();
            self.answered.store(answered && self.jobs.is_empty(), Ordering::SeqCst);
        }
    }
}

/// Symptom: `verify` waited for as long as a flush of all memory takes, and so did the removal of
/// the files that would have made room for it. Fix: a flush looks at what is short.
#[test]
fn what_is_short_is_done_amid_a_flush() {
    let (jobs, work) = unbounded();
    let (asked, answered) = Default::default();
    let watch = Arc::new(Asks { jobs, asked, answered });
    let fs = Layered(Watched { inner: SimFs::new(), watch: Arc::clone(&watch) });
    let (engine, threads) = open(Arc::new(fs));
    for i in 0..2 * PIECE_ENTRIES {
        put(&engine, &format!("{i}"));
    }
    rotate::seal_active(&engine).unwrap();
    // On this thread, whose desk is the only one at which anything arrives.
    flush_sealed(&engine, &mut Desk::new(&work)).unwrap();
    assert!(watch.answered.load(Ordering::SeqCst), "before the flush was done");
    engine.close().unwrap();
    threads.join();
}
