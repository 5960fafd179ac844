//! Processes that fork while a database is open: the child is refused in words, hangs nowhere, and
//! harms nothing of the parent's.
//!
//! The child of each test does what it is given, within seconds, and says by its exit status how it
//! went. The libraries that a test binary consists of hold no lock at that moment that the child
//! would need: nothing else runs in this binary meanwhile, but the database's threads.

#![cfg(unix)]
#![allow(unsafe_code, reason = "forks")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use alluvium::WriteBatch;
use alluvium::{Builder, Compaction, Db, Durability, Durable, Error, Keyspace, Sequence, Snapshot};

/// Held by each test, so that no other forks or allocates meanwhile.
static ONE_AT_A_TIME: Mutex<u32> = Mutex::new(0);

/// What a child may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn alone() -> MutexGuard<'static, u32> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn small(path: &Path) -> Builder {
    Db::builder(path).memtable_bytes(16 << 10).flush_bytes(16 << 10)
}

/// Runs `body` in a forked child, which owns what it captures. How it ended: its exit status, 0 if
/// it did not panic, or nothing if it had to be killed.
#[must_use]
fn in_child(body: impl FnOnce()) -> Option<i32> {
    // SAFETY: the child runs on in this thread alone, and calls what takes no lock that another
    // thread of this binary may hold: the allocator, which is safe across a fork, and the database,
    // of which that is to be shown.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let panicked = catch_unwind(AssertUnwindSafe(body)).is_err();
        // SAFETY: ends the process at once, without what the parent has to do at its end.
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    // The child has its own copy of what was captured; this one's must not be dropped here.
    std::mem::forget(body);
    let begun = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: a child of this process, and a place for the answer.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 if begun.elapsed() > PATIENCE => {
                // SAFETY: as above. It has hung, and is waited for so that it leaves nothing.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, &raw mut status, 0);
                }
                return None;
            }
            0 => std::thread::sleep(Duration::from_millis(1)),
            _ => return Some(libc::WEXITSTATUS(status) + libc::WTERMSIG(status)),
        }
    }
}

#[track_caller]
fn assert_forked<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Forked)), "{result:?}");
}

/// Symptom: a child that dropped the last handle hung; before it, it had put. Mechanism: the close
/// waits for threads that a fork does not copy. Fix: in a child neither close nor drop do anything.
#[test]
fn a_child_drops_and_closes_without_waiting() {
    let _alone = alone();
    for explicit in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let db = small(dir.path()).open().unwrap();
        db.put("k", "v").unwrap();
        let child = in_child({
            let db = db.clone();
            // The child's copy of the parent's own handle, too: its last.
            // SAFETY: read once in the child, where nobody drops the original.
            let other = unsafe { std::ptr::read(&raw const db) };
            move || {
                if explicit {
                    db.close().unwrap();
                }
                drop(db);
                drop(other);
            }
        });
        assert_eq!(child, Some(0));
        db.put("k2", "v").unwrap();
        db.close().unwrap();
        assert_eq!(small(dir.path()).open().unwrap().range(..).count(), 2);
    }
}

fn poll_once(mut durable: Durable) -> Result<(), Error> {
    let polled = Pin::new(&mut durable).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(answer) = polled else { panic!("it would wait for ever") };
    answer
}

/// What each call that could hang or change something says in a child.
fn try_everything(held: &Held<'_>, batch: WriteBatch, durable: Durable) {
    let Held { db, other, snapshot, .. } = held;
    assert_forked(db.put("k", "child"));
    assert_forked(db.put_with("k", "child", Durability::Sync));
    assert_forked(db.put("k", vec![7; 100_000]));
    assert_forked(db.delete("k"));
    assert_forked(db.write(&batch));
    assert_forked(db.write(&WriteBatch::new()));
    assert_forked(db.update("k", |_| Some(b"child".to_vec())));
    assert_forked(db.insert_if_absent("new", "child"));
    assert_forked(other.put("k", "child"));
    assert_forked(other.get("k"));
    assert_forked(db.get("k"));
    assert_forked(db.multi_get(["k"]));
    assert_forked(db.contains_key("k"));
    assert_forked(db.range(..).next().unwrap());
    assert_forked(db.first());
    assert_forked(snapshot.get("k"));
    assert_forked(snapshot.range(..).next().unwrap());
    assert_forked(db.snapshot().get("k"));
    assert_forked(db.transaction().get("k"));
    assert_forked(db.transaction().commit());
    assert_forked(db.transact(|tx| tx.put("k", "v")));
    assert_forked(db.sync());
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    db.when_durable(Sequence(1), move |result| *tell.lock().unwrap() = Some(result));
    assert_forked(told.lock().unwrap().take().expect("told at once"));
    assert_forked(poll_once(db.durable(Sequence(1))));
    assert_forked(poll_once(durable));
    assert_forked(db.flush());
    assert_forked(db.compact());
    assert_forked(db.verify());
    assert_forked(db.rebuild_index());
    assert_forked(db.keyspace("new"));
    assert_forked(db.drop_keyspace("other"));
    assert_forked(db.set_memtable_bytes(1 << 20));
    assert!(matches!(db.health().writer_stopped, Some(Error::Forked)));
    let _ = (db.stats(), db.runs(), db.segments(), db.keyspaces(), db.path());
    db.pause_compaction();
    held.compaction.cancel();
    let _ = (held.compaction.is_over(), held.compaction.progress());
    db.close().unwrap();
}

/// What a process has of a database when it forks.
struct Held<'a> {
    db: &'a Db,
    other: Keyspace,
    snapshot: Snapshot,
    compaction: Compaction,
}

/// Every call, while the parent's threads write.
#[test]
fn a_child_is_refused_in_every_call() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let db = small(dir.path()).open().unwrap();
    let other = db.keyspace("other").unwrap();
    for number in 0..500 {
        db.put(format!("{number}"), [7; 100]).unwrap();
    }
    db.flush().unwrap();
    db.put("k", "in memory").unwrap();
    let value = db.get("k").unwrap();
    let mut range = db.range(..);
    let snapshot = db.snapshot();
    let compaction = db.start_compaction_of_all().unwrap();
    let held = Held { db: &db, other, snapshot, compaction };
    range.next().unwrap().unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) {
                db.put_with(format!("w{number}"), [7; 100], Durability::Buffered).unwrap();
                drop(db.snapshot());
                let _ = (db.stats(), db.runs());
                number += 1;
            }
        });
        for _ in 0..20 {
            let mut batch = WriteBatch::new();
            batch.put("k", "batch");
            batch.put_in(&held.other, "k", "batch");
            let durable = db.durable(db.put("k", "in memory").unwrap());
            let child = in_child(|| {
                try_everything(&held, batch, durable);
                assert_forked(range.next().unwrap());
                assert!(range.next().is_none() && range.next_back().is_none(), "told once");
                assert_eq!(value.as_deref(), Some(&b"in memory"[..]), "values are memory");
            });
            assert_eq!(child, Some(0));
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(db.health().is_healthy());
    held.compaction.wait().unwrap();
    assert_eq!(held.snapshot.range(..).map(Result::unwrap).count(), 501);
    assert_eq!(range.map(Result::unwrap).count(), 500);
    db.close().unwrap();
}

/// One that is open across a fork is the parent's: the child is refused in each verb, leaves it
/// when it drops it, and the parent commits it. Also where it holds what it reads, for which others
/// wait.
#[test]
fn a_transaction_that_is_open_across_a_fork_goes_on_in_the_parent() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let db = small(dir.path()).open().unwrap();
    let other = db.keyspace("other").unwrap();
    db.put("k", "v").unwrap();
    db.put("l", "v").unwrap();
    let tx = db.transaction();
    tx.put("w", "mine").unwrap();
    let savepoint = tx.savepoint();
    tx.of(&other).put("w", "undone").unwrap();
    assert!(tx.get("k").unwrap().is_some());
    let mut walk = tx.range("k"..);
    assert_eq!(walk.next().unwrap().unwrap().0, "k");
    let child = in_child(|| {
        assert_forked(tx.get("k"));
        assert_forked(tx.get("w"));
        assert_forked(tx.get_for_update("k"));
        assert_forked(tx.multi_get(["k"]));
        assert_forked(tx.try_get("k"));
        assert_forked(tx.of(&other).len());
        assert_forked(tx.put("k", "child"));
        assert_forked(tx.of(&other).delete("w"));
        assert_forked(walk.next().unwrap());
        assert!(walk.next().is_none());
        tx.rollback_to(&savepoint).unwrap();
        // SAFETY: read once in the child, where nobody drops the originals.
        drop(unsafe { std::ptr::read(&raw const walk) });
        // SAFETY: as above.
        assert_forked(unsafe { std::ptr::read(&raw const tx) }.commit());
    });
    assert_eq!(child, Some(0));
    // SAFETY: read once in the child, where nobody drops the original.
    assert_eq!(in_child(|| drop(unsafe { std::ptr::read(&raw const tx) })), Some(0));
    assert_eq!(walk.next().unwrap().unwrap().0, "l");
    drop(walk);
    assert_eq!(db.stats().transactions, 1);
    tx.rollback_to(&savepoint).unwrap();
    tx.commit().unwrap();
    assert!(db.get("w").unwrap().is_some() && other.is_empty().unwrap());

    let mut runs = 0;
    db.transact(|tx| {
        runs += 1;
        tx.get("k")?;
        if runs <= 8 {
            std::thread::scope(|scope| scope.spawn(|| db.put("k", "rival")).join().unwrap())?;
        } else {
            let child = in_child(|| {
                assert_forked(tx.get("k"));
                assert_forked(db.put("k", "child"));
                assert_forked(db.update("k", |_| None::<Vec<u8>>));
                assert_forked(db.transact(|inner| inner.put("k", "child")));
            });
            assert_eq!(child, Some(0));
        }
        tx.put("k", "mine")
    })
    .unwrap();
    assert_eq!((runs, &*db.get("k").unwrap().unwrap()), (9, &b"mine"[..]));
    db.close().unwrap();
}

/// Whatever is held goes in the child without a word, also after the parent's close, when the
/// child's is the last reference.
#[test]
fn what_a_child_drops_stays_the_parents() {
    let _alone = alone();
    for close in [false, true] {
        let db = Builder::temporary().memtable_bytes(16 << 10).open().unwrap();
        let path = db.path().to_path_buf();
        for number in 0..500 {
            db.put(format!("{number}"), [7; 100]).unwrap();
        }
        db.flush().unwrap();
        let snapshot = db.snapshot();
        let mut range = db.range(..);
        range.next().unwrap().unwrap();
        let keyspace = db.keyspace("k").unwrap();
        let compaction = db.start_compaction_of_all().unwrap();
        let value = db.get("1").unwrap();
        if close {
            db.close().unwrap();
        }
        let held = (snapshot, range, keyspace, compaction, value, db);
        // SAFETY: read once in the child, where nobody drops the original.
        let copy = || drop(unsafe { std::ptr::read(&raw const held) });
        assert_eq!(in_child(copy), Some(0));
        assert!(path.join("CURRENT").exists(), "a temporary directory is the parent's");
        // The lock is held on.
        let locked = small(&path).open();
        assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
        let (snapshot, range, ..) = held;
        assert_eq!(snapshot.range(..).map(Result::unwrap).count(), 500);
        assert_eq!(range.map(Result::unwrap).count(), 499);
    }
}

/// Symptom: 200 of 400 acknowledged puts of a parent were lost after a crash. Mechanism: what the
/// child put went through the shared mapping into the parent's log. Fix: it is refused.
#[test]
fn what_a_child_puts_does_not_reach_the_parents_log() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    // The parent of this test is a child too, so that it can die.
    let parent = in_child(|| {
        let db = small(dir.path()).open().unwrap();
        for number in 0..200 {
            db.put(format!("before{number:03}"), [7; 100]).unwrap();
        }
        let child = in_child(|| {
            for number in 0..200 {
                assert_forked(db.put(format!("child{number:03}"), [7; 100]));
            }
        });
        assert_eq!(child, Some(0));
        for number in 0..200 {
            db.put(format!("after{number:03}"), [7; 100]).unwrap();
        }
        // SAFETY: this process, which dies without a word.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    });
    assert_eq!(parent, Some(libc::SIGKILL));
    let db = small(dir.path()).open().unwrap();
    assert_eq!(db.prefix("before").map(Result::unwrap).count(), 200);
    assert_eq!(db.prefix("after").map(Result::unwrap).count(), 200);
    assert_eq!(db.range(..).map(Result::unwrap).count(), 400);
}

/// A child, and the child of a child, open databases of their own, and the same one once the parent
/// has closed it, although they have inherited its open files.
#[test]
fn a_child_opens_for_itself() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    let db = small(dir.path()).open().unwrap();
    db.put("k", "v").unwrap();
    let child = in_child(|| {
        let mine = small(own.path()).open().unwrap();
        mine.put("k", "v").unwrap();
        assert_forked(db.get("k"));
        let grandchild = in_child(|| {
            assert_forked(db.get("k"));
            assert_forked(mine.get("k"));
            let third = Db::temporary().unwrap();
            third.put("k", "v").unwrap();
            assert!(third.get("k").unwrap().is_some());
        });
        assert_eq!(grandchild, Some(0));
        assert!(mine.get("k").unwrap().is_some());
        mine.close().unwrap();
        assert!(matches!(small(dir.path()).open(), Err(Error::Locked { .. })));
    });
    assert_eq!(child, Some(0));
    db.close().unwrap();
    let child = in_child(|| {
        let db = small(dir.path()).open().unwrap();
        assert!(db.get("k").unwrap().is_some());
        db.close().unwrap();
    });
    assert_eq!(child, Some(0));
    // A child that lives on holds no lock of a database that its parent has closed.
    let db = small(dir.path()).open().unwrap();
    let child = in_child(|| {
        db.close().unwrap();
        assert!(matches!(small(dir.path()).open(), Err(Error::Locked { .. })));
    });
    assert_eq!(child, Some(0));
    db.close().unwrap();
    small(dir.path()).open().unwrap().close().unwrap();
}

/// What is shared by all databases of a process is not shared with the parent's threads, which may
/// hold its locks at the fork.
#[test]
fn a_child_opens_for_itself_whatever_the_parent_does_just_then() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    let db = Db::builder(dir.path()).memtable_bytes(4 << 10).flush_bytes(4 << 10).open().unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..).take_while(|_| !ended.load(Ordering::Relaxed)) {
                db.put(format!("{number}"), [7; 100]).unwrap();
                db.verify().unwrap();
            }
        });
        for _ in 0..50 {
            let child = in_child(|| {
                let mine = small(own.path()).open().unwrap();
                mine.put("k", "v").unwrap();
                mine.flush().unwrap();
                mine.close().unwrap();
            });
            assert_eq!(child, Some(0));
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(db.health().is_healthy());
}

/// The planted fault: what hangs and what panics is noticed.
#[test]
fn a_child_that_fails_is_noticed() {
    let _alone = alone();
    assert_eq!(in_child(|| panic!("as a failing child does")), Some(1));
    assert_eq!(in_child(|| ()), Some(0));
}
