//! What a slip of the hand does not make: databases, keyspaces.

use std::fs;

use crate::Place;

/// Symptom: a typo in `--path` made a database. Fix: what only reads makes none.
#[test]
fn a_typo_makes_no_database() {
    let place = Place::new();
    for script in ["get k", "scan", "count", "export all.tsv", "stats", "use users", "frob"] {
        let err = place.run(&["--path", "typo", "-e", script], "").failed(1);
        assert!(err.contains("there is no database in typo"), "{script}: {err}");
        let err = place.run(&["--path", "typo"], format!("# first\n{script}\n")).failed(1);
        assert!(err.contains("there is no database in typo"), "{script}: {err}");
    }
    for option in ["--no-create", "--read-only"] {
        let err = place.run(&["--path", "typo", option, "-e", "store k v"], "").failed(1);
        assert!(err.contains("there is no database in typo"), "{option}: {err}");
        let err = place.run(&[option], "store k v\n").failed(1);
        assert!(err.contains("there is no database in ./alluvium-data"), "{option}: {err}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    // What writes makes one, and no line of the script is lost over the question.
    let script = "# first\n\nstore k 'two\nlines'\nget k\nstore l 1";
    assert_eq!(place.run(&["--path", "new"], script).ok(), "ok\ntwo\nlines\nok\n");
    assert_eq!(place.run(&["--path", "new", "--no-create", "-e", "get l"], "").ok(), "1\n");
    assert_eq!(place.run(&["--path", "made", "--create", "-e", "count"], "").ok(), "0\n");
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path().join("photos")).unwrap();
    place.write("photos/cat.jpg", "meow");
    for args in [&["--path", "photos", "-e", "store k v"][..], &["--path", "photos"]] {
        let err = place.run(args, "store k v\n").failed(1);
        assert!(err.contains("photos is no database: it holds other files, such as cat.jpg"));
    }
    assert_eq!(fs::read_dir(place.path().join("photos")).unwrap().count(), 1);
    fs::create_dir(place.path().join("empty")).unwrap();
    assert_eq!(place.run(&["--path", "empty", "-e", "store k v"], "").ok(), "ok\n");
    let args = ["--path", "photos", "--create", "-e", "store k v"];
    assert_eq!(place.run(&args, "").ok(), "ok\n");
    assert_eq!(place.read("photos/cat.jpg"), b"meow");
}

#[test]
fn a_keyspace_is_made_on_request() {
    let place = Place::new();
    place.e("use users --create\nstore k 1").ok();
    for (args, want) in [
        (&["-e", "use user\nstore k 2"][..], "there is no keyspace user; did you mean users?"),
        (&["--keyspace", "usres", "-e", "store k 2"], "there is no keyspace usres; did you mean"),
        (&["--no-create", "-e", "use x --create"], "there is no keyspace x"),
        (&["--read-only", "-e", "use x --create"], "there is no keyspace x"),
    ] {
        let err = place.run(args, "").failed(1);
        assert!(err.contains(want), "{args:?}: {err}");
    }
    assert_eq!(place.e("keyspaces").ok(), "* default\n  users\n");
    assert_eq!(place.run(&["--keyspace", "users", "-e", "get k"], "").ok(), "1\n");
    assert_eq!(place.run(&["--keyspace=new", "--create", "-e", "count"], "").ok(), "0\n");
}

#[test]
fn a_read_only_session_changes_nothing() {
    let place = Place::new();
    place.e("store k v").ok();
    assert_eq!(place.run(&["--read-only", "-e", "get k\nscan"], "").ok(), "v\nk\tv\n");
    place.write("n.txt", "a\n");
    for command in ["store k w", "delete k", "import n.txt", "drop default", "flush", "compact"] {
        let err = place.run(&["--read-only", "-e", command], "").failed(1);
        assert!(err.contains("read-only") || err.contains("default"), "{command}: {err}");
    }
    assert_eq!(place.e("get k").ok(), "v\n");
}

#[test]
fn a_missing_key_shows_in_the_exit_status() {
    let place = Place::new();
    place.e("store k v").ok();
    let ran = place.e("get absent\nget k");
    assert_eq!(ran.out, "v\n");
    assert_eq!(ran.failed(1), "error: -e 1, line 1: there is no key absent\n");
    for (command, code, out) in [
        ("exists k", 0, "yes\n"),
        ("exists absent", 1, "no\n"),
        ("mget k", 0, "k\tv\n"),
        ("mget absent k", 1, "absent (not found)\nk\tv\n"),
        ("get --raw k", 0, "v"),
    ] {
        let ran = place.e(command);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(code), out, ""));
    }
    // In a dialogue it is an answer, as it has always been.
    assert_eq!(place.input("get absent\nexists absent\nget k\n").ok(), "(not found)\nno\nv\n");
}
