//! The commands: what `help`, messages, completion and hints know about each.
//!
//! [`crate::parse`] reads by the table, so that a command takes what its line of help says.

mod alias;
mod table;
mod topics;

pub(crate) use alias::Alias;
pub(crate) use table::SPECS;
pub(crate) use topics::{TOPICS, Topic, details};

use crate::escape::escaped;

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
    let (distance, meant) =
        SPECS.iter().map(|spec| (distance(name, spec.name), spec.name)).min()?;
    // A third of the letters wrong is still the same word; more is another one, and a dangerous
    // command is not to be suggested lightly.
    (distance <= (name.len() / 3).max(1)).then_some(meant)
}

/// Letters to add, leave out, replace or swap with their neighbour to make `b` of `a`.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    // Nobody means a command by that; its table would only cost memory.
    if a.len() > 64 {
        return a.len();
    }
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_itself() {
        for (spec, next) in SPECS.iter().zip(SPECS.iter().skip(1)) {
            let later = SPECS.iter().skip_while(|other| other.name != next.name);
            let split = spec.group != next.group && later.clone().any(|s| s.group == spec.group);
            assert!(!split, "the group {} is in two pieces", spec.group);
        }
        for spec in SPECS {
            let written = spec.arguments.matches("--").count();
            assert_eq!(written, spec.options.len(), "{}", spec.usage());
            for (option, _) in spec.options {
                assert!(spec.arguments.contains(option), "{}: {option}", spec.usage());
            }
            assert!(spec.example.starts_with(spec.name), "{}", spec.example);
            // In a terminal of 80 columns, behind the name and indented.
            assert!(spec.meaning.chars().count() <= 80 - 23, "too long: {}", spec.meaning);
            assert_eq!(SPECS.iter().filter(|other| other.name == spec.name).count(), 1);
        }
        for Alias { word, command, flags } in alias::aliases() {
            let spec = Spec::named(command.as_bytes()).expect(word);
            assert!(Spec::named(word.as_bytes()).is_none(), "{word}");
            let known = |flag: &&str| spec.options.iter().any(|(name, _)| name == flag);
            assert!(flags.iter().all(known), "{word}");
        }
        for topic in TOPICS {
            assert!(Spec::meant(topic.name.as_bytes()).is_none(), "{}", topic.name);
            assert!(topic.text.lines().all(|line| line.chars().count() < 80), "{}", topic.name);
        }
    }

    #[test]
    fn the_nearest_command_is_suggested() {
        #[track_caller]
        fn check(name: &str, want: Option<&str>) {
            assert_eq!(nearest(name.as_bytes()), want, "{name}");
        }
        check("stroe", Some("store"));
        check("sotre", Some("store"));
        check("gte", Some("get"));
        check("scna", Some("scan"));
        check("delet", Some("delete"));
        check("snapshotss", Some("snapshots"));
        check("comit", Some("commit"));
        check("imprt", Some("import"));
        check("sto", Some("store"));
        check("snap", Some("snapshot"));
        for other in ["frobnicate", "", "x", "greetings", "42", &"s".repeat(1_000_000)] {
            check(other, None);
        }
        assert_eq!(nearest(b"\xff"), None);
        assert_eq!(
            unknown(b"stroe"),
            "there is no command stroe; did you mean store? help lists the commands"
        );
        assert_eq!(unknown(b"\xff"), r"there is no command \xff; help lists the commands");
    }
}
