//! Places that are odd, or change while a backup is made: nothing that is listed is taken away, and
//! nothing goes where it does not belong.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use alluvium::io::SimFs;
use alluvium::{BackupOptions, BackupStore, Backups, Db, DirStore, Error};

use crate::{backups, builder, fill, pairs};

fn plain() -> BackupOptions {
    BackupOptions::new()
}

type Before = Box<dyn FnMut(&'static str, &str) -> io::Result<()> + Send>;

/// A place without a lock that runs the test's code before each call: its name, and the object's.
struct Odd {
    store: DirStore,
    before: Mutex<Before>,
    /// Lists each object twice.
    twice: bool,
}

impl Odd {
    fn new(
        store: DirStore,
        before: impl FnMut(&'static str, &str) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self { store, before: Mutex::new(Box::new(before)), twice: false }
    }

    fn before(&self, call: &'static str, name: &str) -> io::Result<()> {
        (self.before.lock().unwrap())(call, name)
    }
}

impl fmt::Debug for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Odd")
    }
}

impl BackupStore for Odd {
    fn put(&self, name: &str, source: &mut dyn Read, bytes: u64) -> io::Result<()> {
        self.before("put", name)?;
        self.store.put(name, source, bytes)
    }

    fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
        self.before("get", name)?;
        self.store.get(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let mut listed = self.store.list(folder)?;
        if self.twice {
            listed.extend(listed.clone());
        }
        Ok(listed)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.before("delete", name)?;
        self.store.delete(name)
    }
}

/// Some backups of a database, and the place that they are in.
fn made(count: usize) -> (SimFs, Db, DirStore) {
    let fs = SimFs::new();
    let db = builder(&fs, "data").open().unwrap();
    for round in 0..count {
        db.put(format!("round {round}"), "x".repeat(300)).unwrap();
        backups(&fs).create(&db, &plain()).unwrap();
    }
    let store = DirStore::with_fs(Arc::new(fs.clone()), "backups");
    (fs, db, store)
}

/// Symptom: `keep(1)` left no backup at all. Mechanism: a place listed the newest twice, and one of
/// the two was taken for an older one. Mend: each number counts once.
#[test]
fn a_backup_that_is_listed_twice_is_one() {
    let (fs, _db, store) = made(2);
    let twice = Odd { twice: true, ..Odd::new(store, |_, _| Ok(())) };
    let twice = Backups::new(twice);
    assert_eq!(twice.ids().unwrap(), [1, 2]);
    assert_eq!(twice.list().unwrap().len(), 2);
    assert_eq!(twice.keep(1).unwrap().backups, 1);
    assert_eq!(backups(&fs).ids().unwrap(), [2]);
    assert!(backups(&fs).verify(2).unwrap().is_sound());
}

/// What a place lists and then does not find may be there after all.
#[test]
fn segments_stay_while_a_record_that_is_listed_is_not_found() {
    let (fs, db, store) = made(3);
    let newest = "backups/000003";
    let blind = Odd::new(store, move |call, name| match (call, name == newest) {
        ("get", true) => Err(ErrorKind::NotFound.into()),
        _ => Ok(()),
    });
    let blind = Backups::new(blind);
    assert!(matches!(blind.keep(2), Err(Error::BackupDamaged { .. })));
    assert!(matches!(blind.delete(1), Err(Error::BackupDamaged { .. })));
    assert!(matches!(blind.info(3), Err(Error::InvalidArgument { .. })));
    assert_eq!(blind.list().unwrap().len(), 1, "the second");
    assert_eq!(blind.create(&db, &plain()).unwrap().id, 4);
    for id in [2, 3, 4] {
        assert!(backups(&fs).verify(id).unwrap().is_sound());
    }
}

/// Symptom: the newest backup was put over. Mechanism: its number, which somebody had made up, has
/// none after it, and was given out again.
#[test]
fn the_last_number_is_not_given_out_again() {
    let (fs, db, _) = made(1);
    let name = format!("backups/backups/{}", u64::MAX);
    fs.write_file(&name, b"of somebody's");
    let refused = backups(&fs).create(&db, &plain()).unwrap_err();
    assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
    assert!(refused.to_string().contains(&u64::MAX.to_string()), "{refused}");
    assert_eq!(fs.read_file(&name).unwrap(), b"of somebody's");
}

/// Where there is no lock another may be made at once, and takes the number.
#[test]
fn a_number_that_another_has_taken_is_not_put_over() {
    let (fs, db, store) = made(1);
    let mut taken = Some((backups(&fs), db.clone()));
    let crowded = Odd::new(store, move |call, name| {
        if (call, name) == ("put", "backups/000002")
            && let Some((backups, db)) = taken.take()
        {
            // The other one; a place that can tell says so.
            backups.create(&db, &plain().label("the other")).unwrap();
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(())
    });
    let crowded = Backups::new(crowded);
    db.put("k", "v").unwrap();
    let refused = crowded.create(&db, &plain()).unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(crowded.info(2).unwrap().label, "the other");
    assert_eq!(crowded.create(&db, &plain()).unwrap().id, 3);
}

/// With many backups each would otherwise read the records of all.
#[test]
fn of_the_records_no_more_are_read_than_are_needed() {
    let (_fs, db, store) = made(10);
    let gets = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&gets);
    let store = Odd::new(store, move |call, _| {
        counted.fetch_add(u64::from(call == "get"), Ordering::SeqCst);
        Ok(())
    });
    let backups = Backups::new(store);
    db.put("k", "v").unwrap();
    assert!(backups.create(&db, &plain()).unwrap().new_bytes > 0);
    assert_eq!(gets.swap(0, Ordering::SeqCst), 1, "the newest");
    assert_eq!(backups.list().unwrap().len(), 11);
    assert_eq!(gets.swap(0, Ordering::SeqCst), 11);
    backups.info(5).unwrap();
    assert_eq!(gets.load(Ordering::SeqCst), 1);
}

/// Symptom: a record in an empty directory, of segments that it does not have; and `keep` took
/// those of another database, whose place it was by then. Mechanism: names were looked up again for
/// each object. Mend: what was locked is looked for before each change.
#[test]
#[cfg(unix)]
fn a_place_that_is_moved_meanwhile_is_told_and_what_takes_its_place_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("data")).unwrap();
    fill(&db);
    let place = dir.path().join("place");
    Backups::new(DirStore::new(&place)).create(&db, &plain()).unwrap();
    db.put("k", "v").unwrap();

    let theirs = dir.path().join("theirs");
    let other = Db::open(dir.path().join("other")).unwrap();
    fill(&other);
    Backups::new(DirStore::new(&theirs)).create(&other, &plain()).unwrap();

    let aside = dir.path().join("aside");
    let swap = |backups: &Path, others: &Path, aside: &Path| {
        std::fs::rename(backups, aside).unwrap();
        std::fs::rename(others, backups).unwrap();
    };
    let [there, their, away] = [place.clone(), theirs.clone(), aside.clone()];
    let swapped = Mutex::new(false);
    let backups = Backups::new(DirStore::new(&place)).progress(move |done, _| {
        // As the first segment goes.
        if done > 0 && !std::mem::replace(&mut *swapped.lock().unwrap(), true) {
            swap(&there, &their, &away);
        }
    });
    let refused = backups.create(&db, &plain()).unwrap_err();
    assert!(refused.to_string().contains("moved away"), "{refused}");

    // Theirs has what it had, and ours too.
    let back = Backups::new(DirStore::new(&place));
    assert!(back.ids().unwrap() == [1] && back.verify(1).unwrap().is_sound());
    back.restore(None, dir.path().join("restored")).unwrap();
    assert_eq!(pairs(&Db::open(dir.path().join("restored")).unwrap()), pairs(&other));
    std::fs::rename(&place, &theirs).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    assert!(back.ids().unwrap() == [1] && back.verify(1).unwrap().is_sound());
    assert_eq!(back.create(&db, &plain()).unwrap().id, 2);
    assert!(back.verify(2).unwrap().is_sound());
}

/// A link in the path of a place that leads elsewhere by now.
#[test]
#[cfg(unix)]
fn a_link_to_a_place_may_be_changed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("data")).unwrap();
    fill(&db);
    let folder = |name: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let [before, after] = [folder("before"), folder("after")];
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&before, &link).unwrap();
    let [path, new] = [link.clone(), after.clone()];
    let changed = Mutex::new(false);
    let backups = Backups::new(DirStore::new(&link)).progress(move |done, _| {
        if done > 0 && !std::mem::replace(&mut *changed.lock().unwrap(), true) {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&new, &path).unwrap();
        }
    });
    backups.create(&db, &plain()).unwrap();
    assert_eq!(std::fs::read_dir(&after).unwrap().count(), 0);
    let there = Backups::new(DirStore::new(&before));
    assert!(there.ids().unwrap() == [1] && there.verify(1).unwrap().is_sound());
}

/// Whoever closes a database that is being copied gets it back when the copy is done.
#[test]
fn a_close_meanwhile_takes_nothing_from_a_backup() {
    let (fs, db, store) = made(1);
    fill(&db);
    let want = pairs(&db);
    let mut closed = Some(db.clone());
    let at = fs.clone();
    let slow = Odd::new(store, move |call, _| {
        if call == "put"
            && let Some(db) = closed.take()
        {
            db.compact().unwrap();
            db.close().unwrap();
            let again = builder(&at, "data").open();
            assert!(matches!(again, Err(Error::Locked { .. })), "{again:?}");
        }
        Ok(())
    });
    let made = Backups::new(slow).create(&db, &plain()).unwrap();
    assert!(backups(&fs).verify(made.id).unwrap().is_sound());
    drop(db);
    for dir in ["data", "restored"] {
        if dir == "restored" {
            backups(&fs).restore(None, dir).unwrap();
        }
        let db = builder(&fs, dir).open().unwrap();
        assert_eq!(pairs(&db), want, "{dir}");
        assert!(db.verify().unwrap().is_sound(), "{dir}");
    }
}
