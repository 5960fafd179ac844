//! Writes that depend on what is there: decided outside the commit section, checked inside.
//!
//! The interleavings that matter are made by hand: the closure of `update` runs between the read
//! and the write, so whatever it does comes between them.

use std::cell::Cell;

use alluvium::io::{CrashMode, SimFs};
use alluvium::{
    CompareAndSwap, Db, Durability, Error, OnOverload, Sequence, TransactionOptions, TryWrite,
    WaitFor, WriteBatch,
};

use crate::{text, tiny};

fn get(db: &Db, key: &str) -> Option<String> {
    text(db.get(key).unwrap().as_ref())
}

/// Appends to a value what comes after it, so that a lost update shows.
fn appended(now: Option<&[u8]>, more: &str) -> Option<Vec<u8>> {
    Some([now.unwrap_or_default(), more.as_bytes()].concat())
}

/// Changes a key, with `between` after the first read; `how` is the database's own `update`, or a
/// faulty one.
type Update = fn(&Db, &str, &mut Change<'_>);

/// What an update makes of a value.
type Change<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

fn real(db: &Db, key: &str, change: &mut Change<'_>) {
    db.update(key, change).unwrap();
}

/// What `k` is, and how often the closure ran, when `between` happens after its first read.
fn interleaved(how: Update, before: &dyn Fn(&Db), between: &dyn Fn(&Db)) -> (String, u32) {
    let (db, _) = tiny();
    before(&db);
    let runs = Cell::new(0);
    how(&db, "k", &mut |now| {
        runs.set(runs.get() + 1);
        if runs.get() == 1 {
            between(&db);
        }
        appended(now, "!")
    });
    (get(&db, "k").unwrap(), runs.get())
}

/// Every way in which a write can come between, with the memtable that has it in every place.
fn interleavings(how: Update) {
    #[track_caller]
    fn check(how: Update, before: &dyn Fn(&Db), between: &dyn Fn(&Db), want: (&str, u32)) {
        let (value, runs) = interleaved(how, before, between);
        assert_eq!((value.as_str(), runs), want, "an update was lost, or ran in vain");
    }
    let put = |db: &Db| db.put("k", "a").map(drop).unwrap();
    let put_and_flush = |db: &Db| {
        put(db);
        db.flush().unwrap();
    };
    // Enough to seal the memtable several times, and too little for a flush.
    let fill =
        |db: &Db| (0..100).for_each(|i| db.put(format!("f{i}"), [0; 200]).map(drop).unwrap());
    let nothing = |_: &Db| {};
    let newer = |db: &Db| db.put("k", "b").map(drop).unwrap();
    check(how, &nothing, &nothing, ("!", 1));
    check(how, &put, &nothing, ("a!", 1));
    check(how, &put_and_flush, &nothing, ("a!", 1));
    check(how, &put, &newer, ("b!", 2));
    check(how, &put_and_flush, &newer, ("b!", 2));
    check(how, &put, &|db| (newer(db), fill(db)).0, ("b!", 2));
    check(how, &put, &|db| (newer(db), db.flush().unwrap()).0, ("b!", 2));
    check(how, &put, &|db| db.delete("k").map(drop).unwrap(), ("!", 2));
    check(how, &nothing, &|db| (newer(db), fill(db), db.flush().unwrap()).0, ("b!", 2));
    // A version of the key may have gone to disk: it is read again, and is as it was.
    check(how, &put, &|db| (fill(db), db.flush().unwrap()).0, ("a!", 1));
    check(how, &put, &|db| (newer(db), put(db)).0, ("a!", 1));
    // Other keys, in the same memtable and in sealed ones, do not count.
    check(how, &put, &fill, ("a!", 1));
    // A big batch brings a memtable of its own.
    let big = |db: &Db| {
        let mut batch = WriteBatch::new();
        batch.put("k", "b");
        batch.put("z", [0; 20 << 10]);
        db.write(&batch).unwrap();
    };
    check(how, &put, &big, ("b!", 2));
}

#[test]
fn nothing_comes_between_the_read_and_the_write_of_an_update() {
    interleavings(real);
}

/// The planted fault: an `update` that reads and then simply writes.
#[test]
#[should_panic(expected = "an update was lost")]
fn an_update_that_does_not_look_again_is_noticed() {
    interleavings(|db, key, change| {
        let now = db.get(key).unwrap();
        db.put(key, change(now.as_deref()).unwrap()).unwrap();
    });
}

#[test]
fn an_update_sets_deletes_and_leaves() {
    let (db, _) = tiny();
    assert_eq!(db.update("k", |now| appended(now, "a")).unwrap().value.unwrap(), "a");
    assert_eq!(db.update("k", |now| appended(now, "b")).unwrap().value.unwrap(), "ab");
    assert_eq!(db.update("k", |_| None).unwrap().value, None);
    assert!(!db.contains_key("k").unwrap());
    let visible = db.stats().visible;
    assert_eq!(db.update("k", |_| None).unwrap().value, None);
    assert_eq!(db.stats().visible, visible, "nothing to delete is nothing to write");
    // Larger than a memtable.
    let big = db.update("k", |_| Some(vec![b'x'; 100_000])).unwrap().value.unwrap();
    assert_eq!(big.len(), 100_000);
    let bigger = db.update("k", |now| appended(now, "y")).unwrap().value.unwrap();
    assert_eq!(bigger.len(), 100_001);
}

#[test]
fn a_swap_happens_only_where_the_key_is_as_expected() {
    let (db, _) = tiny();
    let keyspace = db.keyspace("k").unwrap();
    let check = |expected: Option<&[u8]>, new: Option<&[u8]>, want: Result<(), Option<&str>>| {
        for got in [
            db.compare_and_swap("k", expected, new).unwrap(),
            keyspace.compare_and_swap("k", expected, new).unwrap(),
        ] {
            match (got, want) {
                (CompareAndSwap::Swapped(_), Ok(())) => {}
                (CompareAndSwap::Mismatch(now), Err(want)) => {
                    assert_eq!(text(now.as_ref()).as_deref(), want);
                }
                (got, want) => panic!("{got:?}, not {want:?}"),
            }
        }
        db.flush().unwrap();
    };
    check(Some(b"a"), Some(b"b"), Err(None));
    check(None, None, Ok(()));
    check(None, Some(b"a"), Ok(()));
    check(None, Some(b"b"), Err(Some("a")));
    check(None, None, Err(Some("a")));
    check(Some(b""), None, Err(Some("a")));
    check(Some(b"a"), Some(b""), Ok(()));
    check(Some(b""), Some(b"c"), Ok(()));
    check(Some(b"c"), None, Ok(()));
    check(Some(b"c"), None, Err(None));
    assert!(!keyspace.contains_key("k").unwrap());
    assert!(keyspace.insert_if_absent("k", "1").unwrap().is_some());
    assert!(keyspace.insert_if_absent("k", "2").unwrap().is_none());
    assert!(db.insert_if_absent("k", "3").unwrap().is_some(), "another keyspace");
    assert_eq!(
        text(keyspace.update("k", |now| appended(now, "+")).unwrap().value.as_ref()).unwrap(),
        "1+"
    );
}

#[test]
fn conditional_writes_are_refused_where_writes_are() {
    let (db, sim) = tiny();
    let keyspace = db.keyspace("k").unwrap();
    let long = vec![b'k'; 70_000];
    let result = db.update(&long, |_| panic!("not asked for a key that cannot be"));
    assert!(matches!(result, Err(Error::InvalidArgument { .. })));
    // Dropped between the read and the write.
    let result = keyspace.update("a", |_| {
        db.drop_keyspace("k").unwrap();
        Some(b"1".to_vec())
    });
    assert!(matches!(result, Err(Error::KeyspaceDropped { .. })));
    assert!(matches!(keyspace.insert_if_absent("a", "1"), Err(Error::KeyspaceDropped { .. })));
    db.close().unwrap();
    assert!(matches!(db.insert_if_absent("a", "1"), Err(Error::Closed)));
    drop((db, keyspace));
    let db = Db::builder("/db").fs(std::sync::Arc::new(sim)).read_only(true).open().unwrap();
    assert!(matches!(db.compare_and_swap("a", Some(b"x"), None), Err(Error::ReadOnly { .. })));
}

/// Symptom: an `update` whose `change` flushed, or wrote so much elsewhere that a flush came, never
/// ended. Mechanism: a flush of newer sequences refuses the write, since its key may be among them,
/// and `change` ran again, and flushed again. Fix: it runs again only if the value is another.
#[test]
fn a_change_that_flushes_runs_once() {
    let db = alluvium::Db::in_memory().unwrap();
    for old in [None, Some("old")] {
        old.into_iter().for_each(|old| {
            db.put("k", old).unwrap();
        });
        let mut runs = 0;
        let change = |now: Option<&[u8]>| {
            runs += 1;
            assert!(runs < 5, "it would run for ever");
            assert_eq!(now, old.map(str::as_bytes));
            db.put("other", "v").unwrap();
            db.flush().unwrap();
            Some(b"new".to_vec())
        };
        assert_eq!(db.update("k", change).unwrap().value.as_deref(), Some(&b"new"[..]));
        assert_eq!((runs, db.get("k").unwrap().as_deref()), (1, Some(&b"new"[..])));
    }
}

/// The bound on lost tries: as often as its key is changed between its read and its write, by
/// anybody, an update runs its closure nine times at most. Then the key is held.
#[test]
fn an_update_that_always_loses_gets_its_turn() {
    let (db, _) = tiny();
    db.put("k", "0").unwrap();
    for len in [1, 100_000] {
        let mut runs = 0;
        let changed = std::thread::scope(|scope| {
            // Whoever writes the key next, asked for by the closure; answers before it writes.
            let (ask, asked) = std::sync::mpsc::channel::<u32>();
            let (answer, answered) = std::sync::mpsc::channel();
            let db = &db;
            let rival = scope.spawn(move || {
                for run in asked {
                    // In the ninth run it has to wait until the update is over.
                    let held = run > 8;
                    if held {
                        answer.send(()).unwrap();
                    }
                    db.put("k", run.to_string()).unwrap();
                    if !held {
                        db.flush().unwrap();
                        answer.send(()).unwrap();
                    }
                }
            });
            let updated = db.update("k", |now| {
                runs += 1;
                if runs > 1 && runs <= 9 {
                    assert_eq!(now.unwrap(), (runs - 1).to_string().as_bytes());
                }
                ask.send(runs).unwrap();
                answered.recv().unwrap();
                Some(vec![b'v'; len])
            });
            drop(ask);
            rival.join().unwrap();
            updated.unwrap()
        });
        assert_eq!((runs, changed.value.unwrap().len()), (9, len));
        // The rival's write came after the update, not instead of it.
        assert_eq!(get(&db, "k").unwrap(), "9");
        assert!(db.snapshot().sequence() > changed.sequence);
    }
}

/// What waits for a held key gives up as it would for memory, and other keys are nobody's concern.
#[test]
fn writers_of_a_held_key_wait_as_they_do_for_memory() {
    let builder = Db::builder("db").fs(std::sync::Arc::new(SimFs::new()));
    let db = builder.on_overload(OnOverload::Error).open().unwrap();
    db.put("k", "0").unwrap();
    let mut runs = 0;
    let other = db.clone();
    let on_another_thread = |write: fn(&Db) -> Result<Sequence, Error>| {
        std::thread::scope(|scope| scope.spawn(|| write(&other)).join().unwrap())
    };
    let updated = db.update("k", |_| {
        runs += 1;
        if runs <= 8 {
            on_another_thread(|db| db.put("k", db.stats().visible.to_string())).unwrap();
            return Some(vec![b'v']);
        }
        let refused = on_another_thread(|db| db.put("k", "held"));
        assert!(matches!(refused, Err(Error::KeyHeld { .. })), "{refused:?}");
        let mut batch = WriteBatch::new();
        batch.put("a", "");
        batch.delete("k");
        let back = std::thread::scope(|scope| {
            scope.spawn(|| other.try_write(&batch).unwrap()).join().unwrap()
        });
        assert_eq!((back, batch.len()), (TryWrite::WouldWait(WaitFor::Key), 2));
        on_another_thread(|db| db.put("another key", "v")).unwrap();
        assert!(!db.contains_key("a").unwrap());
        // Symptom: every later write panicked. Mechanism: the record of a drop was read as a batch,
        // to see whether it has the held key. Fix: it has no keys.
        on_another_thread(|db| {
            let dropped = db.keyspace("dropped")?;
            db.drop_keyspace(&dropped.name())?;
            db.put("after a drop", "v")
        })
        .unwrap();
        Some(vec![b'v'])
    });
    assert_eq!((runs, updated.unwrap().value.unwrap().len()), (9, 1));
    // It is free again, also when the closure panics.
    on_another_thread(|db| db.put("k", "free")).unwrap();
    let mut runs = 0;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.update("k", |_| {
            runs += 1;
            assert!(runs <= 8, "the closure panics while it holds the key");
            on_another_thread(|db| db.put("k", db.stats().visible.to_string())).unwrap();
            Some(vec![b'v'])
        })
    }));
    assert!(panicked.is_err());
    on_another_thread(|db| db.put("k", "free")).unwrap();
}

/// A closure that writes its own key spoils the hold for that try, and does not wait for itself.
#[test]
fn a_holder_may_write_its_own_key_a_few_times() {
    let (db, _) = tiny();
    let mut runs = 0;
    let updated = db.update("k", |now| {
        runs += 1;
        match runs {
            1..12 => drop(db.put("k", runs.to_string()).unwrap()),
            12..20 => drop(db.update("k", |_| Some(runs.to_string().into())).unwrap()),
            _ => {}
        }
        appended(now, "!")
    });
    assert_eq!((runs, text(updated.unwrap().value.as_ref()).unwrap()), (20, "19!".into()));
}

#[test]
fn every_write_returns_the_sequence_that_wait_durable_takes() {
    let (db, _) = tiny();
    let keyspace = db.keyspace("k").unwrap();
    let mut last = db.snapshot().sequence();
    let mut next = |sequence: Sequence| {
        assert_eq!(sequence, db.snapshot().sequence());
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
        db.wait_durable(sequence).unwrap();
    };
    for durability in [Durability::Buffered, Durability::Sync] {
        next(db.put_with("a", "1", durability).unwrap());
        next(keyspace.put_with("a", "1", durability).unwrap());
        next(db.delete_with("a", durability).unwrap());
        next(keyspace.delete_with("a", durability).unwrap());
        next(db.insert_if_absent_with("a", "2", durability).unwrap().unwrap());
        next(keyspace.insert_if_absent_with("a", "2", durability).unwrap().unwrap());
        for new in [Some(&b"3"[..]), None] {
            let now = db.get("a").unwrap();
            match db.compare_and_swap_with("a", now.as_deref(), new, durability).unwrap() {
                CompareAndSwap::Swapped(sequence) => next(sequence),
                mismatch => panic!("{mismatch:?}"),
            }
        }
        next(keyspace.update_with("a", |_| Some(vec![4]), durability).unwrap().sequence);
        next(keyspace.update_with("a", |_| None, durability).unwrap().sequence);
        let put = |_: Option<&[u8]>| Ok::<_, Error>(alluvium::KeyChange::Put(vec![5]));
        next(keyspace.update_if_with("a", put, durability).unwrap().sequence);
        let mut batch = WriteBatch::new();
        batch.delete_in(&keyspace, "a");
        batch.require_in(&keyspace, "a", Some(&[5]));
        next(db.write_with(&batch, durability).unwrap());
        let options = TransactionOptions::new().durability(durability);
        next(db.transact_with(options, |tx| tx.put("a", "6")).unwrap().sequence);
        let tx = db.transaction();
        tx.delete("a").unwrap();
        next(tx.commit_with(durability).unwrap());
    }
    // Where nothing is written it covers what was read.
    let before = db.put("a", "5").unwrap();
    assert_eq!(db.insert_if_absent("a", "6").unwrap(), None);
    assert_eq!(db.update("none", |_| None).unwrap().sequence, before);
    assert_eq!(db.compare_and_swap("none", None, None).unwrap(), CompareAndSwap::Swapped(before));
    assert_eq!(db.snapshot().sequence(), before);
}

/// What an update had and has, and that one that leaves the key, or fails, writes nothing.
#[test]
fn an_update_may_leave_the_key_or_fail_and_tells_what_was_there() {
    use alluvium::KeyChange::{Delete, Leave, Put};

    #[derive(Debug, PartialEq)]
    enum Mine {
        Refused(u8),
        Engine,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Self::Engine
        }
    }
    let (db, _) = tiny();
    let check = |change: alluvium::KeyChange, old: Option<&str>, value: Option<&str>, changed| {
        let before = db.snapshot().sequence();
        let updated = db.update_if("k", |now| {
            assert_eq!(now, old.map(str::as_bytes));
            Ok::<_, Mine>(change.clone())
        });
        let updated = updated.unwrap();
        assert_eq!((text(updated.old.as_ref()).as_deref(), updated.changed), (old, changed));
        assert_eq!(text(updated.value.as_ref()).as_deref(), value);
        assert_eq!(get(&db, "k").as_deref(), value);
        assert_eq!(updated.sequence.0, before.0 + u64::from(changed));
    };
    let put = |value: &str| Put(value.into());
    check(Leave, None, None, false);
    check(Delete, None, None, false);
    check(put("1"), None, Some("1"), true);
    check(Leave, Some("1"), Some("1"), false);
    // The same value again is a write.
    check(put("1"), Some("1"), Some("1"), true);
    check(put("2"), Some("1"), Some("2"), true);
    check(Delete, Some("2"), None, true);
    check(put("3"), None, Some("3"), true);

    let before = db.snapshot().sequence();
    let fails = |durability| db.update_if_with("k", |_| Err(Mine::Refused(7)), durability);
    assert_eq!(fails(Durability::Buffered).unwrap_err(), Mine::Refused(7));
    assert_eq!(fails(Durability::Sync).unwrap_err(), Mine::Refused(7));
    let too_long = vec![0; 70_000];
    let refused = db.update_if(&too_long, |_| Ok::<_, Mine>(Leave));
    assert_eq!(refused.unwrap_err(), Mine::Engine);
    assert_eq!((db.snapshot().sequence(), get(&db, "k").as_deref()), (before, Some("3")));
    let updated = db.update("k", |now| appended(now, "4")).unwrap();
    assert_eq!(updated.old.unwrap(), "3");
    assert_eq!(updated.value.unwrap(), "34");
}

/// It fails in a run after the first: what the run before has decided is not written, either.
#[test]
fn an_update_that_fails_when_it_runs_again_writes_nothing() {
    let (db, _) = tiny();
    db.put("k", "first").unwrap();
    let mut runs = 0;
    let failed = db.update_if("k", |_| {
        runs += 1;
        match runs {
            1 => {
                db.put("k", "rival").unwrap();
                Ok(alluvium::KeyChange::Put(b"mine".to_vec()))
            }
            // Any error will do.
            _ => Err(db.drop_keyspace("no such").unwrap_err()),
        }
    });
    assert!(matches!(failed, Err(Error::InvalidArgument { .. })), "{failed:?}");
    assert_eq!((runs, get(&db, "k").as_deref()), (2, Some("rival")));
}

/// With `Sync` the answer is durable also where nothing had to be written.
#[test]
fn what_a_conditional_write_has_found_is_durable_with_sync() {
    let works: [fn(&Db); 3] = [
        |db| assert_eq!(db.insert_if_absent_with("k", "w", Durability::Sync).unwrap(), None),
        |db| drop(db.compare_and_swap_with("k", None, None, Durability::Sync).unwrap()),
        |db| drop(db.update_with("gone", |_| None, Durability::Sync).unwrap()),
    ];
    for work in works {
        let fs = SimFs::new();
        let open = |fs: &SimFs| Db::builder("db").fs(std::sync::Arc::new(fs.clone())).open();
        let db = open(&fs).unwrap();
        db.put("k", "v").unwrap();
        work(&db);
        let after = fs.crash(CrashMode::PowerLoseAll, 1);
        assert_eq!(get(&open(&after).unwrap(), "k").unwrap(), "v");
    }
}

#[test]
fn a_write_that_must_not_wait_says_so_and_leaves_its_batch() {
    let fs = std::sync::Arc::new(SimFs::new());
    let db = Db::builder("db").fs(fs).memtable_bytes(16 << 10).open().unwrap();
    assert!(matches!(db.try_put("a", "1").unwrap(), TryWrite::Written(_)));
    let keyspace = db.keyspace("k").unwrap();
    let TryWrite::Written(sequence) = keyspace.try_put("a", "2").unwrap() else { panic!() };
    assert_eq!(sequence, db.snapshot().sequence());
    assert!(matches!(keyspace.try_delete("a").unwrap(), TryWrite::Written(_)));
    // What brings a file of its own always would.
    assert_eq!(db.try_put("big", [0; 10_000]).unwrap(), TryWrite::WouldWait(WaitFor::Disk));
    let mut batch = WriteBatch::new();
    batch.put_in(&keyspace, "big", [7; 10_000]);
    batch.delete("a");
    assert_eq!(db.try_write(&batch).unwrap(), TryWrite::WouldWait(WaitFor::Disk));
    // It is as it was, and takes more.
    batch.put("more", "3");
    db.write(&batch).unwrap();
    assert_eq!(keyspace.get("big").unwrap().unwrap(), [7; 10_000]);
    assert_eq!((get(&db, "a"), get(&db, "more")), (None, Some("3".into())));
    let empty = db.try_write(&WriteBatch::new()).unwrap();
    assert!(matches!(empty, TryWrite::Written(at) if at == db.snapshot().sequence()));
    // Errors are errors.
    assert!(matches!(db.try_put(vec![0; 70_000], ""), Err(Error::InvalidArgument { .. })));
    let (other, _) = tiny();
    let mut batch = WriteBatch::new();
    batch.put_in(&other.keyspace("k").unwrap(), "a", "");
    assert!(matches!(db.try_write(&batch), Err(Error::InvalidArgument { .. })));
    db.close().unwrap();
    assert!(matches!(db.try_delete("a"), Err(Error::Closed)));
}
