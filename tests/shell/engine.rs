//! Segments, their index, and what the engine says about both.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Place;

impl Place {
    /// The segment files of the default database.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("alluvium-data")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "seg")).collect()
    }
}

#[test]
fn segments_are_drawn_as_layers() {
    let place = Place::new();
    assert_eq!(place.e_unmerged("segments").ok(), "(none: all is in memory and in the log)\n");
    let rows: String = (0..2_000).map(|n| format!("key {n:05}\n")).collect();
    place.write("keys.txt", rows);
    let script =
        "import keys.txt\nflush\nuse users --create\nstore ann 1\ndelete bob\nflush\nsegments";
    let out = place.e_unmerged(script).ok();
    let lines: Vec<&str> = out.lines().rev().take(4).collect();
    let [total, old, new, head] = lines[..] else { panic!("{out}") };
    assert!(head.trim_start().starts_with("bytes") && head.ends_with("keys"), "{out}");
    assert!(new.starts_with("run ") && new.contains(" ▎ "), "{out}");
    assert!(new.ends_with("  users/ann … users/bob"), "{out}");
    assert!(old.contains(&"█".repeat(16)) && old.contains(" 2,000 "), "{out}");
    assert!(old.ends_with("  key 00000 … key 01999"), "{out}");
    assert!(total.starts_with("2 runs, newest first; 2 segments, "), "{out}");
    assert!(total.ends_with(", 2,002 versions"), "{out}");
    // The same number, written the same way.
    assert!(place.e_unmerged("stats").ok().contains(", 2,002 versions)"));
    assert_eq!(place.e_unmerged("segments --all").ok().lines().count(), 6);

    let json = place.run(&["--json", "--no-compaction", "-e", "segments"], "").ok();
    let infos: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((infos.len(), &infos[1]["first_key"]), (2, &json!("key 00000")));
    assert_eq!((&infos[0]["age"], &infos[0]["first_keyspace"]), (&json!(0), &json!("users")));
    for info in &infos {
        let whole = [&info["trimmed"], &info["last_excluded"], &info["merging"]];
        assert_eq!(whole, [&json!(false); 3], "{info}");
        assert!(info["used_bytes"].as_u64() < info["bytes"].as_u64(), "{info}");
    }
}

#[test]
fn the_index_is_built_again_saved_and_loaded() {
    let place = Place::new();
    let out = place.e("store a 1\nstore b 2\nflush\nload_index\nget a").ok();
    let answer = out.lines().nth(3).unwrap();
    let want = "rebuilt the index of 1 segment from their data blocks: 1 block, 2 versions, ";
    assert!(answer.starts_with(want) && out.ends_with("\n1\n"), "{out}");

    let out = place.e("save_index_snapshot 'warm index'\nload_index_snapshot 'warm index'").ok();
    assert!(out.starts_with("saved the index of 1 segment to warm index: 1 block, "), "{out}");
    assert!(out.contains("\nloaded the index of 1 segment from warm index: "), "{out}");
    let out = place.e_unmerged("store c 3\nflush\nload_index_snapshot 'warm index'\nget c").ok();
    assert!(out.contains("; 1 segment is not in the file and keeps its own\n3\n"), "{out}");
    let json = place
        .run(&["--json", "--no-compaction", "-e", "load_index_snapshot 'warm index'"], "")
        .ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["segments"], &report["missing"]), (&json!(1), &json!(1)));

    // Damaged, foreign or absent, it changes nothing and says why.
    let mut bytes = place.read("warm index");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("damaged", bytes);
    for file in ["damaged", "absent"] {
        let err = place.e(&format!("load_index_snapshot {file}")).failed(1);
        assert!(err.contains(file), "{err}");
    }
    let foreign =
        place.run(&["--path", "other", "--create", "-e", "load_index_snapshot 'warm index'"], "");
    assert!(foreign.failed(1).contains("warm index"));
    for command in ["save_index_snapshot", "load_index_snapshot"] {
        let err = place.e(command).failed(1);
        assert!(err.contains(&format!("the file is missing: write {command} FILE")), "{err}");
    }
    assert_eq!(place.e("get a\nget b\nget c").ok(), "1\n2\n3\n");
}

#[test]
fn the_threshold_seals_memtables_of_its_size() {
    let place = Place::new();
    let script = "set_threshold 64KiB\nimport big.tsv\nstats";
    let rows: String = (0..100).map(|n| format!("{n}\t{}\n", "v".repeat(10_000))).collect();
    place.write("big.tsv", rows);
    let out = place.e(script).ok();
    assert!(out.starts_with("memtables of 64.0 KiB from the next one on\nimported 100"), "{out}");
    for (command, want) in [
        ("set_threshold 17", "memtable_bytes"),
        ("set_threshold 99999TiB", "memtable_bytes"),
        ("set_threshold", "the size is missing: write set_threshold SIZE"),
        ("set_threshold lots", "is no size"),
    ] {
        let err = place.e(command).failed(1);
        assert!(err.contains(want), "{command}: {err}");
    }
}

#[test]
fn damage_is_found_and_fails_the_command() {
    let place = Place::new();
    let out = place.e("store a 1\nflush\nverify").ok();
    assert!(out.contains("\nread 1 segment: 1 block, 1 version, "), "{out}");
    assert!(out.ends_with("; nothing is damaged\n"), "{out}");
    let path = place.segments().pop().expect("a flush makes a segment");
    let sound = fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    let at = bytes.len() / 4;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = place.e("verify");
    assert!(ran.out.contains(" damaged\n"), "{ran:?}");
    assert!(ran.failed(1).contains("the database is damaged"));
    let json = place.run(&["--json", "-e", "verify"], "");
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert!(report["damages"].as_u64() > Some(0) && report["errors"][0].is_string(), "{report}");
    fs::write(&path, sound).unwrap();
    assert!(place.e("verify").ok().ends_with("; nothing is damaged\n"));
}

/// Symptom: `verify` advised to export what can still be read, and an export stopped at the first
/// damaged block and left no file. Fix: `--skip-damaged` reads on, and tells what is missing.
#[test]
fn what_can_be_read_of_a_damaged_database_is_saved() {
    let place = Place::new();
    let rows: String = (0..20_000).map(|n| format!("key {n:05}\tvalue {n}\n")).collect();
    place.write("all.tsv", &rows);
    place.e("import all.tsv\nflush\ncompact").ok();
    let path = place.segments().pop().expect("a flush makes a segment");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 4;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = place.e_unmerged("verify");
    assert!(ran.failed(1).contains("export --skip-damaged saves what can be read"));
    let err = place.e_unmerged("export saved.tsv").failed(1);
    assert!(
        err.contains(" is damaged: ") && err.contains("; saved.tsv is as it was before"),
        "{err}"
    );
    assert!(!place.path().join("saved.tsv").exists());

    let ran = place.e_unmerged("export saved.tsv --skip-damaged");
    assert!(
        ran.out.contains("keys that are in no other block are missing:\n    from key "),
        "{ran:?}"
    );
    let err = ran.failed(1);
    assert!(
        err.contains("1 damaged block could not be read: saved.tsv holds what is left"),
        "{err}"
    );
    let saved = String::from_utf8(place.read("saved.tsv")).unwrap();
    let missing = 20_000 - saved.lines().count();
    assert!((1..1_000).contains(&missing), "{missing}");
    let all: std::collections::HashSet<&str> = rows.lines().collect();
    assert!(saved.lines().all(|line| all.contains(line)));
    let json = place.run(&["--json", "--no-compaction", "-e", "export - --skip-damaged"], "");
    assert_eq!((json.code, json.out.lines().count()), (Some(1), 20_000 - missing));
    let summary: Value = serde_json::from_str(json.err.lines().next().unwrap()).unwrap();
    assert!(summary["skipped"][0]["from"].as_str().unwrap().starts_with("key "), "{summary}");
    assert_eq!(summary["suspect"], 0, "no key is in two blocks");
}

#[test]
fn a_get_is_explained() {
    let place = Place::new();
    let script = "store k old\nsnapshot\nflush\ndelete k\nexplain k\nexplain k --at s1\nexplain x";
    let out = place.e_unmerged(script).ok();
    let answers = out.split_once("ok\nkey ").expect("three answers, then the first explanation").1;
    let explained: Vec<&str> = answers.split("\nkey ").collect();
    let [now, then, absent] = explained[..] else { panic!("{out}") };
    assert!(now.contains("active memtable") && now.contains("not found: a tombstone"), "{now}");
    assert!(then.contains("found: a value of 3 bytes") && then.contains("run "), "{then}");
    assert!(absent.contains("not found: no layer has it"), "{absent}");

    let json = place.run(&["--json", "--no-compaction", "-e", "flush\nexplain k"], "").ok();
    let explained: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&explained["key"], &explained["keyspace"]), (&json!("k"), &json!("default")));
    assert_eq!(explained["found"]["version"]["value_bytes"], json!(null));
    let layers = explained["layers"].as_array().unwrap();
    let filters: Vec<_> = layers.iter().map(|layer| layer["filter"].as_str().unwrap()).collect();
    assert_eq!(filters, ["rules out", "passes", "passes"], "{explained}");
    assert_eq!(layers[1]["blocks"][0]["cached"], json!(false));

    for (command, want) in [
        ("explain", "the key is missing: write explain KEY [--at SNAPSHOT]"),
        ("explain k --at s9", "there is no snapshot s9"),
    ] {
        let err = place.e(command).failed(1);
        assert!(err.contains(want), "{command}: {err}");
    }
}

/// A script of flushes, each of the same keys.
fn flushes(values: &[&str]) -> String {
    let flush =
        |value: &&str| format!("store a {value}\nstore m {value}\nstore z {value}\nflush\n");
    values.iter().map(flush).collect()
}

#[test]
fn runs_are_merged_on_request() {
    let place = Place::new();
    place.e_unmerged(&(flushes(&["1", "2", "3"]) + "delete m\nflush")).ok();
    assert!(place.e_unmerged("segments").ok().contains("\n4 runs, newest first; 4 segments, "));
    // Also where nothing is merged unasked.
    let out = place.e_unmerged("compact\nsegments\nscan").ok();
    let (answer, rest) = out.split_once('\n').unwrap();
    assert!(answer.starts_with("read ") && !answer.starts_with("read 0 B in "), "{answer}");
    assert!(answer.contains("; now 1 run, 1 segment, "), "{answer}");
    assert!(rest.contains("\n1 run, newest first; 1 segment, "), "{rest}");
    assert!(rest.ends_with(", 2 versions\na\t3\nz\t3\n"), "{rest}");
    // What is merged is not merged again.
    let out = place.run(&["--json", "-e", "compact"], "").ok();
    let again: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&again["read"], &again["runs"]), (&json!(0), &json!(1)), "{again}");
    assert!(again["seconds"].is_f64() && again["bytes"].as_u64() > Some(0), "{again}");
    assert!(place.e("stats").ok().contains("\nruns                   1 (1 segment, "));
}

#[test]
fn a_range_of_the_keyspace_in_use_is_merged() {
    let place = Place::new();
    let script = flushes(&["1", "2"]) + "use users --create\n" + &flushes(&["3", "4"]);
    place.e_unmerged(&script).ok();
    // On how many layers a get of a key meets a version.
    let versions = |command: &str| {
        let out = place.run(&["--json", "--no-compaction", "-e", command], "").ok();
        let answer: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        let layers = answer["layers"].as_array().unwrap();
        layers.iter().filter(|layer| layer["versions"] != json!([])).count()
    };
    assert_eq!(versions("explain m"), 2);
    assert_eq!(versions("compact a m\nexplain a"), 1);
    assert_eq!(versions("explain m"), 2, "the end is left out");
    assert_eq!(versions("explain z"), 2);
    assert_eq!(versions("use users\nexplain a"), 2);
    assert_eq!(versions("use users\ncompact m\nexplain z"), 1);
    assert_eq!(versions("use users\nexplain a"), 2);
    assert_eq!(versions("explain z"), 2, "of another keyspace");
    assert_eq!(versions("compact\nexplain z"), 1);
    assert_eq!(versions("use users\nexplain a"), 1);
    let out = place.e("scan\nuse users\nscan").ok();
    assert_eq!(out, "a\t2\nm\t2\nz\t2\nnow in users\na\t4\nm\t4\nz\t4\n");
}

#[test]
fn merging_can_be_paused() {
    let place = Place::new();
    let script = "pause_compaction\n".to_owned() + &flushes(&["1", "2", "3"]) + "segments";
    let out = place.e(&script).ok();
    assert!(out.contains("\n3 runs, newest first; 3 segments, "), "{out}");
    // It would wait for a command that cannot be typed while it waits.
    for command in ["compact", "compact a"] {
        let err = place.e(&format!("pause_compaction\n{command}")).failed(1);
        assert!(err.contains("merging is paused: resume_compaction first"), "{err}");
    }
    let out = place.e("pause_compaction\nresume_compaction\ncompact").ok();
    assert!(out.starts_with("ok\nok\nread "), "{out}");
    assert!(out.contains("; now 1 run, "), "{out}");
    // Shutting down does not wait for it either.
    assert_eq!(place.e("pause_compaction").ok(), "ok\n");
}

#[test]
fn what_a_snapshot_sees_outlives_a_compaction() {
    let place = Place::new();
    let script = "store k old\nflush\nsnapshot\nstore k new\ncompact\nget k --at s1\nsegments";
    let out = place.e_unmerged(script).ok();
    assert!(out.contains("\nold\n") && out.ends_with(", 2 versions\n"), "{out}");
    let out = place.e_unmerged("store k newer\ncompact\nsegments\nget k").ok();
    assert!(out.ends_with(", 1 version\nnewer\n"), "{out}");
}
