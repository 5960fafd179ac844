//! Durability as a call and as a future: who asks is told once, and it is true.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Builder, Db, Error, Result, Sequence};

fn builder(sim: &SimFs) -> Builder {
    let builder = Db::builder(Path::new("/db")).memtable_bytes(4 << 10);
    // Without a background sync: nobody syncs but for those who ask.
    builder.sync_every(std::time::Duration::ZERO).fs(Arc::new(sim.clone()))
}

fn open(sim: &SimFs) -> Db {
    builder(sim).open().unwrap()
}

/// What was told, when it was.
fn told(db: &Db, sequence: Sequence) -> Receiver<Result<()>> {
    let (sender, receiver) = channel();
    db.when_durable(sequence, move |result| sender.send(result).unwrap());
    receiver
}

/// I44.
#[test]
fn thousands_are_told_once_each_and_share_syncs() {
    const THREADS: usize = 4;
    const EACH: usize = 1_000;
    let sim = SimFs::new();
    let db = open(&sim);
    let counts: Arc<Vec<_>> = Arc::new((0..THREADS * EACH).map(|_| AtomicUsize::new(0)).collect());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let db = &db;
            let counts = &counts;
            scope.spawn(move || {
                for n in (0..EACH).map(|n| thread * EACH + n) {
                    let sequence = db.put(n.to_string(), "v").unwrap();
                    let counts = Arc::clone(counts);
                    db.when_durable(sequence, move |result| {
                        result.unwrap();
                        counts[n].fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    let syncs = db.stats().log_syncs;
    db.close().unwrap();
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{counts:?}");
    println!("{} calls, {syncs} syncs before the close", THREADS * EACH);
}

/// I44. What a call says is so at that moment: a disk that loses power within it has what was told.
#[test]
fn what_was_told_survives_a_power_loss() {
    for seed in 0..30 {
        let sim = SimFs::new();
        let db = open(&sim);
        let told = Arc::new(Mutex::new(Vec::new()));
        let after = Arc::new(Mutex::new(None));
        for n in 0..40_u8 {
            // After the loss, which another thread meets.
            let Ok(sequence) = db.put([n], [n; 300]) else { break };
            let sim = sim.clone();
            let told = Arc::clone(&told);
            let after = Arc::clone(&after);
            db.when_durable(sequence, move |result| {
                if result.is_err() || after.lock().unwrap().is_some() {
                    return;
                }
                told.lock().unwrap().push(n);
                if u64::from(n) == seed {
                    let disk = sim.crash(CrashMode::PowerLoseAll, seed);
                    *after.lock().unwrap() = Some(disk);
                }
            });
        }
        let _ = db.close();
        let disk = after.lock().unwrap().take().expect("it was told");
        let found = open(&disk);
        let told = told.lock().unwrap();
        assert!(told.len() > usize::try_from(seed).unwrap());
        for n in told.iter() {
            assert!(found.contains_key([*n]).unwrap(), "{n} was told, and is lost");
        }
    }
}

#[test]
fn one_sync_serves_all_who_have_asked() {
    let sim = SimFs::new();
    let db = open(&sim);
    // A call that waits is what the log thread must not be given; here it holds all others back.
    let (go, gate) = channel::<()>();
    let (here, held) = channel();
    db.when_durable(db.put("first", "v").unwrap(), move |result| {
        result.unwrap();
        here.send(()).unwrap();
        gate.recv().unwrap();
    });
    held.recv().unwrap();
    let syncs = db.stats().log_syncs;
    let all: Vec<_> = (0..15).map(|n: u8| told(&db, db.put([n], "v").unwrap())).collect();
    go.send(()).unwrap();
    assert!(all.iter().all(|one| one.recv().unwrap().is_ok()));
    assert_eq!(db.stats().log_syncs, syncs + 1);
}

/// On the calling thread, before the call returns.
#[test]
fn what_is_known_is_told_at_once() {
    let sim = SimFs::new();
    let db = open(&sim);
    let last = db.put("k", "v").unwrap();
    db.wait_durable(last).unwrap();
    let syncs = db.stats().log_syncs;
    let at_once = |db: &Db, sequence| {
        let told = told(db, sequence).try_recv().expect("told before the call returns");
        assert_eq!(format!("{told:?}"), format!("{:?}", db.wait_durable(sequence)));
        told
    };
    at_once(&db, last).unwrap();
    at_once(&db, Sequence(0)).unwrap();
    let refused = at_once(&db, Sequence(last.0 + 1));
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    assert_eq!(db.stats().log_syncs, syncs);
    db.close().unwrap();
    assert!(matches!(at_once(&db, last), Err(Error::Closed)));
    drop(db);
    let db = builder(&sim).read_only(true).open().unwrap();
    at_once(&db, db.snapshot().sequence()).unwrap();
}

/// I9, I44.
#[test]
fn a_failed_sync_is_told_to_all() {
    let sim = SimFs::new();
    let db = open(&sim);
    let durable = told(&db, db.put("a", "v").unwrap());
    durable.recv().unwrap().unwrap();
    let plan = FaultPlan::new(OpKind::Sync).on(".wal").error(std::io::ErrorKind::Other);
    sim.set_fault(Some(plan.sticky()));
    let ask = |n: u8| Some(told(&db, db.put([n], "v").ok()?));
    let waiting: Vec<_> = (0..20).filter_map(ask).collect();
    assert!(!waiting.is_empty());
    for one in waiting {
        let told = one.recv().unwrap();
        assert!(matches!(told, Err(Error::WriterStopped { .. })), "{told:?}");
    }
    sim.set_fault(None);
    let last = db.snapshot().sequence();
    let later = told(&db, last).recv().unwrap();
    assert!(matches!(later, Err(Error::WriterStopped { .. })), "{later:?}");
    assert!(db.close().is_err());
}

#[test]
fn a_call_that_panics_harms_nobody() {
    let sim = SimFs::new();
    let db = open(&sim);
    for round in 0..3_u8 {
        let sequence = db.put([round], "v").unwrap();
        db.when_durable(sequence, |_| panic!("planted, in a call"));
        let other = told(&db, sequence);
        other.recv().unwrap().unwrap();
        // Told at once, so on this thread.
        db.when_durable(sequence, |_| panic!("planted, at once"));
    }
    assert!(db.health().is_healthy(), "{}", db.health());
    db.close().unwrap();
}

/// Asked for right before the end: a close syncs first, and its end finds all who are left.
#[test]
fn a_close_and_the_last_drop_have_told_all_when_they_are_done() {
    for closes in [true, false] {
        for round in 0..20 {
            let sim = SimFs::new();
            let db = open(&sim);
            let all: Vec<_> =
                (0..round).map(|n: u8| told(&db, db.put([n], "v").unwrap())).collect();
            if closes {
                db.close().unwrap();
            }
            drop(db);
            for one in all {
                one.try_recv().expect("told by now").unwrap();
            }
            assert_eq!(open(&sim).len().unwrap(), u64::from(round));
        }
    }
}

/// One holds the last handle, and lets go of it on the log thread.
#[test]
fn a_call_may_use_the_database_and_ask_again() {
    fn chain(db: Db, left: u32, done: Sender<Result<()>>) {
        let next = db.clone();
        let sequence = db.put(left.to_string(), "v").unwrap();
        db.when_durable(sequence, move |result| {
            assert!(next.get(left.to_string()).unwrap().is_some());
            match left {
                0 => done.send(result).unwrap(),
                _ => chain(next, left - 1, done),
            }
        });
    }
    let sim = SimFs::new();
    let (sender, receiver) = channel();
    chain(open(&sim), 100, sender);
    receiver.recv().unwrap().unwrap();
    // The close that the last handle asks for goes on beside.
    let db = loop {
        match builder(&sim).open() {
            Ok(db) => break db,
            Err(Error::Locked { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(db.len().unwrap(), 101);
}

struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Arc<Unpark>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(waker));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn waker() -> Arc<Unpark> {
    Arc::new(Unpark(thread::current(), AtomicUsize::new(0)))
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = waker();
    loop {
        if let Poll::Ready(output) = poll(&mut future, &waker) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn a_future_is_ready_when_it_is_durable() {
    let sim = SimFs::new();
    let db = open(&sim);
    let mut waits: BTreeMap<_, _> = BTreeMap::new();
    for n in 0..100_u8 {
        waits.insert(n, db.durable(db.put([n], "v").unwrap()));
    }
    // Given up: nothing is left of it.
    waits.retain(|n, _| n % 3 != 0);
    for (_, wait) in waits {
        block_on(wait).unwrap();
    }
    let disk = sim.crash(CrashMode::PowerLoseAll, 3);
    // All who were waited for, and so everything before.
    assert!(open(&disk).len().unwrap() >= 99);
    let db = open(&SimFs::new());
    assert!(matches!(block_on(db.durable(Sequence(u64::MAX))), Err(Error::InvalidArgument { .. })));
    db.close().unwrap();
}

/// The task that has polled last is woken, and no other.
#[test]
fn a_future_wakes_the_task_that_polls_it() {
    let sim = SimFs::new();
    let db = open(&sim);
    let (go, gate) = channel::<()>();
    db.when_durable(db.put("first", "v").unwrap(), move |_| gate.recv().unwrap());
    let mut wait = db.durable(db.put("second", "v").unwrap());
    let first = waker();
    let second = waker();
    assert!(poll(&mut wait, &first).is_pending());
    assert!(poll(&mut wait, &second).is_pending());
    go.send(()).unwrap();
    while second.1.load(Ordering::SeqCst) == 0 {
        thread::park();
    }
    assert!(matches!(poll(&mut wait, &second), Poll::Ready(Ok(()))));
    assert!(matches!(poll(&mut wait, &second), Poll::Ready(Ok(()))), "the same answer again");
    assert_eq!((first.1.load(Ordering::SeqCst), second.1.load(Ordering::SeqCst)), (0, 1));
    db.close().unwrap();
}

/// It holds no handle, so the last one's drop closes the database, and makes it ready.
#[test]
fn a_future_outlives_the_database() {
    let sim = SimFs::new();
    let db = open(&sim);
    let wait = db.durable(db.put("k", "v").unwrap());
    drop(db);
    block_on(wait).unwrap();
    assert!(open(&sim).contains_key("k").unwrap());
}
