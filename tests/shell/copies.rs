//! Copies of the database.

use serde_json::{Value, json};

use crate::Place;

#[test]
fn a_checkpoint_is_a_database_of_its_own() {
    let place = Place::new();
    let out = place.e("store a 1\nflush\nstore b 2\ncheckpoint 'the copy'\nstore b 3").ok();
    let answer = out.lines().find(|line| line.starts_with("the copy is a database")).unwrap();
    assert!(answer.contains("with everything so far: 1 segment of "), "{out}");
    let copy = place.run(&["--path", "the copy", "-e", "scan"], "").ok();
    assert_eq!(copy, "a\t1\nb\t2\n");
    assert_eq!(place.e("get b").ok(), "3\n");

    // A directory with files in it is left alone.
    let refused = place.e("checkpoint 'the copy'").failed(1);
    assert!(refused.contains("could not make a checkpoint among the files in"), "{refused}");
    let json = place.run(&["--json", "-e", "checkpoint next"], "").ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    // Two, or one if they were merged meanwhile.
    assert_eq!(json["checkpoint"], json!("made"));
    assert!(json["segments"].as_u64().is_some_and(|count| (1..=2).contains(&count)), "{json}");
}

#[test]
fn backups_are_made_listed_and_restored() {
    let place = Place::new();
    let out = place.e("store a 1\nbackup saved --label first\nstore b 2").ok();
    assert!(out.contains("backup 1: 1 segment of "), "{out}");
    place.e("backup saved").ok();
    let list = place.e("backups saved").ok();
    assert!(list.lines().count() == 2 && list.contains("first"), "{list}");
    let out = place.e("restore saved early --backup 1").ok();
    assert!(out.starts_with("early is a database with what backup 1 has: 1 segment of "), "{out}");
    assert_eq!(place.run(&["--path", "early", "-e", "scan"], "").ok(), "a\t1\n");
    let out = place.e("backup saved --keep 1").ok();
    assert!(out.contains("2 older backups deleted"), "{out}");
    let refused = place.e("restore saved early --backup 3").failed(1);
    assert!(refused.contains("could not restore a backup among the files in early"), "{refused}");
    let refused = place.e("restore saved late --backup 1").failed(1);
    assert!(refused.contains("there is no backup 1 in saved"), "{refused}");
}
