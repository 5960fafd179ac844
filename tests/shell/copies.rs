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
    assert_eq!((&json["checkpoint"], &json["segments"]), (&json!("made"), &json!(1)));
}
