//! A copy that the power or the disk cuts off: it is whole or none, and the database that it is of
//! has lost nothing.

use std::io::ErrorKind;

use alluvium::io::{CrashMode, FaultPlan, OpKind, SimFs};
use alluvium::{Db, Error};

use crate::{builder, fill, pairs};

/// A database with runs and logs, all of it durable.
fn filled() -> (SimFs, Db) {
    let fs = SimFs::new();
    let db = builder(&fs, "data").open().unwrap();
    fill(&db);
    db.sync().unwrap();
    (fs, db)
}

/// Whether there is a database, with all that there should be. One that would be made is not taken
/// for a copy as long as nothing has been put beside the first manifest.
fn is_whole(fs: &SimFs, dir: &str, want: &[(String, String)]) -> bool {
    let begun = ["LOCK", "MANIFEST-000001"];
    let begun = fs.files(dir).iter().all(|name| begun.contains(&&**name));
    match builder(fs, dir).create(!begun).open() {
        Ok(db) => {
            assert_eq!(pairs(&db), want);
            assert!(db.verify().unwrap().is_sound());
            true
        }
        Err(Error::Corruption { .. }) => false,
        Err(Error::Io { source, .. }) if begun && source.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_one_or_none() {
    let mut crashes = 0;
    let mut whole = 0;
    for step in 1.. {
        let (fs, db) = filled();
        let want = pairs(&db);
        fs.crash_at(fs.op_count() + step);
        let made = db.checkpoint("copy");
        let crashed = fs.crashed();
        for mode in [
            CrashMode::Process,
            CrashMode::PowerLoseAll,
            CrashMode::PowerKeepAll,
            CrashMode::PowerSubset,
        ] {
            let after = fs.crash(mode, step);
            let there = is_whole(&after, "copy", &want);
            assert!(there || made.is_err(), "{mode:?} at {step}: it was made");
            assert!(is_whole(&after, "data", &want), "{mode:?} at {step}");
            whole += u64::from(there && crashed);
        }
        drop(db);
        crashes += u64::from(crashed);
        if !crashed {
            break;
        }
    }
    println!("{crashes} crashes, {whole} whole copies behind them");
    assert!(crashes > 20 && whole > 0);
}

#[test]
fn a_call_that_fails_leaves_nothing_of_it() {
    let mut failed = 0;
    for kind in [
        OpKind::Create,
        OpKind::Open,
        OpKind::Read,
        OpKind::Write,
        OpKind::Sync,
        OpKind::Link,
        OpKind::Rename,
        OpKind::SyncDir,
        OpKind::List,
    ] {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            for nth in 0.. {
                let (fs, db) = filled();
                let want = pairs(&db);
                // What is only in the new directory, or read for it.
                let plan = FaultPlan::new(kind).error(error).nth(nth);
                let plan = if kind == OpKind::Read { plan.on(".wal") } else { plan.on("copy") };
                fs.set_fault(Some(plan));
                let made = db.checkpoint("copy");
                let fired = fs.fault_fired() > 0;
                fs.set_fault(None);
                match &made {
                    Ok(_) => assert!(is_whole(&fs, "copy", &want), "{kind:?} {nth}"),
                    Err(wrong) => {
                        let full = matches!(wrong, Error::StorageFull { .. });
                        assert_eq!(
                            full,
                            error == ErrorKind::StorageFull,
                            "{kind:?} {nth}: {wrong}"
                        );
                        let left = fs.files("copy");
                        assert!(left.iter().all(|name| name == "LOCK"), "{kind:?} {nth}: {left:?}");
                        failed += 1;
                        // It was the copy's failure, and nobody else's.
                        db.checkpoint("copy").unwrap();
                        assert!(is_whole(&fs, "copy", &want), "{kind:?} {nth}");
                    }
                }
                db.put("after", "it").unwrap();
                db.flush().unwrap();
                if !fired {
                    break;
                }
            }
        }
    }
    println!("{failed} failed calls");
    assert!(failed > 30);
}
