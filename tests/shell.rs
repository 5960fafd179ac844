//! The shell, end to end: the built example, driven as a user drives it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The example that cargo built beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    let program = profile.join("examples").join(format!("repl{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: `cargo test` builds it, or `cargo build --example repl`",
        program.display()
    );
    program
}

/// What one run of the shell came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The output of a run in which nothing went wrong.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The message of a run that ended with this exit status.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        self.err
    }
}

/// A directory in which shells run one after the other.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn start(&self, args: &[&str]) -> Child {
        Command::new(program())
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut child = self.start(args);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // From a thread of its own: with both pipes full, each side would wait for the other. A
        // shell that stops early leaves input unread, which is no failure of the test.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("the shell prints UTF-8 only"),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs commands from standard input.
    fn input(&self, input: impl AsRef<[u8]>) -> Ran {
        self.run(&[], input)
    }

    /// Runs one command with `-e`.
    fn e(&self, command: &str) -> Ran {
        self.run(&["-e", command], "")
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(file), bytes).unwrap();
    }
}

#[test]
fn a_session_stores_gets_and_leaves() {
    let place = Place::new();
    let out = place
        .input(
            "store name Ann Example\n\
             STORE list a, b,  c \n\
             get name\n\
             get list\n\
             get Name\n\
             store poem \"roses\\nviolets\"\n\
             get poem\n\
             store poem 'line one\n\n  line three'\n\
             get poem\n\
             store name Bob\n\
             Get name\n\
             delete name\n\
             get name\n\
             delete name\n\
             exit\n\
             get list\n",
        )
        .ok();
    assert_eq!(
        out,
        "ok\nok\nAnn Example\na, b,  c\n(not found)\nok\nroses\nviolets\nok\n\
         line one\n\n  line three\nok\nBob\nok\n(not found)\nok\n"
    );
    // The default directory, and what the next process finds there.
    assert!(place.path().join("alluvium-data").is_dir());
    assert_eq!(place.e("get list").ok(), "a, b,  c\n");
    assert_eq!(place.e("get poem").ok(), "line one\n\n  line three\n");
    assert_eq!(place.e("get name").ok(), "(not found)\n");
    assert_eq!(place.e("scan").ok(), "list\ta, b,  c\npoem\tline one\\n\\n  line three\n");
}

#[test]
fn help_lists_every_command() {
    let out = Place::new().input("help\n").ok();
    for name in ["store", "get", "delete", "scan", "import", "flush", "stats", "help", "exit"] {
        assert!(out.lines().any(|line| line.split(' ').next() == Some(name)), "{name}: {out}");
    }
}

#[test]
fn flush_and_stats_answer() {
    let place = Place::new();
    let out = place.input("store k v\nflush\nget k\nstats\n").ok();
    let stats = out.strip_prefix("ok\nok\nv\n").expect("three answers come before the table");
    assert!(!stats.trim().is_empty());
    assert_eq!(place.e("get k").ok(), "v\n");
}

#[test]
fn every_byte_survives_the_shell_and_a_dump() {
    let (place, all) = (Place::new(), (0..=255).collect::<Vec<u8>>());
    let hexadecimal =
        |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
    let mut script = Vec::new();
    for &byte in &all {
        let text = hexadecimal(&[byte]);
        writeln!(script, "store {text} {text}\nstore \"{text}{text}\" \"{text}\"").unwrap();
    }
    writeln!(script, "store all {}", hexadecimal(&all)).unwrap();
    assert_eq!(place.input(script).ok(), "ok\n".repeat(2 * 256 + 1));
    // Written raw, each byte is itself inside single quotes, all but the quote.
    let raw: Vec<u8> = all.iter().copied().filter(|&byte| byte != b'\'').collect();
    assert_eq!(place.input([b"store raw '", &*raw, b"'\n"].concat()).ok(), "ok\n");

    let dump = place.e("scan").ok();
    assert_eq!(dump.lines().count(), 2 * 256 + 2);
    let lines: Vec<&str> = dump.lines().collect();
    assert!(lines.contains(&r"\0	\0") && lines.contains(&r"\n	\n") && lines.contains(&r"\\	\\"));
    assert!(lines.contains(&"a\ta") && lines.contains(&r"\xff	\xff"));

    // The dump imports as it is, into the same contents.
    place.write("dump.tsv", &dump);
    place.run(&["--path", "copy", "-e", "import dump.tsv"], "").ok();
    assert_eq!(place.run(&["--path", "copy", "-e", "scan"], "").ok(), dump);
    for (key, want) in [("a", "a"), (r"\x1b", r"\x1b"), (r"\xff\xff", r"\xff"), (r"\t", "\t")] {
        assert_eq!(place.e(&format!("get {key}")).ok(), format!("{want}\n"));
    }
}

#[test]
fn scan_keeps_to_its_bounds() {
    let place = Place::new();
    place.input("store a 1\nstore b 2\nstore c 3\nstore B 4\nstore '' empty\n").ok();
    for (command, want) in [
        ("scan", "\tempty\nB\t4\na\t1\nb\t2\nc\t3\n"),
        ("scan a", "a\t1\nb\t2\nc\t3\n"),
        ("SCAN a c", "a\t1\nb\t2\n"),
        ("scan '' a", "\tempty\nB\t4\n"),
        ("scan aa bb", "b\t2\n"),
        ("scan b b", ""),
        ("scan c a", ""),
        ("scan d", ""),
    ] {
        assert_eq!(place.e(command).ok(), want, "{command}");
    }
}

#[test]
fn commands_may_come_as_arguments() {
    let place = Place::new();
    let out = place.run(&["-e", "store k v w", "-e", "get k\nget 'no\nkey'", "-e", "get k"], "x");
    assert_eq!(out.ok(), "ok\nv w\n(not found)\nv w\n");
    let ran = place.run(&["-e", "store k 2", "-e", "\nget", "-e", "store k 3"], "");
    assert_eq!(ran.out, "ok\n");
    assert!(ran.failed(1).starts_with("error: -e 2, line 2: the key is missing"));
    assert_eq!(place.run(&["-e", "get k", "-e", "exit", "-e", "get"], "").ok(), "2\n");
    assert!(place.e("get 'k").failed(1).contains("before the closing quote '"));
}

#[test]
fn a_script_stops_at_its_first_error_and_names_the_line() {
    let place = Place::new();
    for (bad, line, want) in [
        ("frob\n", 4, "there is no command frob"),
        ("store key\n", 4, "the value is missing"),
        ("get \"\\q\"\n", 4, r"\q is not an escape"),
        ("\n\nget a b\n", 6, "b is one word too many"),
        ("store a 'open\n", 4, "the input ends before the closing quote '"),
        ("import absent.tsv\n", 4, "cannot open absent.tsv"),
        ("import .\n", 4, "cannot tell the format of ."),
        ("import . --format csv\n", 4, "cannot "),
    ] {
        // The second command takes two lines.
        let ran = place.input(format!("store k 1\nstore k 'two\nlines'\n{bad}store k 3\n"));
        assert_eq!(ran.out, "ok\nok\n");
        let err = ran.failed(1);
        let head = format!("error: standard input, line {line}: {want}");
        assert!(err.starts_with(&head) && err.ends_with('\n') && err.lines().count() == 1, "{err}");
        assert_eq!(place.e("get k").ok(), "two\nlines\n");
    }
}

#[test]
fn exit_statuses_and_usage() {
    let place = Place::new();
    for wrong in [&["--path"][..], &["-e"], &["data"], &["--frob"], &["--path", "a", "--path=b"]] {
        let ran = place.run(wrong, "store k v\n");
        assert_eq!(ran.out, "");
        ran.failed(2);
    }
    assert!(place.run(&["--help"], "").ok().contains("--path DIR"));
    assert_eq!(
        place.run(&["--version"], "").ok(),
        concat!("alluvium ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(!place.path().join("alluvium-data").exists(), "no command was run");
    place.write("file", "not a database");
    place.run(&["--path", "file"], "").failed(1);
    assert_eq!(place.input("").ok(), "");
    // The bytes of a key too long for the engine come from the shell's own input.
    let err = place.input(format!("store {} v\n", "k".repeat(65_536))).failed(1);
    assert!(err.starts_with("error: standard input, line 1: "), "{err}");
}

#[test]
fn answers_come_at_once_and_a_second_shell_is_refused() {
    let place = Place::new();
    let mut first = place.start(&[]);
    let mut stdin = first.stdin.take().unwrap();
    let mut stdout = BufReader::new(first.stdout.take().unwrap());
    for (command, want) in [("store k v\n\n", "ok\n"), ("get k\nget", "v\n"), (" k\n", "v\n")] {
        stdin.write_all(command.as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, want);
    }
    assert!(place.e("get k").failed(1).contains("lock"));
    drop(stdin);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(place.e("get k").ok(), "v\n");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    let rows: String = (0..20_000).map(|i| format!("key {i:05}\n")).collect();
    place.write("keys.txt", rows);
    place.e("import keys.txt").ok();
    let mut child = place.start(&["-e", "scan"]);
    let mut some = [0; 9];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    assert_eq!(&some, b"key 00000");
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

/// Imports a file into a new database and checks what a scan then prints.
#[track_caller]
fn import(file: &str, options: &str, bytes: &str, rows: usize, want: &str) {
    let place = Place::new();
    place.write(file, bytes);
    let out = place.e(&format!("import '{file}' {options}")).ok();
    let head = format!("imported {rows} rows, {} bytes in ", bytes.len());
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
        assert!(err.ends_with("; 1 rows before it are stored\n"), "{err}");
        let scan = place.run(&["--path", &format!("{file}.db"), "-e", "scan"], "");
        assert_eq!(scan.ok(), "good\t1\n");
    }
    place.write("long.txt", format!("good\n{}\n", "k".repeat(65_536)));
    let err = place.e("import long.txt").failed(1);
    assert!(err.contains("long.txt, line 2: expected a key of at most 65535 bytes"), "{err}");
    assert_eq!(place.e("scan").ok(), "good\t\n");
    place.write("head.jsonl", "[\"a\",\"b\"]\n");
    assert!(place.e("import head.jsonl --header").failed(1).contains("--header goes with"));
}

#[test]
fn import_acknowledges_batches() {
    let place = Place::new();
    place.write("n.txt", (0..2_500).map(|i| format!("{i}\n")).collect::<String>());
    let out = place.e("import n.txt --ack").ok();
    assert!(out.starts_with("acked 1000\nacked 2000\nacked 2500\nimported 2500 rows"), "{out}");
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
    assert_eq!(acked, "acked 3000");
    child.kill().unwrap();
    child.wait().unwrap();
    let want: String = (0..3_000).map(|i| format!("{i:04}\tvalue {i}\n")).collect();
    assert_eq!(place.e("scan").ok(), want);
}

/// One random byte string after the other, from a seed.
struct Random(u64);

impl Random {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
    let mut random = Random(seed);
    let pairs: BTreeMap<_, _> = (0..500).map(|_| (random.bytes(), random.bytes())).collect();
    let (mut csv, mut script) = (Vec::new(), Vec::new());
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
    for file in ["pairs.csv", "pairs.tsv"] {
        let path = format!("--path={file}.db");
        place.run(&[&path, "-e", &format!("import {file}")], "").ok();
        assert_eq!(place.run(&[&path, "-e", "scan"], "").ok(), dump, "{file}");
    }
}
