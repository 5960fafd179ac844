//! Databases that leave nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{Builder, Db, Error};

#[test]
fn the_directory_goes_with_whatever_reads_it_last() {
    type Reader = fn(&Db) -> Box<dyn std::any::Any>;
    let readers: [Reader; 4] = [
        |_| Box::new(()),
        |db| Box::new(db.clone()),
        |db| Box::new(db.snapshot()),
        |db| {
            let mut range = db.range(..);
            range.next().unwrap().unwrap();
            Box::new(range)
        },
    ];
    for (number, reader) in readers.into_iter().enumerate() {
        for close in [false, true] {
            let db = Db::temporary().unwrap();
            let path = db.path().to_path_buf();
            for i in 0..100 {
                db.put(format!("{i}"), [0; 1_000]).unwrap();
            }
            db.flush().unwrap();
            let held = reader(&db);
            if close {
                db.close().unwrap();
            }
            drop(db);
            assert_eq!(path.exists(), number > 0, "{number}");
            drop(held);
            assert!(!path.exists(), "{number}");
        }
    }
}

#[test]
fn every_temporary_database_is_another_and_a_panic_removes_it_too() {
    let first = Builder::temporary().memtable_bytes(4 << 10).open().unwrap();
    let second = Db::temporary().unwrap();
    assert_ne!(first.path(), second.path());
    first.put("k", "1").unwrap();
    assert_eq!(second.get("k").unwrap(), None);
    let path = second.path().to_path_buf();
    let test = AssertUnwindSafe(move || {
        let _db = second;
        panic!("as a failing test does");
    });
    assert!(catch_unwind(test).is_err());
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_temporary_is_refused_and_leaves_nothing() {
    let result = Builder::temporary().fs(Arc::new(SimFs::new())).open();
    assert!(matches!(result, Err(Error::InvalidArgument { .. })));
    // A database that is not there cannot be opened, in a directory that goes again.
    let result = Builder::temporary().read_only(true).open();
    let Err(Error::Io { path, .. }) = result else { panic!("{result:?}") };
    assert!(!path.exists());
}
