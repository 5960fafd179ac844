//! What every session rests on: commands, quotes, scripts, exit statuses.

use std::io::{BufRead, BufReader, Read, Write};

use crate::Place;

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
    assert_eq!(place.e("exists name").out, "no\n");
    assert_eq!(place.e("scan").ok(), "list\ta, b,  c\npoem\tline one\\n\\n  line three\n");
}

#[test]
fn help_lists_every_command() {
    let out = Place::new().input("help\n").ok();
    for group in ["data", "keyspaces", "snapshots", "commits", "files", "engine", "shell"] {
        assert!(out.lines().any(|line| line.starts_with(group)), "{group}: {out}");
    }
    for usage in ["store KEY VALUE", "get KEY", "scan [FROM] [TO]", "use KEYSPACE", "export FILE"] {
        assert!(out.contains(usage), "{usage}: {out}");
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
    let place = Place::new();
    let all = (0..=255).collect::<Vec<u8>>();
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
    let out = place.run(&["-e", "store k v w", "-e", "get k\nget 'k'", "-e", "get k"], "x");
    assert_eq!(out.ok(), "ok\nv w\nv w\nv w\n");
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
fn a_reader_that_leaves_ends_the_shell_without_a_word() {
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
    assert_eq!((output.status.code(), &*output.stderr), (Some(141), &b""[..]));
}
