//! Which directories become databases: none by a slip of the hand.
//!
//! | there is | what happens |
//! |---|---|
//! | a database | it is opened |
//! | nothing, or an empty directory | the default one is made; another if a person says yes, or a script begins by writing |
//! | a directory of other files | nothing is made in it, unless `--create` or a person says so |

#[cfg(test)]
mod tests;

use std::fs;
use std::io::BufRead;
use std::path::Path;

use alluvium::{Builder, Db, Error};

use crate::shell::Create;
use crate::start::args::{PATH, Settings};
use crate::text::words::WordError;
use crate::typed::parse::parse;

/// What there is where a database is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A directory with other files, one of which is given.
    Others(String),
}

/// Opens the database that the settings name. `writes` tells whether a script begins by writing,
/// and `ask` asks a person, if there is one. The error is a sentence.
pub(crate) fn open(
    settings: &Settings,
    writes: impl FnOnce() -> bool,
    ask: Option<&mut dyn FnMut(&str) -> bool>,
) -> Result<Db, String> {
    let path = settings.path.as_deref().unwrap_or(Path::new(PATH));
    match builder(settings, path).create(false).open() {
        Err(error) if is_missing(path, &error) => {}
        opened => return opened.map_err(|error| error.to_string()),
    }
    let found = look(path);
    let name = path.display();
    let there_is_none = match &found {
        Found::Nothing => format!("there is no database in {name}"),
        Found::Others(file) => {
            format!("{name} is no database: it holds other files, such as {file}")
        }
    };
    if settings.read_only || settings.create == Create::Never {
        return Err(there_is_none);
    }
    let default = settings.path.is_none() && found == Found::Nothing;
    if settings.create == Create::Asked && !default {
        let agreed = match ask {
            Some(ask) => ask(&format!("{there_is_none}: make one there?")),
            None => found == Found::Nothing && writes(),
        };
        if !agreed {
            return Err(format!("{there_is_none}; --create makes one"));
        }
    }
    builder(settings, path).open().map_err(|error| error.to_string())
}

fn builder(settings: &Settings, path: &Path) -> Builder {
    let builder = Db::builder(path).read_only(settings.read_only);
    if settings.compaction { builder } else { builder.compaction_threads(0) }
}

/// Whether the open failed because nothing is there, and for no other reason.
fn is_missing(path: &Path, error: &Error) -> bool {
    let Error::Io { op, source, .. } = error else { return false };
    let absent = source.kind() == std::io::ErrorKind::NotFound;
    absent && (*op == "find a database in" || fs::symlink_metadata(path).is_err())
}

fn look(path: &Path) -> Found {
    let Ok(entries) = fs::read_dir(path) else { return Found::Nothing };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Left by an open that was cut short, or by the system.
    let counts = |name: &String| !name.starts_with('.') && name != "LOCK" && name != "lost+found";
    let first = names.filter(counts).min();
    first.map_or(Found::Nothing, |name| Found::Others(name.escape_debug().to_string()))
}

/// Whether a script begins with a command that fills a database. What was read for that goes to
/// `read`.
pub(crate) fn begins_by_filling(script: &mut dyn BufRead, read: &mut Vec<u8>) -> bool {
    // Where the command begins.
    let mut start = 0;
    loop {
        match script.read_until(b'\n', read) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        let mark = if start == 0 && read.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        match parse(&read[start + mark..]) {
            Ok(Some(command)) => return command.makes,
            Ok(None) => start = read.len(),
            Err(WordError::Unfinished { .. }) => {}
            Err(WordError::Wrong(_)) => return false,
        }
    }
}
