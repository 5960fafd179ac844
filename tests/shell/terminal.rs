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
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("util-linux")) {
            let _ = writeln!(std::io::stderr(), "SKIPPED: no `script` of util-linux to type with");
            return None;
        }
        let shell = format!("stty rows 24 cols 80; exec '{}' {args}", program().display());
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
        let (keys, screen) = (child.stdin.take(), child.stdout.take().unwrap());
        Some(Self { child, keys, screen, seen: String::new() })
    }

    /// Presses keys once the shell reads them one by one, as it says before its prompt.
    /// Earlier the system takes control keys for itself: one that ends the input would be lost.
    #[track_caller]
    fn type_in(&mut self, keys: &str) {
        self.wait("\x1b[?2004h");
        self.press(keys);
    }

    fn press(&mut self, keys: &str) {
        self.keys.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
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
