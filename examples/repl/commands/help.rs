//! `help`.

use std::io::{self, Write};

use serde_json::json;

use super::spec::{Given, Read, Spec, Table, done};
use super::topics::{TOPICS, Topic};
use crate::print::output::{Ink, Output};

/// Columns that a group's name takes in the list.
const GROUP_COLUMNS: usize = 10;

/// Columns of a line.
const LINE_COLUMNS: usize = 79;

/// Columns of a paragraph.
const TEXT_COLUMNS: usize = 74;

/// What stands below the list of commands; the whole is to fit a screen of 24 lines.
pub(super) const BELOW: &str = r#"
A .. stands for options. The value of store is the rest of the line. Quote
what holds blanks: 'as it is', or "with escapes" (\n \t \xNN \u{N}). Names from
other programs work, too: put, set, del, rm, ls, quit. # begins a comment.
"#;

/// What is to be told about.
enum About {
    All,
    Command(&'static Spec),
    Topic(&'static Topic),
}

pub(super) fn help(given: &mut Given) -> Read {
    let commands = given.commands;
    let about = match given.next() {
        None => About::All,
        Some(name) => {
            let name = name.to_ascii_lowercase();
            let topic = || Topic::named(&name).map(About::Topic);
            let command = || commands.meant(&name).map(About::Command);
            topic().or_else(command).ok_or_else(|| commands.unknown(&name))?
        }
    };
    done(move |_, out| {
        match about {
            About::All => all(commands, out)?,
            About::Command(spec) => one(spec, out)?,
            About::Topic(page) => topic(page, out)?,
        }
        Ok(())
    })
}

/// The commands by group, as they are written.
fn all(commands: Table, out: &mut Output<'_>) -> io::Result<()> {
    if out.look.json {
        return commands.0.iter().try_for_each(|spec| writeln!(out, "{}", as_json(spec)));
    }
    for group in commands.0.chunk_by(|one, next| one.group == next.group) {
        let mut column = GROUP_COLUMNS;
        let name = format!("{:GROUP_COLUMNS$}", group[0].group);
        write!(out, "{}", out.look.paint(Ink::Title, &name))?;
        for (number, spec) in group.iter().enumerate() {
            let brief = spec.brief();
            if number > 0 && column + 2 + brief.len() > LINE_COLUMNS {
                write!(out, "\n{:GROUP_COLUMNS$}", "")?;
                column = GROUP_COLUMNS;
            } else if number > 0 {
                out.write_all(b"  ")?;
                column += 2;
            }
            column += brief.len();
            let (name, arguments) = brief.split_at(spec.name.len());
            write!(out, "{}{arguments}", out.look.paint(Ink::Key, name))?;
        }
        out.write_all(b"\n")?;
    }
    let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    writeln!(out, "{BELOW}help TOPIC: {}.", topics.join(", "))?;
    writeln!(out, "help COMMAND tells more, with an example.")
}

/// All about one command.
fn one(spec: &Spec, out: &mut Output<'_>) -> io::Result<()> {
    if out.look.json {
        return writeln!(out, "{}", as_json(spec));
    }
    for (number, line) in wrapped(&spec.usage()).into_iter().enumerate() {
        let indent = if number > 0 { "    " } else { "" };
        writeln!(out, "{indent}{}", out.look.paint(Ink::Title, &line))?;
    }
    writeln!(out)?;
    for line in std::iter::once(spec.meaning.into()).chain(wrapped(spec.more)) {
        writeln!(out, "    {line}")?;
    }
    out.write_all(spec.details.as_bytes())?;
    writeln!(out, "\nexample: {}", out.look.paint(Ink::Key, spec.example))
}

/// A page about something else.
fn topic(topic: &Topic, out: &mut Output<'_>) -> io::Result<()> {
    out.say(topic.text.trim(), || json!({"topic": topic.name, "text": topic.text}))
}

/// A paragraph as lines that fit beside an indent.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= TEXT_COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn as_json(spec: &Spec) -> serde_json::Value {
    json!({
        "command": spec.name,
        "usage": spec.usage(),
        "meaning": spec.meaning,
        "more": spec.all_else(),
        "example": spec.example,
    })
}

#[cfg(test)]
mod tests;
