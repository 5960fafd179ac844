//! The shell, end to end: the built example, driven as a user drives it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod basics;
mod copies;
mod engine;
mod files;
mod imports;
#[cfg(target_os = "linux")]
mod interrupts;
mod json;
mod opening;
mod scripts;
mod seed;
mod sessions;
#[cfg(target_os = "linux")]
mod targets;
#[cfg(unix)]
mod terminal;
mod transactions;

use std::fs;
use std::io::Write;
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

    /// As [`Self::e`], with runs left as flushes make them.
    fn e_unmerged(&self, command: &str) -> Ran {
        self.run(&["--no-compaction", "-e", command], "")
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(file), bytes).unwrap();
    }
}
