//! Ctrl-C while no terminal is there: a script ends with status 130, and says how far it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command};

use crate::Place;

/// Sends the signal of ctrl-C.
fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Waits for the end; the exit status and the complaint.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), err)
}

#[test]
fn an_import_says_how_much_it_has_stored() {
    let place = Place::new();
    let mut child = place.start(&["-e", "import - --format tsv --ack"]);
    let mut stdin = child.stdin.take().unwrap();
    for n in 0..2_500 {
        writeln!(stdin, "{n:04}\tv").unwrap();
    }
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(answers.nth(1).unwrap().unwrap(), "acked 2,000");
    interrupt(&child);
    let (code, err) = end(child);
    drop(stdin);
    let stored = place.e("count").ok().trim().parse::<u64>().unwrap();
    assert!((2_000..=2_500).contains(&stored), "{stored}");
    let shown = format!("2,{:03}", stored - 2_000);
    let want =
        format!("error: -e 1, line 1: interrupted: {shown} rows are stored of standard input\n");
    assert_eq!((code, err), (Some(130), want));
}

#[test]
fn a_script_that_waits_for_its_next_line_ends() {
    let place = Place::new();
    let mut child = place.start(&[]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"store k v\n").unwrap();
    assert_eq!(answers.next().unwrap().unwrap(), "ok");
    interrupt(&child);
    let (code, err) = end(child);
    assert_eq!(code, Some(130));
    assert_eq!(err, "error: standard input, line 2: interrupted\n");
    assert_eq!(place.e("get k").ok(), "v\n");
}

#[test]
fn what_nobody_reads_or_writes_can_be_left() {
    let place = Place::new();
    place.write("n.txt", (0..50_000).map(|n| format!("{n:05}\n")).collect::<String>());
    place.e("import n.txt").ok();
    assert!(Command::new("mkfifo").arg(place.path().join("p")).status().unwrap().success());
    for command in [
        // Nobody reads the answers: they fill the pipe, and the shell waits.
        "scan",
        "export -",
        "export p --format tsv",
        "import p --format tsv",
        "store k --from p",
        "source p",
    ] {
        let mut child = place.start(&["-e", &format!("store began 1\n{command}")]);
        // The answer of what stands before it: the signal has its handler by then.
        let mut first = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        wait_until_asleep(&child);
        interrupt(&child);
        let (code, err) = end(child);
        assert_eq!(code, Some(130), "{command}: {err}");
        let at = if command == "source p" { "p, line 1" } else { "-e 1, line 2" };
        assert!(err.starts_with(&format!("error: {at}: interrupted")), "{command}: {err}");
    }
    assert_eq!(place.e("count").ok(), "50001\n");
}

/// Waits until a shell does nothing but wait: its main thread sleeps, as often as one looks.
fn wait_until_asleep(child: &Child) {
    let stat = format!("/proc/{0}/task/{0}/stat", child.id());
    let mut asleep = 0;
    while asleep < 200 {
        let text = std::fs::read_to_string(&stat).unwrap();
        let state = text.rsplit(") ").next().unwrap().chars().next();
        asleep = if state == Some('S') { asleep + 1 } else { 0 };
        std::thread::yield_now();
    }
}
