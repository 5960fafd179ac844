//! Backups in object stores: in memory, in a directory, and in a bucket of S3, by the real client of
//! it and a server in memory (`s3`). `faulty` and `fault` make calls fail by plan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "counts are what a run is judged by")]
#![allow(unreachable_pub, reason = "the files of one test know each other")]

mod backups;
mod cut_off;
mod fault;
mod faulty;
mod locks;
mod s3;

use std::sync::Arc;
use std::time::Duration;

use alluvium::io::SimFs;
use alluvium::{BackupOptions, BackupStore, Backups, Db};
use alluvium_object_store::ObjectBackupStore;
use object_store::ObjectStore;
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use fault::Plan;
use faulty::Faulty;
use s3::Bucket;

/// Parts as small as the bucket takes them, so that a segment has some.
const PART_BYTES: usize = s3::PART_BYTES_MIN;

/// A place that is reached again and again, by calls that may fail.
enum Place {
    Memory(Arc<InMemory>),
    /// Without names of uploads. The directory lasts as long.
    Files(Arc<LocalFileSystem>, tempfile::TempDir),
    Bucket(Bucket),
    /// Without names of uploads.
    PlainBucket(Bucket),
}

impl Place {
    fn all() -> Vec<Self> {
        let dir = tempfile::tempdir().unwrap();
        let files = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        vec![
            Self::Memory(Arc::default()),
            Self::Files(Arc::new(files), dir),
            Self::Bucket(Bucket::new()),
            Self::PlainBucket(Bucket::new()),
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "in memory",
            Self::Files(..) => "in files",
            Self::Bucket(_) => "in a bucket",
            Self::PlainBucket(_) => "in a bucket, without names of uploads",
        }
    }

    /// Reached by a new process, so to speak.
    fn store(&self, plan: Plan) -> ObjectBackupStore {
        let store = match self {
            Self::Memory(store) => {
                ObjectBackupStore::with_uploads(Arc::new(Faulty::new(Arc::clone(store), plan)))
            }
            Self::Files(store, _) => {
                ObjectBackupStore::new(Arc::new(Faulty::new(Arc::clone(store), plan)))
            }
            Self::Bucket(bucket) => ObjectBackupStore::with_uploads(bucket.client(plan)),
            Self::PlainBucket(bucket) => {
                let client: Arc<AmazonS3> = bucket.client(plan);
                ObjectBackupStore::new(client as Arc<dyn ObjectStore>)
            }
        };
        store.part_bytes(PART_BYTES)
    }

    fn backups(&self) -> Backups {
        Backups::new(self.store(Plan::none()))
    }

    /// Of a process with a lock that does not count for long.
    fn short_lived(&self, plan: Plan) -> Backups {
        Backups::new(self.store(plan).lease(Duration::ZERO))
    }

    /// Of a process that finds what a short-lived one has left behind.
    fn later(&self) -> Backups {
        self.unlock_by_hand();
        self.backups()
    }

    /// Where nothing else takes away the lock of a process that has died.
    fn unlock_by_hand(&self) {
        if let Self::Files(_, dir) = self {
            let _ = std::fs::remove_file(dir.path().join("lock"));
        }
    }

    /// The names of all objects, but for a lock that nobody has.
    fn names(&self) -> Vec<String> {
        let store = self.store(Plan::none());
        let folders = ["segments", "backups", "uploads"];
        let listed = folders.into_iter().flat_map(|folder| store.list(folder).unwrap());
        let mut names: Vec<_> = listed.map(|(name, _)| name).collect();
        if let Ok(mut lock) = store.get("lock") {
            let whose = std::io::read_to_string(&mut lock).unwrap();
            names.extend((whose != "free\n").then(|| "lock".to_owned()));
        }
        names.sort();
        names
    }
}

/// A database of some segments, each of some parts.
fn database(rounds: u64) -> Db {
    let db = Db::builder("data")
        .fs(Arc::new(SimFs::new()))
        .memtable_bytes(64 << 10)
        .compaction_threads(0)
        .open()
        .unwrap();
    (0..rounds).for_each(|round| write(&db, round));
    db
}

/// One more segment, of what cannot be compressed.
fn write(db: &Db, round: u64) {
    let mut state = round + 1;
    for number in 0..60_u64 {
        let byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let value: Vec<u8> = (0..500).map(byte).collect();
        db.put(format!("key {round} {number:03}"), value).unwrap();
    }
    db.flush().unwrap();
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(db: &Db) -> Pairs {
    db.range(..)
        .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
        .collect()
}

/// What a backup restores to, on a file system in memory.
fn restored(place: &Place, id: u64) -> Pairs {
    let fs = Arc::new(SimFs::new());
    place.backups().fs(fs.clone()).restore(Some(id), "restored").unwrap();
    let db = Db::builder("restored").fs(fs).create(false).open().unwrap();
    assert!(db.verify().unwrap().is_sound());
    pairs(&db)
}

fn plain() -> BackupOptions {
    BackupOptions::new()
}
