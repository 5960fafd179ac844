//! A shell for an Alluvium database: `cargo run --example repl -- --help`.
//!
//! | file | gives |
//! |---|---|
//! | `args` | the command line |
//! | `session` | the loop from input to commands, errors |
//! | `source`, `terminal` | where lines come from: a file, or a person with an editor of lines |
//! | `complete`, `pager` | what a terminal adds: completion and hints, a screenful at a time |
//! | `spec` | the table of commands: help, usage, what each word stands for |
//! | `words`, `parse` | one command from what was typed |
//! | `shell` | what is remembered between commands: keyspace, snapshots, batch |
//! | `commands`, `layers` | what a command does and prints; runs drawn |
//! | `output` | how answers look: plain, in colours, as JSON |
//! | `import`, `export` | whole files |
//! | `progress` | how far an import or a compaction is |
//! | `rows` | the formats of these files |
//! | `escape`, `size` | how any bytes are written as text, and numbers |

mod args;
mod commands;
mod complete;
mod escape;
mod export;
mod import;
mod layers;
mod output;
mod pager;
mod parse;
mod progress;
mod rows;
mod session;
mod shell;
mod size;
mod source;
mod spec;
mod terminal;
mod words;

use std::env;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use alluvium::Db;
use serde_json::json;

use crate::args::Request;
use crate::output::Look;
use crate::session::{Ended, Mode, Session};
use crate::shell::Shell;
use crate::source::{Lines, Source};
use crate::terminal::{Terminal, history_file};

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args::parse(env::args_os().skip(1)) {
        Ok(Request::Help) => print(&mut out, args::HELP),
        Ok(Request::Version) => {
            print(&mut out, concat!("alluvium ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Ok(Request::Run { path, scripts, json, history, compaction }) => {
            let look = Look { json, colour: !json && colours() };
            match open(&path, compaction) {
                Ok((db, shell)) => run(db, shell, &scripts, look, history, &mut out),
                Err(error) => {
                    complain(look, &error.to_string());
                    Ok(false)
                }
            }
        }
        Err(message) => {
            complain(Look::default(), &format!("{message}; --help lists the arguments"));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has seen enough, as `head` does: no complaint. But commands, or
        // rows of an import, may be left undone, so it is not success: what SIGPIPE would give.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(error) => {
            complain(Look::default(), &format!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether a terminal is there to show colours, and its owner wants them.
fn colours() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !set("NO_COLOR") && env::var_os("TERM") != Some("dumb".into())
}

/// The same, for what goes to standard error.
fn on_stderr(look: Look) -> Look {
    Look { colour: look.colour && io::stderr().is_terminal(), ..look }
}

fn open(path: &Path, compaction: bool) -> alluvium::Result<(Db, Shell)> {
    let builder = Db::builder(path);
    let builder = if compaction { builder } else { builder.compaction_threads(0) };
    let db = builder.open()?;
    Ok((db.clone(), Shell::new(db)?))
}

/// Runs the commands, and closes the database; false if something failed.
fn run(
    db: Db,
    mut shell: Shell,
    scripts: &[OsString],
    look: Look,
    history: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let ended = if scripts.is_empty() {
        read_input(&mut shell, look, history, out)
    } else {
        run_scripts(&mut shell, scripts, look, out)
    };
    let mut well = true;
    if let Some(batch) = shell.batch.take().filter(|batch| !batch.is_empty()) {
        let count = batch.len();
        complain(look, &format!("the batch of {count} was not committed: nothing of it is stored"));
        well = false;
    }
    // Also when the output is gone: what was acknowledged is to be flushed all the same. Snapshots
    // would keep the lock.
    drop(shell);
    if let Err(error) = db.close() {
        complain(look, &format!("cannot close the database: {error}"));
        well = false;
    }
    Ok(ended? && well)
}

fn run_scripts(
    shell: &mut Shell,
    scripts: &[OsString],
    look: Look,
    out: &mut dyn Write,
) -> io::Result<bool> {
    for (number, script) in (1..).zip(scripts) {
        let session = Session {
            shell,
            mode: Mode::Script,
            name: format!("-e {number}"),
            source: &mut Lines::new(script.as_encoded_bytes()),
            look,
            err_look: on_stderr(look),
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

fn read_input(
    shell: &mut Shell,
    look: Look,
    history: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let typed = io::stdin().is_terminal();
    let mut source: Option<Box<dyn Source>> = None;
    if typed && io::stdout().is_terminal() {
        let version = env!("CARGO_PKG_VERSION");
        let path = shell.db.path().display();
        if !look.json {
            writeln!(out, "Alluvium {version}, {path}; help lists the commands, exit leaves")?;
        }
        let file = if history { history_file(|name| env::var_os(name)) } else { None };
        // Without an editor there are still lines.
        match Terminal::new(look, file) {
            Ok(terminal) => source = Some(Box::new(terminal)),
            Err(error) => complain(look, &format!("lines cannot be edited here: {error}")),
        }
    }
    // Not before: the editor may lock standard input for itself.
    let mut source = source.unwrap_or_else(|| Box::new(Lines::new(io::stdin().lock())));
    let session = Session {
        shell,
        mode: if typed { Mode::Terminal } else { Mode::Script },
        name: "standard input".into(),
        source: &mut *source,
        look,
        err_look: on_stderr(look),
        out,
        err: &mut io::stderr(),
    };
    Ok(session.run()? != Ended::Failed)
}

fn print(out: &mut dyn Write, text: &str) -> io::Result<bool> {
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(true)
}

/// A message that cannot be printed is dropped: the exit status tells.
fn complain(look: Look, message: &str) {
    let _ = if look.json {
        writeln!(io::stderr(), "{}", json!({"error": message}))
    } else {
        writeln!(io::stderr(), "error: {message}")
    };
}
