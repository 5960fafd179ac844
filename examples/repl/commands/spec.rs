//! The commands: what `help`, messages, completion and hints know about each.
//!
//! [`crate::typed::parse`] reads by the table, so that a command takes what its line of help says.

mod alias;
mod table;
mod topics;

pub(crate) use alias::Alias;
pub(crate) use table::SPECS;
pub(crate) use topics::{TOPICS, Topic, details};

use crate::text::escape::escaped;
use crate::text::near;

/// What a word stands for, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command or a topic of `help`.
    Topic,
    Encoding,
    File,
    Format,
    Key,
    Keyspace,
    Snapshot,
    /// `on` or `off`.
    Switch,
    /// Something new or a number: nothing to offer.
    Free,
    /// No word at all: an option that stands alone.
    Flag,
}

/// A word that a command takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The thing, for "the … is missing".
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) needed: bool,
    /// Whether it may come again and again; only the last one may.
    pub(crate) many: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    /// The words after the name, as usage shows them.
    pub(crate) arguments: &'static str,
    /// What it does, in a line.
    pub(crate) meaning: &'static str,
    /// What else there is to know, as a paragraph; may be empty.
    pub(crate) more: &'static str,
    pub(crate) example: &'static str,
    pub(crate) places: &'static [Place],
    pub(crate) options: &'static [(&'static str, Kind)],
}

impl Spec {
    /// The command of this name, in lower case.
    pub(crate) fn named(name: &[u8]) -> Option<&'static Self> {
        SPECS.iter().find(|spec| spec.name.as_bytes() == name)
    }

    /// The command of this name, or the one that another program has under it.
    pub(crate) fn meant(name: &[u8]) -> Option<&'static Self> {
        Self::named(name).or_else(|| Self::named(Alias::of(name)?.command.as_bytes()))
    }

    /// The command for a list; two dots stand for its options.
    pub(crate) fn brief(&self) -> String {
        if self.options.is_empty() {
            return self.usage();
        }
        let plain = self.arguments.split(" | ").next().unwrap_or_default();
        let plain = plain.split("[--").next().unwrap_or_default().trim_end();
        format!("{} {plain}", self.name).trim_end().to_owned() + " .."
    }

    /// The command as it is written.
    pub(crate) fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().into()
    }

    /// How to write the command, for a message.
    pub(crate) fn advice(&self) -> String {
        let key = self.places.iter().any(|place| place.kind == Kind::Key);
        let quotes = if key { ", with quotes around a key that holds blanks" } else { "" };
        format!("write {}{quotes}", self.usage())
    }
}

/// The complaint about a name that no command has.
pub(crate) fn unknown(name: &[u8]) -> String {
    let meant = nearest(name).map_or(String::new(), |meant| format!("did you mean {meant}? "));
    format!("there is no command {}; {meant}help lists the commands", escaped(name))
}

/// The command that was most likely meant by `name`.
fn nearest(name: &[u8]) -> Option<&'static str> {
    let name = std::str::from_utf8(name).ok()?;
    if name.len() > 1
        && let Some(spec) = SPECS.iter().find(|spec| spec.name.starts_with(name))
    {
        return Some(spec.name);
    }
    near::nearest(name, SPECS.iter().map(|spec| spec.name))
}

#[cfg(test)]
mod tests;
