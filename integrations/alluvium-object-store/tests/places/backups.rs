//! What goes there, what comes back, and what damage is called.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use alluvium::io::SimFs;
use alluvium::{BackupStore, Backups, Error};
use object_store::ObjectStoreExt;

use crate::fault::{Fault, Plan};
use crate::s3::Bucket;
use crate::{PART_BYTES, Place, database, pairs, plain, restored, write};

#[test]
fn each_moves_what_is_new_and_restores_as_it_was() {
    for place in Place::all() {
        let what = place.name();
        let db = database(3);
        let first = place.backups().create(&db, &plain()).unwrap();
        assert_eq!((first.segments, first.new_bytes), (3, first.bytes), "{what}");
        assert!(first.bytes > 3 * 3 * PART_BYTES as u64, "segments have some parts");
        let mut want = vec![pairs(&db)];
        write(&db, 3);
        let second = place.backups().create(&db, &plain().label("second")).unwrap();
        assert_eq!((second.segments, second.new_bytes), (4, second.bytes - first.bytes), "{what}");
        want.push(pairs(&db));
        db.compact().unwrap();
        let third = place.backups().create(&db, &plain()).unwrap();
        want.push(pairs(&db));
        assert_eq!(place.backups().list().unwrap(), [first, second, third.clone()], "{what}");
        for (id, want) in (1..).zip(&want) {
            assert!(place.backups().verify(id).unwrap().is_sound(), "{what}");
            assert_eq!(&restored(&place, id), want, "{what}");
        }
        assert_eq!(place.backups().keep(1).unwrap().backups, 2, "{what}");
        assert_eq!(restored(&place, 3), want[2], "{what}");
        let names = place.names();
        assert_eq!(names.len() as u64, 1 + third.segments, "{what}: {names:?}");
        // None are there already, so the requests are few.
        let plan = Plan::none();
        Backups::new(place.store(plan.clone())).create(&db, &plain()).unwrap();
        println!("{what}: {} calls for a backup of nothing new", plan.calls());
        assert!(plan.calls() < 20, "{what}: {}", plan.calls());
    }
}

#[test]
fn damage_is_named_and_nothing_is_restored() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let db = database(2);
    let made = place.backups().create(&db, &plain()).unwrap();
    for name in bucket.names().into_iter().filter(|name| name != "lock") {
        let bytes = bucket.object(&name).unwrap();
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 1;
        let mut longer = bytes.to_vec();
        longer.push(0);
        let shorter = bytes[..bytes.len() - 1].to_vec();
        for damaged in [Some(flipped), Some(longer), Some(shorter), Some(Vec::new()), None] {
            let missing = damaged.is_none();
            bucket.set(&name, damaged);
            let fs = Arc::new(SimFs::new());
            let restored = place.backups().fs(fs.clone()).restore(Some(made.id), "restored");
            match restored.unwrap_err() {
                Error::BackupDamaged { object, .. } => {
                    let told = object.display().to_string();
                    assert_eq!(told, format!("AmazonS3(bucket)/{name}"));
                }
                Error::InvalidArgument { .. } if missing && name.starts_with("backups") => {}
                error => panic!("{name}: {error}"),
            }
            assert!(fs.files(Path::new("restored")).iter().all(|name| name == "LOCK"));
        }
        bucket.set(&name, Some(bytes.to_vec()));
    }
    assert_eq!(restored(&place, made.id), pairs(&db));
}

/// A store that says that it has all of a segment, and has not.
#[test]
fn an_upload_that_came_out_short_is_an_error_and_put_again() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let db = database(1);
    bucket.lose_last_parts();
    let refused = place.backups().create(&db, &plain()).unwrap_err();
    let Error::Io { source, .. } = &refused else { panic!("{refused}") };
    assert_eq!(source.kind(), ErrorKind::InvalidData, "{refused}");
    assert!(place.backups().ids().unwrap().is_empty());
}

/// An object is read in parts, all of which are of the one that was there at first.
#[test]
fn parts_of_two_objects_are_not_mixed() {
    for place in Place::all() {
        let store = place.store(Plan::none()).parts_at_once(1);
        let put = |byte: u8| {
            let bytes = vec![byte; 3 * PART_BYTES];
            store.put("segments/a", &mut &bytes[..], bytes.len() as u64).unwrap();
        };
        put(1);
        let mut object = store.get("segments/a").unwrap();
        let mut part = vec![0; PART_BYTES];
        object.read_exact(&mut part).unwrap();
        assert!(part.iter().all(|byte| *byte == 1));
        put(2);
        let rest = object.read_to_end(&mut part);
        assert!(rest.is_err(), "{}", place.name());
    }
}

#[test]
fn what_is_there_is_read_as_it_is() {
    for place in Place::all() {
        let store = place.store(Plan::none());
        let missing = store.get("segments/none").err().map(|error| error.kind());
        assert_eq!(missing, Some(ErrorKind::NotFound), "{}", place.name());
        store.delete("segments/none").unwrap();
        assert!(store.list("segments").unwrap().is_empty());
        for bytes in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 7 * PART_BYTES + 3] {
            let want: Vec<u8> = (0..bytes).map(|at| (at / 100) as u8).collect();
            let name = format!("segments/{bytes}");
            store.put(&name, &mut &want[..], bytes as u64).unwrap();
            let mut got = Vec::new();
            store.get(&name).unwrap().read_to_end(&mut got).unwrap();
            assert_eq!(got, want, "{}, {bytes} bytes", place.name());
            let short = store.put("segments/short", &mut &want[..], bytes as u64 + 1);
            assert_eq!(short.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        let mut listed = store.list("segments").unwrap();
        listed.sort_by_key(|(_, bytes)| *bytes);
        assert_eq!(listed.len(), 6, "{}: {listed:?}", place.name());
        assert!(listed.iter().all(|(name, bytes)| *name == format!("segments/{bytes}")));
    }
}

/// Memory is bounded by the parts that are on their way.
#[test]
fn so_many_parts_are_on_their_way_and_no_more() {
    for most in [1, 3] {
        let bucket = Bucket::new();
        let store = Place::Bucket(bucket.clone()).store(Plan::none()).parts_at_once(most);
        let bytes = 30 * PART_BYTES as u64;
        store.put("segments/a", &mut std::io::repeat(7).take(bytes), bytes).unwrap();
        assert_eq!(bucket.object("segments/a").unwrap().len() as u64, bytes);
        assert_eq!(bucket.most_parts_on_their_way(), most as u64);
    }
}

/// A list has pages, and one of a place of many backups has many.
#[test]
fn thousands_of_objects_are_listed_and_deleted() {
    let bucket = Bucket::new();
    let place = Place::Bucket(bucket.clone());
    let db = database(1);
    place.backups().create(&db, &plain()).unwrap();
    for number in 0..3_000_u64 {
        bucket.set(&format!("segments/{number:032x}-7"), Some(vec![0; 7]));
    }
    bucket.set("segments/notes", Some(b"of somebody's".to_vec()));
    assert_eq!(place.store(Plan::none()).list("segments").unwrap().len(), 3_002);
    let second = place.backups().create(&db, &plain()).unwrap();
    assert_eq!(second.new_bytes, 0);
    let deleted = place.backups().keep(1).unwrap();
    assert_eq!((deleted.segments, deleted.bytes), (3_000, 21_000));
    assert_eq!(place.names().len(), 3, "{:?}", place.names());
}

/// What a store says has the kind that the engine knows it by.
#[test]
fn errors_have_kinds() {
    let store = Place::Bucket(Bucket::new()).store(Plan::new(Fault::Refused, 0));
    let refused = store.get("segments/a").err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::PermissionDenied));
    // The system's own, of a store of files.
    let dir = tempfile::tempdir().unwrap();
    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let store = alluvium_object_store::ObjectBackupStore::new(Arc::new(files));
    std::fs::write(dir.path().join("segments"), b"a file").unwrap();
    let refused = store.put("segments/a", &mut &b"a"[..], 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Other, "one that means nothing here: {refused:?}");
}

/// A place of its own in a bucket, with names of uploads.
#[test]
fn one_bucket_has_many_places() {
    let memory = object_store::memory::InMemory::new();
    let at = |name: &str| {
        let store = object_store::prefix::PrefixStore::new(memory.clone(), name);
        Backups::new(alluvium_object_store::ObjectBackupStore::with_uploads(Arc::new(store)))
    };
    for name in ["users", "orders"] {
        assert_eq!(at(name).create(&database(1), &plain()).unwrap().id, 1);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        memory.head(&"users/backups/000001".into()).await.unwrap();
    });
}
