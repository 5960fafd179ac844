//! Fairness: what is run again gets its turn beside writers who always come first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;

use alluvium::io::SimFs;
use alluvium::{Db, Error, OnOverload};

use crate::{elsewhere, open};

/// One that answers a write to what is held at once.
fn impatient() -> Db {
    let builder = Db::builder("db").fs(std::sync::Arc::new(SimFs::new()));
    builder.on_overload(OnOverload::Error).open().unwrap()
}

fn number(value: Option<alluvium::Value>) -> u32 {
    value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
}

/// A rival writes what each run has read, before it commits. The first eight runs lose to that; in
/// the ninth it is refused, or waits.
#[test]
fn a_transaction_that_has_lost_eight_runs_holds_what_it_reads() {
    let db = impatient();
    db.put("k", "0").unwrap();
    let mut runs = 0_u32;
    let done = db.transact(|tx| {
        runs += 1;
        let read = number(tx.get("k")?);
        assert_eq!(tx.range("r".."s").len()?, u64::from(runs.min(9) - 1));
        let rivals = elsewhere(|| {
            [
                db.put("k", (read + 1).to_string()),
                db.put(format!("r{runs}"), ""),
                db.put("w", "rival"),
                db.put("nobody's", "v"),
            ]
        });
        let refused = rivals.map(|written| matches!(written, Err(Error::KeyHeld { .. })));
        let held = runs > 8;
        assert_eq!(refused, [held, held, held, false], "run {runs}");
        tx.put("w", "mine")?;
        tx.put("k", "done")?;
        Ok::<_, Error>(read)
    });
    assert_eq!((done.unwrap().value, runs), (8, 9));
    assert_eq!(db.get("w").unwrap().unwrap(), "mine");
    elsewhere(|| db.put("k", "free again")).unwrap();
    let stats = db.stats();
    let counts = [stats.transaction_commits, stats.transaction_conflicts, stats.transaction_holds];
    assert_eq!((counts, stats.transactions), ([1, 8, 1], 0));
}

/// One that reads something else each time holds everything in the end.
#[test]
fn a_transaction_that_reads_something_else_each_time_holds_everything_in_the_end() {
    let db = impatient();
    let mut runs = 0;
    db.transact(|tx| {
        runs += 1;
        let key = format!("k{runs}");
        tx.get(&key)?;
        let rival = elsewhere(|| db.put(&key, "rival"));
        assert_eq!(rival.is_err(), runs == 11, "run {runs}: {rival:?}");
        tx.put("done", &key)
    })
    .unwrap();
    assert_eq!(runs, 11);
    assert_eq!(db.get("done").unwrap().unwrap(), "k11");
    assert_eq!(db.stats().transaction_holds, 3);
    elsewhere(|| db.put("k11", "free again")).unwrap();
}

/// What the transaction's own code writes past it is let through, and is a conflict.
#[test]
fn one_whose_own_code_changes_what_it_reads_ends_with_the_conflict() {
    let db = open();
    let mut runs = 0;
    let lost = db.transact(|tx| {
        runs += 1;
        tx.get("k")?;
        db.put("k", runs.to_string())?;
        tx.put("done", "")
    });
    assert!(matches!(lost, Err(Error::Conflict { .. })), "{lost:?}");
    assert_eq!((runs, db.get("done").unwrap()), (11, None));
    elsewhere(|| db.put("k", "free again")).unwrap();
    // Until it does so no more.
    let mut runs = 0;
    db.transact(|tx| {
        runs += 1;
        tx.get("k")?;
        if runs < 11 {
            db.put("k", runs.to_string())?;
        }
        tx.put("done", "")
    })
    .unwrap();
    assert_eq!(runs, 11);
}

/// A hold that is spoiled by a write of what was not read is as good as before.
#[test]
fn a_transaction_under_a_hold_may_write_other_things_past_itself() {
    let db = open();
    let mut runs = 0;
    db.transact(|tx| {
        runs += 1;
        tx.get("k")?;
        if runs <= 8 {
            elsewhere(|| db.put("k", runs.to_string()))?;
        }
        db.put("w", "past it")?;
        db.update("u", |_| Some(b"past it".to_vec()))?;
        // One inside the other.
        db.transact(|inner| inner.get("k").and_then(|_| inner.put("inner", "v")))?;
        tx.put("w", "mine")
    })
    .unwrap();
    assert_eq!(runs, 9);
    assert_eq!(db.get("w").unwrap().unwrap(), "mine");
}

/// It ends with the closure, however that ends.
#[test]
fn a_hold_ends_with_an_error_and_with_a_panic() {
    let db = impatient();
    for panics in [false, true] {
        let mut runs = 0;
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.transact(|tx| {
                runs += 1;
                tx.get("k")?;
                tx.put("w", "never")?;
                if runs == 9 {
                    assert!(!panics, "the closure panics while it holds what it has read");
                    return Err(Error::Closed);
                }
                elsewhere(|| db.put("k", runs.to_string()))
            })
        }));
        assert_eq!(ended.is_err(), panics);
        assert!(ended.is_err() || matches!(ended, Ok(Err(Error::Closed))));
        elsewhere(|| db.put("k", "free again")).unwrap();
        assert_eq!(db.get("w").unwrap(), None);
        assert_eq!(db.stats().transactions, 0);
    }
}

/// Several that all read and write the same, beside a writer that never stops: each comes through,
/// and nothing is lost.
#[test]
fn all_get_their_turn_beside_a_stream_of_writers() {
    const THREADS: u32 = 3;
    const EACH: u32 = 40;
    let db = open();
    let stop = AtomicBool::new(false);
    let runs = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let streams = [(), ()].map(|()| {
            scope.spawn(|| {
                let mut written = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    written += 1;
                    db.put("stream", written.to_string()).unwrap();
                    db.put(format!("more {}", written % 7), "v").unwrap();
                }
                written
            })
        });
        let counters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        db.transact(|tx| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            tx.get("stream")?;
                            tx.prefix("more").len()?;
                            let count = number(tx.get("count")?);
                            tx.put("count", (count + 1).to_string())?;
                            tx.put(format!("done {count}"), "v")
                        })
                        .unwrap();
                    }
                })
            })
            .collect();
        counters.into_iter().for_each(|counter| counter.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        let written: u32 = streams.map(|stream| stream.join().unwrap()).iter().sum();
        let stats = db.stats();
        println!(
            "{} runs for {} commits beside {written} rounds of writes, {} holds",
            runs.load(Ordering::Relaxed),
            stats.transaction_commits,
            stats.transaction_holds
        );
    });
    assert_eq!(number(db.get("count").unwrap()), THREADS * EACH);
    assert_eq!(db.prefix("done").len().unwrap(), u64::from(THREADS * EACH));
}

/// Two threads whose code, each under a hold, writes what the other holds: patience ends it.
#[test]
fn who_waits_in_a_circle_is_told() {
    let db = impatient();
    let (told, tell) = channel();
    let mut runs = 0;
    let both = db.transact(|tx| {
        runs += 1;
        tx.get("a")?;
        if runs <= 8 {
            elsewhere(|| db.put("a", runs.to_string()))?;
            return tx.put("w", "");
        }
        let mut inner_runs = 0;
        elsewhere(|| {
            db.update("b", |_| {
                inner_runs += 1;
                if inner_runs <= 8 {
                    elsewhere(|| db.put("b", inner_runs.to_string())).unwrap();
                    return Some(Vec::new());
                }
                told.send(db.put("a", "held by the transaction")).unwrap();
                Some(Vec::new())
            })
        })?;
        tx.put("w", "")
    });
    both.unwrap();
    assert!(matches!(tell.recv().unwrap(), Err(Error::KeyHeld { .. })));
}
