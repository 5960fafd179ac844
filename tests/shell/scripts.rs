//! Scripts: comments, other line ends, files that run files, what goes on after an error.

use crate::Place;

#[test]
fn a_script_may_look_as_editors_leave_it() {
    let place = Place::new();
    let script = "\u{feff}# it's a comment\r\nput a 1\r\n  # 'another\r\n\r\nget a\r\nset b 'x'";
    assert_eq!(place.input(script).ok(), "ok\n1\nok\n");
    place.write("s.txt", script);
    assert_eq!(place.e("source s.txt").ok(), "ok\n1\nok\n");
    let err = place.input(b"\xff\xfeg\0e\0t\0 \0a\0\n\0").failed(1);
    assert!(err.contains("line 1: the script is UTF-16: save it as UTF-8"), "{err}");
}

#[test]
fn words_of_other_programs_are_understood() {
    let place = Place::new();
    let script = "put a 1\nset b 2\ninsert c 3\nrm a\ndel b\nls\nkeys\nquit\nget c\n";
    assert_eq!(place.input(script).ok(), "ok\nok\nok\nok\nok\nc\t3\nc\n");
    for leave in ["exit", "quit", "q", "\\q", ".exit"] {
        assert_eq!(place.input(format!("count\n{leave}\ncount\n")).ok(), "1\n", "{leave}");
    }
    assert!(place.input("?\n").ok().contains("store KEY VALUE"));
    for name in ["quoting", "formats", "scripts", "terminal", "json", "put", "?", "stats"] {
        assert!(!place.e(&format!("help {name}")).ok().is_empty(), "{name}");
    }
}

/// Each line of the table that `stats` prints is explained.
#[test]
fn help_stats_explains_each_line() {
    let place = Place::new();
    let stats = place.input("store k v\nflush\nstats\n").ok();
    let help = place.e("help stats").ok();
    for line in stats.lines().skip(2) {
        let name = line.split_once("  ").map_or("", |(name, _)| name).trim();
        let explained = |line: &str| line.trim_start().starts_with(name);
        assert!(help.lines().any(explained), "{name:?} is not in {help}");
    }
}

#[test]
fn a_file_of_commands_is_run_where_it_stands() {
    let place = Place::new();
    place.write("inner.txt", "use users --create\nstore k 1");
    place.write("outer.txt", "source inner.txt\nget k\n");
    assert_eq!(place.e("source outer.txt\nget k").ok(), "now in users, which is new\nok\n1\n1\n");
    place.write("bad.txt", "get k\nfrob\nstore k 2\n");
    let ran = place.run(&["--keyspace", "users", "-e", "source bad.txt", "-e", "store k 3"], "");
    assert_eq!(ran.out, "1\n");
    assert!(ran.failed(1).starts_with("error: bad.txt, line 2: there is no command frob"));
    place.write("leave.txt", "count\nexit\ncount\n");
    assert_eq!(place.e("source leave.txt\ncount").ok(), "0\n");
    place.write("ring.txt", "source ring.txt\n");
    let err = place.e("source ring.txt").failed(1);
    assert!(err.contains("ring.txt, line 1: more than 16 files source each other"), "{err}");
    for (file, want) in [("absent", "cannot open absent"), (".", "it is a directory")] {
        assert!(place.e(&format!("source {file}")).failed(1).contains(want), "{file}");
    }
}

#[test]
fn a_script_goes_on_after_errors_if_it_is_told_to() {
    let place = Place::new();
    place.write("s.txt", "frob\nstore b 2\n");
    let script = "store a 1\nget\nsource s.txt\nsource absent\nscan\n";
    let ran = place.run(&["--keep-going"], script);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "ok\nok\na\t1\nb\t2\n"));
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[0].starts_with("error: standard input, line 2: the key is missing"), "{ran:?}");
    assert!(lines[1].starts_with("error: s.txt, line 1: there is no command frob"), "{ran:?}");
    assert_eq!(
        place.run(&["--keep-going", "-e", "get a", "-e", "scan"], "").ok().lines().count(),
        3
    );
    // It ends with 1 also if it leaves by itself.
    assert_eq!(place.run(&["--keep-going"], "frob\nexit\n").code, Some(1));
}

#[test]
fn a_timer_tells_how_long_a_command_took() {
    let place = Place::new();
    let ran = place.input("timer on\nstore k v\ntimer off\nget k\n");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ok\nok\nok\nv\n"));
    assert!(ran.err.starts_with("took 0.") && ran.err.lines().count() == 1, "{ran:?}");
}

#[test]
fn keys_are_counted_sized_and_shown_in_part() {
    let place = Place::new();
    place.input("put a:1 x\nput a:2 y\nput b \\xff\\n\nput 'two\nlines' \\x1b[2J\n").ok();
    for (command, want) in [
        ("count", "4\n"),
        ("count a b", "2\n"),
        ("count --prefix a:", "2\n"),
        ("count c d", "0\n"),
        ("scan --keys", "a:1\na:2\nb\ntwo\\nlines\n"),
        ("scan --values", "x\ny\n\\xff\\n\n\\x1b[2J\n"),
        ("scan b c --hex", "62\tff0a\n"),
        ("prefix b --hex --values", "ff0a\n"),
        ("keys --limit 1 --reverse", "two\\nlines\n"),
        ("mget b a:1", "b\t\\xff\\n\na:1\tx\n"),
        ("get 'two\nlines'", "\\x1b[2J\n"),
    ] {
        assert_eq!(place.e(command).ok(), want, "{command}");
    }
    let size = place.e("size").ok();
    assert!(size.starts_with("about ") && size.contains(" byte"), "{size}");
    let out = place.e("snapshot\nput c 1\ncount\ncount --at s1").ok();
    assert!(out.ends_with("ok\n5\n4\n"), "{out}");
}

/// A name of a file may hold what a terminal obeys.
#[test]
fn complaints_hold_no_control_characters() {
    let place = Place::new();
    for command in ["import 'x\x1b[2J.csv'", "source 'x\x1b[2J'", "load_index_snapshot 'x\x1b[2J'"]
    {
        let err = place.e(command).failed(1);
        assert!(err.contains(r"x\u{1b}[2J") && !err.contains('\x1b'), "{err:?}");
    }
    let err = place.run(&["--path", "x\x1b[2J", "-e", "get k"], "").failed(1);
    assert!(err.contains(r"x\u{1b}[2J") && !err.contains('\x1b'), "{err:?}");
    let out = place.e("save_index_snapshot 'x\x1b[2J'").ok();
    assert!(out.contains(r"x\u{1b}[2J") && !out.contains('\x1b'), "{out:?}");
}

#[test]
fn a_value_comes_from_a_file_and_goes_to_one() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    place.write("value.bin", &bytes);
    place.e("store k --from value.bin\nexport all.jsonl").ok();
    let mut child = place.start(&["-e", "get k --raw"]);
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout == bytes);
    assert_eq!(
        place.run(&["-e", "store p --from -", "-e", "get p"], "piped\n").ok(),
        "ok\npiped\n\n"
    );
    for (command, want) in [
        ("store k --from absent", "cannot open absent"),
        ("store k --from .", "it is a directory"),
        ("store k --from value.bin more", "a value and --from exclude each other"),
    ] {
        assert!(place.e(command).failed(1).contains(want), "{command}");
    }
    let err = place.input("store k --from -\nget k\n").failed(1);
    assert!(err.contains("standard input is where the commands come from"), "{err}");
    let err = place.run(&["--json", "-e", "get --raw k"], "").err;
    assert!(err.contains("--raw prints no JSON"), "{err}");
}
