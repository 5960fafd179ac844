//! The shell at a terminal, which `script` of util-linux plays: editing, history, pages, colours.
//!
//! Where there is no such program, each test says so on standard error, past the capture.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::{Place, program};

/// A shell at a terminal, and what it has printed so far.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    /// `None` if no terminal can be had here.
    fn start(place: &Place, args: &str, variables: &[(&str, &str)]) -> Option<Self> {
        Self::sized(place, args, variables, 80, 24)
    }

    /// The same, with that many columns and rows.
    fn sized(
        place: &Place,
        args: &str,
        variables: &[(&str, &str)],
        columns: u16,
        rows: u16,
    ) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("util-linux")) {
            let _ = writeln!(std::io::stderr(), "SKIPPED: no `script` of util-linux to type with");
            return None;
        }
        let program = program();
        let shell = format!("stty rows {rows} cols {columns}; exec '{}' {args}", program.display());
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--echo", "never", "--command", &shell, "/dev/null"])
            .current_dir(place.path())
            .env("HOME", place.path())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("XDG_STATE_HOME")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = child.stdin.take();
        let screen = child.stdout.take().unwrap();
        Some(Self { child, keys, screen, seen: String::new() })
    }

    /// Presses keys once the shell reads them one by one, as it says before its prompt.
    /// Earlier the system takes control keys for itself: one that ends the input would be lost.
    #[track_caller]
    fn type_in(&mut self, keys: &str) {
        self.wait("\x1b[?2004h");
        self.press(keys);
    }

    fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.keys.as_mut().unwrap().write_all(keys.as_ref()).unwrap();
    }

    /// Waits until `text` appears, and forgets everything up to its end.
    #[track_caller]
    fn wait(&mut self, text: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_string();
                self.seen.drain(..at + text.len());
                return before;
            }
            let count = self.screen.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "the shell ended without {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits for the end, and returns what was printed since.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        let _ = self.screen.read_to_end(&mut rest);
        let code = self.child.wait().unwrap().code();
        (self.seen + &String::from_utf8_lossy(&rest), code)
    }
}

#[test]
fn lines_are_completed_kept_and_recalled() {
    let place = Place::new();
    let Some(mut terminal) = Terminal::start(&place, "", &[]) else { return };
    terminal.wait("help lists the commands, exit leaves");
    terminal.type_in("sto\tgreeting hello, world\r");
    terminal.wait("ok\r\n");
    terminal.type_in("frob\r");
    terminal.wait("there is no command frob");
    terminal.type_in("get g\t\r");
    terminal.wait("\nhello, world\r\n");
    // What begins with a blank is not kept, a line that is called off is not run.
    terminal.type_in(" store secret x\r");
    terminal.wait("ok\r\n");
    terminal.type_in("delete greeting\x03");
    terminal.type_in("store two 'a\r");
    terminal.type_in("b'\r");
    terminal.wait("ok\r\n");
    terminal.type_in("\x10\x10\r");
    terminal.wait("\nhello, world\r\n");
    terminal.type_in("exit\r");
    let (_, code) = terminal.end();
    assert_eq!(code, Some(0));
    let kept = String::from_utf8(place.read(".local/state/alluvium/history")).unwrap();
    let lines: Vec<&str> = kept.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "store greeting hello, world",
            "frob",
            "get greeting",
            "store two 'a\\nb'",
            "get greeting",
            "exit"
        ]
    );
    // The next session finds them.
    let Some(mut terminal) = Terminal::start(&place, "", &[]) else { return };
    terminal.wait("exit leaves");
    terminal.type_in("\x1b[A\x1b[A\r");
    terminal.wait("\nhello, world\r\n");
    terminal.type_in("\x04");
    assert_eq!(terminal.end().1, Some(0));
}

#[test]
fn a_paste_and_fast_typing_lose_no_line() {
    let place = Place::new();
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.wait("exit leaves");
    terminal.press("\x1b[200~store a 1, 2\nstore b \"x\ny\"\nget a\x1b[201~\r");
    terminal.wait("\n1, 2\r\n");
    terminal.press("store c 3\rget b\rget c\rexit\r");
    terminal.wait("\nx\r\ny\r\n");
    terminal.wait("\n3\r\n");
    assert_eq!(terminal.end().1, Some(0));
    assert!(!place.path().join(".local").exists(), "no history was wanted");
    assert_eq!(place.e("get b").ok(), "x\ny\n");
}

#[test]
fn a_long_scan_comes_in_pages() {
    let place = Place::new();
    place.write("n.txt", (100..200).map(|n| format!("{n}\tvalue {n}\n")).collect::<String>());
    place.e("import n.txt").ok();
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.wait("exit leaves");
    terminal.type_in("scan\r");
    let first = terminal.wait("-- more --");
    assert!(first.contains("100") && !first.contains("199"), "{first:?}");
    terminal.press(" ");
    let second = terminal.wait("-- more --");
    assert!(!second.contains("100") && !second.contains("199"), "{second:?}");
    terminal.press("q");
    terminal.press("get 199\r");
    terminal.wait("\nvalue 199\r\n");
    terminal.press("exit\r");
    let (rest, code) = terminal.end();
    assert!(!rest.contains("-- more --"), "{rest:?}");
    assert_eq!(code, Some(0));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Place::new();
    place.input("store k v\n").ok();
    for (args, variables, want) in [
        ("--no-history", &[][..], true),
        ("--no-history", &[("NO_COLOR", "1")], false),
        ("--no-history", &[("NO_COLOR", "")], true),
        ("--no-history", &[("TERM", "dumb")], false),
        ("--no-history --json", &[], false),
    ] {
        let Some(mut terminal) = Terminal::start(&place, args, variables) else { return };
        terminal.press("scan\rfrob\rexit\r");
        let (screen, _) = terminal.end();
        assert!(screen.contains("there is no command frob"), "{screen:?}");
        let coloured = ["\x1b[32mk", "\x1b[1;31merror"].map(|colour| screen.contains(colour));
        assert_eq!(coloured, [want; 2], "{args} {variables:?}: {screen:?}");
    }
}

/// A terminal at the end of the first page of a scan over the numbers from 100 to 199.
fn paging(place: &Place, variables: &[(&str, &str)], columns: u16) -> Option<Terminal> {
    place.write("n.txt", (100..200).map(|n| format!("{n}\tvalue {n}\n")).collect::<String>());
    place.e("import n.txt").ok();
    let mut terminal = Terminal::sized(place, "--no-history", variables, columns, 24)?;
    terminal.wait("alluvium> ");
    terminal.press("scan\r");
    terminal.wait("-- more --");
    Some(terminal)
}

/// Symptom: the first letter of a command that was typed at the end of a page was lost. Mechanism:
/// every key went on to the next page. Fix: only those that the question names; another letter
/// ends the pages and begins the command.
#[test]
fn a_command_may_be_typed_at_the_end_of_a_page() {
    let place = Place::new();
    let Some(mut terminal) = paging(&place, &[], 80) else { return };
    terminal.wait("(space: page, enter: line, q: enough)");
    terminal.press("get 150\r");
    terminal.wait("\nvalue 150\r\n");
    terminal.press("scan\r");
    let first = terminal.wait("-- more --");
    assert!(first.contains("121") && !first.contains("123"), "{first:?}");
    terminal.press("\r");
    let line = terminal.wait("-- more --");
    assert!(line.contains("123") && !line.contains("124"), "{line:?}");
    // Keys that mean nothing here do nothing.
    terminal.press("\x1b[A\t\x1b[C");
    terminal.press("\x03");
    terminal.type_in("get 151\r");
    terminal.wait("\nvalue 151\r\n");
    terminal.press("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}

#[test]
fn the_question_at_the_end_of_a_page_fits_narrow_screens() {
    let place = Place::new();
    for (columns, want) in [(40, " (space/enter/q)"), (20, "\x1b")] {
        let Some(mut terminal) = paging(&place, &[], columns) else { return };
        let seen = terminal.wait(want);
        assert!(!seen.contains("enough"), "{seen:?}");
        terminal.press("q");
        terminal.type_in("exit\r");
        assert_eq!(terminal.end().1, Some(0));
    }
}

/// Symptom: with `TERM=dumb` the pages could not be left. Mechanism: the editor, which reads the
/// answer, falls back to reading lines there, and no answer was taken from these. Fix: such a
/// terminal has a source of its own, whose questions are answered by lines.
#[test]
fn pages_can_be_left_at_a_dumb_terminal() {
    let place = Place::new();
    let Some(mut terminal) = paging(&place, &[("TERM", "dumb")], 80) else { return };
    terminal.wait("(enter: next page, q enter: enough)");
    terminal.press("\r");
    let second = terminal.wait("-- more --");
    assert!(second.contains("123") && !second.contains("199"), "{second:?}");
    terminal.press("q\r");
    terminal.wait("alluvium> ");
    terminal.press("scan\r");
    terminal.wait("-- more --");
    terminal.press("get 150\r");
    terminal.wait("value 150\r\n");
    terminal.press("half a li\x03");
    terminal.wait("alluvium> ");
    terminal.press("get 151\r");
    terminal.wait("value 151\r\n");
    terminal.press("exit\r");
    let (screen, code) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(!screen.contains('\x1b'), "{screen:?}");
}

#[test]
fn wide_characters_count_as_what_they_take() {
    let place = Place::new();
    // Fifty columns of two cells: two lines of the screen for each key, and ten keys on a page.
    let rows: String = (10..40).map(|n| format!("{n}\t{}\n", "日".repeat(50))).collect();
    place.write("wide.tsv", rows);
    place.e("import wide.tsv").ok();
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.wait("alluvium> ");
    terminal.press("scan\r");
    let first = terminal.wait("-- more --");
    assert_eq!(first.matches('日').count() / 50, 11, "{first:?}");
    terminal.press("q");
    terminal.type_in("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}

/// Symptom: a byte that is not UTF-8 ended the session. Mechanism: the editor reports it as an
/// error of its input, which counted as the end. Fix: the line is dropped, with a complaint.
#[test]
fn a_byte_that_is_not_utf_8_ends_no_session() {
    let place = Place::new();
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.type_in("snapshot\r");
    terminal.wait("s1 at sequence");
    terminal.wait("\x1b[?2004h");
    terminal.press(b"store k caf\xe9\r");
    terminal.wait("a byte that is not UTF-8 was typed");
    terminal.type_in("snapshots\r");
    terminal.wait("s1\x1b[0m at sequence");
    terminal.type_in("exists k\r");
    terminal.wait("no\r\n");
    terminal.type_in("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}

/// Symptom: of many keys that share a start only the first were completed, as if there were no
/// others. Mechanism: the first 64 were offered, and what they had in common was taken over. Fix:
/// of many, how far all agree is taken over, and then where they part is shown.
#[test]
fn completion_hides_no_key() {
    let place = Place::new();
    let keys: String = (0..300).map(|n| format!("user:{n:03}\n")).collect();
    place.write("keys.txt", keys + "user:x\n");
    place.e("import keys.txt").ok();
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.type_in("exists u\tx\r");
    terminal.wait("\nyes\r\n");
    terminal.type_in("exists u\t\t\t");
    for branch in ["user:0…", "user:1…", "user:2…", "user:x"] {
        terminal.wait(branch);
    }
    terminal.press("299\r");
    terminal.wait("\nyes\r\n");
    terminal.type_in("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}

/// Symptom: ctrl-C ended the shell, and its snapshots and batch with it. Mechanism: nobody took the
/// signal while a command ran. Fix: long commands look for it, and say how far they came.
#[test]
fn ctrl_c_leads_back_to_the_prompt() {
    let place = Place::new();
    let pipe = place.path().join("p");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|done| done.success()) {
        return;
    }
    let Some(mut terminal) = Terminal::start(&place, "--no-history", &[]) else { return };
    terminal.type_in("snapshot\r");
    terminal.wait("s1 at sequence");
    terminal.type_in("import p --format tsv --ack\r");
    // The other end stays open, so that the import is under way when it is interrupted.
    let mut rows = std::fs::File::options().write(true).open(&pipe).unwrap();
    rows.write_all((0..1_000).map(|n| format!("{n}\tv\n")).collect::<String>().as_bytes()).unwrap();
    terminal.wait("acked 1,000");
    terminal.press("\x03");
    terminal.wait("interrupted: 1,000 rows are stored of p");
    // Nobody reads the pipe: an export waits.
    terminal.type_in("export p --format tsv\r");
    let held = std::fs::File::options().read(true).open(&pipe).unwrap();
    terminal.wait("exported 1,000 rows");
    terminal.type_in("export p --format tsv --at s1\r");
    terminal.wait("exported 0 rows");
    drop((rows, held));
    terminal.type_in("snapshots\r");
    terminal.wait("s1\x1b[0m at sequence");
    terminal.type_in("count\r");
    terminal.wait("1000\r\n");
    terminal.type_in("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}

#[test]
fn what_is_new_is_asked_for() {
    let place = Place::new();
    let Some(mut terminal) = Terminal::start(&place, "--no-history --path typo", &[]) else {
        return;
    };
    terminal.wait("there is no database in typo: make one there?");
    terminal.press("n\r");
    let (screen, code) = terminal.end();
    assert!(screen.contains("--create makes one"), "{screen:?}");
    assert_eq!((code, place.path().join("typo").exists()), (Some(1), false));
    let Some(mut terminal) = Terminal::start(&place, "--no-history --path typo", &[]) else {
        return;
    };
    terminal.type_in("y\r");
    terminal.wait("exit leaves");
    for (answer, want) in [("n", "there is no keyspace users"), ("y", "now in users")] {
        terminal.type_in("use users\r");
        terminal.wait("there is no keyspace users: make it?");
        terminal.press(format!("{answer}\r"));
        terminal.wait("\r\n");
        terminal.wait(want);
    }
    terminal.type_in("exit\r");
    assert_eq!(terminal.end().1, Some(0));
}
