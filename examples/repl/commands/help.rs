//! `help`.

use std::io::{self, Write};

use serde_json::json;

use crate::output::{Ink, Output};
use crate::spec::{QUOTING, SPECS, Spec};

/// Columns that a command's name takes in the list.
const NAME_COLUMNS: usize = 20;

/// Columns of a paragraph.
const TEXT_COLUMNS: usize = 74;

/// The commands by group, a line each.
pub(super) fn all(out: &mut Output<'_>) -> io::Result<()> {
    if out.look.json {
        return SPECS.iter().try_for_each(|spec| writeln!(out, "{}", as_json(spec)));
    }
    let mut group = "";
    for spec in SPECS {
        if spec.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = spec.group;
            writeln!(out, "{gap}{}", out.look.paint(Ink::Title, group))?;
        }
        let name = format!("{:NAME_COLUMNS$}", spec.name);
        writeln!(out, "  {} {}", out.look.paint(Ink::Key, &name), spec.meaning)?;
    }
    writeln!(out, "{QUOTING}help COMMAND tells more, with an example.")
}

/// All about one command.
pub(super) fn one(spec: &Spec, out: &mut Output<'_>) -> io::Result<()> {
    if out.look.json {
        return writeln!(out, "{}", as_json(spec));
    }
    writeln!(out, "{}\n", out.look.paint(Ink::Title, &spec.usage()))?;
    for line in std::iter::once(spec.meaning.into()).chain(wrapped(spec.more)) {
        writeln!(out, "    {line}")?;
    }
    writeln!(out, "\nexample: {}", out.look.paint(Ink::Key, spec.example))
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
        "example": spec.example,
    })
}
