//! What the destructor of a thread-local may do: all that others may, whatever else of the thread
//! is gone by then.

use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, LocalKey};

use alluvium::{Db, Durability, KeyspaceOptions, WriteBatch};

/// Uses the database when its thread ends, and says how that went.
struct AtExit {
    db: Db,
    told: Sender<Result<(), alluvium::Error>>,
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

impl Drop for AtExit {
    fn drop(&mut self) {
        // A panic here would abort the process.
        let _ = self.told.send(use_all(&self.db));
    }
}

fn leave(local: &'static LocalKey<RefCell<Option<AtExit>>>, at_exit: Option<AtExit>) {
    local.try_with(|local| local.replace(at_exit)).unwrap();
}

/// Every kind of call.
fn use_all(db: &Db) -> Result<(), alluvium::Error> {
    db.put("put", "v")?;
    db.put_with("sync", "v", Durability::Sync)?;
    db.delete("gone")?;
    db.insert_if_absent("absent", "v")?;
    let _ = db.compare_and_swap("absent", Some(b"v"), Some(b"w"))?;
    db.update("count", |now| Some(now.map_or(vec![1], |now| vec![now[0] + 1])))?;
    let mut batch = WriteBatch::new();
    batch.put("batch", vec![b'v'; 100_000]);
    db.write(&batch)?;
    let keyspace = db.keyspace_with("other", KeyspaceOptions::new())?;
    keyspace.put("k", "v")?;
    db.flush()?;
    db.get("put")?;
    let _ = db.try_get("put")?;
    db.multi_get(["put", "sync"])?;
    for pair in db.range(..).rev() {
        pair?;
    }
    assert_eq!(db.snapshot().len()?, db.len()?);
    let _ = db.stats();
    db.verify()?;
    db.compact()
}

/// Symptom: a put in the destructor of a thread-local aborted the process. Mechanism: the buffer of
/// single writes is a thread-local too, and `LocalKey::take` panics once that is destroyed, which
/// in a destructor aborts. They go in the reverse of the order in which they were first used. Fix:
/// `try_with`, and a buffer of its own for that write; a lint forbids the calls that panic.
#[test]
fn a_thread_local_writes_and_reads_when_it_goes() {
    let db = Db::in_memory().unwrap();
    for before_the_first_put in [true, false] {
        let (told, outcome) = channel();
        let handle = db.clone();
        let ended = thread::spawn(move || {
            let at_exit = || Some(AtExit { db: handle.clone(), told: told.clone() });
            if before_the_first_put {
                leave(&AT_EXIT, at_exit());
            }
            use_all(&handle).unwrap();
            if !before_the_first_put {
                leave(&AT_EXIT, at_exit());
            }
            // And one more behind all others.
            leave(&SECOND, at_exit());
        });
        ended.join().unwrap();
        for outcome in outcome.iter().take(2) {
            outcome.unwrap();
        }
    }
    assert_eq!(db.get("count").unwrap().unwrap(), [6]);
}

/// The last handle may be one in a thread-local: its destructor closes.
#[test]
fn a_thread_local_closes_when_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_path_buf();
    let ended = thread::spawn(move || {
        let (told, _) = channel();
        leave(&AT_EXIT, Some(AtExit { db: Db::open(path).unwrap(), told }));
    });
    ended.join().unwrap();
    let db = Db::open(directory.path()).unwrap();
    assert_eq!(db.get("count").unwrap().unwrap(), [1]);
    assert_eq!(db.stats().log_bytes_rewritten, 0, "the close has flushed");
}
