//! Whole files in and out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};

use crate::Place;

/// Imports a file into a new database and checks what a scan then prints.
#[track_caller]
fn import(file: &str, options: &str, bytes: &str, rows: usize, want: &str) {
    let place = Place::new();
    place.write(file, bytes);
    let out = place.e(&format!("import '{file}' {options}")).ok();
    let counted = |count: usize, thing: &str| match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    };
    let head = format!("imported {}, {} in ", counted(rows, "row"), counted(bytes.len(), "byte"));
    assert!(out.starts_with(&head) && out.ends_with(" rows/s\n"), "{out}");
    assert_eq!(place.e("scan").ok(), want);
}

#[test]
fn import_reads_each_format() {
    import("a.tsv", "", "k\tv 1\nk2\ta\\tb\\n\n", 2, "k\tv 1\nk2\ta\\tb\\n\n");
    import("my words.txt", "", "beta\r\nalpha\r\n\r\nit's", 3, "alpha\t\nbeta\t\nit's\t\n");
    import(
        "a.csv",
        "",
        "key,value\n\"a,b\",\"say \"\"hi\"\"\"\r\nc,\"two\nlines\"\nd,\\x41\n",
        4,
        "a,b\tsay \"hi\"\nc\ttwo\\nlines\nd\t\\\\x41\nkey\tvalue\n",
    );
    import("a.CSV", "--header", "key,value\na,1\n", 1, "a\t1\n");
    import("a.tsv", "--header", "key\tvalue\na\t1\n", 1, "a\t1\n");
    let json = "{\"key\": \"k\", \"value\": \"v\\n\\u00e9\"}\n[\"k2\", \"v2\"]\n";
    import("a.jsonl", "", json, 2, "k\tv\\né\nk2\tv2\n");
    import("a.ndjson", "", json, 2, "k\tv\\né\nk2\tv2\n");
    import("data", "--format jsonl", json, 2, "k\tv\\né\nk2\tv2\n");
    import("a.txt", "--format csv", "a,1\n", 1, "a\t1\n");
    import("none.csv", "", "", 0, "");
    // The last of two rows with one key wins.
    import("twice.csv", "", "k,1\nk,2\n", 2, "k\t2\n");
}

#[test]
fn import_names_a_malformed_row_and_keeps_those_before_it() {
    let place = Place::new();
    for (file, bytes, line, want) in [
        ("a.tsv", "good\t1\nbad\t2\t3\nlate\t4\n", 2, "expected one tab"),
        ("b.tsv", "good\t1\nbad\t\\q\nlate\t4\n", 2, r"expected escapes as in the shell: \q"),
        ("a.csv", "good,\"1\"\n\nbad\nlate,4\n", 3, "expected 2 columns"),
        ("b.csv", "good,1\nbad,2,3\nlate,4\n", 2, "expected 2 columns"),
        ("c.csv", "good,1\nbad,\"2\nlate,4\n", 2, "expected a closing quote"),
        ("a.jsonl", "[\"good\",\"1\"]\n{\"key\":\"bad\"}\n", 2, "expected an object"),
    ] {
        let command = format!("import {file}");
        place.write(file, bytes);
        let ran = place.run(&["--path", &format!("{file}.db"), "-e", &command], "");
        assert_eq!(ran.out, "");
        let err = ran.failed(1);
        assert!(err.contains(&format!("{file}, line {line}: {want}")), "{err}");
        assert!(err.ends_with("; 1 row before it is stored\n"), "{err}");
        let scan = place.run(&["--path", &format!("{file}.db"), "-e", "scan"], "");
        assert_eq!(scan.ok(), "good\t1\n");
    }
    place.write("long.txt", format!("good\n{}\n", "k".repeat(65_536)));
    let err = place.e("import long.txt").failed(1);
    assert!(err.contains("long.txt, line 2: expected a key of at most 65,535 bytes"), "{err}");
    assert_eq!(place.e("scan").ok(), "good\t\n");
    place.write("head.jsonl", "[\"a\",\"b\"]\n");
    assert!(place.e("import head.jsonl --header").failed(1).contains("--header goes with"));
}

#[test]
fn import_acknowledges_batches() {
    let place = Place::new();
    place.write("n.txt", (0..2_500).map(|i| format!("{i}\n")).collect::<String>());
    let out = place.e("import n.txt --ack").ok();
    assert!(out.starts_with("acked 1,000\nacked 2,000\nacked 2,500\nimported 2,500 rows"), "{out}");
    // A row over the size of a batch is a batch.
    place.write("big.txt", format!("a\t{0}\nb\t{0}\nc\t1\n", "v".repeat((1 << 20) + 5)));
    let out = place.e("import big.txt --ack").ok();
    assert!(out.starts_with("acked 1\nacked 2\nacked 3\nimported 3 rows"), "{out}");
    assert_eq!(place.e("get b").ok().len(), (1 << 20) + 5 + 1);
    assert_eq!(place.e("scan").ok().lines().count(), 2_503);
}

#[cfg(unix)]
#[test]
fn a_killed_import_keeps_what_it_acknowledged() {
    let place = Place::new();
    let mut child = place.start(&["-e", "import /dev/stdin --format tsv --ack"]);
    let mut stdin = child.stdin.take().unwrap();
    // The input stays open, so that the import is under way when it is killed.
    for i in 0..3_500 {
        writeln!(stdin, "{i:04}\tvalue {i}").unwrap();
    }
    let acked = BufReader::new(child.stdout.take().unwrap()).lines().nth(2).unwrap().unwrap();
    assert_eq!(acked, "acked 3,000");
    child.kill().unwrap();
    child.wait().unwrap();
    let want: String = (0..3_000).map(|i| format!("{i:04}\tvalue {i}\n")).collect();
    assert_eq!(place.e("scan").ok(), want);
}

/// One random byte string after the other, from a seed.
struct Random(fastrand::Rng);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Up to 11 bytes, most of them those that the formats treat as special.
    fn bytes(&mut self) -> Vec<u8> {
        const SPECIAL: &[u8] = b"\n\r\t,\"'\\ \0ab\xc3\xa9\xef\xbb\xbf";
        let count = self.next() % 12;
        (0..count)
            .map(|_| match self.next() {
                n if n % 4 == 0 => (n >> 8) as u8,
                n => SPECIAL[(n >> 8) as usize % SPECIAL.len()],
            })
            .collect()
    }
}

#[test]
fn random_bytes_survive_each_format() {
    let seed = std::env::var("ALLUVIUM_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    eprintln!("ALLUVIUM_SEED={seed}");
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let pairs: BTreeMap<_, _> = (0..500).map(|_| (random.bytes(), random.bytes())).collect();
    let mut csv = Vec::new();
    let mut script = Vec::new();
    for (key, value) in &pairs {
        let quoted = |bytes: &[u8]| {
            let inside: Vec<u8> =
                bytes.iter().flat_map(|&b| vec![b; 1 + usize::from(b == b'"')]).collect();
            [b"\"", &*inside, b"\""].concat()
        };
        csv.extend_from_slice(&[&*quoted(key), b",", &*quoted(value), b"\r\n"].concat());
        let escaped =
            |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
        writeln!(script, "store \"{}\" \"{}\"", escaped(key), escaped(value)).unwrap();
    }
    let place = Place::new();
    place.input(script).ok();
    let dump = place.e("scan").ok();
    assert_eq!(dump.lines().count(), pairs.len());
    place.write("pairs.csv", csv);
    place.write("pairs.tsv", &dump);
    let export = "export out.tsv\nexport out.csv\nexport out.jsonl\nexport out --format csv";
    assert_eq!(place.e(export).ok().lines().count(), 4);
    assert_eq!(place.read("out.tsv"), dump.as_bytes());
    assert_eq!(place.read("out"), place.read("out.csv"));
    for file in ["pairs.csv", "pairs.tsv", "out.tsv", "out.csv", "out.jsonl"] {
        let path = format!("--path={file}.db");
        place.run(&[&path, "-e", &format!("import {file}")], "").ok();
        assert_eq!(place.run(&[&path, "-e", "scan"], "").ok(), dump, "{file}");
    }
}

#[test]
fn an_export_is_whole_or_not_there() {
    let place = Place::new();
    place.input("store a 1\nuse users --create\nstore u 'x,\ny'\n").ok();
    let out = place.e("export all.csv").ok();
    assert!(out.starts_with("exported 1 row, 4 bytes in ") && out.ends_with(" rows/s\n"), "{out}");
    assert_eq!(place.read("all.csv"), b"a,1\n");
    // The keyspace in use, at a snapshot, instead of the old file.
    let script = "use users\nsnapshot\nstore u 2\nexport all.csv --at s1\nexport u.jsonl";
    place.e(script).ok();
    assert_eq!(place.read("all.csv"), b"u,\"x,\ny\"\n");
    assert_eq!(place.read("u.jsonl"), b"{\"key\":\"u\",\"value\":\"2\"}\n");
    for (command, want) in [
        ("export all.xyz", "cannot tell the format of all.xyz by its extension"),
        ("export absent/all.csv", "cannot make absent/all.csv: "),
        ("export . --format csv", "cannot make .: "),
        ("export all.csv --at s9", "there is no snapshot s9"),
        ("export alluvium-data/CURRENT --format tsv", "is in the database's own directory"),
        ("export", "the file is missing: write export FILE"),
        ("export a.csv --header", "no option --header: write export FILE"),
    ] {
        let err = place.e(command).failed(1);
        assert!(err.contains(want), "{command}: {err}");
    }
    assert_eq!(place.read("all.csv"), b"u,\"x,\ny\"\n");
    assert!(!place.path().join("all.csv.part").exists());
}

/// Symptom: an export overwrote a user's file, and two at once to one name mixed their rows.
/// Mechanism: what it writes first had a fixed name, and was opened whether it was there or not.
/// Fix: only a file that it has made itself.
#[test]
fn an_export_leaves_files_alone_that_are_not_its_own() {
    let place = Place::new();
    place.write("all.csv.part", "theirs");
    place.write("all.csv.part1", "theirs too");
    place.e("store a 1\nexport all.csv").ok();
    assert_eq!(place.read("all.csv"), b"a,1\n");
    assert_eq!(place.read("all.csv.part"), b"theirs");
    assert_eq!(place.read("all.csv.part1"), b"theirs too");
    assert!(!place.path().join("all.csv.part2").exists());
}

#[cfg(unix)]
#[test]
fn an_export_goes_where_no_file_can_be() {
    let place = Place::new();
    let ran = place.e("store a 1\nexport /dev/stdout --format tsv");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ok\na\t1\n"));
    assert!(ran.err.starts_with("exported 1 row, 4 bytes in "), "{ran:?}");
}
