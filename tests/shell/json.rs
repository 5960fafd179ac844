//! `--json`: each answer a line that a program reads.

use serde_json::{Value, json};

use crate::Place;

/// The answers to a script.
#[track_caller]
fn answers(place: &Place, script: &str) -> Vec<Value> {
    let out = place.run(&["--json"], script).ok();
    out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn every_answer_is_an_object() {
    let place = Place::new();
    place.write("rows.csv", "a,1\n");
    let script = "store k v, 'w'\nget k\nget absent\ndelete absent\nstore \\xff \\xfe\nget \\xff\n\
                  scan\nscan --reverse --limit 1\nuse users --create\nkeyspaces\nsnapshot\n\
                  snapshots\nrelease s1\nbatch\nstore a 1\ncommit\nbatch\nabort\n\
                  begin\nsavepoint\nstore a 2\nrollback p1\nget a\nrollback\n\
                  drop users\nflush\nsync\n";
    assert_eq!(
        answers(&place, script),
        [
            json!({"ok": true}),
            json!({"key": "k", "value": "v, 'w'"}),
            json!({"key": "absent", "value": null}),
            json!({"ok": true}),
            json!({"ok": true}),
            json!({"key": {"base64": "/w=="}, "value": {"base64": "/g=="}}),
            json!({"key": "k", "value": "v, 'w'"}),
            json!({"key": {"base64": "/w=="}, "value": {"base64": "/g=="}}),
            json!({"key": {"base64": "/w=="}, "value": {"base64": "/g=="}}),
            json!({"keyspace": "users", "new": true}),
            json!({"keyspace": "default", "used": false}),
            json!({"keyspace": "users", "used": true}),
            json!({"snapshot": "s1", "sequence": 3}),
            json!({"snapshot": "s1", "sequence": 3}),
            json!({"ok": true}),
            json!({"batch": 0}),
            json!({"batch": 1}),
            json!({"committed": 1, "sequence": 4}),
            json!({"batch": 0}),
            json!({"aborted": 0}),
            json!({"transaction": 0, "sequence": 4}),
            json!({"savepoint": "p1"}),
            json!({"transaction": 1}),
            json!({"rolled_back": 1, "transaction": 0}),
            json!({"key": "a", "value": "1"}),
            json!({"rolled_back": 0}),
            json!({"dropped": "users", "keyspace": "default"}),
            json!({"ok": true}),
            json!({"ok": true}),
        ]
    );
    let files = answers(&place, "import rows.csv --ack\nexport all.jsonl\n");
    assert_eq!(files[0], json!({"acked": 1}));
    assert_eq!((&files[1]["imported"], &files[1]["bytes"]), (&json!(1), &json!(4)));
    assert_eq!(files[2]["exported"], 3);
    let merging = answers(&place, "pause_compaction\nresume_compaction\ncompact a b\ncompact");
    assert_eq!(merging[..2], [json!({"ok": true}), json!({"ok": true})]);
    for compacted in &merging[2..] {
        let figures = ["read", "seconds", "runs", "segments", "bytes"];
        assert!(figures.iter().all(|name| compacted[name].is_number()), "{compacted}");
    }
    let stats = &answers(&place, "stats")[0];
    assert_eq!((&stats["runs"], &stats["healthy"]), (&json!(1), &json!(true)));
    assert_eq!((&stats["stretches"], &stats["stretch_jumps"]), (&json!(0), &json!(0)));
    let help = answers(&place, "help");
    assert!(
        help.iter().any(|command| command["usage"] == "store KEY VALUE | KEY --from FILE"),
        "{help:?}"
    );
    assert_eq!(answers(&place, "help get")[0]["command"], "get");
}

#[test]
fn every_table_is_whole_in_json() {
    // A field that only one of the two has is missed by readers of the other.
    let place = Place::new();
    let stats = &answers(&place, "stats")[0];
    let debug = format!("{:?}", alluvium::Stats::default());
    let names =
        debug.split(['{', ',']).skip(1).map(|field| field.split(':').next().unwrap().trim());
    let said = stats.to_string();
    for name in names {
        assert!(said.contains(&format!("\"{name}\":")), "{name} is missing in {said}");
    }
}

#[test]
fn an_error_is_an_object_too() {
    let place = Place::new();
    let ran = place.run(&["--json"], "store k v\nfrob\n");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "{\"ok\":true}\n"));
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((&error["input"], &error["line"]), (&json!("standard input"), &json!(2)));
    assert!(error["error"].as_str().unwrap().starts_with("there is no command frob"));
}

#[test]
fn a_scan_in_json_is_a_file_to_import() {
    let place = Place::new();
    place.input("store k 'a,\nb'\nstore \\xff \\x00\n").ok();
    place.write("dump.jsonl", place.run(&["--json", "-e", "scan"], "").ok());
    place.run(&["--path", "copy", "-e", "import dump.jsonl"], "").ok();
    assert_eq!(place.run(&["--path", "copy", "-e", "scan"], "").ok(), place.e("scan").ok());
}

/// Symptom: a program that reads JSON met a bare sentence. Mechanism: complaints that come before
/// or after the commands, of the open and of a batch left open, did not ask how answers look. Fix:
/// all do.
#[test]
fn complaints_outside_of_commands_are_objects_too() {
    let place = Place::new();
    place.write("file", "");
    for (args, input, want) in [
        (&["--json", "--path", "file"][..], "", "file"),
        (&["--json"][..], "batch\nstore a 1\n", "the batch of 1 was not committed"),
        (&["--json"][..], "begin\nstore a 1\n", "the transaction of 1 was rolled back"),
    ] {
        let ran = place.run(args, input);
        let said: Value = serde_json::from_str(&ran.err).expect(&ran.err);
        assert!(said["error"].as_str().unwrap().contains(want), "{said}");
        assert_eq!(ran.code, Some(1));
    }
}
