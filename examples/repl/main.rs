//! A shell for an Alluvium database: `cargo run --example repl -- --help`.
//!
//! Rooms, from the ground up. Each imports lower ones only, and no files import each other in a
//! circle: `tests/tidy/shell.rs` has the floors. A command is a row of `commands/table.rs` and its
//! function.
//!
//! | room | gives |
//! |---|---|
//! | `text` | how any bytes are written as text, words and quotes, numbers |
//! | `files` | what is read and written: files, pipes, descriptors; ctrl-C |
//! | `rows` | the formats of `import` and `export` |
//! | `print` | how answers look: plain, in colours, as JSON; pages; progress |
//! | `shell` | what is remembered between commands: keyspace, snapshots, transaction |
//! | `commands` | the table of commands, and what each does and prints |
//! | `typed` | one command from what was typed, and its completion |
//! | `session` | the loop from input to commands: a file, or a person with an editor of lines or without |
//! | `start` | the command line, and which directories become databases |

mod commands;
mod files;
mod print;
mod rows;
mod session;
mod shell;
mod start;
mod text;
mod typed;

use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::files::interrupt::{Interrupt, STATUS};
use crate::files::target::Patient;
use crate::files::{descriptor, input, interrupt};
use crate::print::output::{Look, harmless, is_dumb};
use crate::session::plain::Plain;
use crate::session::source::{Lines, Source};
use crate::session::terminal::{Terminal, history_file};
use crate::session::{Ended, Mode, Session};
use crate::shell::{Create, Pending, Shell};
use crate::start::args::{Request, Settings};
use crate::start::{args, opening};

fn main() -> ExitCode {
    descriptor::remember();
    let settings = match args::parse(env::args_os().skip(1)) {
        Ok(Request::Run(settings)) => settings,
        Ok(Request::Help) => return status(print(args::HELP)),
        Ok(Request::Version) => {
            return status(print(concat!("alluvium ", env!("CARGO_PKG_VERSION"), "\n")));
        }
        Err(message) => {
            complain(Look::default(), &format!("{message}; --help lists the arguments"));
            return ExitCode::from(2);
        }
    };
    let look = Look {
        json: settings.json,
        colour: !settings.json && colours(),
        terminal: io::stdout().is_terminal(),
    };
    let typed = settings.scripts.is_empty() && io::stdin().is_terminal();
    // If no signal can be taken, an interrupt ends the program like any other.
    let interrupt = Interrupt::listen(!typed).unwrap_or_default();
    let mut out: Box<dyn Write> = match Patient::standard(&interrupt) {
        Ok(out) => Box::new(BufWriter::new(out)),
        Err(_) => Box::new(BufWriter::new(io::stdout())),
    };
    status(start(&settings, look, typed, &interrupt, &mut *out))
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Well,
    Badly,
    Interrupted,
}

fn status(done: io::Result<Done>) -> ExitCode {
    match done {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Badly) => ExitCode::FAILURE,
        Ok(Done::Interrupted) => ExitCode::from(STATUS),
        // The reader of the output has seen enough, like `head`: no complaint. But commands, or
        // rows of an import, may be left undone, so it is no success: the status of SIGPIPE.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(error) if interrupt::is_interrupt(&error) => ExitCode::from(STATUS),
        Err(error) => {
            complain(Look::default(), &format!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether a terminal is there to show colours, and its owner wants them.
fn colours() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !set("NO_COLOR") && !is_dumb()
}

/// The same, for what goes to standard error.
fn on_stderr(look: Look) -> Look {
    Look { colour: look.colour && io::stderr().is_terminal(), ..look }
}

/// Opens the database and runs the commands.
fn start(
    settings: &Settings,
    look: Look,
    typed: bool,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> io::Result<Done> {
    let mut source = commands_of(settings, look, typed, interrupt);
    let person = typed && look.terminal;
    let mut first = Vec::new();
    let opened = {
        let out = &mut *out;
        let mut ask = |question: &str| source.ask(out, question).is_ok_and(|yes| yes == Some(true));
        let ask: Option<&mut dyn FnMut(&str) -> bool> = if person { Some(&mut ask) } else { None };
        let writes = || fills(settings, typed, interrupt, &mut first);
        opening::open(settings, writes, ask)
    };
    let shell = opened.and_then(|db| Shell::new(db).map_err(|error| error.to_string()));
    let mut shell = match shell {
        Ok(shell) => shell,
        Err(message) => {
            out.flush()?;
            complain(look, &message);
            return Ok(Done::Badly);
        }
    };
    if !first.is_empty() {
        // The first command was read to see whether a database is wanted.
        let rest = input::standard(interrupt);
        source = Box::new(Lines::new(io::Read::chain(io::Cursor::new(first), rest)));
    }
    shell.interrupt = interrupt.clone();
    shell.create = if settings.read_only { Create::Never } else { settings.create };
    shell.scripted = settings.scripts.is_empty() && !typed;
    if let Some(name) = &settings.keyspace {
        let asked = person && shell.create == Create::Asked && !shell.has_keyspace(name);
        let question = format!("there is no keyspace {name:?}: make it?");
        let create = asked && source.ask(out, &question)? == Some(true);
        if let Err(message) = shell.begin_in(name, create) {
            complain(look, &message);
            return Ok(Done::Badly);
        }
    }
    if person && !look.json {
        let version = env!("CARGO_PKG_VERSION");
        let path = shell.db.path().display();
        writeln!(out, "Alluvium {version}, {path}; help lists the commands, exit leaves")?;
    }
    run(shell, settings, look, typed, &mut *source, out)
}

/// Where commands come from, if not from `-e`.
fn commands_of(
    settings: &Settings,
    look: Look,
    typed: bool,
    interrupt: &Interrupt,
) -> Box<dyn Source> {
    if typed && look.terminal {
        if is_dumb() {
            return Box::new(Plain::new(input::standard(interrupt)));
        }
        let file = if settings.history { history_file(|name| env::var_os(name)) } else { None };
        // Without an editor there are still lines.
        match Terminal::new(look, file) {
            Ok(terminal) => return Box::new(terminal),
            Err(error) => complain(look, &format!("lines cannot be edited here: {error}")),
        }
        return Box::new(Plain::new(input::standard(interrupt)));
    }
    Box::new(Lines::new(input::standard(interrupt)))
}

/// Whether the commands begin with one that fills a database. What is read from standard input for
/// that is put into `read`.
fn fills(settings: &Settings, typed: bool, interrupt: &Interrupt, read: &mut Vec<u8>) -> bool {
    if typed {
        return false;
    }
    if let Some(text) = settings.scripts.first() {
        return opening::begins_by_filling(&mut BufReader::new(text.as_encoded_bytes()), read);
    }
    // Byte by byte, so that nothing behind the first command is taken.
    let input = BufReader::with_capacity(1, input::standard(interrupt));
    opening::begins_by_filling(&mut { input }, read)
}

/// Runs the commands, and closes the database.
fn run(
    mut shell: Shell,
    settings: &Settings,
    look: Look,
    typed: bool,
    source: &mut dyn Source,
    out: &mut dyn Write,
) -> io::Result<Done> {
    let mut session = |mode: Mode, name: String, source: &mut dyn Source| {
        Session {
            shell: &mut shell,
            mode,
            name,
            source,
            look,
            err_look: on_stderr(look),
            out: &mut *out,
            err: &mut io::stderr(),
            keep_going: settings.keep_going,
            depth: 0,
        }
        .run()
    };
    let ended = if settings.scripts.is_empty() {
        let mode = if typed { Mode::Terminal } else { Mode::Script };
        session(mode, "standard input".into(), source)
    } else {
        all(&settings.scripts, &mut |name, source| session(Mode::Arguments, name, source))
    };
    let mut well = !shell.unwell;
    if let Some(pending) = shell.pending.take().filter(|pending| pending.len() > 0) {
        let count = pending.len();
        let came = match pending {
            Pending::Batch(_) => format!("the batch of {count} was not committed"),
            Pending::Transaction(_) => format!("the transaction of {count} was rolled back"),
        };
        complain(look, &format!("{came}: nothing of it is stored"));
        well = false;
    }
    // Even when the output is gone: what was acknowledged is to be flushed. Snapshots would keep
    // the lock.
    let db = shell.db.clone();
    drop(shell);
    if let Err(error) = db.close() {
        complain(look, &format!("cannot close the database: {error}"));
        well = false;
    }
    Ok(match ended? {
        Ended::Interrupted => Done::Interrupted,
        Ended::Exit | Ended::Input if well => Done::Well,
        _ => Done::Badly,
    })
}

/// Runs the texts of `-e`, one after the other.
fn all(
    scripts: &[OsString],
    session: &mut dyn FnMut(String, &mut dyn Source) -> io::Result<Ended>,
) -> io::Result<Ended> {
    for (number, script) in (1..).zip(scripts) {
        let mut lines = Lines::new(script.as_encoded_bytes());
        match session(format!("-e {number}"), &mut lines)? {
            Ended::Input => {}
            ended => return Ok(ended),
        }
    }
    Ok(Ended::Input)
}

fn print(text: &str) -> io::Result<Done> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Done::Well)
}

/// A message that cannot be printed is dropped: the exit status tells.
fn complain(look: Look, message: &str) {
    let _ = if look.json {
        writeln!(io::stderr(), "{}", json!({"error": message}))
    } else {
        writeln!(io::stderr(), "error: {}", harmless(message))
    };
}
