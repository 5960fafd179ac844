//! Every example of a page runs, checks itself, and says something; and the list here is that of
//! the directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `repl` has its own tests.
const EXAMPLES: [&str; 10] = [
    "async_app",
    "backup_job",
    "bank",
    "job_queue",
    "paging",
    "quickstart",
    "secondary_index",
    "session_store",
    "snapshot_isolation",
    "time_series",
];

/// The example that cargo built beside this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn run(name: &str, in_dir: &Path) -> Output {
    let program = program(name);
    assert!(
        program.exists(),
        "{} is missing: `cargo test` builds it, or `cargo build --examples`",
        program.display()
    );
    Command::new(program)
        .current_dir(in_dir)
        .env("TMPDIR", in_dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What is wrong with how an example went.
fn complaint(ran: &Output) -> Option<String> {
    let out = String::from_utf8_lossy(&ran.stdout);
    let err = String::from_utf8_lossy(&ran.stderr);
    let fine = ran.status.success() && !out.trim().is_empty() && err.is_empty();
    (!fine).then(|| format!("{}\nit printed: {out}\nand complained: {err}", ran.status))
}

#[test]
fn every_example_holds_what_it_claims_and_leaves_nothing_behind() {
    for name in EXAMPLES {
        let dir = tempfile::tempdir().unwrap();
        if let Some(complaint) = complaint(&run(name, dir.path())) {
            panic!("{name}: {complaint}");
        }
        // `TMPDIR` is not asked on Windows; there, nothing is in the directory anyway.
        let left: Vec<_> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{name} left {left:?}");
    }
}

#[test]
fn the_list_is_complete() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let pages: BTreeSet<_> =
        pages.map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(pages, EXAMPLES.map(str::to_owned).into());
}

/// A planted fault: a program that fails, here the shell with a command that does not exist, is
/// complained about.
#[test]
fn a_program_that_fails_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Command::new(program("repl"))
        .current_dir(dir.path())
        .args(["-e", "no-such-command"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(complaint(&ran).is_some(), "{ran:?}");
}
