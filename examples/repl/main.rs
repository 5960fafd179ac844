//! A shell for an Alluvium database: `cargo run --example repl -- --help`.
//!
//! | file | gives |
//! |---|---|
//! | `args` | the command line |
//! | `session` | the loop from input to commands, prompts, errors |
//! | `parse` | one command from what was typed |
//! | `commands` | what a command does and prints |
//! | `import`, `progress` | `import`, and how far it is |
//! | `rows` | the formats that `import` reads |
//! | `escape` | how any bytes are written as text |

mod args;
mod commands;
mod escape;
mod import;
mod parse;
mod progress;
mod rows;
mod session;

use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use alluvium::Db;

use crate::args::Request;
use crate::session::{Ended, Mode, Session};

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => print(&mut out, args::HELP),
        Ok(Request::Version) => {
            print(&mut out, concat!("alluvium ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Ok(Request::Run { path, scripts }) => run(&path, &scripts, &mut out),
        Err(message) => {
            complain(&format!("{message}; --help lists the arguments"));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the commands on the database at `path`; false if one failed.
fn run(path: &Path, scripts: &[OsString], out: &mut impl Write) -> io::Result<bool> {
    let db = match Db::open(path) {
        Ok(db) => db,
        Err(error) => {
            complain(&error.to_string());
            return Ok(false);
        }
    };
    let ended =
        if scripts.is_empty() { read_input(&db, out) } else { run_scripts(&db, scripts, out) };
    // Also when the output is gone: what was acknowledged is to be flushed all the same.
    let closed = db.close();
    if let Err(error) = &closed {
        complain(&format!("cannot close the database: {error}"));
    }
    Ok(ended? && closed.is_ok())
}

fn run_scripts(db: &Db, scripts: &[OsString], out: &mut impl Write) -> io::Result<bool> {
    for (number, script) in (1..).zip(scripts) {
        let session = Session {
            db,
            mode: Mode::Script,
            name: format!("-e {number}"),
            input: BufReader::new(script.as_encoded_bytes()),
            out,
            err: &mut io::stderr(),
        };
        match session.run()? {
            Ended::Input => {}
            Ended::Exit => return Ok(true),
            Ended::Failed => return Ok(false),
        }
    }
    Ok(true)
}

fn read_input(db: &Db, out: &mut impl Write) -> io::Result<bool> {
    let mode = if io::stdin().is_terminal() { Mode::Terminal } else { Mode::Script };
    if mode == Mode::Terminal {
        let version = env!("CARGO_PKG_VERSION");
        let path = db.path().display();
        writeln!(out, "Alluvium {version}, {path}; help lists the commands, exit leaves")?;
    }
    let session = Session {
        db,
        mode,
        name: "standard input".into(),
        input: BufReader::new(io::stdin().lock()),
        out,
        err: &mut io::stderr(),
    };
    Ok(session.run()? != Ended::Failed)
}

fn print(out: &mut impl Write, text: &str) -> io::Result<bool> {
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(true)
}

/// A message that cannot be printed is dropped: the exit status tells.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "error: {message}");
}
