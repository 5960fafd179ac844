//! A backup whose process dies at any call of the store, or whose calls fail: the one before is
//! whole, the next one is made, and nothing is left behind.

use alluvium::Error;

use crate::fault::{Fault, Plan};
use crate::{Place, database, pairs, plain, restored, write};

/// Makes a backup, whose `fault` comes at each call in turn, and has what is left checked.
fn at_each_call(fault: Fault, check: impl Fn(&Place, bool, &str)) {
    let kinds = Place::all().len();
    for kind in 0..kinds {
        let mut cut = 0;
        for at in 0.. {
            let place = Place::all().swap_remove(kind);
            let db = database(2);
            place.backups().create(&db, &plain()).unwrap();
            let first = pairs(&db);
            write(&db, 2);
            let second = pairs(&db);
            let plan = Plan::new(fault, at);
            let made = place.short_lived(plan.clone()).create(&db, &plain());
            let over = plan.calls() <= at;
            let what = format!("{}, {fault:?} at {at}", place.name());
            check(&place, made.is_ok(), &what);

            let ids = place.backups().ids().unwrap();
            assert!(ids == [1] || ids == [1, 2], "{what}: {ids:?}");
            assert!(ids.len() == 2 || made.is_err(), "{what}");
            assert_eq!(restored(&place, 1), first, "{what}");
            if ids.len() == 2 {
                assert_eq!(restored(&place, 2), second, "{what}");
            }
            let next = place.later().create(&db, &plain()).unwrap();
            assert_eq!(next.id, ids.len() as u64 + 1, "{what}");
            assert_eq!(restored(&place, next.id), second, "{what}");
            place.later().keep(1).unwrap();
            let names = place.names();
            assert_eq!(names.len() as u64, 1 + next.segments, "{what}: {names:?}");
            assert_eq!(restored(&place, next.id), second, "{what}");
            if let Place::Bucket(bucket) = &place {
                assert_eq!(bucket.parts_left(), 0, "{what}");
            }
            cut += u64::from(made.is_err());
            if over {
                break;
            }
        }
        println!("{}, {fault:?}: {cut} backups cut off", Place::all()[kind].name());
        assert!(cut > 8);
    }
}

#[test]
fn a_process_that_dies_before_any_call_leaves_the_last_backup_and_nothing_in_the_way() {
    at_each_call(Fault::Dead { done: false }, |_, _, _| {});
}

#[test]
fn a_process_that_dies_after_any_call_leaves_the_last_backup_and_nothing_in_the_way() {
    at_each_call(Fault::Dead { done: true }, |_, _, _| {});
}

/// One that goes on takes back what it has begun, and lets go of the lock.
#[test]
fn a_call_that_is_refused_leaves_no_upload_and_no_lock() {
    at_each_call(Fault::Refused, |place, _, what| {
        let bucket = match place {
            Place::Bucket(bucket) | Place::PlainBucket(bucket) => Some(bucket),
            _ => None,
        };
        // Unless what was refused is just that: then the next one does it.
        let refused_to_end = |names: &[String]| {
            names.iter().filter(|name| *name == "lock" || name.starts_with("uploads")).count() <= 1
        };
        assert!(refused_to_end(&place.names()), "{what}: {:?}", place.names());
        if let Some(bucket) = bucket {
            assert_eq!(bucket.parts_left(), 0, "{what}");
        }
    });
}

/// The client of S3 tries again by itself.
#[test]
fn throttling_and_answers_that_are_lost_are_made_up_for() {
    for fault in [Fault::Throttled, Fault::AnswerLost] {
        for every in 2..12 {
            for kind in [2, 3] {
                let place = Place::all().swap_remove(kind);
                let what = format!("{}, {fault:?} every {every}", place.name());
                let db = database(2);
                let made = |id: u64| {
                    let plan = Plan::new(fault, every);
                    let made = place.short_lived(plan).create(&db, &plain());
                    // What is not tried again by the client is an error, and no backup.
                    match made {
                        Ok(made) => assert_eq!(made.id, id, "{what}"),
                        Err(error) => {
                            assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
                            assert_eq!(place.backups().ids().unwrap().len() as u64, id - 1);
                            assert_eq!(place.later().create(&db, &plain()).unwrap().id, id);
                        }
                    }
                };
                made(1);
                write(&db, 2);
                made(2);
                assert_eq!(restored(&place, 2), pairs(&db), "{what}");
                assert!(place.backups().verify(1).unwrap().is_sound(), "{what}");
            }
        }
    }
}

/// What was done is not taken for undone because nobody heard of it: a record, a lock, an upload that
/// is complete.
#[test]
fn one_answer_that_is_lost_is_no_error() {
    let mut lost = 0;
    for at in 0.. {
        let place = Place::all().swap_remove(2);
        let db = database(1);
        let plan = Plan::new(Fault::AnswerLostOnce, at);
        let made = place.short_lived(plan.clone()).create(&db, &plain());
        assert_eq!(made.unwrap().id, 1, "at {at}");
        assert_eq!(restored(&place, 1), pairs(&db), "at {at}");
        let names = place.names();
        assert_eq!(names.len(), 2, "at {at}: {names:?}");
        if plan.calls() <= at {
            break;
        }
        lost += 1;
    }
    println!("{lost} answers lost");
    assert!(lost > 8);
}
