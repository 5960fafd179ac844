//! What the tabulator key offers, and the faint hint behind a command that is being typed.

use std::fs;
use std::path::Path;

use alluvium::{Db, Keyspace};

use super::narrow::{Name, narrowed};
use crate::commands::spec::{Kind, Spec};
use crate::commands::table::COMMANDS;
use crate::commands::topics::TOPICS;
use crate::text::escape::unescape;
use crate::text::words::{Word, WordError, Words, quote};

/// Where the names come from.
pub(crate) struct Names {
    pub(crate) db: Db,
    pub(crate) keyspace: Keyspace,
    pub(crate) snapshots: Vec<String>,
    pub(crate) savepoints: Vec<String>,
}

/// A word to offer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What goes into the line.
    pub(crate) text: String,
    /// What is listed.
    pub(crate) shown: String,
}

/// The words that may stand at the end of `text`, and the byte where they would begin.
pub(crate) fn complete(text: &str, names: &Names) -> (usize, Vec<Offer>) {
    let Some((before, start, partial)) = split(text.as_bytes()) else {
        return (text.len(), Vec::new());
    };
    let found = match before.split_first() {
        None => commands(&partial.bytes),
        Some((name, given)) => {
            let name = name.bytes.to_ascii_lowercase();
            COMMANDS.meant(&name).map_or(Vec::new(), |spec| words(spec, given, &partial, names))
        }
    };
    let only = found.len() == 1;
    let mut found: Vec<Offer> = found.into_iter().map(|word| word.offer(only)).collect();
    found.sort_by(|one, other| one.text.cmp(&other.text));
    (start, found)
}

/// How the rest of a command is written, behind its name and a blank.
pub(crate) fn hint(text: &str) -> Option<String> {
    let name = text.strip_suffix(' ')?;
    let spec = COMMANDS.meant(name.trim_start().to_ascii_lowercase().as_bytes())?;
    Some(spec.arguments()).filter(|arguments| !arguments.is_empty())
}

/// A word to offer, before it is written down.
enum Found {
    /// As it stands, for names of commands and options.
    Plain(&'static str),
    /// In quotes if need be.
    Bytes(Vec<u8>),
    /// A directory, behind which a path goes on.
    Directory(Vec<u8>),
    /// The beginning of several.
    Start(Vec<u8>),
}

impl Found {
    /// A blank goes behind the `only` one.
    fn offer(self, only: bool) -> Offer {
        let (mut text, goes_on) = match &self {
            Self::Plain(name) => (name.as_bytes().to_vec(), false),
            Self::Bytes(bytes) => (quote(bytes), false),
            Self::Directory(bytes) | Self::Start(bytes) => (quote(bytes), true),
        };
        if goes_on && text.starts_with(b"\"") {
            text.pop();
        }
        let more = if matches!(self, Self::Start(_)) { "…" } else { "" };
        let blank = if only && !goes_on { " " } else { "" };
        let text = String::from_utf8(text).expect("quote writes whole characters only");
        Offer { shown: format!("{text}{blank}{more}"), text: text + blank }
    }
}

impl From<Name> for Found {
    fn from(name: Name) -> Self {
        match name {
            Name::Whole(name) => Self::Bytes(name),
            Name::Start(name) => Self::Start(name),
        }
    }
}

/// The whole words of `text`, where the one under way begins, and what it stands for so far.
fn split(text: &[u8]) -> Option<(Vec<Word>, usize, Word)> {
    let mut words = Words::new(text);
    let mut before = Vec::new();
    loop {
        let rest = &text[text.len() - words.left()..];
        let start = text.len() - rest.trim_ascii_start().len();
        match words.next() {
            Ok(Some(word)) if words.left() == 0 => return Some((before, start, word)),
            Ok(Some(word)) => before.push(word),
            Ok(None) => {
                return Some((before, text.len(), Word { bytes: Vec::new(), quoted: false }));
            }
            Err(WordError::Wrong(_)) => return None,
            Err(WordError::Unfinished { quote }) => {
                let mut bytes = Vec::new();
                match quote {
                    b'"' => unescape(&text[start + 1..], &mut bytes).ok()?,
                    _ => bytes.extend_from_slice(&text[start + 1..]),
                }
                return Some((before, start, Word { bytes, quoted: true }));
            }
        }
    }
}

/// The words that may follow `given` in a command.
fn words(spec: &'static Spec, given: &[Word], partial: &Word, names: &Names) -> Vec<Found> {
    let option = |word: &Word| spec.option(&word.bytes).filter(|_| !word.quoted);
    // Words that are neither options nor their values.
    let mut places = 0;
    let mut value = None;
    for word in given {
        match (value.take(), option(word)) {
            (Some(_), _) => {}
            (None, Some(option)) => value = option.value.map(|(_, kind)| kind),
            (None, None) => places += 1,
        }
    }
    let options = || {
        let unused = |name: &str| !given.iter().any(|word| word.bytes == name.as_bytes());
        let fits = |name: &str| name.as_bytes().starts_with(&partial.bytes) && unused(name);
        let names = spec.options.iter().map(|option| option.name);
        names.filter(|name| fits(name)).map(Found::Plain).collect()
    };
    match (value, spec.places.get(places)) {
        (Some(kind), _) => named(kind, &partial.bytes, names),
        _ if partial.is_option() => options(),
        (None, Some(place)) => named(place.kind, &partial.bytes, names),
        (None, None) => options(),
    }
}

/// The things of this kind whose names begin with `partial`.
fn named(kind: Kind, partial: &[u8], names: &Names) -> Vec<Found> {
    let text = |names: &mut dyn Iterator<Item = String>| {
        let mut names: Vec<Vec<u8>> = names.map(String::into_bytes).collect();
        names.sort();
        narrowed(&names, partial).into_iter().map(Found::from).collect()
    };
    match kind {
        Kind::Topic => {
            let topics = TOPICS.iter().map(|topic| topic.name);
            let fitting = topics.filter(|name| name.as_bytes().starts_with(partial));
            fitting.map(Found::Plain).chain(commands(partial)).collect()
        }
        Kind::File => files(partial),
        Kind::OneOf(words) => {
            let fitting = words.iter().filter(|word| word.as_bytes().starts_with(partial));
            fitting.map(|word| Found::Plain(word)).collect()
        }
        Kind::Keyspace => text(&mut names.db.keyspaces().into_iter()),
        Kind::Snapshot => text(&mut names.snapshots.iter().cloned()),
        Kind::Savepoint => text(&mut names.savepoints.iter().cloned()),
        Kind::Key => {
            let found = narrowed(&names.keyspace, partial);
            found.into_iter().map(Found::from).collect()
        }
        Kind::Rest | Kind::Free => Vec::new(),
    }
}

fn commands(partial: &[u8]) -> Vec<Found> {
    let partial = partial.to_ascii_lowercase();
    COMMANDS
        .names()
        .filter(|name| name.as_bytes().starts_with(&partial))
        .map(Found::Plain)
        .collect()
}

/// Files and directories; those that begin with a dot only if the dot is there.
fn files(partial: &[u8]) -> Vec<Found> {
    let Ok(partial) = std::str::from_utf8(partial) else { return Vec::new() };
    let at = partial.rfind(std::path::is_separator).map_or(0, |at| at + 1);
    let (dir, name) = partial.split_at(at);
    let Ok(entries) = fs::read_dir(if dir.is_empty() { Path::new(".") } else { Path::new(dir) })
    else {
        return Vec::new();
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let shown = |file: &String| !file.starts_with('.') || !name.is_empty();
    let paths = names.filter(shown).map(|file| format!("{dir}{file}").into_bytes());
    let mut paths: Vec<Vec<u8>> = paths.collect();
    paths.sort();
    let found = narrowed(&paths, partial.as_bytes()).into_iter().map(|name| match name {
        Name::Whole(path) => {
            // Through a link, to see whether it leads to a directory.
            let text = String::from_utf8_lossy(&path);
            match fs::metadata(&*text).is_ok_and(|data| data.is_dir()) {
                true => Found::Directory([&path, &b"/"[..]].concat()),
                false => Found::Bytes(path),
            }
        }
        Name::Start(path) => Found::Start(path),
    });
    found.collect()
}

#[cfg(test)]
mod tests;
