//! What a command is: its words, its help and its function.
//! The commands themselves stand in [`super::table`].

use std::path::PathBuf;

use crate::print::output::Output;
use crate::shell::{Failure, Shell};
use crate::text::escape::escaped;
use crate::text::near;

/// A command, for the parser, help, messages, completion and hints.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Its names in other programs.
    pub(crate) aliases: &'static [&'static str],
    /// The same, for a command with one of its options.
    pub(crate) shorthands: &'static [(&'static str, &'static str)],
    pub(crate) group: &'static str,
    pub(crate) places: &'static [Place],
    pub(crate) options: &'static [Dashed],
    /// What it does, in a line.
    pub(crate) meaning: &'static str,
    /// A paragraph below that; may be empty.
    pub(crate) more: &'static str,
    /// Lines below that, printed as they are; may be empty.
    pub(crate) details: &'static str,
    pub(crate) example: &'static str,
    pub(crate) makes: Makes,
    pub(crate) run: Run,
}

/// A word that a command takes.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// As usage shows it; empty if usage shows the words that may stand here.
    pub(crate) shown: &'static str,
    /// The thing, for "the … is missing".
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) needed: bool,
    /// Whether it may be repeated; only the last one may.
    pub(crate) many: bool,
}

/// A word that begins with `--`: an option.
#[derive(Clone, Copy)]
pub(crate) struct Dashed {
    pub(crate) name: &'static str,
    /// What goes behind it, as usage shows it; `None` if it stands alone.
    pub(crate) value: Option<(&'static str, Kind)>,
    /// Whether it replaces the last place.
    pub(crate) instead: bool,
}

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command or a topic of `help`.
    Topic,
    File,
    Key,
    Keyspace,
    Snapshot,
    Savepoint,
    OneOf(&'static [&'static str]),
    /// All that is left of the line, unless it begins with a quote.
    Rest,
    /// Something new or a number: nothing to offer.
    Free,
}

/// Whether a script that begins with a command makes a missing database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    Nothing,
    Database,
    /// The database, if it has this option.
    With(&'static str),
}

/// What a command does.
pub(crate) enum Run {
    /// Takes no words.
    Alone(fn(&mut Shell, &mut Output<'_>) -> Result<(), Failure>),
    /// Reads what it was given, and gives back what is to be done.
    Given(fn(&mut Given) -> Read),
}

/// What was made of the words of a command: what is to be done, or what is wrong with them.
pub(crate) type Read = Result<Job, String>;

/// A command, ready to run.
pub(crate) type Job = Box<dyn FnOnce(&mut Shell, &mut Output<'_>) -> Result<Outcome, Failure>>;

/// What came of a command that did not fail. The session sees to all but the first.
pub(crate) enum Outcome {
    Done,
    /// A key is not there: what is still to be printed in a dialogue, and as a complaint.
    Absent {
        answer: Option<&'static str>,
        complaint: Option<String>,
    },
    /// A person is to be asked first.
    Confirm {
        question: String,
        yes: Job,
        no: Failure,
    },
    /// The commands of this file are to be run.
    Source(PathBuf),
    /// The session is to end.
    Exit,
}

/// A job with an outcome of its own.
pub(crate) fn job(
    run: impl FnOnce(&mut Shell, &mut Output<'_>) -> Result<Outcome, Failure> + 'static,
) -> Read {
    Ok(Box::new(run))
}

/// A job that is done, or fails.
pub(crate) fn done(
    run: impl FnOnce(&mut Shell, &mut Output<'_>) -> Result<(), Failure> + 'static,
) -> Read {
    job(move |shell, out| run(shell, out).map(|()| Outcome::Done))
}

impl Place {
    fn usage(&self) -> String {
        let shown = shown(self.shown, self.kind);
        match (self.needed, self.many) {
            (true, false) => shown,
            (true, true) => shown + "...",
            (false, _) => format!("[{shown}]"),
        }
    }
}

impl Dashed {
    fn usage(&self) -> String {
        match self.value {
            None => self.name.into(),
            Some((text, kind)) => format!("{} {}", self.name, shown(text, kind)),
        }
    }
}

fn shown(text: &str, kind: Kind) -> String {
    match kind {
        Kind::OneOf(words) if text.is_empty() => words.join("|"),
        _ => text.into(),
    }
}

impl Spec {
    /// The words behind the name, as usage shows them.
    pub(crate) fn arguments(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::usage).collect();
        let mut words = places.clone();
        for option in self.options {
            if option.instead {
                words.push("|".into());
                words.extend_from_slice(&places[..places.len() - 1]);
                words.push(option.usage());
            } else {
                words.push(format!("[{}]", option.usage()));
            }
        }
        words.join(" ")
    }

    /// The command as it is written.
    pub(crate) fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments()).trim_end().into()
    }

    /// The command for a list; two dots stand for its options.
    pub(crate) fn brief(&self) -> String {
        let mut words = vec![self.name.to_owned()];
        words.extend(self.places.iter().map(Place::usage));
        if !self.options.is_empty() {
            words.push("..".into());
        }
        words.join(" ")
    }

    /// How to write the command, for a message.
    pub(crate) fn advice(&self) -> String {
        let key = self.places.iter().any(|place| place.kind == Kind::Key);
        let quotes = if key { ", with quotes around a key that holds blanks" } else { "" };
        format!("write {}{quotes}", self.usage())
    }

    /// Paragraph and lines, as one text.
    pub(crate) fn all_else(&self) -> String {
        format!("{}{}", self.more, self.details)
    }

    /// The option of this name.
    pub(crate) fn option(&self, name: &[u8]) -> Option<&'static Dashed> {
        self.options.iter().find(|option| option.name.as_bytes() == name)
    }

    /// The option that replaces the last place, if there is one.
    pub(crate) fn instead(&self) -> Option<&'static Dashed> {
        self.options.iter().find(|option| option.instead)
    }

    /// The option that an alias has in it.
    pub(crate) fn implied_by(&self, alias: &[u8]) -> Option<&'static str> {
        let mut shorthands = self.shorthands.iter();
        shorthands.find(|(word, _)| word.as_bytes() == alias).map(|(_, option)| *option)
    }

    fn is_also(&self, name: &[u8]) -> bool {
        let shorthands = self.shorthands.iter().map(|(word, _)| word);
        self.aliases.iter().chain(shorthands).any(|word| word.as_bytes() == name)
    }
}

/// All commands.
#[derive(Clone, Copy)]
pub(crate) struct Table(pub(crate) &'static [Spec]);

impl Table {
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|spec| spec.name)
    }

    /// The command of this name, in lower case.
    pub(crate) fn named(self, name: &[u8]) -> Option<&'static Spec> {
        self.0.iter().find(|spec| spec.name.as_bytes() == name)
    }

    /// The command of this name or alias.
    pub(crate) fn meant(self, name: &[u8]) -> Option<&'static Spec> {
        self.named(name).or_else(|| self.0.iter().find(|spec| spec.is_also(name)))
    }

    /// The complaint about a name that no command has.
    pub(crate) fn unknown(self, name: &[u8]) -> String {
        let meant = self.nearest(name);
        let meant = meant.map_or(String::new(), |meant| format!("did you mean {meant}? "));
        format!("there is no command {}; {meant}help lists the commands", escaped(name))
    }

    /// The command that was most likely meant by `name`. A dangerous one is not to be suggested
    /// lightly.
    pub(crate) fn nearest(self, name: &[u8]) -> Option<&'static str> {
        let name = std::str::from_utf8(name).ok()?;
        let begun = self.names().find(|known| name.len() > 1 && known.starts_with(name));
        begun.or_else(|| near::nearest(name, self.names()))
    }
}

/// The words and options that a command was given; every needed word is there.
pub(crate) struct Given {
    /// All commands, for `help`.
    pub(crate) commands: Table,
    words: std::vec::IntoIter<Vec<u8>>,
    options: Vec<(&'static str, Vec<u8>)>,
}

impl Given {
    /// An option that stands alone has an empty value.
    pub(crate) fn new(
        commands: Table,
        words: Vec<Vec<u8>>,
        options: Vec<(&'static str, Vec<u8>)>,
    ) -> Self {
        Self { commands, words: words.into_iter(), options }
    }

    #[cfg(test)]
    pub(crate) fn words(&self) -> &[Vec<u8>] {
        self.words.as_slice()
    }

    #[cfg(test)]
    pub(crate) fn options(&self) -> &[(&'static str, Vec<u8>)] {
        &self.options
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == option)
    }

    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        self.words.next()
    }

    pub(super) fn rest(&mut self) -> Vec<Vec<u8>> {
        self.words.by_ref().collect()
    }

    pub(super) fn needed(&mut self) -> Vec<u8> {
        self.next().expect("words that are needed were found to be there")
    }

    pub(super) fn name(&mut self) -> Result<String, String> {
        utf8(self.needed())
    }

    pub(super) fn file(&mut self) -> Result<PathBuf, String> {
        path(self.needed())
    }

    /// The value of an option, empty for one that stands alone.
    pub(super) fn option(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.options.iter().position(|(given, _)| *given == name)?;
        Some(self.options.remove(at).1)
    }

    /// Whether an option that stands alone was given.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.option(name).is_some()
    }

    pub(super) fn text(&mut self, option: &str) -> Result<Option<String>, String> {
        self.option(option).map(utf8).transpose()
    }
}

/// A name, which is text.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("{} is no name: it is not UTF-8", escaped(error.as_bytes())))
}

#[cfg(unix)]
pub(super) fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
pub(super) fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    String::from_utf8(bytes)
        .map(PathBuf::from)
        .map_err(|error| format!("{} names no file here: not UTF-8", escaped(error.as_bytes())))
}
