//! Backups that the power or the disk cuts off, as they are made, deleted or restored: those that
//! are listed are whole, and the next call goes on.

use std::io::ErrorKind;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{BackupOptions, Backups, Db, Error};

use crate::{backups, builder, fill, pairs};

const MODES: [CrashMode; 4] =
    [CrashMode::Process, CrashMode::PowerLoseAll, CrashMode::PowerKeepAll, CrashMode::PowerSubset];

type Pairs = Vec<(String, String)>;

fn create(backups: &Backups, db: &Db) -> alluvium::Result<alluvium::BackupInfo> {
    backups.create(db, &BackupOptions::new())
}

/// A database on a file system of its own, which does not fail, with some backups on another; what
/// each has; and something that no backup has yet.
fn made(count: usize) -> (Db, SimFs, Vec<Pairs>) {
    let db = builder(&SimFs::new(), "data").open().unwrap();
    let fs = SimFs::new();
    let mut want = Vec::new();
    for round in 0..count {
        db.put(format!("round {round}"), "x".repeat(300)).unwrap();
        if round == 1 {
            db.compact().unwrap();
        }
        create(&backups(&fs), &db).unwrap();
        want.push(pairs(&db));
    }
    db.put("two", "new").unwrap();
    db.flush().unwrap();
    db.put("runs", "new").unwrap();
    db.flush().unwrap();
    want.push(pairs(&db));
    (db, fs, want)
}

/// Each backup that is listed restores as what was saved in it. Returns their numbers.
fn check_listed(fs: &SimFs, want: &[Pairs], what: &str) -> Vec<u64> {
    let backups = backups(fs);
    let ids = backups.ids().unwrap();
    for &id in &ids {
        let report = backups.verify(id).unwrap();
        assert!(report.is_sound(), "{what}, backup {id}: {:?}", report.errors);
        let dir = format!("restored {id}");
        backups.restore(Some(id), &dir).unwrap();
        let db = builder(fs, &dir).read_only(true).open().unwrap();
        assert_eq!(pairs(&db), want[id as usize - 1], "{what}, backup {id}");
        db.close().unwrap();
        for name in fs.files(&dir) {
            assert!(fs.remove_file(format!("{dir}/{name}")));
        }
    }
    ids
}

/// Cuts `work` off at each operation in turn, and has what is left checked. `done` says what it
/// says if `work` has returned.
fn at_each_operation(
    count: usize,
    work: impl Fn(&Backups, &Db) -> bool,
    check: impl Fn(&Db, &SimFs, &[Pairs], bool, &str),
) {
    let mut crashes = 0;
    for step in 0.. {
        let (db, fs, want) = made(count);
        fs.crash_at(fs.op_count() + step);
        let done = work(&backups(&fs), &db);
        let crashed = fs.crashed();
        for mode in MODES {
            let after = fs.crash(mode, step);
            check(&db, &after, &want, done, &format!("{mode:?} at {step}"));
        }
        crashes += u64::from(crashed);
        if !crashed {
            break;
        }
    }
    println!("{crashes} crashes");
    assert!(crashes > 5);
}

#[test]
fn a_crash_while_one_is_made_leaves_the_others_whole_and_it_whole_or_none() {
    at_each_operation(
        2,
        |backups, db| create(backups, db).is_ok(),
        |db, fs, want, done, what| {
            let ids = check_listed(fs, want, what);
            assert!(ids == [1, 2, 3] || (ids == [1, 2] && !done), "{what}: {ids:?}");
            // The next one goes on from there, and keep leaves nothing of what was cut off.
            let next = create(&backups(fs), db).unwrap();
            assert_eq!(next.id, ids.len() as u64 + 1, "{what}");
            let left = backups(fs).keep(1).map(|_| fs.files("backups/segments")).unwrap();
            assert_eq!(left.len() as u64, next.segments, "{what}: {left:?}");
            let mut last = want.to_vec();
            last.resize(next.id as usize, want.last().unwrap().clone());
            // The power goes again: what it has built on was durable.
            let after = fs.crash(CrashMode::PowerLoseAll, 0);
            assert_eq!(check_listed(&after, &last, what), [next.id], "{what}");
        },
    );
}

/// The name of a segment that was put and not made durable, by a process that died just then, is as
/// much the next backup's as if it had put it: no removal makes it durable by the way here.
#[test]
fn what_a_dead_process_has_put_is_durable_before_it_is_built_upon() {
    at_each_operation(
        1,
        |backups, db| create(backups, db).is_ok(),
        |db, fs, want, _, what| {
            let next = create(&backups(fs), db).unwrap();
            let mut last = want.to_vec();
            last.resize(next.id as usize, want.last().unwrap().clone());
            let after = fs.crash(CrashMode::PowerLoseAll, 0);
            let ids = check_listed(&after, &last, what);
            assert_eq!(ids.last(), Some(&next.id), "{what}");
        },
    );
}

#[test]
fn a_crash_while_some_are_deleted_leaves_those_that_are_listed_whole() {
    at_each_operation(
        4,
        |backups, _| backups.keep(1).is_ok(),
        |_, fs, want, done, what| {
            let ids = check_listed(fs, want, what);
            assert!(ids.contains(&4) && (!done || ids == [4]), "{what}: {ids:?}");
            backups(fs).keep(1).unwrap();
            assert_eq!(check_listed(fs, want, what), [4], "{what}");
            let segments = backups(fs).info(4).unwrap().segments;
            assert_eq!(fs.files("backups/segments").len() as u64, segments, "{what}");
        },
    );
}

#[test]
fn a_crash_while_one_is_restored_leaves_a_database_or_none() {
    at_each_operation(
        2,
        |backups, _| backups.restore(Some(2), "restored").is_ok(),
        |_, fs, want, done, what| match builder(fs, "restored").create(false).open() {
            Ok(db) => {
                assert_eq!(pairs(&db), want[1], "{what}");
                assert!(db.verify().unwrap().is_sound(), "{what}");
            }
            Err(Error::Corruption { .. }) => assert!(!done, "{what}"),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                assert!(!done, "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        },
    );
}

const KINDS: [OpKind; 10] = [
    OpKind::Create,
    OpKind::Open,
    OpKind::Read,
    OpKind::Write,
    OpKind::Sync,
    OpKind::Rename,
    OpKind::Remove,
    OpKind::SyncDir,
    OpKind::List,
    OpKind::Lock,
];

/// Fails each call of each kind in turn while `work` is done, and has what is left checked.
fn with_each_fault(
    count: usize,
    work: impl Fn(&Backups, &Db) -> alluvium::Result<()>,
    check: impl Fn(&Db, &SimFs, &[Pairs], bool, &str),
) {
    let mut failed = 0;
    for kind in KINDS {
        for nth in 0.. {
            let (db, fs, want) = made(count);
            fs.set_fault(Some(FaultPlan::new(kind).nth(nth).error(ErrorKind::StorageFull)));
            let worked = work(&backups(&fs), &db);
            let fired = fs.fault_fired() > 0;
            fs.set_fault(None);
            let what = format!("{kind:?} {nth}");
            if let Err(error) = &worked {
                assert!(matches!(error, Error::StorageFull { .. }), "{what}: {error}");
            }
            check(&db, &fs, &want, worked.is_ok(), &what);
            failed += u64::from(worked.is_err());
            if !fired {
                break;
            }
        }
    }
    println!("{failed} failed calls");
    assert!(failed > 8);
}

#[test]
fn a_call_that_fails_while_one_is_made_leaves_the_others_whole() {
    with_each_fault(
        2,
        |backups, db| create(backups, db).map(drop),
        |db, fs, want, done, what| {
            let ids = check_listed(fs, want, what);
            assert_eq!(ids.len(), if done { 3 } else { 2 }, "{what}");
            let next = create(&backups(fs), db).unwrap();
            let left = backups(fs).keep(1).map(|_| fs.files("backups/segments")).unwrap();
            assert_eq!(left.len() as u64, next.segments, "{what}: {left:?}");
            assert!(backups(fs).verify(next.id).unwrap().is_sound(), "{what}");
            // It was the place's failure, and not the database's.
            db.put("after", "it").unwrap();
            assert!(db.health().is_healthy());
        },
    );
}

#[test]
fn a_call_that_fails_while_some_are_deleted_or_one_restored_is_made_up_for() {
    with_each_fault(
        4,
        |backups, _| backups.keep(1).map(drop),
        |_, fs, want, _, what| {
            assert!(check_listed(fs, want, what).contains(&4), "{what}");
            backups(fs).keep(1).unwrap();
            assert_eq!(check_listed(fs, want, what), [4], "{what}");
        },
    );
    with_each_fault(
        2,
        |backups, _| backups.restore(Some(2), "restored").map(drop),
        |_, fs, want, done, what| {
            if !done {
                let left = fs.files("restored");
                assert!(left.iter().all(|name| name == "LOCK"), "{what}: {left:?}");
                backups(fs).restore(Some(2), "restored").unwrap();
            }
            assert_eq!(pairs(&builder(fs, "restored").open().unwrap()), want[1], "{what}");
        },
    );
}

/// What a backup that was cut off has put is not put again.
#[test]
fn the_next_one_goes_on_where_one_was_cut_off() {
    let fs = SimFs::new();
    let db = builder(&SimFs::new(), "data").open().unwrap();
    fill(&db);
    let plan = FaultPlan::new(OpKind::Rename).on("backups/backups");
    fs.set_fault(Some(plan));
    let backups = backups(&fs);
    create(&backups, &db).unwrap_err();
    assert_eq!(fs.fault_fired(), 1);
    let made = create(&backups, &db).unwrap();
    assert!(made.new_bytes == 0 && made.bytes > 0 && made.id == 1, "{made:?}");
    assert!(backups.verify(1).unwrap().is_sound());
    check_listed(&fs, &[pairs(&db)], "the second try");
}
