//! The command line of the shell.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Version,
    Run {
        /// The directory of the database.
        path: PathBuf,
        /// Texts of `-e`, to run in this order; if there are none, standard input is read.
        scripts: Vec<OsString>,
        /// Whether answers and complaints are lines of JSON.
        json: bool,
        /// Whether commands typed at a terminal are kept for the next session.
        history: bool,
        /// Whether runs are merged unasked.
        compaction: bool,
    },
}

pub(crate) const HELP: &str = "\
A shell for an Alluvium database.

usage: repl [--path DIR] [--json] [--no-history] [--no-compaction] [-e COMMANDS]...

    --path DIR       the database; made if there is none (default: ./alluvium-data)
    -e COMMANDS      run these and leave; may be repeated; one command on each line
    --json           answer in JSON: one object in a line, bytes that are not text as base64
    --no-history     keep no file of the commands typed at a terminal
    --no-compaction  merge no runs unasked; the command compact still does
    --help           print this text
    --version        print the version

Without -e, commands are read from standard input; type help there for a list of them.
Colours appear only at a terminal, and not if NO_COLOR is set.
Exit status: 0 if all is well, 1 if a command failed, 2 if this command line is wrong, 141 if the
output was closed before the end.
";

/// Where the database is, if the command line does not say.
const PATH: &str = "./alluvium-data";

/// Reads the arguments after the name of the program; the error is a sentence for the user.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let (mut path, mut scripts) = (None, Vec::new());
    let (mut json, mut history, mut compaction) = (false, true, true);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--version" | "-V") => return Ok(Request::Version),
            Some("--json") => json = true,
            Some("--no-history") => history = false,
            Some("--no-compaction") => compaction = false,
            Some("-e") => scripts.push(args.next().ok_or("-e takes commands")?),
            Some("--path") => directory(&mut path, &args.next().unwrap_or_default())?,
            Some(arg) if arg.starts_with("--path=") => {
                directory(&mut path, OsStr::new(&arg["--path=".len()..]))?;
            }
            _ => return Err(format!("{arg:?} is not an argument of this program")),
        }
    }
    let path = path.unwrap_or_else(|| PATH.into());
    Ok(Request::Run { path, scripts, json, history, compaction })
}

fn directory(path: &mut Option<PathBuf>, name: &OsStr) -> Result<(), String> {
    if name.is_empty() {
        return Err("--path takes a directory".into());
    }
    match path.replace(name.into()) {
        None => Ok(()),
        Some(_) => Err("--path is given twice".into()),
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
        let run = |path: &str, scripts: &[&str]| {
            let scripts = scripts.iter().map(OsString::from).collect();
            let path = path.into();
            Ok(Request::Run { path, scripts, json: false, history: true, compaction: true })
        };
        check("", run(PATH, &[]));
        check("--path d", run("d", &[]));
        check("-e flush --path=d -e --help", run("d", &["flush", "--help"]));
        check("--no-history --json --path d --no-compaction", {
            let (path, scripts) = ("d".into(), vec![]);
            Ok(Request::Run { path, scripts, json: true, history: false, compaction: false })
        });
        check("--path d --help", Ok(Request::Help));
        check("--version", Ok(Request::Version));
        check("--path", Err("--path takes a directory"));
        check("--path=", Err("--path takes a directory"));
        check("--path a --path b", Err("--path is given twice"));
        check("-e", Err("-e takes commands"));
        check("data", Err("\"data\" is not an argument of this program"));
    }
}
