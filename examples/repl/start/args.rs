//! The command line of the shell.
//!
//! Our own: mistakes are answered in the words of the commands, which `clap` has its own for.
//! `lexopt` would save the two arms for `=`; options, values and answers would stay with us.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::shell::Create;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Version,
    Run(Settings),
}

/// How a session is to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The directory of the database; `None` is the default one, which is made if need be.
    pub(crate) path: Option<PathBuf>,
    /// The keyspace in which the session begins, if not in the default one.
    pub(crate) keyspace: Option<String>,
    /// Texts of `-e`, to run in this order; if there are none, standard input is read.
    pub(crate) scripts: Vec<OsString>,
    /// Whether answers and complaints are lines of JSON.
    pub(crate) json: bool,
    /// Whether commands typed at a terminal are kept for the next session.
    pub(crate) history: bool,
    /// Whether runs are merged unasked.
    pub(crate) compaction: bool,
    pub(crate) read_only: bool,
    pub(crate) create: Create,
    /// Whether a script goes on after an error.
    pub(crate) keep_going: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            keyspace: None,
            scripts: Vec::new(),
            json: false,
            history: true,
            compaction: true,
            read_only: false,
            create: Create::Asked,
            keep_going: false,
        }
    }
}

pub(crate) const HELP: &str = "\
A shell for an Alluvium database.

usage: repl [--path DIR] [--keyspace NAME] [OPTIONS] [-e COMMANDS]...

    --path DIR       the database (default: ./alluvium-data)
    --keyspace NAME  begin in this keyspace
    --read-only      change nothing; others may read it at the same time
    --no-create      make no database and no keyspace
    --create         make both without asking, also beside other files
    -e COMMANDS      run these and leave; may be repeated; one command on each line
    --keep-going     in a script, go on after an error
    --json           answer in JSON: one object in a line, bytes that are not text as base64
    --no-history     keep no file of the commands typed at a terminal
    --no-compaction  merge no runs unasked; the command compact still does
    --help           print this text
    --version        print the version

Without -e, commands are read from standard input; type help there for a list of them.
The default database is made if there is none. Another one is made by a script that begins with a
command that writes, or at a terminal once you say yes.
Colours appear only at a terminal, and not if NO_COLOR is set.
Exit status: 0 if all is well, 1 if a command failed or, with -e, a key was not found, 2 if this
command line is wrong, 130 after ctrl-C, 141 if the output was closed before the end.
";

/// Where the database is, if the command line does not say.
pub(crate) const PATH: &str = "./alluvium-data";

/// Reads the arguments after the name of the program; the error is a sentence for the user.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let mut settings = Settings::default();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            Some("--json") => settings.json = true,
            Some("--no-history") => settings.history = false,
            Some("--no-compaction") => settings.compaction = false,
            Some("--read-only" | "--readonly") => settings.read_only = true,
            Some("--keep-going") => settings.keep_going = true,
            Some("--create") => creates(&mut settings, Create::Always)?,
            Some("--no-create") => creates(&mut settings, Create::Never)?,
            Some("-e") => settings.scripts.push(args.next().ok_or("-e takes commands")?),
            Some("--path") => directory(&mut settings, &args.next().unwrap_or_default())?,
            Some("--keyspace") => keyspace(&mut settings, &args.next().unwrap_or_default())?,
            Some(arg) if arg.starts_with("--path=") => {
                directory(&mut settings, OsStr::new(&arg["--path=".len()..]))?;
            }
            Some(arg) if arg.starts_with("--keyspace=") => {
                keyspace(&mut settings, OsStr::new(&arg["--keyspace=".len()..]))?;
            }
            _ => return Err(format!("{arg:?} is not an argument of this program")),
        }
    }
    if settings.read_only && settings.create == Create::Always {
        return Err("--read-only makes nothing: leave out --create".into());
    }
    Ok(Request::Run(settings))
}

fn creates(settings: &mut Settings, create: Create) -> Result<(), String> {
    if settings.create != Create::Asked && settings.create != create {
        return Err("--create and --no-create exclude each other".into());
    }
    settings.create = create;
    Ok(())
}

fn directory(settings: &mut Settings, name: &OsStr) -> Result<(), String> {
    if name.is_empty() {
        return Err("--path takes a directory".into());
    }
    match settings.path.replace(name.into()) {
        None => Ok(()),
        Some(_) => Err("--path is given twice".into()),
    }
}

fn keyspace(settings: &mut Settings, name: &OsStr) -> Result<(), String> {
    let name = name.to_str().filter(|name| !name.is_empty()).ok_or("--keyspace takes a name")?;
    match settings.keyspace.replace(name.into()) {
        None => Ok(()),
        Some(_) => Err("--keyspace is given twice".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        #[track_caller]
        fn check(line: &str, want: Result<Request, &str>) {
            let got = parse(line.split_whitespace().map(OsString::from));
            assert_eq!(got, want.map_err(String::from), "{line}");
        }
        let path = |path: &str| Settings { path: Some(path.into()), ..Settings::default() };
        let run = |settings| Ok(Request::Run(settings));
        check("", run(Settings::default()));
        check("--path d", run(path("d")));
        check("-e flush --path=d -e --help", {
            run(Settings { scripts: vec!["flush".into(), "--help".into()], ..path("d") })
        });
        check("--no-history --json --path d --no-compaction", {
            run(Settings { json: true, history: false, compaction: false, ..path("d") })
        });
        check("--keyspace=users --read-only --keep-going --no-create", {
            let keyspace = Some("users".into());
            let create = Create::Never;
            let read_only = true;
            let keep_going = true;
            run(Settings { keyspace, create, read_only, keep_going, ..Settings::default() })
        });
        check("--path d --create", run(Settings { create: Create::Always, ..path("d") }));
        check("--path d --help", Ok(Request::Help));
        check("--version", Ok(Request::Version));
        check("--path", Err("--path takes a directory"));
        check("--path=", Err("--path takes a directory"));
        check("--path a --path b", Err("--path is given twice"));
        check("--keyspace", Err("--keyspace takes a name"));
        check("--keyspace a --keyspace b", Err("--keyspace is given twice"));
        check("--create --no-create", Err("--create and --no-create exclude each other"));
        check("--create --read-only", Err("--read-only makes nothing: leave out --create"));
        check("-e", Err("-e takes commands"));
        check("data", Err("\"data\" is not an argument of this program"));
    }
}
