//! Who makes or deletes backups in a place, and who has to wait.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use alluvium::{BackupStore, Backups, Error};
use alluvium_object_store::ObjectBackupStore;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use crate::fault::Plan;
use crate::s3::Bucket;
use crate::{Place, database, plain, restored};

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn put(store: &ObjectBackupStore, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    store.put(name, &mut &bytes[..], bytes.len() as u64)
}

#[test]
fn one_at_a_time_by_whatever_handle() {
    for place in Place::all() {
        let ours = place.store(Plan::none());
        let theirs = place.store(Plan::none());
        let held = ours.lock(false).unwrap();
        for other in [&theirs, &ours.clone()] {
            assert_eq!(kind(other.lock(false)), Some(ErrorKind::WouldBlock), "{}", place.name());
        }
        let refused = place.backups().create(&database(1), &plain()).unwrap_err();
        assert!(refused.is_retryable(), "{refused}");
        // Readers go on, and nobody who has failed to get the lock has taken it away.
        theirs.lock(true).unwrap();
        assert!(place.backups().ids().unwrap().is_empty());
        put(&ours, "segments/a", b"a").unwrap();
        drop(held);
        drop(theirs.lock(false).unwrap());
        assert_eq!(place.names(), ["segments/a"], "{}", place.name());
    }
}

/// The lock of one that was taken for dead is not what it has any more.
#[test]
fn whoever_is_taken_for_dead_changes_nothing_any_more() {
    for place in Place::all() {
        let slow = place.store(Plan::none()).lease(Duration::ZERO);
        let held = slow.lock(false).unwrap();
        put(&slow, "segments/a", b"a").unwrap();
        let next = place.store(Plan::none()).lease(Duration::ZERO);
        if matches!(place, Place::Files(..)) {
            // Which cannot put a lock over another.
            let refused = next.lock(false).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
            assert!(refused.to_string().contains("by hand"), "{refused}");
            place.unlock_by_hand();
        }
        let taken = next.lock(false).unwrap();
        assert_eq!(kind(put(&slow, "segments/b", b"b")), Some(ErrorKind::WouldBlock));
        assert_eq!(kind(put(&slow, "segments/b", &[0; 20_000])), Some(ErrorKind::WouldBlock));
        assert_eq!(kind(put(&slow, "backups/000001", b"b")), Some(ErrorKind::WouldBlock));
        assert_eq!(kind(slow.delete("segments/a")), Some(ErrorKind::WouldBlock));
        // What it gives back is its own.
        drop(held);
        put(&next, "segments/c", b"c").unwrap();
        drop(taken);
        assert_eq!(place.names(), ["segments/a", "segments/c"], "{}", place.name());
    }
}

/// A long backup renews its lock, part by part.
#[test]
fn a_lock_is_renewed_while_a_segment_goes() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let store = place.store(Plan::none()).lease(Duration::ZERO);
    let _held = store.lock(false).unwrap();
    let before = bucket.object("lock").unwrap();
    struct Watched<'a>(&'a Bucket, u64);
    impl std::io::Read for Watched<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            // Somebody takes it over in the middle.
            self.1 += 1;
            if self.1 == 2 {
                self.0.set("lock", Some(b"somebody else's".to_vec()));
            }
            buf.fill(1);
            Ok(buf.len())
        }
    }
    let bytes = 5 * crate::PART_BYTES as u64;
    let put = store.put("segments/a", &mut Watched(&bucket, 0), bytes);
    assert_eq!(kind(put), Some(ErrorKind::WouldBlock));
    assert_eq!((bucket.object("segments/a"), bucket.parts_left()), (None, 0));
    assert_ne!(bucket.object("lock").unwrap(), before);
}

const MINUTE: Duration = Duration::from_secs(60);

/// A handle whose last call could not let go of the lock had it as it was, however old that had
/// become: it was taken for renewed, and the next to come took it over. It is put anew.
#[test]
fn ones_own_lock_of_long_ago_is_renewed_before_it_counts() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let ours = place.store(Plan::none());
    let held = ours.lock(false).unwrap();
    let left = bucket.object("lock").unwrap();
    drop(held);
    bucket.set("lock", Some(left.to_vec()));
    bucket.age("lock", 24 * 60 * MINUTE);
    let _held = ours.lock(false).unwrap();
    assert_eq!(kind(place.store(Plan::none()).lock(false)), Some(ErrorKind::WouldBlock));
    put(&ours, "backups/000001", b"one").unwrap();
}

/// Who reads a lock has a lease of its own, by which it judged that of one who renews by another.
#[test]
fn a_lock_counts_for_the_lease_of_its_holder() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let lock = |store: ObjectBackupStore| kind(store.lock(false));
    let hourly = place.store(Plan::none()).lease(60 * MINUTE);
    let held = hourly.lock(false).unwrap();
    bucket.age("lock", 30 * MINUTE);
    assert_eq!(lock(place.store(Plan::none())), Some(ErrorKind::WouldBlock));
    bucket.age("lock", 61 * MINUTE);
    assert_eq!(lock(place.store(Plan::none()).lease(120 * MINUTE)), None);
    drop(held);
    // One that says nothing counts for the longer of the default and the reader's.
    let unreadable = |age: Duration| {
        bucket.set("lock", Some(b"somebody's\n".to_vec()));
        bucket.age("lock", age);
    };
    unreadable(10 * MINUTE);
    assert_eq!(lock(place.store(Plan::none()).lease(MINUTE)), Some(ErrorKind::WouldBlock));
    unreadable(20 * MINUTE);
    assert_eq!(lock(place.store(Plan::none()).lease(30 * MINUTE)), Some(ErrorKind::WouldBlock));
    assert_eq!(lock(place.store(Plan::none()).lease(MINUTE)), None);
}

/// Records were put, and deletions begun, by a lock that was looked at a while before; meanwhile
/// another may have taken it over, and have deleted segments that the record names.
#[test]
fn records_are_put_and_deleted_by_a_lock_that_is_ours_at_that_moment() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let store = place.store(Plan::none());
    let held = store.lock(false).unwrap();
    put(&store, "backups/000001", b"one").unwrap();
    put(&store, "segments/a", b"a").unwrap();
    bucket.lose_lock_with("backups/000002");
    assert_eq!(kind(put(&store, "backups/000002", b"two")), Some(ErrorKind::WouldBlock));
    assert_eq!(bucket.object("backups/000002"), None);
    assert_eq!(kind(put(&store, "backups/000003", b"three")), Some(ErrorKind::WouldBlock));
    for name in ["backups/000001", "segments/a"] {
        assert_eq!(kind(store.delete(name)), Some(ErrorKind::WouldBlock));
        assert!(bucket.object(name).is_some(), "{name}");
    }
    drop(held);
    assert_eq!(bucket.object("lock").unwrap(), &b"somebody else's"[..]);
}

/// A lock was let go of by a deletion, which has no condition: done again, it took away the next.
#[test]
fn a_lock_is_let_go_of_by_a_free_one() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    for _ in 0..2 {
        let ours = place.store(Plan::none());
        let held = ours.lock(false).unwrap();
        assert!(bucket.object("lock").unwrap().starts_with(b"alluvium "));
        drop(held);
        assert_eq!(bucket.object("lock").unwrap(), &b"free\n"[..]);
    }
}

/// A server that takes no notice of conditions let everybody have the lock, as if there was one.
#[test]
fn a_server_without_conditions_has_no_lock() {
    let bucket = Bucket::new();
    bucket.ignore_conditions();
    let place = Place::Bucket(bucket.clone());
    let one = place.store(Plan::none());
    let two = place.store(Plan::none());
    let both = (one.lock(false).unwrap(), two.lock(false).unwrap());
    assert_eq!(bucket.object("lock"), None);
    assert_eq!(kind(one.clone().lock(false)), Some(ErrorKind::WouldBlock), "in here, it is");
    put(&one, "backups/000001", b"one").unwrap();
    drop(both);
    assert_eq!(bucket.names(), ["backups/000001"]);
}

/// Two that meet where there are no locks: neither takes the other's number.
#[test]
fn records_are_not_put_over_where_nothing_can_be_locked() {
    for conditional in ["disabled", "etag"] {
        let bucket = Bucket::new();
        let store = |bucket: &Bucket| {
            ObjectBackupStore::with_uploads(bucket.client_with(Plan::none(), conditional))
        };
        let one = store(&bucket);
        let two = store(&bucket);
        if conditional == "disabled" {
            let both = (one.lock(false).unwrap(), two.lock(false).unwrap());
            assert_eq!(
                kind(one.clone().lock(false)),
                Some(ErrorKind::WouldBlock),
                "in here, it is"
            );
            drop(both);
        }
        put(&one, "backups/000001", b"one").unwrap();
        assert_eq!(kind(put(&two, "backups/000001", b"two")), Some(ErrorKind::AlreadyExists));
        assert_eq!(bucket.object("backups/000001").unwrap(), &b"one"[..]);
        // Segments are the same whoever puts them.
        put(&one, "segments/a", b"a").unwrap();
        put(&two, "segments/a", b"a").unwrap();
    }
}

/// What tries again after a lost answer finds what it has put itself.
#[test]
fn ones_own_record_is_no_other() {
    let place = Place::Bucket(Bucket::new());
    let store = place.store(Plan::none());
    put(&store, "backups/000001", b"one").unwrap();
    put(&store, "backups/000001", b"one").unwrap();
}

/// A worker of the runtime that was given waited for a task that it was to run next itself.
#[test]
fn a_call_on_a_worker_of_the_runtime_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let place = ObjectBackupStore::new(Arc::new(InMemory::new()));
    let backups = Backups::new(place.runtime(runtime.handle().clone()));
    let db = database(1);
    let (tell, told) = std::sync::mpsc::channel();
    runtime.spawn(async move { tell.send(backups.create(&db, &plain()).map(|made| made.id)) });
    let made = told.recv_timeout(2 * MINUTE);
    runtime.shutdown_background();
    assert_eq!(made.expect("it ends").unwrap(), 1);
}

/// The runtime may be the program's, and the caller may be one of its threads.
#[test]
fn callers_of_both_worlds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let memory: Arc<InMemory> = Arc::default();
    let db = database(2);
    let on_theirs = ObjectBackupStore::new(memory.clone()).runtime(runtime.handle().clone());
    let backups = Backups::new(on_theirs);
    let mine = db.clone();
    let theirs = memory.clone();
    runtime.block_on(async move {
        let made = tokio::task::spawn_blocking(move || backups.create(&mine, &plain()));
        assert_eq!(made.await.unwrap().unwrap().id, 1);
        theirs.head(&"backups/000001".into()).await.unwrap();
        // Not what one should do, and no panic all the same, nor as it is dropped.
        let own = Backups::new(ObjectBackupStore::new(theirs));
        assert_eq!(own.create(&db, &plain()).unwrap().id, 2);
        drop(own);
    });
    assert!(!restored(&Place::Memory(memory.clone()), 2).is_empty());

    // A runtime that has ended is told.
    let gone = ObjectBackupStore::new(memory).runtime(runtime.handle().clone());
    runtime.shutdown_background();
    let refused = Backups::new(gone).ids().unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
}
